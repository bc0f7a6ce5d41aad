//! Addresses, phones and e-mails as people type them, and as nobody should.

use proptest::prelude::*;

use super::*;
use tonic_types::StatusExt;

fn rules() -> Rules {
    Rules { country: phone::EGYPT, country_code: "EG".to_owned(), language: "ar".to_owned() }
}

fn words() -> impl Strategy<Value = String> {
    prop_oneof![
        "[a-zA-Z0-9 ,./-]{0,40}",
        "[\u{0600}-\u{06FF} 0-9]{0,40}",
        "\\PC{0,30}",
        any::<String>(),
        "x{190,210}",
    ]
}

fn any_address() -> impl Strategy<Value = common::Address> {
    let country = prop_oneof![Just(String::new()), "[a-zA-Z]{2}", words()];
    let place = (country, words(), words(), words());
    let lines = (words(), words(), words());
    let house = (words(), words(), words());
    (place, lines, house).prop_map(|(place, lines, house)| common::Address {
        country: place.0,
        governorate: place.1,
        city: place.2,
        district: place.3,
        line1: lines.0,
        line2: lines.1,
        postal_code: lines.2,
        building: house.0,
        floor: house.1,
        apartment: house.2,
    })
}

proptest! {
    /// An address is refused with the fields that are wrong, or read; what was read reads the same.
    #[test]
    fn an_address_is_read_or_refused_by_name(given in any_address()) {
        let mut wrong = Violations::default();
        let read = address(&mut wrong, "shipping_address", &given, &rules());
        if wrong.is_empty() {
            prop_assert!(!read.city.is_empty() && !read.line1.is_empty());
            prop_assert!(read.line1.chars().count() <= MAX_NAME);
            let mut again = Violations::default();
            prop_assert_eq!(&address(&mut again, "shipping_address", &read, &rules()), &read);
            prop_assert!(again.is_empty());
        } else {
            let told = wrong.done().unwrap_err();
            let violations = told.get_details_bad_request().unwrap().field_violations;
            prop_assert!(!violations.is_empty());
            for violation in violations {
                prop_assert!(violation.field.starts_with("shipping_address."), "{violation:?}");
            }
        }
    }

    #[test]
    fn a_phone_is_e164_or_refused(
        text in "\\+?[0-9 ()./-]{0,24}|[٠-٩+ ]{0,16}|0?1[0125][0-9]{8}|\\PC{0,20}|00[0-9]{0,40}",
    ) {
        if let Ok(e164) = phone::parse(&text, phone::EGYPT) {
            prop_assert!(e164.starts_with('+'), "{text:?} became {e164}");
            let digits = e164.trim_start_matches('+');
            prop_assert!(digits.bytes().all(|byte| byte.is_ascii_digit()), "{text:?}: {e164}");
            prop_assert!((7..=15).contains(&digits.len()), "{text:?} became {e164}");
            let again = phone::parse(&e164, phone::EGYPT);
            prop_assert_eq!(again.as_deref(), Ok(e164.as_str()), "{:?}", text);
        }
    }

    #[test]
    fn an_e_mail_is_read_or_refused(text in "\\PC{0,30}|[a-z.@ ]{0,20}") {
        let mut wrong = Violations::default();
        let read = email(&mut wrong, "email", &text);
        if wrong.is_empty() && !read.is_empty() {
            let mut again = Violations::default();
            prop_assert_eq!(email(&mut again, "email", &read), read);
            prop_assert!(again.is_empty());
        }
    }
}
