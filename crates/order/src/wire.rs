//! Domain events ↔ proto messages. Nothing else knows both.
//! *Invariant:* stored bytes of every event version still read as they did; the golden bytes below
//! say so.

mod contact;
#[cfg(test)]
mod golden;
mod order;
mod values;

use nexus_es::{Aggregate, BadEvent, Payload};
use nexus_proto::order::v1 as proto;
use prost::Message;

use crate::domain::number_series::{self, NumberSeries};
use crate::domain::phone_claim::{self, PhoneClaim};

pub(crate) use order::{fact_from, fact_to};
pub(crate) use values::{
    allocation_from, allocation_to, sealed_from, sealed_to, shortage_from, shortage_to,
};

/// The service and the name of its log.
pub(crate) const SERVICE: &str = "order";

fn payload(event_type: &str, message: &impl Message) -> Payload {
    Payload { event_type: event_type.to_owned(), schema: 1, bytes: message.encode_to_vec() }
}

pub(crate) fn read<M: Message + Default>(payload: &Payload) -> Result<M, BadEvent> {
    M::decode(payload.bytes.as_slice()).map_err(|error| malformed(payload, error.to_string()))
}

fn malformed(payload: &Payload, why: impl Into<String>) -> BadEvent {
    BadEvent::Malformed { event_type: payload.event_type.clone(), why: why.into() }
}

fn unknown<T>(payload: &Payload) -> Result<T, BadEvent> {
    let (event_type, schema) = (payload.event_type.clone(), payload.schema);
    Err(BadEvent::Unknown { event_type, schema })
}

impl Aggregate for PhoneClaim {
    const SERVICE: &'static str = SERVICE;

    fn encode(event: &phone_claim::Event) -> Payload {
        match event {
            phone_claim::Event::Claimed { contact_id } => payload(
                "phone_claim.Claimed",
                &proto::PhoneClaimClaimed { contact_id: contact_id.clone() },
            ),
            phone_claim::Event::Released { contact_id, reason } => payload(
                "phone_claim.Released",
                &proto::PhoneClaimReleased {
                    contact_id: contact_id.clone(),
                    reason: reason.clone(),
                },
            ),
        }
    }

    fn decode(payload: &Payload) -> Result<phone_claim::Event, BadEvent> {
        match (payload.event_type.as_str(), payload.schema) {
            ("phone_claim.Claimed", 1) => {
                let proto::PhoneClaimClaimed { contact_id } = read(payload)?;
                Ok(phone_claim::Event::Claimed { contact_id })
            }
            ("phone_claim.Released", 1) => {
                let proto::PhoneClaimReleased { contact_id, reason } = read(payload)?;
                Ok(phone_claim::Event::Released { contact_id, reason })
            }
            _ => unknown(payload),
        }
    }
}

impl Aggregate for NumberSeries {
    const SERVICE: &'static str = SERVICE;

    fn encode(event: &number_series::Event) -> Payload {
        let number_series::Event::BlockLeased { from, to, holder } = event;
        let message = proto::NumberSeriesBlockLeased {
            from: *from,
            to: *to,
            holder: holder.clone(),
            fence: 0,
        };
        payload("number_series.BlockLeased", &message)
    }

    fn decode(payload: &Payload) -> Result<number_series::Event, BadEvent> {
        match (payload.event_type.as_str(), payload.schema) {
            ("number_series.BlockLeased", 1) => {
                let message: proto::NumberSeriesBlockLeased = read(payload)?;
                Ok(number_series::Event::BlockLeased {
                    from: message.from,
                    to: message.to,
                    holder: message.holder,
                })
            }
            _ => unknown(payload),
        }
    }
}
