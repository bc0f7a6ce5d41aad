//! When somebody asks to confirm an order: has its stock held, warehouse by warehouse, and tells
//! the order yes or no.
//! *Invariant:* whatever is held for an attempt that did not confirm is given back.

use std::collections::{BTreeSet, HashMap};
use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use nexus_es::process::{Process, Trouble};
use nexus_es::{Cause, HandleError, Handler, Heard, clock};
use nexus_proto::common::v1::{Allocation, Shortage, SkuUnits};
use nexus_proto::inventory::v1::{
    ListWarehousesRequest, PlanAllocationRequest, PlanAllocationResponse,
    ReleaseReservationRequest, ReserveRequest, ReserveResponse,
};
use nexus_runtime::{Channels, status, telemetry};
use tonic::Status;

use super::{away, reservation, trouble};
use crate::domain::order::{Command, Lifecycle, Order, Refusal};
use crate::wire::{SERVICE, allocation_from, shortage_from};

const NAME: &str = "confirm_order";
const REQUESTED: &str = "order.ConfirmationRequested";
/// A request that is heard later than this may have been begun by another process.
const FRESH_MS: i64 = 1_000;
/// Plans asked for in one attempt, each without the warehouses that refused before.
const MAX_PLANS: usize = 5;
/// What a warehouse is said to answer that holds other lines under this name.
const HELD_DIFFERENTLY: &str = "HELD_DIFFERENTLY";
const NOT_THERE: Duration = Duration::from_millis(250);

pub(crate) struct ConfirmOrder {
    orders: Handler<Order>,
    channels: Channels,
    deadline_ms: i64,
    /// Since when this replica confirms. What was asked for before, another may have begun.
    began_at_ms: AtomicI64,
    /// Reservation → warehouses that were asked for it, for attempts that did not end yet.
    asked: Mutex<HashMap<String, BTreeSet<String>>>,
}

/// One attempt to confirm one order.
struct Attempt<'a> {
    process: &'a ConfirmOrder,
    heard: &'a Heard,
    order_id: &'a str,
    number: u32,
    reservation: String,
}

/// How it ended.
enum Outcome {
    Held(PlanAllocationResponse),
    Refused { reason: String, lines: Vec<Shortage> },
}

impl ConfirmOrder {
    pub(crate) fn new(orders: Handler<Order>, channels: Channels, deadline_ms: i64) -> Self {
        let began_at_ms = clock::now_ms().into();
        Self { orders, channels, deadline_ms, began_at_ms, asked: Mutex::default() }
    }

    fn asked(&self) -> MutexGuard<'_, HashMap<String, BTreeSet<String>>> {
        self.asked.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// True when somebody else, or we ourselves before a restart, may have begun with `heard`.
    fn may_be_begun(&self, heard: &Heard, reservation: &str) -> bool {
        let at = heard.cause.occurred_at_ms;
        at < self.began_at_ms.load(Ordering::Relaxed)
            || clock::now_ms() - at > FRESH_MS
            || self.asked().contains_key(reservation)
    }
}

#[async_trait]
impl Process for ConfirmOrder {
    fn name(&self) -> &'static str {
        NAME
    }

    fn sources(&self) -> &[&'static str] {
        &[SERVICE]
    }

    fn begin_term(&self, now_ms: i64) {
        self.began_at_ms.store(now_ms, Ordering::Relaxed);
    }

    fn key(&self, heard: &Heard) -> Option<String> {
        (heard.event_type() == REQUESTED).then(|| heard.aggregate.id.clone())
    }

    async fn act(&self, heard: &Heard) -> Result<(), Trouble> {
        let order_id = heard.aggregate.id.as_str();
        let requested: nexus_proto::order::v1::OrderConfirmationRequested =
            crate::wire::read(&heard.payload).map_err(|no| Trouble::Hopeless(no.to_string()))?;
        let number = requested.attempt;
        let reservation = reservation(order_id, number);
        let begun = self.may_be_begun(heard, &reservation);
        let attempt = Attempt { process: self, heard, order_id, number, reservation };
        attempt.run(begun).await?;
        self.asked().remove(&attempt.reservation);
        Ok(())
    }
}

impl Attempt<'_> {
    async fn run(&self, begun: bool) -> Result<(), Trouble> {
        let number = self.number;
        let (_, order) = self
            .process
            .orders
            .read_since(self.order_id, self.heard.position, move |order| {
                Standing::of(order, number)
            })
            .await
            .map_err(|error| trouble("read the order", &error))?;
        let lines = match order {
            Standing::Waiting(lines) => lines,
            // Confirmed by this attempt: what it holds stays, elsewhere nothing may be left.
            Standing::Confirmed(kept) if begun => return self.sweep(&kept).await,
            Standing::Confirmed(_) => return Ok(()),
            Standing::Ended if begun => return self.sweep(&BTreeSet::new()).await,
            Standing::Ended => return Ok(()),
            Standing::CancelPending => return self.give_up(begun).await,
        };
        let left_ms = self.heard.cause.occurred_at_ms + self.process.deadline_ms - clock::now_ms();
        if left_ms <= 0 {
            self.refuse("TIMED_OUT".to_owned(), vec![]).await?;
            return self.sweep(&BTreeSet::new()).await;
        }
        let outcome = match self.hold(lines, begun).await {
            Ok(outcome) => outcome,
            Err(status) if status::is_transient(&status) => {
                let why = format!("inventory does not answer: {:?}", status.code());
                let left = Duration::from_millis(left_ms.unsigned_abs());
                return Err(Trouble::NotYet(NOT_THERE.min(left), why));
            }
            Err(status) => {
                let reason =
                    status::reason(&status).unwrap_or_else(|| "INVENTORY_REFUSED".to_owned());
                Outcome::Refused { reason, lines: vec![] }
            }
        };
        self.settle(outcome, begun).await
    }

    async fn settle(&self, outcome: Outcome, begun: bool) -> Result<(), Trouble> {
        match outcome {
            Outcome::Held(plan) => {
                let kept = plan.allocation.iter().map(|part| part.warehouse.clone()).collect();
                let command = Command::Confirm {
                    attempt: self.number,
                    allocation: plan.allocation.into_iter().map(allocation_from).collect(),
                    unstocked_line_ids: plan.unstocked_line_ids,
                };
                match self.tell("confirm", command).await {
                    Ok(()) if begun => self.sweep(&kept).await,
                    Ok(()) => Ok(()),
                    Err(HandleError::Refused(Refusal::CancelRequested)) => {
                        self.give_up(begun).await
                    }
                    // Refused in between, by the deadline: nothing may stay held.
                    Err(HandleError::Refused(_)) => self.release_asked().await,
                    Err(error) => Err(trouble("confirm the order", &error)),
                }
            }
            Outcome::Refused { reason, lines } => {
                self.release_asked().await?;
                if begun {
                    self.sweep(&BTreeSet::new()).await?;
                }
                self.refuse(reason, lines).await
            }
        }
    }

    async fn refuse(&self, reason: String, lines: Vec<Shortage>) -> Result<(), Trouble> {
        let lines = lines.into_iter().map(shortage_from).collect();
        let command = Command::RefuseConfirmation { attempt: self.number, reason, lines };
        match self.tell("refuse", command).await {
            Err(HandleError::Refused(Refusal::CancelRequested)) => self.give_up(true).await,
            Ok(()) | Err(HandleError::Refused(_)) => Ok(()),
            Err(error) => Err(trouble("refuse the confirmation", &error)),
        }
    }

    /// The order was cancelled while stock was asked for: gives everything back and says so.
    async fn give_up(&self, begun: bool) -> Result<(), Trouble> {
        self.release_asked().await?;
        if begun {
            self.sweep(&BTreeSet::new()).await?;
        }
        self.tell("finish cancel", Command::FinishCancel)
            .await
            .map_err(|error| trouble("finish the cancel", &error))
    }

    async fn tell(&self, action: &str, command: Command) -> Result<(), HandleError<Refusal>> {
        let cause = self.cause(action);
        self.process.orders.execute(self.order_id, command, cause).await.map(|_| ())
    }

    fn cause(&self, action: &str) -> Cause {
        self.heard.cause_for(NAME, action, clock::now_ms(), telemetry::current_traceparent())
    }

    /// Asks for plans and holds what they say, until one is held whole or nothing more is left.
    async fn hold(
        &self,
        lines: Vec<crate::domain::AllocatedLine>,
        begun: bool,
    ) -> Result<Outcome, Status> {
        let lines: Vec<_> = lines
            .into_iter()
            .map(|line| nexus_proto::common::v1::AllocatedLine {
                line_id: line.line_id,
                sku: line.sku,
                units: line.units,
            })
            .collect();
        let mut excluded = BTreeSet::new();
        let mut refusal = None;
        for _ in 0..MAX_PLANS {
            let plan = self.plan(&lines, &excluded, begun).await?;
            if let Some(refused) = unplannable(&plan, &lines) {
                // The first refusal knows all warehouses; a later plan had to leave some out.
                return Ok(refusal.unwrap_or(refused));
            }
            let mut held = BTreeSet::new();
            let mut short = None;
            for part in &plan.allocation {
                let answer = self.reserve(part).await?;
                held.insert(part.warehouse.clone());
                if !answer.reserved {
                    short = Some(answer);
                    break;
                }
            }
            let Some(answer) = short else { return Ok(Outcome::Held(plan)) };
            for warehouse in &held {
                self.release(warehouse).await?;
            }
            // A name that was given back cannot hold again there.
            excluded.extend(held);
            if answer.reason != HELD_DIFFERENTLY {
                let refused = Outcome::Refused { reason: answer.reason, lines: answer.shortages };
                refusal.get_or_insert(refused);
            }
        }
        let unsettled = || Outcome::Refused { reason: "STOCK_SHORT".to_owned(), lines: vec![] };
        Ok(refusal.unwrap_or_else(unsettled))
    }

    async fn plan(
        &self,
        lines: &[nexus_proto::common::v1::AllocatedLine],
        excluded: &BTreeSet<String>,
        begun: bool,
    ) -> Result<PlanAllocationResponse, Status> {
        // What an earlier try holds, whose answer was lost, is not missing: it is ours.
        let reservation = if begun { self.reservation.clone() } else { String::new() };
        let message = PlanAllocationRequest {
            order_id: self.order_id.to_owned(),
            lines: lines.to_vec(),
            excluded_warehouses: excluded.iter().cloned().collect(),
            reservation,
        };
        let question = self.process.channels.question(message, SERVICE, self.order_id);
        Ok(self.process.channels.inventory().plan_allocation(question).await?.into_inner())
    }

    async fn reserve(&self, part: &Allocation) -> Result<ReserveResponse, Status> {
        let asked = |all: &mut HashMap<String, BTreeSet<String>>| {
            all.entry(self.reservation.clone()).or_default().insert(part.warehouse.clone());
        };
        asked(&mut self.process.asked());
        let message = ReserveRequest {
            warehouse: part.warehouse.clone(),
            reservation: self.reservation.clone(),
            order_id: self.order_id.to_owned(),
            lines: by_sku(part),
        };
        let cause = self.cause(&format!("reserve in {}", part.warehouse));
        let request = self.process.channels.request(message, &cause);
        match self.process.channels.inventory().reserve(request).await {
            Ok(answer) => Ok(answer.into_inner()),
            // An earlier try held other lines there by another plan.
            Err(no) if is_held_differently(&no) => {
                let reason = HELD_DIFFERENTLY.to_owned();
                Ok(ReserveResponse { reason, ..ReserveResponse::default() })
            }
            Err(no) => Err(no),
        }
    }

    async fn release(&self, warehouse: &str) -> Result<(), Status> {
        let message = ReleaseReservationRequest {
            warehouse: warehouse.to_owned(),
            reservation: self.reservation.clone(),
            reason: "NOT_CONFIRMED".to_owned(),
            order_id: self.order_id.to_owned(),
        };
        let cause = self.cause(&format!("release in {warehouse}"));
        let request = self.process.channels.request(message, &cause);
        self.process.channels.inventory().release_reservation(request).await.map(|_| ())
    }

    /// Gives back what this process asked for in this attempt.
    async fn release_asked(&self) -> Result<(), Trouble> {
        let asked = self.process.asked().get(&self.reservation).cloned().unwrap_or_default();
        for warehouse in asked {
            let released = self.release(&warehouse).await;
            released.map_err(|no| away("release the reservation", &no))?;
        }
        Ok(())
    }

    /// Gives back what may be held for this attempt anywhere but in `kept`: an earlier try, whose
    /// plan nobody knows any more, may have asked there.
    async fn sweep(&self, kept: &BTreeSet<String>) -> Result<(), Trouble> {
        let channels = &self.process.channels;
        let mut page_token = String::new();
        loop {
            let message = ListWarehousesRequest { page_token, ..ListWarehousesRequest::default() };
            let question = channels.question(message, SERVICE, self.order_id);
            let page = channels.inventory().list_warehouses(question).await;
            let page = page.map_err(|no| away("list warehouses", &no))?.into_inner();
            for warehouse in page.warehouses.into_iter().map(|found| found.warehouse) {
                if !kept.contains(&warehouse) {
                    let released = self.release(&warehouse).await;
                    released.map_err(|no| away("release the reservation", &no))?;
                }
            }
            page_token = page.next_page_token;
            if page_token.is_empty() {
                return Ok(());
            }
        }
    }
}

/// Where the order stands towards one attempt.
enum Standing {
    Waiting(Vec<crate::domain::AllocatedLine>),
    Confirmed(BTreeSet<String>),
    CancelPending,
    Ended,
}

impl Standing {
    fn of(order: &Order, attempt: u32) -> Self {
        match &order.lifecycle {
            Lifecycle::Confirming if order.attempt == attempt => {
                let lines = order.placed.iter().flat_map(|placed| &placed.lines);
                let lines = lines.map(|line| crate::domain::AllocatedLine {
                    line_id: line.line_id.clone(),
                    sku: line.sku.clone(),
                    units: line.units,
                });
                Self::Waiting(lines.collect())
            }
            Lifecycle::CancelPending { confirming: true, .. } => Self::CancelPending,
            Lifecycle::Confirmed | Lifecycle::Closed | Lifecycle::CancelPending { .. }
                if order.attempt == attempt =>
            {
                Self::Confirmed(
                    order.allocation.iter().map(|part| part.warehouse.clone()).collect(),
                )
            }
            Lifecycle::Pending
            | Lifecycle::Confirming
            | Lifecycle::Confirmed
            | Lifecycle::CancelPending { .. }
            | Lifecycle::Cancelled
            | Lifecycle::Closed => Self::Ended,
        }
    }
}

fn is_held_differently(status: &Status) -> bool {
    let reason = status::reason(status);
    matches!(reason.as_deref(), Some("IDEMPOTENCY_KEY_REUSED" | "RESERVED_DIFFERENTLY"))
}

/// Why a plan cannot be held, if it cannot.
fn unplannable(
    plan: &PlanAllocationResponse,
    lines: &[nexus_proto::common::v1::AllocatedLine],
) -> Option<Outcome> {
    if let Some(unknown) = plan.unknown_skus.first() {
        let asked = lines.iter().filter(|line| line.sku == *unknown).map(|line| line.units);
        let lines = vec![Shortage {
            sku: unknown.clone(),
            asked: asked.fold(0, u32::saturating_add),
            available: 0,
        }];
        return Some(Outcome::Refused { reason: "UNKNOWN_SKU".to_owned(), lines });
    }
    if !plan.shortages.is_empty() {
        let lines = plan.shortages.clone();
        return Some(Outcome::Refused { reason: "STOCK_SHORT".to_owned(), lines });
    }
    None
}

/// A warehouse's share with each SKU once.
fn by_sku(part: &Allocation) -> Vec<SkuUnits> {
    let mut units: std::collections::BTreeMap<&str, u32> = std::collections::BTreeMap::new();
    for line in &part.lines {
        let sum = units.entry(line.sku.as_str()).or_default();
        *sum = sum.saturating_add(line.units);
    }
    units.into_iter().map(|(sku, units)| SkuUnits { sku: sku.to_owned(), units }).collect()
}
