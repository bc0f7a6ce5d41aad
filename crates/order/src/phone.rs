//! Phones in any spelling, as E.164, and the keyed hash that names them in the log.

use aws_lc_rs::hmac;
use phonenumber::country;

/// Whose national spellings are understood.
pub(crate) type Country = country::Id;

#[cfg(test)]
pub(crate) const EGYPT: Country = country::EG;

/// How many digits an E.164 number has, with that of its country.
const DIGITS: std::ops::RangeInclusive<usize> = 7..=15;

/// Why a text is no phone.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("is not a phone number: write it like \"+20 100 123 4567\" or \"01001234567\"")]
pub(crate) struct NoPhone;

/// The Western digit for an Arabic-Indic or Persian one, or for itself.
pub(crate) fn western_digit(letter: char) -> Option<char> {
    let value = match letter {
        '0'..='9' => return Some(letter),
        '\u{0660}'..='\u{0669}' => u32::from(letter) - 0x0660,
        '\u{06F0}'..='\u{06F9}' => u32::from(letter) - 0x06F0,
        _ => return None,
    };
    char::from_digit(value, 10)
}

fn is_direction(letter: char) -> bool {
    matches!(letter, '\u{200E}' | '\u{200F}' | '\u{202A}'..='\u{202E}' | '\u{2066}'..='\u{2069}')
}

/// `text` as E.164 with `+`; national spellings are read as of `country`.
pub(crate) fn parse(text: &str, country: Country) -> Result<String, NoPhone> {
    let plain: String = text
        .trim()
        .chars()
        // Marks of writing direction come along when numbers are copied out of Arabic text.
        .filter(|letter| !is_direction(*letter))
        .map(|c| western_digit(c).unwrap_or(if c == '\u{FF0B}' { '+' } else { c }))
        .collect();
    let allowed = |c: char| c.is_ascii_digit() || "+-().\u{a0} /".contains(c);
    if plain.len() > 40 || !plain.chars().all(allowed) {
        return Err(NoPhone);
    }
    let spelled = match plain.strip_prefix("00") {
        Some(international) => format!("+{international}"),
        None => plain,
    };
    let number = phonenumber::parse(Some(country), &spelled).map_err(|_| NoPhone)?;
    if !number.is_valid() {
        return Err(NoPhone);
    }
    let e164 = number.format().mode(phonenumber::Mode::E164).to_string();
    // Some plans are taken to allow more digits than E.164 does; no network and no channel would.
    let fits = DIGITS.contains(&e164.trim_start_matches('+').len());
    if fits { Ok(e164) } else { Err(NoPhone) }
}

/// The keyed hash of a phone: what the log knows it by.
pub(crate) fn hmac(key: &hmac::Key, e164: &str) -> Vec<u8> {
    hmac::sign(key, e164.as_bytes()).as_ref().to_vec()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_spellings_of_a_phone_are_one_number() {
        for spelling in [
            "+201001234567",
            "01001234567",
            "0100 123 4567",
            "(0100) 123-4567",
            "00201001234567",
            "٠١٠٠١٢٣٤٥٦٧",
            "+٢٠ ١٠٠ ١٢٣ ٤٥٦٧",
            "۰۱۰۰۱۲۳۴۵۶۷",
            "\u{202A}+20 100 123 4567\u{202C}",
        ] {
            assert_eq!(parse(spelling, EGYPT).as_deref(), Ok("+201001234567"), "{spelling}");
        }
        assert_eq!(parse("+971 50 123 4567", EGYPT).as_deref(), Ok("+971501234567"));
    }

    #[test]
    fn a_number_longer_than_any_phone_is_refused() {
        assert_eq!(parse("004920100000000000", EGYPT), Err(NoPhone));
        assert_eq!(parse("+49 201 0000000", EGYPT).as_deref(), Ok("+492010000000"));
    }

    #[test]
    fn what_is_no_phone_is_refused() {
        for text in ["", "12", "hello", "0100123456789012", "+20 1", "01001234567 ext. 5"] {
            assert_eq!(parse(text, EGYPT), Err(NoPhone), "{text}");
        }
    }
}
