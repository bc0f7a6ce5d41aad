//! One order's goods from one warehouse: listed, picked, packed, handed over, or withdrawn.
//! *Invariant:* the parcels together hold exactly what was picked; what was picked and what is
//! missing together are what was to be picked.

use nexus_es::Decider;

use super::{Dimensions, SkuUnits, by_sku};

/// What is asked of a fulfilment.
#[derive(Clone, Debug)]
pub(crate) enum Command {
    Open(Opened),
    List {
        pick_list_id: String,
    },
    Unlist {
        pick_list_id: String,
        reason: String,
    },
    /// The ledger has booked what the picker took: units by order line.
    RecordPick {
        pick_list_id: String,
        taken: Vec<(String, u32)>,
    },
    /// The ledger refused to book it.
    DisputePick {
        pick_list_id: String,
        reason: String,
        taken: Vec<(String, u32)>,
    },
    Pack {
        parcels: Vec<Parcel>,
    },
    HandOver {
        parcel_id: String,
        shipment_id: String,
    },
    Withdraw {
        order_id: String,
        reason: String,
        to_put_back: Vec<SkuUnits>,
    },
}

/// What happened to it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Event {
    Opened(Opened),
    Listed { pick_list_id: String, order_id: String },
    Unlisted { pick_list_id: String, order_id: String, reason: String },
    Picked { pick_list_id: String, order_id: String, lines: Vec<PickedLine> },
    PickDisputed { pick_list_id: String, order_id: String, reason: String, lines: Vec<PickedLine> },
    Packed { order_id: String, parcels: Vec<Parcel> },
    HandedOver { order_id: String, parcel_id: String, shipment_id: String, last: bool },
    Withdrawn { order_id: String, reason: String, to_put_back: Vec<SkuUnits> },
}

/// Why not.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Refusal {
    #[error("nothing was opened under this id")]
    NotOpened,
    #[error("its goods already stand on pick list {pick_list_id}")]
    ListedElsewhere { pick_list_id: String },
    #[error("it is {0}")]
    Past(Stage),
    #[error("the ledger disputes what was picked: {reason}")]
    Disputed { reason: String },
    #[error("it was packed in another way")]
    PackedOtherwise,
    #[error("the contents differ from what was picked")]
    ContentsDiffer(Vec<Difference>),
    #[error("it has no parcel {parcel_id}")]
    UnknownParcel { parcel_id: String },
}

/// What is to be picked.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Opened {
    pub(crate) order_id: String,
    pub(crate) order_number: String,
    pub(crate) warehouse: String,
    /// Name under which inventory holds the goods.
    pub(crate) reservation: String,
    pub(crate) lines: Vec<OrderLine>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct OrderLine {
    pub(crate) line_id: String,
    pub(crate) sku: String,
    pub(crate) name: String,
    pub(crate) units: u32,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct PickedLine {
    pub(crate) line_id: String,
    pub(crate) sku: String,
    pub(crate) picked: u32,
    pub(crate) short: u32,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Parcel {
    pub(crate) parcel_id: String,
    pub(crate) box_type: String,
    pub(crate) weight_grams: u32,
    pub(crate) dimensions: Option<Dimensions>,
    pub(crate) contents: Vec<SkuUnits>,
}

/// A SKU of which the parcels hold more or less than was picked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Difference {
    pub(crate) sku: String,
    pub(crate) picked: u32,
    pub(crate) packed: u32,
}

/// How far it is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Stage {
    #[default]
    Unknown,
    Ready,
    Listed,
    Picked,
    Packed,
    HandedOver,
    Withdrawn,
}

impl std::fmt::Display for Stage {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Unknown => "unknown",
            Self::Ready => "ready",
            Self::Listed => "listed",
            Self::Picked => "picked",
            Self::Packed => "packed",
            Self::HandedOver => "handed_over",
            Self::Withdrawn => "withdrawn",
        })
    }
}

/// One order's goods from one warehouse.
#[derive(Clone, Debug, Default)]
pub(crate) struct Fulfillment {
    pub(crate) stage: Stage,
    pub(crate) opened: Opened,
    /// The list it stands on, or stood on when it was picked.
    pub(crate) pick_list_id: String,
    pub(crate) dispute: Option<String>,
    /// What was picked; while there is a dispute, what the picker says.
    pub(crate) picked: Vec<PickedLine>,
    pub(crate) parcels: Vec<Parcel>,
    handed_over: Vec<String>,
}

impl Decider for Fulfillment {
    const CATEGORY: &'static str = "fulfillment";
    type Command = Command;
    type Event = Event;
    type Refusal = Refusal;

    fn decide(&self, command: &Command) -> Result<Vec<Event>, Refusal> {
        match command {
            // A withdrawn one was cancelled before its opening was heard: it stays withdrawn.
            Command::Open(_) if self.stage != Stage::Unknown => Ok(vec![]),
            Command::Open(opened) => Ok(vec![Event::Opened(opened.clone())]),
            Command::Withdraw { order_id, reason, to_put_back } => {
                self.withdraw(order_id, reason, to_put_back)
            }
            _ if self.stage == Stage::Unknown => Err(Refusal::NotOpened),
            Command::List { pick_list_id } => self.list(pick_list_id),
            Command::Unlist { pick_list_id, reason } => Ok(self.unlist(pick_list_id, reason)),
            Command::RecordPick { pick_list_id, taken } => self.record_pick(pick_list_id, taken),
            Command::DisputePick { pick_list_id, reason, taken } => {
                self.dispute_pick(pick_list_id, reason, taken)
            }
            Command::Pack { parcels } => self.pack(parcels),
            Command::HandOver { parcel_id, shipment_id } => self.hand_over(parcel_id, shipment_id),
        }
    }

    fn evolve(mut self, event: &Event) -> Self {
        match event {
            Event::Opened(opened) => {
                self.stage = Stage::Ready;
                self.opened = opened.clone();
            }
            Event::Listed { pick_list_id, .. } => {
                self.stage = Stage::Listed;
                self.pick_list_id.clone_from(pick_list_id);
            }
            Event::Unlisted { .. } => {
                self.stage = Stage::Ready;
                self.pick_list_id.clear();
            }
            Event::Picked { lines, .. } => {
                self.stage = Stage::Picked;
                self.dispute = None;
                self.picked.clone_from(lines);
            }
            Event::PickDisputed { reason, lines, .. } => {
                self.dispute = Some(reason.clone());
                self.picked.clone_from(lines);
            }
            Event::Packed { parcels, .. } => {
                self.stage = Stage::Packed;
                self.parcels.clone_from(parcels);
            }
            Event::HandedOver { parcel_id, last, .. } => {
                self.handed_over.push(parcel_id.clone());
                if *last {
                    self.stage = Stage::HandedOver;
                }
            }
            Event::Withdrawn { order_id, .. } => {
                self.stage = Stage::Withdrawn;
                self.dispute = None;
                self.opened.order_id.clone_from(order_id);
            }
        }
        self
    }
}

impl Fulfillment {
    fn order_id(&self) -> String {
        self.opened.order_id.clone()
    }

    fn listed_on(&self, pick_list_id: &str) -> bool {
        self.stage == Stage::Listed && self.pick_list_id == pick_list_id
    }

    fn listed(&self, pick_list_id: &str) -> Event {
        Event::Listed { pick_list_id: pick_list_id.to_owned(), order_id: self.order_id() }
    }

    fn list(&self, pick_list_id: &str) -> Result<Vec<Event>, Refusal> {
        match self.stage {
            Stage::Ready => Ok(vec![self.listed(pick_list_id)]),
            Stage::Unknown | Stage::Withdrawn => Err(Refusal::Past(self.stage)),
            // The list may have been picked by the time this is heard.
            Stage::Listed | Stage::Picked | Stage::Packed | Stage::HandedOver => {
                if self.pick_list_id == pick_list_id {
                    return Ok(vec![]);
                }
                Err(Refusal::ListedElsewhere { pick_list_id: self.pick_list_id.clone() })
            }
        }
    }

    fn unlist(&self, pick_list_id: &str, reason: &str) -> Vec<Event> {
        if !self.listed_on(pick_list_id) {
            return vec![];
        }
        vec![Event::Unlisted {
            pick_list_id: pick_list_id.to_owned(),
            order_id: self.order_id(),
            reason: reason.to_owned(),
        }]
    }

    /// What a pick may follow on. A completed list may be heard before the listing itself.
    fn before_pick(&self, pick_list_id: &str) -> Result<Vec<Event>, Refusal> {
        match self.stage {
            Stage::Ready => Ok(vec![self.listed(pick_list_id)]),
            Stage::Listed if self.pick_list_id == pick_list_id => Ok(vec![]),
            Stage::Listed => {
                Err(Refusal::ListedElsewhere { pick_list_id: self.pick_list_id.clone() })
            }
            past @ (Stage::Unknown
            | Stage::Picked
            | Stage::Packed
            | Stage::HandedOver
            | Stage::Withdrawn) => Err(Refusal::Past(past)),
        }
    }

    fn record_pick(
        &self,
        pick_list_id: &str,
        taken: &[(String, u32)],
    ) -> Result<Vec<Event>, Refusal> {
        let done = matches!(self.stage, Stage::Picked | Stage::Packed | Stage::HandedOver)
            || self.stage == Stage::Withdrawn && !self.picked.is_empty();
        if done && self.pick_list_id == pick_list_id {
            return Ok(vec![]);
        }
        let mut events = self.before_pick(pick_list_id)?;
        let lines = self.picked_lines(taken);
        let nothing = lines.iter().all(|line| line.picked == 0);
        events.push(Event::Picked {
            pick_list_id: pick_list_id.to_owned(),
            order_id: self.order_id(),
            lines,
        });
        if nothing {
            // No parcel can be made of nothing: the part ends here.
            events.push(Event::Withdrawn {
                order_id: self.order_id(),
                reason: "none of its goods were found".to_owned(),
                to_put_back: vec![],
            });
        }
        Ok(events)
    }

    fn dispute_pick(
        &self,
        pick_list_id: &str,
        reason: &str,
        taken: &[(String, u32)],
    ) -> Result<Vec<Event>, Refusal> {
        if self.dispute.as_deref() == Some(reason) && self.listed_on(pick_list_id) {
            return Ok(vec![]);
        }
        let mut events = self.before_pick(pick_list_id)?;
        events.push(Event::PickDisputed {
            pick_list_id: pick_list_id.to_owned(),
            order_id: self.order_id(),
            reason: reason.to_owned(),
            lines: self.picked_lines(taken),
        });
        Ok(events)
    }

    /// What was not taken is missing, whether the list named it or not.
    fn picked_lines(&self, taken: &[(String, u32)]) -> Vec<PickedLine> {
        let taken = by_sku(taken.iter().map(|(line, units)| (line.as_str(), *units)));
        let lines = self.opened.lines.iter().map(|line| {
            let picked = taken.get(line.line_id.as_str()).copied().unwrap_or(0).min(line.units);
            PickedLine {
                line_id: line.line_id.clone(),
                sku: line.sku.clone(),
                picked,
                short: line.units.saturating_sub(picked),
            }
        });
        lines.collect()
    }

    fn pack(&self, parcels: &[Parcel]) -> Result<Vec<Event>, Refusal> {
        match (self.stage, &self.dispute) {
            (Stage::Picked, _) => {}
            (Stage::Packed | Stage::HandedOver, _) if self.parcels == parcels => {
                return Ok(vec![]);
            }
            (Stage::Packed, _) => return Err(Refusal::PackedOtherwise),
            (_, Some(reason)) => return Err(Refusal::Disputed { reason: reason.clone() }),
            (past, None) => return Err(Refusal::Past(past)),
        }
        let differences = self.differences(parcels);
        if !differences.is_empty() {
            return Err(Refusal::ContentsDiffer(differences));
        }
        Ok(vec![Event::Packed { order_id: self.order_id(), parcels: parcels.to_vec() }])
    }

    fn differences(&self, parcels: &[Parcel]) -> Vec<Difference> {
        let picked = by_sku(self.picked.iter().map(|line| (line.sku.as_str(), line.picked)));
        let contents = parcels.iter().flat_map(|parcel| &parcel.contents);
        let packed = by_sku(contents.map(|item| (item.sku.as_str(), item.units)));
        let mut skus: Vec<&str> = picked.keys().chain(packed.keys()).copied().collect();
        skus.sort_unstable();
        skus.dedup();
        let of =
            |sums: &std::collections::BTreeMap<&str, u32>, sku| sums.get(sku).copied().unwrap_or(0);
        let all = skus.into_iter().map(|sku| Difference {
            sku: sku.to_owned(),
            picked: of(&picked, sku),
            packed: of(&packed, sku),
        });
        all.filter(|difference| difference.picked != difference.packed).collect()
    }

    fn hand_over(&self, parcel_id: &str, shipment_id: &str) -> Result<Vec<Event>, Refusal> {
        if self.handed_over.iter().any(|gone| gone == parcel_id) {
            return Ok(vec![]);
        }
        if self.stage != Stage::Packed {
            return Err(Refusal::Past(self.stage));
        }
        if !self.parcels.iter().any(|parcel| parcel.parcel_id == parcel_id) {
            return Err(Refusal::UnknownParcel { parcel_id: parcel_id.to_owned() });
        }
        Ok(vec![Event::HandedOver {
            order_id: self.order_id(),
            parcel_id: parcel_id.to_owned(),
            shipment_id: shipment_id.to_owned(),
            last: self.handed_over.len() + 1 == self.parcels.len(),
        }])
    }

    fn withdraw(
        &self,
        order_id: &str,
        reason: &str,
        to_put_back: &[SkuUnits],
    ) -> Result<Vec<Event>, Refusal> {
        match self.stage {
            Stage::Withdrawn => Ok(vec![]),
            // Before its opening was heard too: a late opening then finds it withdrawn.
            Stage::Unknown | Stage::Ready | Stage::Listed => Ok(vec![Event::Withdrawn {
                order_id: order_id.to_owned(),
                reason: reason.to_owned(),
                to_put_back: to_put_back.to_vec(),
            }]),
            past @ (Stage::Picked | Stage::Packed | Stage::HandedOver) => Err(Refusal::Past(past)),
        }
    }
}

#[cfg(test)]
mod tests;
