//! Leases, checkpoints, timers, wrapped keys and blobs in memory.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use tokio::time::Instant;

use crate::commit::sha256;
use crate::ids::Position;
use crate::ports::{
    Blobs, Checkpoints, Erased, KeyStore, Lease, Leases, PortError, Timer, Timers, WrappedKey,
};

use super::lock;

/// Leases in memory, on tokio's clock. Clones share them.
#[derive(Clone, Debug, Default)]
pub struct MemoryLeases {
    held: Arc<Mutex<HashMap<String, Held>>>,
}

#[derive(Debug, Default)]
struct Held {
    /// Who has it, until when; `None` once released.
    by: Option<(String, Instant)>,
    last_owner: String,
    fencing: u64,
}

#[async_trait]
impl Leases for MemoryLeases {
    async fn acquire(
        &self,
        name: &str,
        owner: &str,
        ttl: Duration,
    ) -> Result<Option<Lease>, PortError> {
        let now = Instant::now();
        let mut leases = lock(&self.held);
        let held = leases.entry(name.to_owned()).or_default();
        if held.by.as_ref().is_some_and(|(by, until)| by != owner && *until > now) {
            return Ok(None);
        }
        if held.last_owner != owner {
            held.last_owner = owner.to_owned();
            held.fencing += 1;
        }
        held.by = Some((owner.to_owned(), now + ttl));
        Ok(Some(Lease { fencing: held.fencing }))
    }

    async fn holder(&self, name: &str) -> Result<Option<String>, PortError> {
        let leases = lock(&self.held);
        let by = leases.get(name).and_then(|held| held.by.as_ref());
        Ok(by.filter(|(_, until)| *until > Instant::now()).map(|(by, _)| by.clone()))
    }

    async fn release(&self, name: &str, owner: &str) -> Result<(), PortError> {
        if let Some(held) = lock(&self.held).get_mut(name)
            && held.by.as_ref().is_some_and(|(by, _)| by == owner)
        {
            held.by = None;
        }
        Ok(())
    }
}

/// Checkpoints in memory. Clones share them.
#[derive(Clone, Debug, Default)]
pub struct MemoryCheckpoints {
    kept: Arc<Mutex<HashMap<(String, String), Position>>>,
}

#[async_trait]
impl Checkpoints for MemoryCheckpoints {
    async fn load(&self, process: &str, service: &str) -> Result<Position, PortError> {
        let key = (process.to_owned(), service.to_owned());
        Ok(lock(&self.kept).get(&key).copied().unwrap_or(Position::START))
    }

    async fn save(
        &self,
        process: &str,
        service: &str,
        position: Position,
    ) -> Result<(), PortError> {
        lock(&self.kept).insert((process.to_owned(), service.to_owned()), position);
        Ok(())
    }
}

/// Timers in memory. Clones share them.
#[derive(Clone, Debug, Default)]
pub struct MemoryTimers {
    set: Arc<Mutex<BTreeMap<(String, String), Timer>>>,
}

#[async_trait]
impl Timers for MemoryTimers {
    async fn set(&self, timer: Timer) -> Result<(), PortError> {
        lock(&self.set).insert((timer.process.clone(), timer.key.clone()), timer);
        Ok(())
    }

    async fn cancel(&self, process: &str, key: &str) -> Result<(), PortError> {
        lock(&self.set).remove(&(process.to_owned(), key.to_owned()));
        Ok(())
    }

    async fn settle(&self, fired: &Timer, next: Option<i64>) -> Result<(), PortError> {
        let mut set = lock(&self.set);
        let name = (fired.process.clone(), fired.key.clone());
        if let Some(timer) = set.get_mut(&name)
            && timer.due_at_ms == fired.due_at_ms
        {
            match next {
                Some(due_at_ms) => timer.due_at_ms = due_at_ms,
                None => drop(set.remove(&name)),
            }
        }
        Ok(())
    }

    async fn due(&self, process: &str, now_ms: i64, max: usize) -> Result<Vec<Timer>, PortError> {
        let set = lock(&self.set);
        let mut due: Vec<_> = set
            .values()
            .filter(|timer| timer.process == process && timer.due_at_ms <= now_ms)
            .cloned()
            .collect();
        due.sort_by(|a, b| (a.due_at_ms, &a.key).cmp(&(b.due_at_ms, &b.key)));
        due.truncate(max);
        Ok(due)
    }

    async fn next_due(&self, process: &str) -> Result<Option<i64>, PortError> {
        let set = lock(&self.set);
        let timers = set.values().filter(|timer| timer.process == process);
        Ok(timers.map(|timer| timer.due_at_ms).min())
    }
}

/// Wrapped keys in memory. Clones share them.
#[derive(Clone, Debug, Default)]
pub struct MemoryKeyStore {
    keys: Arc<Mutex<Keys>>,
}

#[derive(Debug, Default)]
struct Keys {
    live: BTreeMap<String, WrappedKey>,
    erased: BTreeSet<String>,
}

#[async_trait]
impl KeyStore for MemoryKeyStore {
    async fn get(&self, key_id: &str) -> Result<Option<WrappedKey>, PortError> {
        Ok(lock(&self.keys).live.get(key_id).cloned())
    }

    async fn create(&self, key_id: &str, key: WrappedKey) -> Result<WrappedKey, PortError> {
        let mut keys = lock(&self.keys);
        if keys.erased.contains(key_id) {
            return Err(Erased::refuse());
        }
        Ok(keys.live.entry(key_id.to_owned()).or_insert(key).clone())
    }

    async fn rewrap(&self, key_id: &str, key: WrappedKey) -> Result<(), PortError> {
        // A key that was deleted meanwhile stays deleted.
        if let Some(kept) = lock(&self.keys).live.get_mut(key_id) {
            *kept = key;
        }
        Ok(())
    }

    async fn delete(&self, key_id: &str) -> Result<(), PortError> {
        let mut keys = lock(&self.keys);
        keys.live.remove(key_id);
        keys.erased.insert(key_id.to_owned());
        Ok(())
    }

    async fn list(&self) -> Result<Vec<String>, PortError> {
        Ok(lock(&self.keys).live.keys().cloned().collect())
    }
}

/// Blobs in memory. Clones share them.
#[derive(Clone, Debug, Default)]
pub struct MemoryBlobs {
    kept: Arc<Mutex<HashMap<String, Bytes>>>,
}

#[async_trait]
impl Blobs for MemoryBlobs {
    async fn put(&self, bytes: Bytes) -> Result<String, PortError> {
        let hash = hex::encode(sha256(&bytes));
        lock(&self.kept).insert(hash.clone(), bytes);
        Ok(hash)
    }

    async fn get(&self, hash: &str) -> Result<Option<Bytes>, PortError> {
        Ok(lock(&self.kept).get(hash).cloned())
    }
}
