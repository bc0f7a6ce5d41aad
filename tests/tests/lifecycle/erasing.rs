//! A person is erased for every service, also for one that read of it a moment ago.

use std::time::Duration;

use nexus_tests::harness::look::Look;
use nexus_tests::harness::shop::MUG;
use nexus_tests::harness::{Life, Nexus, Options, Wish, wait};
use serde_json::json;

const FORGOTTEN_WITHIN: Duration = Duration::from_secs(10);

#[tokio::test]
async fn an_erased_persons_label_and_messages_are_read_by_no_service() -> anyhow::Result<()> {
    let (nexus, shop) = Nexus::with_shop(Options::default(), 20).await?;
    let mut life = Life::begin(&shop, Wish::of(1, &[(MUG, 1)])).await?;
    life.walk().await?;
    life.until_status("delivered").await?;
    let order = life.order().await?;
    let shipment = order.list("shipments")[0].as_str().unwrap_or_default().to_owned();
    let label = format!("/v1/shipments/{shipment}:print-awb");
    let contact = order["contact"].text("contact_id").to_owned();
    let erase = format!("/v1/contacts/{contact}:erase");
    shop.rest.post(&erase, &json!({"reason": "asked by letter"})).await?;
    wait::until("the label to be unreadable", FORGOTTEN_WITHIN, async || {
        let answer = shop.rest.read(&label).await?;
        Ok((answer.body.text("reason") == "NO_LABEL").then_some(()))
    })
    .await?;
    wait::until("the messages to be unreadable", FORGOTTEN_WITHIN, async || {
        let messages = life.messages().await?;
        let silent = messages.iter().all(|message| message.text("body").is_empty());
        Ok((!messages.is_empty() && silent).then_some(()))
    })
    .await?;
    let certificate = shop.rest.get(&format!("/v1/contacts/{contact}/erasure-certificate")).await?;
    assert_eq!(certificate["key_destroyed"], json!(true));
    assert_eq!(life.order().await?["totals"], order["totals"]);
    nexus.verify().await
}
