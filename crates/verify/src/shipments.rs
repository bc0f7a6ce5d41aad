//! Shipments: one AWB at a time, handed over only with a live one, and what the courier ended stays
//! ended.

use std::collections::{HashMap, HashSet};

use nexus_proto::shipping::v1::{
    ShipmentAwbIssued, ShipmentAwbLookedUp, ShipmentAwbRefused, ShipmentAwbRequested,
    ShipmentAwbUnknown, ShipmentLabelPrinted, ShipmentLabelStored, ShipmentPlanned,
    ShipmentTrackingRecorded, ShipmentVoided,
};

use crate::facts::{Fact, Place};
use crate::report::{Invariant, Report};

/// Where the AWB is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Phase {
    New,
    Planned,
    Requested,
    Unknown,
    Refused,
    Live,
    HandedOver,
    Voided,
}

pub(crate) struct Shipment {
    pub(crate) place: Place,
    pub(crate) order_id: String,
    pub(crate) phase: Phase,
    attempt: u32,
    awb: String,
    void_asked: bool,
    labels: HashSet<String>,
    tracking: String,
    /// The courier's time of the newest update that counts.
    newest_ms: i64,
}

#[derive(Default)]
pub(crate) struct Shipments {
    pub(crate) all: HashMap<String, Shipment>,
}

impl Shipments {
    pub(crate) fn hear(&mut self, fact: &Fact<'_>, report: &mut Report) {
        if !fact.kind().starts_with("shipment.") {
            return;
        }
        let known =
            self.all.entry(fact.of().to_owned()).or_insert_with(|| Shipment::new(fact.place));
        known.place = fact.place.clone();
        report.count(Invariant::I12);
        let before = known.phase;
        match known.step(fact, report) {
            Some(next) => known.phase = next,
            None => {
                let what = format!("{} cannot follow while the AWB is {before:?}", fact.kind());
                report.violated(Invariant::I12, fact.place, what);
            }
        }
    }
}

/// What may still follow an end of the courier's.
fn is_correction(from: &str, to: &str) -> bool {
    matches!((from, to), ("delivered", "returning" | "lost") | ("cancelled", "returning"))
}

fn is_end(status: &str) -> bool {
    matches!(status, "delivered" | "returned" | "lost" | "damaged" | "cancelled")
}

impl Shipment {
    fn new(place: &Place) -> Self {
        Self {
            place: place.clone(),
            order_id: String::new(),
            phase: Phase::New,
            attempt: 0,
            awb: String::new(),
            void_asked: false,
            labels: HashSet::new(),
            tracking: String::new(),
            newest_ms: i64::MIN,
        }
    }

    /// True when the courier may hold the parcel's AWB.
    pub(crate) fn may_live(&self) -> bool {
        use Phase::{HandedOver, Live, New, Planned, Refused, Requested, Unknown, Voided};
        match self.phase {
            Live => self.tracking != "cancelled",
            Requested | Unknown | HandedOver => true,
            New | Planned | Refused | Voided => false,
        }
    }

    /// Where the event leads; `None` when it cannot happen here.
    fn step(&mut self, fact: &Fact<'_>, report: &mut Report) -> Option<Phase> {
        use Phase::{HandedOver, Live, New, Planned, Refused, Requested, Unknown, Voided};
        let called_off = self.phase == Live && self.tracking == "cancelled";
        let idle = matches!(self.phase, Planned | Refused | Voided) || called_off;
        match (fact.kind(), self.phase) {
            ("shipment.Planned", phase) if phase == New || idle => {
                self.order_id = fact.read::<ShipmentPlanned>(report)?.order_id;
                Some(if called_off { phase } else { Planned })
            }
            ("shipment.AwbRequested", phase) if idle || phase == Unknown => {
                let requested: ShipmentAwbRequested = fact.read(report)?;
                let next = self.attempt.checked_add(1) == Some(requested.attempt);
                self.forget_awb();
                self.attempt = requested.attempt;
                next.then_some(Requested)
            }
            ("shipment.AwbIssued", Requested | Unknown | Refused) => {
                let issued: ShipmentAwbIssued = fact.read(report)?;
                self.awb = issued.awb;
                (issued.attempt == self.attempt && !self.awb.is_empty()).then_some(Live)
            }
            ("shipment.AwbRefused", Requested | Unknown) => {
                let refused: ShipmentAwbRefused = fact.read(report)?;
                (refused.attempt == self.attempt).then_some(Refused)
            }
            ("shipment.AwbUnknown", Requested) => {
                let unknown: ShipmentAwbUnknown = fact.read(report)?;
                (unknown.attempt == self.attempt).then_some(Unknown)
            }
            ("shipment.AwbLookedUp", Unknown) => {
                let looked: ShipmentAwbLookedUp = fact.read(report)?;
                (looked.attempt == self.attempt).then_some(Unknown)
            }
            ("shipment.HandedOver", Live) => Some(HandedOver),
            ("shipment.VoidRequested", Live) => {
                self.void_asked = true;
                Some(Live)
            }
            ("shipment.VoidRefused", phase @ (Live | HandedOver)) => {
                std::mem::take(&mut self.void_asked).then_some(phase)
            }
            ("shipment.Voided", Live) => {
                let voided: ShipmentVoided = fact.read(report)?;
                (std::mem::take(&mut self.void_asked) && voided.awb == self.awb).then_some(Voided)
            }
            ("shipment.AwbSurplusFound", phase @ (Live | HandedOver)) => Some(phase),
            ("shipment.LabelStored", phase @ (Live | HandedOver)) => {
                self.labels.insert(fact.read::<ShipmentLabelStored>(report)?.format);
                Some(phase)
            }
            ("shipment.LabelPrinted", phase @ (Live | HandedOver)) => {
                let printed: ShipmentLabelPrinted = fact.read(report)?;
                self.labels.contains(&printed.format).then_some(phase)
            }
            ("shipment.TrackingRecorded", phase) if phase != New => {
                let recorded: ShipmentTrackingRecorded = fact.read(report)?;
                self.track(&recorded, fact.place, report);
                Some(phase)
            }
            ("shipment.Dispatched" | "shipment.DispatchFailed", HandedOver) => Some(HandedOver),
            ("shipment.Closed", phase @ (Live | HandedOver)) if is_end(&self.tracking) => {
                Some(phase)
            }
            ("shipment.CodCollected", phase @ (Live | HandedOver)) => Some(phase),
            ("shipment.TrackingUnconfirmed", phase) if phase != New => Some(phase),
            _ => None,
        }
    }

    fn forget_awb(&mut self) {
        self.awb.clear();
        self.labels.clear();
        self.tracking.clear();
        self.newest_ms = i64::MIN;
    }

    /// Follows the courier's axis. An update that is older than another one by the courier's clock
    /// is filed where it belongs and may change what came out; only a newer one is judged here.
    fn track(&mut self, told: &ShipmentTrackingRecorded, place: &Place, report: &mut Report) {
        let live = matches!(self.phase, Phase::Live | Phase::HandedOver) && told.awb == self.awb;
        let counts = told.confirmed && live;
        let (before, after) = (self.tracking.clone(), told.tracking_status.clone());
        report.count(Invariant::I13);
        let newer = told.occurred_at_ms > self.newest_ms;
        if !counts && live && !before.is_empty() && before != after {
            let what = format!("an update that does not count moves it from {before} to {after}");
            report.violated(Invariant::I13, place, what);
        }
        if !counts {
            return;
        }
        if newer && is_end(&before) && before != after && !is_correction(&before, &after) {
            let what = format!("the courier had ended it as {before}, now it is {after}");
            report.violated(Invariant::I13, place, what);
        } else if newer && is_end(&before) && before != after && told.warning.is_empty() {
            let what = format!("it was {before} and is {after} now, and nobody is warned");
            report.violated(Invariant::I13, place, what);
        }
        self.newest_ms = self.newest_ms.max(told.occurred_at_ms);
        self.tracking = after;
    }
}
