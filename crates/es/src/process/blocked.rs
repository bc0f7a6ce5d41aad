//! The keys that parked work blocks, and the work that was let be.
//! *Invariant:* an event waits only behind an earlier one of its key and its log; between logs
//! there is no order.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::ops::Bound;

use crate::heard::Heard;
use crate::ids::Position;

/// An event's place: its log, its commit's position, its index in the commit.
pub(super) type Place = (String, Position, u32);

pub(super) fn place_of(heard: &Heard) -> Place {
    (heard.service().to_owned(), heard.position, heard.index)
}

/// What a process has parked or let be.
#[derive(Default)]
pub(super) struct Blocked {
    keys: HashMap<String, BTreeMap<Place, String>>,
    /// By the work's id: its key and its place.
    works: HashMap<String, (String, Place)>,
    skipped: HashSet<Place>,
}

impl Blocked {
    /// Notes that the work `id` at `place` is parked.
    pub(super) fn insert(&mut self, key: &str, place: Place, id: &str) {
        self.works.insert(id.to_owned(), (key.to_owned(), place.clone()));
        self.keys.entry(key.to_owned()).or_default().insert(place, id.to_owned());
    }

    /// Notes that what stands at `place` was let be.
    pub(super) fn skip(&mut self, place: Place) {
        self.skipped.insert(place);
    }

    /// The key and place of parked work.
    pub(super) fn find(&self, id: &str) -> Option<&(String, Place)> {
        self.works.get(id)
    }

    /// Whether somebody let be what stands at `place`.
    pub(super) fn is_skipped(&self, place: &Place) -> bool {
        self.skipped.contains(place)
    }

    /// Whether the event at `place` is parked or let be.
    pub(super) fn is_settled(&self, key: &str, place: &Place) -> bool {
        let parked = self.keys.get(key).is_some_and(|parked| parked.contains_key(place));
        parked || self.is_skipped(place)
    }

    /// Whether an earlier event of this key and log is parked.
    pub(super) fn is_behind(&self, key: &str, place: &Place) -> bool {
        let first = (place.0.clone(), Position::START, 0);
        let before = (Bound::Included(&first), Bound::Excluded(place));
        let parked = self.keys.get(key);
        parked.is_some_and(|parked| parked.range(before).next().is_some())
    }

    /// Takes out work that is settled; answers what waited behind it and is first now.
    pub(super) fn remove(&mut self, id: &str) -> Option<String> {
        let (key, place) = self.works.remove(id)?;
        let parked = self.keys.get_mut(&key)?;
        parked.remove(&place);
        let after = parked.range((Bound::Excluded(&place), Bound::Unbounded)).next();
        let next = after.filter(|(next, _)| next.0 == place.0).map(|(_, next)| next.clone());
        if parked.is_empty() {
            self.keys.remove(&key);
        }
        next.filter(|_| !self.is_behind(&key, &place))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(service: &str, position: u64) -> Place {
        (service.to_owned(), Position(position), 0)
    }

    #[test]
    fn only_what_comes_later_in_the_same_log_waits_behind() {
        let mut blocked = Blocked::default();
        blocked.insert("a", at("order", 5), "five");
        assert!(blocked.is_behind("a", &at("order", 6)));
        assert!(!blocked.is_behind("a", &at("order", 5)));
        assert!(!blocked.is_behind("a", &at("order", 4)));
        assert!(!blocked.is_behind("a", &at("shipping", 6)));
        assert!(!blocked.is_behind("b", &at("order", 6)));
    }

    #[test]
    fn what_is_settled_first_lets_the_next_one_of_its_log_through() {
        let mut blocked = Blocked::default();
        for (place, id) in [
            (at("order", 5), "five"),
            (at("order", 7), "seven"),
            (at("order", 9), "nine"),
            (at("shipping", 1), "one"),
        ] {
            blocked.insert("a", place, id);
        }
        assert_eq!(blocked.remove("seven"), None, "nine still waits behind five");
        assert_eq!(blocked.remove("one"), None);
        assert_eq!(blocked.remove("five").as_deref(), Some("nine"));
        assert_eq!(blocked.remove("nine"), None);
        assert_eq!(blocked.remove("nine"), None);
        assert!(!blocked.is_settled("a", &at("order", 9)));
    }

    #[test]
    fn what_was_let_be_is_settled_and_blocks_nothing() {
        let mut blocked = Blocked::default();
        blocked.skip(at("order", 5));
        assert!(blocked.is_settled("a", &at("order", 5)));
        assert!(!blocked.is_behind("a", &at("order", 6)));
    }
}
