//! Webhooks of a courier that documents half of what it sends.

use proptest::prelude::*;
use serde_json::{Map, json};

use super::*;

fn leaf() -> impl Strategy<Value = Value> {
    prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<f64>().prop_map(Value::from),
        (0_i64..110).prop_map(Value::from),
        "[0-9]{1,30}|\\PC{0,20}".prop_map(Value::from),
    ]
}

fn anything() -> impl Strategy<Value = Value> {
    leaf().prop_recursive(3, 24, 4, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
            prop::collection::btree_map("[a-zA-Z_]{1,8}|code|value", inner, 0..4)
                .prop_map(|map| map.into_iter().collect::<Map<_, _>>().into()),
        ]
    })
}

const FIELDS: [&str; 12] = [
    "_id",
    "trackingNumber",
    "state",
    "type",
    "cod",
    "timeStamp",
    "updatedAt",
    "exceptionCode",
    "exceptionReason",
    "numberOfAttempts",
    "description",
    "deliveryPromiseDate",
];
const TYPES: [&str; 4] = ["SEND", "RTO", "EXCHANGE", "CUSTOMER_RETURN_PICKUP"];

/// An object with the names that mean something, and anything under them.
fn body() -> impl Strategy<Value = Value> {
    let field = (prop::sample::select(FIELDS.to_vec()), anything());
    let kind = prop::option::of(prop::sample::select(TYPES.to_vec()));
    (prop::collection::vec(field, 0..12), kind).prop_map(|(fields, kind)| {
        let mut body: Map<_, _> =
            fields.into_iter().map(|(name, value)| (name.to_owned(), value)).collect();
        if let Some(kind) = kind {
            body.insert("type".to_owned(), kind.into());
        }
        body.into()
    })
}

fn check(bytes: &[u8]) -> Result<(), TestCaseError> {
    let Ok(told) = parse(bytes) else { return Ok(()) };
    prop_assert!(!told.tracking_number.is_empty() || !told.delivery_id.is_empty());
    if told.reading == Plain(Delivered) {
        prop_assert_eq!(told.code.parse(), Ok(45_u16));
        prop_assert!(is_known(&told.kind) && told.kind != "RTO", "{} delivered", told.kind);
    } else {
        prop_assert_eq!(told.cod_collected, None);
    }
    prop_assert!(told.cod_collected.is_none_or(|amount| amount >= 0));
    Ok(())
}

proptest! {
    #[test]
    fn no_bytes_bring_the_reader_down(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
        check(&bytes)?;
    }

    #[test]
    fn no_json_brings_it_down_and_unknown_words_deliver_nothing(body in body()) {
        check(body.to_string().as_bytes())?;
        drop(read_back(&body));
    }

    #[test]
    fn a_webhook_in_pieces_is_refused_or_read(
        body in body(),
        at in any::<prop::sample::Index>(),
        with in prop::collection::vec(any::<u8>(), 0..4),
    ) {
        let mut bytes = body.to_string().into_bytes();
        let from = at.index(bytes.len());
        bytes.splice(from..from, with);
        check(&bytes)?;
    }

    /// Numbers come as numbers and as texts: both say the same.
    #[test]
    fn a_number_and_its_text_say_the_same(state in 0_u16..1_000, at in 0_i64..1 << 45) {
        let number = json!({"_id": "A", "type": "SEND", "state": state, "timeStamp": at});
        let text = json!({"_id": "A", "type": "SEND", "state": state.to_string(),
                          "timeStamp": at.to_string()});
        let read = |body: &Value| parse(body.to_string().as_bytes()).unwrap();
        prop_assert_eq!(read(&number), read(&text));
        prop_assert_eq!(read(&number).occurred_at_ms, Some(at));
    }
}
