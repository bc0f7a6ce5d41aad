//! A sandbox that is killed goes on where it was.

use std::path::Path;

use serde_json::json;
use tokio::runtime::Runtime;

use crate::support::{Api, Receiver, changed, send_request, start_in, states};
use crate::whatsapp::{subscribe, template_message, told};

/// Starts a sandbox in a runtime of its own, uses it, and drops the runtime with every task in it:
/// nothing is closed, flushed or waited for.
fn used_and_killed(folder: &Path, speed: f64, using: impl AsyncFnOnce(Api, Api)) {
    let runtime = Runtime::new().unwrap();
    runtime.block_on(async {
        let sandbox = start_in(folder, speed).await;
        let courier = Api::new(sandbox.courier_url(), "key");
        let whatsapp = Api::new(sandbox.whatsapp_url(), "Bearer token");
        using(courier, whatsapp).await;
        std::mem::forget(sandbox);
    });
    runtime.shutdown_background();
}

#[test]
fn deliveries_and_their_webhooks_to_come_survive_a_kill() {
    let folder = tempfile::tempdir().unwrap();
    let outside = Runtime::new().unwrap();
    let hook = outside.block_on(Receiver::start(""));
    let request = changed(send_request("ORD-1001-S1"), json!({"webhookUrl": hook.url}));
    used_and_killed(folder.path(), 100.0, async |courier, _| {
        courier.create(request).await;
        hook.wait_for_count(2).await;
        courier.fault(json!({"fault": "rto", "times": 2})).await;
    });
    outside.block_on(async {
        let sandbox = start_in(folder.path(), 100.0).await;
        let courier = Api::new(sandbox.courier_url(), "key");
        let all = hook.wait_for_state(45).await;
        // What was in flight at the kill may come a second time, never not at all.
        let mut distinct = states(&all);
        distinct.dedup();
        assert_eq!(distinct, [20, 21, 24, 30, 41, 45]);
        let (status, answer) =
            courier.post(crate::support::CREATE, send_request("ORD-1001-S1")).await;
        assert_eq!((status, &answer["errorCode"]), (400, &json!("11000")));
        let (_, faults) = courier.get("/_control/faults").await;
        assert_eq!(faults["armed"], json!([{"fault": "rto", "times": 2, "options": {}}]));
        sandbox.stop().await;
    });
}

#[test]
fn webhooks_nobody_took_before_the_kill_are_sent_after_it() {
    let folder = tempfile::tempdir().unwrap();
    let outside = Runtime::new().unwrap();
    let hook = outside.block_on(Receiver::start(""));
    hook.answer_next(&[503; 3]);
    let request = changed(send_request("ORD-1001-S1"), json!({"webhookUrl": hook.url}));
    used_and_killed(folder.path(), 100.0, async |courier, _| {
        courier.create(request).await;
        hook.wait_for_count(1).await;
    });
    outside.block_on(async {
        let sandbox = start_in(folder.path(), 100.0).await;
        let courier = Api::new(sandbox.courier_url(), "key");
        crate::support::eventually(|| async {
            let (_, list) = courier.get("/_control/webhooks").await;
            let list = list["webhooks"].as_array()?.clone();
            (list.len() == 6 && list.iter().all(|hook| hook["delivered"] == true)).then_some(())
        })
        .await;
        sandbox.stop().await;
    });
}

#[test]
fn accepted_messages_and_their_receipts_to_come_survive_a_kill() {
    let folder = tempfile::tempdir().unwrap();
    let outside = Runtime::new().unwrap();
    let hook = outside.block_on(Receiver::start("verify-me"));
    used_and_killed(folder.path(), 20.0, async |_, whatsapp| {
        subscribe(&whatsapp, &hook.url).await;
        let (status, _) = whatsapp.post("/v24.0/1065/messages", template_message()).await;
        assert_eq!(status, 200);
        hook.wait_for_count(1).await;
    });
    outside.block_on(async {
        let sandbox = start_in(folder.path(), 20.0).await;
        let whatsapp = Api::new(sandbox.whatsapp_url(), "Bearer token");
        hook.wait_for(|list| told(list).last().is_some_and(|status| status == "read")).await;
        let messages = whatsapp.messages().await;
        let statuses = messages[0]["statuses"].as_array().unwrap();
        let statuses: Vec<_> = statuses.iter().map(|one| one["status"].clone()).collect();
        assert_eq!(statuses, ["sent", "delivered", "read"]);
        sandbox.stop().await;
    });
}

#[test]
fn a_webhook_that_was_taken_is_not_sent_again_and_one_held_back_keeps_its_time() {
    let folder = tempfile::tempdir().unwrap();
    let outside = Runtime::new().unwrap();
    let hook = outside.block_on(Receiver::start(""));
    let webhooks = async |courier: &Api| {
        let (_, list) = courier.get("/_control/webhooks").await;
        list["webhooks"].as_array().unwrap().clone()
    };
    used_and_killed(folder.path(), 10.0, async |courier, _| {
        let fault = json!({"fault": "reorder_webhooks", "reference": "ORD-LATE"});
        courier.fault(fault).await;
        for (unique, reference) in [("A-1", "ORD-1001"), ("A-2", "ORD-LATE")] {
            let changes = json!({"webhookUrl": hook.url, "businessReference": reference});
            let made = courier.create(changed(send_request(unique), changes)).await;
            let tracking = made["trackingNumber"].as_str().unwrap();
            let path = format!("/_control/deliveries/{tracking}/state");
            assert_eq!(courier.post(&path, json!({"state": 21})).await.0, 200);
        }
        crate::support::eventually(|| async {
            let marked = webhooks(&courier).await;
            marked.iter().any(|hook| hook["delivered"] == true).then_some(())
        })
        .await;
        assert_eq!(hook.so_far().len(), 1, "the other one is held back");
    });
    outside.block_on(async {
        let sandbox = start_in(folder.path(), 10.0).await;
        let courier = Api::new(sandbox.courier_url(), "key");
        crate::support::eventually(|| async {
            let marked = webhooks(&courier).await;
            marked.iter().all(|hook| hook["delivered"] == true).then_some(())
        })
        .await;
        let came = hook.so_far();
        let references: Vec<_> = came.iter().map(|hook| &hook.body["businessReference"]).collect();
        assert_eq!(references, ["ORD-1001", "ORD-LATE"]);
        sandbox.stop().await;
    });
}

#[test]
fn subscriptions_templates_and_counters_survive_a_kill() {
    let folder = tempfile::tempdir().unwrap();
    let outside = Runtime::new().unwrap();
    let hook = outside.block_on(Receiver::start("verify-me"));
    let paused = json!({"name": "order_shipped", "language": "ar", "body_variables": 3,
                        "status": "PAUSED"});
    let mut told = json!(null);
    used_and_killed(folder.path(), 100.0, async |courier, whatsapp| {
        subscribe(&whatsapp, &hook.url).await;
        assert_eq!(whatsapp.post("/_control/templates", paused.clone()).await.0, 200);
        let setting = json!({"url": hook.url, "header": "X-My-Name", "secret": "hidden"});
        assert_eq!(courier.post("/_control/webhook", setting).await.0, 200);
        courier.create(send_request("A-1")).await;
        told = courier.get("/_control/calls").await.1;
    });
    outside.block_on(async {
        let sandbox = start_in(folder.path(), 100.0).await;
        let courier = Api::new(sandbox.courier_url(), "key");
        let whatsapp = Api::new(sandbox.whatsapp_url(), "Bearer token");
        assert_eq!(courier.get("/_control/calls").await.1, told);
        assert_eq!(told["calls"]["POST /api/v2/deliveries"], 1);
        let (_, templates) = whatsapp.get("/_control/templates").await;
        assert!(templates["templates"].as_array().unwrap().contains(&paused));
        let heard = hook.wait_for_state(45).await;
        assert!(heard.iter().all(|webhook| webhook.headers["x-my-name"] == "hidden"));
        let inbound = json!({"from": "+201065685435", "name": "Sara", "text": "hello"});
        assert_eq!(whatsapp.post("/_control/inbound", inbound).await.0, 200);
        sandbox.stop().await;
    });
}
