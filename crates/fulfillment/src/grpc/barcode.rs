//! What a scanner read, taken apart: a plain code, or GS1 elements read by their application
//! identifiers, never by guessing lengths.

/// A barcode's parts.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Read {
    /// What names the article.
    pub(super) code: String,
    pub(super) lot: String,
    pub(super) serial: String,
}

const GROUP_SEPARATOR: char = '\u{1d}';
/// What scanners put before a GS1 symbol: GS1-128, GS1 DataMatrix, GS1 QR code, GS1 DataBar.
const GS1_SYMBOLS: [&str; 4] = ["]C1", "]d2", "]Q3", "]e0"];

pub(super) fn read(text: &str) -> Read {
    let text = text.trim_matches(|c: char| c.is_whitespace() && c != GROUP_SEPARATOR);
    let plain = || Read { code: text.to_owned(), ..Read::default() };
    let elements =
        if text.starts_with("(01)") { bracketed(text) } else { gs1_body(text).and_then(elements) };
    elements
        .map(|elements| parts(&elements))
        .filter(|read| !read.code.is_empty())
        .unwrap_or_else(plain)
}

/// True for two spellings of the same code: a GTIN may have leading zeros.
pub(super) fn same(one: &str, other: &str) -> bool {
    one == other || gtin14(one).is_some_and(|gtin| Some(gtin) == gtin14(other))
}

fn gtin14(code: &str) -> Option<String> {
    let digits = code.bytes().all(|byte| byte.is_ascii_digit());
    (digits && matches!(code.len(), 8 | 12..=14)).then(|| format!("{code:0>14}"))
}

/// The elements of a symbol that says it is GS1, by its prefix or by a leading separator (FNC1).
fn gs1_body(text: &str) -> Option<&str> {
    let by_symbol = GS1_SYMBOLS.iter().find_map(|symbol| text.strip_prefix(symbol));
    let body = by_symbol.or_else(|| text.starts_with(GROUP_SEPARATOR).then_some(text));
    body.map(|body| body.trim_start_matches(GROUP_SEPARATOR))
}

type Elements = Vec<(String, String)>;

/// `(01)09501101530003(10)AB-123`: the form that people read.
fn bracketed(text: &str) -> Option<Elements> {
    let found = text.split('(').skip(1).map(|part| {
        let (identifier, value) = part.split_once(')')?;
        Some((identifier.to_owned(), value.trim().to_owned()))
    });
    found.collect()
}

fn elements(text: &str) -> Option<Elements> {
    let mut rest = text;
    let mut found = vec![];
    while !rest.is_empty() {
        let (digits, length) = identifier(rest)?;
        let (name, after) = rest.split_at_checked(digits)?;
        let (value, next) = match length {
            Some(length) => after.split_at_checked(length)?,
            None => after.split_once(GROUP_SEPARATOR).unwrap_or((after, "")),
        };
        found.push((name.to_owned(), value.to_owned()));
        rest = next.trim_start_matches(GROUP_SEPARATOR);
    }
    Some(found)
}

/// How many digits the application identifier at the start has, and how long its value is, unless a
/// separator ends it (GS1 General Specifications, 3.2).
fn identifier(text: &str) -> Option<(usize, Option<usize>)> {
    let two = text.get(..2)?;
    Some(match two {
        "00" => (2, Some(18)),
        "01" | "02" | "03" => (2, Some(14)),
        "10" | "21" | "22" | "30" | "37" | "90" | "91" | "92" | "93" | "94" | "95" | "96"
        | "97" | "98" | "99" => (2, None),
        "11" | "12" | "13" | "15" | "16" | "17" => (2, Some(6)),
        "20" => (2, Some(2)),
        "23" | "24" | "25" => (3, None),
        "31" | "32" | "33" | "34" | "35" | "36" => (4, Some(6)),
        "41" => (3, Some(13)),
        "40" | "42" => (3, None),
        "39" | "43" | "70" | "71" | "72" | "80" | "81" | "82" => (4, None),
        _ => return None,
    })
}

fn parts(elements: &[(String, String)]) -> Read {
    let value = |wanted: &str| {
        let found = elements.iter().find(|(identifier, _)| identifier == wanted);
        found.map(|(_, value)| value.clone()).unwrap_or_default()
    };
    Read { code: value("01"), lot: value("10"), serial: value("21") }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parts_of(code: &str, lot: &str, serial: &str) -> Read {
        Read { code: code.to_owned(), lot: lot.to_owned(), serial: serial.to_owned() }
    }

    #[test]
    fn a_plain_code_stays_as_it_was_read() {
        for code in ["5901234123457", "85123A", "0109501101530003", "(x)", "MUG (01)"] {
            assert_eq!(read(code), parts_of(code, "", ""));
        }
    }

    #[test]
    fn gs1_elements_are_told_apart_by_their_identifiers() {
        let gtin = "09501101530003";
        let expected = parts_of(gtin, "AB-123", "S77");
        assert_eq!(read("(01)09501101530003(17)261231(10)AB-123(21)S77"), expected);
        assert_eq!(read("]d20109501101530003172612311021AB\u{1d}21S77").lot, "21AB");
        assert_eq!(read("]C1010950110153000310AB-123\u{1d}21S77"), expected);
        assert_eq!(read("\u{1d}010950110153000321S77\u{1d}10AB-123"), expected);
    }

    #[test]
    fn elements_that_cannot_be_told_apart_are_a_plain_code() {
        assert_eq!(read("]C10195011"), parts_of("]C10195011", "", ""));
        assert_eq!(read("]C16A"), parts_of("]C16A", "", ""));
    }

    #[test]
    fn leading_zeros_of_a_gtin_do_not_matter() {
        assert!(same("9501101530003", "09501101530003"));
        assert!(!same("501", "0501"));
    }
}
