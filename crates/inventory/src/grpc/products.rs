//! The rpcs about products and their barcodes.

mod claims;
mod input;

use std::collections::HashMap;
use std::sync::Arc;

use nexus_es::{Cause, Receipt};
use nexus_proto::inventory::v1 as proto;
use nexus_runtime::caller::Caller;
use nexus_runtime::page::Page;
use nexus_runtime::{Violations, reply, status};
use tonic::{Request, Response, Status};

use super::{Answer, Inventory, position_text, view_failed};
use crate::domain::barcode::Barcode;
use crate::domain::product::{Command, Details, Event, Product, Refusal};
use crate::domain::{MAX_NAME_BYTES, Sku, id_of};
use crate::views;

const MAX_SKUS: usize = 2_000;
const SKUS_A_QUESTION: usize = 500;

pub(super) async fn register_product(
    service: &Inventory,
    request: Request<proto::RegisterProductRequest>,
) -> Answer<proto::Product> {
    let caller = Caller::of(&request)?;
    let body = request.into_inner();
    let cause = caller.checked_cause(&service.views, "RegisterProduct", &body).await?;
    let (sku, details) = input::registration(&body)?;
    let known = service.product(sku.as_str(), Details::clone).await?;
    // What is registered keeps its claims; the product itself tells a repeat from a difference.
    let claimed = match known {
        Some(_) => Vec::new(),
        None => service.claim(&sku, &details.barcodes, &cause).await?,
    };
    let command = Command::Register(details);
    let done = service.products.execute(&id_of(sku.as_str()), command, cause.clone()).await;
    match done {
        Ok(receipt) => answer(service, receipt, &sku).await,
        Err(error) => {
            service.give_back(&sku, &claimed, &cause).await;
            Err(status::of(error, |refusal| refused(&sku, &refusal)))
        }
    }
}

pub(super) async fn amend_product(
    service: &Inventory,
    request: Request<proto::AmendProductRequest>,
) -> Answer<proto::Product> {
    let caller = Caller::of(&request)?;
    let body = request.into_inner();
    let cause = caller.checked_cause(&service.views, "AmendProduct", &body).await?;
    let (sku, amendment) = input::amendment(&body)?;
    let Some(before) = service.product(sku.as_str(), Details::clone).await? else {
        return Err(status::not_found("product", sku.as_str()));
    };
    let wanted = amendment.barcodes.clone().unwrap_or_default();
    let claimed = service.claim(&sku, &wanted, &cause).await?;
    let command = Command::Amend(amendment);
    let done = service.products.execute(&id_of(sku.as_str()), command, cause.clone()).await;
    match done {
        Ok(receipt) => {
            let old: Vec<_> = before.barcodes.iter().map(|pack| pack.code.clone()).collect();
            service.give_back(&sku, &input::normal(&old), &cause).await;
            answer(service, receipt, &sku).await
        }
        Err(error) => {
            service.give_back(&sku, &claimed, &cause).await;
            Err(status::of(error, |refusal| refused(&sku, &refusal)))
        }
    }
}

pub(super) async fn discontinue_product(
    service: &Inventory,
    request: Request<proto::DiscontinueProductRequest>,
) -> Answer<proto::Product> {
    let caller = Caller::of(&request)?;
    let body = request.into_inner();
    let cause = caller.checked_cause(&service.views, "DiscontinueProduct", &body).await?;
    let mut violations = Violations::default();
    let sku = super::parse::sku(&mut violations, "sku", &body.sku);
    let reason = violations.optional_text("reason", &body.reason, 200);
    violations.done()?;
    let command = Command::Discontinue { reason };
    let done = service.products.execute(&id_of(sku.as_str()), command, cause).await;
    let receipt = done.map_err(|error| status::of(error, |refusal| refused(&sku, &refusal)))?;
    answer(service, receipt, &sku).await
}

/// The product as the command left it: out of the view, or of the log when it was repeated.
async fn answer(service: &Inventory, receipt: Receipt, sku: &Sku) -> Answer<proto::Product> {
    let mut product = if receipt.replayed {
        let after = |product, event: &Event, at_ms| {
            views::products::after(product, sku.as_str(), event, at_ms)
        };
        let id = id_of(sku.as_str());
        service.fold_at::<Product, proto::Product>(&id, receipt.version, after).await?
    } else {
        service.show(&receipt).await?;
        find(service, sku.as_str()).await?
    };
    product.position = position_text(receipt.position);
    Ok(reply::reply(&receipt, product))
}

async fn find(service: &Inventory, sku: &str) -> Result<proto::Product, Status> {
    let found = views::products::by_sku(&service.views, &[sku.to_owned()]).await;
    let found = found.map_err(view_failed)?.remove(sku);
    let product = found.ok_or_else(|| status::not_found("product", sku))?;
    Ok(Arc::unwrap_or_clone(product))
}

fn refused(sku: &Sku, refusal: &Refusal) -> Status {
    match refusal {
        Refusal::OtherContent => status::already_exists(
            "PRODUCT_EXISTS",
            format!(
                "product \"{sku}\" is registered with other content: change it with PATCH \
                 /v1/products/{{sku}}, or register another SKU"
            ),
        ),
        Refusal::Unknown => status::not_found("product", sku.as_str()),
    }
}

pub(super) async fn get_product(
    service: &Inventory,
    request: Request<proto::GetProductRequest>,
) -> Answer<proto::Product> {
    let body = request.into_inner();
    service.reach(&body.min_position).await?;
    let product = find(service, &body.sku).await?;
    Ok(Response::new(proto::Product { position: service.views.positions().to_string(), ..product }))
}

pub(super) async fn list_products(
    service: &Inventory,
    request: Request<proto::ListProductsRequest>,
) -> Answer<proto::ListProductsResponse> {
    let body = request.into_inner();
    let page = Page::parse(body.page_size, &body.page_token)?;
    service.reach(&body.min_position).await?;
    let found = views::products::list(&service.views.pool(), body.query.trim(), &page).await;
    let (products, next_page_token) = found.map_err(view_failed)?;
    Ok(Response::new(proto::ListProductsResponse { products, next_page_token }))
}

pub(super) async fn get_products(
    service: &Inventory,
    request: Request<proto::GetProductsRequest>,
) -> Answer<proto::GetProductsResponse> {
    let body = request.into_inner();
    if body.skus.len() > MAX_SKUS {
        let description = format!("names {} SKUs, at most {MAX_SKUS} a call", body.skus.len());
        return Err(status::invalid_field("skus", description));
    }
    service.reach(&body.min_position).await?;
    let mut known = HashMap::new();
    for chunk in body.skus.chunks(SKUS_A_QUESTION) {
        let found = views::products::by_sku(&service.views, chunk).await;
        known.extend(found.map_err(view_failed)?);
    }
    let mut answer = proto::GetProductsResponse::default();
    for sku in body.skus {
        match known.get(&sku) {
            Some(product) => answer.products.push(proto::Product::clone(product)),
            None => answer.unknown_skus.push(sku),
        }
    }
    Ok(Response::new(answer))
}

pub(super) async fn resolve_barcode(
    service: &Inventory,
    request: Request<proto::ResolveBarcodeRequest>,
) -> Answer<proto::ResolveBarcodeResponse> {
    let body = request.into_inner();
    let text = body.code.trim();
    let barcode =
        Barcode::parse(text).map_err(|bad| status::invalid_field("code", bad.to_string()))?;
    if let Some(sku) = service.claimed_by(&barcode).await? {
        let wanted = barcode.clone();
        let read = move |details: &Details| {
            let mut packs = details.barcodes.iter();
            let pack = packs.find(|pack| Barcode::parse(&pack.code).as_ref() == Ok(&wanted));
            pack.map(|pack| (pack.units, details.name.clone()))
        };
        if let Some((units, name)) = service.product(sku.as_str(), read).await?.flatten() {
            let sku = sku.to_string();
            return Ok(Response::new(proto::ResolveBarcodeResponse { sku, units, name }));
        }
    }
    // The SKU itself is on every shelf label: it counts one unit.
    let name = service.product(text, |details| details.name.clone()).await?;
    let name = name.ok_or_else(|| status::not_found("barcode", text))?;
    Ok(Response::new(proto::ResolveBarcodeResponse { sku: text.to_owned(), units: 1, name }))
}

/// The cause of a step on a barcode that a product's command needs. It has an id of its own each
/// time: a claim that was given back since must be made again, not remembered.
fn step(cause: &Cause) -> Cause {
    Cause { command_id: nexus_es::new_id(), request_hash: Vec::new(), ..cause.clone() }
}

/// The aggregate of a barcode; `None` when its text is too long to be anybody's.
fn claim_id(barcode: &Barcode) -> Option<String> {
    Some(id_of(barcode.as_str())).filter(|id| id.len() <= MAX_NAME_BYTES)
}
