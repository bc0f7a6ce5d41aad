//! The rpcs about stock: what comes, is corrected, moves, comes back, and what is there.

use std::collections::BTreeSet;

use nexus_es::Cause;
use nexus_proto::inventory::v1 as proto;
use nexus_runtime::caller::Caller;
use nexus_runtime::page::Page;
use nexus_runtime::{Violations, reply, status};
use tonic::{Request, Response};

use super::{Answer, Inventory, parse, position_text, refusals, view_failed};
use crate::domain::stock_ledger::{Command, Event, StockLedger};
use crate::domain::{Lot, Sku};
use crate::views;

pub(super) async fn receive_stock(
    service: &Inventory,
    request: Request<proto::ReceiveStockRequest>,
) -> Answer<proto::StockChange> {
    let caller = Caller::of(&request)?;
    let body = request.into_inner();
    let cause = caller.checked_cause(&service.views, "ReceiveStock", &body).await?;
    let mut violations = Violations::default();
    let code = parse::warehouse(&mut violations, &body.warehouse);
    let lines = body.lines.into_iter().map(|line| proto::BinUnits {
        sku: line.sku,
        bin: line.bin,
        lot: line.lot,
        units: line.units,
    });
    let lines: Vec<_> = lines.collect();
    let lines = parse::bin_lines(&mut violations, &lines, parse::MAX_DELIVERY_LINES);
    let receipt = match body.receipt.trim() {
        "" => caller.new_id("ReceiveStock").into(),
        named => parse::reference(&mut violations, "receipt", named),
    };
    violations.done()?;
    service.walk_for(&code, &lines).await?;
    let skus = lines.iter().map(|line| line.sku.clone()).collect();
    let command = Command::Receive { receipt: receipt.clone(), lines };
    change(service, code, command, skus, cause, receipt.to_string()).await
}

pub(super) async fn adjust_stock(
    service: &Inventory,
    request: Request<proto::AdjustStockRequest>,
) -> Answer<proto::StockChange> {
    let caller = Caller::of(&request)?;
    let body = request.into_inner();
    let cause = caller.checked_cause(&service.views, "AdjustStock", &body).await?;
    let mut violations = Violations::default();
    let code = parse::warehouse(&mut violations, &body.warehouse);
    let sku = parse::sku(&mut violations, "sku", &body.sku);
    let bin = parse::bin(&mut violations, "bin", &body.bin);
    let lot: Lot = violations.optional_text("lot", &body.lot, 64).into();
    let reason = violations.text("reason", &body.reason, 300);
    if body.delta == 0 || body.delta.unsigned_abs() > parse::MAX_UNITS {
        let description = "says how many units more or, negative, fewer there are; it is not 0";
        violations.add("delta", description);
    }
    violations.done()?;
    let walk = service.walk_with(&code, vec![("bin".to_owned(), bin.clone())]).await?;
    service.stocked(&[("sku".to_owned(), sku.clone())]).await?;
    let skus = BTreeSet::from([sku.clone()]);
    let delta = i64::from(body.delta);
    let command = Command::Adjust { sku, bin, lot, delta, reason, walk };
    change(service, code, command, skus, cause, String::new()).await
}

pub(super) async fn move_stock(
    service: &Inventory,
    request: Request<proto::MoveStockRequest>,
) -> Answer<proto::StockChange> {
    let caller = Caller::of(&request)?;
    let body = request.into_inner();
    let cause = caller.checked_cause(&service.views, "MoveStock", &body).await?;
    let mut violations = Violations::default();
    let code = parse::warehouse(&mut violations, &body.warehouse);
    let sku = parse::sku(&mut violations, "sku", &body.sku);
    let from = parse::bin(&mut violations, "from_bin", &body.from_bin);
    let to = parse::bin(&mut violations, "to_bin", &body.to_bin);
    let lot: Lot = violations.optional_text("lot", &body.lot, 64).into();
    let units = violations.units("units", body.units, parse::MAX_UNITS);
    if from == to {
        violations.add("to_bin", "is the bin that the units come from");
    }
    violations.done()?;
    let bins = [("from_bin", &from), ("to_bin", &to)];
    let bins = bins.map(|(field, bin)| (field.to_owned(), bin.clone())).to_vec();
    let walk = service.walk_with(&code, bins).await?;
    service.stocked(&[("sku".to_owned(), sku.clone())]).await?;
    let skus = BTreeSet::from([sku.clone()]);
    let command = Command::Move { sku, from, to, lot, units, walk };
    change(service, code, command, skus, cause, String::new()).await
}

pub(super) async fn take_back(
    service: &Inventory,
    request: Request<proto::TakeBackRequest>,
) -> Answer<proto::StockChange> {
    let caller = Caller::of(&request)?;
    let body = request.into_inner();
    let mut cause = caller.checked_cause(&service.views, "TakeBack", &body).await?;
    let mut violations = Violations::default();
    let code = parse::warehouse(&mut violations, &body.warehouse);
    let order = violations.text("order_id", &body.order_id, 128);
    let shipment = parse::reference(&mut violations, "shipment_id", &body.shipment_id);
    let reference = parse::reference(&mut violations, "reference", &body.reference);
    let lines = parse::bin_lines(&mut violations, &body.lines, parse::MAX_ORDER_LINES);
    violations.done()?;
    service.walk_for(&code, &lines).await?;
    cause.story.clone_from(&order);
    let skus = lines.iter().map(|line| line.sku.clone()).collect();
    let command = Command::TakeBack { order: order.into(), shipment, reference, lines };
    change(service, code, command, skus, cause, String::new()).await
}

/// Carries out a command of a ledger and answers the SKUs that it is about, as they then are.
async fn change(
    service: &Inventory,
    code: String,
    command: Command,
    skus: BTreeSet<Sku>,
    cause: Cause,
    receipt_name: String,
) -> Answer<proto::StockChange> {
    let warehouse = code.clone();
    let read = move |ledger: &StockLedger, events: &[Event]| proto::StockChange {
        items: skus.iter().map(|sku| stock_item(ledger, &warehouse, sku)).collect(),
        broken_promises: events.iter().filter_map(broken_promise).collect(),
        warehouse,
        receipt: receipt_name,
        position: String::new(),
    };
    let done = service.ledgers.execute_then(&code, command, cause, read).await;
    let (receipt, change) =
        done.map_err(|error| status::of(error, |refusal| refusals::ledger(&code, refusal)))?;
    service.show(&receipt).await?;
    let position = position_text(receipt.position);
    Ok(reply::reply(&receipt, proto::StockChange { position, ..change }))
}

/// A SKU as the ledger has it.
fn stock_item(ledger: &StockLedger, warehouse: &str, sku: &Sku) -> proto::StockItem {
    let count = |units: u64| u32::try_from(units).unwrap_or(u32::MAX);
    let named = proto::StockItem {
        sku: sku.to_string(),
        warehouse: warehouse.to_owned(),
        ..Default::default()
    };
    let Some(shelf) = ledger.shelf(sku) else { return named };
    let piles = shelf.piles.iter().filter(|(_, pile)| pile.units > 0);
    let bins = piles.map(|(place, pile)| proto::BinStock {
        bin: place.bin.to_string(),
        on_hand: count(pile.units),
        lot: place.lot.to_string(),
        allocated: count(pile.allocated),
    });
    proto::StockItem {
        on_hand: count(shelf.on_hand()),
        reserved: count(shelf.held),
        available: count(shelf.available()),
        picked: count(shelf.picked),
        bins: bins.collect(),
        ..named
    }
}

fn broken_promise(event: &Event) -> Option<proto::BrokenPromise> {
    let Event::PromiseBroken { reservation, order, sku, units, .. } = event else { return None };
    Some(proto::BrokenPromise {
        order_id: order.to_string(),
        reservation: reservation.to_string(),
        sku: sku.to_string(),
        units: *units,
    })
}

pub(super) async fn list_stock(
    service: &Inventory,
    request: Request<proto::ListStockRequest>,
) -> Answer<proto::ListStockResponse> {
    let body = request.into_inner();
    let page = Page::parse(body.page_size, &body.page_token)?;
    service.reach_or_latest(&body.min_position).await?;
    let of = (body.sku.as_str(), body.warehouse.as_str());
    let found = views::stock::list(&service.views.pool(), of, &page).await;
    let (items, next_page_token) = found.map_err(view_failed)?;
    Ok(Response::new(proto::ListStockResponse { items, next_page_token }))
}

pub(super) async fn list_movements(
    service: &Inventory,
    request: Request<proto::ListMovementsRequest>,
) -> Answer<proto::ListMovementsResponse> {
    let body = request.into_inner();
    let page = Page::parse(body.page_size, &body.page_token)?;
    service.reach_or_latest(&body.min_position).await?;
    let of = (body.sku.as_str(), body.warehouse.as_str(), body.order_id.as_str());
    let found = views::movements::list(&service.views.pool(), of, &page).await;
    let (movements, next_page_token) = found.map_err(view_failed)?;
    Ok(Response::new(proto::ListMovementsResponse { movements, next_page_token }))
}
