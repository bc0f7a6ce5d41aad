//! Events of shipments as stored.

use nexus_es::{Aggregate, BadEvent, Payload};
use nexus_proto::common::v1 as common;
use nexus_proto::shipping::v1 as proto;

use super::{SERVICE, courier, malformed, read, sealed_in, sealed_out, stored, unknown};
use crate::domain::LabelFormat;
use crate::domain::shipment::{
    Awb, CourierUpdate, Event, HandedOver, Label, Parcel, Plan, Problem, Recorded, Shipment, Source,
};
use crate::domain::tracking::{Reading, TrackingStatus};

impl Aggregate for Shipment {
    const SERVICE: &'static str = SERVICE;

    fn encode(event: &Event) -> Payload {
        match event {
            Event::Planned(plan) => stored("shipment.Planned", &planned(plan)),
            Event::TrackingRecorded { order_id, recorded } => {
                stored("shipment.TrackingRecorded", &tracking_recorded(order_id, recorded))
            }
            Event::LabelStored(label) => stored("shipment.LabelStored", &label_stored(label)),
            Event::HandedOver(told) => stored("shipment.HandedOver", &handed_over(told)),
            Event::AwbRequested { .. }
            | Event::AwbIssued { .. }
            | Event::AwbRefused { .. }
            | Event::AwbUnknown { .. }
            | Event::AwbLookedUp { .. }
            | Event::AwbSurplusFound { .. } => awb_event(event),
            Event::LabelPrinted { .. }
            | Event::VoidRequested { .. }
            | Event::Voided { .. }
            | Event::VoidRefused(_)
            | Event::CodCollected { .. }
            | Event::Dispatched { .. }
            | Event::DispatchFailed { .. }
            | Event::Closed { .. } => later_event(event),
        }
    }

    fn decode(payload: &Payload) -> Result<Event, BadEvent> {
        match (payload.event_type.as_str(), payload.schema) {
            ("shipment.Planned", 1) => plan(payload).map(|plan| Event::Planned(Box::new(plan))),
            ("shipment.TrackingRecorded", 1) => recorded(payload),
            ("shipment.LabelStored", 1) => label(payload).map(Event::LabelStored),
            ("shipment.HandedOver", 1) => {
                let message: proto::ShipmentHandedOver = read(payload)?;
                Ok(Event::HandedOver(HandedOver {
                    at_ms: message.at_ms,
                    manifest_id: message.manifest_id,
                    order_id: message.order_id,
                    fulfillment_id: message.fulfillment_id,
                    parcel_id: message.parcel_id,
                    by_courier: message.by_courier,
                }))
            }
            (name, 1) if name.starts_with("shipment.Awb") => read_awb_event(payload),
            (_, 1) => read_later_event(payload),
            _ => Err(unknown(payload)),
        }
    }
}

fn planned(plan: &Plan) -> proto::ShipmentPlanned {
    let parcel = &plan.parcel;
    let dimensions_mm = parcel.dimensions_mm.map(|(length, width, height)| common::Dimensions {
        length,
        width,
        height,
    });
    let contents = parcel.contents.iter();
    proto::ShipmentPlanned {
        order_id: plan.order_id.clone(),
        order_number: plan.order_number.clone(),
        fulfillment_id: plan.fulfillment_id.clone(),
        warehouse: plan.warehouse.clone(),
        reservation: plan.reservation.clone(),
        parcel: Some(proto::PlannedParcel {
            parcel_id: parcel.parcel_id.clone(),
            r#box: parcel.box_type.clone(),
            weight_grams: parcel.weight_grams,
            dimensions_mm,
            contents: contents
                .map(|(sku, units)| common::SkuUnits { sku: sku.clone(), units: *units })
                .collect(),
        }),
        courier_account_id: plan.account.clone(),
        courier: plan.courier.name().to_owned(),
        cod: plan.cod,
        currency: plan.currency.clone(),
        reference: plan.reference.clone(),
        contact_id: plan.contact_id.clone(),
        recipient: Some(sealed_out(&plan.recipient)),
        public_token_sha256: plan.public_token_sha256.clone(),
        public_token: Some(sealed_out(&plan.public_token)),
        language: plan.language.clone(),
    }
}

fn plan(payload: &Payload) -> Result<Plan, BadEvent> {
    let message: proto::ShipmentPlanned = read(payload)?;
    let parcel = message.parcel.unwrap_or_default();
    let contents = parcel.contents.into_iter();
    Ok(Plan {
        order_id: message.order_id,
        order_number: message.order_number,
        fulfillment_id: message.fulfillment_id,
        warehouse: message.warehouse,
        reservation: message.reservation,
        parcel: Parcel {
            parcel_id: parcel.parcel_id,
            box_type: parcel.r#box,
            weight_grams: parcel.weight_grams,
            dimensions_mm: parcel.dimensions_mm.map(|d| (d.length, d.width, d.height)),
            contents: contents.map(|content| (content.sku, content.units)).collect(),
        },
        account: message.courier_account_id,
        courier: courier(payload, &message.courier)?,
        cod: message.cod,
        currency: message.currency,
        reference: message.reference,
        contact_id: message.contact_id,
        recipient: message.recipient.map(sealed_in).unwrap_or_default(),
        public_token_sha256: message.public_token_sha256,
        public_token: message.public_token.map(sealed_in).unwrap_or_default(),
        language: message.language,
    })
}

fn awb_event(event: &Event) -> Payload {
    match event {
        Event::AwbRequested { attempt, reference, request_hash } => {
            let message = proto::ShipmentAwbRequested {
                attempt: *attempt,
                reference: reference.clone(),
                request_hash: request_hash.clone(),
            };
            stored("shipment.AwbRequested", &message)
        }
        Event::AwbIssued { attempt, awb, adopted, order_id } => {
            let message = proto::ShipmentAwbIssued {
                attempt: *attempt,
                awb: awb.awb.clone(),
                tracking_number: awb.tracking_number.clone(),
                delivery_id: awb.delivery_id.clone(),
                adopted: *adopted,
                tracking_url: awb.tracking_url.clone(),
                order_id: order_id.clone(),
            };
            stored("shipment.AwbIssued", &message)
        }
        Event::AwbRefused { attempt, problem } => {
            let message = proto::ShipmentAwbRefused {
                attempt: *attempt,
                code: problem.code.clone(),
                field: problem.field.clone(),
                detail: problem.detail.clone(),
                hint: problem.hint.clone(),
            };
            stored("shipment.AwbRefused", &message)
        }
        Event::AwbUnknown { attempt, reason } => {
            let message = proto::ShipmentAwbUnknown { attempt: *attempt, reason: reason.clone() };
            stored("shipment.AwbUnknown", &message)
        }
        Event::AwbLookedUp { attempt, look } => {
            let message = proto::ShipmentAwbLookedUp { attempt: *attempt, look: *look };
            stored("shipment.AwbLookedUp", &message)
        }
        Event::AwbSurplusFound { kept, surplus } => {
            let message =
                proto::ShipmentAwbSurplusFound { kept: kept.clone(), surplus: surplus.clone() };
            stored("shipment.AwbSurplusFound", &message)
        }
        other => later_event(other),
    }
}

fn read_awb_event(payload: &Payload) -> Result<Event, BadEvent> {
    match payload.event_type.as_str() {
        "shipment.AwbRequested" => {
            let message: proto::ShipmentAwbRequested = read(payload)?;
            let proto::ShipmentAwbRequested { attempt, reference, request_hash } = message;
            Ok(Event::AwbRequested { attempt, reference, request_hash })
        }
        "shipment.AwbIssued" => {
            let message: proto::ShipmentAwbIssued = read(payload)?;
            Ok(Event::AwbIssued {
                attempt: message.attempt,
                awb: Awb {
                    awb: message.awb,
                    tracking_number: message.tracking_number,
                    delivery_id: message.delivery_id,
                    tracking_url: message.tracking_url,
                },
                adopted: message.adopted,
                order_id: message.order_id,
            })
        }
        "shipment.AwbRefused" => {
            let proto::ShipmentAwbRefused { attempt, code, field, detail, hint } = read(payload)?;
            Ok(Event::AwbRefused { attempt, problem: Problem { code, field, detail, hint } })
        }
        "shipment.AwbUnknown" => {
            let proto::ShipmentAwbUnknown { attempt, reason } = read(payload)?;
            Ok(Event::AwbUnknown { attempt, reason })
        }
        "shipment.AwbLookedUp" => {
            let proto::ShipmentAwbLookedUp { attempt, look } = read(payload)?;
            Ok(Event::AwbLookedUp { attempt, look })
        }
        "shipment.AwbSurplusFound" => {
            let proto::ShipmentAwbSurplusFound { kept, surplus } = read(payload)?;
            Ok(Event::AwbSurplusFound { kept, surplus })
        }
        _ => Err(unknown(payload)),
    }
}

fn label_stored(label: &Label) -> proto::ShipmentLabelStored {
    proto::ShipmentLabelStored {
        format: label.format.name().to_owned(),
        blob_sha256: label.blob_sha256.clone(),
        label_sha256: label.label_sha256.clone(),
        size_bytes: label.size_bytes,
        own: label.own,
        key_id: label.key_id.clone(),
        nonce: label.nonce.clone(),
    }
}

fn label(payload: &Payload) -> Result<Label, BadEvent> {
    let message: proto::ShipmentLabelStored = read(payload)?;
    Ok(Label {
        format: format(payload, &message.format)?,
        blob_sha256: message.blob_sha256,
        label_sha256: message.label_sha256,
        size_bytes: message.size_bytes,
        own: message.own,
        key_id: message.key_id,
        nonce: message.nonce,
    })
}

fn format(payload: &Payload, name: &str) -> Result<LabelFormat, BadEvent> {
    LabelFormat::parse(name).ok_or_else(|| malformed(payload, format!("no format \"{name}\"")))
}

fn handed_over(told: &HandedOver) -> proto::ShipmentHandedOver {
    proto::ShipmentHandedOver {
        at_ms: told.at_ms,
        manifest_id: told.manifest_id.clone(),
        order_id: told.order_id.clone(),
        fulfillment_id: told.fulfillment_id.clone(),
        parcel_id: told.parcel_id.clone(),
        by_courier: told.by_courier,
    }
}

fn tracking_recorded(order_id: &str, recorded: &Recorded) -> proto::ShipmentTrackingRecorded {
    let update = &recorded.update;
    let status = update.reading.status().map_or("", TrackingStatus::name);
    proto::ShipmentTrackingRecorded {
        order_id: order_id.to_owned(),
        delivery_id: update.delivery_id.clone(),
        code: update.code.clone(),
        r#type: update.kind.clone(),
        raw_word: update.raw_word.clone(),
        status: status.to_owned(),
        occurred_at_ms: update.occurred_at_ms,
        learned_at_ms: update.learned_at_ms,
        inbox_event_id: update.inbox_event_id.clone(),
        inbox_position: update.inbox_position,
        body_hash: update.body_hash.clone(),
        late: recorded.late,
        duplicate: recorded.duplicate,
        confirmed: update.confirmed,
        exception_code: update.exception_code.clone(),
        exception_reason: update.exception_reason.clone(),
        attempt: update.attempt,
        cod_collected: update.cod_collected,
        raw: Some(sealed_out(&update.raw)),
        source: update.source.name().to_owned(),
        applied: recorded.applied,
        tracking_status: recorded.tracking.name().to_owned(),
        warning: recorded.warning.clone(),
        awb: update.awb.clone(),
        reading: update.reading.name().to_owned(),
    }
}

fn recorded(payload: &Payload) -> Result<Event, BadEvent> {
    let message: proto::ShipmentTrackingRecorded = read(payload)?;
    let own = if message.status.is_empty() {
        TrackingStatus::Unrecognised
    } else {
        status(payload, &message.status)?
    };
    let reading = Reading::parse(&message.reading, own)
        .ok_or_else(|| malformed(payload, format!("no reading \"{}\"", message.reading)))?;
    let source = Source::parse(&message.source)
        .ok_or_else(|| malformed(payload, format!("no source \"{}\"", message.source)))?;
    let recorded = Recorded {
        late: message.late,
        duplicate: message.duplicate,
        applied: message.applied,
        tracking: status(payload, &message.tracking_status)?,
        warning: message.warning,
        update: CourierUpdate {
            awb: message.awb,
            delivery_id: message.delivery_id,
            code: message.code,
            kind: message.r#type,
            raw_word: message.raw_word,
            reading,
            occurred_at_ms: message.occurred_at_ms,
            learned_at_ms: message.learned_at_ms,
            inbox_event_id: message.inbox_event_id,
            inbox_position: message.inbox_position,
            body_hash: message.body_hash,
            confirmed: message.confirmed,
            exception_code: message.exception_code,
            exception_reason: message.exception_reason,
            attempt: message.attempt,
            cod_collected: message.cod_collected,
            raw: message.raw.map(sealed_in).unwrap_or_default(),
            source,
        },
    };
    Ok(Event::TrackingRecorded { order_id: message.order_id, recorded: Box::new(recorded) })
}

fn status(payload: &Payload, name: &str) -> Result<TrackingStatus, BadEvent> {
    TrackingStatus::parse(name)
        .ok_or_else(|| malformed(payload, format!("no tracking status \"{name}\"")))
}

fn later_event(event: &Event) -> Payload {
    match event {
        Event::LabelPrinted { copy, format } => {
            let message =
                proto::ShipmentLabelPrinted { copy: *copy, format: format.name().to_owned() };
            stored("shipment.LabelPrinted", &message)
        }
        Event::VoidRequested { reason } => {
            let message = proto::ShipmentVoidRequested { reason: reason.clone() };
            stored("shipment.VoidRequested", &message)
        }
        Event::Voided { awb, reason, order_id } => {
            let message = proto::ShipmentVoided {
                awb: awb.clone(),
                reason: reason.clone(),
                order_id: order_id.clone(),
            };
            stored("shipment.Voided", &message)
        }
        Event::VoidRefused(problem) => {
            let message = proto::ShipmentVoidRefused {
                code: problem.code.clone(),
                detail: problem.detail.clone(),
                hint: problem.hint.clone(),
            };
            stored("shipment.VoidRefused", &message)
        }
        Event::CodCollected { order_id, due, collected, currency } => {
            let message = proto::ShipmentCodCollected {
                order_id: order_id.clone(),
                due: *due,
                collected: *collected,
                currency: currency.clone(),
            };
            stored("shipment.CodCollected", &message)
        }
        Event::Dispatched { order_id } => {
            let message = proto::ShipmentDispatched { order_id: order_id.clone() };
            stored("shipment.Dispatched", &message)
        }
        Event::DispatchFailed { order_id, reason, detail } => {
            let message = proto::ShipmentDispatchFailed {
                order_id: order_id.clone(),
                reason: reason.clone(),
                detail: detail.clone(),
            };
            stored("shipment.DispatchFailed", &message)
        }
        Event::Closed { order_id, tracking } => {
            let message = proto::ShipmentClosed {
                order_id: order_id.clone(),
                tracking_status: tracking.name().to_owned(),
            };
            stored("shipment.Closed", &message)
        }
        // All others are dealt with by the callers.
        other => Shipment::encode(other),
    }
}

fn read_later_event(payload: &Payload) -> Result<Event, BadEvent> {
    match payload.event_type.as_str() {
        "shipment.LabelPrinted" => {
            let message: proto::ShipmentLabelPrinted = read(payload)?;
            let format = format(payload, &message.format)?;
            Ok(Event::LabelPrinted { copy: message.copy, format })
        }
        "shipment.VoidRequested" => {
            let proto::ShipmentVoidRequested { reason } = read(payload)?;
            Ok(Event::VoidRequested { reason })
        }
        "shipment.Voided" => {
            let proto::ShipmentVoided { awb, reason, order_id } = read(payload)?;
            Ok(Event::Voided { awb, reason, order_id })
        }
        "shipment.VoidRefused" => {
            let proto::ShipmentVoidRefused { code, detail, hint } = read(payload)?;
            Ok(Event::VoidRefused(Problem { code, field: String::new(), detail, hint }))
        }
        "shipment.CodCollected" => {
            let proto::ShipmentCodCollected { order_id, due, collected, currency } = read(payload)?;
            Ok(Event::CodCollected { order_id, due, collected, currency })
        }
        "shipment.Dispatched" => {
            let proto::ShipmentDispatched { order_id } = read(payload)?;
            Ok(Event::Dispatched { order_id })
        }
        "shipment.DispatchFailed" => {
            let proto::ShipmentDispatchFailed { order_id, reason, detail } = read(payload)?;
            Ok(Event::DispatchFailed { order_id, reason, detail })
        }
        "shipment.Closed" => {
            let message: proto::ShipmentClosed = read(payload)?;
            let tracking = status(payload, &message.tracking_status)?;
            Ok(Event::Closed { order_id: message.order_id, tracking })
        }
        _ => Err(unknown(payload)),
    }
}
