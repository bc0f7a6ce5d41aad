//! Events of cash claims as stored.

use nexus_es::{Aggregate, BadEvent, Payload};
use nexus_proto::shipping::v1 as proto;

use super::{SERVICE, read, stored, unknown};
use crate::domain::cash_claim::{CashClaim, Event};

impl Aggregate for CashClaim {
    const SERVICE: &'static str = SERVICE;

    fn encode(event: &Event) -> Payload {
        match event {
            Event::Claimed { parcel_id } => {
                let message = proto::CashClaimClaimed { parcel_id: parcel_id.clone() };
                stored("cash_claim.Claimed", &message)
            }
        }
    }

    fn decode(payload: &Payload) -> Result<Event, BadEvent> {
        match (payload.event_type.as_str(), payload.schema) {
            ("cash_claim.Claimed", 1) => {
                let message: proto::CashClaimClaimed = read(payload)?;
                Ok(Event::Claimed { parcel_id: message.parcel_id })
            }
            _ => Err(unknown(payload)),
        }
    }
}
