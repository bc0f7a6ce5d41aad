//! The envelope: what one append stores.
//! *Invariant:* stored bytes are never re-encoded; each commit names the SHA-256 of the stored
//! bytes before it in its aggregate, so that changed, removed or inserted history is found.

use bytes::Bytes;
use nexus_proto::common::v1 as proto;
use prost::Message;
use uuid::Uuid;

use crate::ids::{AggregateId, Position, Version};

pub use proto::actor::Kind as ActorKind;

/// Largest commit in bytes, on every log.
pub const MAX_COMMIT_BYTES: usize = 512 * 1024;

/// Who stands behind a command.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Actor {
    /// What kind of actor it is.
    pub kind: ActorKind,
    /// Its id: a person, a key, a service, a courier account.
    pub id: String,
    /// The roles it acts with.
    pub roles: Vec<String>,
    /// The warehouse it is bound to; empty: none.
    pub warehouse: String,
}

impl Actor {
    /// A service acting by itself, for example from a process.
    #[must_use]
    pub fn service(name: &str) -> Self {
        Self {
            kind: ActorKind::Service,
            id: name.to_owned(),
            roles: vec!["service".to_owned()],
            warehouse: String::new(),
        }
    }
}

/// Why a command came: stored with each of its events.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cause {
    /// When it happened, unix milliseconds.
    pub occurred_at_ms: i64,
    /// When Nexus learned of it, unix milliseconds; equal to `occurred_at_ms` for our own commands.
    pub learned_at_ms: i64,
    /// The command's id, derived from principal, rpc and idempotency key.
    pub command_id: Uuid,
    /// Keyed hash of the request body; empty when the command came from within.
    pub request_hash: Vec<u8>,
    /// The whole story's id: the correlation id.
    pub story: String,
    /// The event that caused this, if one did.
    pub causation_id: Option<Uuid>,
    /// Who did it.
    pub actor: Actor,
    /// W3C trace context of the command's span; empty when there is none.
    pub traceparent: String,
}

/// An event as stored: its type, schema number and bytes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Payload {
    /// `<aggregate>.<Event>`, for example `order.Created`.
    pub event_type: String,
    /// The schema number of `bytes`.
    pub schema: u32,
    /// The protobuf bytes of the event's message.
    pub bytes: Vec<u8>,
}

/// One command's facts inside a commit.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// Why they came.
    pub cause: Cause,
    /// The events, each with its id.
    pub events: Vec<(Uuid, Payload)>,
}

/// What one append stores: the events of one aggregate, of one command or of several that were
/// decided together.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Commit {
    /// The commit's id, also the log's message id.
    pub commit_id: Uuid,
    /// Whose events these are.
    pub aggregate: AggregateId,
    /// 1..n without a gap in its aggregate.
    pub number: u64,
    /// SHA-256 of the aggregate's previous commit as stored; empty for the first.
    pub previous_sha256: Vec<u8>,
    /// One entry a command.
    pub entries: Vec<Entry>,
}

/// A commit as the log holds it: bytes, and where they stand.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stored {
    /// Whose commit it is.
    pub aggregate: AggregateId,
    /// The aggregate's version after it.
    pub version: Version,
    /// Its place in its service's log.
    pub position: Position,
    /// The bytes, exactly as appended.
    pub bytes: Bytes,
}

/// Why stored bytes are not a commit.
#[derive(Debug, thiserror::Error)]
pub enum BadCommit {
    /// Not our protobuf message.
    #[error("the bytes are not a commit")]
    Undecodable(#[from] prost::DecodeError),
    /// A field that every commit has is missing or malformed.
    #[error("the commit's field {0} is missing or malformed")]
    Field(&'static str),
}

/// SHA-256 of stored bytes.
#[must_use]
pub fn sha256(bytes: &[u8]) -> Vec<u8> {
    aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, bytes).as_ref().to_vec()
}

impl Commit {
    /// The bytes to store.
    #[must_use]
    pub fn encode(&self) -> Bytes {
        let entries = self.entries.iter().map(entry_to_proto).collect();
        let message = proto::Commit {
            commit_id: self.commit_id.as_bytes().to_vec(),
            service: self.aggregate.service.clone(),
            aggregate: self.aggregate.category.clone(),
            id: self.aggregate.id.clone(),
            number: self.number,
            previous_sha256: self.previous_sha256.clone(),
            entries,
        };
        Bytes::from(message.encode_to_vec())
    }

    /// Reads stored bytes.
    ///
    /// # Errors
    /// [`BadCommit`] when the bytes are not a whole commit.
    pub fn decode(bytes: &[u8]) -> Result<Self, BadCommit> {
        let message = proto::Commit::decode(bytes)?;
        let aggregate = AggregateId::new(&message.service, &message.aggregate, &message.id)
            .map_err(|_| BadCommit::Field("id"))?;
        if message.number == 0 {
            return Err(BadCommit::Field("number"));
        }
        Ok(Self {
            commit_id: uuid(&message.commit_id, "commit_id")?,
            aggregate,
            number: message.number,
            previous_sha256: message.previous_sha256,
            entries: message.entries.into_iter().map(entry_from_proto).collect::<Result<_, _>>()?,
        })
    }
}

fn uuid(bytes: &[u8], field: &'static str) -> Result<Uuid, BadCommit> {
    Uuid::from_slice(bytes).map_err(|_| BadCommit::Field(field))
}

fn entry_to_proto(entry: &Entry) -> proto::Entry {
    let cause = &entry.cause;
    let learned = if cause.learned_at_ms == cause.occurred_at_ms { 0 } else { cause.learned_at_ms };
    proto::Entry {
        cause: Some(proto::Cause {
            occurred_at_ms: cause.occurred_at_ms,
            learned_at_ms: learned,
            command_id: cause.command_id.as_bytes().to_vec(),
            request_hash: cause.request_hash.clone(),
            story: cause.story.clone(),
            causation_id: cause.causation_id.map(|id| id.as_bytes().to_vec()).unwrap_or_default(),
            actor: Some(proto::Actor {
                kind: cause.actor.kind.into(),
                id: cause.actor.id.clone(),
                roles: cause.actor.roles.clone(),
                warehouse: cause.actor.warehouse.clone(),
            }),
            traceparent: cause.traceparent.clone(),
        }),
        events: entry
            .events
            .iter()
            .map(|(id, payload)| proto::Event {
                event_id: id.as_bytes().to_vec(),
                r#type: payload.event_type.clone(),
                schema: payload.schema,
                payload: payload.bytes.clone(),
            })
            .collect(),
    }
}

fn entry_from_proto(entry: proto::Entry) -> Result<Entry, BadCommit> {
    let cause = entry.cause.ok_or(BadCommit::Field("cause"))?;
    let actor = cause.actor.ok_or(BadCommit::Field("actor"))?;
    let causation_id = match cause.causation_id.as_slice() {
        [] => None,
        bytes => Some(uuid(bytes, "causation_id")?),
    };
    let learned = if cause.learned_at_ms == 0 { cause.occurred_at_ms } else { cause.learned_at_ms };
    let events = entry
        .events
        .into_iter()
        .map(|event| {
            let payload =
                Payload { event_type: event.r#type, schema: event.schema, bytes: event.payload };
            Ok((uuid(&event.event_id, "event_id")?, payload))
        })
        .collect::<Result<_, BadCommit>>()?;
    Ok(Entry {
        cause: Cause {
            occurred_at_ms: cause.occurred_at_ms,
            learned_at_ms: learned,
            command_id: uuid(&cause.command_id, "command_id")?,
            request_hash: cause.request_hash,
            story: cause.story,
            causation_id,
            actor: Actor {
                kind: ActorKind::try_from(actor.kind).unwrap_or(ActorKind::Unspecified),
                id: actor.id,
                roles: actor.roles,
                warehouse: actor.warehouse,
            },
            traceparent: cause.traceparent,
        },
        events,
    })
}

#[cfg(test)]
mod fuzz;
