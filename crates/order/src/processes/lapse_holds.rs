//! Ends a hold when its time runs out.

use std::sync::Arc;

use async_trait::async_trait;
use nexus_es::ports::{PortError, Timer, Timers};
use nexus_es::process::{Process, Trouble};
use nexus_es::{Actor, ActorKind, Cause, Handler, Heard, clock, derived_id};
use nexus_proto::order::v1::{OrderHeld, OrderReleased};
use nexus_runtime::telemetry;

use super::trouble;
use crate::domain::order::{Command, Order};
use crate::wire::{self, SERVICE};

const NAME: &str = "lapse_holds";
const HELD: &str = "order.Held";
const RELEASED: &str = "order.Released";

pub(crate) struct LapseHolds {
    orders: Handler<Order>,
    timers: Arc<dyn Timers>,
}

impl LapseHolds {
    pub(crate) fn new(orders: Handler<Order>, timers: Arc<dyn Timers>) -> Self {
        Self { orders, timers }
    }

    async fn cancel(&self, key: &str) -> Result<(), Trouble> {
        self.timers.cancel(NAME, key).await.map_err(|error| unset(&error))
    }
}

fn unset(error: &PortError) -> Trouble {
    Trouble::Retry(error.to_string())
}

/// One timer a hold: names may hold any letter, keys may not.
fn timer_key(order_id: &str, name: &str) -> String {
    format!("{order_id}:{}", hex::encode(name))
}

#[async_trait]
impl Process for LapseHolds {
    fn name(&self) -> &'static str {
        NAME
    }

    fn sources(&self) -> &[&'static str] {
        &[SERVICE]
    }

    fn key(&self, heard: &Heard) -> Option<String> {
        matches!(heard.event_type(), HELD | RELEASED).then(|| heard.aggregate.id.clone())
    }

    async fn act(&self, heard: &Heard) -> Result<(), Trouble> {
        let unreadable = |error: nexus_es::BadEvent| Trouble::Hopeless(error.to_string());
        let order_id = heard.aggregate.id.as_str();
        if heard.event_type() == RELEASED {
            let released: OrderReleased = wire::read(&heard.payload).map_err(unreadable)?;
            return self.cancel(&timer_key(order_id, &released.name)).await;
        }
        let held: OrderHeld = wire::read(&heard.payload).map_err(unreadable)?;
        let key = timer_key(order_id, &held.name);
        if held.until_ms == 0 {
            return self.cancel(&key).await;
        }
        let timer = Timer {
            process: NAME.to_owned(),
            key,
            due_at_ms: held.until_ms,
            payload: format!("{order_id}\n{}", held.name).into_bytes(),
        };
        self.timers.set(timer).await.map_err(|error| unset(&error))
    }

    async fn wake(&self, timer: &Timer) -> Result<Option<i64>, Trouble> {
        let text = String::from_utf8_lossy(&timer.payload).into_owned();
        let (order_id, name) = text
            .split_once('\n')
            .ok_or_else(|| Trouble::Hopeless("a timer names no hold".to_owned()))?;
        let now = clock::now_ms();
        let hold = name.to_owned();
        let read = self.orders.read(order_id, move |order| order.holds.get(&hold).cloned()).await;
        let (_, hold) = read.map_err(|error| trouble("read the order", &error))?;
        // Placed anew since: without an end, or with a later one.
        let Some(hold) = hold.filter(|hold| hold.until_ms != 0) else { return Ok(None) };
        if hold.until_ms > now {
            return Ok(Some(hold.until_ms));
        }
        let due = hold.until_ms.to_string();
        let cause = Cause {
            occurred_at_ms: now,
            learned_at_ms: now,
            command_id: derived_id(&[NAME, order_id, name, &due]),
            request_hash: Vec::new(),
            story: order_id.to_owned(),
            causation_id: None,
            actor: Actor { kind: ActorKind::Timer, ..Actor::service(NAME) },
            traceparent: telemetry::current_traceparent(),
        };
        let command = Command::Release { name: name.to_owned(), lapsed: true };
        let released = self.orders.execute(order_id, command, cause).await;
        released.map(|_| None).map_err(|error| trouble("release the hold", &error))
    }

    fn uses_timers(&self) -> bool {
        true
    }
}
