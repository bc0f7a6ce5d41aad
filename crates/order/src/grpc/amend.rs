//! Amending an order: one atomic change with a reason.

use nexus_es::{Cause, HandleError};
use nexus_proto::common::v1::{Address, Recipient};
use nexus_proto::order::v1 as proto;
use nexus_runtime::caller::Caller;
use nexus_runtime::reply::reply;
use nexus_runtime::status;
use tonic::{Request, Status};

use super::{Answer, Api, answers, contacts, create, parse, refusals};
use crate::domain::order::{Amendment, Command, Placed, Refusal};
use crate::domain::{Note, Region, SealedValue, Visibility};
use crate::personal;

const RPC: &str = "AmendOrder";

pub(super) async fn amend(
    api: &Api,
    request: Request<proto::AmendOrderRequest>,
) -> Answer<proto::Order> {
    let caller = Caller::of(&request)?;
    let asked = request.into_inner();
    let order_id = answers::resolve(api, &asked.order_id).await?;
    let cause = caller.checked_cause(&api.views, RPC, &asked).await?;
    let cause = Cause { story: order_id.clone(), ..cause };
    // A repeat must not be read against what the order became since.
    match api.orders.execute(&order_id, Command::Recall, cause.clone()).await {
        Ok(receipt) => {
            let order = answers::after(api, &order_id, &receipt).await?;
            return Ok(reply(&receipt, order));
        }
        Err(HandleError::Refused(Refusal::NothingToRecall)) => {}
        Err(error) => return Err(refusals::of_order(&order_id, error)),
    }
    let placed = api.orders.read(&order_id, |order| (order.placed.clone(), order.amendments)).await;
    let (_, (placed, base)) = placed.map_err(|error| refusals::of_order(&order_id, error))?;
    let before = placed.ok_or_else(|| status::not_found("order", &asked.order_id))?;
    let mut amended = parse::amendment(&asked, &before, &api.rules)?;
    if !amended.lines.is_empty() {
        create::name_products(api, &mut amended.lines, &order_id).await?;
    }
    let region = amended.address.as_ref().map(|address| Region {
        country: address.country.clone(),
        governorate: address.governorate.clone(),
        city: address.city.clone(),
    });
    let recipient = match amended.address {
        Some(address) => Some(readdressed(api, &before, address).await?),
        None => None,
    };
    let amendment = Amendment {
        reason: amended.reason,
        lines: amended.lines,
        recipient,
        region,
        payment: amended.payment,
        totals: amended.totals,
        notes: notes(api, &caller, &before, &amended.notes).await?,
    };
    let command = Command::Amend { amendment: Box::new(amendment), base };
    let done = api.orders.execute(&order_id, command, cause).await;
    let receipt = done.map_err(|error| refusals::of_order(&order_id, error))?;
    Ok(reply(&receipt, answers::after(api, &order_id, &receipt).await?))
}

/// The recipient at another address, sealed anew.
async fn readdressed(api: &Api, before: &Placed, address: Address) -> Result<SealedValue, Status> {
    let opened = personal::open_recipient(&api.vault, &before.recipient).await;
    let known = opened.map_err(contacts::unsealed)?.ok_or_else(refusals::erased)?;
    let recipient = Recipient { address: Some(address), ..known };
    let sealed = personal::seal_recipient(&api.vault, &before.contact_id, &recipient).await;
    sealed.map_err(contacts::unsealed)
}

async fn notes(
    api: &Api,
    caller: &Caller,
    before: &Placed,
    texts: &[String],
) -> Result<Vec<Note>, Status> {
    let mut notes = Vec::with_capacity(texts.len());
    for (nth, text) in texts.iter().enumerate() {
        let text = personal::seal_note(&api.vault, &before.contact_id, text).await;
        let text = text.map_err(contacts::unsealed)?;
        let note_id = format!("{}-{nth}", caller.new_id(RPC));
        notes.push(Note { note_id, text, visibility: Visibility::Internal });
    }
    Ok(notes)
}
