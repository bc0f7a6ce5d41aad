//! When all has come to rest: what clients were told, what the sandboxes know, what is there.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use anyhow::ensure;
use nexus_tests::checks::{self, Violation};
use nexus_tests::harness::evidence::{Ledger, Told, received};
use nexus_tests::harness::shop::Shop;
use nexus_tests::harness::{Look, Nexus, Sandbox, wait};
use serde_json::Value;

/// Nothing moves any more: every webhook was taken, every message has its end.
pub(crate) async fn at_rest(nexus: &Nexus, shop: &Shop) -> anyhow::Result<()> {
    let sandbox = nexus.sandbox()?;
    wait::until("for the webhooks to be taken", Duration::from_secs(90), async || {
        let mut webhooks = sandbox.courier_webhooks().await?;
        webhooks.extend(sandbox.channel_webhooks().await?);
        Ok(webhooks.iter().all(|webhook| webhook.is("delivered")).then_some(()))
    })
    .await?;
    let returned = shop.rest.all("/v1/shipments?tracking_status=returned", "shipments").await?;
    let returned: BTreeSet<_> = returned.iter().map(|one| one.text("shipment_id")).collect();
    wait::until("for the messages to end", Duration::from_secs(90), async || {
        let messages = shop.rest.all("/v1/messages", "messages").await?;
        let went_back = |message: &Value| returned.contains(message.text("shipment_id"));
        let mut open = messages.iter().filter(|one| !has_ended(one, went_back(one), &messages));
        Ok(open.next().is_none().then_some(()))
    })
    .await
}

/// Read, failed, suppressed; or it stays unknown whether the channel took it: then it is listed as
/// such, and not sent again once the customer was told what came after it, or it came to nothing.
fn has_ended(message: &Value, went_back: bool, all: &[Value]) -> bool {
    let rank = |message: &Value| {
        let milestones = ["shipped", "out_for_delivery", "delivered"];
        milestones.iter().position(|milestone| *milestone == message.text("milestone"))
    };
    let told_since = || {
        all.iter().any(|other| {
            other.text("shipment_id") == message.text("shipment_id")
                && rank(other) > rank(message)
                && matches!(other.text("status"), "sent" | "delivered" | "read")
        })
    };
    match (message.text("status"), message.text("reason")) {
        ("read" | "failed" | "suppressed", _) | (_, "MAYBE_SENT_TWICE") => true,
        // After two answers that never came it is not sent a third time.
        ("requested", "SEND_UNKNOWN") => {
            went_back || message.number("attempts") >= 2 || told_since()
        }
        _ => false,
    }
}

/// Everything that is wrong.
pub(crate) async fn violations(
    nexus: &Nexus,
    shop: &Shop,
    earlier: &BTreeMap<String, Vec<Value>>,
) -> anyhow::Result<Vec<Violation>> {
    let sandbox = nexus.sandbox()?;
    let told = Told::by(&shop.rest).await?;
    let ledger = Ledger::of(&sandbox).await?;
    let parked = shop.rest.all("/v1/parked", "parked").await?;
    let history = shop.rest.history.all();
    let mut found = Vec::new();
    found.extend(checks::check_i1(&history, &told));
    found.extend(checks::check_i2(&history, &told));
    found.extend(checks::check_i4(earlier, &told.timelines));
    found.extend(checks::check_i7(&history));
    found.extend(checks::check_i9(&history));
    found.extend(checks::check_i10(&history));
    found.extend(checks::check_i11(&told));
    found.extend(checks::check_i15(&told, &parked, &ledger));
    found.extend(checks::check_i22(&told, &ledger));
    found.extend(checks::check_i24(&told, &ledger));
    found.extend(checks::check_i26(&told.messages, &ledger));
    found.extend(checks::check_stock(&received(&history), &told));
    found.extend(prints(&sandbox, shop, &told).await?);
    Ok(found)
}

async fn prints(sandbox: &Sandbox, shop: &Shop, told: &Told) -> anyhow::Result<Vec<Violation>> {
    let mut found = Vec::new();
    for shipment in told.shipments.iter().take(10) {
        let path = format!("/v1/shipments/{}:print-awb", shipment.text("shipment_id"));
        let before = sandbox.create_calls().await?;
        let mut labels = Vec::new();
        for _ in 0..2 {
            let answer = shop.rest.read(&path).await?;
            // One that was delivered before its label was fetched has none.
            ensure!(matches!(answer.status, 200 | 409), "{path}: {}", answer.body);
            labels.extend((answer.status == 200).then_some(answer.bytes));
        }
        found.extend(checks::check_i25(&labels, before, sandbox.create_calls().await?));
    }
    Ok(found)
}
