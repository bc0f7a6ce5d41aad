//! The port to the event log.
//! *Invariant:* an acknowledged commit is on disk (strict durability), stands whole, once, at one
//! place, and every reader of a service's log meets it in the same order.

use async_trait::async_trait;
use bytes::Bytes;
use uuid::Uuid;

use crate::commit::{MAX_COMMIT_BYTES, Stored};
use crate::ids::{AggregateId, Position, Version};

/// One commit on its way into the log.
#[derive(Clone, Debug)]
pub struct Append {
    /// Whose commit it is.
    pub aggregate: AggregateId,
    /// The version it was decided on; another one in the log is a conflict.
    pub expected: Version,
    /// The commit's id: a resent commit is known by it.
    pub commit_id: Uuid,
    /// The encoded commit.
    pub bytes: Bytes,
    /// W3C trace context for logs that carry it beside the bytes; empty: none.
    pub traceparent: String,
}

impl Append {
    /// Every adapter asks this before it stores anything.
    ///
    /// # Errors
    /// [`AppendError::TooLarge`] above [`MAX_COMMIT_BYTES`].
    pub fn check_size(&self) -> Result<(), AppendError> {
        let bytes = self.bytes.len();
        if bytes > MAX_COMMIT_BYTES { Err(AppendError::TooLarge { bytes }) } else { Ok(()) }
    }
}

/// Where an acknowledged commit stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Appended {
    /// The aggregate's version from now on.
    pub version: Version,
    /// Its place in its service's log.
    pub position: Position,
}

/// Why a commit was not acknowledged.
#[derive(Debug, thiserror::Error)]
pub enum AppendError {
    /// Somebody was faster: the aggregate is no longer at the expected version. Nothing was stored.
    #[error("the aggregate has moved on")]
    Conflict,
    /// The log did not answer: the commit is stored whole, or not at all. Resend the identical
    /// commit to learn which.
    #[error("the log did not answer, the commit may or may not be stored")]
    Unknown(#[source] Source),
    /// The commit is larger than any log takes. Nothing was stored.
    #[error("a commit of {bytes} bytes is larger than {MAX_COMMIT_BYTES}")]
    TooLarge {
        /// The commit's size.
        bytes: usize,
    },
    /// The log cannot be reached or refuses to write. Nothing was stored.
    #[error("the log takes no commits now")]
    Unavailable(#[source] Source),
}

/// Why reading failed.
#[derive(Debug, thiserror::Error)]
pub enum LogError {
    /// The log cannot be reached now.
    #[error("the log cannot be read now")]
    Unavailable(#[source] Source),
    /// What is stored breaks a promise of the log.
    #[error("the log is damaged at {aggregate}: {what}")]
    Damaged {
        /// The aggregate whose history is broken.
        aggregate: AggregateId,
        /// What is wrong.
        what: String,
    },
}

/// The underlying error of an adapter.
pub type Source = Box<dyn std::error::Error + Send + Sync>;

/// What an acknowledgement is worth.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Durability {
    /// True: acknowledged means on disk.
    pub strict: bool,
    /// In words, for `/readyz` and benchmark lines: `strict (sqlite, synchronous=FULL)`.
    pub name: String,
}

/// An append-only log, one order a service, one guard an aggregate.
#[async_trait]
pub trait EventLog: Send + Sync + 'static {
    /// Stores one commit if the aggregate stands at the expected version. Appending the identical
    /// commit again answers where it stands and stores nothing.
    async fn append(&self, append: Append) -> Result<Appended, AppendError>;

    /// The aggregate's commits after `after`, oldest first.
    async fn load(&self, aggregate: &AggregateId, after: Version) -> Result<Vec<Stored>, LogError>;

    /// Follows one service's log from `after` on, in order, without a gap.
    async fn tail(&self, service: &str, after: Position) -> Result<Box<dyn Tail>, LogError>;

    /// The position of the last commit of `service`.
    async fn head(&self, service: &str) -> Result<Position, LogError>;

    /// What an acknowledgement of this log is worth.
    fn durability(&self) -> Durability;

    /// False when no other process can append to it: then what this one knows of an aggregate is
    /// the newest.
    fn is_shared(&self) -> bool {
        true
    }
}

/// A reader that follows one service's log.
#[async_trait]
pub trait Tail: Send {
    /// The next commits, at least one, at most `max`; waits for one when there is none. Dropping
    /// the future loses nothing.
    async fn next(&mut self, max: usize) -> Result<Vec<Stored>, LogError>;
}
