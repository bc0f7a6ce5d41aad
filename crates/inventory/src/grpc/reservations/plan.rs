//! Which warehouses could serve an order: asked of their ledgers, promised by none.

use std::collections::{BTreeMap, BTreeSet, HashSet};

use nexus_proto::common::v1 as common;
use nexus_proto::inventory::v1 as proto;
use nexus_runtime::Violations;
use tonic::{Request, Response, Status};

use super::{parse, refused};
use crate::domain::allocation::{Candidate, Gap, WantedLine, plan};
use crate::domain::stock_ledger::{Reservation, StockLedger};
use crate::domain::{ReservationId, Sku};
use crate::grpc::{Answer, Inventory, view_failed};
use crate::views;

pub(in crate::grpc) async fn plan_allocation(
    service: &Inventory,
    request: Request<proto::PlanAllocationRequest>,
) -> Answer<proto::PlanAllocationResponse> {
    let body = request.into_inner();
    let lines = wanted(&body.lines)?;
    let own = (!body.reservation.is_empty()).then(|| body.reservation.as_str().into());
    let mut answer = proto::PlanAllocationResponse::default();
    let known = service.known(&lines.iter().map(|line| line.sku.clone()).collect()).await?;
    let mut goods = Vec::new();
    let mut unknown = BTreeSet::new();
    for line in lines {
        match known.get(&line.sku) {
            Some(product) if product.stocked => goods.push(line),
            Some(_) => answer.unstocked_line_ids.push(line.line_id),
            None => drop(unknown.insert(line.sku.to_string())),
        }
    }
    answer.unknown_skus = unknown.into_iter().collect();
    let excluded: HashSet<_> = body.excluded_warehouses.into_iter().collect();
    let candidates = candidates(service, &goods, &excluded, own).await?;
    match plan(&goods, &candidates) {
        Ok(plan) => {
            let served = plan.into_iter();
            answer.allocation = served.map(|(code, lines)| allocation(code, lines)).collect();
        }
        Err(gaps) => answer.shortages = gaps.iter().map(shortage).collect(),
    }
    Ok(Response::new(answer))
}

fn wanted(lines: &[common::AllocatedLine]) -> Result<Vec<WantedLine>, Status> {
    let mut violations = Violations::default();
    parse::line_count(&mut violations, lines.len(), parse::MAX_ORDER_LINES);
    let mut parsed = Vec::with_capacity(lines.len());
    for (nth, line) in lines.iter().enumerate().take(parse::MAX_ORDER_LINES) {
        let field = |name: &str| format!("lines[{nth}].{name}");
        parsed.push(WantedLine {
            line_id: line.line_id.clone(),
            sku: parse::sku(&mut violations, &field("sku"), &line.sku),
            units: violations.units(&field("units"), line.units, parse::MAX_UNITS),
        });
    }
    violations.done()?;
    Ok(parsed)
}

/// Every warehouse by priority, and what it could promise. Once one has everything, the rest need
/// not be asked, unless one of them may hold something of its `own` already.
async fn candidates(
    service: &Inventory,
    goods: &[WantedLine],
    excluded: &HashSet<String>,
    own: Option<ReservationId>,
) -> Result<Vec<Candidate>, Status> {
    let mut candidates = Vec::new();
    if goods.is_empty() {
        return Ok(candidates);
    }
    let codes = views::warehouses::by_priority(&service.views).await.map_err(view_failed)?;
    let skus: Vec<Sku> =
        goods.iter().map(|line| line.sku.clone()).collect::<BTreeSet<_>>().into_iter().collect();
    for code in codes.iter().filter(|code| !excluded.contains(*code)).cloned() {
        let (skus, name) = (skus.clone(), own.clone());
        let promisable = move |ledger: &StockLedger| {
            let held = match name.as_ref().and_then(|name| ledger.reservation(name)) {
                None => BTreeMap::new(),
                Some(known) => held_whole(known)?,
            };
            let available = skus.iter().map(|sku| (sku.clone(), ledger.available(sku)));
            Some((available.collect(), held))
        };
        let read = service.ledger(&code, promisable).await;
        let promisable = read.map_err(|error| refused(&code, error))?;
        let Some(Some((available, held))) = promisable else { continue };
        let candidate = Candidate { warehouse: code, available, held };
        if own.is_none() && plan(goods, std::slice::from_ref(&candidate)).is_ok() {
            return Ok(vec![candidate]);
        }
        candidates.push(candidate);
    }
    Ok(candidates)
}

/// What a reservation holds, if that is all that it was asked for. A name that was given back, or
/// holds less by now, cannot be asked for again.
fn held_whole(reservation: &Reservation) -> Option<BTreeMap<Sku, u32>> {
    let whole = reservation.lines.values().all(|line| line.held == line.asked);
    let asked = || reservation.asked().map(|(sku, units)| (sku.clone(), units)).collect();
    (whole && !reservation.released).then(asked)
}

fn allocation(warehouse: String, lines: Vec<WantedLine>) -> common::Allocation {
    let line = |line: WantedLine| common::AllocatedLine {
        line_id: line.line_id,
        sku: line.sku.to_string(),
        units: line.units,
    };
    common::Allocation { warehouse, lines: lines.into_iter().map(line).collect() }
}

fn shortage(gap: &Gap) -> common::Shortage {
    let count = |units: u64| u32::try_from(units).unwrap_or(u32::MAX);
    common::Shortage {
        sku: gap.sku.to_string(),
        asked: count(gap.asked),
        available: count(gap.available),
    }
}
