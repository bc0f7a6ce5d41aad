//! When an AWB is asked for, call the courier; when its answer is lost, look the delivery up.
//! *Invariant:* after a call without an answer nothing is made before three looks found nothing,
//! and then only under the same reference.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use nexus_es::Heard;
use nexus_es::process::{Process, Trouble};
use nexus_proto::common::v1::Recipient;
use nexus_proto::order::v1::GetRecipientRequest;
use prost::Message;
use tokio::time::Instant;

use super::{again, not_opened, until};
use crate::courier::{Account, AwbRequest, CallError, Courier};
use crate::domain::shipment::{
    Awb, Command, Event, LOOKS_BEFORE_ASKING_AGAIN, Plan, Problem, Shipment,
};
use crate::opener::OpenError;
use crate::parts::{Parts, cause_for};
use crate::wire::{SERVICE, sealed_out};

const NAME: &str = "create_awb";
/// The context of a shipment's recipient.
pub(crate) const RECIPIENT: &str = "shipment.Planned.recipient";
/// When to look, after the answer was lost; divided by the speed.
const LOOKS_AT: [Duration; 3] =
    [Duration::from_secs(1), Duration::from_secs(20), Duration::from_secs(120)];

pub(super) struct CreateAwb {
    parts: Arc<Parts>,
    /// Accounts that want to be asked later.
    busy_until: Mutex<HashMap<String, Instant>>,
}

#[async_trait]
impl Process for CreateAwb {
    fn name(&self) -> &'static str {
        NAME
    }

    fn sources(&self) -> &[&'static str] {
        &["shipping"]
    }

    fn key(&self, heard: &Heard) -> Option<String> {
        let asked = ["shipment.AwbRequested", "shipment.AwbUnknown", "shipment.AwbSurplusFound"];
        asked.contains(&heard.event_type()).then(|| heard.aggregate.id.clone())
    }

    async fn act(&self, heard: &Heard) -> Result<(), Trouble> {
        let event = super::event(heard)?;
        let state = self.parts.shipment(&heard.aggregate.id).await?;
        match event {
            Event::AwbRequested { attempt, .. } if state.asking() == Some(attempt) => {
                self.ask(heard, &state, attempt).await
            }
            Event::AwbUnknown { attempt, .. } => match state.unknown_attempt() {
                Some((open, looks)) if open == attempt => {
                    self.look(heard, &state, attempt, looks).await
                }
                _ => Ok(()),
            },
            Event::AwbSurplusFound { surplus, .. } => self.void_surplus(&state, &surplus).await,
            // Answered since, or none of ours.
            _ => Ok(()),
        }
    }
}

impl CreateAwb {
    pub(super) fn new(parts: Arc<Parts>) -> Self {
        Self { parts, busy_until: Mutex::default() }
    }

    async fn ask(&self, heard: &Heard, state: &Shipment, attempt: u32) -> Result<(), Trouble> {
        let Some(plan) = state.plan() else { return Ok(()) };
        if let Some(wait) = self.still_busy(&plan.account) {
            return Err(Trouble::NotYet(wait, "the courier wants to be asked later".to_owned()));
        }
        let opened = match self.parts.accounts.open(&plan.account).await {
            Ok(opened) => opened,
            Err(OpenError::Broken(why)) => return Err(Trouble::Retry(why)),
            Err(error) => {
                let hint = "enter the credentials in Settings → Integrations → Shipping";
                let no = problem("ACCOUNT", &error.to_string(), hint);
                return self.refuse(heard, attempt, no).await;
            }
        };
        let Some(request) = self.request(plan, state.reference()).await? else {
            let no = problem("ERASED", "the contact was erased", "the parcel cannot be sent");
            return self.refuse(heard, attempt, no).await;
        };
        let courier = self.parts.couriers.of(opened.courier);
        match courier.create_awb(&opened.account, &request).await {
            Ok(awb) => self.issue(heard, attempt, awb, false).await,
            Err(CallError::Refused(no)) => self.refuse(heard, attempt, no).await,
            Err(CallError::Busy { retry_after }) => {
                self.keep_busy(&plan.account, retry_after);
                Err(Trouble::NotYet(retry_after, "the courier is busy".to_owned()))
            }
            Err(CallError::ReferenceTaken) => {
                self.adopt(heard, state, attempt, courier, &opened.account).await
            }
            Err(CallError::NotFound) => self.forget(heard, attempt, "not found").await,
            Err(CallError::Unanswered { reason }) => self.forget(heard, attempt, reason).await,
        }
    }

    /// The courier has the reference already: an earlier call worked, its delivery is ours.
    async fn adopt(
        &self,
        heard: &Heard,
        state: &Shipment,
        attempt: u32,
        courier: &dyn Courier,
        account: &Account,
    ) -> Result<(), Trouble> {
        let order_number = state.plan().map(|plan| plan.order_number.as_str()).unwrap_or_default();
        match courier.find_by_reference(account, state.reference(), order_number).await {
            Ok(found) => match found.into_iter().next() {
                Some(awb) => self.issue(heard, attempt, awb, true).await,
                None => self.forget(heard, attempt, "taken, but not found yet").await,
            },
            Err(_) => self.forget(heard, attempt, "taken, and not to be looked up").await,
        }
    }

    async fn request(&self, plan: &Plan, reference: &str) -> Result<Option<AwbRequest>, Trouble> {
        let opened = self.parts.ports.vault.open(&sealed_out(&plan.recipient), RECIPIENT).await;
        let Some(clear) = opened.map_err(|error| Trouble::Retry(error.to_string()))? else {
            return Ok(None);
        };
        let recipient = Recipient::decode(clear.as_slice());
        Ok(Some(AwbRequest {
            reference: reference.to_owned(),
            order_number: plan.order_number.clone(),
            recipient: recipient.map_err(|error| Trouble::Hopeless(error.to_string()))?,
            notes: self.notes(&plan.order_id).await,
            parcel: plan.parcel.clone(),
            cod: plan.cod,
            currency: plan.currency.clone(),
        }))
    }

    /// What the customer wrote for the courier; a parcel goes without it too.
    async fn notes(&self, order_id: &str) -> String {
        let channels = &self.parts.ports.channels;
        let wanted = GetRecipientRequest { order_id: order_id.to_owned() };
        let request = channels.question(wanted, SERVICE, order_id);
        match channels.order().get_recipient(request).await {
            Ok(answer) => answer.into_inner().delivery_notes,
            Err(status) => {
                tracing::warn!("the notes of order {order_id} are missing: {:?}", status.code());
                String::new()
            }
        }
    }

    async fn look(
        &self,
        heard: &Heard,
        state: &Shipment,
        attempt: u32,
        looks: u32,
    ) -> Result<(), Trouble> {
        let Some(plan) = state.plan() else { return Ok(()) };
        let look = looks + 1;
        let nth = usize::try_from(looks).unwrap_or(usize::MAX);
        let Some(after) = LOOKS_AT.get(nth) else { return self.ask_again(heard, attempt).await };
        let due = heard.cause.occurred_at_ms + super::millis(self.parts.ports.scaled(*after));
        if let Some(wait) = until(due) {
            return Err(Trouble::NotYet(wait, format!("look {look} comes later")));
        }
        let opened = self.parts.accounts.open(&plan.account).await;
        let opened = opened.map_err(|error| not_opened(&error))?;
        let courier = self.parts.couriers.of(opened.courier);
        let (reference, number) = (state.reference(), plan.order_number.as_str());
        // A look without an answer is no look.
        let found = courier.find_by_reference(&opened.account, reference, number).await;
        let found = found.map_err(|error| again(&self.parts, &error))?;
        let mut found = found.into_iter();
        if let Some(oldest) = found.next() {
            self.issue(heard, attempt, oldest, true).await?;
            let surplus: Vec<_> = found.map(|awb| awb.awb).collect();
            return self.record(heard, "surplus", Command::RecordSurplus { surplus }).await;
        }
        self.record(heard, &format!("look {look}"), Command::RecordLook { attempt, look }).await?;
        if look >= LOOKS_BEFORE_ASKING_AGAIN {
            return self.ask_again(heard, attempt).await;
        }
        Err(Trouble::NotYet(Duration::ZERO, "the next look follows".to_owned()))
    }

    async fn ask_again(&self, heard: &Heard, attempt: u32) -> Result<(), Trouble> {
        let command = Command::AskAgain { attempt, request_hash: Vec::new() };
        self.record(heard, "ask again", command).await
    }

    async fn issue(
        &self,
        heard: &Heard,
        attempt: u32,
        awb: Awb,
        adopted: bool,
    ) -> Result<(), Trouble> {
        self.record(heard, "issued", Command::RecordIssued { attempt, awb, adopted }).await
    }

    async fn refuse(&self, heard: &Heard, attempt: u32, no: Problem) -> Result<(), Trouble> {
        self.record(heard, "refused", Command::RecordRefused { attempt, problem: no }).await
    }

    async fn forget(&self, heard: &Heard, attempt: u32, reason: &str) -> Result<(), Trouble> {
        let command = Command::RecordUnknown { attempt, reason: reason.to_owned() };
        self.record(heard, "unknown", command).await
    }

    async fn record(&self, heard: &Heard, action: &str, command: Command) -> Result<(), Trouble> {
        let cause = cause_for(heard, NAME, action);
        self.parts.record(&heard.aggregate.id, command, cause).await.map(|_| ())
    }

    /// Two live deliveries for one parcel: all but the kept one end.
    async fn void_surplus(&self, state: &Shipment, surplus: &[String]) -> Result<(), Trouble> {
        let Some(plan) = state.plan() else { return Ok(()) };
        let opened = self.parts.accounts.open(&plan.account).await;
        let opened = opened.map_err(|error| not_opened(&error))?;
        let courier = self.parts.couriers.of(opened.courier);
        for number in surplus {
            let awb =
                Awb { awb: number.clone(), tracking_number: number.clone(), ..Awb::default() };
            match courier.void(&opened.account, &awb).await {
                Ok(()) => tracing::warn!("voided the surplus AWB {number}"),
                Err(error) => return Err(again(&self.parts, &error)),
            }
        }
        Ok(())
    }

    fn still_busy(&self, account: &str) -> Option<Duration> {
        let busy = self.busy_until.lock().unwrap_or_else(PoisonError::into_inner);
        let left = busy.get(account)?.saturating_duration_since(Instant::now());
        (!left.is_zero()).then_some(left)
    }

    fn keep_busy(&self, account: &str, wait: Duration) {
        let mut busy = self.busy_until.lock().unwrap_or_else(PoisonError::into_inner);
        busy.insert(account.to_owned(), Instant::now() + wait);
    }
}

fn problem(code: &str, detail: &str, hint: &str) -> Problem {
    Problem {
        code: code.to_owned(),
        field: String::new(),
        detail: detail.to_owned(),
        hint: hint.to_owned(),
    }
}
