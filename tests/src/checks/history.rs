//! What clients were promised: acked is kept, refused left nothing, one key does one thing.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

use super::{Findings, Violation};
use crate::harness::evidence::Told;
use crate::harness::history::{Command, Outcome, by_key};
use crate::harness::look::Look;

/// What of a resource never changes once it was answered, by kind.
const LASTING: [(&str, &str, &[&str]); 3] = [
    (
        "order",
        "order_id",
        &["number", "lines", "totals", "currency", "external_reference", "created_at"],
    ),
    ("shipment", "shipment_id", &["order_id", "fulfillment_id", "cod", "parcel", "created_at"]),
    ("pick_list", "pick_list_id", &["warehouse", "order_ids", "created_at"]),
];

/// I1: every resource that an ack named is there, with the content that was acked.
#[must_use]
pub fn check_i1(history: &[Command], told: &Told) -> Vec<Violation> {
    let mut findings = Findings::of("I1");
    for command in history {
        for (kind, id, lasting, acked) in acked_resources(command) {
            let Some(now) = told.resource(kind, id) else {
                findings.unless(false, || format!("{kind} {id} of {} is gone", command.call));
                continue;
            };
            for field in lasting {
                let (then, now) = (acked.at(field), now.at(field));
                findings.unless(then == now, || {
                    format!("{field} of {kind} {id} was acked as {then} and is {now}")
                });
            }
        }
        if let Some((line, at_least)) = acked_scans(command) {
            let picked = picked_on(told, &line);
            findings.unless(picked >= at_least, || {
                format!("line {line} had {at_least} picked when acked and has {picked}")
            });
        }
    }
    findings.found
}

type Acked<'a> = (&'static str, &'a str, &'static [&'static str], &'a Value);

fn acked_resources(command: &Command) -> Vec<Acked<'_>> {
    let Some(body) = command.acked() else { return Vec::new() };
    let rows = ["shipments", "pick_lists"].iter().flat_map(|rows| body.list(rows));
    let mut found = Vec::new();
    for resource in rows.chain([body]) {
        // A shipment names its order too: the resource is the one with the most of its own fields.
        let kinds = LASTING.iter().filter(|(_, id, fields)| {
            !resource.text(id).is_empty()
                && fields.iter().all(|field| !resource.at(field).is_null())
        });
        found.extend(kinds.map(|(kind, id, fields)| (*kind, resource.text(id), *fields, resource)));
    }
    found
}

fn acked_scans(command: &Command) -> Option<(String, i64)> {
    let body = command.acked().filter(|_| command.call.ends_with(":scan"))?;
    let list = command.call.strip_prefix("POST /v1/pick-lists/")?.strip_suffix(":scan")?;
    let line = body.text("line_id");
    (!line.is_empty()).then(|| (format!("{list}/{line}"), body.number("picked")))
}

fn picked_on(told: &Told, line: &str) -> i64 {
    let Some((list, line)) = line.split_once('/') else { return 0 };
    let Some(list) = told.resource("pick_list", list) else { return 0 };
    let mut lines = list.list("lines").iter();
    lines.find(|row| row.text("line_id") == line).map_or(0, |row| row.number("picked"))
}

/// I2: nothing is there that nobody asked for, and a definite no left nothing.
#[must_use]
pub fn check_i2(history: &[Command], told: &Told) -> Vec<Violation> {
    let mut findings = Findings::of("I2");
    let mut asked: BTreeMap<&str, bool> = BTreeMap::new();
    for command in history.iter().filter(|command| command.call == "POST /v1/orders") {
        let maybe_done = !matches!(command.outcome, Outcome::Refused { .. });
        let reference = command.body.text("external_reference");
        *asked.entry(reference).or_default() |= maybe_done;
    }
    for order in &told.orders {
        let reference = order.text("external_reference");
        let id = order.text("order_id");
        match asked.get(reference) {
            None => findings.unless(false, || format!("nobody asked for order {id}")),
            Some(false) => {
                findings.unless(false, || format!("order {id} was refused, and is there"))
            }
            Some(true) => {}
        }
    }
    findings.found
}

/// Calls whose success makes something of which there can only be one, and what names it.
const UNIQUE: [(&str, &str); 2] =
    [("POST /v1/products", "sku"), ("POST /v1/warehouses", "warehouse")];

/// I7: of commands that decide on the same version, at most one succeeds. From outside that shows
/// where many create the same thing: all of them decide on its having no version yet.
#[must_use]
pub fn check_i7(history: &[Command]) -> Vec<Violation> {
    let mut findings = Findings::of("I7");
    for (call, name) in UNIQUE {
        let mut winners: BTreeMap<&str, BTreeSet<&str>> = BTreeMap::new();
        for command in history.iter().filter(|command| command.call == call) {
            if command.acked().is_some() {
                winners.entry(command.body.text(name)).or_default().insert(&command.key);
            }
        }
        for (thing, keys) in winners {
            let count = keys.len();
            findings.unless(count <= 1, || format!("{count} commands created {name} {thing}"));
        }
    }
    findings.found
}

/// I9: one key and body, one resource; the same key with another body is refused with 422.
#[must_use]
pub fn check_i9(history: &[Command]) -> Vec<Violation> {
    let mut findings = Findings::of("I9");
    for ((call, key), tries) in by_key(history) {
        let mut acked_ids = BTreeSet::new();
        let mut acked_bodies: Vec<&Value> = Vec::new();
        for command in &tries {
            let Some(body) = command.acked() else { continue };
            acked_ids.extend(identity(call, body));
            if !acked_bodies.contains(&&command.body) {
                acked_bodies.push(&command.body);
            }
        }
        findings
            .unless(acked_ids.len() <= 1, || format!("{call} with key {key} made {acked_ids:?}"));
        findings.unless(acked_bodies.len() <= 1, || {
            format!("{call} with key {key} was acked for {} bodies", acked_bodies.len())
        });
        let reused = tries
            .iter()
            .filter(|command| acked_bodies.first().is_some_and(|acked| **acked != command.body));
        for command in reused {
            let told = matches!(&command.outcome, Outcome::Refused { status: 422, .. });
            let unknown = matches!(&command.outcome, Outcome::Unknown { .. });
            findings.unless(told || unknown, || {
                format!("{call} with the used key {key} and another body got {:?}", command.outcome)
            });
        }
    }
    findings.found
}

/// What the answer of a creating call is about.
fn identity(call: &str, body: &Value) -> Option<String> {
    let ids = |rows: &str, id: &str| {
        let ids: Vec<_> = body.list(rows).iter().map(|row| row.text(id)).collect();
        ids.join("+")
    };
    Some(match call {
        "POST /v1/orders" => body.text("order_id").to_owned(),
        "POST /v1/contacts" => body.text("contact_id").to_owned(),
        "POST /v1/pick-lists" => ids("pick_lists", "pick_list_id"),
        "POST /v1/shipments" => ids("shipments", "shipment_id"),
        _ => return None,
    })
}

/// Calls that always make something new, so that a second try is a replay or nothing.
const CREATING: [&str; 4] =
    ["POST /v1/orders", "POST /v1/pick-lists", "POST /v1/shipments", "POST /v1/products"];

/// I10: of many tries with one key exactly one does it; the others replay it or get 409.
#[must_use]
pub fn check_i10(history: &[Command]) -> Vec<Violation> {
    let mut findings = Findings::of("I10");
    for ((call, key), tries) in by_key(history) {
        if !CREATING.contains(&call) {
            continue;
        }
        let first = tries.iter().filter(|command| command.acked_first()).count();
        findings.unless(first <= 1, || format!("{call} with key {key} was done {first} times"));
        if !tries.iter().any(|command| command.acked().is_some()) {
            continue;
        }
        for command in tries {
            if let Outcome::Refused { status, reason } = &command.outcome {
                let other_body = *status == 422;
                findings.unless(*status == 409 || other_body, || {
                    format!("{call} with key {key} was done and refused: {status} {reason}")
                });
            }
        }
    }
    findings.found
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::checks::names;

    fn tried(call: &str, key: &str, body: &Value, outcome: Outcome) -> Command {
        Command { key: key.to_owned(), call: call.to_owned(), body: body.clone(), outcome }
    }

    fn acked(body: Value) -> Outcome {
        Outcome::Acked { body, replayed: false }
    }

    fn replayed(body: Value) -> Outcome {
        Outcome::Acked { body, replayed: true }
    }

    fn order(id: &str, total: &str) -> Value {
        json!({"order_id": id, "number": "1001", "lines": [], "totals": {"total": total},
               "currency": "EGP", "external_reference": "web-1", "created_at": "2026-01-01"})
    }

    fn asked() -> Value {
        json!({"external_reference": "web-1"})
    }

    #[test]
    fn i1_names_an_acked_order_that_is_gone_or_changed() {
        let history = [tried("POST /v1/orders", "k", &asked(), acked(order("o-1", "10")))];
        let now = |orders| Told { orders, ..Told::default() };
        assert_eq!(check_i1(&history, &now(vec![order("o-1", "10")])), []);
        assert_eq!(names(&check_i1(&history, &now(vec![]))), ["I1"]);
        let changed = check_i1(&history, &now(vec![order("o-1", "11")]));
        assert_eq!(names(&changed), ["I1"]);
        assert!(changed.iter().all(|violation| violation.detail.contains("totals")));
    }

    #[test]
    fn i1_names_an_acked_scan_that_is_gone() {
        let scanned = acked(json!({"result": "ACCEPTED", "line_id": "1", "picked": 3}));
        let history = [tried("POST /v1/pick-lists/p-1:scan", "k", &json!({}), scanned)];
        let list = |picked| {
            let row = json!({"pick_list_id": "p-1", "lines": [{"line_id": "1", "picked": picked}]});
            Told { pick_lists: vec![row], ..Told::default() }
        };
        assert_eq!(check_i1(&history, &list(3)), []);
        assert_eq!(names(&check_i1(&history, &list(2))), ["I1"]);
    }

    #[test]
    fn i2_names_an_order_nobody_asked_for_and_one_that_was_refused() {
        let told = Told { orders: vec![order("o-1", "10")], ..Told::default() };
        assert_eq!(names(&check_i2(&[], &told)), ["I2"]);
        let refused = Outcome::Refused { status: 400, reason: "INVALID_ARGUMENT".to_owned() };
        let refused = tried("POST /v1/orders", "k", &asked(), refused);
        assert_eq!(names(&check_i2(&[refused], &told)), ["I2"]);
        let unknown = Outcome::Unknown { why: "reset".to_owned() };
        assert_eq!(check_i2(&[tried("POST /v1/orders", "k", &asked(), unknown)], &told), []);
    }

    #[test]
    fn i7_names_a_product_that_two_commands_created() {
        let create = |key| {
            tried("POST /v1/products", key, &json!({"sku": "MUG"}), acked(json!({"sku": "MUG"})))
        };
        assert_eq!(check_i7(&[create("a"), create("a")]), []);
        assert_eq!(names(&check_i7(&[create("a"), create("b")])), ["I7"]);
    }

    #[test]
    fn i9_names_a_key_that_made_two_orders_or_took_two_bodies() {
        let first = tried("POST /v1/orders", "k", &asked(), acked(order("o-1", "10")));
        let again = tried("POST /v1/orders", "k", &asked(), replayed(order("o-1", "10")));
        assert_eq!(check_i9(&[first.clone(), again]), []);
        let other = tried("POST /v1/orders", "k", &asked(), replayed(order("o-2", "10")));
        assert_eq!(names(&check_i9(&[first.clone(), other])), ["I9"]);
        let reused = tried("POST /v1/orders", "k", &json!({}), replayed(order("o-1", "10")));
        assert!(names(&check_i9(&[first, reused])).contains(&"I9"));
    }

    #[test]
    fn i10_names_a_key_whose_command_was_done_twice() {
        let first = tried("POST /v1/orders", "k", &asked(), acked(order("o-1", "10")));
        let replay = tried("POST /v1/orders", "k", &asked(), replayed(order("o-1", "10")));
        assert_eq!(check_i10(&[first.clone(), replay]), []);
        assert_eq!(names(&check_i10(&[first.clone(), first])), ["I10"]);
    }
}
