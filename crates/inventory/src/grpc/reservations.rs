//! The rpcs of other services about promises: plan, reserve, release, allocate, pick, unpick, ship.
//! None of them waits for a view: the ledger's own state is the answer.

mod plan;

use nexus_es::{Cause, HandleError, Receipt};
use nexus_proto::common::v1 as common;
use nexus_proto::inventory::v1 as proto;
use nexus_runtime::caller::Caller;
use nexus_runtime::{Violations, reply, status};
use tonic::{Request, Response, Status};

use super::{Answer, Inventory, parse, position_text, refusals};
use crate::domain::stock_ledger::{Command, Event, Refusal, Shortage, StockLedger};
use crate::domain::warehouse::Warehouse;
use crate::domain::{BinUnits, ReservationId, SkuUnits};

pub(super) use plan::plan_allocation;

/// Reservations that one call chooses bins for.
const MAX_RESERVATIONS: usize = 500;

pub(super) async fn reserve(
    service: &Inventory,
    request: Request<proto::ReserveRequest>,
) -> Answer<proto::ReserveResponse> {
    let caller = Caller::of(&request)?;
    let body = request.into_inner();
    let mut cause = caller.cause("Reserve", &body);
    let mut violations = Violations::default();
    let code = parse::warehouse(&mut violations, &body.warehouse);
    let reservation = parse::reservation(&mut violations, "reservation", &body.reservation);
    let order = violations.text("order_id", &body.order_id, 128);
    parse::line_count(&mut violations, body.lines.len(), parse::MAX_ORDER_LINES);
    let lines = parse::sku_lines(&mut violations, &body.lines, parse::MAX_ORDER_LINES);
    violations.done()?;
    service.opened(&code).await?;
    cause.story.clone_from(&order);
    let name = reservation.clone();
    let command = Command::Reserve { reservation, order: order.into(), lines };
    match service.ledgers.execute(&code, command, cause).await {
        Ok(receipt) if receipt.replayed && is_given_back(service, &code, name).await? => {
            Ok(Response::new(released_before()))
        }
        Ok(receipt) => {
            let position = position_text(receipt.position);
            let answer = proto::ReserveResponse { reserved: true, position, ..Default::default() };
            Ok(reply::reply(&receipt, answer))
        }
        Err(HandleError::Refused(Refusal::Short { shortages })) => {
            Ok(Response::new(proto::ReserveResponse {
                reason: "STOCK_SHORT".to_owned(),
                shortages: shortages.iter().map(shortage).collect(),
                ..Default::default()
            }))
        }
        Err(HandleError::Refused(Refusal::ReleasedBefore)) => Ok(Response::new(released_before())),
        Err(error) => Err(refused(&code, error)),
    }
}

fn released_before() -> proto::ReserveResponse {
    let reason = "RELEASED_BEFORE".to_owned();
    proto::ReserveResponse { reason, ..Default::default() }
}

/// True when what a repeated call promised at first is promised no longer: whoever asks again is
/// about to rely on it.
async fn is_given_back(
    service: &Inventory,
    code: &str,
    name: ReservationId,
) -> Result<bool, Status> {
    let ended = move |ledger: &StockLedger| ledger.reservation(&name).is_none_or(|it| it.released);
    let read = service.ledgers.read(code, ended).await;
    Ok(read.map_err(|error| refused(code, error))?.1)
}

fn shortage(short: &Shortage) -> common::Shortage {
    let (asked, available) = (short.asked, short.available);
    common::Shortage { sku: short.sku.to_string(), asked, available }
}

pub(super) async fn release_reservation(
    service: &Inventory,
    request: Request<proto::ReleaseReservationRequest>,
) -> Answer<proto::ReleaseReservationResponse> {
    let caller = Caller::of(&request)?;
    let body = request.into_inner();
    let mut cause = caller.cause("ReleaseReservation", &body);
    let mut violations = Violations::default();
    let code = parse::warehouse(&mut violations, &body.warehouse);
    let reservation = parse::reservation(&mut violations, "reservation", &body.reservation);
    let reason = violations.optional_text("reason", &body.reason, 300);
    let named = violations.optional_text("order_id", &body.order_id, 128);
    violations.done()?;
    service.opened(&code).await?;
    let order = if named.is_empty() { order_of(&reservation) } else { named };
    cause.story.clone_from(&order);
    let read = |_: &StockLedger, events: &[Event]| {
        let mut answer = proto::ReleaseReservationResponse::default();
        for event in events {
            match event {
                Event::Released { lines, .. } => answer.lines = lines.iter().map(units).collect(),
                Event::ReleasedUnseen { .. } => answer.unseen = true,
                _ => {}
            }
        }
        answer
    };
    let command = Command::Release { reservation, order: order.into(), reason };
    let done = service.ledgers.execute_then(&code, command, cause, read).await;
    let (receipt, mut answer) = done.map_err(|error| refused(&code, error))?;
    answer.position = position_text(receipt.position);
    Ok(reply::reply(&receipt, answer))
}

pub(super) async fn allocate_bins(
    service: &Inventory,
    request: Request<proto::AllocateBinsRequest>,
) -> Answer<proto::AllocateBinsResponse> {
    let caller = Caller::of(&request)?;
    let body = request.into_inner();
    let cause = caller.cause("AllocateBins", &body);
    let mut violations = Violations::default();
    let code = parse::warehouse(&mut violations, &body.warehouse);
    let pick_list = parse::reference(&mut violations, "pick_list_id", &body.pick_list_id);
    let count = body.reservations.len();
    if count == 0 || count > MAX_RESERVATIONS {
        let description = format!("names {count}, 1 to {MAX_RESERVATIONS} are allowed a call");
        violations.add("reservations", description);
    }
    let names = body.reservations.iter().enumerate().map(|(nth, name)| {
        parse::reservation(&mut violations, &format!("reservations[{nth}]"), name)
    });
    let names: Vec<ReservationId> = names.collect();
    violations.done()?;
    let walk = service.walk_with(&code, Vec::new()).await?;
    let wanted = names.clone();
    let read = move |ledger: &StockLedger, _: &[Event]| {
        wanted.iter().map(|name| allocation(ledger, name)).collect::<Vec<_>>()
    };
    let command = Command::AllocateBins { reservations: names, pick_list, walk };
    let done = service.ledgers.execute_then(&code, command, cause, read).await;
    let (receipt, allocations) = done.map_err(|error| refused(&code, error))?;
    let with_zones = move |warehouse: &Warehouse| {
        let mut allocations = allocations;
        for line in allocations.iter_mut().flat_map(|allocation| &mut allocation.lines) {
            if let Some(bin) = warehouse.bins().get(&line.bin.as_str().into()) {
                line.zone.clone_from(&bin.zone);
                line.pick_sequence = bin.pick_sequence;
            }
        }
        allocations
    };
    let allocations = service.warehouse(&code, with_zones).await?;
    let position = position_text(receipt.position);
    Ok(reply::reply(&receipt, proto::AllocateBinsResponse { allocations, position }))
}

/// Where the units of a reservation lie, or why nowhere.
fn allocation(ledger: &StockLedger, name: &ReservationId) -> proto::BinAllocation {
    let mut allocation =
        proto::BinAllocation { reservation: name.to_string(), ..Default::default() };
    let Some(known) = ledger.reservation(name) else {
        allocation.problem = "UNKNOWN_RESERVATION".to_owned();
        return allocation;
    };
    allocation.order_id = known.order.to_string();
    allocation.lines = known
        .allocated()
        .map(|line| proto::AllocatedBin {
            sku: line.sku.to_string(),
            bin: line.bin.to_string(),
            lot: line.lot.to_string(),
            units: line.units,
            ..Default::default()
        })
        .collect();
    if allocation.lines.is_empty() {
        allocation.problem = "NOTHING_HELD".to_owned();
    }
    allocation
}

pub(super) async fn pick(
    service: &Inventory,
    request: Request<proto::PickRequest>,
) -> Answer<proto::Reservation> {
    let caller = Caller::of(&request)?;
    let body = request.into_inner();
    let cause = caller.cause("Pick", &body);
    let mut violations = Violations::default();
    let code = parse::warehouse(&mut violations, &body.warehouse);
    let reservation = parse::reservation(&mut violations, "reservation", &body.reservation);
    let pick_list = parse::reference(&mut violations, "pick_list_id", &body.pick_list_id);
    let lines = match body.lines.as_slice() {
        // Nothing was found at all.
        [] => vec![],
        lines => parse::bin_lines(&mut violations, lines, parse::MAX_ORDER_LINES),
    };
    let missing = parse::missing(&mut violations, &body.missing, parse::MAX_ORDER_LINES);
    violations.done()?;
    let walk = service.walk_with(&code, Vec::new()).await?;
    let name = reservation.clone();
    let command = Command::Pick { reservation: name, lines, missing, pick_list, walk };
    carry_out(service, code, command, reservation, cause).await
}

pub(super) async fn unpick(
    service: &Inventory,
    request: Request<proto::UnpickRequest>,
) -> Answer<proto::Reservation> {
    let caller = Caller::of(&request)?;
    let body = request.into_inner();
    let cause = caller.cause("Unpick", &body);
    let mut violations = Violations::default();
    let code = parse::warehouse(&mut violations, &body.warehouse);
    let reservation = parse::reservation(&mut violations, "reservation", &body.reservation);
    let reference = parse::reference(&mut violations, "reference", &body.reference);
    let reason = violations.optional_text("reason", &body.reason, 300);
    let lines = parse::bin_lines(&mut violations, &body.lines, parse::MAX_ORDER_LINES);
    violations.done()?;
    service.walk_for(&code, &lines).await?;
    let command = Command::Unpick { reservation: reservation.clone(), lines, reason, reference };
    carry_out(service, code, command, reservation, cause).await
}

pub(super) async fn ship(
    service: &Inventory,
    request: Request<proto::ShipRequest>,
) -> Answer<proto::Reservation> {
    let caller = Caller::of(&request)?;
    let body = request.into_inner();
    let cause = caller.cause("Ship", &body);
    let mut violations = Violations::default();
    let code = parse::warehouse(&mut violations, &body.warehouse);
    let reservation = parse::reservation(&mut violations, "reservation", &body.reservation);
    let shipment = parse::reference(&mut violations, "shipment_id", &body.shipment_id);
    let lines = parse::sku_lines(&mut violations, &body.lines, parse::MAX_ORDER_LINES);
    violations.done()?;
    service.opened(&code).await?;
    let command = Command::Ship { reservation: reservation.clone(), shipment, lines };
    carry_out(service, code, command, reservation, cause).await
}

/// Carries out a command about one reservation and answers it as it then is.
async fn carry_out(
    service: &Inventory,
    code: String,
    command: Command,
    reservation: ReservationId,
    mut cause: Cause,
) -> Answer<proto::Reservation> {
    cause.story = order_of(&reservation);
    let warehouse = code.clone();
    let read = move |ledger: &StockLedger, _: &[Event]| described(ledger, &warehouse, &reservation);
    let done = service.ledgers.execute_then(&code, command, cause, read).await;
    let (receipt, found) = done.map_err(|error| refused(&code, error))?;
    Ok(reply::reply(&receipt, at_position(found.unwrap_or_default(), &receipt)))
}

pub(super) async fn get_reservation(
    service: &Inventory,
    request: Request<proto::GetReservationRequest>,
) -> Answer<proto::Reservation> {
    let body = request.into_inner();
    let mut violations = Violations::default();
    let code = parse::warehouse(&mut violations, &body.warehouse);
    let name = parse::reservation(&mut violations, "reservation", &body.reservation);
    violations.done()?;
    service.opened(&code).await?;
    let warehouse = code.clone();
    let read = move |ledger: &StockLedger| described(ledger, &warehouse, &name);
    let (receipt, found) =
        service.ledgers.read(&code, read).await.map_err(|error| refused(&code, error))?;
    let found = found.ok_or_else(|| status::not_found("reservation", &body.reservation))?;
    Ok(Response::new(at_position(found, &receipt)))
}

fn at_position(reservation: proto::Reservation, receipt: &Receipt) -> proto::Reservation {
    proto::Reservation { position: position_text(receipt.position), ..reservation }
}

fn described(
    ledger: &StockLedger,
    warehouse: &str,
    name: &ReservationId,
) -> Option<proto::Reservation> {
    let known = ledger.reservation(name)?;
    let count = |units: u64| u32::try_from(units).unwrap_or(u32::MAX);
    let lines = || known.lines.iter();
    let some = |(sku, units): (String, u32)| (units > 0).then_some(common::SkuUnits { sku, units });
    let picked = lines().map(|(sku, line)| (sku.to_string(), count(line.picked_units())));
    let shipped = lines().map(|(sku, line)| (sku.to_string(), line.shipped));
    Some(proto::Reservation {
        warehouse: warehouse.to_owned(),
        reservation: name.to_string(),
        order_id: known.order.to_string(),
        held: known.held().map(|line| units(&line)).collect(),
        allocated: known.allocated().map(|line| place(&line)).collect(),
        picked: picked.filter_map(some).collect(),
        shipped: shipped.filter_map(some).collect(),
        released: known.released,
        position: String::new(),
    })
}

fn units(line: &SkuUnits) -> common::SkuUnits {
    common::SkuUnits { sku: line.sku.to_string(), units: line.units }
}

fn place(line: &BinUnits) -> proto::BinUnits {
    proto::BinUnits {
        sku: line.sku.to_string(),
        bin: line.bin.to_string(),
        lot: line.lot.to_string(),
        units: line.units,
    }
}

/// The order that a reservation is for: its name is `<order_id>/<attempt>`.
fn order_of(reservation: &ReservationId) -> String {
    let name = reservation.as_str();
    name.rsplit_once('/').map_or(name, |(order, _)| order).to_owned()
}

fn refused(code: &str, error: HandleError<Refusal>) -> Status {
    status::of(error, |refusal| refusals::ledger(code, refusal))
}
