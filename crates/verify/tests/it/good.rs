//! A good story: one order from created to delivered and read, one cancelled, a short pick, a
//! returned AWB; every invariant has something to look at.

use nexus_proto::common::v1::{AllocatedLine, Allocation, SkuUnits};
use nexus_proto::fulfillment::v1 as floor;
use nexus_proto::ingress::v1::InboxReceived;
use nexus_proto::inventory::v1 as stock;
use nexus_proto::inventory::v1::posting::Account;
use nexus_proto::notification::v1 as tell;
use nexus_proto::order::v1 as order;
use nexus_proto::shipping::v1 as ship;
use uuid::Uuid;

use crate::story::{Story, id};

pub(crate) fn text(text: &str) -> String {
    text.to_owned()
}

pub(crate) fn mugs(units: u32) -> Vec<SkuUnits> {
    vec![SkuUnits { sku: text("MUG"), units }]
}

pub(crate) fn in_bin(units: u32) -> Vec<stock::BinUnitsFact> {
    vec![stock::BinUnitsFact { sku: text("MUG"), bin: text("A-1"), lot: String::new(), units }]
}

pub(crate) fn posting(account: Account, bin: &str, delta: i64) -> stock::Posting {
    let bin = text(bin);
    stock::Posting { account: account.into(), bin, sku: text("MUG"), delta, ..Default::default() }
}

pub(crate) fn received(receipt: &str, units: u32) -> stock::StockLedgerReceived {
    let delta = i64::from(units);
    let postings =
        vec![posting(Account::Bin, "A-1", delta), posting(Account::Supplier, "", -delta)];
    stock::StockLedgerReceived { receipt: text(receipt), lines: in_bin(units), postings }
}

pub(crate) fn reserved(order: &str, attempt: u32, units: u32) -> stock::StockLedgerReserved {
    let (reservation, order_id) = (format!("{order}/{attempt}"), text(order));
    stock::StockLedgerReserved { reservation, order_id, lines: mugs(units) }
}

pub(crate) fn released(order: &str, attempt: u32, units: u32) -> stock::StockLedgerReleased {
    stock::StockLedgerReleased {
        reservation: format!("{order}/{attempt}"),
        order_id: text(order),
        lines: mugs(units),
        reason: text("ORDER_CANCELLED"),
        given_up: vec![],
    }
}

pub(crate) fn picked(order: &str, units: u32) -> stock::StockLedgerPicked {
    let delta = i64::from(units);
    stock::StockLedgerPicked {
        reservation: format!("{order}/1"),
        order_id: text(order),
        lines: in_bin(units),
        pick_list_id: text("p1"),
        postings: vec![
            posting(Account::Bin, "A-1", -delta),
            posting(Account::Picked, "", delta),
            posting(Account::Held, "", -delta),
            posting(Account::Allocated, "A-1", -delta),
        ],
    }
}

/// The rest of what was promised is given back; where it was missing is noted.
pub(crate) fn short_picked(order: &str, units: u32) -> stock::StockLedgerShortPicked {
    let missing = stock::MissingFact { at: in_bin(units).pop(), reason: text("not on the shelf") };
    stock::StockLedgerShortPicked {
        reservation: format!("{order}/1"),
        order_id: text(order),
        pick_list_id: text("p1"),
        lines: mugs(units),
        given_up: in_bin(units),
        missing: vec![missing],
    }
}

/// Units that are not there, and that nobody was promised.
pub(crate) fn written_off(units: u32) -> stock::StockLedgerAdjusted {
    let delta = -i64::from(units);
    stock::StockLedgerAdjusted {
        sku: text("MUG"),
        bin: text("A-1"),
        delta,
        reason: text("found short: not on the shelf"),
        postings: vec![
            posting(Account::Bin, "A-1", delta),
            posting(Account::Difference, "", -delta),
        ],
        ..Default::default()
    }
}

pub(crate) fn confirmed(units: u32) -> order::OrderConfirmed {
    let line = AllocatedLine { line_id: text("1"), sku: text("MUG"), units };
    let allocation = vec![Allocation { warehouse: text("MAIN"), lines: vec![line] }];
    order::OrderConfirmed { attempt: 1, allocation, unstocked_line_ids: vec![] }
}

pub(crate) fn update(status: &str, at: i64) -> ship::ShipmentTrackingRecorded {
    ship::ShipmentTrackingRecorded {
        order_id: text("o1"),
        status: text(status),
        tracking_status: text(status),
        occurred_at_ms: at,
        confirmed: true,
        applied: true,
        awb: text("7001"),
        source: text("poll"),
        body_hash: vec![1; 32],
        ..ship::ShipmentTrackingRecorded::default()
    }
}

pub(crate) fn message(milestone: &str) -> tell::MessageRequested {
    tell::MessageRequested {
        order_id: text("o1"),
        shipment_id: text("s1"),
        contact_id: text("mona"),
        milestone: text(milestone),
        channel: text("whatsapp"),
        ..tell::MessageRequested::default()
    }
}

fn customer(story: &mut Story) {
    let consents = vec![order::ConsentFact {
        channel: text("whatsapp"),
        granted: true,
        source: text("checkout"),
    }];
    let mona = order::ContactRegistered { consents, ..Default::default() };
    story.add("order/contact-mona", "contact.Registered", &mona);
    let block = order::NumberSeriesBlockLeased { from: 1001, to: 1100, ..Default::default() };
    story.add("order/number_series-orders", "number_series.BlockLeased", &block);
}

pub(crate) fn created(number: &str) -> order::OrderCreated {
    order::OrderCreated {
        number: text(number),
        contact_id: text("mona"),
        recipient: Some(nexus_proto::common::v1::Sealed {
            key_id: text("contact-mona"),
            nonce: vec![7; 12],
            ciphertext: b"nobody reads this".to_vec(),
        }),
        ..order::OrderCreated::default()
    }
}

/// Three mugs are to be picked.
fn listed(story: &mut Story) {
    let lines = vec![floor::OpenedLine {
        line_id: text("1"),
        sku: text("MUG"),
        name: text("Red mug"),
        units: 3,
    }];
    let opened = floor::FulfillmentOpened {
        order_id: text("o1"),
        warehouse: text("MAIN"),
        reservation: text("o1/1"),
        lines,
        ..Default::default()
    };
    story.add("fulfillment/fulfillment-f1", "fulfillment.Opened", &opened);
    let allocated = stock::StockLedgerBinsAllocated {
        reservation: text("o1/1"),
        order_id: text("o1"),
        lines: in_bin(3),
        pick_list_id: text("p1"),
    };
    story.add("inventory/stock_ledger-MAIN", "stock_ledger.BinsAllocated", &allocated);
    let part = floor::GeneratedPart {
        order_id: text("o1"),
        fulfillment_id: text("f1"),
        reservation: text("o1/1"),
        ..Default::default()
    };
    let split = floor::GeneratedSplit { order_line_id: text("1"), units: 3, part: 0 };
    let line = floor::GeneratedLine {
        line_id: text("l1"),
        bin: text("A-1"),
        sku: text("MUG"),
        units: 3,
        split: vec![split],
        ..Default::default()
    };
    let generated =
        floor::PickListGenerated { warehouse: text("MAIN"), lines: vec![line], parts: vec![part] };
    story.add("fulfillment/pick_list-p1", "pick_list.Generated", &generated);
    let listed = floor::FulfillmentListed { pick_list_id: text("p1"), order_id: text("o1") };
    story.add("fulfillment/fulfillment-f1", "fulfillment.Listed", &listed);
}

/// Two are found, one is missing, and the ledger books it.
fn picked_and_packed(story: &mut Story) {
    let list = "fulfillment/pick_list-p1";
    for scan in ["scan-1", "scan-2"] {
        let scanned = floor::PickListScanned {
            scan_id: text(scan),
            line_id: text("l1"),
            units: 1,
            ..Default::default()
        };
        story.add(list, "pick_list.Scanned", &scanned);
    }
    let short = floor::PickListShortPicked {
        line_id: text("l1"),
        found: 2,
        missing: 1,
        reason: text("broken"),
        ..Default::default()
    };
    story.add(list, "pick_list.ShortPicked", &short);
    let take = floor::CompletedTake {
        order_line_id: text("1"),
        sku: text("MUG"),
        bin: text("A-1"),
        picked: 2,
        short: 1,
        ..Default::default()
    };
    let part = floor::CompletedPart {
        fulfillment_id: text("f1"),
        order_id: text("o1"),
        reservation: text("o1/1"),
        takes: vec![take],
    };
    let completed = floor::PickListCompleted { parts: vec![part], ..Default::default() };
    story.add(list, "pick_list.Completed", &completed);
    let ledger = "inventory/stock_ledger-MAIN";
    story.add(ledger, "stock_ledger.Picked", &picked("o1", 2));
    story.add(ledger, "stock_ledger.ShortPicked", &short_picked("o1", 1));
    story.add(ledger, "stock_ledger.Adjusted", &written_off(1));
    let line = floor::PickedLine { line_id: text("1"), sku: text("MUG"), picked: 2, short: 1 };
    let done = floor::FulfillmentPicked {
        pick_list_id: text("p1"),
        order_id: text("o1"),
        lines: vec![line],
    };
    let cause = story.add("fulfillment/fulfillment-f1", "fulfillment.Picked", &done);
    progressed(story, "f1", "picked", cause, "fulfillment.Picked");
    let parcel =
        floor::PackedParcel { parcel_id: text("x1"), contents: mugs(2), ..Default::default() };
    let packed = floor::FulfillmentPacked { order_id: text("o1"), parcels: vec![parcel] };
    story.add("fulfillment/fulfillment-f1", "fulfillment.Packed", &packed);
}

fn progressed(story: &mut Story, part: &str, stage: &str, cause: u128, cause_type: &str) {
    let fact = order::OrderPartProgressed {
        part_id: text(part),
        stage: text(stage),
        cause: id(cause),
        cause_type: text(cause_type),
        ..Default::default()
    };
    story.add_caused("order/order-o1", "order.PartProgressed", &fact, Some(cause));
}

/// The first AWB is refused, the second one lives.
fn labelled(story: &mut Story) {
    let shipment = "shipping/shipment-s1";
    let planned = ship::ShipmentPlanned {
        order_id: text("o1"),
        fulfillment_id: text("f1"),
        ..Default::default()
    };
    story.add(shipment, "shipment.Planned", &planned);
    let asked = |attempt| ship::ShipmentAwbRequested { attempt, ..Default::default() };
    story.add(shipment, "shipment.AwbRequested", &asked(1));
    let refused = ship::ShipmentAwbRefused { attempt: 1, ..Default::default() };
    story.add(shipment, "shipment.AwbRefused", &refused);
    story.add(shipment, "shipment.AwbRequested", &asked(2));
    let issued = ship::ShipmentAwbIssued { attempt: 2, awb: text("7001"), ..Default::default() };
    story.add(shipment, "shipment.AwbIssued", &issued);
    let stored = ship::ShipmentLabelStored { format: text("A6"), ..Default::default() };
    story.add(shipment, "shipment.LabelStored", &stored);
    let printed = ship::ShipmentLabelPrinted { copy: 1, format: text("A6") };
    story.add(shipment, "shipment.LabelPrinted", &printed);
}

fn delivered(story: &mut Story) {
    let shipment = "shipping/shipment-s1";
    let gone = ship::ShipmentHandedOver { order_id: text("o1"), ..Default::default() };
    let cause = story.add(shipment, "shipment.HandedOver", &gone);
    progressed(story, "s1", "shipped", cause, "shipment.HandedOver");
    let last = floor::FulfillmentHandedOver {
        order_id: text("o1"),
        parcel_id: text("x1"),
        shipment_id: text("s1"),
        last: true,
    };
    story.add("fulfillment/fulfillment-f1", "fulfillment.HandedOver", &last);
    let left = stock::StockLedgerShipped {
        reservation: text("o1/1"),
        order_id: text("o1"),
        shipment_id: text("s1"),
        lines: vec![stock::BinUnitsFact { sku: text("MUG"), units: 2, ..Default::default() }],
        postings: vec![posting(Account::Picked, "", -2), posting(Account::Customer, "", 2)],
    };
    story.add("inventory/stock_ledger-MAIN", "stock_ledger.Shipped", &left);
    let booked = ship::ShipmentDispatched { order_id: text("o1") };
    story.add(shipment, "shipment.Dispatched", &booked);
    told(story, "shipped");
    let inbox =
        InboxReceived { kind: text("courier"), body_hash: vec![9; 32], ..InboxReceived::default() };
    let webhook = story.add("ingress/inbox-acc-2026-09-21", "inbox.Received", &inbox);
    let by_webhook = ship::ShipmentTrackingRecorded {
        source: text("webhook"),
        inbox_event_id: Uuid::from_u128(webhook).to_string(),
        body_hash: vec![9; 32],
        ..update("out_for_delivery", 10)
    };
    story.add_caused(shipment, "shipment.TrackingRecorded", &by_webhook, Some(webhook));
    told(story, "out_for_delivery");
    story.add(shipment, "shipment.TrackingRecorded", &update("delivered", 20));
    let closed = ship::ShipmentClosed { order_id: text("o1"), tracking_status: text("delivered") };
    let cause = story.add(shipment, "shipment.Closed", &closed);
    told(story, "delivered");
    progressed(story, "s1", "delivered", cause, "shipment.Closed");
    let over = order::OrderClosed { outcome: text("delivered") };
    story.add("order/order-o1", "order.Closed", &over);
}

pub(crate) fn told(story: &mut Story, milestone: &str) {
    let aggregate = format!("notification/message-s1-{milestone}");
    story.add(&aggregate, "message.Requested", &message(milestone));
    let attempted = tell::MessageAttempted { attempt: 1, ..Default::default() };
    story.add(&aggregate, "message.Attempted", &attempted);
    let sent = tell::MessageSent { attempt: 1, ..Default::default() };
    story.add(&aggregate, "message.Sent", &sent);
    story.add(&aggregate, "message.Read", &tell::MessageRead::default());
}

/// A second order: confirmed and then cancelled, all given back.
fn cancelled(story: &mut Story) {
    let order = "order/order-o2";
    story.add(order, "order.Created", &created("NX-1002"));
    let asked = order::OrderConfirmationRequested { attempt: 1 };
    story.add(order, "order.ConfirmationRequested", &asked);
    story.add("inventory/stock_ledger-MAIN", "stock_ledger.Reserved", &reserved("o2", 1, 4));
    story.add(order, "order.Confirmed", &confirmed(4));
    let wanted = order::OrderCancelRequested { reason: text("changed her mind") };
    let cause = story.add(order, "order.CancelRequested", &wanted);
    let back = released("o2", 1, 4);
    let ledger = "inventory/stock_ledger-MAIN";
    story.add_caused(ledger, "stock_ledger.Released", &back, Some(cause));
    let over = order::OrderCancelled { reason: text("changed her mind") };
    story.add(order, "order.Cancelled", &over);
}

/// A third one is confirmed and waits.
fn waiting(story: &mut Story) {
    let order = "order/order-o3";
    story.add(order, "order.Created", &created("NX-1004"));
    let asked = order::OrderConfirmationRequested { attempt: 1 };
    let cause = story.add(order, "order.ConfirmationRequested", &asked);
    let ledger = "inventory/stock_ledger-MAIN";
    story.add_caused(ledger, "stock_ledger.Reserved", &reserved("o3", 1, 2), Some(cause));
    story.add(order, "order.Confirmed", &confirmed(2));
}

pub(crate) fn good() -> Story {
    let mut story = Story::default();
    customer(&mut story);
    let ledger = "inventory/stock_ledger-MAIN";
    story.add(ledger, "stock_ledger.Received", &received("first", 20));
    story.add("order/order-o1", "order.Created", &created("NX-1001"));
    let asked = order::OrderConfirmationRequested { attempt: 1 };
    story.add("order/order-o1", "order.ConfirmationRequested", &asked);
    story.add(ledger, "stock_ledger.Reserved", &reserved("o1", 1, 3));
    story.add("order/order-o1", "order.Confirmed", &confirmed(3));
    listed(&mut story);
    picked_and_packed(&mut story);
    labelled(&mut story);
    delivered(&mut story);
    cancelled(&mut story);
    waiting(&mut story);
    story
}

#[tokio::test]
async fn a_good_story_is_green_and_everything_was_looked_at() {
    let report = good().verified().await;
    assert!(report.is_green(), "{report}");
    for check in report.checks() {
        assert!(check.checked > 0, "{check}");
        assert!(check.to_string().contains(" ok  "), "{check}");
    }
}

#[tokio::test]
async fn empty_logs_are_green() {
    assert!(Story::default().verified().await.is_green());
}
