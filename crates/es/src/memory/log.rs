//! The event log in memory.
//! *Invariant:* one lock orders all appends; a tail reads under the same lock, so it never meets a
//! commit before the one that was stored before it.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use tokio::sync::watch;
use uuid::Uuid;

use crate::commit::Stored;
use crate::ids::{AggregateId, Position, Version};
use crate::log::{Append, AppendError, Appended, Durability, EventLog, LogError, Tail};

use super::lock;

/// An event log in memory. Clones share it.
#[derive(Clone, Debug, Default)]
pub struct MemoryLog {
    shared: Arc<Shared>,
}

#[derive(Debug, Default)]
struct Shared {
    state: Mutex<State>,
    /// The last position of all services: tails wait for it to move.
    last: watch::Sender<Position>,
}

#[derive(Debug, Default)]
struct State {
    last: Position,
    services: HashMap<String, Vec<Stored>>,
    aggregates: HashMap<AggregateId, Vec<Row>>,
}

/// A commit of one aggregate, with what a resent one is known by.
#[derive(Clone, Debug)]
struct Row {
    expected: Version,
    commit_id: Uuid,
    stored: Stored,
}

impl MemoryLog {
    /// All commits of `service`, oldest first.
    #[must_use]
    pub fn commits(&self, service: &str) -> Vec<Stored> {
        lock(&self.shared.state).services.get(service).cloned().unwrap_or_default()
    }

    /// Stores without asking for the size, for the fake that takes too much.
    pub(crate) fn append_any_size(&self, append: &Append) -> Result<Appended, AppendError> {
        let mut state = lock(&self.shared.state);
        let appended = state.append(append)?;
        let last = state.last;
        // Told while the lock is held: two appends cannot tell in the wrong order.
        self.shared.last.send_replace(last);
        Ok(appended)
    }
}

impl State {
    fn append(&mut self, append: &Append) -> Result<Appended, AppendError> {
        let rows = self.aggregates.entry(append.aggregate.clone()).or_default();
        let head = rows.last().map_or(Version::NONE, |row| row.stored.version);
        if head != append.expected {
            return rows
                .iter()
                .find(|row| row.expected == append.expected)
                .filter(|row| row.commit_id == append.commit_id)
                .filter(|row| row.stored.bytes == append.bytes)
                .map(|row| Appended { version: row.stored.version, position: row.stored.position })
                .ok_or(AppendError::Conflict);
        }
        // One count for all services, so that nobody comes to rely on positions without gaps.
        let position = Position(self.last.0 + 1);
        let version = Version(position.0);
        self.last = position;
        let stored = Stored {
            aggregate: append.aggregate.clone(),
            version,
            position,
            bytes: append.bytes.clone(),
        };
        rows.push(Row {
            expected: append.expected,
            commit_id: append.commit_id,
            stored: stored.clone(),
        });
        self.services.entry(append.aggregate.service.clone()).or_default().push(stored);
        Ok(Appended { version, position })
    }

    fn after(&self, service: &str, after: Position, max: usize) -> Vec<Stored> {
        let Some(commits) = self.services.get(service) else { return Vec::new() };
        let from = commits.partition_point(|stored| stored.position <= after);
        commits.iter().skip(from).take(max).cloned().collect()
    }
}

#[async_trait]
impl EventLog for MemoryLog {
    async fn append(&self, append: Append) -> Result<Appended, AppendError> {
        append.check_size()?;
        self.append_any_size(&append)
    }

    async fn load(&self, aggregate: &AggregateId, after: Version) -> Result<Vec<Stored>, LogError> {
        let state = lock(&self.shared.state);
        let Some(rows) = state.aggregates.get(aggregate) else { return Ok(Vec::new()) };
        let from = rows.partition_point(|row| row.stored.version <= after);
        Ok(rows.iter().skip(from).map(|row| row.stored.clone()).collect())
    }

    async fn tail(&self, service: &str, after: Position) -> Result<Box<dyn Tail>, LogError> {
        Ok(Box::new(MemoryTail {
            shared: self.shared.clone(),
            moved: self.shared.last.subscribe(),
            service: service.to_owned(),
            after,
        }))
    }

    async fn head(&self, service: &str) -> Result<Position, LogError> {
        let state = lock(&self.shared.state);
        let last = state.services.get(service).and_then(|commits| commits.last());
        Ok(last.map_or(Position::START, |stored| stored.position))
    }

    fn durability(&self) -> Durability {
        Durability { strict: false, name: "none (memory)".to_owned() }
    }
}

struct MemoryTail {
    shared: Arc<Shared>,
    moved: watch::Receiver<Position>,
    service: String,
    after: Position,
}

#[async_trait]
impl Tail for MemoryTail {
    async fn next(&mut self, max: usize) -> Result<Vec<Stored>, LogError> {
        loop {
            // Marked as seen before looking: a commit that comes in between ends the wait.
            self.moved.borrow_and_update();
            let commits = lock(&self.shared.state).after(&self.service, self.after, max.max(1));
            if let Some(last) = commits.last() {
                self.after = last.position;
                return Ok(commits);
            }
            if self.moved.changed().await.is_err() {
                // The sender lives in `shared`, which this tail holds.
                std::future::pending::<()>().await;
            }
        }
    }
}
