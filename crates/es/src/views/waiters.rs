//! Those who wait for one row to change.

use std::collections::{BTreeSet, HashMap};
use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::Notify;

/// Keys whose rows a batch changed, for example `order:01…`.
#[derive(Debug, Default)]
pub struct Changes(BTreeSet<String>);

impl Changes {
    /// Notes that the rows of `key` changed.
    pub fn add(&mut self, key: impl Into<String>) {
        self.0.insert(key.into());
    }
}

#[derive(Default)]
pub(super) struct Waiters(Mutex<HashMap<String, Arc<Notify>>>);

impl Waiters {
    pub(super) fn register(&self, key: &str) -> Arc<Notify> {
        let mut waiting = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        // Whoever still waits holds a clone; an entry without one is left over and goes.
        if waiting.len() > 1024 {
            waiting.retain(|_, notify| Arc::strong_count(notify) > 1);
        }
        Arc::clone(waiting.entry(key.to_owned()).or_default())
    }

    pub(super) fn wake(&self, changes: &Changes) {
        let mut waiting = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if waiting.is_empty() {
            return;
        }
        for key in &changes.0 {
            if let Some(notify) = waiting.remove(key) {
                notify.notify_waiters();
            }
        }
    }
}
