//! Those who must hear that a row changed: who waits for it, and what is kept of it.

use std::collections::{BTreeSet, HashMap};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::{Notify, watch};

use super::recent::Recent;

/// What a batch changed.
#[derive(Debug, Default)]
pub struct Changes {
    /// Keys of rows, for example `order:01…`.
    pub(super) keys: BTreeSet<String>,
    pub(super) forgets: bool,
}

impl Changes {
    /// Notes that the rows of `key` changed.
    pub fn add(&mut self, key: impl Into<String>) {
        self.keys.insert(key.into());
    }

    /// Asks that what the batch deletes is gone from the files too, the write-ahead log included:
    /// an erased person must not be read there.
    pub fn forget(&mut self) {
        self.forgets = true;
    }
}

/// Left-over entries are looked for when there are so many.
const PRUNE_AT: usize = 1024;

#[derive(Default)]
pub(super) struct Waiters {
    waiting: Mutex<Waiting>,
    pub(super) recent: Recent,
    /// Whether anybody waits, and how many.
    awaited: watch::Sender<bool>,
    count: Mutex<usize>,
}

/// Somebody waits as long as it lives.
pub(super) struct Waits<'a>(&'a Waiters);

impl Drop for Waits<'_> {
    fn drop(&mut self) {
        self.0.counted(|count| count.saturating_sub(1));
    }
}

#[derive(Default)]
struct Waiting {
    keys: HashMap<String, Arc<Notify>>,
    /// With so many keys left-over ones are looked for; doubles with those that really wait.
    prune_at: usize,
}

impl Waiters {
    /// Says that somebody waits for a row or a position.
    pub(super) fn wait(&self) -> Waits<'_> {
        self.counted(|count| count + 1);
        Waits(self)
    }

    /// True while somebody waits.
    pub(super) fn any(&self) -> bool {
        *self.awaited.borrow()
    }

    pub(super) fn awaited(&self) -> watch::Receiver<bool> {
        self.awaited.subscribe()
    }

    fn counted(&self, change: impl FnOnce(usize) -> usize) {
        let mut count = self.count.lock().unwrap_or_else(PoisonError::into_inner);
        *count = change(*count);
        let awaited = *count > 0;
        self.awaited.send_if_modified(|known| std::mem::replace(known, awaited) != awaited);
    }

    pub(super) fn register(&self, key: &str) -> Arc<Notify> {
        let mut waiting = self.lock();
        // Whoever still waits holds a clone; an entry without one is left over and goes.
        if waiting.keys.len() >= waiting.prune_at.max(PRUNE_AT) {
            waiting.keys.retain(|_, notify| Arc::strong_count(notify) > 1);
            waiting.prune_at = waiting.keys.len() * 2;
        }
        Arc::clone(waiting.keys.entry(key.to_owned()).or_default())
    }

    pub(super) fn wake(&self, changes: &Changes) {
        let waiting = self.lock();
        if waiting.keys.is_empty() {
            return;
        }
        for key in &changes.keys {
            // The entry stays: somebody may have taken it and not wait on it yet.
            if let Some(notify) = waiting.keys.get(key) {
                notify.notify_waiters();
            }
        }
    }

    /// Something changed, and nobody knows what.
    pub(super) fn wake_all(&self) {
        self.recent.clear();
        for notify in self.lock().keys.values() {
            notify.notify_waiters();
        }
    }

    fn lock(&self) -> MutexGuard<'_, Waiting> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn changes(key: &str) -> Changes {
        let mut changes = Changes::default();
        changes.add(key);
        changes
    }

    #[tokio::test]
    async fn a_change_between_registering_and_waiting_does_not_cut_off_the_next_one() {
        let waiters = Waiters::default();
        let waiter = waiters.register("order:mona");
        waiters.wake(&changes("order:mona"));
        let changed = waiter.notified();
        waiters.wake(&changes("order:mona"));
        tokio::time::timeout(Duration::from_secs(5), changed).await.unwrap();
    }

    #[test]
    fn entries_without_a_waiter_go_and_the_others_stay() {
        let waiters = Waiters::default();
        let held = waiters.register("order:held");
        for n in 0..PRUNE_AT * 3 {
            waiters.register(&format!("order:{n}"));
        }
        assert!(waiters.lock().keys.len() <= PRUNE_AT * 2);
        assert!(Arc::ptr_eq(&held, &waiters.register("order:held")));
    }
}
