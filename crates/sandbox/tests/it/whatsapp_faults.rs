//! Faults of the channel.

use serde_json::{Value, json};

use crate::support::{Receiver, world};
use crate::whatsapp::{SEND, status_of, subscribe, template_message, told};

#[tokio::test]
async fn faults_that_do_nothing_answer_as_said_and_accept_nothing() {
    let world = world(1.0).await;
    let cases: [(Value, u16, u64); 3] = [
        (json!({"fault": "rate_limit"}), 429, 130_429),
        (json!({"fault": "server_error"}), 500, 131_000),
        (json!({"fault": "refuse", "code": 131_056, "status": 400}), 400, 131_056),
    ];
    for (fault, status, code) in cases {
        world.whatsapp.fault(fault).await;
        let (answered, answer) = world.whatsapp.post(SEND, template_message()).await;
        assert_eq!((answered, &answer["error"]["code"]), (status, &json!(code)));
    }
    assert!(world.whatsapp.messages().await.is_empty());
    assert_eq!(world.whatsapp.post(SEND, template_message()).await.0, 200);
}

#[tokio::test]
async fn a_lost_answer_leaves_one_accepted_message_whose_receipts_come() {
    let world = world(200.0).await;
    let hook = Receiver::start("verify-me").await;
    subscribe(&world.whatsapp, &hook.url).await;
    world.whatsapp.fault(json!({"fault": "lost_answer"})).await;
    assert!(world.whatsapp.try_call("POST", SEND, Some(&template_message())).await.is_err());
    let all = hook.wait_for_count(3).await;
    assert_eq!(status_of(&all[0])["biz_opaque_callback_data"], "ntf_01J9Z7:سارة");
    assert_eq!(world.whatsapp.messages().await.len(), 1);
}

#[tokio::test]
async fn an_undeliverable_message_is_accepted_and_then_told_failed() {
    let world = world(200.0).await;
    let hook = Receiver::start("verify-me").await;
    subscribe(&world.whatsapp, &hook.url).await;
    world.whatsapp.fault(json!({"fault": "undeliverable"})).await;
    assert_eq!(world.whatsapp.post(SEND, template_message()).await.0, 200);
    let all = hook.wait_for_count(1).await;
    assert_eq!(told(&all), ["failed"]);
    assert_eq!(status_of(&all[0])["errors"][0]["code"], 131_026);
}

#[tokio::test]
async fn receipts_can_come_last_one_first_twice_and_without_read() {
    let world = world(100.0).await;
    let hook = Receiver::start("verify-me").await;
    subscribe(&world.whatsapp, &hook.url).await;
    let mut ids = Vec::new();
    for fault in ["reorder_receipts", "duplicate_receipts", "no_read"] {
        world.whatsapp.fault(json!({"fault": fault})).await;
        let (_, answer) = world.whatsapp.post(SEND, template_message()).await;
        ids.push(answer["messages"][0]["id"].clone());
    }
    let all = hook.wait_for_count(3 + 6 + 2).await;
    let of = |id: &Value| -> Vec<String> {
        let own = all.iter().filter(|webhook| status_of(webhook)["id"] == *id);
        told(&own.cloned().collect::<Vec<_>>())
    };
    assert_eq!(of(&ids[0]), ["read", "delivered", "sent"]);
    assert_eq!(of(&ids[1]), ["sent", "sent", "delivered", "delivered", "read", "read"]);
    assert_eq!(of(&ids[2]), ["sent", "delivered"]);
}

#[tokio::test]
async fn what_is_no_fault_of_the_channel_is_refused() {
    let world = world(1.0).await;
    for body in [json!({"fault": "rto"}), json!({"fault": "no_read", "on": "send"}), json!({})] {
        assert_eq!(world.whatsapp.post("/_control/faults", body.clone()).await.0, 400, "{body}");
    }
}
