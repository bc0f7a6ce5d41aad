//! What processes and rpcs share: the aggregates, the views, the way to other services.

use std::sync::Arc;

use nexus_es::log::EventLog;
use nexus_es::process::Trouble;
use nexus_es::views::Views;
use nexus_es::{Cause, HandleError, Handler, derived_id};
use nexus_proto::order::v1 as order;
use nexus_runtime::{Channels, status};
use tonic::Status;

use crate::SERVICE;
use crate::domain::fulfillment::{Fulfillment, Opened, OrderLine};
use crate::domain::pick_list::PickList;

/// The warehouse floor.
#[derive(Clone)]
pub(crate) struct Floor {
    pub(crate) fulfillments: Handler<Fulfillment>,
    pub(crate) pick_lists: Handler<PickList>,
    pub(crate) views: Arc<Views>,
    pub(crate) log: Arc<dyn EventLog>,
    pub(crate) channels: Channels,
}

impl Floor {
    pub(crate) fn new(log: Arc<dyn EventLog>, views: Arc<Views>, channels: Channels) -> Self {
        Self {
            fulfillments: Handler::new(Arc::clone(&log)),
            pick_lists: Handler::new(Arc::clone(&log)),
            views,
            log,
            channels,
        }
    }

    /// Asks the order service what a warehouse needs to know of an order.
    pub(crate) async fn order(&self, order_id: &str) -> Result<order::OrderForFulfillment, Status> {
        let asked = order::GetOrderForFulfillmentRequest { order_id: order_id.to_owned() };
        let request = self.channels.question(asked, SERVICE, order_id);
        Ok(self.channels.order().get_order_for_fulfillment(request).await?.into_inner())
    }
}

/// The id of an order's fulfilment in a warehouse.
fn fulfillment_id(order_id: &str, attempt: u32, warehouse: &str) -> String {
    derived_id(&["fulfillment", order_id, &attempt.to_string(), warehouse]).to_string()
}

/// The fulfilments that follow from a confirmed order: one a warehouse, with its id.
pub(crate) fn openings(
    order: &order::OrderForFulfillment,
    attempt: u32,
    allocation: &[nexus_proto::common::v1::Allocation],
) -> Vec<(String, Opened)> {
    let name_of = |line_id: &str, sku: &str| {
        let line = order.lines.iter().find(|line| line.line_id == line_id);
        line.map(|line| line.name.clone()).filter(|name| !name.is_empty()).unwrap_or(sku.to_owned())
    };
    let served = allocation.iter().filter(|part| part.lines.iter().any(|line| line.units > 0));
    served
        .map(|part| {
            let lines = part.lines.iter().filter(|line| line.units > 0).map(|line| OrderLine {
                line_id: line.line_id.clone(),
                sku: line.sku.clone(),
                name: name_of(&line.line_id, &line.sku),
                units: line.units,
            });
            let opened = Opened {
                order_id: order.order_id.clone(),
                order_number: order.number.clone(),
                warehouse: part.warehouse.clone(),
                reservation: format!("{}/{attempt}", order.order_id),
                lines: lines.collect(),
            };
            (fulfillment_id(&order.order_id, attempt, &part.warehouse), opened)
        })
        .collect()
}

/// The cause of a further command of the same request or event: `what` names it.
pub(crate) fn further(cause: &Cause, what: &[&str], story: &str) -> Cause {
    let base = cause.command_id.to_string();
    let parts: Vec<&str> = [base.as_str()].into_iter().chain(what.iter().copied()).collect();
    Cause {
        command_id: derived_id(&parts),
        request_hash: vec![],
        story: story.to_owned(),
        ..cause.clone()
    }
}

/// What a command that did not go through means for a process. A refusal that it knows how to deal
/// with never comes here.
pub(crate) fn trouble<R: std::fmt::Debug + std::fmt::Display>(error: HandleError<R>) -> Trouble {
    match error {
        HandleError::Refused(refusal) => Trouble::Hopeless(refusal.to_string()),
        HandleError::Contended | HandleError::Unknown(_) | HandleError::Unavailable(_) => {
            Trouble::Retry(status::chain(&error))
        }
        HandleError::KeyReused
        | HandleError::TooLarge { .. }
        | HandleError::BadId(_)
        | HandleError::Load(_)
        | HandleError::Panicked(_) => Trouble::Hopeless(status::chain(&error)),
    }
}
