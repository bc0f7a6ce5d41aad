//! The stock ledgers, kept twice: once by what events state as postings, once by what they say was
//! moved; and the promises beside them.

mod moves;

use std::collections::{BTreeMap, HashMap};

use nexus_proto::inventory::v1::posting::Account;

use crate::facts::{Fact, Id, Place};
use crate::orders::Units;
use crate::report::{Invariant, Report};
use moves::{Leg, Moves, Named};

/// Warehouse and name.
pub(crate) type Name = (String, String);

/// One reservation.
pub(crate) struct Promise {
    pub(crate) place: Place,
    /// What led to it.
    pub(crate) causation: Option<Id>,
    pub(crate) order_id: String,
    /// What was promised at first.
    pub(crate) asked: Units,
    held: HashMap<String, i64>,
    allocated: HashMap<String, i64>,
    picked: HashMap<String, i64>,
    /// Where it was given back before anything was picked, and what led to that.
    pub(crate) released: Option<(Place, Option<Id>)>,
    was_picked: bool,
    /// Its pick is over: nothing that it still holds will ever be picked.
    pub(crate) ended: bool,
}

impl Promise {
    /// Units held, and units picked and not yet shipped.
    pub(crate) fn open(&self) -> (i64, i64) {
        (self.held.values().sum(), self.picked.values().sum())
    }
}

/// SKU, bin, lot.
type Spot = (String, String, String);

/// The totals of one SKU in one warehouse.
#[derive(Default)]
struct Totals {
    /// Received − shipped ± adjusted + taken back.
    outside: i64,
    bins: i64,
    picked: i64,
    held: i64,
    /// It was oversold once: what follows from that is not found again.
    oversold: bool,
}

#[derive(Default)]
struct Ledger {
    by_lines: HashMap<Spot, i64>,
    by_postings: HashMap<Spot, i64>,
    allocated: HashMap<Spot, i64>,
    totals: HashMap<String, Totals>,
}

#[derive(Default)]
pub(crate) struct Stock {
    ledgers: HashMap<String, Ledger>,
    pub(crate) promises: HashMap<Name, Promise>,
    /// What the current commit touched.
    touched: Vec<Spot>,
}

impl Stock {
    pub(crate) fn hear(&mut self, fact: &Fact<'_>, report: &mut Report) {
        let Some(moves) = moves::of(fact, report) else { return };
        let warehouse = fact.of().to_owned();
        self.promise(fact, &moves, report);
        let ledger = self.ledgers.entry(warehouse.clone()).or_default();
        if fact.kind() == "stock_ledger.Reserved" {
            ledger.sell(&moves.legs, fact.place, report);
        }
        if let Some(stated) = &moves.stated {
            compare(&moves.legs, stated, fact.place, report);
        }
        let stated = moves.stated.as_ref().unwrap_or(&moves.legs);
        for leg in &moves.legs {
            ledger.book(leg);
            if let Some(name) = moves.named.name() {
                let key = (warehouse.clone(), name.to_owned());
                self.promises.get_mut(&key).into_iter().for_each(|promise| promise.book(leg));
            }
            self.touched.push(leg.spot());
        }
        for leg in stated.iter().filter(|leg| leg.account == Account::Bin) {
            add(ledger.by_postings.entry(leg.spot()).or_default(), leg.delta);
        }
        ledger.conserves(&moves.legs, fact.place, report);
        let Some(name) = moves.named.name() else { return };
        if let Some(promise) = self.promises.get(&(warehouse, name.to_owned())) {
            promise.is_sound(name, fact.place, report);
        }
    }

    /// What need hold only when all events of a commit are booked.
    pub(crate) fn end_of_commit(&mut self, place: &Place, report: &mut Report) {
        let mut touched = std::mem::take(&mut self.touched);
        touched.sort_unstable();
        touched.dedup();
        let Some(ledger) = self.ledgers.get(&place.aggregate.id) else { return };
        let mut last: Option<&str> = None;
        for spot in &touched {
            let sku = spot.0.as_str();
            if last != Some(sku) {
                ledger.keeps_promises(sku, place, report);
            }
            last = Some(sku);
            ledger.keeps_choices(spot, place, report);
        }
    }

    /// The sum of all promises, counted anew from each of them.
    pub(crate) fn end(&self, report: &mut Report) {
        let mut held: BTreeMap<(&str, &str), (i64, &Place)> = BTreeMap::new();
        for ((warehouse, _), promise) in &self.promises {
            for (sku, units) in &promise.held {
                let sum = held.entry((warehouse, sku)).or_insert((0, &promise.place));
                add(&mut sum.0, *units);
            }
        }
        for ((warehouse, sku), (units, place)) in held {
            let ledger = self.ledgers.get(warehouse);
            let Some(totals) = ledger.and_then(|ledger| ledger.totals.get(sku)) else { continue };
            let fits = units <= totals.bins || totals.oversold || totals.held > totals.bins;
            report.expect(Invariant::I19, fits, place, || {
                format!("all promises of {sku} sum to {units}, {} lie in bins", totals.bins)
            });
        }
    }

    fn promise(&mut self, fact: &Fact<'_>, moves: &Moves, report: &mut Report) {
        match &moves.named {
            Named::Reserved { name, order_id } => {
                let key = (fact.of().to_owned(), name.clone());
                let fresh = !self.promises.contains_key(&key);
                report.expect(Invariant::I20, fresh, fact.place, || {
                    format!("{name} is reserved a second time")
                });
                if fresh {
                    self.promises.insert(key, Promise::new(fact, order_id, &moves.legs));
                }
            }
            Named::Released(name) => {
                let key = (fact.of().to_owned(), name.clone());
                let known = self.promises.get_mut(&key);
                if let Some(promise) = known.filter(|promise| !promise.was_picked) {
                    promise.released = Some((fact.place.clone(), fact.causation()));
                }
            }
            Named::Other(name) => {
                let key = (fact.of().to_owned(), name.clone());
                let promise = self.promises.get_mut(&key);
                let known = promise.is_some();
                promise.into_iter().for_each(|promise| promise.step(fact.kind()));
                report.expect(Invariant::I18, known, fact.place, || {
                    format!("{} names {name}, which was never reserved", fact.kind())
                });
            }
            Named::Nobody => {}
        }
    }
}

/// What is stated as postings must be what the lines say, and sum to nothing per SKU.
fn compare(lines: &[Leg], stated: &[Leg], place: &Place, report: &mut Report) {
    let mut physical: BTreeMap<&str, i64> = BTreeMap::new();
    for leg in stated.iter().filter(|leg| leg.is_physical()) {
        add(physical.entry(leg.sku.as_str()).or_default(), leg.delta);
    }
    for (sku, sum) in physical {
        report.expect(Invariant::I17, sum == 0, place, || {
            format!("the postings of {sku} sum to {sum}, not to nothing")
        });
    }
    let difference = moves::difference(lines, stated);
    report.expect(Invariant::I17, difference.is_none(), place, || difference.unwrap_or_default());
}

impl Ledger {
    fn book(&mut self, leg: &Leg) {
        let totals = self.totals.entry(leg.sku.clone()).or_default();
        match leg.account {
            Account::Bin => {
                add(&mut totals.bins, leg.delta);
                add(self.by_lines.entry(leg.spot()).or_default(), leg.delta);
            }
            Account::Picked => add(&mut totals.picked, leg.delta),
            // What comes from outside leaves there.
            Account::Supplier | Account::Customer | Account::Difference => {
                add(&mut totals.outside, leg.delta.saturating_neg());
            }
            Account::Held => add(&mut totals.held, leg.delta),
            Account::Allocated => {
                add(self.allocated.entry(leg.spot()).or_default(), leg.delta);
            }
            Account::Unspecified => {}
        }
    }

    /// A promise may take only what no other one has.
    fn sell(&mut self, legs: &[Leg], place: &Place, report: &mut Report) {
        for leg in legs.iter().filter(|leg| leg.account == Account::Held) {
            let totals = self.totals.entry(leg.sku.clone()).or_default();
            let available = totals.bins.saturating_sub(totals.held);
            let oversold = leg.delta > available;
            totals.oversold |= oversold;
            report.expect(Invariant::I19, !oversold, place, || {
                let (sku, units) = (&leg.sku, leg.delta);
                format!("{units} of {sku} are promised, {available} were to be had")
            });
        }
    }

    fn conserves(&self, legs: &[Leg], place: &Place, report: &mut Report) {
        for leg in legs.iter().filter(|leg| leg.is_physical()) {
            let Some(totals) = self.totals.get(&leg.sku) else { continue };
            let inside = totals.bins.saturating_add(totals.picked);
            report.expect(Invariant::I17, inside == totals.outside, place, || {
                let (sku, outside) = (&leg.sku, totals.outside);
                format!("{inside} of {sku} are in the house, {outside} came and did not leave")
            });
            if leg.account == Account::Bin {
                let spot = leg.spot();
                let of = |book: &HashMap<Spot, i64>| book.get(&spot).copied().unwrap_or(0);
                let (lines, postings) = (of(&self.by_lines), of(&self.by_postings));
                report.expect(Invariant::I17, lines == postings && lines >= 0, place, || {
                    let (sku, bin, lot) = (&spot.0, &spot.1, lot(&spot.2));
                    format!("{sku} in {bin}{lot}: {lines} by the lines, {postings} by the postings")
                });
            }
        }
    }

    fn keeps_promises(&self, sku: &str, place: &Place, report: &mut Report) {
        let Some(totals) = self.totals.get(sku) else { return };
        let Totals { held, bins, oversold, .. } = totals;
        let fits = *held >= 0 && (held <= bins || *oversold);
        report.expect(Invariant::I18, fits, place, || {
            format!("{held} of {sku} are reserved, {bins} lie in bins")
        });
    }

    fn keeps_choices(&self, spot: &Spot, place: &Place, report: &mut Report) {
        let Some(chosen) = self.allocated.get(spot) else { return };
        let there = self.by_lines.get(spot).copied().unwrap_or(0);
        report.expect(Invariant::I18, (0..=there.max(0)).contains(chosen), place, || {
            let (sku, bin, lot) = (&spot.0, &spot.1, lot(&spot.2));
            format!("{chosen} of {sku} are chosen from {bin}{lot}, {there} lie there")
        });
    }
}

/// A damaged log may say anything: it must not stop the books.
fn add(sum: &mut i64, delta: i64) {
    *sum = sum.saturating_add(delta);
}

fn lot(lot: &str) -> String {
    if lot.is_empty() { String::new() } else { format!(" lot {lot}") }
}

impl Promise {
    fn new(fact: &Fact<'_>, order_id: &str, legs: &[Leg]) -> Self {
        let mut asked = Units::new();
        for leg in legs {
            let units = asked.entry(leg.sku.clone()).or_default();
            *units = units.saturating_add(leg.delta.unsigned_abs());
        }
        Self {
            place: fact.place.clone(),
            causation: fact.causation(),
            order_id: order_id.to_owned(),
            asked,
            held: HashMap::new(),
            allocated: HashMap::new(),
            picked: HashMap::new(),
            released: None,
            was_picked: false,
            ended: false,
        }
    }

    /// A pick is the last one for its promise, unless its units are put back and held again.
    fn step(&mut self, kind: &str) {
        match kind {
            "stock_ledger.Picked" | "stock_ledger.ShortPicked" => self.ended = true,
            "stock_ledger.Unpicked" => self.ended = false,
            _ => {}
        }
    }

    fn book(&mut self, leg: &Leg) {
        let book = match leg.account {
            Account::Held => &mut self.held,
            Account::Allocated => &mut self.allocated,
            Account::Picked => {
                self.was_picked = true;
                &mut self.picked
            }
            _ => return,
        };
        let units = book.entry(leg.sku.clone()).or_default();
        add(units, leg.delta);
        if *units == 0 {
            book.remove(&leg.sku);
        }
    }

    fn is_sound(&self, name: &str, place: &Place, report: &mut Report) {
        let negative = [&self.held, &self.picked, &self.allocated]
            .into_iter()
            .flatten()
            .find(|(_, units)| **units < 0);
        report.expect(Invariant::I18, negative.is_none(), place, || {
            let (sku, units) = negative.map_or(("", 0), |(sku, units)| (sku.as_str(), *units));
            format!("{name} gives more of {sku} than it has: {units} are left")
        });
    }
}
