//! Page tokens that nobody gave out.

use proptest::prelude::*;

use super::*;

proptest! {
    #[test]
    fn no_token_brings_the_reader_down(
        size in any::<u32>(),
        token in "\\PC{0,60}|[A-Za-z0-9_=-]{0,60}",
    ) {
        match Page::parse(size, &token) {
            Ok(page) => prop_assert!(page.size >= 1 && page.size <= MAX_SIZE),
            Err(no) => prop_assert_eq!(no.code(), tonic::Code::InvalidArgument),
        }
    }

    /// Tokens that are base64 of JSON, of the right kind and of others.
    #[test]
    fn a_token_of_any_json_is_a_key_or_refused(
        json in "(\\[|\\{|\"|null|-?[0-9]{1,30}|[a-z\",:\\]\\}]){0,12}",
    ) {
        let token = URL_SAFE_NO_PAD.encode(&json);
        if let Ok(Page { after: Some(after), .. }) = Page::parse(1, &token) {
            let read: Vec<String> = serde_json::from_str(&json).unwrap();
            prop_assert_eq!(after, read);
        }
    }

    #[test]
    fn a_key_of_any_text_leads_on(key in prop::collection::vec("\\PC{0,20}", 1..4)) {
        let page = Page::parse(1, "").unwrap();
        let token = page.cut(&mut vec![(), ()], |()| key.clone());
        prop_assert_eq!(Page::parse(1, &token).unwrap().after, Some(key));
    }
}
