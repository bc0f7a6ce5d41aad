//! Pick lists: what was scanned is never more than listed, and a finished list adds up.

use std::collections::{BTreeMap, HashMap, HashSet};

use nexus_proto::fulfillment::v1::{
    GeneratedLine, PickListCompleted, PickListGenerated, PickListOrderWithdrawn,
    PickListScanRefused, PickListScanned, PickListShortPicked,
};

use crate::facts::{Fact, Place};
use crate::fulfillments::Fulfillments;
use crate::report::{Invariant, Report};

struct Line {
    /// SKU, bin, lot.
    goods: (String, String, String),
    units: u64,
    picked: u64,
    short: u64,
    /// Place of the fulfilment in the list's parts, and its units.
    split: Vec<(u32, u64)>,
}

#[derive(Default)]
struct List {
    over: bool,
    lines: HashMap<String, Line>,
    parts: Vec<String>,
    scans: HashSet<String>,
}

#[derive(Default)]
pub(crate) struct PickLists {
    all: HashMap<String, List>,
}

impl PickLists {
    pub(crate) fn hear(
        &mut self,
        fact: &Fact<'_>,
        fulfillments: &Fulfillments,
        report: &mut Report,
    ) {
        if !fact.kind().starts_with("pick_list.") {
            return;
        }
        let list = self.all.entry(fact.of().to_owned()).or_default();
        // A scan of a list that is over is refused, and that is recorded.
        report.count(Invariant::I13);
        if list.over && fact.kind() != "pick_list.ScanRefused" {
            let what = format!("{} follows, but the pick list is over", fact.kind());
            return report.violated(Invariant::I13, fact.place, what);
        }
        match fact.kind() {
            "pick_list.Generated" => {
                if let Some(generated) = fact.read(report) {
                    list.generate(generated, fulfillments, fact.place, report);
                }
            }
            "pick_list.Scanned" => {
                if let Some(scanned) = fact.read(report) {
                    list.scan(scanned, fact.place, report);
                }
            }
            "pick_list.ScanRefused" => {
                let refused = fact.read::<PickListScanRefused>(report).unwrap_or_default();
                list.once(&refused.scan_id, fact.place, report);
            }
            "pick_list.ShortPicked" => {
                if let Some(short) = fact.read(report) {
                    list.short(&short, fact.place, report);
                }
            }
            "pick_list.OrderWithdrawn" => {
                let withdrawn = fact.read::<PickListOrderWithdrawn>(report).unwrap_or_default();
                list.take_off(&withdrawn.fulfillment_id);
            }
            "pick_list.Completed" => {
                if let Some(completed) = fact.read(report) {
                    list.complete(&completed, fact.place, report);
                }
                list.end();
            }
            "pick_list.Cancelled" => list.end(),
            _ => {}
        }
    }
}

impl List {
    fn generate(
        &mut self,
        generated: PickListGenerated,
        fulfillments: &Fulfillments,
        place: &Place,
        report: &mut Report,
    ) {
        self.parts = generated.parts.into_iter().map(|part| part.fulfillment_id).collect();
        let mut listed: BTreeMap<(&str, &str), u64> = BTreeMap::new();
        for split in generated.lines.iter().flat_map(|line| &line.split) {
            let part = usize::try_from(split.part).ok().and_then(|part| self.parts.get(part));
            let name = part.map_or("", String::as_str);
            let units = listed.entry((name, split.order_line_id.as_str())).or_default();
            *units += u64::from(split.units);
        }
        for ((fulfillment, line), units) in listed {
            let known = fulfillments.all.get(fulfillment);
            let wanted = known.and_then(|known| known.wanted.get(line)).copied().unwrap_or(0);
            report.expect(Invariant::I21, units <= wanted, place, || {
                format!(
                    "{units} units are listed for line {line} of fulfilment {fulfillment}, which \
                     wants {wanted}"
                )
            });
        }
        let mut seen = HashSet::new();
        for line in generated.lines {
            let (id, line) = (line.line_id.clone(), Line::from(line));
            let shared: u64 = line.split.iter().map(|(_, units)| *units).sum();
            let whole = shared == line.units && seen.insert(line.goods.clone());
            report.expect(Invariant::I21, whole, place, || {
                format!(
                    "line {id} lists {} units for {shared}, or its bin stands twice on the list",
                    line.units
                )
            });
            self.lines.insert(id, line);
        }
    }

    fn once(&mut self, scan_id: &str, place: &Place, report: &mut Report) {
        if self.over {
            return;
        }
        let fresh = self.scans.insert(scan_id.to_owned());
        report.expect(Invariant::I21, fresh, place, || format!("the scan {scan_id} counts twice"));
    }

    fn scan(&mut self, scanned: PickListScanned, place: &Place, report: &mut Report) {
        let PickListScanned { scan_id, line_id, units, .. } = scanned;
        self.once(&scan_id, place, report);
        let picked = self.lines.get_mut(&line_id).map(|line| {
            line.picked += u64::from(units);
            (line.picked, line.units, line.picked + line.short <= line.units)
        });
        let fits = picked.is_some_and(|(_, _, fits)| fits);
        report.expect(Invariant::I21, fits, place, || match picked {
            Some((picked, units, _)) => {
                format!("{picked} units of line {line_id} are scanned, {units} were wanted")
            }
            None => format!("a scan counts for line {line_id}, which is not on the list"),
        });
    }

    fn short(&mut self, short: &PickListShortPicked, place: &Place, report: &mut Report) {
        let PickListShortPicked { line_id, found, missing, reason, .. } = short;
        let line = self.lines.get_mut(line_id);
        let fits = line.is_some_and(|line| {
            line.short = u64::from(*missing);
            line.picked <= u64::from(*found)
                && u64::from(*found) + u64::from(*missing) == line.units
        });
        report.expect(Invariant::I21, fits && !reason.trim().is_empty(), place, || {
            format!("line {line_id}: {found} found and {missing} missing (\"{reason}\") do not fit")
        });
    }

    /// What was picked serves the others first.
    fn take_off(&mut self, fulfillment_id: &str) {
        let part = self.parts.iter().position(|part| part == fulfillment_id);
        let part = part.and_then(|part| u32::try_from(part).ok());
        for line in self.lines.values_mut() {
            line.split.retain(|(of, _)| Some(*of) != part);
            line.units = line.split.iter().map(|(_, units)| *units).sum();
            line.picked = line.picked.min(line.units);
            line.short = line.short.min(line.units - line.picked);
        }
    }

    fn complete(&self, completed: &PickListCompleted, place: &Place, report: &mut Report) {
        type Sums<'a> = BTreeMap<(&'a str, &'a str, &'a str), (u64, u64)>;
        let (mut counted, mut stated) = (Sums::new(), Sums::new());
        for (id, line) in &self.lines {
            let whole = line.picked + line.short == line.units;
            report.expect(Invariant::I21, whole, place, || {
                format!(
                    "the list is complete, of {} units of line {id} {} are picked and {} missing",
                    line.units, line.picked, line.short
                )
            });
            let (sku, bin, lot) = &line.goods;
            let sum = counted.entry((sku, bin, lot)).or_default();
            *sum = (sum.0 + line.picked, sum.1 + line.short);
        }
        for take in completed.parts.iter().flat_map(|part| &part.takes) {
            let sum = stated.entry((&take.sku, &take.bin, &take.lot)).or_default();
            *sum = (sum.0 + u64::from(take.picked), sum.1 + u64::from(take.short));
        }
        counted.retain(|_, sum| *sum != (0, 0));
        stated.retain(|_, sum| *sum != (0, 0));
        report.expect(Invariant::I21, counted == stated, place, || {
            format!("picked and missing by bin are {stated:?}, the scans say {counted:?}")
        });
    }

    fn end(&mut self) {
        *self = Self { over: true, ..Self::default() };
    }
}

impl From<GeneratedLine> for Line {
    fn from(line: GeneratedLine) -> Self {
        Self {
            goods: (line.sku, line.bin, line.lot),
            units: u64::from(line.units),
            picked: 0,
            short: 0,
            split: line.split.iter().map(|split| (split.part, u64::from(split.units))).collect(),
        }
    }
}
