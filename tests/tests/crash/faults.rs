//! What the courier and the channel do wrong meanwhile.

use nexus_tests::harness::Sandbox;
use nexus_tests::harness::random::Random;
use serde_json::json;

const COURIER_FAULTS: [(&str, &str); 8] = [
    ("lost_answer", "create"),
    ("server_error", "create"),
    ("lost_answer", "search"),
    ("server_error", "read"),
    ("lost_answer", "label"),
    ("duplicate_webhook", ""),
    ("reorder_webhooks", ""),
    ("exception", ""),
];
const CHANNEL_FAULTS: [&str; 5] =
    ["lost_answer", "server_error", "rate_limit", "duplicate_receipts", "reorder_receipts"];

/// Has them do a few things wrong soon; answers how often.
pub(crate) async fn arm(sandbox: &Sandbox, random: &mut Random, kill: u64) -> anyhow::Result<u64> {
    let mut armed_times = 0;
    for _ in 0..3 {
        let courier = random.one_of(&COURIER_FAULTS);
        let (fault, on) = courier.copied().unwrap_or(("lost_answer", "create"));
        let times = random.between(1, 4);
        let armed = match on {
            "" => json!({"fault": fault, "times": times}),
            on => json!({"fault": fault, "times": times, "on": on}),
        };
        sandbox.courier_fault(&armed).await?;
        let fault = random.one_of(&CHANNEL_FAULTS);
        let channel_times = random.between(1, 3);
        sandbox.channel_fault(&json!({"fault": fault, "times": channel_times})).await?;
        armed_times += times + channel_times;
    }
    if kill % 8 == 1 {
        sandbox.courier_fault(&json!({"fault": "rto"})).await?;
        sandbox.courier_fault(&json!({"fault": "rate_limited", "retry_after": 1})).await?;
        armed_times += 2;
    }
    Ok(armed_times)
}
