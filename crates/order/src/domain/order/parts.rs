//! What the parts of an order, its fulfilments and shipments, report about themselves.
//! *Invariant:* confluence: whatever order facts come in, and how often, the same facts leave the
//! same parts. Each fact carries its place among the facts of its part, and the newest wins.

use std::collections::BTreeMap;

/// How far a part is. The order of the variants is the order of progress.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Stage {
    Confirmed,
    Processing,
    Picked,
    Packed,
    Shipped,
    Delivered,
    Returning,
    Returned,
    Cancelled,
}

impl Stage {
    pub(crate) fn word(self) -> &'static str {
        match self {
            Self::Confirmed => "confirmed",
            Self::Processing => "processing",
            Self::Picked => "picked",
            Self::Packed => "packed",
            Self::Shipped => "shipped",
            Self::Delivered => "delivered",
            Self::Returning => "returning",
            Self::Returned => "returned",
            Self::Cancelled => "cancelled",
        }
    }

    pub(crate) fn parse(word: &str) -> Option<Self> {
        Some(match word {
            "confirmed" => Self::Confirmed,
            "processing" => Self::Processing,
            "picked" => Self::Picked,
            "packed" => Self::Packed,
            "shipped" => Self::Shipped,
            "delivered" => Self::Delivered,
            "returning" => Self::Returning,
            "returned" => Self::Returned,
            "cancelled" => Self::Cancelled,
            _ => return None,
        })
    }
}

/// What sort of part it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Fulfillment,
    Shipment,
    /// A reservation that the ledger could not keep; it has only exceptions.
    Promise,
}

impl Kind {
    pub(crate) fn word(self) -> &'static str {
        match self {
            Self::Fulfillment => "fulfillment",
            Self::Shipment => "shipment",
            Self::Promise => "promise",
        }
    }

    pub(crate) fn parse(word: &str) -> Option<Self> {
        Some(match word {
            "fulfillment" => Self::Fulfillment,
            "shipment" => Self::Shipment,
            "promise" => Self::Promise,
            _ => return None,
        })
    }
}

/// What a fact says about progress.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Report {
    /// Only the courier's axis moved.
    Nothing,
    /// The part is here; an exception before it is over.
    Reached(Stage),
    /// Something went wrong; stable reason, UPPER_SNAKE.
    Exception(String),
}

/// A fact of another service about one part.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Fact {
    pub(crate) part_id: String,
    pub(crate) kind: Kind,
    /// The fulfilment a shipment belongs to.
    pub(crate) parent: String,
    pub(crate) warehouse: String,
    pub(crate) units: u32,
    /// Parcels of a packed fulfilment.
    pub(crate) parcels: u32,
    /// Place among the facts of the part, growing.
    pub(crate) sequence: u64,
    pub(crate) report: Report,
    /// The courier's axis; empty: unchanged.
    pub(crate) tracking_status: String,
    /// The courier's number; empty: unchanged.
    pub(crate) tracking_number: String,
    /// The event that says so, and its type.
    pub(crate) cause: Vec<u8>,
    pub(crate) cause_type: String,
    pub(crate) happened_at_ms: i64,
}

/// A value and the fact that said it last.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Newest<T>(u64, T);

impl<T> Newest<T> {
    fn hear(&mut self, sequence: u64, value: T) {
        if sequence > self.0 {
            *self = Self(sequence, value);
        }
    }
}

/// One exception of a part.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Exception {
    pub(crate) reason: String,
    pub(crate) since_ms: i64,
}

/// What is known of one part.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Part {
    pub(crate) kind: Kind,
    pub(crate) parent: String,
    pub(crate) warehouse: String,
    pub(crate) units: u32,
    parcels: Newest<u32>,
    stage: Newest<Option<Stage>>,
    since_ms: Newest<i64>,
    exception: Newest<Exception>,
    tracking_status: Newest<String>,
    tracking_number: Newest<String>,
    /// It left the house once; nothing takes that back.
    left: bool,
}

impl Part {
    fn new(kind: Kind) -> Self {
        Self {
            kind,
            parent: String::new(),
            warehouse: String::new(),
            units: 0,
            parcels: Newest::default(),
            stage: Newest::default(),
            since_ms: Newest::default(),
            exception: Newest::default(),
            tracking_status: Newest::default(),
            tracking_number: Newest::default(),
            left: false,
        }
    }

    fn hear(&mut self, fact: &Fact) {
        if !fact.parent.is_empty() {
            self.parent.clone_from(&fact.parent);
        }
        if !fact.warehouse.is_empty() {
            self.warehouse.clone_from(&fact.warehouse);
        }
        self.units = self.units.max(fact.units);
        if fact.parcels > 0 {
            self.parcels.hear(fact.sequence, fact.parcels);
        }
        match &fact.report {
            Report::Nothing => {}
            Report::Reached(stage) => {
                self.stage.hear(fact.sequence, Some(*stage));
                self.since_ms.hear(fact.sequence, fact.happened_at_ms);
                self.left |= (Stage::Shipped..=Stage::Returned).contains(stage);
            }
            Report::Exception(reason) => {
                let exception = Exception { reason: reason.clone(), since_ms: fact.happened_at_ms };
                self.exception.hear(fact.sequence, exception);
            }
        }
        if !fact.tracking_status.is_empty() {
            self.tracking_status.hear(fact.sequence, fact.tracking_status.clone());
        }
        if !fact.tracking_number.is_empty() {
            self.tracking_number.hear(fact.sequence, fact.tracking_number.clone());
        }
    }

    /// How far it is. A shipment whose planning was not heard of yet lies packed.
    pub(crate) fn stage(&self) -> Stage {
        let first = match self.kind {
            Kind::Shipment if self.left => Stage::Shipped,
            Kind::Shipment => Stage::Packed,
            Kind::Fulfillment | Kind::Promise => Stage::Confirmed,
        };
        match self.stage.1 {
            // What left the house is not in the house again because a label was renewed.
            Some(stage) if self.left && stage < Stage::Shipped => Stage::Shipped,
            Some(Stage::Cancelled) if self.left => Stage::Shipped,
            Some(stage) => stage,
            None => first,
        }
    }

    /// What is wrong with it now.
    pub(crate) fn exception(&self) -> Option<Exception> {
        if self.exception.0 > self.stage.0 {
            return Some(self.exception.1.clone());
        }
        // The courier gave up a parcel that it has: somebody must ask where it is.
        let lost = self.left && self.stage.1 == Some(Stage::Cancelled);
        lost.then(|| Exception {
            reason: "COURIER_CANCELLED".to_owned(),
            since_ms: self.since_ms(),
        })
    }

    /// When it came to where it is, unix milliseconds.
    pub(crate) fn since_ms(&self) -> i64 {
        self.since_ms.1
    }

    pub(crate) fn is_cancelled(&self) -> bool {
        self.stage() == Stage::Cancelled
    }

    pub(crate) fn parcels(&self) -> u32 {
        self.parcels.1
    }

    pub(crate) fn tracking_status(&self) -> &str {
        &self.tracking_status.1
    }
}

/// All parts of an order, by id.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Parts(BTreeMap<String, Part>);

impl Parts {
    /// Takes a fact in.
    pub(crate) fn hear(&mut self, fact: &Fact) {
        self.0.entry(fact.part_id.clone()).or_insert_with(|| Part::new(fact.kind)).hear(fact);
    }

    /// True when `fact` would change something: it is neither late nor a repeat.
    pub(crate) fn is_news(&self, fact: &Fact) -> bool {
        let Some(part) = self.0.get(&fact.part_id) else { return true };
        let mut after = part.clone();
        after.hear(fact);
        after != *part
    }

    pub(crate) fn get(&self, part_id: &str) -> Option<&Part> {
        self.0.get(part_id)
    }

    pub(crate) fn of_kind(&self, kind: Kind) -> impl Iterator<Item = (&str, &Part)> {
        let all = self.0.iter().filter(move |(_, part)| part.kind == kind);
        all.map(|(id, part)| (id.as_str(), part))
    }

    /// Everything that is wrong now, by part.
    pub(crate) fn exceptions(&self) -> Vec<(&str, Exception)> {
        let live = self.0.iter().filter(|(_, part)| !part.is_cancelled() && !self.is_past(part));
        live.filter_map(|(id, part)| Some((id.as_str(), part.exception()?))).collect()
    }

    /// A broken promise is past once the goods were picked all the same, or are not needed.
    fn is_past(&self, part: &Part) -> bool {
        part.kind == Kind::Promise
            && self.of_kind(Kind::Fulfillment).any(|(_, fulfillment)| {
                fulfillment.warehouse == part.warehouse && fulfillment.stage() >= Stage::Picked
            })
    }

    /// The live parts that the customer waits for: shipments once they cover all parcels of their
    /// fulfilment, else the fulfilment; a warehouse not heard of yet is at its beginning.
    pub(crate) fn live<'a>(
        &'a self,
        warehouses: impl Iterator<Item = &'a str>,
    ) -> Vec<(Stage, Option<&'a Part>)> {
        let mut live = Vec::new();
        let mut heard = Vec::new();
        for (id, fulfillment) in self.of_kind(Kind::Fulfillment) {
            heard.push(fulfillment.warehouse.as_str());
            if fulfillment.is_cancelled() {
                continue;
            }
            let shipments: Vec<_> = self
                .of_kind(Kind::Shipment)
                .filter(|(_, shipment)| shipment.parent == id && !shipment.is_cancelled())
                .map(|(_, shipment)| (shipment.stage(), Some(shipment)))
                .collect();
            let packed = fulfillment.stage() >= Stage::Packed;
            let covered = usize::try_from(fulfillment.parcels())
                .is_ok_and(|parcels| parcels > 0 && shipments.len() >= parcels);
            if packed && covered {
                live.extend(shipments);
            } else {
                live.push((fulfillment.stage().min(Stage::Packed), Some(fulfillment)));
            }
        }
        let unheard = warehouses.filter(|warehouse| !heard.contains(warehouse));
        live.extend(unheard.map(|_| (Stage::Confirmed, None)));
        live
    }
}
