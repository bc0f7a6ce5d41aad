//! Events as stored: domain ↔ proto messages. Nothing else knows both sides.
//! *Invariant:* stored bytes of every event version read as they did when they were written.

mod cash_claim;
mod courier_account;
mod manifest;
mod shipment;
#[cfg(test)]
mod tests;

use nexus_es::{BadEvent, Payload};
use nexus_proto::common::v1 as common;
use prost::Message;

use crate::domain::{CourierKind, Sealed};

/// The service, and the name of its log.
pub(crate) const SERVICE: &str = "shipping";

fn stored(event_type: &str, message: &impl Message) -> Payload {
    Payload { event_type: event_type.to_owned(), schema: 1, bytes: message.encode_to_vec() }
}

fn read<M: Message + Default>(payload: &Payload) -> Result<M, BadEvent> {
    M::decode(payload.bytes.as_slice()).map_err(|error| malformed(payload, error))
}

fn malformed(payload: &Payload, why: impl std::fmt::Display) -> BadEvent {
    BadEvent::Malformed { event_type: payload.event_type.clone(), why: why.to_string() }
}

fn unknown(payload: &Payload) -> BadEvent {
    BadEvent::Unknown { event_type: payload.event_type.clone(), schema: payload.schema }
}

fn courier(payload: &Payload, name: &str) -> Result<CourierKind, BadEvent> {
    CourierKind::parse(name).ok_or_else(|| malformed(payload, format!("no courier \"{name}\"")))
}

/// A sealed value for the outside of the domain.
pub(crate) fn sealed_out(sealed: &Sealed) -> common::Sealed {
    common::Sealed {
        key_id: sealed.key_id.clone(),
        nonce: sealed.nonce.clone(),
        ciphertext: sealed.ciphertext.clone(),
    }
}

/// A sealed value for the domain.
pub(crate) fn sealed_in(sealed: common::Sealed) -> Sealed {
    Sealed { key_id: sealed.key_id, nonce: sealed.nonce, ciphertext: sealed.ciphertext }
}
