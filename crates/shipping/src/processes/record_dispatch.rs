//! When a parcel is handed over, have the warehouse's books ship its goods. A ledger that says no
//! leaves the parcel shipped, and somebody is told.

use std::sync::Arc;

use async_trait::async_trait;
use nexus_es::Heard;
use nexus_es::process::{Process, Trouble};
use nexus_proto::common::v1::SkuUnits;
use nexus_proto::inventory::v1::ShipRequest;
use nexus_runtime::status;

use crate::domain::shipment::Command;
use crate::parts::{Parts, cause_for};

const NAME: &str = "record_dispatch";

pub(super) struct RecordDispatch {
    pub(super) parts: Arc<Parts>,
}

#[async_trait]
impl Process for RecordDispatch {
    fn name(&self) -> &'static str {
        NAME
    }

    fn sources(&self) -> &[&'static str] {
        &["shipping"]
    }

    fn key(&self, heard: &Heard) -> Option<String> {
        (heard.event_type() == "shipment.HandedOver").then(|| heard.aggregate.id.clone())
    }

    async fn act(&self, heard: &Heard) -> Result<(), Trouble> {
        let id = heard.aggregate.id.as_str();
        let state = self.parts.shipment(id).await?;
        let Some(plan) = state.plan().filter(|_| state.is_dispatch_open()) else { return Ok(()) };
        let contents = plan.parcel.contents.iter();
        let ship = ShipRequest {
            warehouse: plan.warehouse.clone(),
            reservation: plan.reservation.clone(),
            shipment_id: id.to_owned(),
            lines: contents
                .map(|(sku, units)| SkuUnits { sku: sku.clone(), units: *units })
                .collect(),
        };
        let request = self.parts.ports.channels.request(ship, &cause_for(heard, NAME, "ship"));
        let command = match self.parts.ports.channels.inventory().ship(request).await {
            Ok(_) => Command::RecordDispatched,
            Err(status) if status::is_transient(&status) => {
                return Err(status::trouble("inventory cannot ship", &status));
            }
            Err(status) => Command::RecordDispatchFailed {
                reason: status::reason(&status).unwrap_or_else(|| format!("{:?}", status.code())),
                detail: status.message().to_owned(),
            },
        };
        let action = "dispatch answered";
        self.parts.record(id, command, cause_for(heard, NAME, action)).await.map(|_| ())
    }
}
