//! One shipment with one AWB for each packed parcel; the cash on exactly one of them.

use std::collections::BTreeSet;

use futures::future::join_all;
use nexus_es::{Cause, HandleError, Positions, Receipt};
use nexus_proto::shipping::v1 as proto;
use nexus_runtime::caller::Caller;
use nexus_runtime::reply::replayed_if;
use nexus_runtime::{Violations, status};
use tokio::time::Instant;
use tonic::{Response, Status};

use super::parcels::{Goods, Packed, nothing_packed};
use super::{COURIER, Shipping, database, refusals};
use crate::domain::CourierKind;
use crate::domain::cash_claim;
use crate::domain::shipment::{Command, Plan, Shipment, Then};
use crate::views::shipments::{self, Card};

const NUMBER_MAX: usize = 64;
/// The stage of a part that is planned and not handed over.
const STAGE: &str = "packed";

struct Wish<'b> {
    body: &'b proto::CreateShipmentsRequest,
    account: &'b str,
    courier: CourierKind,
    typed: Option<String>,
}

impl Shipping {
    pub(super) async fn create_shipments(
        &self,
        caller: &Caller,
        body: proto::CreateShipmentsRequest,
    ) -> Result<Response<proto::CreateShipmentsResponse>, Status> {
        let deadline = Instant::now() + COURIER;
        let wish = self.wish(&body).await?;
        let (order_id, packed) = self.parcels(&body).await?;
        if wish.typed.is_some() && packed.len() > 1 {
            let count = packed.len();
            let rule = format!("is one number, but there are {count} parcels: ship by fulfilment");
            return Err(status::invalid_field("tracking_number", rule));
        }
        let cause = Cause {
            story: order_id.clone(),
            ..caller.checked_cause(&self.parts.views, "CreateShipments", &body).await?
        };
        let planned = self.plan_all(&wish, &order_id, &packed, &cause).await?;
        let ids: Vec<&str> = planned.iter().map(|(id, _)| id.as_str()).collect();
        let answered = join_all(ids.iter().map(|id| self.answered(id, deadline))).await;
        let mut shipments = vec![];
        for ((id, receipt), answered) in planned.iter().zip(answered) {
            let card = match answered? {
                Some(card) if !receipt.replayed => card,
                _ => self.newest(id, receipt).await?,
            };
            shipments.push(self.shipment_out(card).await?);
        }
        let settled = join_all(ids.iter().map(|id| self.settled(&order_id, id, STAGE))).await;
        let all_settled = settled.iter().all(|(settled, _)| *settled);
        let positions = settled.iter().fold(Positions::default(), |all, (_, at)| all.merged(at));
        let answer = proto::CreateShipmentsResponse {
            shipments,
            settled: Some(all_settled),
            position: positions.to_string(),
        };
        Ok(replayed_if(planned.iter().all(|(_, receipt)| receipt.replayed), answer))
    }

    async fn wish<'b>(&self, body: &'b proto::CreateShipmentsRequest) -> Result<Wish<'b>, Status> {
        let mut violations = Violations::default();
        if body.order_id.is_some() == body.fulfillment_id.is_some() {
            violations.add("order_id", "give exactly one of order_id and fulfillment_id");
        }
        violations.text("courier_account_id", &body.courier_account_id, NUMBER_MAX);
        let typed = body.tracking_number.as_ref();
        let typed = typed.map(|number| violations.text("tracking_number", number, NUMBER_MAX));
        violations.done()?;
        let account = body.courier_account_id.as_str();
        let read =
            self.parts.account_handler.read(account, |state| state.now().map(|now| now.courier));
        let (_, courier) = read.await.map_err(|error| refusals::account(account, error))?;
        let courier = courier.ok_or_else(|| status::not_found("courier account", account))?;
        match (courier, &typed) {
            (CourierKind::Manual, None) => {
                let rule = "is required: the number on the label that the courier gave you";
                Err(status::invalid_field("tracking_number", rule))
            }
            (CourierKind::Bosta, Some(_)) => {
                let rule = "is only for a manual account: Bosta gives the number itself";
                Err(status::invalid_field("tracking_number", rule))
            }
            _ => Ok(Wish { body, account, courier, typed }),
        }
    }

    async fn plan_all(
        &self,
        wish: &Wish<'_>,
        order_id: &str,
        packed: &[Packed],
        cause: &Cause,
    ) -> Result<Vec<(String, Receipt)>, Status> {
        let mut states = vec![];
        for one in packed {
            let read = self.parts.shipments.read(&one.shipment_id, Shipment::clone).await;
            let wished = read.map_err(|error| refusals::shipment(&one.shipment_id, WISH, error))?;
            // A parcel that left, or was withdrawn, gets no first shipment any more.
            if wished.1.plan().is_some() || one.is_waiting {
                states.push((one, wished.1));
            }
        }
        if states.is_empty() {
            let now: BTreeSet<_> = packed.iter().map(|p| p.fulfillment.status.as_str()).collect();
            return Err(nothing_packed(&now.into_iter().collect::<Vec<_>>().join(", ")));
        }
        let needs_goods = states.iter().any(|(_, state)| is_new(state, wish));
        let goods = if needs_goods { Some(self.goods(order_id).await?) } else { None };
        let cash = match self.cash_parcel(wish, order_id, &states, goods.as_ref()).await? {
            // There is no other parcel that could get it.
            Some(parcel) if packed.len() == 1 && is_whole(goods.as_ref()) => Some(parcel),
            Some(parcel) => self.claim_cash(wish, order_id, parcel, cause).await?,
            None => None,
        };
        let mut planned = vec![];
        for (one, state) in states {
            let plan = self.plan_of(wish, one, &state, goods.as_ref(), cash.as_deref()).await?;
            let id = one.shipment_id.clone();
            let command = Command::Plan { plan: Box::new(plan), then: then(wish, cause) };
            let told = self.parts.shipments.execute(&id, command, cause.clone()).await;
            let receipt = told.map_err(|error| refusals::shipment(&id, WISH, error))?;
            planned.push((id, receipt));
        }
        for (_, receipt) in &planned {
            self.see(receipt).await;
        }
        Ok(planned)
    }

    async fn plan_of(
        &self,
        wish: &Wish<'_>,
        one: &Packed,
        state: &Shipment,
        goods: Option<&Goods>,
        cash: Option<&str>,
    ) -> Result<Plan, Status> {
        match (state.plan(), goods) {
            (Some(plan), _) if plan.account == wish.account => Ok(plan.clone()),
            (before, Some(goods)) => {
                let due =
                    if cash == Some(one.parcel.parcel_id.as_str()) { goods.cod_due } else { 0 };
                let cod = before.map_or(due, |plan| plan.cod);
                self.plan(one, goods, (wish.account, wish.courier), cod).await
            }
            (_, None) => Err(status::unavailable("the order cannot be read, try again")),
        }
    }

    /// The parcel that carries the cash, if none does yet.
    async fn cash_parcel(
        &self,
        wish: &Wish<'_>,
        order_id: &str,
        states: &[(&Packed, Shipment)],
        goods: Option<&Goods>,
    ) -> Result<Option<String>, Status> {
        let known = shipments::of_order(&self.parts.views.pool(), order_id).await;
        let carrier = known.map_err(database)?.into_iter().find(|card| card.cod != 0);
        let chosen = wish.body.cod_parcel.as_deref();
        if let Some(carrier) = carrier.and_then(|card| card.shown?.parcel) {
            return not_chosen_elsewhere(chosen, &carrier.parcel_id, order_id).map(|()| None);
        }
        let mut fresh = states.iter().filter(|(_, state)| state.plan().is_none());
        let parcel = match chosen {
            Some(chosen) => {
                let found = fresh.find(|(one, _)| one.parcel.parcel_id == chosen);
                Some(found.ok_or_else(|| {
                    let rule = format!("is \"{chosen}\", none of the packed parcels");
                    status::invalid_field("cod_parcel", rule)
                })?)
            }
            None => fresh.next(),
        };
        let due = goods.is_some_and(|goods| goods.cod_due != 0);
        Ok(parcel.filter(|_| due).map(|(one, _)| one.parcel.parcel_id.clone()))
    }

    /// Claims the cash for `parcel`; answers the parcel that has it.
    async fn claim_cash(
        &self,
        wish: &Wish<'_>,
        order_id: &str,
        parcel: String,
        cause: &Cause,
    ) -> Result<Option<String>, Status> {
        let command = cash_claim::Command::Claim { parcel_id: parcel.clone() };
        match self.parts.cash_claims.execute(order_id, command, cause.clone()).await {
            Ok(_) => Ok(Some(parcel)),
            Err(HandleError::Refused(cash_claim::Refusal::Taken { by })) => {
                not_chosen_elsewhere(wish.body.cod_parcel.as_deref(), &by, order_id)?;
                Ok(Some(by))
            }
            Err(error) => Err(status::of(error, |no| status::internal(&no))),
        }
    }

    /// Waits until the courier has answered, at most until `deadline`.
    pub(super) async fn answered(
        &self,
        id: &str,
        deadline: Instant,
    ) -> Result<Option<Card>, Status> {
        let pool = self.parts.views.pool();
        let check = || async {
            let card = shipments::find(&pool, id).await?;
            Ok::<_, sqlx::Error>(card.filter(|card| !is_open(card)))
        };
        let patience = deadline.saturating_duration_since(Instant::now());
        self.parts.views.until(&shipments::changed(id), patience, check).await.map_err(database)
    }

    /// The shipment as it is now, answered or not; a replay as it was.
    pub(super) async fn newest(&self, id: &str, receipt: &Receipt) -> Result<Card, Status> {
        let found = shipments::find(&self.parts.views.pool(), id).await.map_err(database)?;
        match found {
            Some(card) => Ok(card),
            None => self.shipment_after(id, receipt).await,
        }
    }
}

const WISH: &str = "make the shipment";

/// The order is one fulfilment, whose parcels are all known once it is packed.
fn is_whole(goods: Option<&Goods>) -> bool {
    goods.is_some_and(|goods| goods.fulfillments <= 1)
}

fn not_chosen_elsewhere(chosen: Option<&str>, carrier: &str, order_id: &str) -> Result<(), Status> {
    match chosen {
        Some(chosen) if chosen != carrier => Err(status::refused(
            "COD_ASSIGNED",
            format!(
                "parcel {carrier} carries the cash already, {chosen} cannot: leave cod_parcel out"
            ),
            &[("parcel_id", carrier), ("order_id", order_id)],
        )),
        _ => Ok(()),
    }
}

fn is_new(state: &Shipment, wish: &Wish<'_>) -> bool {
    state.plan().is_none_or(|plan| plan.account != wish.account)
}

fn then(wish: &Wish<'_>, cause: &Cause) -> Then {
    match &wish.typed {
        Some(number) => Then::TakeTypedNumber(number.clone()),
        None => Then::AskCourier { request_hash: cause.request_hash.clone() },
    }
}

/// The courier has not answered yet.
fn is_open(card: &Card) -> bool {
    let status = card.shown.as_ref().map(|shown| shown.status.as_str()).unwrap_or_default();
    ["planned", "awb_requested", "awb_unknown", ""].contains(&status)
}
