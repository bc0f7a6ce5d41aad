//! What is done with an order: confirm, cancel, hold, release, note.

use nexus_es::{Cause, Positions, Receipt, clock};
use nexus_proto::order::v1 as proto;
use nexus_runtime::caller::Caller;
use nexus_runtime::reply::reply;
use nexus_runtime::{Violations, status, time};
use prost::Message;
use tonic::{Request, Status};

use super::{Answer, Api, PATIENCE, answers, contacts, parse, refusals};
use crate::domain::order::{Command, Hold};
use crate::domain::{Note, Visibility};
use crate::personal;
use crate::views::document::OrderDocument;
use crate::views::orders;
use crate::wire::SERVICE;

async fn cause(
    api: &Api,
    caller: &Caller,
    rpc: &'static str,
    body: &impl Message,
    order_id: &str,
) -> Result<Cause, Status> {
    let cause = caller.checked_cause(&api.views, rpc, body).await?;
    Ok(Cause { story: order_id.to_owned(), ..cause })
}

/// Waits until the view shows `there`, and answers the order with `settled`.
async fn settled(
    api: &Api,
    order_id: &str,
    receipt: &Receipt,
    there: impl Fn(&OrderDocument) -> bool + Send + Sync,
) -> Answer<proto::Order> {
    let check = || async {
        let found = orders::by_id(&api.views, order_id).await;
        found.map(|row| row.filter(|row| there(&row.document)))
    };
    let found = api.views.until(&orders::key(order_id), PATIENCE, check).await;
    let found = found.map_err(answers::unreadable)?;
    let settled = Some(found.is_some());
    let order = match found {
        Some(_) if receipt.replayed => {
            let (document, person) = answers::as_it_was(api, order_id, receipt, &there).await?;
            document.resource(person, Positions::one(SERVICE, receipt.position).to_string())
        }
        Some(found) => {
            let position = api.views.positions().to_string();
            found.document.resource(found.person, position)
        }
        None => answers::after(api, order_id, receipt).await?,
    };
    Ok(reply(receipt, proto::Order { settled, ..order }))
}

pub(super) async fn confirm(
    api: &Api,
    request: Request<proto::ConfirmOrderRequest>,
) -> Answer<proto::Order> {
    let caller = Caller::of(&request)?;
    let asked = request.into_inner();
    let order_id = answers::resolve(api, &asked.order_id).await?;
    let cause = cause(api, &caller, "ConfirmOrder", &asked, &order_id).await?;
    // Before the command, so that its outcome cannot be missed.
    let outcome = api.views.expect(&orders::outcome_key(&order_id));
    let done = api
        .orders
        .execute_then(&order_id, Command::RequestConfirmation, cause, |order, _| order.attempt)
        .await;
    let (receipt, attempt) = done.map_err(|error| refusals::of_order(&order_id, error))?;
    if !receipt.replayed {
        outcome.came(PATIENCE).await;
    }
    settled(api, &order_id, &receipt, |document| document.shows_outcome_of(attempt)).await
}

pub(super) async fn cancel(
    api: &Api,
    request: Request<proto::CancelOrderRequest>,
) -> Answer<proto::Order> {
    let caller = Caller::of(&request)?;
    let asked = request.into_inner();
    let mut wrong = Violations::default();
    let reason = wrong.text("reason", &asked.reason, 200);
    wrong.done()?;
    let order_id = answers::resolve(api, &asked.order_id).await?;
    let cause = cause(api, &caller, "CancelOrder", &asked, &order_id).await?;
    let done = api.orders.execute(&order_id, Command::Cancel { reason }, cause).await;
    let receipt = done.map_err(|error| refusals::of_order(&order_id, error))?;
    let cancelled = |document: &OrderDocument| {
        document.order.as_ref().is_some_and(|order| order.lifecycle == "cancelled")
    };
    settled(api, &order_id, &receipt, cancelled).await
}

async fn simple(api: &Api, order_id: &str, command: Command, cause: Cause) -> Answer<proto::Order> {
    let done = api.orders.execute(order_id, command, cause).await;
    let receipt = done.map_err(|error| refusals::of_order(order_id, error))?;
    Ok(reply(&receipt, answers::after(api, order_id, &receipt).await?))
}

pub(super) async fn hold(
    api: &Api,
    request: Request<proto::HoldOrderRequest>,
) -> Answer<proto::Order> {
    let caller = Caller::of(&request)?;
    let asked = request.into_inner();
    let mut wrong = Violations::default();
    let name = wrong.text("name", &asked.name, 64);
    let reason = wrong.text("reason", &asked.reason, 200);
    let until_ms = match asked.until.as_str() {
        "" => 0,
        text => time::parse_rfc3339(text).unwrap_or_else(|| {
            wrong.add("until", format!("is \"{text}\", write it like 2026-11-25T09:00:00Z"));
            0
        }),
    };
    if until_ms != 0 && until_ms <= clock::now_ms() {
        wrong.add("until", "is in the past");
    }
    wrong.done()?;
    let order_id = answers::resolve(api, &asked.order_id).await?;
    let cause = cause(api, &caller, "HoldOrder", &asked, &order_id).await?;
    simple(api, &order_id, Command::Hold(Hold { name, reason, until_ms }), cause).await
}

pub(super) async fn release(
    api: &Api,
    request: Request<proto::ReleaseOrderRequest>,
) -> Answer<proto::Order> {
    let caller = Caller::of(&request)?;
    let asked = request.into_inner();
    let mut wrong = Violations::default();
    let name = wrong.text("name", &asked.name, 64);
    wrong.done()?;
    let order_id = answers::resolve(api, &asked.order_id).await?;
    let cause = cause(api, &caller, "ReleaseOrder", &asked, &order_id).await?;
    simple(api, &order_id, Command::Release { name, lapsed: false }, cause).await
}

pub(super) async fn add_note(
    api: &Api,
    request: Request<proto::AddNoteRequest>,
) -> Answer<proto::Order> {
    let caller = Caller::of(&request)?;
    let asked = request.into_inner();
    let mut wrong = Violations::default();
    let text = parse::note(&mut wrong, "text", &asked.text);
    let visibility = match asked.visibility.as_str() {
        "" => Visibility::Internal,
        word => {
            wrong.one_of("visibility", word, &["internal", "customer"]);
            Visibility::parse(word).unwrap_or_default()
        }
    };
    wrong.done()?;
    let order_id = answers::resolve(api, &asked.order_id).await?;
    let contact_id = contact_of(api, &order_id).await?;
    let text = personal::seal_note(&api.vault, &contact_id, &text).await;
    let text = text.map_err(contacts::unsealed)?;
    let note = Note { note_id: caller.new_id("AddNote"), text, visibility };
    let cause = cause(api, &caller, "AddNote", &asked, &order_id).await?;
    simple(api, &order_id, Command::AddNote(note), cause).await
}

async fn contact_of(api: &Api, order_id: &str) -> Result<String, Status> {
    let read = api
        .orders
        .read(order_id, |order| order.placed.as_ref().map(|placed| placed.contact_id.clone()));
    let (_, contact_id) = read.await.map_err(|error| refusals::of_order(order_id, error))?;
    let contact_id = contact_id.ok_or_else(|| status::not_found("order", order_id))?;
    let read = api.contacts.read(&contact_id, |contact| contact.erased).await;
    let (_, erased) = read.map_err(|error| refusals::of_contact(&contact_id, error))?;
    if erased { Err(refusals::erased()) } else { Ok(contact_id) }
}
