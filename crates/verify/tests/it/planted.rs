//! One violation a test, in an otherwise good story; it is found under its own invariant alone.

use nexus_proto::common::v1::SkuUnits;
use nexus_proto::fulfillment::v1 as floor;
use nexus_proto::ingress::v1::InboxReceived;
use nexus_proto::inventory::v1 as stock;
use nexus_proto::inventory::v1::posting::Account;
use nexus_proto::notification::v1 as tell;
use nexus_proto::order::v1 as order;
use nexus_proto::shipping::v1 as ship;
use nexus_proto::work::v1::WorkParked;
use nexus_verify::Invariant;
use prost::Message;

use crate::good::{
    confirmed, created, good, message, posting, received, released, reserved, short_picked, text,
    told, update, written_off,
};
use crate::story::Story;

const LEDGER: &str = "inventory/stock_ledger-MAIN";

fn asked(attempt: u32) -> order::OrderConfirmationRequested {
    order::OrderConfirmationRequested { attempt }
}

#[tokio::test]
async fn a_missing_commit_number_is_found() {
    let mut story = good();
    story.kind("pick_list.Scanned", 1).commit.number = 4;
    let line = story.breaks(Invariant::I3).await;
    assert!(line.contains("I3  VIOLATED at fulfillment/pick_list-p1 position"), "{line}");
    assert!(line.contains("number 4 follows on 2, not 3"), "{line}");
}

#[tokio::test]
async fn an_event_id_that_comes_twice_is_found_across_services() {
    let mut story = good();
    let first = story.kind("order.Created", 0).event().event_id.clone();
    story.kind("message.Read", 2).event().event_id = first;
    let line = story.breaks(Invariant::I3).await;
    assert!(line.contains("notification/message-s1-delivered"), "{line}");
}

#[tokio::test]
async fn a_commit_without_an_event_is_found() {
    let mut story = good();
    story.add("order/order-o4", "order.Created", &created("NX-1005"));
    let last = story.written.last_mut().unwrap();
    last.commit.entries[0].events.clear();
    let line = story.breaks(Invariant::I5).await;
    assert!(line.contains("order/order-o4"), "{line}");
}

#[tokio::test]
async fn bytes_that_are_no_commit_are_found() {
    let mut story = good();
    story.add("order/contact-ali", "contact.Registered", &order::ContactRegistered::default());
    story.written.last_mut().unwrap().instead = Some(vec![0xff; 40]);
    story.breaks(Invariant::I5).await;
}

/// Changes one stored byte after it was chained, where it still decodes.
fn flip(story: &mut Story, kind: &str, nth: usize) {
    let before: u64 = {
        let wanted = story.kind(kind, nth).clone();
        let same = |other: &&crate::story::Written| other.aggregate == wanted.aggregate;
        let all: Vec<_> =
            story.written.iter().filter(same).map(|w| w.commit.commit_id.clone()).collect();
        let place = all.iter().position(|commit| *commit == wanted.commit.commit_id).unwrap();
        u64::try_from(place).unwrap() + 1
    };
    let written = story.kind(kind, nth);
    let mut changed = written.commit.clone();
    changed.number = before;
    changed.previous_sha256 = Vec::new();
    changed.entries[0].cause.as_mut().unwrap().traceparent = text("somebody was here");
    written.instead = Some(changed.encode_to_vec());
}

#[tokio::test]
async fn a_changed_first_commit_is_named() {
    let mut story = good();
    flip(&mut story, "order.Created", 0);
    let at =
        story.written.iter().position(|w| w.commit.entries[0].events[0].r#type == "order.Created");
    let line = story.breaks(Invariant::I6).await;
    let position = at.unwrap() + 1;
    assert!(line.contains(&format!("order/order-o1 position {position}:")), "{line}");
}

#[tokio::test]
async fn a_changed_commit_in_the_middle_is_named_and_not_its_neighbours() {
    let mut story = good();
    flip(&mut story, "shipment.AwbIssued", 0);
    let at = story
        .written
        .iter()
        .position(|w| w.commit.entries[0].events[0].r#type == "shipment.AwbIssued");
    let line = story.breaks(Invariant::I6).await;
    let position = at.unwrap() + 1;
    assert!(line.contains(&format!("shipping/shipment-s1 position {position}:")), "{line}");
}

#[tokio::test]
async fn goods_that_are_picked_before_they_are_listed_are_found() {
    let story = good().without("fulfillment.Listed");
    let line = story.breaks(Invariant::I12).await;
    assert!(line.contains("fulfillment.Picked cannot follow while the goods are Ready"), "{line}");
}

#[tokio::test]
async fn a_parcel_that_is_handed_over_without_an_awb_is_found() {
    let mut story = good();
    let planned = ship::ShipmentPlanned { order_id: text("o3"), ..Default::default() };
    story.add("shipping/shipment-s2", "shipment.Planned", &planned);
    let gone = ship::ShipmentHandedOver { order_id: text("o3"), ..Default::default() };
    story.add("shipping/shipment-s2", "shipment.HandedOver", &gone);
    let line = story.breaks(Invariant::I12).await;
    assert!(line.contains("shipment.HandedOver cannot follow while the AWB is Planned"), "{line}");
}

#[tokio::test]
async fn a_second_awb_beside_a_live_one_is_found() {
    let mut story = good();
    let again = ship::ShipmentAwbRequested { attempt: 3, ..Default::default() };
    let issued = ship::ShipmentAwbIssued { attempt: 3, awb: text("7002"), ..Default::default() };
    let planned = ship::ShipmentPlanned { order_id: text("o3"), ..Default::default() };
    let s2 = "shipping/shipment-s2";
    story.add(s2, "shipment.Planned", &planned);
    for attempt in [1, 2] {
        story.add(
            s2,
            "shipment.AwbRequested",
            &ship::ShipmentAwbRequested { attempt, ..again.clone() },
        );
        story.add(s2, "shipment.AwbIssued", &ship::ShipmentAwbIssued { attempt, ..issued.clone() });
    }
    let line = story.breaks(Invariant::I12).await;
    assert!(line.contains("shipment.AwbRequested cannot follow while the AWB is Live"), "{line}");
}

#[tokio::test]
async fn an_order_that_is_confirmed_without_being_asked_is_found() {
    let mut story = good();
    story.kind("order.ConfirmationRequested", 2).event().r#type = text("order.NoteAdded");
    let line = story.breaks(Invariant::I12).await;
    assert!(line.contains("order/order-o3"), "{line}");
}

#[tokio::test]
async fn a_part_that_progressed_without_its_cause_is_found() {
    let mut story = good();
    let forged = |fact: &mut order::OrderPartProgressed| fact.cause = crate::story::id(77_777);
    story.kind("order.PartProgressed", 1).change(forged);
    let line = story.breaks(Invariant::I12).await;
    assert!(line.contains("which stands in no log"), "{line}");
}

#[tokio::test]
async fn a_cancelled_order_that_lives_on_is_found() {
    let mut story = good();
    story.add("order/order-o2", "order.ConfirmationRequested", &asked(2));
    story.breaks(Invariant::I13).await;
}

#[tokio::test]
async fn a_courier_that_takes_an_end_back_is_found_unless_it_is_a_listed_correction() {
    let mut story = good();
    story.add("shipping/shipment-s1", "shipment.TrackingRecorded", &update("in_transit", 30));
    let line = story.breaks(Invariant::I13).await;
    assert!(line.contains("ended it as delivered, now it is in_transit"), "{line}");

    let mut story = good();
    let warned = ship::ShipmentTrackingRecorded {
        warning: text("RETURNING_AFTER_DELIVERED"),
        ..update("returning", 30)
    };
    story.add("shipping/shipment-s1", "shipment.TrackingRecorded", &warned);
    let report = story.verified().await;
    assert!(report.is_green(), "{report}");
}

#[tokio::test]
async fn a_late_update_may_change_what_came_out() {
    let mut story = good();
    let returned = ship::ShipmentTrackingRecorded { late: true, ..update("returned", 15) };
    story.add("shipping/shipment-s1", "shipment.TrackingRecorded", &returned);
    let report = story.verified().await;
    assert!(report.is_green(), "{report}");
}

#[tokio::test]
async fn stock_that_a_cancelled_order_still_holds_is_found() {
    let story = good().without("stock_ledger.Released");
    let line = story.breaks(Invariant::I16).await;
    assert!(line.contains("o2/1 has 4 held and 0 picked"), "{line}");
}

#[tokio::test]
async fn a_live_awb_of_a_cancelled_order_is_found_unless_somebody_is_asked_to_see_to_it() {
    let mut story = good();
    let planned = ship::ShipmentPlanned { order_id: text("o2"), ..Default::default() };
    story.add("shipping/shipment-s2", "shipment.Planned", &planned);
    let asked = ship::ShipmentAwbRequested { attempt: 1, ..Default::default() };
    story.add("shipping/shipment-s2", "shipment.AwbRequested", &asked);
    story.breaks(Invariant::I16).await;

    let parked = WorkParked { key: text("o2"), ..Default::default() };
    story.add("shipping/work-w1", "work.Parked", &parked);
    assert!(story.verified().await.is_green());
}

#[tokio::test]
async fn a_unit_from_nowhere_is_found_in_the_postings() {
    let mut story = good();
    let more = |it: &mut stock::StockLedgerReceived| {
        it.postings = vec![posting(Account::Bin, "A-1", 21), posting(Account::Supplier, "", -21)];
    };
    story.kind("stock_ledger.Received", 0).change(more);
    let line = story.breaks(Invariant::I17).await;
    assert!(line.contains("BIN MUG A-1: the lines move 20, the postings 21"), "{line}");
}

#[tokio::test]
async fn postings_that_do_not_sum_to_nothing_are_found() {
    let mut story = good();
    let less = |it: &mut stock::StockLedgerShipped| {
        it.postings.pop();
    };
    story.kind("stock_ledger.Shipped", 0).change(less);
    story.breaks(Invariant::I17).await;
}

#[tokio::test]
async fn a_bin_that_gives_more_than_it_has_is_found() {
    let mut story = good();
    let moved = stock::StockLedgerMoved {
        sku: text("MUG"),
        from_bin: text("B-9"),
        to_bin: text("A-1"),
        units: 1,
        postings: vec![posting(Account::Bin, "B-9", -1), posting(Account::Bin, "A-1", 1)],
        ..Default::default()
    };
    story.add(LEDGER, "stock_ledger.Moved", &moved);
    story.breaks(Invariant::I17).await;
}

#[tokio::test]
async fn goods_that_vanish_from_under_a_promise_are_found() {
    let mut story = good();
    let adjusted = stock::StockLedgerAdjusted {
        sku: text("MUG"),
        bin: text("A-1"),
        delta: -16,
        reason: text("broken"),
        postings: vec![posting(Account::Bin, "A-1", -16), posting(Account::Difference, "", 16)],
        ..Default::default()
    };
    story.add(LEDGER, "stock_ledger.Adjusted", &adjusted);
    let line = story.breaks(Invariant::I18).await;
    assert!(line.contains("2 of MUG are reserved, 1 lie in bins"), "{line}");
}

#[tokio::test]
async fn a_reservation_that_gives_back_more_than_it_holds_is_found() {
    let mut story = good();
    let more = |it: &mut stock::StockLedgerReleased| {
        it.lines = vec![SkuUnits { sku: text("MUG"), units: 5 }]
    };
    story.kind("stock_ledger.Released", 0).change(more);
    let report = story.verified().await;
    assert!(report.get(Invariant::I18).unwrap().first.is_some(), "{report}");
}

#[tokio::test]
async fn an_oversold_unit_is_found_where_it_was_promised() {
    let mut story = good();
    story.add("order/order-o4", "order.Created", &created("NX-1005"));
    story.add("order/order-o4", "order.ConfirmationRequested", &asked(1));
    story.add(LEDGER, "stock_ledger.Reserved", &reserved("o4", 1, 16));
    story.add("order/order-o4", "order.Confirmed", &confirmed(16));
    let line = story.breaks(Invariant::I19).await;
    assert!(line.contains("16 of MUG are promised, 15 were to be had"), "{line}");
}

#[tokio::test]
async fn a_confirmed_order_without_its_reservation_is_found() {
    let mut story = good();
    let fewer = |it: &mut order::OrderConfirmed| it.allocation[0].lines[0].units = 1;
    story.kind("order.Confirmed", 2).change(fewer);
    story.breaks(Invariant::I20).await;

    let mut story = good();
    story.add(LEDGER, "stock_ledger.Released", &released("o3", 1, 2));
    let line = story.breaks(Invariant::I20).await;
    assert!(line.contains("o3/1 is given back, but its order is confirmed"), "{line}");
}

#[tokio::test]
async fn a_reservation_of_an_attempt_that_was_refused_is_found() {
    let mut story = good();
    let order = "order/order-o4";
    story.add(order, "order.Created", &created("NX-1005"));
    story.add(order, "order.ConfirmationRequested", &asked(1));
    story.add(LEDGER, "stock_ledger.Reserved", &reserved("o4", 1, 2));
    let refused =
        order::OrderConfirmationRefused { attempt: 1, reason: text("STOCK_SHORT"), lines: vec![] };
    story.add(order, "order.ConfirmationRefused", &refused);
    story.breaks(Invariant::I20).await;
}

#[tokio::test]
async fn what_stays_held_when_its_pick_is_over_is_found() {
    let line = good().without("stock_ledger.ShortPicked").breaks(Invariant::I20).await;
    assert!(line.contains("o1/1 holds 1 units, but its pick is over"), "{line}");

    let mut story = good();
    let fewer = |it: &mut stock::StockLedgerShortPicked| it.lines.clear();
    story.kind("stock_ledger.ShortPicked", 0).change(fewer);
    story.breaks(Invariant::I20).await;
}

/// The floor's and the order's side of a fourth order, of which nothing was found.
fn nothing_found(story: &mut Story) {
    story.add("order/order-o4", "order.Created", &created("NX-1005"));
    story.add("order/order-o4", "order.ConfirmationRequested", &asked(1));
    story.add(LEDGER, "stock_ledger.Reserved", &reserved("o4", 1, 2));
    story.add("order/order-o4", "order.Confirmed", &confirmed(2));
    let fulfillment = "fulfillment/fulfillment-f4";
    let line =
        floor::OpenedLine { line_id: text("1"), sku: text("MUG"), units: 2, ..Default::default() };
    let opened = floor::FulfillmentOpened {
        order_id: text("o4"),
        warehouse: text("MAIN"),
        reservation: text("o4/1"),
        lines: vec![line],
        ..Default::default()
    };
    story.add(fulfillment, "fulfillment.Opened", &opened);
    let listed = floor::FulfillmentListed { pick_list_id: text("p4"), order_id: text("o4") };
    story.add(fulfillment, "fulfillment.Listed", &listed);
    let line = floor::PickedLine { line_id: text("1"), sku: text("MUG"), picked: 0, short: 2 };
    let picked = floor::FulfillmentPicked {
        pick_list_id: text("p4"),
        order_id: text("o4"),
        lines: vec![line],
    };
    story.add(fulfillment, "fulfillment.Picked", &picked);
    let withdrawn = floor::FulfillmentWithdrawn { order_id: text("o4"), ..Default::default() };
    story.add(fulfillment, "fulfillment.Withdrawn", &withdrawn);
}

#[tokio::test]
async fn an_order_of_which_nothing_was_found_keeps_the_books_whole() {
    let mut story = good();
    nothing_found(&mut story);
    let report = story.verified().await;
    assert!(report.is_green(), "{report}");
    let waiting = report.get(Invariant::I20).unwrap().in_flight;

    let mut ending = short_picked("o4", 2);
    // No bin was chosen for it.
    ending.given_up.clear();
    story.add(LEDGER, "stock_ledger.ShortPicked", &ending);
    story.add(LEDGER, "stock_ledger.Adjusted", &written_off(11));
    let report = story.verified().await;
    assert!(report.is_green(), "{report}");
    let waits = report.get(Invariant::I20).unwrap().in_flight;
    assert_eq!(waits + 1, waiting, "until the ledger is told, it is under way");

    // What others were promised cannot be written off.
    story.add(LEDGER, "stock_ledger.Adjusted", &written_off(5));
    story.breaks(Invariant::I18).await;
}

#[tokio::test]
async fn what_is_still_under_way_is_no_violation() {
    let mut story = good();
    // Asked, held, and the answer is still to come.
    story.add("order/order-o4", "order.Created", &created("NX-1005"));
    story.add("order/order-o4", "order.ConfirmationRequested", &asked(1));
    story.add(LEDGER, "stock_ledger.Reserved", &reserved("o4", 1, 2));
    // The order's log goes on behind what was read: its event is not known yet.
    let (held, back) = (reserved("o5", 1, 1), released("o3", 1, 2));
    story.add_caused(LEDGER, "stock_ledger.Reserved", &held, Some(800_001));
    story.add_caused(LEDGER, "stock_ledger.Released", &back, Some(800_002));
    let report = story.verified().await;
    assert!(report.is_green(), "{report}");
    assert!(report.get(Invariant::I20).unwrap().in_flight >= 3, "{report}");
}

#[tokio::test]
async fn a_scan_that_counts_twice_is_found() {
    let mut story = good();
    let same = |it: &mut floor::PickListScanned| it.scan_id = text("scan-1");
    story.kind("pick_list.Scanned", 1).change(same);
    let line = story.breaks(Invariant::I21).await;
    assert!(line.contains("the scan scan-1 counts twice"), "{line}");
}

#[tokio::test]
async fn a_list_that_is_completed_with_open_lines_or_without_a_reason_is_found() {
    let story = good().without("pick_list.ShortPicked");
    story.breaks(Invariant::I21).await;
    let mut story = good();
    let silent = |it: &mut floor::PickListShortPicked| it.reason.clear();
    story.kind("pick_list.ShortPicked", 0).change(silent);
    story.breaks(Invariant::I21).await;
}

#[tokio::test]
async fn a_parcel_that_holds_other_goods_than_were_picked_is_found() {
    let mut story = good();
    let more = |it: &mut floor::FulfillmentPacked| it.parcels[0].contents[0].units = 3;
    story.kind("fulfillment.Packed", 0).change(more);
    story.breaks(Invariant::I21).await;
}

#[tokio::test]
async fn a_courier_update_that_is_recorded_twice_or_from_nothing_is_found() {
    let mut story = good();
    let twice = story.kind("shipment.TrackingRecorded", 0).event().payload.clone();
    let twice = ship::ShipmentTrackingRecorded::decode(twice.as_slice()).unwrap();
    let again = ship::ShipmentTrackingRecorded {
        tracking_status: text("delivered"),
        duplicate: true,
        ..twice
    };
    story.add("shipping/shipment-s1", "shipment.TrackingRecorded", &again);
    let line = story.breaks(Invariant::I23).await;
    assert!(line.contains("is logged a second time"), "{line}");

    let line = good().without("inbox.Received").breaks(Invariant::I23).await;
    assert!(line.contains("which never came"), "{line}");

    let mut story = good();
    story.kind("inbox.Received", 0).change(|it: &mut InboxReceived| it.body_hash = vec![8; 32]);
    story.breaks(Invariant::I23).await;
}

#[tokio::test]
async fn a_milestone_that_is_told_after_a_later_one_is_found() {
    let mut story = good();
    let attempted = tell::MessageAttempted { attempt: 2, ..Default::default() };
    story.add("notification/message-s1-shipped", "message.Attempted", &attempted);
    let line = story.breaks(Invariant::I27).await;
    assert!(line.contains("\"shipped\" goes out for shipment s1, told \"delivered\""), "{line}");
}

#[tokio::test]
async fn a_message_to_somebody_who_never_agreed_is_found() {
    let story = {
        let mut story = good();
        story.kind("contact.Registered", 0).change(|it: &mut order::ContactRegistered| {
            it.consents.clear();
        });
        story
    };
    let line = story.breaks(Invariant::I28).await;
    assert!(line.contains("the contact never agreed to it (and 2 more)"), "{line}");
}

#[tokio::test]
async fn a_message_long_after_consent_was_withdrawn_or_the_contact_erased_is_found() {
    let no = order::ConsentFact { channel: text("whatsapp"), granted: false, source: text("STOP") };
    let withdrawn = order::ContactConsentRecorded { consent: Some(no) };
    let erased = order::ContactErased::default();
    for erase in [false, true] {
        let mut story = good();
        if erase {
            story.add("order/contact-mona", "contact.Erased", &erased);
        } else {
            story.add("order/contact-mona", "contact.ConsentRecorded", &withdrawn);
        }
        story.wait_ms(120_000);
        let shipment = tell::MessageRequested { shipment_id: text("s9"), ..message("shipped") };
        story.add("notification/message-s9-shipped", "message.Requested", &shipment);
        let attempted = tell::MessageAttempted { attempt: 1, ..Default::default() };
        story.add("notification/message-s9-shipped", "message.Attempted", &attempted);
        story.breaks(Invariant::I28).await;
    }
}

#[tokio::test]
async fn a_message_for_a_cancelled_order_is_found() {
    let mut story = good();
    let about = tell::MessageRequested {
        order_id: text("o2"),
        shipment_id: text("s2"),
        ..message("shipped")
    };
    story.add("notification/message-s2-shipped", "message.Requested", &about);
    let attempted = tell::MessageAttempted { attempt: 1, ..Default::default() };
    story.add("notification/message-s2-shipped", "message.Attempted", &attempted);
    let line = story.breaks(Invariant::I28).await;
    assert!(line.contains("order o2, which is cancelled"), "{line}");
}

#[tokio::test]
async fn an_order_number_that_was_given_twice_or_never_leased_is_found() {
    for number in ["NX-1001", "NX-2000", "NX-"] {
        let mut story = good();
        story.add("order/order-o4", "order.Created", &created(number));
        let line = story.breaks(Invariant::Numbers).await;
        assert!(line.contains(&format!("the order number {number} ")), "{line}");
    }
}

#[tokio::test]
async fn blocks_of_numbers_that_leave_a_gap_are_found_and_unused_numbers_are_explained() {
    let mut story = good();
    let report = story.verified().await;
    let line = report.get(Invariant::Numbers).unwrap().to_string();
    assert!(line.ends_with("97 numbers of 1 leased blocks are not used"), "{line}");
    let block = order::NumberSeriesBlockLeased { from: 1200, to: 1299, ..Default::default() };
    story.add("order/number_series-orders", "number_series.BlockLeased", &block);
    story.breaks(Invariant::Numbers).await;
}

#[tokio::test]
async fn a_receipt_beside_others_changes_nothing_that_is_checked() {
    let mut story = good();
    story.add(LEDGER, "stock_ledger.Received", &received("second", 5));
    told(&mut story, "delivered");
    // The second telling is the same milestone again, not a later one.
    assert!(story.verified().await.get(Invariant::I27).unwrap().first.is_none());
}
