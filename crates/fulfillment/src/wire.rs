//! Domain events ↔ proto messages; nothing else knows both.
//! *Invariant:* what was stored is read as it was; the golden bytes in the tests say so.

mod fulfillment;
mod pick_list;

use nexus_es::{BadEvent, Payload};
use nexus_proto::common::v1 as common;
use prost::Message;

use crate::domain::{Dimensions, SkuUnits};

const SCHEMA: u32 = 1;

fn payload(event_type: &str, message: &impl Message) -> Payload {
    Payload { event_type: event_type.to_owned(), schema: SCHEMA, bytes: message.encode_to_vec() }
}

fn message<M: Message + Default>(payload: &Payload) -> Result<M, BadEvent> {
    if payload.schema != SCHEMA {
        return Err(unknown(payload));
    }
    M::decode(payload.bytes.as_slice()).map_err(|error| malformed(payload, &error))
}

fn unknown(payload: &Payload) -> BadEvent {
    BadEvent::Unknown { event_type: payload.event_type.clone(), schema: payload.schema }
}

fn malformed(payload: &Payload, why: &dyn std::fmt::Display) -> BadEvent {
    BadEvent::Malformed { event_type: payload.event_type.clone(), why: why.to_string() }
}

pub(crate) fn units_to_proto(units: &SkuUnits) -> common::SkuUnits {
    common::SkuUnits { sku: units.sku.clone(), units: units.units }
}

fn units_from_proto(units: common::SkuUnits) -> SkuUnits {
    SkuUnits { sku: units.sku, units: units.units }
}

pub(crate) fn dimensions_to_proto(dimensions: Dimensions) -> common::Dimensions {
    let Dimensions { length, width, height } = dimensions;
    common::Dimensions { length, width, height }
}

pub(crate) fn dimensions_from_proto(dimensions: common::Dimensions) -> Dimensions {
    let common::Dimensions { length, width, height } = dimensions;
    Dimensions { length, width, height }
}

#[cfg(test)]
mod tests;
