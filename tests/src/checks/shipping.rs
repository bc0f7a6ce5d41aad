//! Parcels, held against what the courier knows.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

use super::{Findings, Violation};
use crate::harness::evidence::{Ledger, Told};
use crate::harness::look::Look;

/// I22: no parcel has two live AWBs, and no AWB lives at the courier that Nexus does not know.
#[must_use]
pub fn check_i22(told: &Told, ledger: &Ledger) -> Vec<Violation> {
    let mut findings = Findings::of("I22");
    let mut claims: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
    let mut shipments: BTreeMap<&str, usize> = BTreeMap::new();
    let mut parcels = BTreeSet::new();
    for shipment in &told.shipments {
        let (id, awb) = (shipment.text("shipment_id"), shipment.text("tracking_number"));
        *shipments.entry(shipment.text("order_number")).or_default() += 1;
        if !awb.is_empty() {
            claims.entry(awb).or_default().push(id);
        }
        let parcel = shipment.text("parcel/parcel_id");
        let live = shipment.text("status") != "voided";
        findings.unless(!live || parcels.insert(parcel), || {
            format!("parcel {parcel} has two shipments")
        });
    }
    let mut alive: BTreeMap<&str, usize> = BTreeMap::new();
    for delivery in ledger.deliveries.iter().filter(|delivery| delivery.is("alive")) {
        let tracking = delivery.text("tracking_number");
        let claimed = claims.get(tracking).map(Vec::as_slice).unwrap_or_default();
        findings.unless(claimed.len() == 1, || {
            format!("delivery {tracking} lives at the courier; shipments that know it: {claimed:?}")
        });
        *alive.entry(delivery.text("business_reference")).or_default() += 1;
    }
    for (order, alive) in alive {
        let shipments = shipments.get(order).copied().unwrap_or_default();
        findings.unless(alive <= shipments, || {
            format!("order {order} has {shipments} shipments and {alive} live AWBs")
        });
    }
    findings.found
}

/// I24: whatever the order and number in which updates came, a shipment's log holds each exactly
/// once as itself, however many duplicates beside it, and its status is the latest one's.
#[must_use]
pub fn check_i24(told: &Told, ledger: &Ledger) -> Vec<Violation> {
    let mut findings = Findings::of("I24");
    for delivery in &ledger.deliveries {
        let tracking = delivery.text("tracking_number");
        let mut shipments = told.shipments.iter();
        let Some(shipment) = shipments.find(|row| row.text("tracking_number") == tracking) else {
            continue;
        };
        let id = shipment.text("shipment_id");
        let logs = told.logs.get(id).map(Vec::as_slice).unwrap_or_default();
        let mut sent: BTreeSet<(String, i64)> = BTreeSet::new();
        for webhook in ledger.webhooks_of(delivery) {
            if webhook.is("delivered") {
                let body = webhook.at("body");
                sent.insert((body.number("state").to_string(), body.number("timeStamp")));
            }
        }
        let mut logged: BTreeMap<(String, i64), usize> = BTreeMap::new();
        for log in logs.iter().filter(|log| log.text("source") == "webhook") {
            let update = (log.text("code").to_owned(), millis(log.text("occurred_at")));
            *logged.entry(update).or_default() += usize::from(!log.is("duplicate"));
        }
        for update in &sent {
            let rows = logged.remove(update).unwrap_or_default();
            findings.unless(rows == 1, || {
                format!("update {update:?} of shipment {id} has {rows} rows of its own")
            });
        }
        let strange: Vec<_> = logged.keys().filter(|update| !sent.contains(*update)).collect();
        // A webhook that was taken, and its answer lost in a crash, counts as not delivered yet.
        let pending = ledger.webhooks_of(delivery).any(|webhook| !webhook.is("delivered"));
        findings.unless(strange.is_empty() || pending, || {
            format!("shipment {id} logged what the courier never sent: {strange:?}")
        });
        let status = latest(logs);
        let shown = shipment.text("tracking_status");
        findings.unless(status.is_none_or(|status| status == shown), || {
            format!("shipment {id} is {shown}, its latest update says {status:?}")
        });
    }
    findings.found
}

/// The status of the latest update by the courier's clock that counts.
fn latest(logs: &[Value]) -> Option<&str> {
    let counts = |log: &&Value| log.is("confirmed") && log.text("status") != "unrecognised";
    let latest = logs.iter().filter(counts).max_by_key(|log| millis(log.text("occurred_at")));
    latest.map(|log| log.text("status")).filter(|status| !status.is_empty())
}

fn millis(time: &str) -> i64 {
    time.parse::<jiff::Timestamp>().map(jiff::Timestamp::as_millisecond).unwrap_or_default()
}

/// I25: printing again gives the same bytes and asks the courier for nothing new.
#[must_use]
pub fn check_i25(prints: &[Vec<u8>], creates_before: i64, creates_after: i64) -> Vec<Violation> {
    let mut findings = Findings::of("I25");
    let same = prints.iter().all(|print| Some(print) == prints.first());
    findings.unless(same, || format!("{} prints of one label differ", prints.len()));
    findings.unless(creates_before == creates_after, || {
        format!("printing made {} create calls", creates_after - creates_before)
    });
    findings.found
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::checks::names;

    fn shipment(id: &str, tracking: &str) -> Value {
        json!({"shipment_id": id, "tracking_number": tracking, "order_number": "1001",
               "tracking_status": "delivered", "parcel": {"parcel_id": format!("p-{id}")}})
    }

    fn delivery(tracking: &str) -> Value {
        json!({"_id": format!("d-{tracking}"), "tracking_number": tracking, "alive": true,
               "business_reference": "1001"})
    }

    fn update(state: i64, at_ms: i64) -> Value {
        json!({"subject": "d-77", "delivered": true, "body": {"state": state, "timeStamp": at_ms}})
    }

    fn log(code: &str, second: u32, status: &str, duplicate: bool) -> Value {
        json!({"code": code, "occurred_at": format!("1970-01-01T00:00:0{second}Z"),
               "status": status, "duplicate": duplicate, "confirmed": true, "source": "webhook"})
    }

    #[test]
    fn i22_names_a_second_live_awb_and_an_orphan() {
        let told = Told { shipments: vec![shipment("s-1", "77")], ..Told::default() };
        let ledger = |deliveries| Ledger { deliveries, ..Ledger::default() };
        assert_eq!(check_i22(&told, &ledger(vec![delivery("77")])), []);
        let two = check_i22(&told, &ledger(vec![delivery("77"), delivery("78")]));
        assert_eq!(names(&two), ["I22", "I22"]);
    }

    #[test]
    fn i22_names_an_awb_that_two_shipments_share() {
        let shipments = vec![shipment("s-1", "77"), shipment("s-2", "77")];
        let told = Told { shipments, ..Told::default() };
        let ledger = Ledger { deliveries: vec![delivery("77")], ..Ledger::default() };
        assert_eq!(names(&check_i22(&told, &ledger)), ["I22"]);
    }

    fn seen(logs: Vec<Value>) -> Vec<Violation> {
        let told = Told {
            shipments: vec![shipment("s-1", "77")],
            logs: BTreeMap::from([("s-1".to_owned(), logs)]),
            ..Told::default()
        };
        let courier_webhooks = vec![update(41, 1_000), update(45, 2_000)];
        let deliveries = vec![delivery("77")];
        check_i24(&told, &Ledger { deliveries, courier_webhooks, ..Ledger::default() })
    }

    #[test]
    fn i24_holds_for_any_order_and_any_number_of_duplicates() {
        let out = || log("41", 1, "out_for_delivery", false);
        let done = || log("45", 2, "delivered", false);
        assert_eq!(seen(vec![out(), done()]), []);
        assert_eq!(seen(vec![done(), log("45", 2, "delivered", true), out()]), []);
    }

    #[test]
    fn i24_names_an_update_that_is_missing_or_stands_twice_as_itself() {
        let out = || log("41", 1, "out_for_delivery", false);
        let done = || log("45", 2, "delivered", false);
        assert_eq!(names(&seen(vec![done()])), ["I24"]);
        assert_eq!(names(&seen(vec![out(), out(), done()])), ["I24"]);
        let invented = log("100", 1, "lost", false);
        assert_eq!(names(&seen(vec![out(), done(), invented])), ["I24"]);
    }

    #[test]
    fn i25_names_a_print_that_differs_or_asks_the_courier() {
        let print = |text: &str| text.as_bytes().to_vec();
        assert_eq!(check_i25(&[print("a"), print("a")], 1, 1), []);
        assert_eq!(names(&check_i25(&[print("a"), print("b")], 1, 1)), ["I25"]);
        assert_eq!(names(&check_i25(&[print("a"), print("a")], 1, 2)), ["I25"]);
    }
}
