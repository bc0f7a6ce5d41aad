//! A bucket: a stream whose subjects are keys, in the layout of NATS' own key-value buckets, which
//! an operator's tools read. Reads ask the leader, writes are guarded by the key's revision.
//! *Invariant:* a guarded write is stored only if its key stands at the revision that was read.

use std::sync::Arc;
use std::time::Duration;

use async_nats::HeaderMap;
use async_nats::header::{NATS_EXPECTED_LAST_SUBJECT_SEQUENCE, NATS_MESSAGE_TTL};
use async_nats::jetstream;
use async_nats::jetstream::ErrorCode;
use async_nats::jetstream::publish::PublishAck;
use async_nats::jetstream::response::Response;
use bytes::Bytes;
use nexus_es::log::Source;
use nexus_es::ports::PortError;
use serde_json::json;
use tokio::time::{Instant, sleep};

use crate::append::{WRONG_LAST_SEQUENCE, WRONG_LAST_SEQUENCE_IN_FLIGHT};
use crate::subject::token;
use crate::wire::{Held, Wire};

/// Between two attempts of a write that met another one.
const PAUSE: Duration = Duration::from_millis(5);

/// Tells a key-value tool what a message without a value is.
const KV_OPERATION: &str = "KV-Operation";

/// One bucket.
#[derive(Clone, Debug)]
pub(crate) struct Bucket {
    wire: Arc<Wire>,
    /// The port, as errors name it.
    port: &'static str,
    stream: String,
    prefix: String,
}

/// What became of a guarded write.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Put {
    /// It stands at this revision.
    Stored(u64),
    /// The key was at another revision.
    Moved,
}

/// What to write.
#[derive(Clone, Debug, Default)]
pub(crate) struct Write {
    /// The revision that the key has to be at, zero for none; not looked at if it is not said.
    pub(crate) expected: Option<u64>,
    pub(crate) payload: Bytes,
    /// Set: the key has no value from now on, and the server forgets the key after this time.
    pub(crate) gone_after: Option<Duration>,
}

impl Bucket {
    /// The bucket of these settings.
    pub(crate) fn new(wire: &Arc<Wire>, port: &'static str, name: &str) -> Self {
        let (stream, prefix) = (stream_of(name), format!("$KV.{name}"));
        Self { wire: Arc::clone(wire), port, stream, prefix }
    }

    pub(crate) fn wire(&self) -> &Wire {
        &self.wire
    }

    /// The subject of the key that these parts name.
    pub(crate) fn subject(&self, parts: &[&str]) -> String {
        let tokens: Vec<String> = parts.iter().map(|part| token(part)).collect();
        format!("{}.{}", self.prefix, tokens.join("."))
    }

    /// Whatever lies under these parts.
    pub(crate) fn under(&self, parts: &[&str]) -> String {
        if parts.is_empty() {
            format!("{}.>", self.prefix)
        } else {
            format!("{}.>", self.subject(parts))
        }
    }

    pub(crate) fn failed(&self, source: impl Into<Source>) -> PortError {
        PortError { port: self.port, source: source.into() }
    }

    /// The newest message of `subject`.
    pub(crate) async fn last(&self, subject: &str) -> Result<Option<Held>, PortError> {
        let which = json!({ "last_by_subj": subject });
        let last = self.wire.ask_leader(&self.stream, &which).await;
        last.map_err(|source| self.failed(source))
    }

    /// All messages of `filter` after the revision `after`, oldest first.
    pub(crate) async fn all(&self, filter: &str, after: u64) -> Result<Vec<Held>, PortError> {
        let all = self.wire.all(&self.stream, filter, after).await;
        all.map_err(|source| self.failed(source))
    }

    /// Writes to `subject`.
    pub(crate) async fn put(&self, subject: &str, write: Write) -> Result<Put, PortError> {
        let mut headers = HeaderMap::new();
        if let Some(expected) = write.expected {
            headers.insert(NATS_EXPECTED_LAST_SUBJECT_SEQUENCE, expected.to_string());
        }
        if let Some(ttl) = write.gone_after {
            headers.insert(KV_OPERATION, "DEL");
            headers.insert(NATS_MESSAGE_TTL, format!("{}s", ttl.as_secs()));
        }
        let headers = Some(headers).filter(|headers| !headers.is_empty());
        let asked = self.wire.ask(subject.to_owned(), headers, write.payload).await;
        let reply = asked.map_err(|source| self.failed(source))?;
        match read_ack(&reply).map_err(|source| self.failed(source))? {
            Response::Ok(ack) if ack.stream == self.stream => Ok(Put::Stored(ack.sequence)),
            Response::Ok(ack) => {
                Err(self.failed(format!("the stream {} took the write", ack.stream)))
            }
            Response::Err { error } if is_moved(&error) => Ok(Put::Moved),
            Response::Err { error } => Err(self.failed(error)),
        }
    }

    /// Changes `subject` as `change` says of its newest message, until no other write comes
    /// between. Nothing to write: nothing changes.
    pub(crate) async fn change(
        &self,
        subject: &str,
        change: impl Fn(Option<&Held>) -> Option<Write>,
    ) -> Result<(), PortError> {
        let deadline = Instant::now() + self.wire.request_timeout;
        loop {
            let last = self.last(subject).await?;
            let Some(write) = change(last.as_ref()) else { return Ok(()) };
            let expected = Some(last.map_or(0, |held| held.sequence));
            if let Put::Stored(_) = self.put(subject, Write { expected, ..write }).await? {
                return Ok(());
            }
            if Instant::now() > deadline {
                return Err(self.failed("others write the same key all the time"));
            }
            sleep(PAUSE).await;
        }
    }

    /// Overwrites a message where it lies, so that the disk does not hold it any more.
    pub(crate) async fn erase(&self, sequence: u64) -> Result<(), PortError> {
        let which = json!({ "seq": sequence, "no_erase": false });
        let asked = self.wire.api(&format!("STREAM.MSG.DELETE.{}", self.stream), &which).await;
        match asked.map_err(|source| self.failed(source))? {
            Response::Ok(_) => Ok(()),
            Response::Err { error } if is_gone(&error) => Ok(()),
            Response::Err { error } => Err(self.failed(error)),
        }
    }
}

/// The stream of the bucket `name`.
pub(crate) fn stream_of(name: &str) -> String {
    format!("KV_{name}")
}

pub(crate) fn read_ack(reply: &[u8]) -> Result<Response<PublishAck>, serde_json::Error> {
    serde_json::from_slice(reply)
}

pub(crate) fn is_moved(error: &jetstream::Error) -> bool {
    [WRONG_LAST_SEQUENCE, WRONG_LAST_SEQUENCE_IN_FLIGHT].contains(&error.error_code())
}

/// Somebody else erased it: the server says so in one of several ways.
fn is_gone(error: &jetstream::Error) -> bool {
    error.error_code() == ErrorCode::NO_MESSAGE_FOUND
        || error.error_code() == ErrorCode::SEQUENCE_NOT_FOUND
        || error.to_string().contains("no message found")
}
