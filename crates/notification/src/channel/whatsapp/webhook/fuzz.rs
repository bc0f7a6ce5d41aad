//! Webhooks of a channel that adds fields as it likes.

use proptest::prelude::*;
use serde_json::{Map, json};

use super::*;

fn leaf() -> impl Strategy<Value = Value> {
    prop_oneof![
        Just(Value::Null),
        any::<i64>().prop_map(Value::from),
        any::<f64>().prop_map(Value::from),
        "[0-9]{1,25}|\\PC{0,20}".prop_map(Value::from),
    ]
}

fn anything() -> impl Strategy<Value = Value> {
    leaf().prop_recursive(3, 16, 3, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..3).prop_map(Value::from),
            prop::collection::btree_map("code|title|body|[a-z_]{1,8}", inner, 0..3)
                .prop_map(|map| map.into_iter().collect::<Map<_, _>>().into()),
        ]
    })
}

/// One update: mostly what the channel documents, with anything in its fields.
fn status() -> impl Strategy<Value = Value> {
    let word =
        prop_oneof!["sent|delivered|read|failed|played|paused".prop_map(Value::from), leaf()];
    let errors = prop::collection::vec(anything(), 0..2);
    let known = (word, leaf(), leaf(), leaf(), errors).prop_map(|(word, id, at, data, errors)| {
        json!({"id": id, "status": word, "timestamp": at, "biz_opaque_callback_data": data,
               "errors": errors, "pricing": {"billable": true}})
    });
    prop_oneof![4 => known, 1 => anything()]
}

fn with(statuses: &[Value], messages: &[Value]) -> Value {
    let value = json!({"statuses": statuses, "messages": messages});
    json!({"entry": [{"changes": [{"field": "messages", "value": value}]}]})
}

proptest! {
    #[test]
    fn no_bytes_bring_the_reader_down(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
        drop(read(&bytes));
    }

    #[test]
    fn no_json_brings_it_down(body in anything()) {
        drop(read(body.to_string().as_bytes()));
        drop(read(json!({"entry": body}).to_string().as_bytes()));
        drop(read(json!({"entry": [{"changes": body}]}).to_string().as_bytes()));
    }

    /// Each update is read or counted as skipped; none disappears.
    #[test]
    fn every_update_is_read_or_counted(statuses in prop::collection::vec(status(), 0..8)) {
        let told = read(with(&statuses, &[]).to_string().as_bytes());
        prop_assert_eq!(told.receipts.len() + told.skipped, statuses.len());
    }

    /// Nobody is signed off by anything but a word that says so, from something like a phone.
    #[test]
    fn only_a_phone_that_says_stop_is_signed_off(
        from in "\\+?[0-9]{0,20}|\\PC{0,10}",
        text in "\\PC{0,30}|stop|إيقاف|STOP\\.",
    ) {
        let message = json!({"from": from, "id": "w", "type": "text", "text": {"body": text}});
        let told = read(with(&[], &[message]).to_string().as_bytes());
        for phone in told.stops {
            let digits = phone.trim_start_matches('+');
            prop_assert!((7..=15).contains(&digits.len()), "{} signed off", phone);
            prop_assert!(digits.bytes().all(|byte| byte.is_ascii_digit()), "{}", phone);
            let letters: String = text.chars().filter(|c| c.is_alphanumeric()).collect();
            prop_assert!((4..=20).contains(&letters.chars().count()), "{text:?} signed off");
        }
    }
}
