//! Stock: no unit appears or vanishes, and what an order sets in motion moves once.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

use super::{Findings, Violation};
use crate::harness::evidence::Told;
use crate::harness::look::Look;

/// I11: what an order makes move, moves exactly once, however often it was told: each of its units
/// is picked once and shipped once, and no movement stands twice.
#[must_use]
pub fn check_i11(told: &Told) -> Vec<Violation> {
    let mut findings = Findings::of("I11");
    for (sku, movements) in &told.movements {
        let mut seen = BTreeSet::new();
        let mut sums: BTreeMap<(&str, &str), i64> = BTreeMap::new();
        for movement in movements {
            let row = movement.to_string();
            findings.unless(seen.insert(row.clone()), || format!("{sku} moved twice by {row}"));
            let of = (movement.text("order_id"), movement.text("kind"));
            *sums.entry(of).or_default() += movement.number("units");
        }
        for order in &told.orders {
            let id = order.text("order_id");
            let lines = order.list("lines").iter().filter(|line| line.text("sku") == sku);
            let wanted: i64 = lines.map(|line| line.number("units")).sum();
            let gone = ["shipped", "delivered", "returning", "returned"];
            if wanted == 0 || !gone.contains(&order.text("status")) {
                continue;
            }
            for kind in ["picked", "shipped"] {
                let moved = sums.get(&(id, kind)).copied().unwrap_or_default();
                findings.unless(moved == wanted, || {
                    format!("order {id} has {wanted} {sku}, and {moved} were {kind}")
                });
            }
        }
    }
    findings.found
}

/// Stock is conserved: what was received is on hand or shipped; and at rest nothing is promised or
/// lies picked but for orders that still wait.
#[must_use]
pub fn check_stock(received: &BTreeMap<String, i64>, told: &Told) -> Vec<Violation> {
    let mut findings = Findings::of("stock");
    for (sku, received) in received {
        let items = || told.stock.iter().filter(|item| item.text("sku") == sku);
        let sum = |field: &str| items().map(|item| item.number(field)).sum::<i64>();
        let movements = told.movements.get(sku).map(Vec::as_slice).unwrap_or_default();
        let shipped: i64 = units(movements, "shipped");
        let on_hand = sum("on_hand");
        findings.unless(on_hand + shipped == *received, || {
            format!("{received} {sku} were received, {shipped} shipped, and {on_hand} are on hand")
        });
        for item in items() {
            let bins: i64 = item.list("bins").iter().map(|bin| bin.number("on_hand")).sum();
            let parts = bins + item.number("picked");
            findings.unless(parts == item.number("on_hand"), || {
                format!("{sku}: {parts} lie in bins or picked, {} on hand", item.number("on_hand"))
            });
            let free = bins - item.number("reserved");
            findings.unless(free == item.number("available") && free >= 0, || {
                format!("{sku}: {free} are free, {} available", item.number("available"))
            });
        }
        let waiting = waiting_units(told, sku);
        let bound = sum("reserved") + sum("picked");
        findings.unless(bound == waiting, || {
            format!("{sku}: {bound} are promised or picked, for orders that want {waiting}")
        });
    }
    findings.found
}

fn units(movements: &[Value], kind: &str) -> i64 {
    let rows = movements.iter().filter(|movement| movement.text("kind") == kind);
    rows.map(|movement| movement.number("units")).sum()
}

fn waiting_units(told: &Told, sku: &str) -> i64 {
    let bound = ["confirmed", "processing", "picked", "packed"];
    let waiting = told.orders.iter().filter(|order| bound.contains(&order.text("status")));
    let lines = waiting.flat_map(|order| order.list("lines"));
    lines.filter(|line| line.text("sku") == sku).map(|line| line.number("units")).sum()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::checks::names;

    fn told(shipped: i64, on_hand: i64) -> Told {
        let moved = |kind: &str, units: i64| {
            let event = kind;
            json!({"order_id": "o-1", "kind": kind, "units": units, "event_id": event})
        };
        let stock = json!({"sku": "MUG", "on_hand": on_hand, "available": on_hand,
                           "bins": [{"bin": "A", "on_hand": on_hand}]});
        let order = json!({"order_id": "o-1", "status": "delivered",
                           "lines": [{"sku": "MUG", "units": 2}]});
        let movements = vec![moved("picked", 2), moved("shipped", shipped)];
        Told {
            orders: vec![order],
            stock: vec![stock],
            movements: BTreeMap::from([("MUG".to_owned(), movements)]),
            ..Told::default()
        }
    }

    fn received() -> BTreeMap<String, i64> {
        BTreeMap::from([("MUG".to_owned(), 10)])
    }

    #[test]
    fn i11_names_units_that_were_shipped_twice() {
        assert_eq!(check_i11(&told(2, 8)), []);
        assert_eq!(names(&check_i11(&told(4, 6))), ["I11"]);
    }

    #[test]
    fn a_unit_that_vanished_is_named() {
        assert_eq!(check_stock(&received(), &told(2, 8)), []);
        assert_eq!(names(&check_stock(&received(), &told(2, 7))), ["stock"]);
    }

    #[test]
    fn a_promise_that_no_order_waits_for_is_named() {
        let mut leaked = told(2, 8);
        leaked.stock = vec![json!({"sku": "MUG", "on_hand": 8, "available": 7, "reserved": 1,
                                   "bins": [{"bin": "A", "on_hand": 8}]})];
        assert_eq!(names(&check_stock(&received(), &leaked)), ["stock"]);
    }
}
