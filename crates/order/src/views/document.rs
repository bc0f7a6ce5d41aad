//! An order as the view keeps it: the resource without its person, folded from events.
//! *Invariant:* a pure fold; the live view, a rebuilt one and an answer to a repeated request are
//! the same function of the same events.

use nexus_es::Heard;
use nexus_proto::common::v1 as common;
use nexus_proto::order::v1 as proto;
use nexus_runtime::money::format_amount;
use nexus_runtime::time::rfc3339;

use crate::domain::order::headline::{Headline, Standing};
use crate::domain::order::parts::{Exception, Kind, Parts, Stage};
use crate::domain::order::{Amendment, Event, Placed, all_opened};
use crate::domain::pricing::{Line, Payment, Totals};
use crate::domain::{Note, Region};
use crate::wire::{allocation_from, allocation_to, fact_from, fact_to, shortage_to};

/// Everything about an order that is no personal data.
#[derive(Clone, PartialEq, prost::Message)]
pub(crate) struct OrderDocument {
    #[prost(message, optional, tag = "1")]
    pub(crate) order: Option<proto::Order>,
    /// What its parts reported.
    #[prost(message, repeated, tag = "2")]
    pub(crate) facts: Vec<proto::OrderPartProgressed>,
    #[prost(uint32, tag = "3")]
    pub(crate) attempt: u32,
    /// The attempt of `order.refusal`.
    #[prost(uint32, tag = "4")]
    pub(crate) refused_attempt: u32,
    #[prost(bool, tag = "5")]
    pub(crate) confirmed: bool,
}

/// The person of an order.
#[derive(Clone, PartialEq, prost::Message)]
pub(crate) struct PersonDocument {
    #[prost(message, optional, tag = "1")]
    pub(crate) recipient: Option<common::Recipient>,
    #[prost(message, repeated, tag = "2")]
    pub(crate) notes: Vec<PersonNote>,
}

/// The text of a note.
#[derive(Clone, PartialEq, prost::Message)]
pub(crate) struct PersonNote {
    #[prost(string, tag = "1")]
    pub(crate) note_id: String,
    #[prost(string, tag = "2")]
    pub(crate) text: String,
}

fn money(amount: i64, currency: &str) -> Option<common::Money> {
    let amount = format_amount(amount, currency);
    Some(common::Money { amount, currency: currency.to_owned() })
}

/// Ten-thousandths of a per cent as a decimal without needless zeros.
fn rate(tax_rate: i64) -> String {
    let text = format_amount(tax_rate, "EGP");
    text.trim_end_matches('0').trim_end_matches('.').to_owned()
}

pub(crate) fn line(line: &Line, currency: &str) -> proto::OrderLine {
    proto::OrderLine {
        line_id: line.line_id.clone(),
        sku: line.sku.clone(),
        name: line.name.clone(),
        units: line.units,
        unit_price: money(line.unit_price, currency),
        discount: money(line.discount, currency),
        tax_rate: if line.tax_rate == 0 { "0".to_owned() } else { rate(line.tax_rate) },
        line_total: money(line.line_total, currency),
    }
}

fn totals(totals: &Totals, currency: &str) -> proto::Totals {
    let money = |amount| money(amount, currency);
    proto::Totals {
        goods: money(totals.goods),
        discount: money(totals.discount),
        shipping: money(totals.shipping),
        tax: money(totals.tax),
        total: money(totals.total),
        cod_due: money(totals.cod_due),
    }
}

fn payment(payment: Payment, currency: &str) -> proto::Payment {
    proto::Payment { method: payment.method.word().to_owned(), paid: money(payment.paid, currency) }
}

/// What is left of an address when the person is erased.
fn bare_address(region: &Region) -> common::Address {
    common::Address {
        country: region.country.clone(),
        governorate: region.governorate.clone(),
        city: region.city.clone(),
        ..common::Address::default()
    }
}

fn amend(order: &mut proto::Order, amendment: &Amendment, heard: &Heard) {
    let currency = order.currency.clone();
    if !amendment.lines.is_empty() {
        order.lines = amendment.lines.iter().map(|it| line(it, &currency)).collect();
    }
    if let Some(region) = &amendment.region {
        order.shipping_address = Some(bare_address(region));
    }
    if let Some(paid) = amendment.payment {
        order.payment = Some(payment(paid, &currency));
    }
    order.totals = Some(totals(&amendment.totals, &currency));
    order.note_entries.extend(amendment.notes.iter().map(|it| note(it, heard)));
}

fn created(order_id: &str, placed: &Placed) -> proto::Order {
    proto::Order {
        order_id: order_id.to_owned(),
        number: placed.number.clone(),
        lifecycle: "pending".to_owned(),
        contact: Some(proto::OrderContact {
            contact_id: placed.contact_id.clone(),
            language: placed.language.clone(),
            ..proto::OrderContact::default()
        }),
        lines: placed.lines.iter().map(|it| line(it, &placed.currency)).collect(),
        totals: Some(totals(&placed.totals, &placed.currency)),
        shipping_address: Some(bare_address(&placed.region)),
        currency: placed.currency.clone(),
        payment: Some(payment(placed.payment, &placed.currency)),
        prices_include_tax: placed.prices_include_tax,
        external_reference: placed.external_reference.clone(),
        ..proto::Order::default()
    }
}

fn note(note: &Note, heard: &Heard) -> proto::Note {
    proto::Note {
        note_id: note.note_id.clone(),
        text: String::new(),
        visibility: note.visibility.word().to_owned(),
        author: heard.cause.actor.id.clone(),
        created_at: rfc3339(heard.cause.occurred_at_ms),
    }
}

impl OrderDocument {
    /// Takes in the next event of the order. Its computed fields follow in [`Self::compute`].
    pub(crate) fn take_in(&mut self, heard: &Heard, event: &Event) {
        let at = rfc3339(heard.cause.occurred_at_ms);
        if let Event::Created(placed) = event {
            let mut order = created(&heard.aggregate.id, placed);
            order.created_at.clone_from(&at);
            self.order = Some(order);
        }
        let Some(order) = &mut self.order else { return };
        order.updated_at = at;
        match event {
            Event::Created(placed) => {
                order.note_entries = placed.notes.iter().map(|it| note(it, heard)).collect();
            }
            Event::ConfirmationRequested { attempt } => {
                self.attempt = *attempt;
                order.lifecycle = "confirming".to_owned();
            }
            Event::Confirmed { allocation, .. } => {
                order.allocation = allocation.iter().map(allocation_to).collect();
                order.refusal = None;
                order.lifecycle = "confirmed".to_owned();
                self.confirmed = true;
            }
            Event::ConfirmationRefused { attempt, reason, lines } => {
                let lines = lines.iter().map(shortage_to).collect();
                order.refusal = Some(proto::Refusal { reason: reason.clone(), lines });
                order.lifecycle = "pending".to_owned();
                self.refused_attempt = *attempt;
            }
            Event::Held(hold) => {
                order.holds.retain(|stands| stands.name != hold.name);
                order.holds.push(proto::Hold {
                    name: hold.name.clone(),
                    reason: hold.reason.clone(),
                    until: if hold.until_ms == 0 { String::new() } else { rfc3339(hold.until_ms) },
                    placed_at: order.updated_at.clone(),
                    placed_by: heard.cause.actor.id.clone(),
                });
            }
            Event::Released { name, .. } => order.holds.retain(|stands| stands.name != *name),
            Event::PartProgressed(fact) => self.facts.push(fact_to(fact)),
            Event::CancelRequested { .. } => order.lifecycle = "cancel_pending".to_owned(),
            Event::Cancelled { .. } => order.lifecycle = "cancelled".to_owned(),
            Event::Closed { .. } => order.lifecycle = "closed".to_owned(),
            Event::Amended(amendment) => amend(order, amendment, heard),
            Event::NoteAdded(added) => order.note_entries.push(note(added, heard)),
        }
    }

    /// What the parts reported.
    pub(crate) fn parts(&self) -> Parts {
        let mut parts = Parts::default();
        for fact in self.facts.iter().cloned().filter_map(fact_from) {
            parts.hear(&fact);
        }
        parts
    }

    /// Computes what follows from lifecycle, holds and parts.
    pub(crate) fn compute(&mut self) {
        let parts = self.parts();
        let Some(order) = &self.order else { return };
        let standing = self.standing(order, &parts);
        let headline = standing.headline();
        let (progress, tracking_status) = (standing.progress(), standing.tracking_status());
        let exceptions = standing.exceptions().into_iter().map(exception).collect();
        let Some(order) = &mut self.order else { return };
        order.status = headline.word().to_owned();
        order.progress = progress;
        order.tracking_status = tracking_status;
        let ids = |kind| parts.of_kind(kind).map(|(id, _)| id.to_owned()).collect();
        order.fulfillments = ids(Kind::Fulfillment);
        order.shipments = ids(Kind::Shipment);
        order.exceptions = exceptions;
    }

    /// True when the outcome of confirmation `attempt` stands here with all that follows from it.
    pub(crate) fn shows_outcome_of(&self, attempt: u32) -> bool {
        let Some(order) = &self.order else { return false };
        if self.refused_attempt >= attempt || order.lifecycle == "cancelled" {
            return true;
        }
        let allocation: Vec<_> = order.allocation.iter().cloned().map(allocation_from).collect();
        self.confirmed && self.attempt >= attempt && all_opened(&allocation, &self.parts())
    }

    /// True when the part, or without one the order, is at `stage` or further along.
    pub(crate) fn has_reached(&self, part_id: &str, stage: &str) -> bool {
        let Some(order) = &self.order else { return false };
        if part_id.is_empty() && (stage.is_empty() || order.status == stage) {
            return true;
        }
        let parts = self.parts();
        let wanted = Stage::parse(stage);
        let at_least = |now: Stage| wanted.is_none_or(|wanted| now >= wanted);
        if !part_id.is_empty() {
            return parts.get(part_id).is_some_and(|part| at_least(part.stage()));
        }
        let standing = self.standing(order, &parts);
        matches!(standing.least(), Headline::At(now) if wanted.is_some() && at_least(now))
    }

    fn standing<'a>(&self, order: &'a proto::Order, parts: &'a Parts) -> Standing<'a> {
        Standing {
            confirmed: self.confirmed,
            cancelled: order.lifecycle == "cancelled",
            cancelling: order.lifecycle == "cancel_pending",
            on_hold: !order.holds.is_empty(),
            warehouses: order.allocation.iter().map(|part| part.warehouse.as_str()).collect(),
            parts,
        }
    }

    /// The resource, with its person unless erased.
    pub(crate) fn resource(self, person: Option<PersonDocument>, position: String) -> proto::Order {
        let mut order = self.order.unwrap_or_default();
        order.position = position;
        let Some(person) = person else { return order };
        if let (Some(recipient), Some(contact)) = (person.recipient, &mut order.contact) {
            contact.name = recipient.name;
            contact.phone = recipient.phone;
            contact.email = recipient.email;
            order.shipping_address = recipient.address;
        }
        for entry in &mut order.note_entries {
            let text = person.notes.iter().find(|note| note.note_id == entry.note_id);
            entry.text = text.map(|note| note.text.clone()).unwrap_or_default();
        }
        order.notes = order.note_entries.iter().map(|entry| entry.text.clone()).collect();
        order
    }
}

fn exception((part_id, exception): (&str, Exception)) -> proto::OrderException {
    proto::OrderException {
        part_id: part_id.to_owned(),
        detail: advice(&exception.reason).to_owned(),
        reason: exception.reason,
        since: rfc3339(exception.since_ms),
    }
}

/// What a person can do about an exception.
fn advice(reason: &str) -> &'static str {
    match reason {
        "PICK_DISPUTED" => "the picker has goods that the stock ledger does not: count the bin",
        "SHORT_PICKED" => "fewer units were found than ordered: amend the order or find the goods",
        "NOTHING_PICKED" => "none of the goods were found: cancel the order, or order it anew",
        "DELIVERY_FAILED" => "the courier did not reach the customer: check phone and address",
        "PROMISE_BROKEN" => "stock that was held is not there: receive or move stock, or amend",
        "LOST" => "the courier lost the parcel: open a claim and send it again",
        "DAMAGED" => "the parcel was damaged on its way: open a claim and send it again",
        "COURIER_CANCELLED" => "the courier gave the delivery up: ask where the parcel is",
        _ => "open the part and see what happened",
    }
}
