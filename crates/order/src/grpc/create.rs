//! Creating an order: who orders, what the products are called, the number, the seal.

use std::collections::BTreeSet;

use nexus_es::{Cause, HandleError};
use nexus_proto::common::v1::Recipient;
use nexus_proto::inventory::v1::GetProductsRequest;
use nexus_proto::order::v1 as proto;
use nexus_runtime::caller::Caller;
use nexus_runtime::reply::reply;
use nexus_runtime::{Violations, status};
use tonic::{Request, Status};

use super::parse::{NewOrder, Who, new_order};
use super::{Answer, Api, answers, contacts, refusals};
use crate::domain::order::{Command, Placed, Refusal};
use crate::domain::pricing::Line;
use crate::domain::{Note, Region, Visibility};
use crate::personal;
use crate::wire::SERVICE;

const RPC: &str = "CreateOrder";

pub(super) async fn create(
    api: &Api,
    request: Request<proto::CreateOrderRequest>,
) -> Answer<proto::Order> {
    let caller = Caller::of(&request)?;
    let asked = request.into_inner();
    let order_id = caller.new_id(RPC);
    let cause = Cause { story: order_id.clone(), ..caller.cause(RPC, &asked) };
    // A repeat must not look for products or contacts again: the world may have moved on.
    match api.orders.execute(&order_id, Command::Recall, cause.clone()).await {
        Ok(receipt) => {
            let order = answers::after(api, &order_id, &receipt).await?;
            return Ok(reply(&receipt, order));
        }
        Err(HandleError::Refused(Refusal::NothingToRecall)) => {}
        Err(error) => return Err(refusals::of_order(&order_id, error)),
    }
    let mut order = new_order(&asked, &api.rules)?;
    name_products(api, &mut order.lines, &order_id).await?;
    let contact_id = caller.new_id("CreateOrder.contact");
    let who = match &order.who {
        Who::Known(id) => contacts::known(api, id).await?,
        Who::Draft(draft) => contacts::find_or_register(api, draft, contact_id, &cause).await?.0,
    };
    let receipt = place(api, &order_id, order, who, cause).await?;
    let order = answers::after(api, &order_id, &receipt).await?;
    Ok(reply(&receipt, order))
}

/// Writes the products' names into the lines; unknown and discontinued SKUs are violations.
pub(super) async fn name_products(
    api: &Api,
    lines: &mut [Line],
    order_id: &str,
) -> Result<(), Status> {
    let skus: BTreeSet<_> = lines.iter().map(|line| line.sku.clone()).collect();
    let message =
        GetProductsRequest { skus: skus.into_iter().collect(), min_position: String::new() };
    let question = api.channels.question(message, SERVICE, order_id);
    let answer = api.channels.inventory().get_products(question).await;
    let unavailable =
        |no: Status| status::broken("inventory cannot say what the products are", no.code());
    let products = answer.map_err(unavailable)?.into_inner().products;
    let products: std::collections::HashMap<_, _> =
        products.iter().map(|product| (product.sku.as_str(), product)).collect();
    let mut wrong = Violations::default();
    for (nth, line) in lines.iter_mut().enumerate() {
        let field = || format!("lines[{nth}].sku");
        match products.get(line.sku.as_str()) {
            None => wrong.add(field(), format!("\"{}\" is no registered product", line.sku)),
            Some(product) if product.discontinued => {
                wrong.add(field(), format!("\"{}\" is discontinued", line.sku));
            }
            Some(product) => line.name.clone_from(&product.name),
        }
    }
    wrong.done()
}

/// Seals what is personal, takes a number, and records the order.
async fn place(
    api: &Api,
    order_id: &str,
    order: NewOrder,
    who: contacts::Known,
    cause: Cause,
) -> Result<nexus_es::Receipt, Status> {
    let contact_id = who.contact_id;
    let region = Region {
        country: order.address.country.clone(),
        governorate: order.address.governorate.clone(),
        city: order.address.city.clone(),
    };
    let recipient = Recipient {
        name: who.profile.name,
        phone: who.profile.phone,
        email: who.profile.email,
        address: Some(order.address),
    };
    let sealed = personal::seal_recipient(&api.vault, &contact_id, &recipient).await;
    let recipient = sealed.map_err(contacts::unsealed)?;
    let mut notes = Vec::with_capacity(order.notes.len());
    for (nth, text) in order.notes.iter().enumerate() {
        let text = personal::seal_note(&api.vault, &contact_id, text).await;
        notes.push(Note {
            note_id: (nth + 1).to_string(),
            text: text.map_err(contacts::unsealed)?,
            visibility: Visibility::Internal,
        });
    }
    let number = api
        .numbers
        .take()
        .await
        .map_err(|error| status::of(error, |refusal| status::internal(&refusal)))?;
    let placed = Placed {
        number: number.text(),
        contact_id,
        recipient,
        region,
        language: who.language,
        lines: order.lines,
        currency: order.currency,
        prices_include_tax: order.prices_include_tax,
        totals: order.totals,
        payment: order.payment,
        notes,
        external_reference: order.external_reference,
    };
    let done = api.orders.execute(order_id, Command::Create(Box::new(placed)), cause).await;
    let unused = match &done {
        Ok(receipt) => receipt.replayed,
        Err(error) => stored_nothing(error),
    };
    if unused {
        number.give_back();
    }
    done.map_err(|error| refusals::of_order(order_id, error))
}

/// True when it is certain that the order does not stand in the log.
fn stored_nothing(error: &HandleError<Refusal>) -> bool {
    match error {
        HandleError::Refused(_)
        | HandleError::KeyReused
        | HandleError::Contended
        | HandleError::Unavailable(_)
        | HandleError::TooLarge { .. }
        | HandleError::BadId(_) => true,
        HandleError::Unknown(_) | HandleError::Load(_) | HandleError::Panicked(_) => false,
    }
}
