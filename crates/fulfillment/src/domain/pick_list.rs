//! One walk through a warehouse for chosen orders: what to take where, who takes it, what was
//! scanned.
//! *Invariant:* a line's picked and missing units are never more than its units, and exactly these
//! when the list is completed; a scan id counts once; a refused scan changes no quantity.

mod scan;
mod walk;

use std::collections::{BTreeMap, BTreeSet};

use nexus_es::Decider;

use super::{SkuUnits, by_sku};

pub(crate) use scan::{Item, Outcome, Scan, ScanResult};
pub(crate) use walk::{Place, Wanted, walk};

/// What is asked of a pick list.
#[derive(Clone, Debug)]
pub(crate) enum Command {
    Generate {
        warehouse: String,
        lines: Vec<Line>,
        parts: Vec<Part>,
    },
    Assign {
        picker: String,
    },
    /// `picker` walks unless the list is assigned to another one.
    Start {
        picker: String,
    },
    Scan(Scan),
    ReportShort {
        line_id: String,
        found: u32,
        reason: String,
        picker: String,
        now_ms: i64,
    },
    Complete {
        picker: String,
    },
    Cancel {
        reason: String,
    },
    /// The fulfilment's units leave the list.
    WithdrawPart {
        fulfillment_id: String,
        reason: String,
    },
}

/// What happened to it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Event {
    Generated { warehouse: String, lines: Vec<Line>, parts: Vec<Part> },
    Assigned { picker: String },
    Started { picker: String },
    LineLeased { line_id: String, picker: String, until_ms: i64 },
    Scanned(Scanned),
    ScanRefused(ScanRefused),
    ShortPicked { line_id: String, found: u32, missing: u32, reason: String, picker: String },
    Completed { picker: String, parts: Vec<PartTakes> },
    Cancelled { reason: String, fulfillment_ids: Vec<String> },
    OrderWithdrawn { order_id: String, fulfillment_id: String, reason: String },
}

/// An item was taken.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Scanned {
    pub(crate) scan_id: String,
    pub(crate) line_id: String,
    pub(crate) bin: String,
    pub(crate) barcode: String,
    pub(crate) serial: String,
    pub(crate) units: u32,
    pub(crate) picker: String,
    pub(crate) leased_until_ms: i64,
}

/// A scan that changed no quantity.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct ScanRefused {
    pub(crate) scan_id: String,
    pub(crate) result: ScanResult,
    pub(crate) bin: String,
    pub(crate) barcode: String,
    pub(crate) line_id: String,
    pub(crate) expected: Option<Expected>,
    pub(crate) picker: String,
    pub(crate) taken_by: String,
}

/// What should have been scanned.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Expected {
    pub(crate) bin: String,
    pub(crate) sku: String,
    pub(crate) lot: String,
}

/// Why not.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Refusal {
    #[error("no pick list has this id")]
    NotGenerated,
    #[error("the pick list is {0}")]
    Over(Status),
    #[error("lines are still open")]
    OpenLines(Vec<OpenLine>),
    #[error("it has no line {line_id}")]
    UnknownLine { line_id: String },
    #[error("{picker} works on this line")]
    LineTaken { picker: String },
    #[error("{picked} units of the line were scanned already")]
    FoundLessThanScanned { picked: u32 },
    #[error("all {units} units were found, none is missing")]
    NothingMissing { units: u32 },
    #[error("a missing unit needs a reason")]
    NoReason,
}

/// A line that is neither picked nor reported short.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct OpenLine {
    pub(crate) line_id: String,
    pub(crate) bin: String,
    pub(crate) sku: String,
    pub(crate) left: u32,
}

/// A fulfilment on the list.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Part {
    pub(crate) order_id: String,
    pub(crate) order_number: String,
    pub(crate) fulfillment_id: String,
    pub(crate) reservation: String,
}

/// One article in one bin.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Line {
    pub(crate) line_id: String,
    pub(crate) place: Place,
    pub(crate) name: String,
    /// What a scanner may read on it, with the units of that pack.
    pub(crate) barcodes: Vec<(String, u32)>,
    pub(crate) units: u32,
    pub(crate) split: Vec<Split>,
}

/// An order line's share of a pick line. The first are served first: what is missing is missing
/// for the last.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Split {
    /// Place of the fulfilment among the list's parts.
    pub(crate) part: usize,
    pub(crate) order_line_id: String,
    pub(crate) units: u32,
}

/// What a fulfilment got from a completed list.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct PartTakes {
    pub(crate) fulfillment_id: String,
    pub(crate) order_id: String,
    pub(crate) reservation: String,
    pub(crate) takes: Vec<Take>,
}

/// Units of one order line from one bin.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Take {
    pub(crate) order_line_id: String,
    pub(crate) sku: String,
    pub(crate) bin: String,
    pub(crate) lot: String,
    pub(crate) picked: u32,
    pub(crate) short: u32,
}

/// How far the walk is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Status {
    #[default]
    Unknown,
    Open,
    Assigned,
    Picking,
    Completed,
    Cancelled,
}

impl std::fmt::Display for Status {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Unknown => "unknown",
            Self::Open => "open",
            Self::Assigned => "assigned",
            Self::Picking => "picking",
            Self::Completed => "completed",
            Self::Cancelled => "cancelled",
        })
    }
}

/// A line and how far it is.
#[derive(Clone, Debug)]
pub(crate) struct LineState {
    pub(crate) line: Line,
    pub(crate) picked: u32,
    pub(crate) short: u32,
    /// What the picker said about the missing units.
    reason: String,
    /// Who works on it, and until when.
    lease: Option<(String, i64)>,
}

/// One walk.
#[derive(Debug, Default)]
pub(crate) struct PickList {
    pub(crate) status: Status,
    pub(crate) warehouse: String,
    pub(crate) picker: Option<String>,
    pub(crate) parts: Vec<Part>,
    pub(crate) lines: Vec<LineState>,
    withdrawn: BTreeMap<String, Vec<SkuUnits>>,
    scans: BTreeMap<String, Outcome>,
    serials: BTreeSet<(String, String)>,
}

impl Decider for PickList {
    const CATEGORY: &'static str = "pick_list";
    type Command = Command;
    type Event = Event;
    type Refusal = Refusal;

    fn decide(&self, command: &Command) -> Result<Vec<Event>, Refusal> {
        match command {
            Command::Generate { .. } if self.status != Status::Unknown => Ok(vec![]),
            Command::Generate { warehouse, lines, parts } => Ok(vec![Event::Generated {
                warehouse: warehouse.clone(),
                lines: lines.clone(),
                parts: parts.clone(),
            }]),
            _ if self.status == Status::Unknown => Err(Refusal::NotGenerated),
            Command::Scan(scan) => Ok(self.scan(scan)),
            Command::Assign { picker } => self.assign(picker),
            Command::Start { picker } => {
                self.running()?;
                Ok(self.begin(self.walker(picker)))
            }
            Command::ReportShort { line_id, found, reason, picker, now_ms } => {
                self.report_short(line_id, *found, reason, self.walker(picker), *now_ms)
            }
            Command::Complete { picker } => self.complete(self.walker(picker)),
            Command::Cancel { reason } => self.cancel(reason),
            Command::WithdrawPart { fulfillment_id, reason } => {
                self.withdraw_part(fulfillment_id, reason)
            }
        }
    }

    fn evolve(mut self, event: &Event) -> Self {
        match event {
            Event::Generated { warehouse, lines, parts } => {
                self.status = Status::Open;
                self.warehouse.clone_from(warehouse);
                self.parts.clone_from(parts);
                self.lines = lines.iter().cloned().map(LineState::from).collect();
            }
            Event::Assigned { picker } => {
                self.picker = Some(picker.clone());
                if self.status == Status::Open {
                    self.status = Status::Assigned;
                }
            }
            Event::Started { picker } => {
                self.status = Status::Picking;
                self.picker = Some(picker.clone());
            }
            Event::LineLeased { line_id, picker, until_ms } => {
                self.lease(line_id, picker, *until_ms);
            }
            Event::Scanned(scanned) => self.count(scanned),
            Event::ScanRefused(refused) => self.note(refused),
            Event::ShortPicked { line_id, missing, reason, .. } => {
                if let Some(line) = self.lines.iter_mut().find(|l| l.line.line_id == *line_id) {
                    line.short = *missing;
                    line.reason.clone_from(reason);
                }
            }
            Event::Completed { .. } => self.status = Status::Completed,
            Event::Cancelled { .. } => self.status = Status::Cancelled,
            Event::OrderWithdrawn { fulfillment_id, .. } => self.take_off(fulfillment_id),
        }
        self
    }
}

impl From<Line> for LineState {
    fn from(line: Line) -> Self {
        Self { line, picked: 0, short: 0, reason: String::new(), lease: None }
    }
}

impl LineState {
    /// Units that are neither picked nor missing.
    pub(crate) fn left(&self) -> u32 {
        self.line.units.saturating_sub(self.picked).saturating_sub(self.short)
    }

    /// The other picker who works on it now.
    fn taken_by(&self, picker: &str, now_ms: i64) -> Option<&str> {
        let (holder, until_ms) = self.lease.as_ref()?;
        (holder != picker && *until_ms > now_ms).then_some(holder.as_str())
    }
}

/// What stays picked and missing on a line that has only `units` left to pick.
pub(crate) fn kept(units: u32, picked: u32, short: u32) -> (u32, u32) {
    let picked = picked.min(units);
    (picked, short.min(units - picked))
}

impl PickList {
    /// The fulfilments that are still on it.
    pub(crate) fn live_parts(&self) -> impl Iterator<Item = &Part> {
        self.parts.iter().filter(|part| !self.withdrawn.contains_key(&part.fulfillment_id))
    }

    /// What a withdrawn fulfilment left in the picker's hands.
    pub(crate) fn to_put_back(&self, fulfillment_id: &str) -> Vec<SkuUnits> {
        self.withdrawn.get(fulfillment_id).cloned().unwrap_or_default()
    }

    /// The result of a scan that was seen.
    pub(crate) fn outcome(&self, scan_id: &str) -> Option<&Outcome> {
        self.scans.get(scan_id)
    }

    pub(crate) fn line(&self, line_id: &str) -> Option<&LineState> {
        self.lines.iter().find(|line| line.line.line_id == line_id)
    }

    /// What the picker said where units were missing, by article, bin and lot.
    pub(crate) fn short_reasons(&self) -> BTreeMap<[String; 3], String> {
        let reason = |line: &LineState| {
            let place = &line.line.place;
            ([&place.sku, &place.bin, &place.lot].map(Clone::clone), line.reason.clone())
        };
        self.lines.iter().filter(|line| line.short > 0).map(reason).collect()
    }

    /// The assigned picker walks, whoever's key speaks for them.
    fn walker<'a>(&'a self, picker: &'a str) -> &'a str {
        self.picker.as_deref().unwrap_or(picker)
    }

    fn running(&self) -> Result<(), Refusal> {
        match self.status {
            Status::Open | Status::Assigned | Status::Picking => Ok(()),
            Status::Unknown | Status::Completed | Status::Cancelled => {
                Err(Refusal::Over(self.status))
            }
        }
    }

    fn begin(&self, picker: &str) -> Vec<Event> {
        if self.status == Status::Picking {
            return vec![];
        }
        vec![Event::Started { picker: picker.to_owned() }]
    }

    fn assign(&self, picker: &str) -> Result<Vec<Event>, Refusal> {
        self.running()?;
        if self.picker.as_deref() == Some(picker) {
            return Ok(vec![]);
        }
        // Leases stand: a line in another picker's hands is free again when its lease ends.
        Ok(vec![Event::Assigned { picker: picker.to_owned() }])
    }

    fn report_short(
        &self,
        line_id: &str,
        found: u32,
        reason: &str,
        picker: &str,
        now_ms: i64,
    ) -> Result<Vec<Event>, Refusal> {
        self.running()?;
        let unknown = || Refusal::UnknownLine { line_id: line_id.to_owned() };
        let line = self.line(line_id).ok_or_else(unknown)?;
        if reason.trim().is_empty() {
            return Err(Refusal::NoReason);
        }
        if let Some(holder) = line.taken_by(picker, now_ms) {
            return Err(Refusal::LineTaken { picker: holder.to_owned() });
        }
        if found < line.picked {
            return Err(Refusal::FoundLessThanScanned { picked: line.picked });
        }
        let missing = line.line.units.saturating_sub(found);
        if missing == 0 {
            return Err(Refusal::NothingMissing { units: line.line.units });
        }
        if missing == line.short {
            return Ok(vec![]);
        }
        let mut events = self.begin(picker);
        events.push(Event::ShortPicked {
            line_id: line_id.to_owned(),
            found,
            missing,
            reason: reason.to_owned(),
            picker: picker.to_owned(),
        });
        Ok(events)
    }

    fn complete(&self, picker: &str) -> Result<Vec<Event>, Refusal> {
        match self.status {
            Status::Completed => return Ok(vec![]),
            Status::Cancelled => return Err(Refusal::Over(self.status)),
            Status::Unknown | Status::Open | Status::Assigned | Status::Picking => {}
        }
        let open = self.lines.iter().filter(|line| line.left() > 0).map(|line| OpenLine {
            line_id: line.line.line_id.clone(),
            bin: line.line.place.bin.clone(),
            sku: line.line.place.sku.clone(),
            left: line.left(),
        });
        let open: Vec<_> = open.collect();
        if !open.is_empty() {
            return Err(Refusal::OpenLines(open));
        }
        Ok(vec![Event::Completed { picker: picker.to_owned(), parts: self.takes() }])
    }

    /// Shares what was picked: line by line, the first in the split are served first.
    fn takes(&self) -> Vec<PartTakes> {
        let mut takes: Vec<Vec<Take>> = vec![vec![]; self.parts.len()];
        for line in &self.lines {
            let mut picked = line.picked;
            for split in &line.line.split {
                let got = split.units.min(picked);
                picked -= got;
                if let Some(takes) = takes.get_mut(split.part) {
                    takes.push(Take {
                        order_line_id: split.order_line_id.clone(),
                        sku: line.line.place.sku.clone(),
                        bin: line.line.place.bin.clone(),
                        lot: line.line.place.lot.clone(),
                        picked: got,
                        short: split.units - got,
                    });
                }
            }
        }
        let parts = self.parts.iter().zip(takes);
        let live = parts.filter(|(part, _)| !self.withdrawn.contains_key(&part.fulfillment_id));
        live.map(|(part, takes)| PartTakes {
            fulfillment_id: part.fulfillment_id.clone(),
            order_id: part.order_id.clone(),
            reservation: part.reservation.clone(),
            takes,
        })
        .collect()
    }

    fn cancel(&self, reason: &str) -> Result<Vec<Event>, Refusal> {
        if self.status == Status::Cancelled {
            return Ok(vec![]);
        }
        self.running()?;
        Ok(vec![self.cancelled(reason, None)])
    }

    fn cancelled(&self, reason: &str, without: Option<&str>) -> Event {
        let ids = self.live_parts().map(|part| part.fulfillment_id.clone());
        Event::Cancelled {
            reason: reason.to_owned(),
            fulfillment_ids: ids.filter(|id| Some(id.as_str()) != without).collect(),
        }
    }

    fn withdraw_part(&self, fulfillment_id: &str, reason: &str) -> Result<Vec<Event>, Refusal> {
        let mut live = self.live_parts();
        let Some(part) = live.find(|part| part.fulfillment_id == fulfillment_id) else {
            return Ok(vec![]);
        };
        match self.status {
            Status::Completed => return Err(Refusal::Over(self.status)),
            Status::Cancelled => return Ok(vec![]),
            Status::Unknown | Status::Open | Status::Assigned | Status::Picking => {}
        }
        let mut events = vec![Event::OrderWithdrawn {
            order_id: part.order_id.clone(),
            fulfillment_id: fulfillment_id.to_owned(),
            reason: reason.to_owned(),
        }];
        if self.live_parts().count() == 1 {
            events.push(self.cancelled(reason, Some(fulfillment_id)));
        }
        Ok(events)
    }

    fn lease(&mut self, line_id: &str, picker: &str, until_ms: i64) {
        if let Some(line) = self.lines.iter_mut().find(|line| line.line.line_id == line_id) {
            line.lease = Some((picker.to_owned(), until_ms));
        }
    }

    /// Takes a fulfilment's units off every line. What was picked serves the others first.
    fn take_off(&mut self, fulfillment_id: &str) {
        let part = self.parts.iter().position(|part| part.fulfillment_id == fulfillment_id);
        let mut surplus = vec![];
        for line in &mut self.lines {
            let before = line.line.units;
            line.line.split.retain(|split| Some(split.part) != part);
            line.line.units = line.line.split.iter().map(|split| split.units).sum();
            if line.line.units == before {
                continue;
            }
            let before = line.picked;
            (line.picked, line.short) = kept(line.line.units, line.picked, line.short);
            surplus.push((line.line.place.sku.clone(), before - line.picked));
        }
        let surplus = by_sku(surplus.iter().map(|(sku, units)| (sku.as_str(), *units)));
        let surplus =
            surplus.into_iter().map(|(sku, units)| SkuUnits { sku: sku.to_owned(), units });
        self.withdrawn.insert(fulfillment_id.to_owned(), surplus.collect());
    }
}

#[cfg(test)]
mod tests;
