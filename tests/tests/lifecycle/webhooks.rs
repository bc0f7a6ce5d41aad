//! What couriers post: authenticated, kept, understood or shown as not understood.

use std::time::Duration;

use nexus_tests::checks;
use nexus_tests::harness::evidence::{Ledger, Told};
use nexus_tests::harness::shop::MUG;
use nexus_tests::harness::{Life, Look, Nexus, Options, Shop, Wish, wait};
use serde_json::{Value, json};

const PATIENCE: Duration = Duration::from_secs(20);

/// An account whose secret we know.
struct Door {
    http: reqwest::Client,
    url: String,
    header: String,
    secret: String,
}

impl Door {
    async fn open(shop: &mut Shop) -> anyhow::Result<Self> {
        let body = json!({"courier": "bosta", "name": "Ours", "mode": "sandbox",
                          "credentials": {"api_key": "sandbox-key-2"}});
        let account = shop.rest.post("/v1/courier-accounts", &body).await?;
        shop.courier_account = account.text("courier_account_id").to_owned();
        Ok(Self {
            http: reqwest::Client::builder().no_proxy().build()?,
            url: account.text("webhook_url").to_owned(),
            header: account.text("webhook_header").to_owned(),
            secret: account.text("webhook_secret").to_owned(),
        })
    }

    async fn post(&self, url: &str, secret: &str, body: String) -> anyhow::Result<u16> {
        let request = self.http.post(url).header("content-type", "application/json");
        let response = request.header(&self.header, secret).body(body).send().await?;
        Ok(response.status().as_u16())
    }

    async fn tell(&self, body: &Value) -> anyhow::Result<u16> {
        self.post(&self.url, &self.secret, body.to_string()).await
    }
}

fn update(tracking: &str, state: i64, at_ms: i64) -> Value {
    json!({"_id": "x", "trackingNumber": tracking, "state": state, "type": "SEND",
           "timeStamp": at_ms, "numberOfAttempts": 0})
}

async fn unmatched(shop: &Shop, count: usize) -> anyhow::Result<Vec<Value>> {
    wait::until("for unmatched updates", PATIENCE, async || {
        let rows = shop.rest.all("/v1/unmatched-courier-events", "events").await?;
        Ok((rows.len() >= count).then_some(rows))
    })
    .await
}

#[tokio::test]
async fn a_webhook_that_is_not_authentic_or_malformed_is_refused_and_leaves_nothing()
-> anyhow::Result<()> {
    let (nexus, mut shop) = Nexus::with_shop(Options::default(), 10).await?;
    let door = Door::open(&mut shop).await?;
    let good = update("900001", 41, 1_700_000_000_000).to_string();
    assert_eq!(door.post(&door.url, "wrong", good.clone()).await?, 401);
    assert_eq!(door.post(&door.url, "", good.clone()).await?, 401);
    let elsewhere = format!("{}/tracking-webhook/nobody", nexus.endpoints.ingress);
    assert_eq!(door.post(&elsewhere, &door.secret, good).await?, 404);
    assert_eq!(door.post(&door.url, &door.secret, "{\"state\": ".to_owned()).await?, 400);
    let large = format!("{{\"note\": \"{}\"}}", "x".repeat(70_000));
    assert_eq!(door.post(&door.url, &door.secret, large).await?, 413);

    // What is taken after them is the only thing there.
    assert_eq!(door.tell(&update("900002", 41, 1_700_000_000_001)).await?, 200);
    let rows = unmatched(&shop, 1).await?;
    let numbers: Vec<_> = rows.iter().map(|row| row.text("tracking_number")).collect();
    assert_eq!(numbers, ["900002"]);
    nexus.verify().await
}

#[tokio::test]
async fn an_authentic_update_nobody_understands_is_kept_and_shown() -> anyhow::Result<()> {
    let (nexus, mut shop) = Nexus::with_shop(Options::at_speed(1.0), 10).await?;
    let door = Door::open(&mut shop).await?;
    let strange = json!({"hello": "world", "trackingNumber": 900_003});
    assert_eq!(door.tell(&strange).await?, 200);
    let rows = unmatched(&shop, 1).await?;
    assert!(rows.iter().any(|row| row.text("raw/hello") == "world"), "{rows:?}");

    let mut life = Life::begin(&shop, Wish::of(1, &[(MUG, 1)])).await?;
    let tracking = on_its_way(&shop, &mut life).await?;
    assert_eq!(door.tell(&update(&tracking, 777, now_ms())).await?, 200);
    let logs = logs(&shop, &life, 1).await?;
    assert_eq!((logs.at("0/code").as_str(), logs.text("0/status")), (Some("777"), "unrecognised"));
    let order = life.order().await?;
    assert_eq!(order.text("status"), "shipped");
    nexus.verify().await
}

async fn on_its_way(shop: &Shop, life: &mut Life) -> anyhow::Result<String> {
    life.confirm().await?;
    life.pick().await?;
    life.pack().await?;
    life.ship().await?;
    life.print().await?;
    life.hand_over().await?;
    let shipment = shop.rest.get(&format!("/v1/shipments/{}", life.shipments.concat())).await?;
    Ok(shipment.text("tracking_number").to_owned())
}

async fn logs(shop: &Shop, life: &Life, count: usize) -> anyhow::Result<Value> {
    let path = format!("/v1/shipments/{}/awb_status_logs", life.shipments.concat());
    wait::until(&format!("for {count} log rows"), PATIENCE, async || {
        let rows = shop.rest.all(&path, "logs").await?;
        Ok((rows.len() >= count).then_some(Value::Array(rows)))
    })
    .await
}

fn now_ms() -> i64 {
    jiff::Timestamp::now().as_millisecond()
}

#[tokio::test]
async fn updates_may_come_twice_and_in_any_order_and_a_forged_end_changes_nothing()
-> anyhow::Result<()> {
    let (nexus, mut shop) = Nexus::with_shop(Options::at_speed(1.0), 10).await?;
    let door = Door::open(&mut shop).await?;
    let mut life = Life::begin(&shop, Wish::of(1, &[(MUG, 1)])).await?;
    let tracking = on_its_way(&shop, &mut life).await?;
    let start = now_ms();
    let (picked_up, moving, out) = (
        update(&tracking, 21, start + 1),
        update(&tracking, 30, start + 2),
        update(&tracking, 41, start + 3),
    );
    for told in [&out, &picked_up, &out, &moving, &picked_up] {
        assert_eq!(door.tell(told).await?, 200);
    }
    let rows = logs(&shop, &life, 5).await?;
    let rows = rows.as_array().cloned().unwrap_or_default();
    assert_eq!(rows.len(), 5, "a duplicate is a row of its own");
    assert_eq!(rows.iter().filter(|row| row.is("duplicate")).count(), 2);
    assert!(rows.iter().any(|row| row.is("late")), "{rows:?}");
    let path = format!("/v1/shipments/{}", life.shipments.concat());
    assert_eq!(shop.rest.get(&path).await?.text("tracking_status"), "out_for_delivery");

    // The courier, asked back, knows nothing of a delivery.
    assert_eq!(door.tell(&update(&tracking, 45, start + 4)).await?, 200);
    let rows = logs(&shop, &life, 6).await?;
    let rows = rows.as_array().cloned().unwrap_or_default();
    let forged = rows.iter().find(|row| row.text("code") == "45").cloned().unwrap_or_default();
    assert_eq!(forged.at("confirmed"), &json!(false), "{forged}");
    assert_eq!(shop.rest.get(&path).await?.text("tracking_status"), "out_for_delivery");
    assert_eq!(life.order().await?.text("status"), "shipped");
    nexus.verify().await
}

#[tokio::test]
async fn duplicates_and_overtaking_of_the_courier_leave_one_row_an_update() -> anyhow::Result<()> {
    let (nexus, shop) = Nexus::with_shop(Options::at_speed(10.0), 10).await?;
    let sandbox = nexus.sandbox()?;
    sandbox.courier_fault(&json!({"fault": "duplicate_webhook", "times": 2})).await?;
    sandbox.courier_fault(&json!({"fault": "reorder_webhooks", "times": 2})).await?;
    sandbox.channel_fault(&json!({"fault": "reorder_receipts", "times": 1})).await?;
    sandbox.channel_fault(&json!({"fault": "duplicate_receipts", "times": 1})).await?;
    let mut life = Life::begin(&shop, Wish::of(1, &[(MUG, 1)])).await?;
    life.walk().await?;
    wait::until("for all webhooks to be taken", Duration::from_secs(60), async || {
        let mut webhooks = sandbox.courier_webhooks().await?;
        webhooks.extend(sandbox.channel_webhooks().await?);
        Ok(webhooks.iter().all(|webhook| webhook.is("delivered")).then_some(()))
    })
    .await?;
    let messages = wait::until("for the messages to be read", PATIENCE, async || {
        let messages = life.messages().await?;
        let read = messages.iter().all(|one| matches!(one.text("status"), "read" | "suppressed"));
        Ok((read && messages.len() == 3).then_some(messages))
    });
    messages.await?;
    let sent = sandbox.courier_webhooks().await?.len();
    logs(&shop, &life, sent).await?;
    let told = Told::by(&shop.rest).await?;
    let ledger = Ledger::of(&sandbox).await?;
    checks::none(&checks::check_i24(&told, &ledger))?;
    checks::none(&checks::check_i26(&told.messages, &ledger))?;
    nexus.verify().await
}
