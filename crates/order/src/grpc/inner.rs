//! What other services ask: wait for the order view, open the recipient, describe the goods.

use std::time::Duration;

use nexus_es::ActorKind;
use nexus_proto::common::v1::{Consent, Money};
use nexus_proto::order::v1 as proto;
use nexus_runtime::caller::Caller;
use nexus_runtime::money::format_amount;
use nexus_runtime::{reads, status};
use tonic::{Request, Response, Status};

use super::{Answer, Api, PATIENCE, answers, contacts, refusals};
use crate::domain::Visibility;
use crate::domain::contact::Contact;
use crate::domain::order::{Order, Placed};
use crate::personal;
use crate::views::{document, orders};
use crate::wire::allocation_to;

const LONGEST: Duration = Duration::from_secs(5);

pub(super) async fn await_order(
    api: &Api,
    request: Request<proto::AwaitOrderRequest>,
) -> Answer<proto::AwaitOrderResponse> {
    Caller::of(&request)?;
    let asked = request.into_inner();
    let patience = match asked.timeout_ms {
        0 => PATIENCE,
        ms => Duration::from_millis(u64::from(ms)).min(LONGEST),
    };
    let began = tokio::time::Instant::now();
    let wanted = reads::min_position(&asked.min_position)?;
    let in_time = api.views.wait_for(&wanted, patience).await.is_ok();
    let left = patience.saturating_sub(began.elapsed());
    let check = || async {
        let found = orders::by_id(&api.views, &asked.order_id).await;
        found.map(|row| row.filter(|row| row.document.has_reached(&asked.part_id, &asked.stage)))
    };
    let found = api.views.until(&orders::key(&asked.order_id), left, check).await;
    let found = found.map_err(answers::unreadable)?;
    let settled = in_time && found.is_some();
    let now = match found {
        Some(found) => Some(found),
        None => {
            let row = orders::by_id(&api.views, &asked.order_id).await;
            row.map_err(answers::unreadable)?
        }
    };
    let order = now.and_then(|row| row.document.order);
    Ok(Response::new(proto::AwaitOrderResponse {
        settled,
        status: order.map(|order| order.status).unwrap_or_default(),
        position: api.views.positions().to_string(),
    }))
}

async fn read(api: &Api, order_id: &str) -> Result<(Order, Placed), Status> {
    let read = api.orders.read(order_id, Order::clone).await;
    let (_, order) = read.map_err(|error| refusals::of_order(order_id, error))?;
    let placed = order.placed.clone().ok_or_else(|| status::not_found("order", order_id))?;
    Ok((order, *placed))
}

pub(super) async fn get_recipient(
    api: &Api,
    request: Request<proto::GetRecipientRequest>,
) -> Answer<proto::GetRecipientResponse> {
    let caller = Caller::of(&request)?;
    if caller.actor.kind != ActorKind::Service {
        return Err(Status::permission_denied("only services may open a recipient"));
    }
    let order_id = request.into_inner().order_id;
    let (_, placed) = read(api, &order_id).await?;
    let contact_id = placed.contact_id.as_str();
    let contact = api.contacts.read(contact_id, Contact::clone).await;
    let (_, contact) = contact.map_err(|error| refusals::of_contact(contact_id, error))?;
    let opened = personal::open_recipient(&api.vault, &placed.recipient).await;
    let recipient = opened.map_err(contacts::unsealed)?;
    let mut delivery_notes = Vec::new();
    for note in placed.notes.iter().filter(|note| note.visibility == Visibility::Customer) {
        let text = personal::open_note(&api.vault, &note.text).await.map_err(contacts::unsealed)?;
        delivery_notes.extend(text);
    }
    let consents = contact.consents.values().map(|said| Consent {
        channel: said.channel.clone(),
        granted: said.granted,
        source: said.source.clone(),
        recorded_at: String::new(),
    });
    let language = contact.card.map(|card| card.language).filter(|word| !word.is_empty());
    Ok(Response::new(proto::GetRecipientResponse {
        erased: recipient.is_none(),
        recipient,
        order_number: placed.number.clone(),
        language: language.unwrap_or_else(|| placed.language.clone()),
        consents: consents.collect(),
        key_id: personal::key_id(contact_id),
        delivery_notes: delivery_notes.join("\n"),
        contact_id: placed.contact_id,
    }))
}

pub(super) async fn get_order_for_fulfillment(
    api: &Api,
    request: Request<proto::GetOrderForFulfillmentRequest>,
) -> Answer<proto::OrderForFulfillment> {
    Caller::of(&request)?;
    let order_id = request.into_inner().order_id;
    let (order, placed) = read(api, &order_id).await?;
    let currency = placed.currency.as_str();
    let money = |amount| {
        Some(Money { amount: format_amount(amount, currency), currency: currency.to_owned() })
    };
    Ok(Response::new(proto::OrderForFulfillment {
        order_id,
        number: placed.number.clone(),
        status: order.headline().word().to_owned(),
        lifecycle: order.lifecycle.word().to_owned(),
        attempt: order.attempt,
        lines: placed.lines.iter().map(|line| document::line(line, currency)).collect(),
        allocation: order.allocation.iter().map(allocation_to).collect(),
        cod_due: money(placed.totals.cod_due),
        total: money(placed.totals.total),
        on_hold: !order.holds.is_empty(),
        contact_id: placed.contact_id.clone(),
    }))
}
