//! The rpcs about warehouses and their bins.

use std::collections::HashSet;

use nexus_es::{HandleError, Receipt};
use nexus_proto::inventory::v1 as proto;
use nexus_runtime::caller::Caller;
use nexus_runtime::page::Page;
use nexus_runtime::{Violations, reply, status};
use tonic::{Request, Response, Status};

use super::{Answer, Inventory, parse, position_text, view_failed};
use crate::domain::Bin;
use crate::domain::warehouse::{
    Command, Details, Event, MAX_BINS_A_CALL, NewBin, Refusal, Warehouse,
};
use crate::{views, wire};

pub(super) async fn open_warehouse(
    service: &Inventory,
    request: Request<proto::OpenWarehouseRequest>,
) -> Answer<proto::Warehouse> {
    let caller = Caller::of(&request)?;
    let body = request.into_inner();
    let cause = caller.checked_cause(&service.views, "OpenWarehouse", &body).await?;
    let mut violations = Violations::default();
    let code = parse::warehouse(&mut violations, &body.warehouse);
    let details = Details {
        name: violations.text("name", &body.name, 200),
        priority: body.priority,
        address: body.address.map(|address| Box::new(wire::address(address))),
    };
    violations.done()?;
    let bins = |warehouse: &Warehouse, _: &[Event]| warehouse.bins().len();
    let done = service.warehouses.execute_then(&code, Command::Open(details), cause, bins).await;
    let (receipt, bins) = done.map_err(|error| refused(&code, error))?;
    let mut warehouse = if receipt.replayed {
        let after = |known, event: &Event, at| views::warehouses::after(known, &code, event, at);
        service.fold_at::<Warehouse, proto::Warehouse>(&code, receipt.version, after).await?
    } else {
        service.show(&receipt).await?;
        find(service, &code).await?
    };
    warehouse.bin_count = u32::try_from(bins).unwrap_or(u32::MAX);
    warehouse.position = position_text(receipt.position);
    Ok(reply::reply(&receipt, warehouse))
}

pub(super) async fn get_warehouse(
    service: &Inventory,
    request: Request<proto::GetWarehouseRequest>,
) -> Answer<proto::Warehouse> {
    let body = request.into_inner();
    service.reach(&body.min_position).await?;
    let mut warehouse = find(service, &body.warehouse).await?;
    warehouse.position = service.views.positions().to_string();
    Ok(Response::new(warehouse))
}

async fn find(service: &Inventory, code: &str) -> Result<proto::Warehouse, Status> {
    let found = views::warehouses::get(&service.views.pool(), code).await.map_err(view_failed)?;
    found.ok_or_else(|| status::not_found("warehouse", code))
}

pub(super) async fn list_warehouses(
    service: &Inventory,
    request: Request<proto::ListWarehousesRequest>,
) -> Answer<proto::ListWarehousesResponse> {
    let body = request.into_inner();
    let page = Page::parse(body.page_size, &body.page_token)?;
    service.reach(&body.min_position).await?;
    let found = views::warehouses::list(&service.views.pool(), &page).await;
    let (warehouses, next_page_token) = found.map_err(view_failed)?;
    Ok(Response::new(proto::ListWarehousesResponse { warehouses, next_page_token }))
}

pub(super) async fn define_bins(
    service: &Inventory,
    request: Request<proto::DefineBinsRequest>,
) -> Answer<proto::DefineBinsResponse> {
    let caller = Caller::of(&request)?;
    let body = request.into_inner();
    let cause = caller.checked_cause(&service.views, "DefineBins", &body).await?;
    let mut violations = Violations::default();
    let code = parse::warehouse(&mut violations, &body.warehouse);
    let bins = new_bins(&mut violations, &body.bins);
    violations.done()?;
    let codes: Vec<Bin> = bins.iter().map(|bin| bin.code.clone()).collect();
    let read = move |warehouse: &Warehouse, _: &[Event]| answered(warehouse, &codes);
    let command = Command::DefineBins { bins };
    let done = service.warehouses.execute_then(&code, command, cause, read).await;
    let (receipt, mut bins) = done.map_err(|error| refused(&code, error))?;
    fill(service, &receipt, &code, &mut bins).await?;
    let position = position_text(receipt.position);
    let answer = proto::DefineBinsResponse { warehouse: code, bins, position };
    Ok(reply::reply(&receipt, answer))
}

fn new_bins(violations: &mut Violations, bins: &[proto::NewBin]) -> Vec<NewBin> {
    if bins.is_empty() || bins.len() > MAX_BINS_A_CALL {
        let count = bins.len();
        violations.add("bins", format!("has {count} bins, 1 to {MAX_BINS_A_CALL} are allowed"));
    }
    let mut seen = HashSet::new();
    let mut parsed = Vec::new();
    for (nth, bin) in bins.iter().enumerate().take(MAX_BINS_A_CALL) {
        let field = |name: &str| format!("bins[{nth}].{name}");
        let code = parse::bin(violations, &field("code"), &bin.code);
        if !seen.insert(code.clone()) {
            violations.add(field("code"), format!("\"{code}\" stands here twice"));
        }
        let zone =
            bin.zone.as_deref().map(|zone| violations.optional_text(&field("zone"), zone, 64));
        let zone = zone.filter(|zone| !zone.is_empty());
        parsed.push(NewBin { code, pick_sequence: bin.pick_sequence, zone });
    }
    parsed
}

/// Bins as they stand in the warehouse, without what lies in them.
fn answered(warehouse: &Warehouse, codes: &[Bin]) -> Vec<proto::Bin> {
    let bin = |code: &Bin| {
        let bin = warehouse.bins().get(code)?;
        Some(proto::Bin {
            code: code.to_string(),
            pick_sequence: bin.pick_sequence,
            zone: bin.zone.clone(),
            ..proto::Bin::default()
        })
    };
    codes.iter().filter_map(bin).collect()
}

/// Adds what belongs and lies in the bins.
async fn fill(
    service: &Inventory,
    receipt: &Receipt,
    code: &str,
    bins: &mut [proto::Bin],
) -> Result<(), Status> {
    service.show(receipt).await?;
    views::warehouses::fill(&service.views.pool(), code, bins).await.map_err(view_failed)
}

pub(super) async fn assign_bin(
    service: &Inventory,
    request: Request<proto::AssignBinRequest>,
) -> Answer<proto::Bin> {
    let caller = Caller::of(&request)?;
    let body = request.into_inner();
    let cause = caller.checked_cause(&service.views, "AssignBin", &body).await?;
    let mut violations = Violations::default();
    let code = parse::warehouse(&mut violations, &body.warehouse);
    let sku = parse::sku(&mut violations, "sku", &body.sku);
    let bin = parse::bin(&mut violations, "bin", &body.bin);
    violations.done()?;
    service.walk_with(&code, vec![("bin".to_owned(), bin.clone())]).await?;
    service.stocked(&[("sku".to_owned(), sku.clone())]).await?;
    let wanted = bin.clone();
    let read = move |warehouse: &Warehouse, _: &[Event]| {
        let skus = warehouse.skus_of(&wanted).map(ToString::to_string).collect::<Vec<_>>();
        (answered(warehouse, std::slice::from_ref(&wanted)), skus)
    };
    let command = Command::AssignBin { sku, bin };
    let done = service.warehouses.execute_then(&code, command, cause, read).await;
    let (receipt, (mut bins, skus)) = done.map_err(|error| refused(&code, error))?;
    fill(service, &receipt, &code, &mut bins).await?;
    let bin = bins.into_iter().next().unwrap_or_default();
    let position = position_text(receipt.position);
    Ok(reply::reply(&receipt, proto::Bin { skus, position, ..bin }))
}

pub(super) async fn list_bins(
    service: &Inventory,
    request: Request<proto::ListBinsRequest>,
) -> Answer<proto::ListBinsResponse> {
    let body = request.into_inner();
    let page = Page::parse(body.page_size, &body.page_token)?;
    service.reach(&body.min_position).await?;
    find(service, &body.warehouse).await?;
    let of = (body.warehouse.as_str(), body.zone.as_str(), body.sku.as_str());
    let found = views::warehouses::bins(&service.views.pool(), of, &page).await;
    let (bins, next_page_token) = found.map_err(view_failed)?;
    Ok(Response::new(proto::ListBinsResponse { bins, next_page_token }))
}

fn refused(code: &str, error: HandleError<Refusal>) -> Status {
    status::of(error, |refusal| match refusal {
        Refusal::OtherContent => status::already_exists(
            "WAREHOUSE_EXISTS",
            format!(
                "warehouse \"{code}\" is open with another name, priority or address: use it as it \
                 is, or open one with another code"
            ),
        ),
        Refusal::Unknown => status::not_found("warehouse", code),
        Refusal::UnknownBin { bin } => {
            let description = format!("\"{bin}\" is not a bin of {code}: define it first");
            status::invalid_field("bin", description)
        }
    })
}
