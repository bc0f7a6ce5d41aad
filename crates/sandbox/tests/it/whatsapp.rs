//! The channel: what it accepts, what it refuses, and the receipts it sends.

use aws_lc_rs::hmac;
use serde_json::{Value, json};

use crate::support::{Api, Received, Receiver, changed, world};

pub(crate) const SEND: &str = "/v24.0/1065/messages";
const APP_SECRET: &str = "app-secret";

pub(crate) fn template_message() -> Value {
    let text = |text: &str| json!({"type": "text", "text": text});
    json!({
        "messaging_product": "whatsapp", "recipient_type": "individual", "to": "+201065685435",
        "type": "template",
        "template": {"name": "order_shipped", "language": {"code": "ar", "policy": "deterministic"},
            "components": [
                {"type": "body", "parameters": [text("سارة"), text("ORD-1001"), text("5108002")]},
                {"type": "button", "sub_type": "url", "index": "0",
                 "parameters": [text("5108002")]},
            ]},
        "biz_opaque_callback_data": "ntf_01J9Z7:سارة",
    })
}

pub(crate) async fn subscribe(whatsapp: &Api, url: &str) {
    let body = json!({"url": url, "app_secret": APP_SECRET, "verify_token": "verify-me"});
    let (status, answer) = whatsapp.post("/_control/webhook", body).await;
    assert_eq!(status, 200, "{answer}");
}

pub(crate) fn status_of(webhook: &Received) -> Value {
    webhook.body["entry"][0]["changes"][0]["value"]["statuses"][0].clone()
}

/// The statuses that came, in order of arrival.
pub(crate) fn told(received: &[Received]) -> Vec<String> {
    received.iter().map(|one| status_of(one)["status"].as_str().unwrap().to_owned()).collect()
}

fn with_body(parameters: &Value) -> Value {
    json!({"template": {"components": [{"type": "body", "parameters": parameters}]}})
}

fn late_template(status: &str) -> Value {
    json!({"name": "order_late", "language": "en", "body_variables": 1, "status": status})
}

fn is_signed(webhook: &Received) -> bool {
    let key = hmac::Key::new(hmac::HMAC_SHA256, APP_SECRET.as_bytes());
    let header = webhook.headers["x-hub-signature-256"].to_str().unwrap();
    let tag = hex::decode(header.strip_prefix("sha256=").unwrap()).unwrap();
    hmac::verify(&key, &webhook.bytes, &tag).is_ok()
}

#[tokio::test]
async fn an_accepted_message_is_told_sent_delivered_and_read_with_signed_raw_bytes() {
    let world = world(100.0).await;
    let hook = Receiver::start("verify-me").await;
    subscribe(&world.whatsapp, &hook.url).await;
    let (status, answer) = world.whatsapp.post(SEND, template_message()).await;
    assert_eq!(status, 200, "{answer}");
    assert_eq!(answer["contacts"], json!([{"input": "+201065685435", "wa_id": "201065685435"}]));
    let wamid = answer["messages"][0]["id"].as_str().unwrap();
    assert!(wamid.starts_with("wamid.HBgM"));
    assert_eq!(answer["messages"][0]["message_status"], "accepted");

    let all = hook.wait_for_count(3).await;
    assert_eq!(told(&all), ["sent", "delivered", "read"]);
    for webhook in &all {
        assert!(is_signed(webhook));
        assert!(webhook.bytes.is_ascii(), "Meta escapes what is not ASCII");
        let told = status_of(webhook);
        assert_eq!((&told["id"], &told["recipient_id"]), (&json!(wamid), &json!("201065685435")));
        assert_eq!(told["biz_opaque_callback_data"], "ntf_01J9Z7:سارة");
        assert!(told["timestamp"].as_str().unwrap().parse::<i64>().unwrap() > 1_700_000_000);
        assert!(told.get("conversation").is_none(), "gone since v24");
        assert_eq!(told.get("pricing").is_some(), told["status"] != "read");
        let value = &webhook.body["entry"][0]["changes"][0]["value"];
        assert_eq!(value["metadata"]["phone_number_id"], "1065");
    }
    assert!(String::from_utf8_lossy(&all[0].bytes).contains(r"\u0633\u0627\u0631\u0629"));

    let messages = world.whatsapp.messages().await;
    assert_eq!(messages.len(), 1);
    assert_eq!(messages[0]["wamid"], wamid);
    assert_eq!(
        (&messages[0]["template"], &messages[0]["language"]),
        (&json!("order_shipped"), &json!("ar"))
    );
    assert_eq!(messages[0]["parameters"], json!(["سارة", "ORD-1001", "5108002"]));
    assert_eq!(messages[0]["biz_opaque_callback_data"], "ntf_01J9Z7:سارة");
}

#[tokio::test]
async fn a_wrong_message_is_refused_with_its_own_code_in_graphs_body() {
    let world = world(1.0).await;
    let text = |text: &str| json!({"type": "text", "text": text});
    let cases = [
        (json!({"messaging_product": null}), 400, 100),
        (json!({"to": null}), 400, 131_008),
        (json!({"to": "call me"}), 400, 131_009),
        (json!({"type": "text"}), 400, 131_047),
        (json!({"type": "image"}), 400, 131_051),
        (json!({"template": null}), 400, 131_008),
        (json!({"template": {"name": "order_lost"}}), 404, 132_001),
        (json!({"template": {"language": {"code": "en_US"}}}), 404, 132_001),
        (json!({"template": {"components": null}}), 400, 132_000),
        (with_body(&json!([text("a"), text("b")])), 400, 132_000),
        (with_body(&json!([text("a"), text("b"), text("")])), 400, 131_008),
        (with_body(&json!([text("a"), text("b"), text("c\nd")])), 400, 132_018),
        (with_body(&json!([text("a"), text("b"), {"type": "image"}])), 400, 132_012),
        (json!({"biz_opaque_callback_data": "x".repeat(513)}), 400, 100),
    ];
    for (changes, status, code) in cases {
        let (answered, answer) =
            world.whatsapp.post(SEND, changed(template_message(), changes.clone())).await;
        let error = &answer["error"];
        assert_eq!((answered, &error["code"]), (status, &json!(code)), "{changes}: {answer}");
        assert_eq!(error["type"], "OAuthException");
        assert_eq!(error["error_data"]["messaging_product"], "whatsapp");
        assert!(error["fbtrace_id"].is_string());
    }
    assert!(world.whatsapp.messages().await.is_empty());
}

#[tokio::test]
async fn a_token_that_begins_with_bad_or_is_none_is_190() {
    let world = world(1.0).await;
    for token in ["Bearer bad-token", "token-without-bearer", ""] {
        let api = world.whatsapp.with_authorization(token);
        let (status, answer) = api.post(SEND, template_message()).await;
        assert_eq!((status, &answer["error"]["code"]), (401, &json!(190)), "{token}");
        assert_eq!(api.get("/v24.0/1065").await.0, 401);
    }
    let (status, answer) = world.whatsapp.get("/v24.0/1065").await;
    assert_eq!((status, &answer["id"]), (200, &json!("1065")));
}

#[tokio::test]
async fn templates_can_be_added_and_paused() {
    let world = world(1.0).await;
    assert_eq!(world.whatsapp.post("/_control/templates", late_template("APPROVED")).await.0, 200);
    let message = changed(
        template_message(),
        json!({"template": {"name": "order_late", "language": {"code": "en"},
               "components": [{"type": "body",
                               "parameters": [{"type": "text", "text": "Sara"}]}]}}),
    );
    assert_eq!(world.whatsapp.post(SEND, message.clone()).await.0, 200);
    assert_eq!(world.whatsapp.post("/_control/templates", late_template("PAUSED")).await.0, 200);
    let (_, answer) = world.whatsapp.post(SEND, message).await;
    assert_eq!(answer["error"]["code"], 132_015);
    assert_eq!(world.whatsapp.post("/_control/templates", late_template("LOST")).await.0, 400);
    let (_, list) = world.whatsapp.get("/v24.0/1021/message_templates").await;
    assert_eq!(list["data"].as_array().unwrap().len(), 7);
}

#[tokio::test]
async fn a_webhook_is_kept_only_after_the_challenge_came_back() {
    let world = world(200.0).await;
    let hook = Receiver::start("another-token").await;
    let body = json!({"url": hook.url, "app_secret": APP_SECRET, "verify_token": "verify-me"});
    let (status, answer) = world.whatsapp.post("/_control/webhook", body).await;
    assert_eq!(status, 400);
    assert!(answer["message"].as_str().unwrap().contains("challenge"), "{answer}");
    let gone = json!({"url": "http://127.0.0.1:1/hook", "app_secret": "s", "verify_token": "t"});
    assert_eq!(world.whatsapp.post("/_control/webhook", gone).await.0, 400);

    let inbound = json!({"from": "+201065685435", "name": "Sara", "text": "hello"});
    assert_eq!(world.whatsapp.post("/_control/inbound", inbound).await.0, 400);
}

#[tokio::test]
async fn a_number_with_a_webhook_of_its_own_does_not_tell_the_common_one() {
    let world = world(200.0).await;
    let (common, own) = (Receiver::start("verify-me").await, Receiver::start("verify-me").await);
    subscribe(&world.whatsapp, &common.url).await;
    let body = json!({"url": own.url, "app_secret": APP_SECRET, "verify_token": "verify-me",
                      "phone_number_id": "1065"});
    assert_eq!(world.whatsapp.post("/_control/webhook", body).await.0, 200);
    world.whatsapp.post(SEND, template_message()).await;
    world.whatsapp.post("/v24.0/2000/messages", template_message()).await;
    own.wait_for_count(3).await;
    let heard = common.wait_for_count(3).await;
    let number = |one: &Received| {
        one.body["entry"][0]["changes"][0]["value"]["metadata"]["phone_number_id"].clone()
    };
    assert!(heard.iter().all(|one| number(one) == "2000"));
    assert!(own.so_far().iter().all(|one| number(one) == "1065"));
}

#[tokio::test]
async fn a_customer_who_writes_is_passed_on_signed_and_escaped() {
    let world = world(200.0).await;
    let hook = Receiver::start("verify-me").await;
    subscribe(&world.whatsapp, &hook.url).await;
    let inbound = json!({"from": "+201065685435", "name": "سارة", "text": "شكرا"});
    assert_eq!(world.whatsapp.post("/_control/inbound", inbound).await.0, 200);
    let all = hook.wait_for_count(1).await;
    assert!(is_signed(&all[0]) && all[0].bytes.is_ascii());
    let value = &all[0].body["entry"][0]["changes"][0]["value"];
    assert_eq!(value["contacts"][0]["profile"]["name"], "سارة");
    assert_eq!(value["messages"][0]["text"]["body"], "شكرا");
}
