//! Which fulfilments of the chosen orders can go on a pick list, or why none can.

use futures::{StreamExt, stream};
use nexus_es::Cause;
use nexus_proto::order::v1::OrderForFulfillment;
use nexus_runtime::caller::Caller;
use nexus_runtime::status;
use tonic::{Code, Status};

use crate::domain::fulfillment::{Command, Opened, Stage};
use crate::domain::pick_list::Part;
use crate::floor::{further, openings};
use crate::grpc::{Api, may_touch, refusals, unreadable};
use crate::views::fulfillments;

const AT_ONCE: usize = 16;

/// A fulfilment that goes on the list.
pub(super) struct Selected {
    fulfillment_id: String,
    pub(super) opened: Opened,
}

impl Selected {
    pub(super) fn part(&self) -> Part {
        Part {
            order_id: self.opened.order_id.clone(),
            order_number: self.opened.order_number.clone(),
            fulfillment_id: self.fulfillment_id.clone(),
            reservation: self.opened.reservation.clone(),
        }
    }
}

impl Api {
    /// The fulfilments of these orders that are ready, or stand on the list that `list_id` names
    /// for their warehouse: then the same request is asked again.
    pub(super) async fn select(
        &self,
        caller: &Caller,
        cause: &Cause,
        order_ids: &[String],
        warehouse: &str,
        list_id: impl Fn(&str) -> String,
    ) -> Result<Vec<Selected>, Status> {
        let asking = order_ids.iter().cloned().map(|id| self.confirmed(id));
        let orders: Vec<_> = stream::iter(asking).buffered(AT_ONCE).collect().await;
        let mut selected: Vec<Selected> = vec![];
        for order in orders {
            let order = order?;
            let mut reason = None;
            let before = selected.len();
            for (id, opened) in openings(&order, order.attempt, &order.allocation) {
                if !warehouse.is_empty() && opened.warehouse != warehouse
                    || selected.iter().any(|one| one.fulfillment_id == id)
                {
                    continue;
                }
                may_touch(caller, &opened.warehouse)?;
                let (stage, listed_on) = self.open(cause, &id, &opened).await?;
                if stage == Stage::Ready || listed_on == list_id(&opened.warehouse) {
                    selected.push(Selected { fulfillment_id: id, opened });
                } else {
                    reason = Some(not_ready(&order, &opened, stage, &listed_on));
                }
            }
            let named_twice = || selected.iter().any(|one| one.opened.order_id == order.order_id);
            if selected.len() == before && !named_twice() {
                return Err(reason.unwrap_or_else(|| nothing_there(&order, warehouse)));
            }
        }
        Ok(selected)
    }

    /// A confirmed order, asked of its owner, by id or number.
    async fn confirmed(&self, name: String) -> Result<OrderForFulfillment, Status> {
        let name = name.as_str();
        let order = match self.floor.order(name).await {
            Err(no) if matches!(no.code(), Code::NotFound | Code::InvalidArgument) => {
                let number = name.trim_start_matches('#');
                let found = fulfillments::order_of_number(&self.floor.views.pool(), number).await;
                match found.map_err(unreadable)? {
                    Some(order_id) => self.floor.order(&order_id).await,
                    None => Err(no),
                }
            }
            other => other,
        };
        let order = order.map_err(|no| match no.code() {
            Code::NotFound | Code::InvalidArgument => status::refused(
                "ORDER_UNKNOWN",
                format!("there is no order \"{name}\", so it cannot go on a pick list"),
                &[("order_id", name), ("wish", "generate")],
            ),
            _ => no,
        })?;
        let facts = [
            ("status", order.status.as_str()),
            ("order_id", order.order_id.as_str()),
            ("wish", "generate"),
        ];
        if order.lifecycle != "confirmed" {
            let (number, status) = (&order.number, &order.status);
            let sentence = format!(
                "order {number} is {status}, only confirmed orders go on a pick list; confirm it \
                 first: POST /v1/orders/{}:confirm",
                order.order_id
            );
            return Err(status::refused("ORDER_NOT_CONFIRMED", sentence, &facts));
        }
        if order.on_hold {
            let sentence = format!(
                "order {} is on hold and goes on no pick list; release it first: \
                 POST /v1/orders/{}:release",
                order.number, order.order_id
            );
            return Err(status::refused("ORDER_ON_HOLD", sentence, &facts));
        }
        Ok(order)
    }

    /// Opens the fulfilment unless that was done; answers how far it is and on which list.
    async fn open(
        &self,
        cause: &Cause,
        id: &str,
        opened: &Opened,
    ) -> Result<(Stage, String), Status> {
        let handler = &self.floor.fulfillments;
        let refused = |error| status::of(error, |no| refusals::of_fulfillment(id, &no));
        let read = |state: &crate::domain::fulfillment::Fulfillment| {
            (state.stage, state.pick_list_id.clone())
        };
        let (_, found) = handler.read(id, read).await.map_err(refused)?;
        if found.0 != Stage::Unknown {
            return Ok(found);
        }
        // The order is confirmed, `open_fulfillment` has just not heard of it yet.
        let cause = further(cause, &["open", id], &opened.order_id);
        let command = Command::Open(opened.clone());
        let executed = handler.execute_then(id, command, cause, move |state, _| read(state)).await;
        executed.map(|(_, found)| found).map_err(refused)
    }
}

fn not_ready(order: &OrderForFulfillment, opened: &Opened, stage: Stage, list: &str) -> Status {
    let (number, warehouse) = (&order.number, &opened.warehouse);
    let stage_name = stage.to_string();
    let facts = [
        ("status", stage_name.as_str()),
        ("order_id", order.order_id.as_str()),
        ("pick_list_id", list),
        ("wish", "generate"),
    ];
    if stage == Stage::Listed {
        let sentence = format!(
            "order {number} stands on pick list {list} in {warehouse} already; pick that one, or \
             cancel it first: POST /v1/pick-lists/{list}:cancel"
        );
        return status::refused("ALREADY_LISTED", sentence, &facts);
    }
    let sentence = format!(
        "the goods of order {number} in {warehouse} are {stage} already, nothing of it is left to \
         pick"
    );
    status::refused("NOTHING_TO_PICK", sentence, &facts)
}

fn nothing_there(order: &OrderForFulfillment, warehouse: &str) -> Status {
    let number = &order.number;
    let sentence = if warehouse.is_empty() {
        format!("order {number} has no goods that need picking")
    } else {
        format!(
            "order {number} has no goods in warehouse {warehouse}; leave the warehouse out, or \
             choose another one"
        )
    };
    let facts = [("order_id", order.order_id.as_str()), ("wish", "generate")];
    status::refused("NOTHING_TO_PICK", sentence, &facts)
}
