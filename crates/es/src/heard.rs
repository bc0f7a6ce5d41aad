//! An event as a follower of the log hears it: with its place, its aggregate and its cause.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use uuid::Uuid;

use crate::commit::{BadCommit, Cause, Commit, Payload, Stored};
use crate::handle::{Aggregate, BadEvent};
use crate::ids::{AggregateId, Position, Version};
use crate::views::ViewError;

/// One event out of a log.
#[derive(Clone, Debug)]
pub struct Heard {
    /// Whose event it is; its service names the log.
    pub aggregate: Arc<AggregateId>,
    /// The commit's place in that log.
    pub position: Position,
    /// The aggregate's version after the commit.
    pub version: Version,
    /// The commit's number in its aggregate, 1..n.
    pub number: u64,
    /// The event's place among all events of its commit, from 0.
    pub index: u32,
    /// The event's own id.
    pub event_id: Uuid,
    /// Why it happened.
    pub cause: Arc<Cause>,
    /// Type, schema and bytes.
    pub payload: Payload,
}

impl Heard {
    /// All events of a stored commit, in order.
    ///
    /// # Errors
    /// [`BadCommit`] when the bytes are not a commit.
    pub fn of(stored: &Stored) -> Result<Vec<Self>, BadCommit> {
        let commit = Commit::decode(&stored.bytes)?;
        let aggregate = Arc::new(commit.aggregate);
        let mut index = 0;
        let mut heard = Vec::new();
        for entry in commit.entries {
            let cause = Arc::new(entry.cause);
            for (event_id, payload) in entry.events {
                heard.push(Self {
                    aggregate: Arc::clone(&aggregate),
                    position: stored.position,
                    version: stored.version,
                    number: commit.number,
                    index,
                    event_id,
                    cause: Arc::clone(&cause),
                    payload,
                });
                index += 1;
            }
        }
        Ok(heard)
    }

    /// The log that this event stands in.
    #[must_use]
    pub fn service(&self) -> &str {
        &self.aggregate.service
    }

    /// The event's type, for example `order.Created`.
    #[must_use]
    pub fn event_type(&self) -> &str {
        &self.payload.event_type
    }

    /// The event of `A`; `None` when it is of another aggregate, or of a type or schema that this
    /// reader does not know: a newer writer's, which views skip.
    ///
    /// # Errors
    /// [`ViewError::Event`] when the bytes of a known type do not decode.
    pub fn event<A: Aggregate>(&self) -> Result<Option<A::Event>, ViewError> {
        if self.service() != A::SERVICE || self.aggregate.category != A::CATEGORY {
            return Ok(None);
        }
        match A::decode(&self.payload) {
            Ok(event) => Ok(Some(event)),
            Err(BadEvent::Unknown { .. }) => Ok(None),
            Err(BadEvent::Malformed { event_type, why }) => {
                Err(ViewError::Event { event_type, why })
            }
        }
    }

    /// The cause of a command that follows from this event: same story, this event as direct
    /// cause, an id derived from who acts, on what, and what for.
    #[must_use]
    pub fn cause_for(&self, actor: &str, action: &str, now_ms: i64, traceparent: String) -> Cause {
        let event = self.event_id.to_string();
        Cause {
            occurred_at_ms: now_ms,
            learned_at_ms: now_ms,
            command_id: crate::derived_id(&[actor, action, &event]),
            request_hash: Vec::new(),
            story: self.cause.story.clone(),
            causation_id: Some(self.event_id),
            actor: crate::Actor::service(actor),
            traceparent,
        }
    }
}

/// How far one has read in several logs: the opaque `position` of the outer contract.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Positions(pub BTreeMap<String, Position>);

/// Why a text is not a position.
#[derive(Debug, thiserror::Error)]
#[error("\"{0}\" is not a position that Nexus gave out")]
pub struct BadPosition(String);

impl Positions {
    /// One log's position.
    #[must_use]
    pub fn one(service: &str, position: Position) -> Self {
        Self(BTreeMap::from([(service.to_owned(), position)]))
    }

    /// Moves forward to what `other` has seen.
    pub fn advance(&mut self, service: &str, position: Position) {
        let mine = self.0.entry(service.to_owned()).or_default();
        *mine = (*mine).max(position);
    }

    /// The later of both, log by log.
    #[must_use]
    pub fn merged(mut self, other: &Self) -> Self {
        for (service, position) in &other.0 {
            self.advance(service, *position);
        }
        self
    }

    /// True when nothing in `wanted` is ahead of this, as far as this follows those logs.
    #[must_use]
    pub fn covers(&self, wanted: &Self) -> bool {
        wanted.0.iter().all(|(service, at)| self.0.get(service).is_none_or(|mine| mine >= at))
    }

    /// Reads what [`fmt::Display`] wrote.
    ///
    /// # Errors
    /// [`BadPosition`] for any other text.
    pub fn parse(text: &str) -> Result<Self, BadPosition> {
        let bad = || BadPosition(text.to_owned());
        let mut positions = BTreeMap::new();
        for part in text.split(',').filter(|part| !part.is_empty()) {
            let (service, position) = part.split_once(':').ok_or_else(bad)?;
            let position = position.parse().map_err(|_| bad())?;
            positions.insert(service.to_owned(), Position(position));
        }
        Ok(Self(positions))
    }
}

impl fmt::Display for Positions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (nth, (service, position)) in self.0.iter().enumerate() {
            let comma = if nth == 0 { "" } else { "," };
            write!(f, "{comma}{service}:{position}")?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod fuzz;
#[cfg(test)]
mod tests {
    use super::*;
    use crate::commit::Actor;
    use crate::work::{Event, WorkItem};

    fn heard(service: &str, event_type: &str, schema: u32, bytes: &[u8]) -> Heard {
        let cause = Cause {
            occurred_at_ms: 1,
            learned_at_ms: 1,
            command_id: Uuid::nil(),
            request_hash: vec![],
            story: "story".to_owned(),
            causation_id: None,
            actor: Actor::service("test"),
            traceparent: String::new(),
        };
        Heard {
            aggregate: Arc::new(AggregateId::new(service, "work", "w1").unwrap()),
            position: Position(1),
            version: Version(1),
            number: 1,
            index: 0,
            event_id: Uuid::nil(),
            cause: Arc::new(cause),
            payload: Payload { event_type: event_type.to_owned(), schema, bytes: bytes.to_vec() },
        }
    }

    #[test]
    fn an_event_is_read_only_by_the_aggregate_whose_it_is() {
        let read = |heard: Heard| heard.event::<WorkItem>();
        assert_eq!(read(heard("work", "work.Retried", 1, b"")).unwrap(), Some(Event::Retried));
        assert_eq!(read(heard("order", "work.Retried", 1, b"")).unwrap(), None);
    }

    #[test]
    fn an_event_of_a_newer_writer_is_skipped_and_a_damaged_one_is_named() {
        let read = |heard: Heard| heard.event::<WorkItem>();
        assert_eq!(read(heard("work", "work.Dreamt", 1, b"")).unwrap(), None);
        assert_eq!(read(heard("work", "work.Skipped", 2, b"")).unwrap(), None);
        let damaged = read(heard("work", "work.Skipped", 1, b"\xff")).unwrap_err();
        assert!(damaged.to_string().starts_with("event work.Skipped cannot be read"), "{damaged}");
    }

    #[test]
    fn a_position_reads_back_and_nonsense_is_refused() {
        let both =
            Positions::one("order", Position(7)).merged(&Positions::one("shipping", Position(2)));
        assert_eq!(Positions::parse(&both.to_string()).unwrap(), both);
        assert!(Positions::parse("order").is_err());
        assert!(Positions::parse("order:x").is_err());
    }

    #[test]
    fn covering_looks_only_at_followed_logs() {
        let view = Positions::one("order", Position(7));
        assert!(view.covers(&Positions::parse("order:7,inventory:99").unwrap()));
        assert!(!view.covers(&Positions::parse("order:8").unwrap()));
    }
}
