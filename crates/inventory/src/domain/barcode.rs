//! What a scanner reads, in the one form in which it is stored and looked up.
//! *Invariant:* all spellings of one GTIN (EAN-8, UPC-A, UPC-A less its leading zero, EAN-13,
//! GTIN-14) have one form; whatever is no GTIN stays as it was read, to the letter.

use std::fmt;

/// Longest barcode that is kept, in bytes.
pub const MAX_BARCODE_BYTES: usize = 80;

/// A barcode: a GTIN padded to 14 digits, or the text of any other symbol.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Barcode(String);

/// Why a text cannot be a barcode.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BadBarcode {
    /// Nothing, or longer than any symbol.
    #[error("is empty or longer than {MAX_BARCODE_BYTES} bytes")]
    Length,
    /// A character that no symbol holds.
    #[error("holds a control character")]
    Control,
}

impl Barcode {
    /// What a product carries, or a scanner read. A number of a GTIN's length whose last digit does
    /// not fit is some shop's own code: it stays as it is, and is found as it is.
    ///
    /// # Errors
    /// [`BadBarcode`].
    pub fn parse(text: &str) -> Result<Self, BadBarcode> {
        let code = clean(text)?;
        let digits = code.bytes().all(|byte| byte.is_ascii_digit());
        // Eleven digits are a UPC-A whose leading zero a spreadsheet ate.
        if digits && matches!(code.len(), 8 | 11..=14) && checks(code) {
            return Ok(Self(format!("{code:0>14}")));
        }
        Ok(Self(code.to_owned()))
    }

    /// The stored form.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Barcode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

fn clean(text: &str) -> Result<&str, BadBarcode> {
    let code = text.trim();
    if code.is_empty() || code.len() > MAX_BARCODE_BYTES {
        return Err(BadBarcode::Length);
    }
    // Group separators divide the elements of a GS1 code; they are part of what was read.
    if code.chars().any(|c| c.is_control() && c != '\u{1d}') {
        return Err(BadBarcode::Control);
    }
    Ok(code)
}

/// Whether the last digit fits the others (GS1 modulo 10; leading zeros add nothing, so that every
/// length is checked alike).
fn checks(digits: &str) -> bool {
    let mut values = digits.bytes().rev().map(|byte| u32::from(byte - b'0'));
    let last = values.next();
    let sum: u32 =
        values.zip([3, 1].into_iter().cycle()).map(|(value, weight)| value * weight).sum();
    last == Some((10 - sum % 10) % 10)
}

#[cfg(test)]
mod fuzz;
#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(text: &str) -> String {
        Barcode::parse(text).unwrap().to_string()
    }

    #[test]
    fn every_spelling_of_a_gtin_is_one_barcode() {
        for spelling in ["37600665605", "037600665605", "0037600665605", "00037600665605"] {
            assert_eq!(parsed(spelling), "00037600665605", "{spelling}");
        }
        assert_eq!(parsed(" 96385074 "), "00000096385074");
        assert_eq!(parsed("4006381333931"), "04006381333931");
    }

    #[test]
    fn a_number_whose_check_digit_does_not_fit_is_some_shops_own_code() {
        assert_eq!(parsed("4006381333930"), "4006381333930");
        assert_eq!(parsed("37600665606"), "37600665606");
    }

    #[test]
    fn what_is_no_gtin_stays_as_it_was_read() {
        for text in ["85123A", "gift_0001_20", "12345", "12345678901", "BANK CHARGES", "رف-٣"] {
            assert_eq!(parsed(text), text);
        }
    }

    #[test]
    fn nothing_overlong_or_control_characters_are_no_barcode() {
        assert_eq!(Barcode::parse("  "), Err(BadBarcode::Length));
        assert_eq!(Barcode::parse(&"x".repeat(81)), Err(BadBarcode::Length));
        assert_eq!(Barcode::parse("a\u{7}b"), Err(BadBarcode::Control));
    }
}
