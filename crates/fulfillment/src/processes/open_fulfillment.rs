//! When an order is confirmed, open one fulfilment for each warehouse that holds goods for it.

use async_trait::async_trait;
use nexus_es::Heard;
use nexus_es::process::{Process, Trouble};
use nexus_proto::order::v1::OrderConfirmed;
use nexus_runtime::status;

use super::{cause, message};
use crate::domain::fulfillment::Command;
use crate::floor::{Floor, openings, trouble};

const NAME: &str = "open_fulfillment";

pub(crate) struct OpenFulfillment(pub(crate) Floor);

#[async_trait]
impl Process for OpenFulfillment {
    fn name(&self) -> &'static str {
        NAME
    }

    fn sources(&self) -> &[&'static str] {
        &["order"]
    }

    fn key(&self, heard: &Heard) -> Option<String> {
        (heard.event_type() == "order.Confirmed").then(|| heard.aggregate.id.clone())
    }

    async fn act(&self, heard: &Heard) -> Result<(), Trouble> {
        let confirmed: OrderConfirmed = message(heard)?;
        let order_id = heard.aggregate.id.as_str();
        let order = self.0.order(order_id).await;
        let order = order.map_err(|no| status::trouble("reading the confirmed order", &no))?;
        for (id, opened) in openings(&order, confirmed.attempt, &confirmed.allocation) {
            let cause = cause(heard, NAME, &format!("open {id}"), order_id);
            let command = Command::Open(opened);
            self.0.fulfillments.execute(&id, command, cause).await.map_err(trouble)?;
        }
        Ok(())
    }
}
