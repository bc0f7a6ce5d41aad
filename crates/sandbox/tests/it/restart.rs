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
