//! Rows that were read lately, until they change.
//! *Invariant:* what is kept was read after the last change of its key that anybody was told of.

use std::any::Any;
use std::num::NonZeroUsize;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use lru::LruCache;

use super::waiters::Changes;

/// Few: a row may be an order of 2,000 lines, and most are asked for within a second or never.
const KEPT: NonZeroUsize = NonZeroUsize::new(256).unwrap();

type Kept = Arc<dyn Any + Send + Sync>;

pub(super) struct Recent(Mutex<Inner>);

struct Inner {
    rows: LruCache<String, Kept>,
    /// Grows with each batch: a read that ran beside one may have seen what was there before.
    batches: u64,
}

impl Default for Recent {
    fn default() -> Self {
        Self(Mutex::new(Inner { rows: LruCache::new(KEPT), batches: 0 }))
    }
}

impl Recent {
    pub(super) fn get<T: Send + Sync + 'static>(&self, key: &str) -> Option<Arc<T>> {
        let found = self.lock().rows.get(key).map(Arc::clone)?;
        found.downcast().ok()
    }

    /// To be asked before a read whose answer is to be kept.
    pub(super) fn batches(&self) -> u64 {
        self.lock().batches
    }

    /// Keeps what was read, unless a batch was written since there were `batches`.
    pub(super) fn keep<T: Send + Sync + 'static>(&self, key: &str, row: &Arc<T>, batches: u64) {
        let mut inner = self.lock();
        if inner.batches == batches {
            let row: Kept = Arc::<T>::clone(row);
            inner.rows.put(key.to_owned(), row);
        }
    }

    /// A batch was written.
    pub(super) fn changed(&self, changes: &Changes) {
        let mut inner = self.lock();
        inner.batches += 1;
        if changes.forgets {
            inner.rows.clear();
        }
        if !inner.rows.is_empty() {
            for key in &changes.keys {
                inner.rows.pop(key);
            }
        }
    }

    /// Something changed, and nobody knows what.
    pub(super) fn clear(&self) {
        let mut inner = self.lock();
        inner.batches += 1;
        inner.rows.clear();
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn keep(recent: &Recent, key: &str, row: u32) {
        recent.keep(key, &Arc::new(row), recent.batches());
    }

    fn kept(recent: &Recent, key: &str) -> Option<u32> {
        recent.get::<u32>(key).map(|row| *row)
    }

    #[test]
    fn a_row_is_kept_until_its_key_changes() {
        let recent = Recent::default();
        keep(&recent, "product:MUG", 1);
        keep(&recent, "product:CUP", 2);
        let mut changes = Changes::default();
        changes.add("product:MUG");
        recent.changed(&changes);
        assert_eq!((kept(&recent, "product:MUG"), kept(&recent, "product:CUP")), (None, Some(2)));
        changes.forget();
        recent.changed(&changes);
        assert_eq!(kept(&recent, "product:CUP"), None, "an erased person is not kept either");
    }

    #[test]
    fn what_was_read_beside_a_batch_is_not_kept() {
        let recent = Recent::default();
        let before = recent.batches();
        recent.changed(&Changes::default());
        recent.keep("product:MUG", &Arc::new(1_u32), before);
        assert_eq!(kept(&recent, "product:MUG"), None);
    }
}
