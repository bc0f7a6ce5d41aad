//! When a courier is silent about a parcel for long, ask it: webhooks get lost.

use std::sync::Arc;

use async_trait::async_trait;
use nexus_es::commit::sha256;
use nexus_es::ports::Timer;
use nexus_es::process::{Process, Trouble};
use nexus_es::{Actor, Cause, Heard, clock, derived_id};
use nexus_runtime::time::parse_rfc3339;

use super::apply_courier_event::{can_be_asked, seal_raw, update};
use super::{again, millis, not_opened};
use crate::courier::{Told, Tracked};
use crate::domain::shipment::{Awb, Command, CourierUpdate, Event, Plan, Shipment, Source};
use crate::domain::tracking::TrackingStatus;
use crate::parts::Parts;
use crate::views::shipments;
use crate::wire::SERVICE;

const NAME: &str = "follow_silent_shipment";

pub(super) struct FollowSilentShipment {
    pub(super) parts: Arc<Parts>,
}

#[async_trait]
impl Process for FollowSilentShipment {
    fn name(&self) -> &'static str {
        NAME
    }

    fn sources(&self) -> &[&'static str] {
        &[SERVICE]
    }

    fn key(&self, heard: &Heard) -> Option<String> {
        (heard.event_type() == "shipment.AwbIssued").then(|| heard.aggregate.id.clone())
    }

    async fn act(&self, heard: &Heard) -> Result<(), Trouble> {
        let Event::AwbIssued { .. } = super::event(heard)? else { return Ok(()) };
        let state = self.parts.shipment(&heard.aggregate.id).await?;
        if !state.plan().is_some_and(|plan| can_be_asked(plan.courier)) {
            return Ok(());
        }
        let timer = Timer {
            process: NAME.to_owned(),
            key: heard.aggregate.id.clone(),
            due_at_ms: heard.cause.occurred_at_ms + self.silence_ms(),
            payload: Vec::new(),
        };
        let set = self.parts.ports.timers.set(timer).await;
        set.map_err(|error| Trouble::Retry(error.to_string()))
    }

    async fn wake(&self, timer: &Timer) -> Result<Option<i64>, Trouble> {
        let id = timer.key.as_str();
        let state = self.parts.shipment(id).await?;
        let (Some(plan), Some(awb), Some(now)) =
            (state.plan(), state.awb(), state.tracking_status())
        else {
            return Ok(None);
        };
        if now.is_terminal() {
            return Ok(None);
        }
        let card = shipments::find(&self.parts.views.pool(), id).await;
        let card = card.map_err(|error| Trouble::Retry(error.to_string()))?;
        let changed = card.and_then(|card| parse_rfc3339(&card.shown?.updated_at));
        let due = changed.unwrap_or_default() + self.silence_ms();
        if due > clock::now_ms() {
            return Ok(Some(due));
        }
        self.ask(id, &state, plan, awb, timer.due_at_ms).await?;
        Ok(Some(clock::now_ms() + self.silence_ms()))
    }

    fn uses_timers(&self) -> bool {
        true
    }
}

impl FollowSilentShipment {
    fn silence_ms(&self) -> i64 {
        millis(self.parts.ports.scaled(self.parts.config.silence)).max(1)
    }

    async fn ask(
        &self,
        id: &str,
        state: &Shipment,
        plan: &Plan,
        awb: &Awb,
        due_ms: i64,
    ) -> Result<(), Trouble> {
        let opened = self.parts.accounts.open(&plan.account).await;
        let opened = opened.map_err(|error| not_opened(&error))?;
        let courier = self.parts.couriers.of(opened.courier);
        let tracked = courier
            .track(&opened.account, awb)
            .await
            .map_err(|error| again(&self.parts, &error))?;
        // What vanished was ended by somebody else, or never was: a person sees it in the list.
        let Tracked::At { told, raw } = tracked else { return Ok(()) };
        let status = told.reading.status().filter(|s| *s != TrackingStatus::Unrecognised);
        if status.is_none() || status == state.tracking_status() {
            return Ok(());
        }
        let now = clock::now_ms();
        let cause = Cause {
            occurred_at_ms: told.occurred_at_ms.unwrap_or(now),
            learned_at_ms: now,
            command_id: derived_id(&[NAME, "record", id, &due_ms.to_string()]),
            request_hash: Vec::new(),
            story: plan.order_id.clone(),
            causation_id: None,
            actor: Actor::service(SERVICE),
            traceparent: String::new(),
        };
        let update = self.polled(plan, awb, *told, &raw, now).await?;
        self.parts.record(id, Command::RecordTracking(Box::new(update)), cause).await.map(|_| ())
    }

    async fn polled(
        &self,
        plan: &Plan,
        awb: &Awb,
        told: Told,
        raw: &[u8],
        now: i64,
    ) -> Result<CourierUpdate, Trouble> {
        let occurred_at_ms = told.occurred_at_ms.unwrap_or(now);
        Ok(CourierUpdate {
            body_hash: sha256(raw),
            learned_at_ms: now,
            raw: seal_raw(&self.parts, plan, raw).await?,
            ..update(&awb.awb, told, occurred_at_ms, Source::Poll)
        })
    }
}
