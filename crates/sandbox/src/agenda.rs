//! What comes next, in the order of its time: the part of a table that still has something to come,
//! kept beside the file.
//! *Invariant:* it is changed after the file was, so what it holds is on disk.

use std::collections::{BTreeMap, HashMap};

/// Items by the moment they are due; those of one moment in the order in which they were made.
#[derive(Debug)]
pub(crate) struct Agenda<T> {
    by_time: BTreeMap<(i64, i64), T>,
    due_of: HashMap<i64, i64>,
    last_seq: i64,
}

impl<T> Agenda<T> {
    /// Nothing to come yet; `last_seq` is the greatest that the table ever held.
    pub(crate) fn new(last_seq: i64) -> Self {
        Self { by_time: BTreeMap::new(), due_of: HashMap::new(), last_seq }
    }

    /// A number for a new row, never given twice.
    pub(crate) fn next_seq(&mut self) -> i64 {
        self.last_seq += 1;
        self.last_seq
    }

    /// Puts an item where it belongs now, and out when nothing is to come.
    pub(crate) fn set(&mut self, seq: i64, due_ms: Option<i64>, item: T) {
        if let Some(before) = self.due_of.remove(&seq) {
            self.by_time.remove(&(before, seq));
        }
        if let Some(due_ms) = due_ms {
            self.due_of.insert(seq, due_ms);
            self.by_time.insert((due_ms, seq), item);
        }
    }

    /// The first moment after this one at which something is due.
    pub(crate) fn next_after(&self, moment: i64) -> Option<i64> {
        let beyond = (moment.saturating_add(1), i64::MIN);
        self.by_time.range(beyond..).next().map(|((due_ms, _), _)| *due_ms)
    }

    /// Takes out what is due and wanted.
    pub(crate) fn take_due(&mut self, now: i64, mut wanted: impl FnMut(&T) -> bool) -> Vec<T> {
        let due = self.by_time.range(..=(now, i64::MAX));
        let keys: Vec<_> = due.filter(|(_, item)| wanted(item)).map(|(key, _)| *key).collect();
        keys.into_iter()
            .filter_map(|key| {
                self.due_of.remove(&key.1);
                self.by_time.remove(&key)
            })
            .collect()
    }
}

impl<T: Clone> Agenda<T> {
    /// Copies of what is due; each stays until it is set anew.
    pub(crate) fn due(&self, now: i64, limit: usize) -> Vec<T> {
        self.by_time.range(..=(now, i64::MAX)).take(limit).map(|(_, item)| item.clone()).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::Agenda;

    #[test]
    fn what_is_due_comes_in_the_order_of_time_and_then_of_making() {
        let mut agenda = Agenda::new(40);
        for (due_ms, name) in [(30, "third"), (10, "first"), (10, "second"), (50, "later")] {
            let seq = agenda.next_seq();
            assert!(seq > 40);
            agenda.set(seq, Some(due_ms), name);
        }
        assert_eq!(agenda.due(30, 2), ["first", "second"]);
        assert_eq!(agenda.due(30, 9), ["first", "second", "third"]);
        assert_eq!(agenda.next_after(i64::MIN), Some(10));
        assert_eq!(agenda.next_after(30), Some(50));
        assert_eq!(agenda.take_due(30, |name| *name != "second"), ["first", "third"]);
        assert_eq!(agenda.due(99, 9), ["second", "later"]);
    }

    #[test]
    fn an_item_stands_once_at_its_newest_time_or_not_at_all() {
        let mut agenda = Agenda::new(0);
        agenda.set(1, Some(10), "parcel");
        agenda.set(1, Some(20), "parcel");
        assert_eq!(agenda.due(10, 9), [""; 0]);
        assert_eq!(agenda.due(20, 9), ["parcel"]);
        agenda.set(1, None, "parcel");
        assert_eq!(agenda.next_after(i64::MIN), None);
    }
}
