//! What the courier's updates and the warehouse's books do to a shipment.

use super::{CourierUpdate, Dispatch, Event, Phase, Recorded, Shipment};
use crate::domain::tracking::TrackingStatus;

impl Shipment {
    /// Every update is kept, repeats too; what follows from it depends on all that are known.
    pub(super) fn tracked(&self, update: &CourierUpdate) -> Vec<Event> {
        let counts = self.counts(update);
        let mut tracking = self.tracking.clone();
        let late = counts && tracking.is_late(&update.for_fold());
        if counts {
            tracking.take_in(update.for_fold());
        }
        let before = self.tracking.outcome().status.unwrap_or(TrackingStatus::LabelCreated);
        let outcome = tracking.outcome();
        let after = outcome.status.unwrap_or(TrackingStatus::LabelCreated);
        let warning = match (counts, update.confirmed) {
            (true, _) => tracking.warning(&update.for_fold()),
            (false, false) => "UNCONFIRMED",
            (false, true) => "NOT_THE_LIVE_AWB",
        };
        let recorded = Recorded {
            update: update.clone(),
            late,
            duplicate: self.seen.contains(&update.name()),
            applied: before != after,
            tracking: after,
            warning: warning.to_owned(),
        };
        let order_id = || self.plan.order_id.clone();
        let mut events =
            vec![Event::TrackingRecorded { order_id: order_id(), recorded: Box::new(recorded) }];
        if !counts {
            return events;
        }
        if self.phase == Phase::Live && outcome.with_courier {
            events.push(Event::HandedOver(self.hand_over(update.learned_at_ms, "", true)));
        }
        if let Some(collected) = outcome.cod_collected
            && self.cod_told != Some(collected)
        {
            events.push(Event::CodCollected {
                order_id: order_id(),
                due: self.plan.cod,
                collected,
                currency: self.plan.currency.clone(),
            });
        }
        if after.is_terminal() && self.closed_with != Some(after) {
            events.push(Event::Closed { order_id: order_id(), tracking: after });
        }
        events
    }

    pub(super) fn dispatched(&self) -> Vec<Event> {
        if self.dispatch == Dispatch::Booked {
            return vec![];
        }
        vec![Event::Dispatched { order_id: self.plan.order_id.clone() }]
    }

    pub(super) fn dispatch_failed(&self, reason: &str, detail: &str) -> Vec<Event> {
        if !self.is_dispatch_open() {
            return vec![];
        }
        vec![Event::DispatchFailed {
            order_id: self.plan.order_id.clone(),
            reason: reason.to_owned(),
            detail: detail.to_owned(),
        }]
    }
}
