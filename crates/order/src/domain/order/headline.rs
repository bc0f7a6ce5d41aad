//! The headline: what a user reads about an order, computed from its parts each time.
//! *Invariant:* a pure function; precedence as in docs: cancelled, exception, on hold, then the
//! least advanced live part. A confirmed order of which nothing is left is an exception: it waits
//! for a person, not for goods.

use super::parts::{Exception, Kind, Part, Parts, Stage};

/// The words a user knows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Headline {
    Pending,
    At(Stage),
    OnHold,
    Exception,
    Cancelled,
}

impl Headline {
    pub(crate) fn word(self) -> &'static str {
        match self {
            Self::Pending => "pending",
            Self::At(stage) => stage.word(),
            Self::OnHold => "on_hold",
            Self::Exception => "exception",
            Self::Cancelled => "cancelled",
        }
    }

    /// True for the words that the outer contract lists.
    pub(crate) fn is_word(word: &str) -> bool {
        matches!(word, "pending" | "on_hold" | "exception") || Stage::parse(word).is_some()
    }
}

/// All that the headline depends on.
pub(crate) struct Standing<'a> {
    pub(crate) confirmed: bool,
    pub(crate) cancelled: bool,
    /// Somebody asked to cancel: its parts are withdrawn for that.
    pub(crate) cancelling: bool,
    pub(crate) on_hold: bool,
    /// The warehouses that serve the order.
    pub(crate) warehouses: Vec<&'a str>,
    pub(crate) parts: &'a Parts,
}

impl<'a> Standing<'a> {
    pub(crate) fn headline(&self) -> Headline {
        if self.cancelled || (self.cancelling && self.is_withdrawn()) {
            return Headline::Cancelled;
        }
        if !self.exceptions().is_empty() {
            return Headline::Exception;
        }
        if self.on_hold {
            return Headline::OnHold;
        }
        self.least()
    }

    /// Everything that is wrong now, by part.
    pub(crate) fn exceptions(&self) -> Vec<(&'a str, Exception)> {
        let mut wrong = self.parts.exceptions();
        if !self.cancelled && !self.cancelling && self.is_withdrawn() {
            let withdrawn = self.parts.of_kind(Kind::Fulfillment).map(|(id, part)| {
                let reason = "NOTHING_PICKED".to_owned();
                (id, Exception { reason, since_ms: part.since_ms() })
            });
            wrong.extend(withdrawn);
        }
        wrong
    }

    /// The headline without exceptions and holds: how far the order is.
    pub(crate) fn least(&self) -> Headline {
        if !self.confirmed {
            return Headline::Pending;
        }
        let least = self.live().into_iter().map(|(stage, _)| stage).min();
        // An order of services only has no part: nothing of it is ever picked.
        Headline::At(least.unwrap_or(Stage::Confirmed))
    }

    /// `2 of 3 delivered`, when several parts differ: how many are furthest.
    pub(crate) fn progress(&self) -> Option<String> {
        let live = self.live();
        let furthest = live.iter().map(|(stage, _)| *stage).max()?;
        let there = live.iter().filter(|(stage, _)| *stage == furthest).count();
        let all = live.len();
        (there < all).then(|| format!("{there} of {all} {}", furthest.word()))
    }

    /// The courier's word about the least advanced parcel.
    pub(crate) fn tracking_status(&self) -> Option<String> {
        let live = self.live().into_iter().filter_map(|(stage, part)| Some((stage, part?)));
        let known = live.filter(|(_, part)| !part.tracking_status().is_empty());
        let least = known.min_by_key(|(stage, _)| *stage);
        let any = || {
            let shipments = self.parts.of_kind(Kind::Shipment).map(|(_, part)| part);
            shipments
                .filter(|part| !part.is_cancelled())
                .find(|part| !part.tracking_status().is_empty())
        };
        let part: Option<&Part> = least.map(|(_, part)| part).or_else(any);
        part.map(|part| part.tracking_status().to_owned())
    }

    /// How the order ended, when nothing of it is on its way any more.
    pub(crate) fn outcome(&self) -> Option<&'static str> {
        let live = self.live();
        let ended = |stage: Stage| matches!(stage, Stage::Delivered | Stage::Returned);
        if live.is_empty() || !live.iter().all(|(stage, _)| ended(*stage)) {
            return None;
        }
        let delivered = live.iter().any(|(stage, _)| *stage == Stage::Delivered);
        Some(if delivered { "delivered" } else { "returned" })
    }

    fn live(&self) -> Vec<(Stage, Option<&Part>)> {
        if !self.confirmed {
            return Vec::new();
        }
        self.parts.live(self.warehouses.iter().copied())
    }

    /// All of its fulfilments ended without goods.
    fn is_withdrawn(&self) -> bool {
        let mut fulfillments = self.parts.of_kind(Kind::Fulfillment);
        self.confirmed && fulfillments.next().is_some() && self.live().is_empty()
    }
}
