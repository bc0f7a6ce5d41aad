//! When shipping hands a parcel to a courier, note it on the parcel's fulfilment.

use async_trait::async_trait;
use nexus_es::Heard;
use nexus_es::process::{Process, Trouble};
use nexus_proto::shipping::v1::ShipmentHandedOver;

use super::{cause, message};
use crate::domain::fulfillment::Command;
use crate::floor::{Floor, trouble};

const NAME: &str = "follow_shipments";

pub(crate) struct FollowShipments(pub(crate) Floor);

#[async_trait]
impl Process for FollowShipments {
    fn name(&self) -> &'static str {
        NAME
    }

    fn sources(&self) -> &[&'static str] {
        &["shipping"]
    }

    fn key(&self, heard: &Heard) -> Option<String> {
        if heard.event_type() != "shipment.HandedOver" {
            return None;
        }
        // One lane a fulfilment; an unreadable event is told by `act`.
        let handed_over = message::<ShipmentHandedOver>(heard);
        Some(handed_over.map_or_else(|_| heard.aggregate.id.clone(), |it| it.fulfillment_id))
    }

    async fn act(&self, heard: &Heard) -> Result<(), Trouble> {
        let handed_over: ShipmentHandedOver = message(heard)?;
        let command = Command::HandOver {
            parcel_id: handed_over.parcel_id,
            shipment_id: heard.aggregate.id.clone(),
        };
        let cause = cause(heard, NAME, "hand over", &handed_over.order_id);
        let id = handed_over.fulfillment_id.as_str();
        self.0.fulfillments.execute(id, command, cause).await.map(drop).map_err(trouble)
    }
}
