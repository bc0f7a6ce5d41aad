//! Puts facts of several logs in one order: causes before effects, each log's own order kept for
//! one aggregate, then by the time they happened.

use std::cmp::Reverse;
use std::collections::{BinaryHeap, HashMap};

use super::Fact;

/// When a fact happened, and where it stands in its log, to break ties.
fn rank(fact: &Fact) -> (i64, String, i64, i64) {
    (fact.occurred_at_ms, fact.service.clone(), fact.position, fact.index)
}

pub(super) fn causes_first(mut facts: Vec<Fact>) -> Vec<Fact> {
    facts.sort_by_key(|fact| (fact.service.clone(), fact.position, fact.index));
    let mut before: Vec<usize> = vec![0; facts.len()];
    let mut after: Vec<Vec<usize>> = vec![Vec::new(); facts.len()];
    let ids: HashMap<&str, usize> =
        facts.iter().enumerate().map(|(nth, fact)| (fact.event_id.as_str(), nth)).collect();
    let mut last: HashMap<&str, usize> = HashMap::new();
    for (nth, fact) in facts.iter().enumerate() {
        let cause = ids.get(fact.causation_id.as_str()).copied();
        let earlier = last.insert(fact.aggregate.as_str(), nth);
        for first in [cause, earlier].into_iter().flatten().filter(|first| *first != nth) {
            if let (Some(after), Some(count)) = (after.get_mut(first), before.get_mut(nth)) {
                after.push(nth);
                *count += 1;
            }
        }
    }
    let ready = |nth: usize| facts.get(nth).map(|fact| Reverse((rank(fact), nth)));
    let free = before.iter().enumerate().filter(|(_, count)| **count == 0);
    let mut heap: BinaryHeap<_> = free.filter_map(|(nth, _)| ready(nth)).collect();
    let mut order = Vec::with_capacity(facts.len());
    while let Some(Reverse((_, nth))) = heap.pop() {
        order.push(nth);
        for next in after.get(nth).into_iter().flatten() {
            let Some(count) = before.get_mut(*next) else { continue };
            *count -= 1;
            if *count == 0 {
                heap.extend(ready(*next));
            }
        }
    }
    // Two facts can name each other as cause only by a forgery; they are shown all the same.
    let mut facts: Vec<_> = facts.into_iter().map(Some).collect();
    let mut sorted: Vec<_> =
        order.into_iter().filter_map(|nth| facts.get_mut(nth).and_then(Option::take)).collect();
    sorted.extend(facts.into_iter().flatten());
    sorted
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fact(id: &str, service: &str, position: i64, at: i64, cause: &str) -> Fact {
        Fact {
            service: service.to_owned(),
            position,
            index: 0,
            event_id: id.to_owned(),
            aggregate: format!("{service}-1"),
            event_type: "order.Created".to_owned(),
            occurred_at_ms: at,
            learned_at_ms: at,
            actor_kind: 3,
            actor_id: "order".to_owned(),
            causation_id: cause.to_owned(),
            trace_id: String::new(),
            payload: Vec::new(),
        }
    }

    #[test]
    fn an_effect_stands_behind_its_cause_whatever_the_clocks_say() {
        let facts = vec![
            fact("confirmed", "order", 9, 50, "reserved"),
            fact("reserved", "inventory", 3, 10, "requested"),
            fact("requested", "order", 7, 40, ""),
            fact("created", "order", 2, 30, ""),
            fact("looped", "shipping", 1, 5, "looped"),
        ];
        let ids: Vec<_> = causes_first(facts).into_iter().map(|fact| fact.event_id).collect();
        assert_eq!(ids, ["looped", "created", "requested", "reserved", "confirmed"]);
    }
}
