//! The other ports: leases, checkpoints, timers, wrapped keys, blobs.

use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;

use crate::ids::Position;

/// Why a port did not do its work.
#[derive(Debug, thiserror::Error)]
#[error("the {port} cannot be reached now")]
pub struct PortError {
    /// Which port.
    pub port: &'static str,
    /// The adapter's error.
    #[source]
    pub source: Box<dyn std::error::Error + Send + Sync>,
}

/// An owned name, until it runs out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Lease {
    /// Grows with each change of owner: a late owner is told apart by it.
    pub fencing: u64,
}

/// One active owner a name.
#[async_trait]
pub trait Leases: Send + Sync + 'static {
    /// Takes or renews `name` for `owner` until `ttl` from now; `None` while another owner has it.
    async fn acquire(
        &self,
        name: &str,
        owner: &str,
        ttl: Duration,
    ) -> Result<Option<Lease>, PortError>;
    /// Who has `name`; `None` when nobody has, as far as can be told. Only for finding the owner:
    /// by the time of the answer it may be another one.
    async fn holder(&self, name: &str) -> Result<Option<String>, PortError>;
    /// Gives `name` up if `owner` has it.
    async fn release(&self, name: &str, owner: &str) -> Result<(), PortError>;
}

/// Where a process stands in the logs it follows. Losing one is slow, never wrong.
#[async_trait]
pub trait Checkpoints: Send + Sync + 'static {
    /// The position up to which `process` has dealt with the log of `service`.
    async fn load(&self, process: &str, service: &str) -> Result<Position, PortError>;
    /// Keeps the position. A smaller one than stored is kept too: the caller knows best.
    async fn save(&self, process: &str, service: &str, position: Position)
    -> Result<(), PortError>;
}

/// A wake-up that has been asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Timer {
    /// The process that is woken.
    pub process: String,
    /// What it is about; one timer a process and key.
    pub key: String,
    /// When, unix milliseconds. Never fired earlier.
    pub due_at_ms: i64,
    /// What the process wants to be told.
    pub payload: Vec<u8>,
}

/// Wake-ups: each fires at least once, never early.
#[async_trait]
pub trait Timers: Send + Sync + 'static {
    /// Sets or replaces the timer of its process and key.
    async fn set(&self, timer: Timer) -> Result<(), PortError>;
    /// Cancels it; a timer that is not there is no error.
    async fn cancel(&self, process: &str, key: &str) -> Result<(), PortError>;
    /// Ends `fired`, or sets it to `next`, unless it was set to another time or cancelled since:
    /// what was asked for while it was dealt with stands.
    async fn settle(&self, fired: &Timer, next: Option<i64>) -> Result<(), PortError>;
    /// The timers of `process` that are due at `now_ms`, oldest first, at most `max`. A timer stays
    /// due until it is settled, cancelled or replaced, so that a crash while handling it fires it
    /// again.
    async fn due(&self, process: &str, now_ms: i64, max: usize) -> Result<Vec<Timer>, PortError>;
    /// When the next timer of `process` is due.
    async fn next_due(&self, process: &str) -> Result<Option<i64>, PortError>;
}

/// A data key as the vault stores it: wrapped by the master key, useless without it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WrappedKey {
    /// Which master key wrapped it.
    pub master_id: String,
    /// Nonce and ciphertext.
    pub wrapped: Vec<u8>,
}

/// The key's id stands in the erase ledger.
#[derive(Clone, Copy, Debug, thiserror::Error)]
#[error("the key was erased and gets no successor")]
pub struct Erased;

impl Erased {
    /// The answer of a key store that is asked to make an erased key again.
    #[must_use]
    pub fn refuse() -> PortError {
        PortError { port: "key store", source: Box::new(Self) }
    }
}

/// Wrapped data keys by key id. Deleting really deletes.
#[async_trait]
pub trait KeyStore: Send + Sync + 'static {
    /// The key, if there is one.
    async fn get(&self, key_id: &str) -> Result<Option<WrappedKey>, PortError>;
    /// Stores `key` unless there is one already; answers the one that is there now. An id that was
    /// deleted gets no key again: [`Erased`] is the source of the error.
    async fn create(&self, key_id: &str, key: WrappedKey) -> Result<WrappedKey, PortError>;
    /// Replaces a wrapping (rotation of the master key). A key that is gone stays gone.
    async fn rewrap(&self, key_id: &str, key: WrappedKey) -> Result<(), PortError>;
    /// Deletes the key and writes its id into the erase ledger, which outlives restored backups.
    async fn delete(&self, key_id: &str) -> Result<(), PortError>;
    /// All key ids, for rotation.
    async fn list(&self) -> Result<Vec<String>, PortError>;

    /// False when no other process can delete from it: then what this one fetched stays true.
    fn is_shared(&self) -> bool {
        true
    }
}

/// Immutable bytes by the SHA-256 of their content, as lower-case hex.
#[async_trait]
pub trait Blobs: Send + Sync + 'static {
    /// Stores `bytes` and answers their hash. Storing the same bytes again changes nothing.
    async fn put(&self, bytes: Bytes) -> Result<String, PortError>;
    /// The bytes of `hash`, if stored. Bytes that no longer match their hash are an error.
    async fn get(&self, hash: &str) -> Result<Option<Bytes>, PortError>;
}
