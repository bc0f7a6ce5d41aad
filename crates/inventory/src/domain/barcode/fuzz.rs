//! What scanners, keyboards and spreadsheets make of a bar code.

use proptest::prelude::*;

use super::*;

proptest! {
    #[test]
    fn no_text_brings_it_down_and_a_form_is_its_own_form(text in any::<String>()) {
        if let Ok(code) = Barcode::parse(&text) {
            prop_assert!(code.as_str().len() <= MAX_BARCODE_BYTES);
            prop_assert_eq!(&Barcode::parse(code.as_str()).unwrap(), &code);
            prop_assert_eq!(code.as_str().trim(), code.as_str());
        }
    }

    /// Digits of about a GTIN's length, with what gets lost or added around them.
    #[test]
    fn spellings_of_one_gtin_are_one(body in "[0-9]{7,13}", ends in "[ \t\r\n]{0,2}") {
        let digits: u32 = body
            .bytes()
            .rev()
            .zip([3, 1].into_iter().cycle())
            .map(|(byte, weight)| u32::from(byte - b'0') * weight)
            .sum();
        let gtin = format!("{body}{}", (10 - digits % 10) % 10);
        let read = Barcode::parse(&format!("{ends}{gtin}{ends}")).unwrap();
        prop_assert_eq!(&read, &Barcode::parse(&gtin).unwrap());
        if matches!(gtin.len(), 8 | 11..=14) {
            prop_assert_eq!(read.as_str(), format!("{gtin:0>14}"));
            prop_assert_eq!(&Barcode::parse(&format!("{gtin:0>14}")).unwrap(), &read);
        } else {
            prop_assert_eq!(read.as_str(), gtin);
        }
    }

    /// Two texts are one bar code only when they are digits that differ in leading zeros.
    #[test]
    fn different_codes_stay_different(a in "[0-9A-Z]{1,14}", b in "[0-9A-Z]{1,14}") {
        let (one, other) = (Barcode::parse(&a).unwrap(), Barcode::parse(&b).unwrap());
        let same = a == b || a.trim_start_matches('0') == b.trim_start_matches('0');
        prop_assert!(one != other || same, "{a} and {b} are both {one}");
    }
}
