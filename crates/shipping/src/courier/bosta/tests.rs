//! How answers are understood, and what a create request holds.

use std::time::Duration;

use nexus_proto::common::v1::{Address, Recipient};
use reqwest::StatusCode;
use secrecy::SecretString;

use super::api::{understand, without_person};
use super::cities::{Place, city_of, districts_in};
use super::request;
use crate::courier::{Account, AwbRequest, CallError, WebhookTarget};
use crate::domain::courier_account::Mode;
use crate::domain::shipment::Parcel;

fn answer(status: u16, body: &str) -> Result<serde_json::Value, CallError> {
    understand(StatusCode::from_u16(status).unwrap(), body.as_bytes())
}

fn code_of(answer: Result<serde_json::Value, CallError>) -> String {
    match answer {
        Err(CallError::Refused(problem)) => problem.code,
        other => format!("{other:?}"),
    }
}

#[test]
fn created_and_ok_both_succeed_and_a_failure_inside_a_200_does_not() {
    for status in [200, 201] {
        assert_eq!(answer(status, r#"{"success":true,"data":7}"#), Ok(7.into()));
    }
    let coded = r#"{"success":false,"message":"District not found","errorCode":"3003"}"#;
    assert_eq!(code_of(answer(200, coded)), "3003");
    assert_eq!(code_of(answer(400, coded)), "3003");
}

#[test]
fn what_may_have_happened_is_never_called_refused() {
    for (status, body) in [
        (200, "<html>"),
        (200, r#"{"success":false,"message":"Something went wrong"}"#),
        (500, r#"{"success":false,"message":"Internal"}"#),
        (502, ""),
        (408, "{}"),
    ] {
        let unanswered = matches!(answer(status, body), Err(CallError::Unanswered { .. }));
        assert!(unanswered, "{status} {body}");
    }
}

#[test]
fn too_many_calls_say_when_to_come_back_also_inside_a_200() {
    let body = r#"{"success":false,"errorCode":429,"retryAfter":285}"#;
    for status in [429, 200] {
        let retry_after = Duration::from_secs(285);
        assert_eq!(answer(status, body), Err(CallError::Busy { retry_after }));
    }
}

#[test]
fn codes_are_compared_as_text_and_have_their_meaning() {
    let taken = r#"{"success":false,"message":"duplicate","errorCode":"11000"}"#;
    assert_eq!(answer(400, taken), Err(CallError::ReferenceTaken));
    let gone = r#"{"errorCode":1066,"message":"Delivery not found."}"#;
    for status in [400, 404] {
        assert_eq!(answer(status, gone), Err(CallError::NotFound));
    }
    let Err(CallError::Refused(problem)) =
        answer(401, r#"{"success":false,"message":"Invalid token","errorCode":"1028"}"#)
    else {
        panic!("a wrong key is a refusal")
    };
    assert_eq!(problem.hint, "check the API key in Settings → Integrations → Shipping");
    let Err(CallError::Refused(problem)) = answer(
        400,
        r#"{"success":false,"message":"dropOffAddress.firstLine is required","errorCode":777}"#,
    ) else {
        panic!("a schema error is a refusal")
    };
    assert_eq!(problem.field, "dropOffAddress.firstLine");
}

fn mona() -> Recipient {
    Recipient {
        name: "Mona Ali Hassan".to_owned(),
        phone: "+201001234567".to_owned(),
        email: String::new(),
        address: Some(Address {
            governorate: "Cairo".to_owned(),
            district: "Maadi".to_owned(),
            line1: "Rd 9".to_owned(),
            floor: "3".to_owned(),
            ..Address::default()
        }),
    }
}

fn parcel_for(recipient: Recipient) -> AwbRequest {
    AwbRequest {
        reference: "nx-1".to_owned(),
        order_number: "1001".to_owned(),
        recipient,
        notes: String::new(),
        parcel: Parcel {
            weight_grams: 1_200,
            contents: vec![("TSHIRT".to_owned(), 2)],
            ..Parcel::default()
        },
        cod: 1_499_000,
        currency: "EGP".to_owned(),
    }
}

fn account() -> Account {
    Account {
        mode: Mode::Sandbox,
        api_key: SecretString::from("key"),
        pickup_location: "loc-1".to_owned(),
        webhook: Some(WebhookTarget {
            url: "http://nexus.example/tracking-webhook/t".to_owned(),
            header: "x-nexus-secret".to_owned(),
            secret: SecretString::from("s"),
        }),
    }
}

fn maadi() -> Place {
    let rows = serde_json::json!([{"districtId": "d1", "districtName": "Maadi"}]);
    Place { city: city_of("Cairo", "").unwrap(), district: districts_in(&rows).pop() }
}

#[test]
fn a_create_request_is_in_the_couriers_own_forms() {
    let body = request::delivery(&account(), &parcel_for(mona()), &maadi()).unwrap();
    let at = |path: &str| body.pointer(path).cloned().unwrap_or_default();
    assert_eq!(at("/receiver/firstName"), "Mona");
    assert_eq!(at("/receiver/lastName"), "Ali Hassan");
    assert_eq!(at("/receiver/phone"), "01001234567");
    assert_eq!(at("/cod"), 149.9);
    assert_eq!(at("/dropOffAddress/city"), "Cairo");
    assert_eq!(at("/dropOffAddress/districtId"), "d1");
    assert_eq!(at("/dropOffAddress/firstLine"), "Rd 9, Maadi");
    assert_eq!(at("/uniqueBusinessReference"), "nx-1");
    assert_eq!(at("/businessReference"), "1001");
    assert_eq!(at("/businessLocationId"), "loc-1");
    assert_eq!(at("/webhookCustomHeaders/x-nexus-secret"), "s");
    assert_eq!(at("/specs/packageDetails/itemsCount"), 2);
}

#[test]
fn another_currency_and_a_missing_phone_are_refused_before_any_call() {
    let euros = AwbRequest { currency: "EUR".to_owned(), ..parcel_for(mona()) };
    let silent = parcel_for(Recipient { phone: String::new(), ..mona() });
    for (wrong, code) in [(euros, "CURRENCY"), (silent, "MISSING_FIELD")] {
        assert_eq!(code_of(request::delivery(&account(), &wrong, &maadi())), code);
    }
}

#[test]
fn the_couriers_words_lose_what_belongs_to_the_recipient() {
    let said = CallError::refused("777", "", "phone 01001234567 of Mona is wrong", "");
    let CallError::Refused(problem) = without_person(said, &mona()) else { panic!("refused") };
    assert_eq!(problem.detail, "phone … of … is wrong");
}
