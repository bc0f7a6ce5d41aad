//! Steps that the checks of the event log share.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use uuid::Uuid;

use crate::commit::Stored;
use crate::ids::{AggregateId, Position, Version, new_id};
use crate::log::{Append, AppendError, Appended, EventLog, Tail};

use super::super::{Seen, ensure, failed};

pub(super) type Log = Arc<dyn EventLog>;

/// An aggregate of the service `order`.
pub(super) fn order(id: &str) -> Result<AggregateId, String> {
    of("order", "order", id)
}

pub(super) fn of(service: &str, category: &str, id: &str) -> Result<AggregateId, String> {
    AggregateId::new(service, category, id).map_err(failed("name an aggregate"))
}

/// A commit of `size` bytes that look like nothing else.
pub(super) fn commit_of(aggregate: &AggregateId, expected: Version, size: usize) -> Append {
    let commit_id = new_id();
    Append {
        aggregate: aggregate.clone(),
        expected,
        commit_id,
        bytes: noise(commit_id, size),
        traceparent: String::new(),
    }
}

pub(super) fn commit(aggregate: &AggregateId, expected: Version) -> Append {
    commit_of(aggregate, expected, 200)
}

/// Bytes that differ at every place and between commits (xorshift, seeded by the id).
fn noise(commit_id: Uuid, size: usize) -> Bytes {
    let (high, low) = commit_id.as_u64_pair();
    let mut word = (high ^ low.rotate_left(17)) | 1;
    let mut bytes = Vec::with_capacity(size + 8);
    while bytes.len() < size {
        word ^= word << 13;
        word ^= word >> 7;
        word ^= word << 17;
        bytes.extend_from_slice(&word.to_le_bytes());
    }
    bytes.truncate(size);
    Bytes::from(bytes)
}

/// Appends, and resends while the answer is unknown, as the port asks of its callers.
pub(super) async fn settle(log: &Log, append: &Append) -> Result<Appended, AppendError> {
    for _ in 0..50 {
        match log.append(append.clone()).await {
            Err(AppendError::Unknown(_)) => tokio::task::yield_now().await,
            answer => return answer,
        }
    }
    log.append(append.clone()).await
}

/// Appends what must be acknowledged.
pub(super) async fn acked(log: &Log, append: &Append) -> Result<Appended, String> {
    settle(log, append).await.map_err(failed("append"))
}

/// Appends `count` commits to the aggregate, one after the other.
pub(super) async fn history(
    log: &Log,
    aggregate: &AggregateId,
    count: usize,
) -> Result<Vec<(Append, Appended)>, String> {
    let mut version = Version::NONE;
    let mut history = Vec::with_capacity(count);
    for _ in 0..count {
        let append = commit(aggregate, version);
        let appended = acked(log, &append).await?;
        version = appended.version;
        history.push((append, appended));
    }
    Ok(history)
}

pub(super) async fn load(
    log: &Log,
    aggregate: &AggregateId,
    after: Version,
) -> Result<Vec<Stored>, String> {
    log.load(aggregate, after).await.map_err(failed("load"))
}

pub(super) async fn tail(
    log: &Log,
    service: &str,
    after: Position,
) -> Result<Box<dyn Tail>, String> {
    log.tail(service, after).await.map_err(failed("open a tail"))
}

/// Reads `count` commits, at most `max` at once, and no more than that many; each answer may take
/// as long as `patience`.
pub(super) async fn read(
    patience: Duration,
    tail: &mut dyn Tail,
    count: usize,
    max: usize,
) -> Result<Vec<Stored>, String> {
    let mut commits: Vec<Stored> = Vec::with_capacity(count);
    while commits.len() < count {
        let some = tokio::time::timeout(patience, tail.next(max)).await;
        let some = some.map_err(|_| {
            format!("{count} commits are stored, the tail met only {}", commits.len())
        })?;
        let some = some.map_err(failed("read a tail"))?;
        ensure(!some.is_empty() && some.len() <= max, || {
            format!("asked for 1 to {max} commits, got {}", some.len())
        })?;
        commits.extend(some);
    }
    ensure(commits.len() == count, || {
        format!("{count} commits are stored, the tail met {}", commits.len())
    })?;
    Ok(commits)
}

/// What was appended is what is stored, place, bytes and all, in this order.
pub(super) fn same(appended: &[(Append, Appended)], stored: &[Stored]) -> Seen {
    ensure(appended.len() == stored.len(), || {
        format!("{} commits were acknowledged, {} are stored", appended.len(), stored.len())
    })?;
    for ((append, place), stored) in appended.iter().zip(stored) {
        ensure(append.aggregate == stored.aggregate, || {
            format!("a commit of {} came back as {}", append.aggregate, stored.aggregate)
        })?;
        let there = Appended { version: stored.version, position: stored.position };
        ensure(*place == there, || format!("acknowledged at {place:?}, stored at {there:?}"))?;
        ensure(append.bytes == stored.bytes, || {
            let (sent, kept) = (append.bytes.len(), stored.bytes.len());
            format!("the {sent} bytes at {place:?} came back as {kept} others")
        })?;
    }
    Ok(())
}
