//! Events of orders.

use nexus_es::{Aggregate, BadEvent, Payload};
use nexus_proto::order::v1 as proto;

use super::values::{
    allocation_from, allocation_to, line_from, line_to, note_from, note_to, payment_from,
    payment_to, region_from, region_to, sealed_from, sealed_to, shortage_from, shortage_to,
    totals_from, totals_to,
};
use super::{SERVICE, malformed, payload, read, unknown};
use crate::domain::order::parts::{Fact, Kind, Report, Stage};
use crate::domain::order::{Amendment, Event, Hold, Order, Placed};

const EXCEPTION: &str = "exception";

fn created_to(placed: &Placed) -> proto::OrderCreated {
    proto::OrderCreated {
        number: placed.number.clone(),
        contact_id: placed.contact_id.clone(),
        recipient: Some(sealed_to(&placed.recipient)),
        region: Some(region_to(&placed.region)),
        language: placed.language.clone(),
        lines: placed.lines.iter().map(line_to).collect(),
        currency: placed.currency.clone(),
        shipping_fee: placed.totals.shipping,
        discount: placed.totals.discount,
        prices_include_tax: placed.prices_include_tax,
        totals: Some(totals_to(&placed.totals)),
        payment: Some(payment_to(placed.payment)),
        notes: placed.notes.iter().map(note_to).collect(),
        external_reference: placed.external_reference.clone(),
    }
}

fn created_from(it: proto::OrderCreated) -> Option<Placed> {
    Some(Placed {
        number: it.number,
        contact_id: it.contact_id,
        recipient: sealed_from(it.recipient?),
        region: region_from(it.region?),
        language: it.language,
        lines: it.lines.into_iter().map(line_from).collect(),
        currency: it.currency,
        prices_include_tax: it.prices_include_tax,
        totals: totals_from(it.totals?),
        payment: payment_from(&it.payment?)?,
        notes: it.notes.into_iter().map(note_from).collect::<Option<_>>()?,
        external_reference: it.external_reference,
    })
}

fn amended_to(amendment: &Amendment) -> proto::OrderAmended {
    proto::OrderAmended {
        reason: amendment.reason.clone(),
        lines: amendment.lines.iter().map(line_to).collect(),
        recipient: amendment.recipient.as_ref().map(sealed_to),
        region: amendment.region.as_ref().map(region_to),
        payment: amendment.payment.map(payment_to),
        shipping_fee: Some(amendment.totals.shipping),
        discount: Some(amendment.totals.discount),
        totals: Some(totals_to(&amendment.totals)),
        notes: amendment.notes.iter().map(note_to).collect(),
        allocation: vec![],
    }
}

fn amended_from(it: proto::OrderAmended) -> Option<Amendment> {
    let payment = match it.payment {
        Some(payment) => Some(payment_from(&payment)?),
        None => None,
    };
    Some(Amendment {
        reason: it.reason,
        lines: it.lines.into_iter().map(line_from).collect(),
        recipient: it.recipient.map(sealed_from),
        region: it.region.map(region_from),
        payment,
        totals: totals_from(it.totals?),
        notes: it.notes.into_iter().map(note_from).collect::<Option<_>>()?,
    })
}

pub(crate) fn fact_to(fact: &Fact) -> proto::OrderPartProgressed {
    let (stage, reason) = match &fact.report {
        Report::Nothing => ("", ""),
        Report::Reached(stage) => (stage.word(), ""),
        Report::Exception(reason) => (EXCEPTION, reason.as_str()),
    };
    proto::OrderPartProgressed {
        part_id: fact.part_id.clone(),
        kind: fact.kind.word().to_owned(),
        stage: stage.to_owned(),
        cause: fact.cause.clone(),
        cause_type: fact.cause_type.clone(),
        tracking_status: fact.tracking_status.clone(),
        tracking_number: fact.tracking_number.clone(),
        reason: reason.to_owned(),
        parent_part_id: fact.parent.clone(),
        happened_at_ms: fact.happened_at_ms,
        warehouse: fact.warehouse.clone(),
        units: fact.units,
        sequence: fact.sequence,
        parcels: fact.parcels,
    }
}

pub(crate) fn fact_from(it: proto::OrderPartProgressed) -> Option<Fact> {
    let report = match it.stage.as_str() {
        "" => Report::Nothing,
        EXCEPTION => Report::Exception(it.reason),
        stage => Report::Reached(Stage::parse(stage)?),
    };
    Some(Fact {
        part_id: it.part_id,
        kind: Kind::parse(&it.kind)?,
        parent: it.parent_part_id,
        warehouse: it.warehouse,
        units: it.units,
        parcels: it.parcels,
        sequence: it.sequence,
        report,
        tracking_status: it.tracking_status,
        tracking_number: it.tracking_number,
        cause: it.cause,
        cause_type: it.cause_type,
        happened_at_ms: it.happened_at_ms,
    })
}

impl Aggregate for Order {
    const SERVICE: &'static str = SERVICE;

    fn encode(event: &Event) -> Payload {
        match event {
            Event::Created(placed) => payload("order.Created", &created_to(placed)),
            Event::ConfirmationRequested { attempt } => payload(
                "order.ConfirmationRequested",
                &proto::OrderConfirmationRequested { attempt: *attempt },
            ),
            Event::Confirmed { attempt, allocation, unstocked_line_ids } => payload(
                "order.Confirmed",
                &proto::OrderConfirmed {
                    attempt: *attempt,
                    allocation: allocation.iter().map(allocation_to).collect(),
                    unstocked_line_ids: unstocked_line_ids.clone(),
                },
            ),
            Event::ConfirmationRefused { attempt, reason, lines } => payload(
                "order.ConfirmationRefused",
                &proto::OrderConfirmationRefused {
                    attempt: *attempt,
                    reason: reason.clone(),
                    lines: lines.iter().map(shortage_to).collect(),
                },
            ),
            Event::Held(hold) => payload(
                "order.Held",
                &proto::OrderHeld {
                    name: hold.name.clone(),
                    reason: hold.reason.clone(),
                    until_ms: hold.until_ms,
                },
            ),
            Event::Released { name, lapsed } => payload(
                "order.Released",
                &proto::OrderReleased { name: name.clone(), lapsed: *lapsed },
            ),
            Event::PartProgressed(fact) => payload("order.PartProgressed", &fact_to(fact)),
            Event::CancelRequested { reason } => payload(
                "order.CancelRequested",
                &proto::OrderCancelRequested { reason: reason.clone() },
            ),
            Event::Cancelled { reason } => {
                payload("order.Cancelled", &proto::OrderCancelled { reason: reason.clone() })
            }
            Event::Closed { outcome } => {
                payload("order.Closed", &proto::OrderClosed { outcome: outcome.clone() })
            }
            Event::Amended(amendment) => payload("order.Amended", &amended_to(amendment)),
            Event::NoteAdded(note) => {
                payload("order.NoteAdded", &proto::OrderNoteAdded { note: Some(note_to(note)) })
            }
        }
    }

    fn decode(payload: &Payload) -> Result<Event, BadEvent> {
        let incomplete = || malformed(payload, "a field is missing or has an unknown word");
        Ok(match (payload.event_type.as_str(), payload.schema) {
            ("order.Created", 1) => {
                let placed = created_from(read(payload)?).ok_or_else(incomplete)?;
                Event::Created(Box::new(placed))
            }
            ("order.ConfirmationRequested", 1) => {
                let proto::OrderConfirmationRequested { attempt } = read(payload)?;
                Event::ConfirmationRequested { attempt }
            }
            ("order.Confirmed", 1) => {
                let it: proto::OrderConfirmed = read(payload)?;
                Event::Confirmed {
                    attempt: it.attempt,
                    allocation: it.allocation.into_iter().map(allocation_from).collect(),
                    unstocked_line_ids: it.unstocked_line_ids,
                }
            }
            ("order.ConfirmationRefused", 1) => {
                let it: proto::OrderConfirmationRefused = read(payload)?;
                let lines = it.lines.into_iter().map(shortage_from).collect();
                Event::ConfirmationRefused { attempt: it.attempt, reason: it.reason, lines }
            }
            ("order.Held", 1) => {
                let proto::OrderHeld { name, reason, until_ms } = read(payload)?;
                Event::Held(Hold { name, reason, until_ms })
            }
            ("order.Released", 1) => {
                let proto::OrderReleased { name, lapsed } = read(payload)?;
                Event::Released { name, lapsed }
            }
            ("order.PartProgressed", 1) => {
                let fact = fact_from(read(payload)?).ok_or_else(incomplete)?;
                Event::PartProgressed(Box::new(fact))
            }
            ("order.CancelRequested", 1) => {
                let proto::OrderCancelRequested { reason } = read(payload)?;
                Event::CancelRequested { reason }
            }
            ("order.Cancelled", 1) => {
                let proto::OrderCancelled { reason } = read(payload)?;
                Event::Cancelled { reason }
            }
            ("order.Closed", 1) => {
                let proto::OrderClosed { outcome } = read(payload)?;
                Event::Closed { outcome }
            }
            ("order.Amended", 1) => {
                let amendment = amended_from(read(payload)?).ok_or_else(incomplete)?;
                Event::Amended(Box::new(amendment))
            }
            ("order.NoteAdded", 1) => {
                let proto::OrderNoteAdded { note } = read(payload)?;
                Event::NoteAdded(note.and_then(note_from).ok_or_else(incomplete)?)
            }
            _ => return unknown(payload),
        })
    }
}
