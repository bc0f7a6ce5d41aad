//! What a courier's updates add up to: one tracking status, whatever order they came in.
//! *Invariant:* the outcome is a function of the set of updates alone: folded by courier time, rank
//! and body, the latest wins, and what ended goes on only by the listed corrections.

use std::collections::BTreeMap;

/// Where a parcel is, in words that all couriers share.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum TrackingStatus {
    LabelCreated,
    PickedUp,
    InTransit,
    OutForDelivery,
    DeliveryFailed,
    Delivered,
    Returning,
    Returned,
    Lost,
    Damaged,
    Cancelled,
    OnHold,
    Unrecognised,
}

use TrackingStatus::{
    Cancelled, Damaged, Delivered, DeliveryFailed, InTransit, LabelCreated, Lost, OnHold,
    OutForDelivery, PickedUp, Returned, Returning, Unrecognised,
};

impl TrackingStatus {
    pub(crate) const ALL: [Self; 13] = [
        LabelCreated,
        PickedUp,
        InTransit,
        OutForDelivery,
        DeliveryFailed,
        Delivered,
        Returning,
        Returned,
        Lost,
        Damaged,
        Cancelled,
        OnHold,
        Unrecognised,
    ];

    pub(crate) const fn name(self) -> &'static str {
        match self {
            LabelCreated => "label_created",
            PickedUp => "picked_up",
            InTransit => "in_transit",
            OutForDelivery => "out_for_delivery",
            DeliveryFailed => "delivery_failed",
            Delivered => "delivered",
            Returning => "returning",
            Returned => "returned",
            Lost => "lost",
            Damaged => "damaged",
            Cancelled => "cancelled",
            OnHold => "on_hold",
            Unrecognised => "unrecognised",
        }
    }

    pub(crate) fn parse(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|status| status.name() == name)
    }

    /// The parcel's story ends here, unless a correction follows.
    pub(crate) const fn is_terminal(self) -> bool {
        matches!(self, Delivered | Returned | Lost | Damaged | Cancelled)
    }

    /// The courier has, or had, the parcel.
    const fn is_with_courier(self) -> bool {
        matches!(
            self,
            PickedUp
                | InTransit
                | OutForDelivery
                | DeliveryFailed
                | Delivered
                | Returning
                | Returned
                | Lost
                | Damaged
        )
    }

    /// Which of two updates of the same moment counts as the later one.
    const fn rank(self) -> u8 {
        match self {
            Unrecognised => 0,
            LabelCreated => 1,
            PickedUp => 3,
            InTransit => 4,
            OutForDelivery | DeliveryFailed | OnHold => 5,
            Returning => 7,
            Damaged => 8,
            Delivered | Returned | Lost | Cancelled => 9,
        }
    }
}

/// What an update means; for some it depends on what came before.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Reading {
    /// This status, whatever came before.
    Plain(TrackingStatus),
    /// Nothing changes, for example an archived delivery.
    NoChange,
    /// Fetched from the customer: from here on it travels to the merchant.
    Collected,
    /// At the customer's door for an exchange.
    AtCustomer,
    /// On the road: to the merchant if it was collected from the customer.
    InTransitUnlessCollected,
    /// On the last leg: to the merchant if the customer was visited.
    OutForDeliveryUnlessVisited,
    /// Called off; if the courier already had the parcel, it is on its way back.
    CancelledUnlessPickedUp,
}

impl Reading {
    /// How the event names it; a plain one is named by its status alone.
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Plain(_) => "",
            Self::NoChange => "NO_CHANGE",
            Self::Collected => "COLLECTED",
            Self::AtCustomer => "AT_CUSTOMER",
            Self::InTransitUnlessCollected => "IN_TRANSIT_UNLESS_COLLECTED",
            Self::OutForDeliveryUnlessVisited => "OUT_FOR_DELIVERY_UNLESS_VISITED",
            Self::CancelledUnlessPickedUp => "CANCELLED_UNLESS_PICKED_UP",
        }
    }

    pub(crate) fn parse(name: &str, status: TrackingStatus) -> Option<Self> {
        let all = [
            Self::Plain(status),
            Self::NoChange,
            Self::Collected,
            Self::AtCustomer,
            Self::InTransitUnlessCollected,
            Self::OutForDeliveryUnlessVisited,
            Self::CancelledUnlessPickedUp,
        ];
        all.into_iter().find(|reading| reading.name() == name)
    }

    /// The status it has on its own.
    pub(crate) const fn status(self) -> Option<TrackingStatus> {
        match self {
            Self::Plain(status) => Some(status),
            Self::NoChange => None,
            Self::Collected => Some(Returning),
            Self::AtCustomer | Self::OutForDeliveryUnlessVisited => Some(OutForDelivery),
            Self::InTransitUnlessCollected => Some(InTransit),
            Self::CancelledUnlessPickedUp => Some(Cancelled),
        }
    }

    const fn rank(self) -> u8 {
        match self.status() {
            Some(status) => status.rank(),
            None => 0,
        }
    }

    /// It shows by itself that the courier has the parcel.
    const fn shows_pickup(self) -> bool {
        match self {
            Self::Plain(status) => status.is_with_courier(),
            Self::Collected
            | Self::AtCustomer
            | Self::InTransitUnlessCollected
            | Self::OutForDeliveryUnlessVisited => true,
            Self::NoChange | Self::CancelledUnlessPickedUp => false,
        }
    }
}

/// The place of an update among all of its shipment.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Key {
    occurred_at_ms: i64,
    rank: u8,
    body_hash: Vec<u8>,
}

/// What the fold needs of an update.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Update {
    pub(crate) occurred_at_ms: i64,
    pub(crate) reading: Reading,
    pub(crate) body_hash: Vec<u8>,
    pub(crate) attempt: Option<u32>,
    pub(crate) cod_collected: Option<i64>,
}

impl Update {
    fn key(&self) -> Key {
        Key {
            occurred_at_ms: self.occurred_at_ms,
            rank: self.reading.rank(),
            body_hash: self.body_hash.clone(),
        }
    }
}

/// All updates of one AWB that count.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Tracking(BTreeMap<Key, Update>);

/// What they add up to.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Outcome {
    /// `None` before the first update that says anything.
    pub(crate) status: Option<TrackingStatus>,
    /// The courier has the parcel, or had it.
    pub(crate) with_courier: bool,
    /// Failed attempts.
    pub(crate) attempts: u32,
    /// Cash that the courier took.
    pub(crate) cod_collected: Option<i64>,
    /// The correction that the update at the given key made use of.
    corrections: BTreeMap<Key, Correction>,
    visited: bool,
    collected: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Correction {
    ReturningAfterDelivered,
    LostAfterDelivered,
    ReturningAfterCancelled,
}

impl Correction {
    const fn name(self) -> &'static str {
        match self {
            Self::ReturningAfterDelivered => "RETURNING_AFTER_DELIVERED",
            Self::LostAfterDelivered => "LOST_AFTER_DELIVERED",
            Self::ReturningAfterCancelled => "RETURNING_AFTER_CANCELLED",
        }
    }

    /// What may still follow an end.
    const fn of(from: TrackingStatus, to: TrackingStatus) -> Option<Self> {
        match (from, to) {
            (Delivered, Returning) => Some(Self::ReturningAfterDelivered),
            (Delivered, Lost) => Some(Self::LostAfterDelivered),
            (Cancelled, Returning) => Some(Self::ReturningAfterCancelled),
            _ => None,
        }
    }
}

impl Tracking {
    /// Takes an update in; one with the same moment, rank and body is the same update.
    pub(crate) fn take_in(&mut self, update: Update) {
        self.0.insert(update.key(), update);
    }

    /// True when something newer is known.
    pub(crate) fn is_late(&self, update: &Update) -> bool {
        self.0.last_key_value().is_some_and(|(newest, _)| *newest > update.key())
    }

    /// What all updates add up to.
    pub(crate) fn outcome(&self) -> Outcome {
        self.0.iter().fold(Outcome::default(), |outcome, (key, update)| outcome.after(key, update))
    }

    /// The rule that `update` bends, empty when it bends none.
    pub(crate) fn warning(&self, update: &Update) -> &'static str {
        self.outcome().corrections.get(&update.key()).map_or("", |correction| correction.name())
    }
}

impl Outcome {
    fn after(mut self, key: &Key, update: &Update) -> Self {
        self.with_courier |= update.reading.shows_pickup();
        self.attempts = self.attempts.max(update.attempt.unwrap_or_default());
        if update.cod_collected.is_some() {
            self.cod_collected = update.cod_collected;
        }
        let Some(status) = self.resolve(update.reading) else { return self };
        if matches!(update.reading, Reading::Collected) {
            self.collected = true;
        }
        self.visited |=
            self.collected || matches!(update.reading, Reading::AtCustomer) || status == Delivered;
        let ended = self.status.filter(|status| status.is_terminal());
        match ended {
            Some(end) if end != status => {
                if let Some(correction) = Correction::of(end, status) {
                    self.corrections.insert(key.clone(), correction);
                    self.status = Some(status);
                }
            }
            Some(_) => {}
            None => self.status = Some(status),
        }
        self
    }

    /// The status of `reading` after what came before it.
    fn resolve(&self, reading: Reading) -> Option<TrackingStatus> {
        let status = reading.status().filter(|status| *status != Unrecognised)?;
        let turned = match reading {
            Reading::InTransitUnlessCollected => self.collected,
            Reading::OutForDeliveryUnlessVisited => self.visited,
            Reading::CancelledUnlessPickedUp => self.with_courier,
            Reading::Plain(_) | Reading::NoChange | Reading::Collected | Reading::AtCustomer => {
                false
            }
        };
        Some(if turned { Returning } else { status })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn update(at: i64, reading: Reading) -> Update {
        Update {
            occurred_at_ms: at,
            reading,
            body_hash: format!("{at} {reading:?}").into_bytes(),
            attempt: None,
            cod_collected: None,
        }
    }

    fn status_of(updates: &[Update]) -> Option<TrackingStatus> {
        let mut tracking = Tracking::default();
        updates.iter().cloned().for_each(|update| tracking.take_in(update));
        tracking.outcome().status
    }

    #[test]
    fn the_latest_by_the_couriers_clock_wins_not_the_last_to_arrive() {
        let late = update(1, Reading::Plain(PickedUp));
        let newest = update(2, Reading::Plain(OutForDelivery));
        assert_eq!(status_of(&[newest.clone(), late.clone()]), Some(OutForDelivery));
        let mut tracking = Tracking::default();
        tracking.take_in(newest);
        assert!(tracking.is_late(&late));
    }

    #[test]
    fn after_an_end_only_the_listed_corrections_apply() {
        for (first, then, outcome) in [
            (Delivered, Returning, Returning),
            (Delivered, Lost, Lost),
            (Cancelled, Returning, Returning),
            (Delivered, InTransit, Delivered),
            (Returned, Delivered, Returned),
            (Lost, Delivered, Lost),
            (Cancelled, PickedUp, Cancelled),
        ] {
            let updates = [update(1, Reading::Plain(first)), update(2, Reading::Plain(then))];
            assert_eq!(status_of(&updates), Some(outcome), "{first:?} then {then:?}");
        }
    }

    #[test]
    fn a_correction_is_named_so_that_somebody_looks_at_it() {
        let mut tracking = Tracking::default();
        tracking.take_in(update(1, Reading::Plain(Delivered)));
        let lost = update(2, Reading::Plain(Lost));
        tracking.take_in(lost.clone());
        assert_eq!(tracking.warning(&lost), "LOST_AFTER_DELIVERED");
    }

    #[test]
    fn an_unrecognised_update_and_an_archived_one_change_nothing() {
        let seen = update(1, Reading::Plain(InTransit));
        let odd = update(2, Reading::Plain(Unrecognised));
        let archived = update(3, Reading::NoChange);
        assert_eq!(status_of(&[seen, odd, archived]), Some(InTransit));
    }

    #[test]
    fn what_is_called_off_after_pickup_is_on_its_way_back() {
        let cancelled = update(2, Reading::CancelledUnlessPickedUp);
        assert_eq!(status_of(std::slice::from_ref(&cancelled)), Some(Cancelled));
        assert_eq!(status_of(&[update(1, Reading::Plain(PickedUp)), cancelled]), Some(Returning));
    }

    #[test]
    fn after_collecting_from_the_customer_the_road_leads_back() {
        let road = update(2, Reading::InTransitUnlessCollected);
        let last_leg = update(3, Reading::OutForDeliveryUnlessVisited);
        assert_eq!(status_of(std::slice::from_ref(&road)), Some(InTransit));
        assert_eq!(status_of(&[update(1, Reading::Collected), road]), Some(Returning));
        assert_eq!(status_of(&[update(1, Reading::AtCustomer), last_leg]), Some(Returning));
    }

    #[test]
    fn every_status_and_reading_reads_back_by_its_name() {
        for status in TrackingStatus::ALL {
            assert_eq!(TrackingStatus::parse(status.name()), Some(status));
            assert_eq!(Reading::parse("", status), Some(Reading::Plain(status)));
        }
        assert_eq!(Reading::parse("COLLECTED", Returning), Some(Reading::Collected));
        assert_eq!(Reading::parse("SOMETHING", Returning), None);
    }
}
