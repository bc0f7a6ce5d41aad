//! The other ports in memory, each broken in one way.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;

use crate::ids::Position;
use crate::memory::{MemoryBlobs, MemoryCheckpoints, MemoryKeyStore, MemoryLeases, MemoryTimers};
use crate::ports::{
    Blobs, Checkpoints, KeyStore, Lease, Leases, PortError, Timer, Timers, WrappedKey,
};

use super::super::Rig;

/// Leases that run out at once, so that two owners have one name.
#[must_use]
pub fn broken_leases() -> Rig<dyn Leases> {
    Rig::<dyn Leases>::without_store(Arc::new(ShortLeases(MemoryLeases::default())))
}

struct ShortLeases(MemoryLeases);

#[async_trait]
impl Leases for ShortLeases {
    async fn acquire(
        &self,
        name: &str,
        owner: &str,
        _: Duration,
    ) -> Result<Option<Lease>, PortError> {
        self.0.acquire(name, owner, Duration::ZERO).await
    }

    async fn holder(&self, name: &str) -> Result<Option<String>, PortError> {
        self.0.holder(name).await
    }

    async fn release(&self, name: &str, owner: &str) -> Result<(), PortError> {
        self.0.release(name, owner).await
    }
}

/// Checkpoints that only move forward.
#[must_use]
pub fn broken_checkpoints() -> Rig<dyn Checkpoints> {
    Rig::<dyn Checkpoints>::without_store(Arc::new(OnlyForward(MemoryCheckpoints::default())))
}

struct OnlyForward(MemoryCheckpoints);

#[async_trait]
impl Checkpoints for OnlyForward {
    async fn load(&self, process: &str, service: &str) -> Result<Position, PortError> {
        self.0.load(process, service).await
    }

    async fn save(
        &self,
        process: &str,
        service: &str,
        position: Position,
    ) -> Result<(), PortError> {
        let furthest = self.0.load(process, service).await?.max(position);
        self.0.save(process, service, furthest).await
    }
}

/// Timers that are forgotten once told.
#[must_use]
pub fn broken_timers() -> Rig<dyn Timers> {
    Rig::<dyn Timers>::without_store(Arc::new(ToldOnce(MemoryTimers::default())))
}

struct ToldOnce(MemoryTimers);

/// Timers that settle whatever stands under the fired one's key.
#[must_use]
pub fn careless_timers() -> Rig<dyn Timers> {
    Rig::<dyn Timers>::without_store(Arc::new(SettlesAll(MemoryTimers::default())))
}

struct SettlesAll(MemoryTimers);

#[async_trait]
impl Timers for SettlesAll {
    async fn set(&self, timer: Timer) -> Result<(), PortError> {
        self.0.set(timer).await
    }

    async fn cancel(&self, process: &str, key: &str) -> Result<(), PortError> {
        self.0.cancel(process, key).await
    }

    async fn settle(&self, fired: &Timer, next: Option<i64>) -> Result<(), PortError> {
        match next {
            Some(due_at_ms) => self.0.set(Timer { due_at_ms, ..fired.clone() }).await,
            None => self.0.cancel(&fired.process, &fired.key).await,
        }
    }

    async fn due(&self, process: &str, now_ms: i64, max: usize) -> Result<Vec<Timer>, PortError> {
        self.0.due(process, now_ms, max).await
    }

    async fn next_due(&self, process: &str) -> Result<Option<i64>, PortError> {
        self.0.next_due(process).await
    }
}

#[async_trait]
impl Timers for ToldOnce {
    async fn set(&self, timer: Timer) -> Result<(), PortError> {
        self.0.set(timer).await
    }

    async fn cancel(&self, process: &str, key: &str) -> Result<(), PortError> {
        self.0.cancel(process, key).await
    }

    async fn settle(&self, fired: &Timer, next: Option<i64>) -> Result<(), PortError> {
        self.0.settle(fired, next).await
    }

    async fn due(&self, process: &str, now_ms: i64, max: usize) -> Result<Vec<Timer>, PortError> {
        let due = self.0.due(process, now_ms, max).await?;
        for timer in &due {
            self.0.cancel(process, &timer.key).await?;
        }
        Ok(due)
    }

    async fn next_due(&self, process: &str) -> Result<Option<i64>, PortError> {
        self.0.next_due(process).await
    }
}

/// A key store without an erase ledger: what was deleted comes back.
#[must_use]
pub fn broken_key_store() -> Rig<dyn KeyStore> {
    let store = Arc::new(NoLedger(std::sync::Mutex::default()));
    Rig::<dyn KeyStore>::without_store(store)
}

/// Each erased key leads to a new store, which has not heard of it.
struct NoLedger(std::sync::Mutex<MemoryKeyStore>);

impl NoLedger {
    fn store(&self) -> MemoryKeyStore {
        self.0.lock().unwrap_or_else(std::sync::PoisonError::into_inner).clone()
    }
}

#[async_trait]
impl KeyStore for NoLedger {
    async fn get(&self, key_id: &str) -> Result<Option<WrappedKey>, PortError> {
        self.store().get(key_id).await
    }

    async fn create(&self, key_id: &str, key: WrappedKey) -> Result<WrappedKey, PortError> {
        self.store().create(key_id, key).await
    }

    async fn rewrap(&self, key_id: &str, key: WrappedKey) -> Result<(), PortError> {
        self.store().rewrap(key_id, key).await
    }

    async fn delete(&self, key_id: &str) -> Result<(), PortError> {
        let (old, new) = (self.store(), MemoryKeyStore::default());
        for id in old.list().await?.iter().filter(|id| *id != key_id) {
            if let Some(key) = old.get(id).await? {
                new.create(id, key).await?;
            }
        }
        *self.0.lock().unwrap_or_else(std::sync::PoisonError::into_inner) = new;
        Ok(())
    }

    async fn list(&self) -> Result<Vec<String>, PortError> {
        self.store().list().await
    }
}

/// Blobs that keep no more than a megabyte of each.
#[must_use]
pub fn broken_blobs() -> Rig<dyn Blobs> {
    Rig::<dyn Blobs>::without_store(Arc::new(CutBlobs(MemoryBlobs::default())))
}

struct CutBlobs(MemoryBlobs);

#[async_trait]
impl Blobs for CutBlobs {
    async fn put(&self, bytes: Bytes) -> Result<String, PortError> {
        self.0.put(bytes).await
    }

    async fn get(&self, hash: &str) -> Result<Option<Bytes>, PortError> {
        let bytes = self.0.get(hash).await?;
        Ok(bytes.map(|bytes| bytes.slice(..bytes.len().min(1_000_000))))
    }
}
