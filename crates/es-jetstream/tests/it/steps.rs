//! Steps that the tests share.

use std::time::Duration;

use bytes::Bytes;
use nexus_es::log::{Append, AppendError, Appended, EventLog, Tail};
use nexus_es::{AggregateId, Stored, Version, new_id};
use tokio::time::{Instant, interval_at, timeout};

/// How long anything may take on a busy machine.
pub(crate) const PATIENCE: Duration = Duration::from_secs(40);

const LOOK_AGAIN: Duration = Duration::from_millis(10);

/// Waiting for something, with a deadline.
pub(crate) struct Waiting {
    what: &'static str,
    deadline: Instant,
}

impl Waiting {
    pub(crate) fn until(what: &'static str) -> Self {
        Self { what, deadline: Instant::now() + PATIENCE }
    }

    /// It is not so yet: look again in a moment.
    pub(crate) async fn on(&self) {
        assert!(Instant::now() < self.deadline, "not within {PATIENCE:?}: {}", self.what);
        interval_at(Instant::now() + LOOK_AGAIN, LOOK_AGAIN).tick().await;
    }
}

pub(crate) fn order(id: &str) -> AggregateId {
    AggregateId::new("order", "order", id).unwrap()
}

pub(crate) fn commit(aggregate: &AggregateId, expected: Version, text: &str) -> Append {
    Append {
        aggregate: aggregate.clone(),
        expected,
        commit_id: new_id(),
        bytes: Bytes::from(text.to_owned()),
        traceparent: "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01".to_owned(),
    }
}

/// Resends the identical commit until it is known what became of it.
pub(crate) async fn settle(log: &dyn EventLog, append: &Append) -> Result<Appended, AppendError> {
    let waiting = Waiting::until("an unknown append is settled");
    loop {
        match log.append(append.clone()).await {
            Err(AppendError::Unknown(_) | AppendError::Unavailable(_)) => waiting.on().await,
            answer => return answer,
        }
    }
}

/// Loads all commits of the aggregate, as soon as the log can be read.
pub(crate) async fn load(log: &dyn EventLog, aggregate: &AggregateId) -> Vec<Stored> {
    let waiting = Waiting::until("the log can be read");
    loop {
        match log.load(aggregate, Version::NONE).await {
            Ok(commits) => return commits,
            Err(_) => waiting.on().await,
        }
    }
}

/// The next `count` commits of a tail, whatever it says in between about an outage.
pub(crate) async fn read(tail: &mut dyn Tail, count: usize) -> Vec<Stored> {
    let mut commits = Vec::new();
    while commits.len() < count {
        let next = timeout(PATIENCE, tail.next(count - commits.len())).await;
        let have = commits.len();
        let next = next.unwrap_or_else(|_| panic!("the tail met only {have} of {count} commits"));
        commits.extend(next.unwrap());
    }
    commits
}
