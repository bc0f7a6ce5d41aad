//! The whole way of an order, seen from all sides.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use nexus_tests::checks;
use nexus_tests::harness::evidence::{Ledger, Told};
use nexus_tests::harness::shop::{ALEX, CAIRO, LAMP, MUG, Stock};
use nexus_tests::harness::{Life, Look, Nexus, Options, Shop, Wish, label, wait};
use serde_json::Value;

const STATUSES: [&str; 7] =
    ["pending", "confirmed", "processing", "picked", "packed", "shipped", "delivered"];
/// Slow enough that the courier has nothing to say before the parcel is handed over.
const SPEED: f64 = 5.0;

const EVENTS: [&str; 26] = [
    "order.Created",
    "order.ConfirmationRequested",
    "stock_ledger.Reserved",
    "order.Confirmed",
    "fulfillment.Opened",
    "stock_ledger.BinsAllocated",
    "pick_list.Generated",
    "fulfillment.Listed",
    "pick_list.Assigned",
    "pick_list.Started",
    "pick_list.Scanned",
    "pick_list.Completed",
    "stock_ledger.Picked",
    "fulfillment.Picked",
    "fulfillment.Packed",
    "shipment.Planned",
    "shipment.AwbRequested",
    "shipment.AwbIssued",
    "shipment.LabelStored",
    "shipment.LabelPrinted",
    "shipment.HandedOver",
    "stock_ledger.Shipped",
    "shipment.TrackingRecorded",
    "message.Requested",
    "message.Sent",
    "message.Read",
];

#[tokio::test]
async fn an_order_goes_through_all_seven_statuses_without_a_retry_or_a_wait() -> anyhow::Result<()>
{
    let (nexus, shop) = Nexus::with_shop(Options::at_speed(SPEED), 100).await?;
    let mut life = Life::begin(&shop, Wish::of(1, &[(MUG, 3), (LAMP, 2)])).await?;
    let at = |on_hand, reserved, available, picked| Stock { on_hand, reserved, available, picked };
    stock_is(&shop, at(100, 0, 100, 0)).await?;
    life.confirm().await?;
    stock_is(&shop, at(100, 3, 97, 0)).await?;
    life.pick().await?;
    stock_is(&shop, at(100, 0, 97, 3)).await?;
    life.pack().await?;
    life.ship().await?;
    let labels = life.print().await?;
    life.hand_over().await?;
    stock_is(&shop, at(97, 0, 97, 0)).await?;
    life.until_status("delivered").await?;
    assert_eq!(life.statuses, STATUSES);

    let order = life.order().await?;
    assert_eq!(order.text("tracking_status"), "delivered");
    assert_eq!(order.text("totals/cod_due/amount"), "749.50");
    let shipment = shop.rest.get(&format!("/v1/shipments/{}", life.shipments.concat())).await?;
    for label in labels {
        let codes = label::barcodes(&label)?;
        assert!(codes.contains(&shipment.text("tracking_number").to_owned()), "{codes:?}");
    }
    three_messages_are_read(&life).await?;
    the_log_is_what_the_courier_sent(&nexus, &life).await?;
    the_timeline_is_complete(&life.timeline().await?);
    nexus.verify().await
}

async fn stock_is(shop: &Shop, expected: Stock) -> anyhow::Result<()> {
    assert_eq!(shop.stock(MUG.sku, CAIRO).await?, expected);
    Ok(())
}

async fn three_messages_are_read(life: &Life) -> anyhow::Result<()> {
    let wait = Duration::from_secs(30);
    let messages = wait::until("for three messages to be read", wait, async || {
        let messages = life.messages().await?;
        let read = messages.iter().filter(|message| message.text("status") == "read").count();
        Ok((read == 3).then_some(messages))
    });
    let messages = messages.await?;
    let milestones: BTreeSet<_> = messages.iter().map(|one| one.text("milestone")).collect();
    assert_eq!(milestones, BTreeSet::from(["shipped", "out_for_delivery", "delivered"]));
    for message in &messages {
        assert_eq!(message.text("language"), "ar");
        assert!(!message.text("body").is_empty(), "{message}");
        // Receipts tell whole seconds.
        let second = |time: &str| message.text(time).get(..19).unwrap_or_default().to_owned();
        let times = ["sent_at", "delivered_at", "read_at"].map(second);
        assert!(times.iter().all(|time| !time.is_empty()) && times.is_sorted(), "{message}");
    }
    Ok(())
}

async fn the_log_is_what_the_courier_sent(nexus: &Nexus, life: &Life) -> anyhow::Result<()> {
    let told = Told::by(&nexus.rest()?).await?;
    let ledger = Ledger::of(&nexus.sandbox()?).await?;
    checks::none(&checks::check_i24(&told, &ledger))?;
    checks::none(&checks::check_i22(&told, &ledger))?;
    checks::none(&checks::check_i26(&told.messages, &ledger))?;
    let logs = told.logs.get(&life.shipments.concat()).map(Vec::as_slice).unwrap_or_default();
    let codes: Vec<_> = logs.iter().map(|log| log.text("code")).collect();
    assert_eq!(codes, ["20", "21", "24", "30", "41", "45"]);
    assert_eq!(logs.len(), ledger.courier_webhooks.len());
    assert!(logs.iter().all(|log| log.text("type") == "SEND" && !log.at("raw").is_null()));
    Ok(())
}

fn the_timeline_is_complete(timeline: &[Value]) {
    let seen: BTreeSet<_> = timeline.iter().map(|entry| entry.text("type")).collect();
    let missing: Vec<_> = EVENTS.iter().filter(|event| !seen.contains(**event)).collect();
    assert!(missing.is_empty(), "the timeline shows no {missing:?}, but {seen:?}");
    let services: BTreeSet<_> = timeline.iter().map(|entry| entry.text("service")).collect();
    let all = ["order", "inventory", "fulfillment", "shipping", "notification"];
    assert!(all.iter().all(|service| services.contains(service)), "{services:?}");
    let timelines = BTreeMap::from([("the order".to_owned(), timeline.to_vec())]);
    assert_eq!(checks::check_i4(&BTreeMap::new(), &timelines), []);
}

#[tokio::test]
async fn an_order_of_two_warehouses_and_several_parcels_is_delivered_whole() -> anyhow::Result<()> {
    let (nexus, shop) = Nexus::with_shop(Options::at_speed(SPEED), 10).await?;
    shop.warehouse(ALEX, 2).await?;
    shop.receive(ALEX, "second house", &[(&LAMP, 50)]).await?;
    // Cairo alone has the mugs, Alexandria alone enough lamps.
    let wish = Wish { parcels: 2, ..Wish::of(2, &[(MUG, 4), (LAMP, 20)]) };
    let mut life = Life::begin(&shop, wish).await?;
    life.walk().await?;
    assert_eq!(life.statuses, STATUSES);

    let fulfillments = life.fulfillments().await?;
    let houses: BTreeSet<_> = fulfillments.iter().map(|one| one.text("warehouse")).collect();
    assert_eq!(houses, BTreeSet::from([ALEX, CAIRO]));
    assert_eq!(life.pick_lists.len(), 2);
    assert_eq!(life.shipments.len(), 4);
    let order = life.order().await?;
    assert_eq!(order.list("allocation").len(), 2);
    assert_eq!(order.list("fulfillments").len(), 2);
    let mut cod = Vec::new();
    for shipment in &life.shipments {
        let shipment = shop.rest.get(&format!("/v1/shipments/{shipment}")).await?;
        cod.push(shipment.text("cod/amount").to_owned());
    }
    // One parcel carries all the cash.
    assert_eq!(cod.iter().filter(|amount| amount.parse() == Ok(0.0_f64)).count(), 3, "{cod:?}");
    assert!(cod.iter().any(|amount| amount == "3597.60"), "{cod:?}");
    let told = Told::by(&shop.rest).await?;
    let ledger = Ledger::of(&nexus.sandbox()?).await?;
    checks::none(&checks::check_i22(&told, &ledger))?;
    checks::none(&checks::check_i11(&told))?;
    let received = nexus_tests::harness::evidence::received(&shop.rest.history.all());
    checks::none(&checks::check_stock(&received, &told))?;
    nexus.verify().await
}

#[tokio::test]
async fn a_label_printed_again_is_the_same_and_costs_no_second_awb() -> anyhow::Result<()> {
    let (nexus, shop) = Nexus::with_shop(Options::at_speed(SPEED), 10).await?;
    let mut life = Life::begin(&shop, Wish::of(3, &[(MUG, 1)])).await?;
    life.confirm().await?;
    life.pick().await?;
    life.pack().await?;
    life.ship().await?;
    let sandbox = nexus.sandbox()?;
    let before = sandbox.create_calls().await?;
    let mut prints = Vec::new();
    for _ in 0..4 {
        prints.extend(life.print().await?);
    }
    checks::none(&checks::check_i25(&prints, before, sandbox.create_calls().await?))
}
