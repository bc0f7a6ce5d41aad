//! When a courier posts an update, find its shipment and record it there; one without a shipment
//! waits until its AWB appears.
//! *Invariant:* an update is recorded once for each time it was received, on whichever of the two
//! roads it meets its AWB.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use nexus_es::commit::sha256;
use nexus_es::process::{Process, Trouble};
use nexus_es::{Actor, ActorKind, Cause, Heard, Positions, clock, derived_id};
use nexus_proto::common::v1::Sealed;
use nexus_runtime::telemetry;

use super::{again, not_opened};
use crate::courier::{CallError, Told, Tracked};
use crate::domain::shipment::{Awb, Command, CourierUpdate, Event, Plan, Shipment, Source};
use crate::domain::tracking::TrackingStatus;
use crate::domain::{CourierKind, Sealed as SealedValue};
use crate::opener::{OpenError, Opened};
use crate::parts::Parts;
use crate::views::{shipments, unmatched};
use crate::wire::{SERVICE, sealed_in, sealed_out};

const NAME: &str = "apply_courier_event";
/// The context of a recorded raw body.
pub(crate) const RAW: &str = "shipment.TrackingRecorded.raw";
/// How long the views may be behind before this is tried again.
const PATIENCE: Duration = Duration::from_secs(5);
/// A courier's own reads may lag behind its webhooks.
const CONFIRM_TRIES: u32 = 3;
const CONFIRM_AGAIN: Duration = Duration::from_secs(1);

pub(super) struct ApplyCourierEvent {
    pub(super) parts: Arc<Parts>,
}

/// A webhook on its way to its shipment.
struct Received {
    event_id: String,
    position: u64,
    received_ms: i64,
    account: String,
    body: Vec<u8>,
    told: Told,
}

#[async_trait]
impl Process for ApplyCourierEvent {
    fn name(&self) -> &'static str {
        NAME
    }

    fn sources(&self) -> &[&'static str] {
        &[unmatched::INGRESS, SERVICE]
    }

    /// Each webhook has a lane of its own: what they add up to does not hang on their order.
    fn key(&self, heard: &Heard) -> Option<String> {
        match (heard.service(), heard.event_type()) {
            (unmatched::INGRESS, unmatched::RECEIVED) => Some(heard.event_id.to_string()),
            (SERVICE, "shipment.AwbIssued") => Some(heard.aggregate.id.clone()),
            _ => None,
        }
    }

    async fn act(&self, heard: &Heard) -> Result<(), Trouble> {
        // Both roads read the view only after it knows what they heard, so that of a webhook and
        // its AWB at least the later one finds the other.
        let heard_at = Positions::one(heard.service(), heard.position);
        let caught_up = self.parts.views.wait_for(&heard_at, PATIENCE).await;
        caught_up.map_err(|error| Trouble::Retry(error.to_string()))?;
        if heard.service() == unmatched::INGRESS {
            self.webhook(heard).await
        } else {
            self.awb_appeared(heard).await
        }
    }
}

impl ApplyCourierEvent {
    async fn webhook(&self, heard: &Heard) -> Result<(), Trouble> {
        let event = unmatched::received(heard);
        let event = event.map_err(|error| Trouble::Hopeless(error.to_string()))?;
        if event.kind != "courier" {
            return Ok(());
        }
        let id = heard.event_id.to_string();
        let (position, received_ms) = (heard.position.0, event.received_at_ms);
        let body = event.body.unwrap_or_default();
        let Some(received) = self.read(id, position, received_ms, event.account_id, &body).await?
        else {
            return Ok(());
        };
        let told = &received.told;
        let found = shipments::find_by_number(
            &self.parts.views.pool(),
            &received.account,
            &told.tracking_number,
            &told.delivery_id,
        )
        .await
        .map_err(|error| Trouble::Retry(error.to_string()))?;
        // Without a shipment it stands in the unmatched view.
        let Some((shipment_id, awb)) = found else { return Ok(()) };
        self.apply(&shipment_id, &awb, received).await
    }

    async fn awb_appeared(&self, heard: &Heard) -> Result<(), Trouble> {
        let Event::AwbIssued { awb, .. } = super::event(heard)? else { return Ok(()) };
        let id = heard.aggregate.id.as_str();
        let state = self.parts.shipment(id).await?;
        let Some(plan) = state.plan() else { return Ok(()) };
        let waiting = unmatched::of_delivery(
            &self.parts.views.pool(),
            &plan.account,
            &awb.tracking_number,
            &awb.delivery_id,
        )
        .await
        .map_err(|error| Trouble::Retry(error.to_string()))?;
        for row in waiting {
            let account = row.account;
            let read = self.read(row.event_id, row.position, row.received_ms, account, &row.body);
            if let Some(received) = read.await? {
                self.apply(id, &awb.awb, received).await?;
            }
        }
        Ok(())
    }

    /// What a webhook says; `None` when that cannot be known: it stays unmatched.
    async fn read(
        &self,
        event_id: String,
        position: u64,
        received_ms: i64,
        account: String,
        sealed: &Sealed,
    ) -> Result<Option<Received>, Trouble> {
        let opened = self.parts.ports.vault.open(sealed, unmatched::BODY).await;
        let opened = opened.map_err(|error| Trouble::Retry(error.to_string()))?;
        let Some(body) = opened.map(|body| body.to_vec()) else { return Ok(None) };
        let kind = match self.parts.accounts.open(&account).await {
            Ok(opened) => opened.courier,
            Err(OpenError::Broken(why)) => return Err(Trouble::Retry(why)),
            Err(OpenError::NotFound | OpenError::Erased) => return Ok(None),
        };
        let told = self.parts.couriers.of(kind).parse_webhook(&body).ok();
        Ok(told.map(|told| Received { event_id, position, received_ms, account, body, told }))
    }

    async fn apply(&self, id: &str, awb: &str, received: Received) -> Result<(), Trouble> {
        let state = self.parts.shipment(id).await?;
        let Some(plan) = state.plan() else { return Ok(()) };
        let confirmed = self.is_confirmed(&state, plan, &received.told).await?;
        let raw = seal_raw(&self.parts, plan, &received.body).await?;
        let told = received.told;
        let occurred_at_ms = told.occurred_at_ms.unwrap_or(received.received_ms);
        let cause = Cause {
            occurred_at_ms,
            learned_at_ms: received.received_ms,
            // Both roads to the shipment carry the same id: the second is a repeat.
            command_id: derived_id(&[NAME, "record", &received.event_id]),
            request_hash: Vec::new(),
            story: plan.order_id.clone(),
            causation_id: received.event_id.parse().ok(),
            actor: Actor {
                kind: ActorKind::Courier,
                id: received.account,
                roles: vec![],
                warehouse: String::new(),
            },
            traceparent: telemetry::current_traceparent(),
        };
        let update = CourierUpdate {
            inbox_event_id: received.event_id,
            inbox_position: received.position,
            body_hash: sha256(&received.body),
            learned_at_ms: received.received_ms,
            confirmed,
            raw,
            ..update(awb, told, occurred_at_ms, Source::Webhook)
        };
        self.parts.record(id, Command::RecordTracking(Box::new(update)), cause).await.map(|_| ())
    }

    /// Nobody signs a webhook: an end that it tells must be what the courier says when asked.
    async fn is_confirmed(
        &self,
        state: &Shipment,
        plan: &Plan,
        told: &Told,
    ) -> Result<bool, Trouble> {
        let Some(end) = told.reading.status().filter(|status| status.is_terminal()) else {
            return Ok(true);
        };
        let Some(awb) = state.awb() else { return Ok(false) };
        let opened = match self.parts.accounts.open(&plan.account).await {
            Ok(opened) => opened,
            Err(OpenError::Broken(why)) => return Err(Trouble::Retry(why)),
            Err(error) => return Err(not_opened(&error)),
        };
        if !self.parts.couriers.of(opened.courier).reads_back() {
            return Ok(true);
        }
        for left in (0..CONFIRM_TRIES).rev() {
            if self.says(&opened, awb, end).await? {
                return Ok(true);
            }
            if left > 0 {
                tokio::time::sleep(self.parts.ports.scaled(CONFIRM_AGAIN)).await;
            }
        }
        Ok(false)
    }

    async fn says(&self, opened: &Opened, awb: &Awb, end: TrackingStatus) -> Result<bool, Trouble> {
        match self.parts.couriers.of(opened.courier).track(&opened.account, awb).await {
            Ok(Tracked::At { told, .. }) => Ok(told.reading.status() == Some(end)),
            // A terminated delivery vanishes.
            Ok(Tracked::Gone) | Err(CallError::NotFound) => Ok(end == TrackingStatus::Cancelled),
            Err(error) => Err(again(&self.parts, &error)),
        }
    }
}

/// An update with what the courier told; who records it adds how it came.
pub(super) fn update(awb: &str, told: Told, occurred_at_ms: i64, source: Source) -> CourierUpdate {
    let manual = told.kind == "MANUAL";
    CourierUpdate {
        awb: awb.to_owned(),
        delivery_id: told.delivery_id,
        code: told.code,
        kind: told.kind,
        raw_word: told.raw_word,
        reading: told.reading,
        occurred_at_ms,
        learned_at_ms: clock::now_ms(),
        inbox_event_id: String::new(),
        inbox_position: 0,
        body_hash: Vec::new(),
        confirmed: true,
        exception_code: told.exception_code,
        exception_reason: told.exception_reason,
        attempt: told.attempt,
        cod_collected: told.cod_collected,
        raw: SealedValue::default(),
        source: if manual { Source::Manual } else { source },
    }
}

/// The raw body under the contact's key; nothing of an erased contact is kept.
pub(super) async fn seal_raw(
    parts: &Parts,
    plan: &Plan,
    body: &[u8],
) -> Result<SealedValue, Trouble> {
    let vault = &parts.ports.vault;
    match vault.seal(&plan.recipient.key_id, RAW, body).await {
        Ok(sealed) => Ok(sealed_in(sealed)),
        Err(error) => {
            let recipient = sealed_out(&plan.recipient);
            match vault.open(&recipient, super::create_awb::RECIPIENT).await {
                Ok(None) => Ok(SealedValue::default()),
                _ => Err(Trouble::Retry(error.to_string())),
            }
        }
    }
}

/// Only Bosta can be asked where a parcel is.
pub(super) const fn can_be_asked(courier: CourierKind) -> bool {
    matches!(courier, CourierKind::Bosta)
}
