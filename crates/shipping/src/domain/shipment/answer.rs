//! What people and the courier's answers ask of a shipment: plan, AWB, label, hand-over, void.

use super::{
    Awb, Event, HandedOver, LOOKS_BEFORE_ASKING_AGAIN, Label, MAX_UNANSWERED_ATTEMPTS, Phase, Plan,
    Problem, Refusal, Shipment, Then,
};
use crate::domain::LabelFormat;

type Decision = Result<Vec<Event>, Refusal>;

impl Shipment {
    pub(super) fn planned(&self, plan: &Plan, then: &Then) -> Decision {
        let is_new = self.phase == Phase::New;
        let moves = plan.account != self.plan.account;
        if !is_new && moves && !self.is_without_awb() {
            return Err(Refusal::OtherAccount { account: self.plan.account.clone() });
        }
        let mut events = vec![];
        if is_new || moves {
            events.push(Event::Planned(Box::new(plan.clone())));
        }
        let planned = events.iter().fold(self.clone(), nexus_es::Decider::evolve);
        events.extend(match then {
            Then::AskCourier { request_hash } => planned.requested(request_hash),
            Then::TakeTypedNumber(number) => planned.typed(number)?,
        });
        Ok(events)
    }

    /// A request while one is open, or an AWB is alive, joins it.
    pub(super) fn requested(&self, request_hash: &[u8]) -> Vec<Event> {
        if self.is_without_awb() { vec![self.request(request_hash)] } else { vec![] }
    }

    fn request(&self, request_hash: &[u8]) -> Event {
        Event::AwbRequested {
            attempt: self.attempt + 1,
            reference: self.next_reference(),
            request_hash: request_hash.to_vec(),
        }
    }

    /// A dead AWB may keep its reference at the courier: what follows it gets one of its own.
    fn next_reference(&self) -> String {
        match self.dead_awbs + u32::from(self.awb.is_some()) {
            0 => self.plan.reference.clone(),
            dead => format!("{}-{}", self.plan.reference, dead + 1),
        }
    }

    fn typed(&self, number: &str) -> Decision {
        if let Some(live) = self.awb()
            && !self.is_called_off()
        {
            return if live.awb == number {
                Ok(vec![])
            } else {
                Err(Refusal::OtherAwb { awb: live.awb.clone() })
            };
        }
        if !self.is_without_awb() {
            return Err(Refusal::WrongStatus { status: self.status() });
        }
        let awb =
            Awb { awb: number.to_owned(), tracking_number: number.to_owned(), ..Awb::default() };
        let order_id = self.plan.order_id.clone();
        let attempt = self.attempt + 1;
        Ok(vec![self.request(&[]), Event::AwbIssued { attempt, awb, adopted: false, order_id }])
    }

    pub(super) fn issued(&self, attempt: u32, awb: &Awb, adopted: bool) -> Vec<Event> {
        if let Some(live) = self.awb() {
            if live.delivery_id == awb.delivery_id && live.awb == awb.awb {
                return vec![];
            }
            // Somebody was faster: the older one stays, this one must not live.
            return self.surplus(std::slice::from_ref(&awb.awb));
        }
        let open =
            self.waits_for(attempt) || (self.phase == Phase::Failed && attempt == self.attempt);
        if !open {
            return vec![];
        }
        let order_id = self.plan.order_id.clone();
        vec![Event::AwbIssued { attempt, awb: awb.clone(), adopted, order_id }]
    }

    fn waits_for(&self, attempt: u32) -> bool {
        attempt == self.attempt && matches!(self.phase, Phase::Requested | Phase::Unknown { .. })
    }

    pub(super) fn refused(&self, attempt: u32, problem: &Problem) -> Vec<Event> {
        if self.waits_for(attempt) {
            vec![Event::AwbRefused { attempt, problem: problem.clone() }]
        } else {
            vec![]
        }
    }

    pub(super) fn unknown(&self, attempt: u32, reason: &str) -> Vec<Event> {
        if self.asking() == Some(attempt) {
            vec![Event::AwbUnknown { attempt, reason: reason.to_owned() }]
        } else {
            vec![]
        }
    }

    pub(super) fn looked(&self, attempt: u32, look: u32) -> Vec<Event> {
        match self.unknown_attempt() {
            Some((open, looks)) if open == attempt && look == looks + 1 => {
                vec![Event::AwbLookedUp { attempt, look }]
            }
            _ => vec![],
        }
    }

    /// After enough looks in vain the courier is asked once more by the same reference, which it
    /// takes only once; after enough attempts a person must ask.
    pub(super) fn asked_again(&self, attempt: u32, request_hash: &[u8]) -> Vec<Event> {
        match self.unknown_attempt() {
            Some((open, looks)) if open == attempt && looks >= LOOKS_BEFORE_ASKING_AGAIN => {}
            _ => return vec![],
        }
        if self.unanswered_attempts() >= MAX_UNANSWERED_ATTEMPTS {
            return vec![Event::AwbRefused { attempt, problem: no_answer() }];
        }
        vec![Event::AwbRequested {
            attempt: attempt + 1,
            reference: self.reference.clone(),
            request_hash: request_hash.to_vec(),
        }]
    }

    pub(super) fn surplus(&self, surplus: &[String]) -> Vec<Event> {
        match self.awb() {
            Some(live) if !surplus.is_empty() => {
                vec![Event::AwbSurplusFound { kept: live.awb.clone(), surplus: surplus.to_vec() }]
            }
            _ => vec![],
        }
    }

    /// The first label stored is the label: every print gives the same bytes.
    pub(super) fn label_stored(&self, label: &Label) -> Vec<Event> {
        if self.awb().is_none() || self.labels.contains_key(&label.format) {
            return vec![];
        }
        vec![Event::LabelStored(label.clone())]
    }

    pub(super) fn label_printed(&self, format: LabelFormat) -> Decision {
        if self.awb().is_none() {
            return Err(Refusal::WrongStatus { status: self.status() });
        }
        if !self.labels.contains_key(&format) {
            return Err(Refusal::NoLabel);
        }
        Ok(vec![Event::LabelPrinted { copy: self.copies + 1, format }])
    }

    pub(super) fn handed_over(
        &self,
        at_ms: i64,
        manifest_id: &str,
        label: Option<&str>,
    ) -> Decision {
        let awb = self.awb().ok_or(Refusal::WrongStatus { status: self.status() })?;
        if let Some(label) = label
            && label != awb.tracking_number
            && label != awb.awb
        {
            return Err(Refusal::WrongLabel { expected: awb.tracking_number.clone() });
        }
        if self.is_handed_over() {
            return Ok(vec![]);
        }
        if self.has_ended() {
            return Err(Refusal::WrongStatus { status: self.status() });
        }
        if self.void_reason.is_some() {
            return Err(Refusal::VoidPending);
        }
        Ok(vec![Event::HandedOver(self.hand_over(at_ms, manifest_id, false))])
    }

    pub(super) fn hand_over(&self, at_ms: i64, manifest_id: &str, by_courier: bool) -> HandedOver {
        HandedOver {
            at_ms,
            manifest_id: manifest_id.to_owned(),
            order_id: self.plan.order_id.clone(),
            fulfillment_id: self.plan.fulfillment_id.clone(),
            parcel_id: self.plan.parcel.parcel_id.clone(),
            by_courier,
        }
    }

    pub(super) fn void_requested(&self, reason: &str) -> Decision {
        let is_live = self.phase == Phase::Live;
        if self.phase == Phase::Voided || (is_live && self.void_reason.is_some()) {
            return Ok(vec![]);
        }
        if !is_live || self.has_ended() {
            return Err(Refusal::WrongStatus { status: self.status() });
        }
        Ok(vec![Event::VoidRequested { reason: reason.to_owned() }])
    }

    pub(super) fn voided(&self) -> Vec<Event> {
        match (&self.void_reason, &self.awb, &self.phase) {
            (Some(reason), Some(awb), Phase::Live) => vec![Event::Voided {
                awb: awb.awb.clone(),
                reason: reason.clone(),
                order_id: self.plan.order_id.clone(),
            }],
            _ => vec![],
        }
    }

    pub(super) fn void_refused(&self, problem: &Problem) -> Vec<Event> {
        if self.void_reason.is_some() { vec![Event::VoidRefused(problem.clone())] } else { vec![] }
    }
}

fn no_answer() -> Problem {
    Problem {
        code: "COURIER_NO_ANSWER".to_owned(),
        field: String::new(),
        detail: "the courier did not answer and has no such delivery".to_owned(),
        hint: "check that the courier works, then ask for the AWB again".to_owned(),
    }
}
