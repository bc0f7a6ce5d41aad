//! Decides what a scan means. Every scan gets exactly one of nine results, and all are recorded.

use super::{Event, Expected, LineState, PickList, ScanRefused, Scanned, Status};

/// How long a line stays a picker's after a scan.
const LEASE_MS: i64 = 15 * 60 * 1000;

/// One scan; the barcode was looked up before.
#[derive(Clone, Debug)]
pub(crate) struct Scan {
    pub(crate) scan_id: String,
    /// The bin that was scanned before the item; empty when none was.
    pub(crate) bin: String,
    pub(crate) barcode: String,
    /// What the barcode names; none when nobody knows it.
    pub(crate) item: Option<Item>,
    pub(crate) picker: String,
    pub(crate) now_ms: i64,
}

/// What a barcode names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Item {
    pub(crate) sku: String,
    /// Units in the pack that carries it.
    pub(crate) units: u32,
    /// Lot and serial number, where the barcode carries them; else empty.
    pub(crate) lot: String,
    pub(crate) serial: String,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ScanResult {
    Accepted,
    LineComplete,
    WrongItem,
    WrongBin,
    WrongLot,
    DuplicateSerial,
    UnknownBarcode,
    TakenBy,
    StaleList,
}

impl ScanResult {
    /// The result of this name.
    pub(crate) fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|result| result.name() == name)
    }

    const ALL: [Self; 9] = [
        Self::Accepted,
        Self::LineComplete,
        Self::WrongItem,
        Self::WrongBin,
        Self::WrongLot,
        Self::DuplicateSerial,
        Self::UnknownBarcode,
        Self::TakenBy,
        Self::StaleList,
    ];

    /// Its name in events and on the API.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Accepted => "ACCEPTED",
            Self::LineComplete => "LINE_COMPLETE",
            Self::WrongItem => "WRONG_ITEM",
            Self::WrongBin => "WRONG_BIN",
            Self::WrongLot => "WRONG_LOT",
            Self::DuplicateSerial => "DUPLICATE_SERIAL",
            Self::UnknownBarcode => "UNKNOWN_BARCODE",
            Self::TakenBy => "TAKEN_BY",
            Self::StaleList => "STALE_LIST",
        }
    }
}

/// What a scan led to, as it stood right after it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Outcome {
    pub(crate) result: ScanResult,
    pub(crate) line_id: String,
    pub(crate) picked: u32,
    pub(crate) units: u32,
    pub(crate) expected: Option<Expected>,
    pub(crate) taken_by: String,
    pub(crate) bin: String,
    pub(crate) barcode: String,
}

/// A result that is not ACCEPTED, with the line to name.
struct No<'a> {
    result: ScanResult,
    line: Option<&'a LineState>,
}

impl PickList {
    pub(super) fn scan(&self, scan: &Scan) -> Vec<Event> {
        if self.scans.contains_key(&scan.scan_id) {
            return vec![];
        }
        let picker = self.walker(&scan.picker);
        match self.match_line(scan, picker) {
            Ok((line, item)) => self.accept(scan, picker, line, item),
            Err(no) => vec![Event::ScanRefused(refused(scan, picker, &no))],
        }
    }

    fn accept(&self, scan: &Scan, picker: &str, line: &LineState, item: &Item) -> Vec<Event> {
        let until_ms = scan.now_ms.saturating_add(LEASE_MS);
        let line_id = line.line.line_id.clone();
        let mut events = self.begin(picker);
        if line.lease.as_ref().is_none_or(|(holder, _)| holder != picker) {
            let (line_id, picker) = (line_id.clone(), picker.to_owned());
            events.push(Event::LineLeased { line_id, picker, until_ms });
        }
        events.push(Event::Scanned(Scanned {
            scan_id: scan.scan_id.clone(),
            line_id,
            bin: scan.bin.clone(),
            barcode: scan.barcode.clone(),
            serial: item.serial.clone(),
            units: item.units,
            picker: picker.to_owned(),
            leased_until_ms: until_ms,
        }));
        events
    }

    /// The line that the scan counts for. The checks go from what is plainest to the picker to what
    /// is not: list, barcode, article, serial, lot, bin, demand, other pickers, pack size.
    fn match_line<'a>(
        &'a self,
        scan: &'a Scan,
        picker: &str,
    ) -> Result<(&'a LineState, &'a Item), No<'a>> {
        let current = self.current_line(picker, scan.now_ms);
        let no = |result, line| No { result, line };
        if matches!(self.status, Status::Completed | Status::Cancelled) {
            return Err(no(ScanResult::StaleList, None));
        }
        let item = scan.item.as_ref().ok_or(no(ScanResult::UnknownBarcode, current))?;
        let same: Vec<&LineState> =
            self.lines.iter().filter(|line| line.line.place.sku == item.sku).collect();
        let Some(first) = same.first() else { return Err(no(ScanResult::WrongItem, current)) };
        let live: Vec<_> = same.iter().copied().filter(|line| line.line.units > 0).collect();
        if live.is_empty() {
            return Err(no(ScanResult::StaleList, Some(first)));
        }
        let serial = (item.sku.clone(), item.serial.clone());
        if !item.serial.is_empty() && self.serials.contains(&serial) {
            return Err(no(ScanResult::DuplicateSerial, first_open(&live)));
        }
        let fits = |line: &&LineState| {
            let lot = line.line.place.lot.as_str();
            item.lot.is_empty() || lot.is_empty() || lot == item.lot
        };
        let right_lot: Vec<_> = live.iter().copied().filter(fits).collect();
        if right_lot.is_empty() {
            return Err(no(ScanResult::WrongLot, first_open(&live)));
        }
        let here = |line: &&LineState| scan.bin.is_empty() || line.line.place.bin == scan.bin;
        let right_bin: Vec<_> = right_lot.iter().copied().filter(here).collect();
        if right_bin.is_empty() {
            // In front of the right bin the item is what is wrong, else the bin.
            return Err(match current.filter(|line| line.line.place.bin == scan.bin) {
                Some(current) => no(ScanResult::WrongItem, Some(current)),
                None => no(ScanResult::WrongBin, first_open(&right_lot)),
            });
        }
        let line = free_line(&right_bin, item.units, picker, scan.now_ms)?;
        Ok((line, item))
    }

    /// Where this picker should go on: their own open line, else the first free one.
    fn current_line(&self, picker: &str, now_ms: i64) -> Option<&LineState> {
        let open = || self.lines.iter().filter(|line| line.left() > 0);
        let own = |line: &&LineState| line.lease.as_ref().is_some_and(|(by, _)| by == picker);
        open()
            .find(own)
            .or_else(|| open().find(|line| line.taken_by(picker, now_ms).is_none()))
            .or_else(|| open().next())
    }

    pub(super) fn count(&mut self, scanned: &Scanned) {
        self.lease(&scanned.line_id, &scanned.picker, scanned.leased_until_ms);
        let mut sku = String::new();
        let (mut picked, mut units) = (0, 0);
        let mut lines = self.lines.iter_mut();
        if let Some(line) = lines.find(|line| line.line.line_id == scanned.line_id) {
            line.picked += scanned.units;
            (picked, units) = (line.picked, line.line.units);
            sku.clone_from(&line.line.place.sku);
        }
        if !scanned.serial.is_empty() {
            self.serials.insert((sku, scanned.serial.clone()));
        }
        let outcome = Outcome {
            result: ScanResult::Accepted,
            line_id: scanned.line_id.clone(),
            picked,
            units,
            expected: None,
            taken_by: String::new(),
            bin: scanned.bin.clone(),
            barcode: scanned.barcode.clone(),
        };
        self.scans.insert(scanned.scan_id.clone(), outcome);
    }

    pub(super) fn note(&mut self, refused: &ScanRefused) {
        let line = self.line(&refused.line_id);
        let outcome = Outcome {
            result: refused.result,
            line_id: refused.line_id.clone(),
            picked: line.map_or(0, |line| line.picked),
            units: line.map_or(0, |line| line.line.units),
            expected: refused.expected.clone(),
            taken_by: refused.taken_by.clone(),
            bin: refused.bin.clone(),
            barcode: refused.barcode.clone(),
        };
        self.scans.insert(refused.scan_id.clone(), outcome);
    }
}

fn first_open<'a>(lines: &[&'a LineState]) -> Option<&'a LineState> {
    lines.iter().find(|line| line.left() > 0).or(lines.first()).copied()
}

/// Among lines with the right article, lot and bin: the picker's own, else the first free one that
/// still wants the whole pack.
fn free_line<'a>(
    lines: &[&'a LineState],
    units: u32,
    picker: &str,
    now_ms: i64,
) -> Result<&'a LineState, No<'a>> {
    let open: Vec<_> = lines.iter().copied().filter(|line| line.left() > 0).collect();
    if open.is_empty() {
        return Err(No { result: ScanResult::LineComplete, line: lines.last().copied() });
    }
    let free: Vec<_> =
        open.iter().copied().filter(|line| line.taken_by(picker, now_ms).is_none()).collect();
    let Some(first) = free.first() else {
        return Err(No { result: ScanResult::TakenBy, line: open.first().copied() });
    };
    let fits: Vec<_> = free.iter().copied().filter(|line| line.left() >= units).collect();
    let own = |line: &&&LineState| line.lease.as_ref().is_some_and(|(by, _)| by == picker);
    fits.iter()
        .find(own)
        .or(fits.first())
        .copied()
        .ok_or(No { result: ScanResult::LineComplete, line: Some(first) })
}

fn refused(scan: &Scan, picker: &str, no: &No<'_>) -> ScanRefused {
    let holder = no.line.and_then(|line| line.taken_by(picker, scan.now_ms));
    let taken_by = if no.result == ScanResult::TakenBy { holder } else { None };
    let stale = no.result == ScanResult::StaleList;
    ScanRefused {
        scan_id: scan.scan_id.clone(),
        result: no.result,
        bin: scan.bin.clone(),
        barcode: scan.barcode.clone(),
        line_id: no.line.map(|line| line.line.line_id.clone()).unwrap_or_default(),
        expected: no.line.filter(|_| !stale).map(|line| Expected {
            bin: line.line.place.bin.clone(),
            sku: line.line.place.sku.clone(),
            lot: line.line.place.lot.clone(),
        }),
        picker: picker.to_owned(),
        taken_by: taken_by.unwrap_or_default().to_owned(),
    }
}
