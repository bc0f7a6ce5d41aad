//! When a confirmed order is to be cancelled: gives back exactly what is held for it, then says
//! that it is cancelled. While stock is still being asked for, `confirm_order` ends the story.

use async_trait::async_trait;
use nexus_es::process::{Process, Trouble};
use nexus_es::{Handler, Heard, clock};
use nexus_proto::inventory::v1::ReleaseReservationRequest;
use nexus_runtime::{Channels, telemetry};

use super::{away, reservation, trouble};
use crate::domain::order::{Command, Lifecycle, Order};
use crate::wire::SERVICE;

const NAME: &str = "cancel_order";

pub(crate) struct CancelOrder {
    orders: Handler<Order>,
    channels: Channels,
}

impl CancelOrder {
    pub(crate) fn new(orders: Handler<Order>, channels: Channels) -> Self {
        Self { orders, channels }
    }
}

/// What is held for an order that is to be cancelled; `None` when there is nothing to do here.
fn held(order: &Order) -> Option<(u32, Vec<String>)> {
    match order.lifecycle {
        Lifecycle::CancelPending { confirming: false, .. } => {
            let warehouses = order.allocation.iter().map(|part| part.warehouse.clone()).collect();
            Some((order.attempt, warehouses))
        }
        Lifecycle::CancelPending { confirming: true, .. }
        | Lifecycle::Pending
        | Lifecycle::Confirming
        | Lifecycle::Confirmed
        | Lifecycle::Cancelled
        | Lifecycle::Closed => None,
    }
}

#[async_trait]
impl Process for CancelOrder {
    fn name(&self) -> &'static str {
        NAME
    }

    fn sources(&self) -> &[&'static str] {
        &[SERVICE]
    }

    fn key(&self, heard: &Heard) -> Option<String> {
        (heard.event_type() == "order.CancelRequested").then(|| heard.aggregate.id.clone())
    }

    async fn act(&self, heard: &Heard) -> Result<(), Trouble> {
        let order_id = heard.aggregate.id.as_str();
        let read = self.orders.read(order_id, held).await;
        let (_, held) = read.map_err(|error| trouble("read the order", &error))?;
        let Some((attempt, warehouses)) = held else { return Ok(()) };
        let cause = |action: &str| {
            heard.cause_for(NAME, action, clock::now_ms(), telemetry::current_traceparent())
        };
        for warehouse in warehouses {
            let message = ReleaseReservationRequest {
                warehouse: warehouse.clone(),
                reservation: reservation(order_id, attempt),
                reason: "ORDER_CANCELLED".to_owned(),
                order_id: order_id.to_owned(),
            };
            let request =
                self.channels.request(message, &cause(&format!("release in {warehouse}")));
            let released = self.channels.inventory().release_reservation(request).await;
            released.map_err(|no| away("release the reservation", &no))?;
        }
        let finished = self.orders.execute(order_id, Command::FinishCancel, cause("finish")).await;
        finished.map(|_| ()).map_err(|error| trouble("finish the cancel", &error))
    }
}
