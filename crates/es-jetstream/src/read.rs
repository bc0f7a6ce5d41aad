//! Reading one aggregate: pages by direct get, and the leader where a copy may lag.
//! *Invariant:* a load holds every commit that was acknowledged before it began, in order.

use nexus_es::log::{LogError, Source};
use nexus_es::{AggregateId, Position, Stored, Version};
use serde_json::json;

use crate::jetstream_log::JetStreamLog;
use crate::subject;
use crate::wire::Held;

/// The commits of `aggregate` after `after`.
pub(crate) async fn load(
    log: &JetStreamLog,
    aggregate: &AggregateId,
    after: Version,
) -> Result<Vec<Stored>, LogError> {
    let stream = log.stream_name(&aggregate.service).map_err(LogError::Unavailable)?;
    let reader = Reader { log, stream, aggregate, subject: subject::of(aggregate) };
    if !log.replicated {
        return reader.direct(after.0).await;
    }
    // Whichever copy answers a direct get may lag; the leader, asked at the same time, knows the
    // last commit that was acknowledged before.
    let (commits, last) =
        futures::future::try_join(reader.direct(after.0), reader.last_of_leader()).await?;
    reader.catch_up(commits, after.0, last).await
}

struct Reader<'a> {
    log: &'a JetStreamLog,
    stream: String,
    aggregate: &'a AggregateId,
    subject: String,
}

impl Reader<'_> {
    async fn direct(&self, after: u64) -> Result<Vec<Stored>, LogError> {
        let read = self.log.wire.direct(&self.stream, &self.subject, after).await;
        read.map_err(LogError::Unavailable)?.into_iter().map(|held| self.stored(held)).collect()
    }

    /// The sequence of the aggregate's last commit, zero if it has none.
    async fn last_of_leader(&self) -> Result<u64, LogError> {
        let which = json!({ "last_by_subj": self.subject });
        let last = self.log.wire.ask_leader(&self.stream, &which).await;
        Ok(last.map_err(LogError::Unavailable)?.map_or(0, |held| held.sequence))
    }

    /// Reads from the leader what is missing up to `last`.
    async fn catch_up(
        &self,
        mut commits: Vec<Stored>,
        after: u64,
        last: u64,
    ) -> Result<Vec<Stored>, LogError> {
        loop {
            let have = commits.last().map_or(after, |stored| stored.version.0);
            if have >= last {
                return Ok(commits);
            }
            let next = self.log.wire.next_from_leader(&self.stream, &self.subject, have).await;
            let next = next.map_err(LogError::Unavailable)?.ok_or_else(|| {
                let why: Source = "the leader changed and does not know its commits yet".into();
                LogError::Unavailable(why)
            })?;
            commits.push(self.stored(next)?);
        }
    }

    fn stored(&self, held: Held) -> Result<Stored, LogError> {
        if held.subject != self.subject {
            let what = format!("another aggregate's commit was read: {}", held.subject);
            return Err(LogError::Damaged { aggregate: self.aggregate.clone(), what });
        }
        Ok(Stored {
            aggregate: self.aggregate.clone(),
            version: Version(held.sequence),
            position: Position(held.sequence),
            bytes: held.payload,
        })
    }
}
