//! Domain events as stored messages, and back.
//! *Invariant:* what was stored once reads the same for ever: types and fields are never renamed or
//! renumbered, a new meaning is a new schema number.

#[cfg(test)]
mod golden;
mod product;
mod stock_ledger;
mod warehouse;

use nexus_es::handle::BadEvent;
use nexus_es::{Aggregate, Payload};
use nexus_proto::inventory::v1 as proto;
use prost::Message;

use crate::SERVICE;
use crate::domain::barcode_claim::{BarcodeClaim, Event as ClaimEvent};

pub(crate) use warehouse::{address, address_message};

impl Aggregate for BarcodeClaim {
    const SERVICE: &'static str = SERVICE;

    fn encode(event: &ClaimEvent) -> Payload {
        match event {
            ClaimEvent::Claimed { sku } => stored(
                "barcode_claim.Claimed",
                &proto::BarcodeClaimClaimed { sku: sku.to_string() },
            ),
            ClaimEvent::Released { sku } => stored(
                "barcode_claim.Released",
                &proto::BarcodeClaimReleased { sku: sku.to_string() },
            ),
        }
    }

    fn decode(payload: &Payload) -> Result<ClaimEvent, BadEvent> {
        match (payload.event_type.as_str(), payload.schema) {
            ("barcode_claim.Claimed", 1) => {
                let claimed: proto::BarcodeClaimClaimed = read(payload)?;
                Ok(ClaimEvent::Claimed { sku: claimed.sku.into() })
            }
            ("barcode_claim.Released", 1) => {
                let released: proto::BarcodeClaimReleased = read(payload)?;
                Ok(ClaimEvent::Released { sku: released.sku.into() })
            }
            _ => Err(unknown(payload)),
        }
    }
}

fn stored(event_type: &str, message: &impl Message) -> Payload {
    Payload { event_type: event_type.to_owned(), schema: 1, bytes: message.encode_to_vec() }
}

fn read<M: Message + Default>(payload: &Payload) -> Result<M, BadEvent> {
    M::decode(payload.bytes.as_slice()).map_err(|error| malformed(payload, error.to_string()))
}

fn malformed(payload: &Payload, why: String) -> BadEvent {
    BadEvent::Malformed { event_type: payload.event_type.clone(), why }
}

fn unknown(payload: &Payload) -> BadEvent {
    BadEvent::Unknown { event_type: payload.event_type.clone(), schema: payload.schema }
}
