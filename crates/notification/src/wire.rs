//! Domain events ↔ proto messages; nothing else knows both.
//! *Invariant:* stored bytes of every version decode for ever; the golden tests hold that.

mod account;
mod message;
mod template;

use nexus_es::{BadEvent, Payload};
use nexus_proto::common::v1::Sealed;
use prost::Message;

use crate::domain::SealedValue;

/// The service and the name of its log.
pub(crate) const SERVICE: &str = "notification";

fn payload(event_type: &str, message: &impl Message) -> Payload {
    Payload { event_type: event_type.to_owned(), schema: 1, bytes: message.encode_to_vec() }
}

fn unknown(payload: &Payload) -> BadEvent {
    BadEvent::Unknown { event_type: payload.event_type.clone(), schema: payload.schema }
}

fn malformed(payload: &Payload, why: &impl ToString) -> BadEvent {
    BadEvent::Malformed { event_type: payload.event_type.clone(), why: why.to_string() }
}

fn read<M: Message + Default>(payload: &Payload) -> Result<M, BadEvent> {
    M::decode(payload.bytes.as_slice()).map_err(|error| malformed(payload, &error))
}

/// A word of ours out of stored bytes, which hold only words we know.
fn word<T>(payload: &Payload, field: &str, parsed: Option<T>) -> Result<T, BadEvent> {
    parsed.ok_or_else(|| malformed(payload, &format!("the word in {field} is not known")))
}

/// Ciphertext for the domain.
pub(crate) fn sealed_from_proto(sealed: Sealed) -> SealedValue {
    SealedValue { key_id: sealed.key_id, nonce: sealed.nonce, ciphertext: sealed.ciphertext }
}

/// Ciphertext for vault and wire.
pub(crate) fn sealed_to_proto(sealed: &SealedValue) -> Sealed {
    Sealed {
        key_id: sealed.key_id.clone(),
        nonce: sealed.nonce.clone(),
        ciphertext: sealed.ciphertext.clone(),
    }
}

#[cfg(test)]
mod golden;
