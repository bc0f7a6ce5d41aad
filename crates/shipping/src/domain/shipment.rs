//! One parcel on its way: planned, given an AWB, handed over, tracked to its end.
//! *Invariant:* at most one AWB is alive; a new one is asked for only when no other is, or can be.

mod answer;
mod record;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet};

use nexus_es::Decider;

use super::tracking::{Reading, Tracking, TrackingStatus, Update};
use super::{CourierKind, LabelFormat, Sealed};

/// Looks by reference that must find nothing before the courier is asked once more.
pub(crate) const LOOKS_BEFORE_ASKING_AGAIN: u32 = 3;
/// Attempts without an answer before a person must ask again.
pub(crate) const MAX_UNANSWERED_ATTEMPTS: u32 = 5;

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Parcel {
    pub(crate) parcel_id: String,
    pub(crate) box_type: String,
    pub(crate) weight_grams: u32,
    /// Length, width, height in millimetres.
    pub(crate) dimensions_mm: Option<(u32, u32, u32)>,
    /// SKU and units.
    pub(crate) contents: Vec<(String, u32)>,
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Plan {
    pub(crate) order_id: String,
    pub(crate) order_number: String,
    pub(crate) fulfillment_id: String,
    pub(crate) warehouse: String,
    pub(crate) reservation: String,
    pub(crate) parcel: Parcel,
    pub(crate) account: String,
    pub(crate) courier: CourierKind,
    pub(crate) cod: i64,
    pub(crate) currency: String,
    pub(crate) reference: String,
    pub(crate) contact_id: String,
    pub(crate) recipient: Sealed,
    pub(crate) public_token_sha256: Vec<u8>,
    pub(crate) public_token: Sealed,
    pub(crate) language: String,
}

/// How the courier knows the parcel.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Awb {
    pub(crate) awb: String,
    pub(crate) tracking_number: String,
    /// The courier's own id of the delivery; empty when typed in.
    pub(crate) delivery_id: String,
    pub(crate) tracking_url: String,
}

/// Why the courier said no, and what a person can do.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Problem {
    pub(crate) code: String,
    pub(crate) field: String,
    pub(crate) detail: String,
    pub(crate) hint: String,
}

/// A label as it lies sealed in the blobs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Label {
    pub(crate) format: LabelFormat,
    pub(crate) blob_sha256: Vec<u8>,
    pub(crate) label_sha256: Vec<u8>,
    pub(crate) size_bytes: u32,
    pub(crate) own: bool,
    pub(crate) key_id: String,
    pub(crate) nonce: Vec<u8>,
}

/// A courier update, as it came and as it was understood.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct CourierUpdate {
    /// The AWB it is about, perhaps a dead one.
    pub(crate) awb: String,
    pub(crate) delivery_id: String,
    pub(crate) code: String,
    pub(crate) kind: String,
    pub(crate) raw_word: String,
    pub(crate) reading: Reading,
    pub(crate) occurred_at_ms: i64,
    pub(crate) learned_at_ms: i64,
    pub(crate) inbox_event_id: String,
    pub(crate) inbox_position: u64,
    pub(crate) body_hash: Vec<u8>,
    /// False for an end that the courier, asked back, did not confirm.
    pub(crate) confirmed: bool,
    pub(crate) exception_code: String,
    pub(crate) exception_reason: String,
    pub(crate) attempt: Option<u32>,
    pub(crate) cod_collected: Option<i64>,
    pub(crate) raw: Sealed,
    pub(crate) source: Source,
}

/// How an update reached us.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Source {
    Webhook,
    Poll,
    Manual,
}

impl Source {
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Webhook => "webhook",
            Self::Poll => "poll",
            Self::Manual => "manual",
        }
    }

    pub(crate) fn parse(name: &str) -> Option<Self> {
        [Self::Webhook, Self::Poll, Self::Manual].into_iter().find(|source| source.name() == name)
    }
}

/// What an update turned out to be when it was recorded.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Recorded {
    pub(crate) update: CourierUpdate,
    pub(crate) late: bool,
    pub(crate) duplicate: bool,
    /// It changed the tracking status.
    pub(crate) applied: bool,
    /// The tracking status after it.
    pub(crate) tracking: TrackingStatus,
    pub(crate) warning: String,
}

/// What shall follow a plan at once.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Then {
    AskCourier { request_hash: Vec<u8> },
    TakeTypedNumber(String),
}

#[derive(Clone, Debug)]
pub(crate) enum Command {
    Plan { plan: Box<Plan>, then: Then },
    RequestAwb { request_hash: Vec<u8> },
    RecordIssued { attempt: u32, awb: Awb, adopted: bool },
    RecordRefused { attempt: u32, problem: Problem },
    RecordUnknown { attempt: u32, reason: String },
    RecordLook { attempt: u32, look: u32 },
    AskAgain { attempt: u32, request_hash: Vec<u8> },
    RecordSurplus { surplus: Vec<String> },
    StoreLabel(Label),
    PrintLabel { format: LabelFormat },
    HandOver { at_ms: i64, manifest_id: String, tracking_number: Option<String> },
    RequestVoid { reason: String },
    RecordVoided,
    RecordVoidRefused(Problem),
    RecordTracking(Box<CourierUpdate>),
    RecordDispatched,
    RecordDispatchFailed { reason: String, detail: String },
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Event {
    Planned(Box<Plan>),
    AwbRequested { attempt: u32, reference: String, request_hash: Vec<u8> },
    AwbIssued { attempt: u32, awb: Awb, adopted: bool, order_id: String },
    AwbRefused { attempt: u32, problem: Problem },
    AwbUnknown { attempt: u32, reason: String },
    AwbLookedUp { attempt: u32, look: u32 },
    AwbSurplusFound { kept: String, surplus: Vec<String> },
    LabelStored(Label),
    LabelPrinted { copy: u32, format: LabelFormat },
    HandedOver(HandedOver),
    VoidRequested { reason: String },
    Voided { awb: String, reason: String, order_id: String },
    VoidRefused(Problem),
    TrackingRecorded { order_id: String, recorded: Box<Recorded> },
    CodCollected { order_id: String, due: i64, collected: i64, currency: String },
    Dispatched { order_id: String },
    DispatchFailed { order_id: String, reason: String, detail: String },
    Closed { order_id: String, tracking: TrackingStatus },
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct HandedOver {
    pub(crate) at_ms: i64,
    pub(crate) manifest_id: String,
    pub(crate) order_id: String,
    pub(crate) fulfillment_id: String,
    pub(crate) parcel_id: String,
    /// Told by the courier; nobody here had scanned it.
    pub(crate) by_courier: bool,
}

#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Refusal {
    #[error("there is no such shipment")]
    NotFound,
    #[error("the parcel goes by another courier account")]
    OtherAccount { account: String },
    #[error("the parcel has another AWB already")]
    OtherAwb { awb: String },
    #[error("the shipment is {status}")]
    WrongStatus { status: &'static str },
    #[error("the courier is being asked to void the AWB")]
    VoidPending,
    #[error("the label says another tracking number")]
    WrongLabel { expected: String },
    #[error("no label is stored")]
    NoLabel,
}

/// Where the AWB and the parcel are; the courier's axis is `tracking`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
enum Phase {
    #[default]
    New,
    Planned,
    Requested,
    Unknown {
        looks: u32,
    },
    Failed,
    Live,
    HandedOver,
    Voided,
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
enum Dispatch {
    #[default]
    Open,
    Booked,
    Refused,
}

/// By what an update is known as the same: AWB, kind, code, courier time.
type UpdateName = (String, String, String, i64);

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Shipment {
    plan: Plan,
    phase: Phase,
    attempt: u32,
    /// The first attempt since a person last asked.
    first_attempt: u32,
    reference: String,
    /// The AWB that is alive, or was when the story ended.
    awb: Option<Awb>,
    dead_awbs: u32,
    void_reason: Option<String>,
    labels: BTreeMap<LabelFormat, Label>,
    copies: u32,
    tracking: Tracking,
    seen: BTreeSet<UpdateName>,
    closed_with: Option<TrackingStatus>,
    cod_told: Option<i64>,
    dispatch: Dispatch,
}

impl Decider for Shipment {
    const CATEGORY: &'static str = "shipment";
    type Command = Command;
    type Event = Event;
    type Refusal = Refusal;

    fn decide(&self, command: &Command) -> Result<Vec<Event>, Refusal> {
        if self.phase == Phase::New && !matches!(command, Command::Plan { .. }) {
            return Err(Refusal::NotFound);
        }
        match command {
            Command::Plan { plan, then } => self.planned(plan, then),
            Command::RequestAwb { request_hash } => Ok(self.requested(request_hash)),
            Command::RecordIssued { attempt, awb, adopted } => {
                Ok(self.issued(*attempt, awb, *adopted))
            }
            Command::RecordRefused { attempt, problem } => Ok(self.refused(*attempt, problem)),
            Command::RecordUnknown { attempt, reason } => Ok(self.unknown(*attempt, reason)),
            Command::RecordLook { attempt, look } => Ok(self.looked(*attempt, *look)),
            Command::AskAgain { attempt, request_hash } => {
                Ok(self.asked_again(*attempt, request_hash))
            }
            Command::RecordSurplus { surplus } => Ok(self.surplus(surplus)),
            Command::StoreLabel(label) => Ok(self.label_stored(label)),
            Command::PrintLabel { format } => self.label_printed(*format),
            Command::HandOver { at_ms, manifest_id, tracking_number } => {
                self.handed_over(*at_ms, manifest_id, tracking_number.as_deref())
            }
            Command::RequestVoid { reason } => self.void_requested(reason),
            Command::RecordVoided => Ok(self.voided()),
            Command::RecordVoidRefused(problem) => Ok(self.void_refused(problem)),
            Command::RecordTracking(update) => Ok(self.tracked(update)),
            Command::RecordDispatched => Ok(self.dispatched()),
            Command::RecordDispatchFailed { reason, detail } => {
                Ok(self.dispatch_failed(reason, detail))
            }
        }
    }

    fn evolve(mut self, event: &Event) -> Self {
        match event {
            Event::Planned(plan) => {
                self.reference = plan.reference.clone();
                self.plan = (**plan).clone();
                self.phase = Phase::Planned;
            }
            Event::AwbRequested { attempt, reference, .. } => {
                if !matches!(self.phase, Phase::Unknown { .. }) {
                    self.first_attempt = *attempt;
                }
                self.bury_awb();
                self.attempt = *attempt;
                self.reference = reference.clone();
                self.phase = Phase::Requested;
            }
            Event::AwbIssued { awb, .. } => {
                self.awb = Some(awb.clone());
                self.phase = Phase::Live;
            }
            Event::AwbRefused { .. } => self.phase = Phase::Failed,
            Event::AwbUnknown { .. } => self.phase = Phase::Unknown { looks: 0 },
            Event::AwbLookedUp { look, .. } => self.phase = Phase::Unknown { looks: *look },
            Event::LabelStored(label) => {
                self.labels.insert(label.format, label.clone());
            }
            Event::LabelPrinted { copy, .. } => self.copies = *copy,
            Event::HandedOver(_) => self.phase = Phase::HandedOver,
            Event::VoidRequested { reason } => self.void_reason = Some(reason.clone()),
            Event::Voided { .. } => {
                self.void_reason = None;
                self.phase = Phase::Voided;
            }
            Event::VoidRefused(_) => self.void_reason = None,
            Event::TrackingRecorded { recorded, .. } => self.take_in(recorded),
            Event::CodCollected { collected, .. } => self.cod_told = Some(*collected),
            Event::Dispatched { .. } => self.dispatch = Dispatch::Booked,
            Event::DispatchFailed { .. } => self.dispatch = Dispatch::Refused,
            Event::Closed { tracking, .. } => self.closed_with = Some(*tracking),
            Event::AwbSurplusFound { .. } => {}
        }
        self
    }
}

impl Shipment {
    /// The plan, once there is one.
    pub(crate) fn plan(&self) -> Option<&Plan> {
        (self.phase != Phase::New).then_some(&self.plan)
    }

    /// The status in the words of the contract.
    pub(crate) fn status(&self) -> &'static str {
        match self.phase {
            Phase::New | Phase::Planned => "planned",
            Phase::Requested => "awb_requested",
            Phase::Unknown { .. } => "awb_unknown",
            Phase::Failed => "awb_failed",
            Phase::Voided => "voided",
            Phase::Live | Phase::HandedOver if self.has_ended() => "closed",
            Phase::Live => "awb_live",
            Phase::HandedOver => "handed_over",
        }
    }

    /// The attempt that waits for its first answer.
    pub(crate) fn asking(&self) -> Option<u32> {
        matches!(self.phase, Phase::Requested).then_some(self.attempt)
    }

    /// The attempt whose outcome is unknown, and how often it was looked up in vain.
    pub(crate) fn unknown_attempt(&self) -> Option<(u32, u32)> {
        match self.phase {
            Phase::Unknown { looks } => Some((self.attempt, looks)),
            Phase::New
            | Phase::Planned
            | Phase::Requested
            | Phase::Failed
            | Phase::Live
            | Phase::HandedOver
            | Phase::Voided => None,
        }
    }

    /// Attempts since a person last asked.
    pub(crate) const fn unanswered_attempts(&self) -> u32 {
        (self.attempt + 1).saturating_sub(self.first_attempt)
    }

    /// Our name for the parcel at the courier.
    pub(crate) fn reference(&self) -> &str {
        &self.reference
    }

    /// The AWB that is not voided.
    pub(crate) fn awb(&self) -> Option<&Awb> {
        match self.phase {
            Phase::Live | Phase::HandedOver => self.awb.as_ref(),
            Phase::New
            | Phase::Planned
            | Phase::Requested
            | Phase::Unknown { .. }
            | Phase::Failed
            | Phase::Voided => None,
        }
    }

    /// Why the AWB shall be voided, while the courier has not answered.
    pub(crate) fn void_reason(&self) -> Option<&str> {
        self.void_reason.as_deref()
    }

    pub(crate) fn label(&self, format: LabelFormat) -> Option<&Label> {
        self.labels.get(&format)
    }

    pub(crate) const fn is_handed_over(&self) -> bool {
        matches!(self.phase, Phase::HandedOver)
    }

    /// The books of the warehouse say whether it left.
    pub(crate) fn is_dispatch_open(&self) -> bool {
        self.dispatch == Dispatch::Open
    }

    /// The courier's axis; `None` without an AWB.
    pub(crate) fn tracking_status(&self) -> Option<TrackingStatus> {
        self.awb()?;
        Some(self.tracking.outcome().status.unwrap_or(TrackingStatus::LabelCreated))
    }

    fn has_ended(&self) -> bool {
        self.tracking.outcome().status.is_some_and(TrackingStatus::is_terminal)
    }

    /// The AWB was called off by the courier before it had the parcel.
    fn is_called_off(&self) -> bool {
        let outcome = self.tracking.outcome();
        self.phase == Phase::Live
            && outcome.status == Some(TrackingStatus::Cancelled)
            && !outcome.with_courier
    }

    /// No AWB is alive and none can be on its way.
    fn is_without_awb(&self) -> bool {
        matches!(self.phase, Phase::Planned | Phase::Failed | Phase::Voided) || self.is_called_off()
    }

    /// Forgets what belongs to an AWB that is dead.
    fn bury_awb(&mut self) {
        if self.awb.take().is_some() {
            self.dead_awbs += 1;
            self.labels.clear();
            self.tracking = Tracking::default();
            self.closed_with = None;
            self.cod_told = None;
        }
    }

    fn take_in(&mut self, recorded: &Recorded) {
        let update = &recorded.update;
        self.seen.insert(update.name());
        if self.counts(update) {
            self.tracking.take_in(update.for_fold());
            if !self.has_ended() {
                self.closed_with = None;
            }
        }
    }

    /// Only confirmed updates of the AWB that is alive move anything.
    fn counts(&self, update: &CourierUpdate) -> bool {
        update.confirmed && self.awb().is_some_and(|awb| awb.awb == update.awb)
    }
}

impl CourierUpdate {
    fn name(&self) -> UpdateName {
        (self.awb.clone(), self.kind.clone(), self.code.clone(), self.occurred_at_ms)
    }

    fn for_fold(&self) -> Update {
        Update {
            occurred_at_ms: self.occurred_at_ms,
            reading: self.reading,
            body_hash: self.body_hash.clone(),
            attempt: self.attempt,
            cod_collected: self.cod_collected,
        }
    }
}
