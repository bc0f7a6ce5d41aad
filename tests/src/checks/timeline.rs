//! Facts in their order: nothing skipped, nothing twice, causes before effects.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

use super::{Findings, Violation};
use crate::harness::look::Look;

/// I4: an order's timeline never loses or swaps what it once showed, shows no event twice, and
/// shows causes before effects. `earlier` is what it showed before.
#[must_use]
pub fn check_i4(
    earlier: &BTreeMap<String, Vec<Value>>,
    now: &BTreeMap<String, Vec<Value>>,
) -> Vec<Violation> {
    let mut findings = Findings::of("I4");
    for (order, entries) in now {
        let mut seen = BTreeSet::new();
        let all: BTreeSet<_> = entries.iter().map(|entry| entry.text("event_id")).collect();
        for entry in entries {
            let (id, cause) = (entry.text("event_id"), entry.text("causation_id"));
            let kind = entry.text("type");
            findings.unless(!all.contains(cause) || seen.contains(cause) || cause == id, || {
                format!("order {order} shows {kind} {id} before its cause {cause}")
            });
            findings.unless(seen.insert(id), || format!("order {order} shows {kind} {id} twice"));
        }
    }
    for (order, before) in earlier {
        let after = now.get(order).map(Vec::as_slice).unwrap_or_default();
        let places: BTreeMap<_, _> = after
            .iter()
            .enumerate()
            .map(|(place, entry)| (entry.text("event_id"), place))
            .collect();
        let mut last: BTreeMap<&str, usize> = BTreeMap::new();
        for entry in before {
            let (id, service) = (entry.text("event_id"), entry.text("service"));
            let Some(place) = places.get(id) else {
                findings.unless(false, || format!("order {order} no longer shows {id}"));
                continue;
            };
            let swapped = last.insert(service, *place).is_some_and(|last| last > *place);
            findings
                .unless(!swapped, || format!("order {order} shows {id} of {service} earlier now"));
        }
    }
    findings.found
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::checks::names;

    fn timeline(entries: &[(&str, &str)]) -> BTreeMap<String, Vec<Value>> {
        let entries = entries.iter().map(|(id, cause)| {
            json!({"event_id": id, "causation_id": cause, "service": "order", "type": "order.X"})
        });
        BTreeMap::from([("o-1".to_owned(), entries.collect())])
    }

    #[test]
    fn i4_names_an_effect_before_its_cause() {
        let good = timeline(&[("a", ""), ("b", "a")]);
        assert_eq!(check_i4(&BTreeMap::new(), &good), []);
        let bad = timeline(&[("b", "a"), ("a", "")]);
        assert_eq!(names(&check_i4(&BTreeMap::new(), &bad)), ["I4"]);
    }

    #[test]
    fn i4_names_an_event_that_vanished_came_twice_or_changed_its_place() {
        let before = timeline(&[("a", ""), ("b", "")]);
        assert_eq!(check_i4(&before, &timeline(&[("a", ""), ("c", ""), ("b", "")])), []);
        assert_eq!(names(&check_i4(&before, &timeline(&[("a", "")]))), ["I4"]);
        assert_eq!(names(&check_i4(&before, &timeline(&[("b", ""), ("a", "")]))), ["I4"]);
        let twice = timeline(&[("a", ""), ("a", ""), ("b", "")]);
        assert_eq!(names(&check_i4(&BTreeMap::new(), &twice)), ["I4"]);
    }
}
