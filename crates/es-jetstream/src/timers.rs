//! Timers in a bucket: one key a timer, holding when it is due. What is due is told from an index
//! in memory that is brought up to date from the leader each time it is asked.
//! *Invariant:* what is answered holds every timer that was set, and none that was settled,
//! replaced or cancelled, before it was asked.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use nexus_es::ports::{PortError, Timer, Timers};
use tokio::sync::Mutex;
use tokio::time::Instant;

use crate::bucket::{Bucket, Write};
use crate::buckets::TIMERS;
use crate::subject::text_of;
use crate::wire::{Held, Wire};

/// So long the end of a timer is kept, for indexes that still hold it.
const GONE_AFTER: Duration = Duration::from_secs(3_600);
/// An index that was not brought up to date for so long is made anew: it could miss an end.
const STALE_AFTER: Duration = Duration::from_secs(900);

/// Timers of one scope: a service.
#[derive(Debug)]
pub struct JetStreamTimers {
    bucket: Bucket,
    scope: String,
    /// By process.
    indexes: std::sync::Mutex<HashMap<String, Arc<Mutex<Index>>>>,
}

/// The timers of one process.
#[derive(Debug, Default)]
struct Index {
    due_at_ms: HashMap<String, i64>,
    by_due: BTreeMap<(i64, String), Vec<u8>>,
    /// The revision up to which the bucket was read.
    read_to: u64,
    /// When, and over which connection: after another one, the server may be another too.
    read_at: Option<(Instant, u64)>,
}

impl Index {
    /// Takes in one message of the bucket.
    fn take_in(&mut self, held: &Held) {
        self.read_to = held.sequence;
        let token = held.subject.rsplit('.').next().unwrap_or_default();
        let Some(key) = text_of(token) else {
            tracing::error!("a timer's key cannot be read: {}", held.subject);
            return;
        };
        if let Some(due_at_ms) = self.due_at_ms.remove(&key) {
            self.by_due.remove(&(due_at_ms, key.clone()));
        }
        if held.payload.is_empty() {
            return;
        }
        match read(&held.payload) {
            Some((due_at_ms, payload)) => {
                self.due_at_ms.insert(key.clone(), due_at_ms);
                self.by_due.insert((due_at_ms, key), payload.to_vec());
            }
            None => tracing::error!("a timer cannot be read: {}", held.subject),
        }
    }
}

/// When a timer is due as text, a line's end, and what the process wants to be told.
fn write(due_at_ms: i64, payload: &[u8]) -> Write {
    let bytes = [format!("{due_at_ms}\n").as_bytes(), payload].concat();
    Write { payload: Bytes::from(bytes), ..Write::default() }
}

fn read(bytes: &[u8]) -> Option<(i64, &[u8])> {
    let end = bytes.iter().position(|byte| *byte == b'\n')?;
    let due_at_ms = std::str::from_utf8(bytes.get(..end)?).ok()?.parse().ok()?;
    Some((due_at_ms, bytes.get(end + 1..)?))
}

/// The end of a timer.
fn gone() -> Write {
    Write { gone_after: Some(GONE_AFTER), ..Write::default() }
}

impl JetStreamTimers {
    pub(crate) fn new(wire: &Arc<Wire>, scope: &str) -> Self {
        let bucket = Bucket::new(wire, "timers", TIMERS);
        Self { bucket, scope: scope.to_owned(), indexes: std::sync::Mutex::default() }
    }

    fn subject(&self, process: &str, key: &str) -> String {
        self.bucket.subject(&[&self.scope, process, key])
    }

    fn index(&self, process: &str) -> Arc<Mutex<Index>> {
        let mut indexes = self.indexes.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        Arc::clone(indexes.entry(process.to_owned()).or_default())
    }

    async fn catch_up(&self, process: &str, index: &mut Index) -> Result<(), PortError> {
        let (now, connects) = (Instant::now(), self.bucket.wire().connects());
        let fresh =
            index.read_at.is_some_and(|(at, over)| over == connects && now - at < STALE_AFTER);
        if !fresh {
            *index = Index::default();
        }
        let filter = self.bucket.under(&[&self.scope, process]);
        for held in self.bucket.all(&filter, index.read_to).await? {
            index.take_in(&held);
        }
        index.read_at = Some((now, connects));
        Ok(())
    }
}

#[async_trait]
impl Timers for JetStreamTimers {
    async fn set(&self, timer: Timer) -> Result<(), PortError> {
        let subject = self.subject(&timer.process, &timer.key);
        // Guarded, so that a write that was given up and arrives late replaces nothing newer.
        let set = |_: Option<&Held>| Some(write(timer.due_at_ms, &timer.payload));
        self.bucket.change(&subject, set).await
    }

    async fn cancel(&self, process: &str, key: &str) -> Result<(), PortError> {
        let end = |held: Option<&Held>| (!held?.payload.is_empty()).then(gone);
        self.bucket.change(&self.subject(process, key), end).await
    }

    async fn settle(&self, fired: &Timer, next: Option<i64>) -> Result<(), PortError> {
        let settle = |held: Option<&Held>| {
            let (due_at_ms, payload) = read(&held?.payload)?;
            let same = due_at_ms == fired.due_at_ms;
            same.then(|| next.map_or_else(gone, |next| write(next, payload)))
        };
        self.bucket.change(&self.subject(&fired.process, &fired.key), settle).await
    }

    async fn due(&self, process: &str, now_ms: i64, max: usize) -> Result<Vec<Timer>, PortError> {
        let index = self.index(process);
        let mut index = index.lock().await;
        self.catch_up(process, &mut index).await?;
        let due = index.by_due.iter().take_while(|((due_at_ms, _), _)| *due_at_ms <= now_ms);
        let timer = |((due_at_ms, key), payload): (&(i64, String), &Vec<u8>)| Timer {
            process: process.to_owned(),
            key: key.clone(),
            due_at_ms: *due_at_ms,
            payload: payload.clone(),
        };
        Ok(due.take(max).map(timer).collect())
    }

    async fn next_due(&self, process: &str) -> Result<Option<i64>, PortError> {
        let index = self.index(process);
        let mut index = index.lock().await;
        self.catch_up(process, &mut index).await?;
        Ok(index.by_due.keys().next().map(|(due_at_ms, _)| *due_at_ms))
    }
}
