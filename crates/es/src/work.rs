//! Work that was set aside: what a process gave up on, waits for a person.
//! *Invariant:* parked work blocks only its own key, and ends by a retry that worked or by a skip
//! with a reason; all of it is events. What was skipped is never done again.

use async_trait::async_trait;
use nexus_proto::work::v1 as proto;
use prost::Message;
use sqlx::{AnyConnection, AssertSqlSafe, Row};

use crate::commit::Payload;
use crate::decider::Decider;
use crate::handle::{Aggregate, BadEvent};
use crate::heard::Heard;
use crate::views::{Changes, Pool, View, ViewError};

/// The table that [`ParkedView`] keeps; part of every service's view schema. Skipped work stays in
/// it: its event is met again when a log is read again, and must still be let be.
pub const SCHEMA: &str = "
CREATE TABLE parked (id TEXT PRIMARY KEY, process TEXT NOT NULL, work_key TEXT NOT NULL,
    source TEXT NOT NULL, position BIGINT NOT NULL, event_index BIGINT NOT NULL,
    event_type TEXT NOT NULL, event_id TEXT NOT NULL, story TEXT NOT NULL, cause TEXT NOT NULL,
    attempts BIGINT NOT NULL, parked_at_ms BIGINT NOT NULL, retries BIGINT NOT NULL,
    skipped_at_ms BIGINT NOT NULL);
";

/// What is asked of a piece of work.
pub enum Command {
    /// Set it aside.
    Park(proto::WorkParked),
    /// Try it again.
    Retry,
    /// Let it be, with a reason.
    Skip {
        /// Why it need not be done.
        reason: String,
    },
    /// A retry worked.
    Resolve,
}

/// What became of it.
#[derive(Debug, PartialEq)]
pub enum Event {
    /// It was set aside.
    Parked(proto::WorkParked),
    /// Somebody asked to try again.
    Retried,
    /// Somebody let it be.
    Skipped {
        /// Why.
        reason: String,
    },
    /// A retry worked.
    Resolved,
}

/// Why it cannot be retried or skipped.
#[derive(Debug, PartialEq, thiserror::Error)]
pub enum Refusal {
    /// Nothing is parked under this id.
    #[error("no parked work has this id")]
    NotParked,
    /// A skip needs a reason.
    #[error("skipping needs a reason")]
    NoReason,
}

/// One event that one process could not deal with.
#[derive(Default)]
pub struct WorkItem {
    parked: Option<proto::WorkParked>,
    standing: Standing,
}

/// Whether work still waits.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Standing {
    /// It never was set aside, or a retry worked.
    #[default]
    Done,
    /// It waits.
    Open,
    /// Somebody let it be, for good.
    Skipped,
}

impl WorkItem {
    /// What was set aside, as it was told last, and whether it still waits.
    #[must_use]
    pub fn account(&self) -> Option<(&proto::WorkParked, Standing)> {
        self.parked.as_ref().map(|parked| (parked, self.standing))
    }
}

impl Decider for WorkItem {
    const CATEGORY: &'static str = "work";
    type Command = Command;
    type Event = Event;
    type Refusal = Refusal;

    fn decide(&self, command: &Command) -> Result<Vec<Event>, Refusal> {
        match command {
            // A runner that did not hear of the skip yet.
            Command::Park(_) if self.standing == Standing::Skipped => Ok(vec![]),
            // That it waits says less than why it was given up.
            Command::Park(parked) if parked.attempts == 0 && self.is_open() => Ok(vec![]),
            // A failed retry parks again: the newest cause and count are news.
            Command::Park(parked) => Ok(vec![Event::Parked(parked.clone())]),
            Command::Resolve if !self.is_open() => Ok(vec![]),
            _ if !self.is_open() => Err(Refusal::NotParked),
            Command::Retry => Ok(vec![Event::Retried]),
            Command::Skip { reason } if reason.trim().is_empty() => Err(Refusal::NoReason),
            Command::Skip { reason } => Ok(vec![Event::Skipped { reason: reason.clone() }]),
            Command::Resolve => Ok(vec![Event::Resolved]),
        }
    }

    fn evolve(self, event: &Event) -> Self {
        match event {
            Event::Parked(parked) => {
                Self { parked: Some(parked.clone()), standing: Standing::Open }
            }
            Event::Retried => Self { standing: Standing::Open, ..self },
            Event::Skipped { .. } => Self { standing: Standing::Skipped, ..self },
            Event::Resolved => Self { standing: Standing::Done, ..self },
        }
    }
}

impl WorkItem {
    fn is_open(&self) -> bool {
        self.standing == Standing::Open
    }
}

impl Aggregate for WorkItem {
    // Each service has its own: handlers are made with `Handler::in_service`.
    const SERVICE: &'static str = "work";

    fn encode(event: &Event) -> Payload {
        let (name, bytes) = match event {
            Event::Parked(parked) => ("work.Parked", parked.encode_to_vec()),
            Event::Retried => ("work.Retried", proto::WorkRetried {}.encode_to_vec()),
            Event::Skipped { reason } => {
                ("work.Skipped", proto::WorkSkipped { reason: reason.clone() }.encode_to_vec())
            }
            Event::Resolved => ("work.Resolved", proto::WorkResolved {}.encode_to_vec()),
        };
        Payload { event_type: name.to_owned(), schema: 1, bytes }
    }

    fn decode(payload: &Payload) -> Result<Event, BadEvent> {
        let bytes = payload.bytes.as_slice();
        let malformed = |error: prost::DecodeError| BadEvent::Malformed {
            event_type: payload.event_type.clone(),
            why: error.to_string(),
        };
        match (payload.event_type.as_str(), payload.schema) {
            ("work.Parked", 1) => {
                Ok(Event::Parked(proto::WorkParked::decode(bytes).map_err(malformed)?))
            }
            ("work.Retried", 1) => Ok(Event::Retried),
            ("work.Skipped", 1) => {
                let skipped = proto::WorkSkipped::decode(bytes).map_err(malformed)?;
                Ok(Event::Skipped { reason: skipped.reason })
            }
            ("work.Resolved", 1) => Ok(Event::Resolved),
            _ => Err(BadEvent::Unknown {
                event_type: payload.event_type.clone(),
                schema: payload.schema,
            }),
        }
    }
}

/// One piece of parked work, as listed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Parked {
    /// Its id.
    pub id: String,
    /// The process that gave up.
    pub process: String,
    /// The blocked lane.
    pub key: String,
    /// The log of the event.
    pub source: String,
    /// The position of its commit.
    pub position: u64,
    /// The event's place in its commit.
    pub index: u32,
    /// The event's type.
    pub event_type: String,
    /// The event's id.
    pub event_id: String,
    /// The story it belongs to.
    pub story: String,
    /// Why the last attempt failed.
    pub cause: String,
    /// How often it was tried.
    pub attempts: u32,
    /// When it was set aside, unix milliseconds.
    pub parked_at_ms: i64,
    /// Retries asked for since it was set aside: above zero, one is under way.
    pub retries: u32,
}

/// The list of parked work of one service.
pub struct ParkedView {
    sources: Vec<&'static str>,
}

impl ParkedView {
    /// The parked work of `service`.
    #[must_use]
    pub fn new(service: &'static str) -> Self {
        Self { sources: vec![service] }
    }
}

#[async_trait]
impl View for ParkedView {
    fn name(&self) -> &'static str {
        "parked"
    }

    fn sources(&self) -> &[&'static str] {
        &self.sources
    }

    async fn apply(
        &self,
        tx: &mut AnyConnection,
        heard: &[Heard],
        changes: &mut Changes,
    ) -> Result<(), ViewError> {
        for heard in heard.iter().filter(|heard| heard.aggregate.category == WorkItem::CATEGORY) {
            let id = heard.aggregate.id.as_str();
            let event = WorkItem::decode(&heard.payload).map_err(|error| ViewError::Event {
                event_type: heard.event_type().to_owned(),
                why: error.to_string(),
            })?;
            match event {
                Event::Parked(parked) => insert(tx, id, heard, parked).await?,
                Event::Retried => {
                    sqlx::query("UPDATE parked SET retries = retries + 1 WHERE id = $1")
                        .bind(id.to_owned())
                        .execute(&mut *tx)
                        .await?;
                }
                Event::Skipped { .. } => {
                    sqlx::query("UPDATE parked SET skipped_at_ms = $2 WHERE id = $1")
                        .bind(id.to_owned())
                        .bind(heard.cause.occurred_at_ms.max(1))
                        .execute(&mut *tx)
                        .await?;
                }
                Event::Resolved => {
                    sqlx::query("DELETE FROM parked WHERE id = $1")
                        .bind(id.to_owned())
                        .execute(&mut *tx)
                        .await?;
                }
            }
            changes.add(format!("work:{id}"));
        }
        Ok(())
    }
}

async fn insert(
    tx: &mut AnyConnection,
    id: &str,
    heard: &Heard,
    parked: proto::WorkParked,
) -> Result<(), ViewError> {
    sqlx::query(
        "INSERT INTO parked (id, process, work_key, source, position, event_index, event_type, \
         event_id, story, cause, attempts, parked_at_ms, retries, skipped_at_ms) \
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, 0, 0) \
         ON CONFLICT (id) DO UPDATE SET cause = excluded.cause, attempts = excluded.attempts, \
         parked_at_ms = excluded.parked_at_ms, retries = 0, skipped_at_ms = 0",
    )
    .bind(id.to_owned())
    .bind(parked.process)
    .bind(parked.key)
    .bind(parked.source)
    .bind(i64::try_from(parked.position).unwrap_or(i64::MAX))
    .bind(i64::from(parked.index))
    .bind(parked.event_type)
    .bind(hex::encode(&parked.event_id))
    .bind(heard.cause.story.clone())
    .bind(parked.cause)
    .bind(i64::from(parked.attempts))
    .bind(heard.cause.occurred_at_ms)
    .execute(tx)
    .await?;
    Ok(())
}

/// The parked work of a service, oldest first; of one process when named.
///
/// # Errors
/// What the database answers.
pub async fn list(pool: &Pool, process: Option<&str>) -> Result<Vec<Parked>, sqlx::Error> {
    rows(pool, "skipped_at_ms = 0 AND ($1 = '' OR process = $1)", process.unwrap_or_default()).await
}

/// How much work of each process is parked, and since when the oldest, unix milliseconds.
///
/// # Errors
/// What the database answers.
pub async fn counts(pool: &Pool) -> Result<Vec<(String, i64, i64)>, sqlx::Error> {
    let query = "SELECT process, COUNT(*), MIN(parked_at_ms) FROM parked WHERE skipped_at_ms = 0 \
                 GROUP BY process";
    sqlx::query_as(query).fetch_all(pool).await
}

/// The work of one process that was let be.
pub(crate) async fn skipped(pool: &Pool, process: &str) -> Result<Vec<Parked>, sqlx::Error> {
    rows(pool, "skipped_at_ms <> 0 AND process = $1", process).await
}

async fn rows(pool: &Pool, which: &'static str, process: &str) -> Result<Vec<Parked>, sqlx::Error> {
    let query = format!(
        "SELECT id, process, work_key, source, position, event_index, event_type, event_id, \
         story, cause, attempts, parked_at_ms, retries FROM parked WHERE {which} \
         ORDER BY source, position, event_index"
    );
    let rows = sqlx::query(AssertSqlSafe(query)).bind(process.to_owned()).fetch_all(pool).await?;
    rows.iter()
        .map(|row| {
            Ok(Parked {
                id: row.try_get(0)?,
                process: row.try_get(1)?,
                key: row.try_get(2)?,
                source: row.try_get(3)?,
                position: u64::try_from(row.try_get::<i64, _>(4)?).unwrap_or_default(),
                index: u32::try_from(row.try_get::<i64, _>(5)?).unwrap_or_default(),
                event_type: row.try_get(6)?,
                event_id: row.try_get(7)?,
                story: row.try_get(8)?,
                cause: row.try_get(9)?,
                attempts: u32::try_from(row.try_get::<i64, _>(10)?).unwrap_or_default(),
                parked_at_ms: row.try_get(11)?,
                retries: u32::try_from(row.try_get::<i64, _>(12)?).unwrap_or_default(),
            })
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kit::given;

    fn parked(attempts: u32) -> proto::WorkParked {
        proto::WorkParked { attempts, ..proto::WorkParked::default() }
    }

    fn skipped() -> Event {
        Event::Skipped { reason: "done by hand".to_owned() }
    }

    #[test]
    fn a_failed_retry_is_news_and_waiting_behind_another_is_not() {
        given::<WorkItem>([Event::Parked(parked(3))])
            .when(&Command::Park(parked(4)))
            .then([Event::Parked(parked(4))]);
        given::<WorkItem>([Event::Parked(parked(3))])
            .when(&Command::Park(parked(0)))
            .then_no_news();
        given::<WorkItem>([]).when(&Command::Park(parked(0))).then([Event::Parked(parked(0))]);
    }

    #[test]
    fn what_was_skipped_is_not_parked_again() {
        let history = || [Event::Parked(parked(3)), Event::Retried, skipped()];
        given::<WorkItem>(history()).when(&Command::Park(parked(6))).then_no_news();
        given::<WorkItem>(history()).when(&Command::Resolve).then_no_news();
        given::<WorkItem>(history()).when(&Command::Retry).then_refused(Refusal::NotParked);
    }
}
