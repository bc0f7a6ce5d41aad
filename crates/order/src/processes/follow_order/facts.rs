//! Events of fulfilments, shipments and stock as facts about a part of an order.

use nexus_es::{BadEvent, Heard};
use nexus_proto::fulfillment::v1 as fulfillment;
use nexus_proto::inventory::v1 as inventory;
use nexus_proto::shipping::v1 as shipping;

use crate::domain::order::parts::{Fact, Kind, Report, Stage};
use crate::wire;

const TOLD_BY: &[&str] = &[
    "fulfillment.Opened",
    "fulfillment.Listed",
    "fulfillment.Unlisted",
    "fulfillment.Picked",
    "fulfillment.PickDisputed",
    "fulfillment.Packed",
    "fulfillment.Withdrawn",
    "shipment.Planned",
    "shipment.AwbIssued",
    "shipment.HandedOver",
    "shipment.Voided",
    "shipment.TrackingRecorded",
    "shipment.DispatchFailed",
    "stock_ledger.PromiseBroken",
];

pub(super) fn are_told_by(event_type: &str) -> bool {
    TOLD_BY.contains(&event_type)
}

/// Room for the events of one commit between two commits.
const EVENTS_A_COMMIT: u64 = 1 << 16;

fn fact(heard: &Heard, kind: Kind, report: Report) -> Fact {
    Fact {
        part_id: heard.aggregate.id.clone(),
        kind,
        parent: String::new(),
        warehouse: String::new(),
        units: 0,
        parcels: 0,
        // The part's own aggregate says in which order its facts came.
        sequence: heard.number * EVENTS_A_COMMIT + u64::from(heard.index),
        report,
        tracking_status: String::new(),
        tracking_number: String::new(),
        cause: heard.event_id.as_bytes().to_vec(),
        cause_type: heard.event_type().to_owned(),
        happened_at_ms: heard.cause.occurred_at_ms,
    }
}

/// The order and the fact; `None` when the event says nothing about progress.
pub(super) fn read(heard: &Heard) -> Result<Option<(String, Fact)>, BadEvent> {
    let told = match heard.aggregate.category.as_str() {
        "fulfillment" => of_fulfillment(heard)?,
        "shipment" => of_shipment(heard)?,
        "stock_ledger" => of_stock(heard)?,
        _ => None,
    };
    Ok(told.filter(|(order_id, _)| !order_id.is_empty()))
}

fn of_fulfillment(heard: &Heard) -> Result<Option<(String, Fact)>, BadEvent> {
    let at = |stage| fact(heard, Kind::Fulfillment, Report::Reached(stage));
    let payload = &heard.payload;
    Ok(Some(match heard.event_type() {
        "fulfillment.Opened" => {
            let it: fulfillment::FulfillmentOpened = wire::read(payload)?;
            let units = it.lines.iter().map(|line| line.units).fold(0, u32::saturating_add);
            let opened = Fact { warehouse: it.warehouse, units, ..at(Stage::Confirmed) };
            (it.order_id, opened)
        }
        "fulfillment.Listed" => {
            let it: fulfillment::FulfillmentListed = wire::read(payload)?;
            (it.order_id, at(Stage::Processing))
        }
        "fulfillment.Unlisted" => {
            let it: fulfillment::FulfillmentUnlisted = wire::read(payload)?;
            (it.order_id, at(Stage::Confirmed))
        }
        "fulfillment.Picked" => {
            let it: fulfillment::FulfillmentPicked = wire::read(payload)?;
            (it.order_id, at(Stage::Picked))
        }
        "fulfillment.PickDisputed" => {
            let it: fulfillment::FulfillmentPickDisputed = wire::read(payload)?;
            let report = Report::Exception("PICK_DISPUTED".to_owned());
            (it.order_id, fact(heard, Kind::Fulfillment, report))
        }
        "fulfillment.Packed" => {
            let it: fulfillment::FulfillmentPacked = wire::read(payload)?;
            let parcels = u32::try_from(it.parcels.len()).unwrap_or(u32::MAX);
            (it.order_id, Fact { parcels, ..at(Stage::Packed) })
        }
        "fulfillment.Withdrawn" => {
            let it: fulfillment::FulfillmentWithdrawn = wire::read(payload)?;
            (it.order_id, at(Stage::Cancelled))
        }
        _ => return Ok(None),
    }))
}

fn of_shipment(heard: &Heard) -> Result<Option<(String, Fact)>, BadEvent> {
    let at = |stage| fact(heard, Kind::Shipment, Report::Reached(stage));
    let payload = &heard.payload;
    Ok(Some(match heard.event_type() {
        "shipment.Planned" => {
            let it: shipping::ShipmentPlanned = wire::read(payload)?;
            let contents = it.parcel.map(|parcel| parcel.contents).unwrap_or_default();
            let units = contents.iter().map(|line| line.units).fold(0, u32::saturating_add);
            let (parent, warehouse) = (it.fulfillment_id, it.warehouse);
            (it.order_id, Fact { parent, warehouse, units, ..at(Stage::Packed) })
        }
        "shipment.AwbIssued" => {
            let it: shipping::ShipmentAwbIssued = wire::read(payload)?;
            let told = Fact {
                tracking_number: it.tracking_number,
                tracking_status: "label_created".to_owned(),
                ..fact(heard, Kind::Shipment, Report::Nothing)
            };
            (it.order_id, told)
        }
        "shipment.HandedOver" => {
            let it: shipping::ShipmentHandedOver = wire::read(payload)?;
            let mut told = Fact { happened_at_ms: it.at_ms, ..at(Stage::Shipped) };
            if it.by_courier {
                // Known from an update in the same commit, which may say more: the parcel was
                // handed over before that, however it came to be known.
                told.sequence = (heard.number * EVENTS_A_COMMIT).saturating_sub(1);
            }
            (it.order_id, told)
        }
        "shipment.Voided" => {
            let it: shipping::ShipmentVoided = wire::read(payload)?;
            (it.order_id, at(Stage::Cancelled))
        }
        "shipment.TrackingRecorded" => {
            let it: shipping::ShipmentTrackingRecorded = wire::read(payload)?;
            // Late, repeated and unconfirmed updates are logged by shipping and change nothing.
            if !it.applied {
                return Ok(None);
            }
            let told = Fact {
                tracking_status: it.tracking_status.clone(),
                happened_at_ms: it.occurred_at_ms,
                ..fact(heard, Kind::Shipment, tracked(&it.tracking_status))
            };
            (it.order_id, told)
        }
        "shipment.DispatchFailed" => {
            let it: shipping::ShipmentDispatchFailed = wire::read(payload)?;
            let reason =
                if it.reason.is_empty() { "DISPATCH_FAILED".to_owned() } else { it.reason };
            (it.order_id, fact(heard, Kind::Shipment, Report::Exception(reason)))
        }
        _ => return Ok(None),
    }))
}

/// What the courier's word means for the order.
fn tracked(status: &str) -> Report {
    let wrong = |reason: &str| Report::Exception(reason.to_owned());
    match status {
        "picked_up" | "in_transit" | "out_for_delivery" => Report::Reached(Stage::Shipped),
        "delivered" => Report::Reached(Stage::Delivered),
        "delivery_failed" => wrong("DELIVERY_FAILED"),
        "returning" => Report::Reached(Stage::Returning),
        "returned" => Report::Reached(Stage::Returned),
        "lost" => wrong("LOST"),
        "damaged" => wrong("DAMAGED"),
        "cancelled" => Report::Reached(Stage::Cancelled),
        // label_created, on_hold and unrecognised say nothing about where the parcel is.
        _ => Report::Nothing,
    }
}

fn of_stock(heard: &Heard) -> Result<Option<(String, Fact)>, BadEvent> {
    if heard.event_type() != "stock_ledger.PromiseBroken" {
        return Ok(None);
    }
    let it: inventory::StockLedgerPromiseBroken = wire::read(&heard.payload)?;
    let warehouse = heard.aggregate.id.clone();
    let told = Fact {
        part_id: format!("{}@{warehouse}", it.reservation),
        units: it.units,
        warehouse,
        ..fact(heard, Kind::Promise, Report::Exception("PROMISE_BROKEN".to_owned()))
    };
    Ok(Some((it.order_id, told)))
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use nexus_es::commit::{Actor, Cause, Payload};
    use nexus_es::{AggregateId, Position, Version, new_id};
    use prost::Message;

    use super::*;
    use crate::domain::order::parts::Parts;

    /// What the event of this place in the shipment's fourth commit says.
    fn said(index: u32, event_type: &str, event: &impl Message) -> Fact {
        let cause = Cause {
            occurred_at_ms: 1_000,
            learned_at_ms: 1_000,
            command_id: new_id(),
            request_hash: Vec::new(),
            story: "o-1".to_owned(),
            causation_id: None,
            actor: Actor::service("apply_courier_event"),
            traceparent: String::new(),
        };
        let heard = Heard {
            aggregate: Arc::new(AggregateId::new("shipping", "shipment", "s-1").unwrap()),
            position: Position(9),
            version: Version(9),
            number: 4,
            index,
            event_id: new_id(),
            cause: Arc::new(cause),
            payload: Payload {
                event_type: event_type.to_owned(),
                schema: 1,
                bytes: event.encode_to_vec(),
            },
        };
        read(&heard).unwrap().unwrap().1
    }

    fn update(status: &str) -> Fact {
        let recorded = shipping::ShipmentTrackingRecorded {
            order_id: "o-1".to_owned(),
            tracking_status: status.to_owned(),
            applied: true,
            ..Default::default()
        };
        said(0, "shipment.TrackingRecorded", &recorded)
    }

    #[test]
    fn a_hand_over_that_is_known_from_a_later_update_takes_nothing_back() {
        let handed = shipping::ShipmentHandedOver {
            order_id: "o-1".to_owned(),
            by_courier: true,
            ..Default::default()
        };
        let handed = said(1, "shipment.HandedOver", &handed);
        for (status, stage, wrong) in
            [("delivered", Stage::Delivered, false), ("delivery_failed", Stage::Shipped, true)]
        {
            let mut parts = Parts::default();
            parts.hear(&update(status));
            parts.hear(&handed);
            let part = parts.get("s-1").unwrap();
            assert_eq!((part.stage(), part.exception().is_some()), (stage, wrong), "{status}");
        }
    }
}
