//! Tells an order what its fulfilments and shipments report, and what inventory could not keep.

mod facts;

use async_trait::async_trait;
use nexus_es::process::{Process, Trouble};
use nexus_es::{HandleError, Handler, Heard, clock};
use nexus_runtime::telemetry;

use super::trouble;
use crate::domain::order::{Command, Order, Refusal};

const NAME: &str = "follow_order";

pub(crate) struct FollowOrder {
    orders: Handler<Order>,
}

impl FollowOrder {
    pub(crate) fn new(orders: Handler<Order>) -> Self {
        Self { orders }
    }
}

#[async_trait]
impl Process for FollowOrder {
    fn name(&self) -> &'static str {
        NAME
    }

    fn sources(&self) -> &[&'static str] {
        &["fulfillment", "shipping", "inventory"]
    }

    fn key(&self, heard: &Heard) -> Option<String> {
        if !facts::are_told_by(heard.event_type()) {
            return None;
        }
        // What does not decode is parked under its own aggregate, where a person finds it.
        let unreadable = || Some(heard.aggregate.id.clone());
        facts::read(heard).map_or_else(|_| unreadable(), |fact| fact.map(|(order_id, _)| order_id))
    }

    async fn act(&self, heard: &Heard) -> Result<(), Trouble> {
        let read = facts::read(heard).map_err(|error| Trouble::Hopeless(error.to_string()))?;
        let Some((order_id, fact)) = read else { return Ok(()) };
        let now = clock::now_ms();
        let cause = heard.cause_for(NAME, "progress", now, telemetry::current_traceparent());
        let cause = nexus_es::Cause { story: order_id.clone(), ..cause };
        let told = self.orders.execute(&order_id, Command::Progress(Box::new(fact)), cause).await;
        match told {
            Ok(_) => Ok(()),
            Err(HandleError::Refused(Refusal::Unknown)) => {
                Err(Trouble::Hopeless(format!("order {order_id} does not exist")))
            }
            Err(error) => Err(trouble("tell the order", &error)),
        }
    }
}
