//! Events of a fulfilment as stored.

use nexus_es::{Aggregate, BadEvent, Payload};
use nexus_proto::fulfillment::v1 as proto;

use super::{
    dimensions_from_proto, dimensions_to_proto, message, payload, units_from_proto, units_to_proto,
    unknown,
};
use crate::SERVICE;
use crate::domain::fulfillment::{Event, Fulfillment, Opened, OrderLine, Parcel, PickedLine};

impl Aggregate for Fulfillment {
    const SERVICE: &'static str = SERVICE;

    fn encode(event: &Event) -> Payload {
        match event {
            Event::Opened(opened) => payload("fulfillment.Opened", &opened_to_proto(opened)),
            Event::Listed { pick_list_id, order_id } => payload(
                "fulfillment.Listed",
                &proto::FulfillmentListed {
                    pick_list_id: pick_list_id.clone(),
                    order_id: order_id.clone(),
                },
            ),
            Event::Unlisted { pick_list_id, order_id, reason } => payload(
                "fulfillment.Unlisted",
                &proto::FulfillmentUnlisted {
                    pick_list_id: pick_list_id.clone(),
                    order_id: order_id.clone(),
                    reason: reason.clone(),
                },
            ),
            Event::Picked { pick_list_id, order_id, lines } => payload(
                "fulfillment.Picked",
                &proto::FulfillmentPicked {
                    pick_list_id: pick_list_id.clone(),
                    order_id: order_id.clone(),
                    lines: lines.iter().map(picked_to_proto).collect(),
                },
            ),
            Event::PickDisputed { pick_list_id, order_id, reason, lines } => payload(
                "fulfillment.PickDisputed",
                &proto::FulfillmentPickDisputed {
                    pick_list_id: pick_list_id.clone(),
                    order_id: order_id.clone(),
                    reason: reason.clone(),
                    lines: lines.iter().map(picked_to_proto).collect(),
                },
            ),
            Event::Packed { order_id, parcels } => payload(
                "fulfillment.Packed",
                &proto::FulfillmentPacked {
                    order_id: order_id.clone(),
                    parcels: parcels.iter().map(parcel_to_proto).collect(),
                },
            ),
            Event::HandedOver { order_id, parcel_id, shipment_id, last } => payload(
                "fulfillment.HandedOver",
                &proto::FulfillmentHandedOver {
                    order_id: order_id.clone(),
                    parcel_id: parcel_id.clone(),
                    shipment_id: shipment_id.clone(),
                    last: *last,
                },
            ),
            Event::Withdrawn { order_id, reason, to_put_back } => payload(
                "fulfillment.Withdrawn",
                &proto::FulfillmentWithdrawn {
                    order_id: order_id.clone(),
                    reason: reason.clone(),
                    to_put_back: to_put_back.iter().map(units_to_proto).collect(),
                },
            ),
        }
    }

    fn decode(stored: &Payload) -> Result<Event, BadEvent> {
        Ok(match stored.event_type.as_str() {
            "fulfillment.Opened" => Event::Opened(opened_from_proto(message(stored)?)),
            "fulfillment.Listed" => {
                let proto::FulfillmentListed { pick_list_id, order_id } = message(stored)?;
                Event::Listed { pick_list_id, order_id }
            }
            "fulfillment.Unlisted" => {
                let proto::FulfillmentUnlisted { pick_list_id, order_id, reason } =
                    message(stored)?;
                Event::Unlisted { pick_list_id, order_id, reason }
            }
            "fulfillment.Picked" => {
                let proto::FulfillmentPicked { pick_list_id, order_id, lines } = message(stored)?;
                let lines = lines.into_iter().map(picked_from_proto).collect();
                Event::Picked { pick_list_id, order_id, lines }
            }
            "fulfillment.PickDisputed" => {
                let proto::FulfillmentPickDisputed { pick_list_id, order_id, reason, lines } =
                    message(stored)?;
                let lines = lines.into_iter().map(picked_from_proto).collect();
                Event::PickDisputed { pick_list_id, order_id, reason, lines }
            }
            "fulfillment.Packed" => {
                let proto::FulfillmentPacked { order_id, parcels } = message(stored)?;
                let parcels = parcels.into_iter().map(parcel_from_proto).collect();
                Event::Packed { order_id, parcels }
            }
            "fulfillment.HandedOver" => {
                let proto::FulfillmentHandedOver { order_id, parcel_id, shipment_id, last } =
                    message(stored)?;
                Event::HandedOver { order_id, parcel_id, shipment_id, last }
            }
            "fulfillment.Withdrawn" => {
                let proto::FulfillmentWithdrawn { order_id, reason, to_put_back } =
                    message(stored)?;
                let to_put_back = to_put_back.into_iter().map(units_from_proto).collect();
                Event::Withdrawn { order_id, reason, to_put_back }
            }
            _ => return Err(unknown(stored)),
        })
    }
}

fn opened_to_proto(opened: &Opened) -> proto::FulfillmentOpened {
    let lines = opened.lines.iter().map(|line| proto::OpenedLine {
        line_id: line.line_id.clone(),
        sku: line.sku.clone(),
        name: line.name.clone(),
        units: line.units,
    });
    proto::FulfillmentOpened {
        order_id: opened.order_id.clone(),
        order_number: opened.order_number.clone(),
        warehouse: opened.warehouse.clone(),
        reservation: opened.reservation.clone(),
        lines: lines.collect(),
    }
}

fn opened_from_proto(opened: proto::FulfillmentOpened) -> Opened {
    let lines = opened.lines.into_iter().map(|line| OrderLine {
        line_id: line.line_id,
        sku: line.sku,
        name: line.name,
        units: line.units,
    });
    Opened {
        lines: lines.collect(),
        order_id: opened.order_id,
        order_number: opened.order_number,
        warehouse: opened.warehouse,
        reservation: opened.reservation,
    }
}

fn picked_to_proto(line: &PickedLine) -> proto::PickedLine {
    proto::PickedLine {
        line_id: line.line_id.clone(),
        sku: line.sku.clone(),
        picked: line.picked,
        short: line.short,
    }
}

fn picked_from_proto(line: proto::PickedLine) -> PickedLine {
    PickedLine { line_id: line.line_id, sku: line.sku, picked: line.picked, short: line.short }
}

fn parcel_to_proto(parcel: &Parcel) -> proto::PackedParcel {
    proto::PackedParcel {
        parcel_id: parcel.parcel_id.clone(),
        r#box: parcel.box_type.clone(),
        weight_grams: parcel.weight_grams,
        dimensions_mm: parcel.dimensions.map(dimensions_to_proto),
        contents: parcel.contents.iter().map(units_to_proto).collect(),
    }
}

fn parcel_from_proto(parcel: proto::PackedParcel) -> Parcel {
    Parcel {
        parcel_id: parcel.parcel_id,
        box_type: parcel.r#box,
        weight_grams: parcel.weight_grams,
        dimensions: parcel.dimensions_mm.map(dimensions_from_proto),
        contents: parcel.contents.into_iter().map(units_from_proto).collect(),
    }
}
