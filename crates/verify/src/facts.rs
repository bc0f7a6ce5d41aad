//! One stored event, where it stands and why it happened.

use std::sync::Arc;

use nexus_es::{AggregateId, Position};
use nexus_proto::common::v1 as proto;
use prost::Message;

use crate::report::{Invariant, Report};

/// A commit's place, for findings.
#[derive(Clone, Debug)]
pub(crate) struct Place {
    pub(crate) aggregate: Arc<AggregateId>,
    pub(crate) position: Position,
}

/// An event's id as a number: sixteen bytes, cheap to keep.
pub(crate) type Id = u128;

/// One event.
pub(crate) struct Fact<'a> {
    pub(crate) place: &'a Place,
    pub(crate) commit_id: Id,
    pub(crate) cause: &'a proto::Cause,
    pub(crate) event: &'a proto::Event,
}

impl Fact<'_> {
    pub(crate) fn kind(&self) -> &str {
        &self.event.r#type
    }

    /// The aggregate's id.
    pub(crate) fn of(&self) -> &str {
        &self.place.aggregate.id
    }

    pub(crate) fn id(&self) -> Id {
        id_of(&self.event.event_id).unwrap_or_default()
    }

    /// The event that led to it; `None` when it came from outside.
    pub(crate) fn causation(&self) -> Option<Id> {
        id_of(&self.cause.causation_id)
    }

    /// The payload, or `None` and a finding.
    pub(crate) fn read<T: Message + Default>(&self, report: &mut Report) -> Option<T> {
        match T::decode(self.event.payload.as_slice()) {
            Ok(message) => Some(message),
            Err(error) => {
                let what = format!("the payload of {} cannot be read: {error}", self.kind());
                report.violated(Invariant::I5, self.place, what);
                None
            }
        }
    }
}

/// The id in sixteen bytes; `None` for any other length.
pub(crate) fn id_of(bytes: &[u8]) -> Option<Id> {
    bytes.try_into().ok().map(u128::from_be_bytes)
}

/// The id in a text, with hyphens or without.
pub(crate) fn id_in(text: &str) -> Option<Id> {
    let digits = text.replace('-', "");
    if digits.len() == 32 { u128::from_str_radix(&digits, 16).ok() } else { None }
}
