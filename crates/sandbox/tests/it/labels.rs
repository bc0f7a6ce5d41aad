//! Labels as the API gives them, and as the drawing itself is used.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use nexus_sandbox::label::{self, Label, Paper};
use serde_json::{Value, json};

use crate::support::{changed, send_request, world};

const MASS: &str = "/api/v2/deliveries/mass-awb";

fn pdf(answer: &Value) -> Vec<u8> {
    let bytes = STANDARD.decode(answer["data"].as_str().unwrap()).unwrap();
    assert!(bytes.starts_with(b"%PDF-"));
    bytes
}

/// Pages are objects of their own in what krilla writes.
fn pages(pdf: &[u8]) -> usize {
    let page = b"/Type /Page\n";
    let compact = b"/Type/Page/";
    pdf.windows(page.len()).filter(|bytes| bytes.starts_with(page)).count()
        + pdf.windows(compact.len()).filter(|bytes| bytes.starts_with(compact)).count()
}

#[tokio::test]
async fn mass_awb_takes_comma_text_by_tracking_number_or_id_and_answers_base64() {
    let world = world(1.0).await;
    let arabic = json!({"receiver": {"firstName": "سارة"},
                        "dropOffAddress": {"firstLine": "12 شارع النيل"}});
    let first = world.courier.create(changed(send_request("A-1"), arabic)).await;
    let second = world.courier.create(send_request("A-2")).await;
    let join = |field: &str| {
        format!("{}, {}", first[field].as_str().unwrap(), second[field].as_str().unwrap())
    };
    for body in [
        json!({"trackingNumbers": join("trackingNumber"), "requestedAwbType": "A6", "lang": "ar"}),
        json!({"ids": join("_id"), "requestedAwbType": "A4"}),
        json!({"trackingNumbers": join("trackingNumber"), "ids": "ignored"}),
    ] {
        let (status, answer) = world.courier.post(MASS, body.clone()).await;
        assert_eq!(status, 200, "{answer}");
        assert!(pdf(&answer).len() > 5_000, "{body}");
    }
    let path = format!("/api/v1/deliveries/awb/{}", first["_id"].as_str().unwrap());
    let (status, answer) = world.courier.get(&path).await;
    assert_eq!(status, 200);
    pdf(&answer);
}

#[tokio::test]
async fn mass_awb_refuses_lists_unknown_numbers_and_strange_paper() {
    let world = world(1.0).await;
    let made = world.courier.create(send_request("A-1")).await;
    let tracking = made["trackingNumber"].as_str().unwrap();
    for (body, code) in [
        (json!({"trackingNumbers": [tracking]}), json!("777")),
        (json!({"trackingNumbers": tracking, "requestedAwbType": "A5"}), json!("777")),
        (json!({}), json!("777")),
        (json!({"trackingNumbers": format!("{tracking},1")}), json!(1066)),
    ] {
        let (status, answer) = world.courier.post(MASS, body.clone()).await;
        assert_eq!((status, &answer["errorCode"]), (400, &code), "{body}");
    }
}

#[tokio::test]
async fn beyond_fifty_labels_come_by_mail_and_beyond_a_thousand_not_at_all() {
    let world = world(1.0).await;
    let made = world.courier.create(send_request("A-1")).await;
    let tracking = made["trackingNumber"].as_str().unwrap();
    let times = |count: usize| json!({"trackingNumbers": vec![tracking; count].join(",")});
    let (status, answer) = world.courier.post(MASS, times(51)).await;
    assert_eq!((status, &answer["data"]), (200, &Value::Null));
    assert!(answer["message"].as_str().unwrap().contains("email"));
    assert_eq!(world.courier.post(MASS, times(1_001)).await.0, 400);
}

#[test]
fn a6_has_a_label_a_page_and_a4_four() {
    let label = Label { tracking: "5108002196".into(), ..Label::default() };
    let five = vec![label; 5];
    assert_eq!(pages(&label::draw(&five, Paper::A6).unwrap()), 5);
    assert_eq!(pages(&label::draw(&five, Paper::A4).unwrap()), 2);
}

#[test]
fn a_label_with_far_too_much_text_is_still_drawn() {
    let label = Label {
        courier: "Bosta".into(),
        tracking: "5108002196".into(),
        recipient: "سارة ".repeat(100),
        phone: "+201065685435".into(),
        address: vec!["شارع ".repeat(300), "x".repeat(2_000), "😀 \u{0} end".into()],
        cod: Some("30000.00 EGP".into()),
        reference: Some("R".repeat(300)),
        contents: "long ".repeat(200),
        notes: "طويل ".repeat(200),
    };
    label::draw(&[label], Paper::A6).unwrap();
}

#[test]
fn a_tracking_number_that_is_no_bar_code_is_an_error() {
    let label = Label { tracking: "٥١٠٨".into(), ..Label::default() };
    assert!(label::draw(&[label], Paper::A6).is_err());
}
