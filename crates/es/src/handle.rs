//! The command handler: state, decide, append, answer.
//! *Invariant:* nothing is answered before the commit that it rests on is acknowledged; one command
//! id makes one entry in the log, whoever sends it how often.
//!
//! Each aggregate in use has a slot with a queue. Commands that wait while an append is in flight
//! are decided together, in order, and appended as one commit: the group commit. Other writers of
//! the same aggregate (another replica) are met by the expected version: on a conflict the slot
//! reads again and decides again.

mod slot;

use std::num::NonZeroUsize;
use std::sync::{Arc, Mutex, PoisonError};

use lru::LruCache;
use tokio::sync::oneshot;
use tracing::Span;

use crate::commit::{BadCommit, Cause, Commit, Payload, Stored, sha256};
use crate::decider::Decider;
use crate::ids::{AggregateId, BadId, Position, Version};
use crate::log::{EventLog, LogError, Source};

use slot::{Freshness, Loaded, Pending, Slot};

/// Aggregates whose state a handler keeps in memory.
const CACHED_AGGREGATES: usize = 4 * 1024;

/// A decider that can be stored: which service owns it, and its events as bytes. Implemented in
/// `wire.rs`, the only place that knows both sides.
pub trait Aggregate: Decider {
    /// The owning service and the name of its log.
    const SERVICE: &'static str;

    /// False when the ids of finished commands need not be kept in memory: each command has an id
    /// of its own that nobody sends again, and there are very many. A repeat is then decided anew.
    const REMEMBERS_COMMANDS: bool = true;

    /// The event as stored.
    fn encode(event: &Self::Event) -> Payload;

    /// The event as it was, older schemas lifted.
    ///
    /// # Errors
    /// [`BadEvent`] for an unknown type or undecodable bytes: the owner refuses to load.
    fn decode(payload: &Payload) -> Result<Self::Event, BadEvent>;
}

/// Why stored bytes are not an event of ours.
#[derive(Debug, thiserror::Error)]
pub enum BadEvent {
    /// This reader does not know the type or schema; a newer writer does.
    #[error("unknown event type {event_type} with schema {schema}")]
    Unknown {
        /// The stored type.
        event_type: String,
        /// The stored schema number.
        schema: u32,
    },
    /// The bytes do not decode, or a value in them is not allowed.
    #[error("event {event_type} does not decode: {why}")]
    Malformed {
        /// The stored type.
        event_type: String,
        /// What is wrong.
        why: String,
    },
}

/// Where a command's facts stand, and whether they were there before.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Receipt {
    /// The aggregate's version the answer rests on.
    pub version: Version,
    /// The last position of the service's log that the answer rests on; zero when the aggregate
    /// has no commit.
    pub position: Position,
    /// The command had been carried out before; the state is the one of that time.
    pub replayed: bool,
}

/// Why a command was not carried out.
#[derive(Debug, thiserror::Error)]
pub enum HandleError<R: std::fmt::Debug> {
    /// The domain said no. Nothing was stored.
    #[error("refused: {0:?}")]
    Refused(R),
    /// The idempotency key was used for another request.
    #[error("the idempotency key was used for another request")]
    KeyReused,
    /// Others were faster too many times in a row. Nothing was stored.
    #[error("the aggregate kept changing, try again")]
    Contended,
    /// The log did not answer: ask again with the same key to learn the outcome.
    #[error("the log did not answer, the outcome is unknown")]
    Unknown(#[source] Arc<dyn std::error::Error + Send + Sync>),
    /// The log cannot be reached. Nothing was stored.
    #[error("the log takes no commits now")]
    Unavailable(#[source] Arc<dyn std::error::Error + Send + Sync>),
    /// One command's events are larger than a commit may be.
    #[error("the command's events take {bytes} bytes, more than a commit holds")]
    TooLarge {
        /// Their size.
        bytes: usize,
    },
    /// The id cannot name an aggregate.
    #[error(transparent)]
    BadId(#[from] BadId),
    /// The stored history cannot be read by this version.
    #[error("the history cannot be loaded")]
    Load(#[source] Arc<LoadError>),
    /// A bug: deciding panicked. Nothing was stored.
    #[error("deciding panicked: {0}")]
    Panicked(String),
}

/// Why an aggregate's history cannot be loaded.
#[derive(Debug, thiserror::Error)]
pub enum LoadError {
    /// The log did not answer, or is damaged.
    #[error(transparent)]
    Log(#[from] LogError),
    /// A stored commit is not one.
    #[error("commit {version} of {aggregate} cannot be read")]
    Commit {
        /// Whose history.
        aggregate: AggregateId,
        /// Where in it.
        version: u64,
        /// What is wrong.
        #[source]
        source: BadCommit,
    },
    /// A stored event is not one that this version knows.
    #[error("an event of {aggregate} cannot be read")]
    Event {
        /// Whose history.
        aggregate: AggregateId,
        /// What is wrong.
        #[source]
        source: BadEvent,
    },
}

/// Carries out commands of one kind of aggregate.
pub struct Handler<A: Aggregate> {
    service: &'static str,
    log: Arc<dyn EventLog>,
    slots: Arc<Mutex<LruCache<String, Arc<Slot<A>>>>>,
}

impl<A: Aggregate> Clone for Handler<A> {
    fn clone(&self) -> Self {
        let (log, slots) = (Arc::clone(&self.log), Arc::clone(&self.slots));
        Self { service: self.service, log, slots }
    }
}

impl<A: Aggregate> Handler<A> {
    /// A handler over `log`.
    #[must_use]
    pub fn new(log: Arc<dyn EventLog>) -> Self {
        Self::in_service(A::SERVICE, log)
    }

    /// A handler of an aggregate that every service has for itself, in the log of `service`.
    #[must_use]
    pub fn in_service(service: &'static str, log: Arc<dyn EventLog>) -> Self {
        let capacity = NonZeroUsize::new(CACHED_AGGREGATES).unwrap_or(NonZeroUsize::MIN);
        Self { service, log, slots: Arc::new(Mutex::new(LruCache::new(capacity))) }
    }

    /// Carries out `command` on aggregate `id`.
    ///
    /// # Errors
    /// [`HandleError`]; unless it is `Unknown`, nothing was stored.
    pub async fn execute(
        &self,
        id: &str,
        command: A::Command,
        cause: Cause,
    ) -> Result<Receipt, HandleError<A::Refusal>> {
        self.execute_then(id, command, cause, |_, _| ()).await.map(|(receipt, ())| receipt)
    }

    /// Carries out `command` and reads the state it leaves: `read` gets that state and the
    /// command's own events (none when it was no news; those of the first time when replayed). The
    /// state may hold later events of commands that were decided together with this one.
    ///
    /// # Errors
    /// As [`Self::execute`].
    pub async fn execute_then<T: Send + 'static>(
        &self,
        id: &str,
        command: A::Command,
        cause: Cause,
        read: impl FnOnce(&A, &[A::Event]) -> T + Send + 'static,
    ) -> Result<(Receipt, T), HandleError<A::Refusal>> {
        let aggregate = AggregateId::new(self.service, A::CATEGORY, id)?;
        // A request from outside begins without knowing whose story it belongs to.
        Span::current().record("nexus.story", cause.story.as_str());
        let (sender, receiver) = oneshot::channel();
        let pending = Pending {
            command: Some(command),
            freshness: Freshness::Newest,
            cause: Some(cause),
            span: Span::current(),
            answer: Box::new(move |answer| {
                let told = answer.map(|(receipt, state, events)| (receipt, read(state, events)));
                // The caller may have gone away; the command stands all the same.
                drop(sender.send(told));
            }),
        };
        Slot::submit(&self.slot(&aggregate), &self.log, &aggregate, pending);
        receiver.await.unwrap_or_else(|_| Err(HandleError::Panicked("answering".to_owned())))
    }

    /// Reads the state of aggregate `id` with `read`, in turn with its commands: all that was
    /// acknowledged before the call is in it, whichever replica wrote it.
    ///
    /// # Errors
    /// [`HandleError`] when the history cannot be loaded.
    pub async fn read<T: Send + 'static>(
        &self,
        id: &str,
        read: impl FnOnce(&A) -> T + Send + 'static,
    ) -> Result<(Receipt, T), HandleError<A::Refusal>> {
        self.read_as(id, Freshness::Newest, read).await
    }

    /// As [`Self::read`], for whoever has heard of the aggregate's commit at `position`: all up to
    /// that one is in the state. It costs no question to the log where that is known already.
    ///
    /// # Errors
    /// As [`Self::read`].
    pub async fn read_since<T: Send + 'static>(
        &self,
        id: &str,
        position: Position,
        read: impl FnOnce(&A) -> T + Send + 'static,
    ) -> Result<(Receipt, T), HandleError<A::Refusal>> {
        self.read_as(id, Freshness::Since(position), read).await
    }

    /// Looks something up that never goes away once it is there: what is kept of the state will
    /// do where it holds that, and the newest state is asked where it does not.
    ///
    /// # Errors
    /// As [`Self::read`].
    pub async fn find<T: Send + 'static>(
        &self,
        id: &str,
        find: impl Fn(&A) -> Option<T> + Clone + Send + 'static,
    ) -> Result<Option<T>, HandleError<A::Refusal>> {
        let (_, kept) = self.read_as(id, Freshness::Kept, find.clone()).await?;
        match kept {
            Some(found) => Ok(Some(found)),
            None => self.read(id, find).await.map(|(_, found)| found),
        }
    }

    async fn read_as<T: Send + 'static>(
        &self,
        id: &str,
        freshness: Freshness,
        read: impl FnOnce(&A) -> T + Send + 'static,
    ) -> Result<(Receipt, T), HandleError<A::Refusal>> {
        let aggregate = AggregateId::new(self.service, A::CATEGORY, id)?;
        let (sender, receiver) = oneshot::channel();
        let pending = Pending {
            command: None,
            freshness,
            cause: None,
            span: Span::none(),
            answer: Box::new(move |answer| {
                drop(sender.send(answer.map(|(receipt, state, _)| (receipt, read(state)))));
            }),
        };
        Slot::submit(&self.slot(&aggregate), &self.log, &aggregate, pending);
        receiver.await.unwrap_or_else(|_| Err(HandleError::Panicked("reading".to_owned())))
    }

    /// Drops what is known of aggregate `id`: the next command or read loads it from the log. For
    /// readers who have heard of a commit of another replica that [`Self::read`] does not show.
    pub fn forget(&self, id: &str) {
        self.slots.lock().unwrap_or_else(PoisonError::into_inner).pop(id);
    }

    fn slot(&self, aggregate: &AggregateId) -> Arc<Slot<A>> {
        let mut slots = self.slots.lock().unwrap_or_else(PoisonError::into_inner);
        Arc::clone(slots.get_or_insert_ref(aggregate.id.as_str(), || Arc::new(Slot::default())))
    }
}

/// Loads and folds the whole history of an aggregate, checking its chain.
///
/// # Errors
/// [`LoadError`] when the log does not answer, is damaged, or holds an unknown event.
async fn load<A: Aggregate>(
    log: &dyn EventLog,
    aggregate: &AggregateId,
    until: Option<Version>,
) -> Result<Loaded<A>, LoadError> {
    let mut loaded = Loaded::default();
    for stored in log.load(aggregate, Version::NONE).await? {
        if until.is_some_and(|until| stored.version > until) {
            break;
        }
        loaded.take_in(aggregate, &stored)?;
    }
    Ok(loaded)
}

impl<A: Aggregate> Loaded<A> {
    /// Takes in what other writers have appended since; true when there was something.
    async fn catch_up(
        &mut self,
        log: &dyn EventLog,
        aggregate: &AggregateId,
    ) -> Result<bool, LoadError> {
        let news = log.load(aggregate, self.version).await?;
        for stored in &news {
            self.take_in(aggregate, stored)?;
        }
        Ok(!news.is_empty())
    }

    fn take_in(&mut self, aggregate: &AggregateId, stored: &Stored) -> Result<(), LoadError> {
        let commit = Commit::decode(&stored.bytes).map_err(|source| LoadError::Commit {
            aggregate: aggregate.clone(),
            version: stored.version.0,
            source,
        })?;
        if commit.number != self.number + 1 || commit.previous_sha256 != self.last_sha256 {
            let what = format!("commit {} does not follow commit {}", commit.number, self.number);
            return Err(LogError::Damaged { aggregate: aggregate.clone(), what }.into());
        }
        for entry in &commit.entries {
            for (_, payload) in &entry.events {
                let event = A::decode(payload)
                    .map_err(|source| LoadError::Event { aggregate: aggregate.clone(), source })?;
                self.state = std::mem::take(&mut self.state).evolve(&event);
            }
            self.remember(&entry.cause, stored.version);
        }
        self.number = commit.number;
        self.last_sha256 = sha256(&stored.bytes);
        self.version = stored.version;
        self.position = stored.position;
        Ok(())
    }
}

fn shared(source: Source) -> Arc<dyn std::error::Error + Send + Sync> {
    Arc::from(source)
}

#[cfg(test)]
mod tests;
