//! The ledger against a second one, kept in plain tables by somebody who never heard of events:
//! whatever is asked, in whatever order, both must agree.

use std::collections::{BTreeMap, BTreeSet};

use nexus_es::Decider;
use proptest::prelude::*;

use super::*;
use crate::domain::{Bin, Lot, Reference, ReservationId, Sku};

type Row = (Sku, Bin, Lot);

/// Three tables and the sums that went through the doors.
#[derive(Default)]
struct Tables {
    bins: BTreeMap<Row, u64>,
    /// The oldest promise first.
    promises: Vec<(ReservationId, BTreeMap<Sku, u64>)>,
    asked: BTreeMap<ReservationId, BTreeMap<Sku, u64>>,
    released: BTreeSet<ReservationId>,
    picked: BTreeMap<(ReservationId, Sku, Lot), u64>,
    done: BTreeSet<String>,
    balance: BTreeMap<Sku, i64>,
}

impl Tables {
    fn in_bins(&self, sku: &Sku) -> u64 {
        self.bins.iter().filter(|((of, ..), _)| of == sku).map(|(_, units)| units).sum()
    }

    fn held(&self, sku: &Sku) -> u64 {
        self.promises.iter().filter_map(|(_, lines)| lines.get(sku)).sum()
    }

    fn picked(&self, sku: &Sku) -> u64 {
        self.picked.iter().filter(|((_, of, _), _)| of == sku).map(|(_, units)| units).sum()
    }

    fn held_by(&mut self, id: &ReservationId) -> Option<&mut BTreeMap<Sku, u64>> {
        self.promises.iter_mut().find(|(of, _)| of == id).map(|(_, lines)| lines)
    }

    fn put(&mut self, lines: &[BinUnits]) {
        for line in lines {
            let row = (line.sku.clone(), line.bin.clone(), line.lot.clone());
            *self.bins.entry(row).or_default() += u64::from(line.units);
        }
    }

    fn came(&mut self, lines: &[BinUnits]) {
        self.put(lines);
        for line in lines {
            *self.balance.entry(line.sku.clone()).or_default() += i64::from(line.units);
        }
    }

    /// Does what `command` asks, or answers that it cannot be.
    fn carry_out(&mut self, command: &Command) -> Result<(), ()> {
        match command {
            Command::Receive { receipt, lines } => {
                self.once(&format!("receipt {receipt}"), lines, |tables| tables.came(lines))
            }
            Command::TakeBack { shipment, reference, lines, .. } => {
                let name = format!("return {shipment} {reference}");
                self.once(&name, lines, |tables| tables.came(lines))
            }
            Command::Adjust { sku, bin, lot, delta, .. } => self.adjust(sku, bin, lot, *delta),
            Command::Move { sku, from, to, lot, units, .. } => {
                let there = self.bins.entry((sku.clone(), from.clone(), lot.clone())).or_default();
                if from != to {
                    *there = there.checked_sub(u64::from(*units)).ok_or(())?;
                    let row = (sku.clone(), to.clone(), lot.clone());
                    *self.bins.entry(row).or_default() += u64::from(*units);
                }
                Ok(())
            }
            Command::Reserve { reservation, lines, .. } => self.reserve(reservation, lines),
            Command::Release { reservation, .. } => {
                let known = self.asked.contains_key(reservation);
                let held = self.held_by(reservation).map(std::mem::take).unwrap_or_default();
                if !known || held.values().any(|units| *units > 0) {
                    self.released.insert(reservation.clone());
                    self.asked.entry(reservation.clone()).or_default();
                }
                Ok(())
            }
            Command::AllocateBins { .. } => Ok(()),
            Command::Pick { reservation, lines, missing, pick_list, .. } => {
                self.pick(reservation, (lines, missing), pick_list)
            }
            Command::Unpick { reservation, lines, reference, .. } => {
                self.unpick(reservation, lines, reference)
            }
            Command::Ship { reservation, shipment, lines } => {
                self.ship(reservation, shipment, lines)
            }
        }
    }

    fn once(
        &mut self,
        name: &str,
        lines: &[BinUnits],
        act: impl FnOnce(&mut Self),
    ) -> Result<(), ()> {
        let mut lines = lines.to_vec();
        lines.sort();
        let content = format!("{name} {lines:?}");
        if self.done.contains(&content) {
            return Ok(());
        }
        if !self.done.insert(name.to_owned()) {
            return Err(());
        }
        self.done.insert(content);
        act(self);
        Ok(())
    }

    fn adjust(&mut self, sku: &Sku, bin: &Bin, lot: &Lot, delta: i64) -> Result<(), ()> {
        let there = self.bins.entry((sku.clone(), bin.clone(), lot.clone())).or_default();
        *there = there.checked_add_signed(delta).ok_or(())?;
        *self.balance.entry(sku.clone()).or_default() += delta;
        // The newest promise gives way, unit by unit.
        while self.held(sku) > self.in_bins(sku) {
            let newest = self.promises.iter_mut().rev().filter_map(|(_, lines)| lines.get_mut(sku));
            *newest.into_iter().find(|units| **units > 0).unwrap() -= 1;
        }
        Ok(())
    }

    fn reserve(&mut self, id: &ReservationId, lines: &[SkuUnits]) -> Result<(), ()> {
        let mut asked = BTreeMap::new();
        for line in lines {
            *asked.entry(line.sku.clone()).or_default() += u64::from(line.units);
        }
        if self.released.contains(id) {
            return Err(());
        }
        if let Some(before) = self.asked.get(id) {
            return if *before == asked { Ok(()) } else { Err(()) };
        }
        if asked.iter().any(|(sku, units)| self.held(sku) + units > self.in_bins(sku)) {
            return Err(());
        }
        self.asked.insert(id.clone(), asked.clone());
        self.promises.push((id.clone(), asked));
        Ok(())
    }

    fn pick(
        &mut self,
        id: &ReservationId,
        (lines, missing): (&[BinUnits], &[Missing]),
        pick_list: &Reference,
    ) -> Result<(), ()> {
        if !self.asked.contains_key(id) {
            return Err(());
        }
        let name = format!("picked {id} {pick_list}");
        if self.done.contains(&name) {
            return Ok(());
        }
        let (mut bins, mut held) = (self.bins.clone(), BTreeMap::new());
        if let Some(lines) = self.held_by(id) {
            held = lines.clone();
        }
        for line in lines {
            let units = u64::from(line.units);
            let row = (line.sku.clone(), line.bin.clone(), line.lot.clone());
            let there = bins.entry(row).or_default();
            *there = there.checked_sub(units).ok_or(())?;
            let promised = held.entry(line.sku.clone()).or_default();
            *promised = promised.checked_sub(units).ok_or(())?;
        }
        let rest = held.values().any(|units| *units > 0);
        if lines.is_empty() && missing.is_empty() && !rest {
            return Ok(());
        }
        self.bins = bins;
        // Nothing more is picked for it: whatever it still held is free.
        if let Some(held) = self.held_by(id) {
            held.clear();
        }
        for line in lines {
            let key = (id.clone(), line.sku.clone(), line.lot.clone());
            *self.picked.entry(key).or_default() += u64::from(line.units);
        }
        self.done.insert(name);
        Ok(())
    }

    /// Takes over what a pick wrote off: only where units were missing, and none that is promised.
    fn write_off(&mut self, missing: &[Missing], events: &[Event]) {
        for event in events {
            let Event::Adjusted { sku, bin, lot, delta, .. } = event else { continue };
            let there = |it: &Missing| (&it.at.sku, &it.at.bin, &it.at.lot) == (sku, bin, lot);
            assert!(missing.iter().any(there) && *delta < 0, "{event:?}");
            let row = self.bins.entry((sku.clone(), bin.clone(), lot.clone())).or_default();
            *row = row.checked_add_signed(*delta).unwrap();
            *self.balance.entry(sku.clone()).or_default() += delta;
            assert!(self.held(sku) <= self.in_bins(sku), "{event:?} takes what is promised");
        }
    }

    fn unpick(
        &mut self,
        id: &ReservationId,
        lines: &[BinUnits],
        reference: &Reference,
    ) -> Result<(), ()> {
        if !self.asked.contains_key(id) {
            return Err(());
        }
        let name = format!("put back {id} {reference}");
        if self.done.contains(&name) || lines.is_empty() {
            return Ok(());
        }
        let mut picked = self.picked.clone();
        for line in lines {
            let key = (id.clone(), line.sku.clone(), line.lot.clone());
            let units = picked.entry(key).or_default();
            *units = units.checked_sub(u64::from(line.units)).ok_or(())?;
        }
        self.picked = picked;
        self.put(lines);
        for line in lines {
            let held = self.held_by(id).unwrap().entry(line.sku.clone()).or_default();
            *held += u64::from(line.units);
        }
        self.done.insert(name);
        Ok(())
    }

    fn ship(
        &mut self,
        id: &ReservationId,
        shipment: &Reference,
        lines: &[SkuUnits],
    ) -> Result<(), ()> {
        if !self.asked.contains_key(id) {
            return Err(());
        }
        let name = format!("shipped {id} {shipment}");
        if self.done.contains(&name) {
            return Ok(());
        }
        let mut leaving: BTreeMap<Sku, u64> = BTreeMap::new();
        for ((of, sku, _), units) in &self.picked {
            if of == id && lines.is_empty() && *units > 0 {
                *leaving.entry(sku.clone()).or_default() += units;
            }
        }
        for line in lines {
            *leaving.entry(line.sku.clone()).or_default() += u64::from(line.units);
        }
        if leaving.is_empty() {
            return Err(());
        }
        let mut picked = self.picked.clone();
        for (sku, units) in &leaving {
            let mut left = *units;
            for ((of, of_sku, _), has) in &mut picked {
                if of == id && of_sku == sku {
                    let some = left.min(*has);
                    *has -= some;
                    left -= some;
                }
            }
            if left > 0 {
                return Err(());
            }
        }
        self.picked = picked;
        for (sku, units) in leaving {
            *self.balance.entry(sku).or_default() -= i64::try_from(units).unwrap();
        }
        self.done.insert(name);
        Ok(())
    }
}

const SKUS: [&str; 3] = ["MUG", "CUP", "PAN"];
const BINS: [&str; 4] = ["A-1", "A-2", "B-1", "B-2"];
const LOTS: [&str; 2] = ["", "L7"];
const NAMES: [&str; 8] = ["1/1", "1/2", "2/1", "3/1", "4/1", "5/1", "6/1", "7/1"];

fn walk() -> Walk {
    BINS.iter().zip(1..).map(|(bin, nth)| ((*bin).into(), nth)).collect()
}

fn one_of(names: &'static [&'static str]) -> impl Strategy<Value = &'static str> {
    proptest::sample::select(names)
}

fn bin_lines(most: u32) -> impl Strategy<Value = Vec<BinUnits>> {
    let line = (one_of(&SKUS), one_of(&BINS), one_of(&LOTS), 1..=most).prop_map(
        |(sku, bin, lot, units)| BinUnits {
            sku: sku.into(),
            bin: bin.into(),
            lot: lot.into(),
            units,
        },
    );
    proptest::collection::vec(line, 1..4)
}

fn sku_lines(most: u32, fewest: usize) -> impl Strategy<Value = Vec<SkuUnits>> {
    let line =
        (one_of(&SKUS), 1..=most).prop_map(|(sku, units)| SkuUnits { sku: sku.into(), units });
    proptest::collection::vec(line, fewest..3)
}

fn intake() -> impl Strategy<Value = Command> {
    let name = || (0..12_u32).prop_map(|n| Reference::from(format!("R{n}")));
    let place = (one_of(&SKUS), one_of(&BINS), one_of(&LOTS));
    prop_oneof![
        3 => (name(), bin_lines(9))
            .prop_map(|(receipt, lines)| Command::Receive { receipt, lines }),
        2 => (place, -7..4_i64).prop_map(|((sku, bin, lot), delta)| Command::Adjust {
            sku: sku.into(), bin: bin.into(), lot: lot.into(), delta,
            reason: "counted".into(), walk: walk(),
        }),
        2 => (one_of(&SKUS), one_of(&BINS), one_of(&BINS), one_of(&LOTS), 1..6_u32).prop_map(
            |(sku, from, to, lot, units)| Command::Move {
                sku: sku.into(), from: from.into(), to: to.into(), lot: lot.into(), units,
                walk: walk(),
            }
        ),
        1 => (name(), bin_lines(3)).prop_map(|(reference, lines)| Command::TakeBack {
            order: "1".into(), shipment: "S1".into(), reference, lines,
        }),
    ]
}

fn missing() -> impl Strategy<Value = Vec<Missing>> {
    let lines = prop_oneof![2 => Just(vec![]), 1 => bin_lines(3)];
    lines.prop_map(|lines: Vec<BinUnits>| {
        lines.into_iter().map(|at| Missing { at, reason: "empty".into() }).collect()
    })
}

fn outgoing() -> impl Strategy<Value = Command> {
    let name = || (0..4_u32).prop_map(|n| Reference::from(format!("N{n}")));
    let reservation = || one_of(&NAMES).prop_map(ReservationId::from);
    let several = proptest::collection::vec(reservation(), 1..5);
    prop_oneof![
        6 => (reservation(), sku_lines(5, 1)).prop_map(|(reservation, lines)| Command::Reserve {
            reservation, order: "1".into(), lines,
        }),
        1 => reservation().prop_map(|reservation| Command::Release {
            reservation, order: "1".into(), reason: "cancelled".into(),
        }),
        4 => (several, name()).prop_map(|(reservations, pick_list)| Command::AllocateBins {
            reservations, pick_list, walk: walk(),
        }),
        4 => (reservation(), bin_lines(3), missing(), name()).prop_map(
            |(reservation, lines, missing, pick_list)| {
                Command::Pick { reservation, lines, missing, pick_list, walk: walk() }
            }
        ),
        1 => (reservation(), bin_lines(2), name()).prop_map(|(reservation, lines, reference)| {
            Command::Unpick { reservation, lines, reason: "cancelled".into(), reference }
        }),
        2 => (reservation(), name(), sku_lines(2, 0)).prop_map(|(reservation, shipment, lines)| {
            Command::Ship { reservation, shipment, lines }
        }),
    ]
}

fn commands() -> impl Strategy<Value = Vec<Command>> {
    proptest::collection::vec(prop_oneof![2 => intake(), 3 => outgoing()], 1..60)
}

fn agree(ledger: &StockLedger, tables: &Tables) {
    assert_eq!(ledger.audit(), Vec::<String>::new());
    for sku in SKUS.map(Sku::from) {
        let shelf = ledger.shelf(&sku).cloned().unwrap_or_default();
        assert_eq!(shelf.in_bins, tables.in_bins(&sku), "{sku} in bins");
        assert_eq!(shelf.held, tables.held(&sku), "{sku} held");
        assert_eq!(shelf.picked, tables.picked(&sku), "{sku} picked");
        let balance = tables.balance.get(&sku).copied().unwrap_or_default();
        assert_eq!(i64::try_from(shelf.on_hand()).unwrap(), balance, "{sku} is conserved");
        for ((_, bin, lot), units) in tables.bins.iter().filter(|((of, ..), _)| *of == sku) {
            let place = Place { bin: bin.clone(), lot: lot.clone() };
            assert_eq!(ledger.pile(&sku, &place).units, *units, "{sku} in {bin} {lot}");
        }
    }
    for (id, lines) in &tables.promises {
        for (sku, units) in lines {
            let line = &ledger.reservation(id).unwrap().lines;
            let held = line.get(sku).map_or(0, |line| u64::from(line.held));
            assert_eq!(held, *units, "{id} holds {sku}");
        }
    }
}

/// The ledger after the events, each of which must leave the books in order by itself.
fn evolved(mut ledger: StockLedger, events: &[Event]) -> StockLedger {
    for event in events {
        let before = ledger.clone();
        ledger = ledger.evolve(event);
        let mut physical: BTreeMap<Sku, i64> = BTreeMap::new();
        let mut booked: BTreeMap<(Account, Sku), i64> = BTreeMap::new();
        for posting in postings(event) {
            if posting.account.is_physical() {
                *physical.entry(posting.sku.clone()).or_default() += posting.delta;
            }
            *booked.entry((posting.account, posting.sku)).or_default() += posting.delta;
        }
        assert!(physical.values().all(|sum| *sum == 0), "{event:?} is not double entry");
        for sku in SKUS.map(Sku::from) {
            let sums = |ledger: &StockLedger| {
                let shelf = ledger.shelf(&sku).cloned().unwrap_or_default();
                assert!(shelf.held <= shelf.in_bins, "{event:?} promises more than there is");
                let allocated = shelf.piles.values().map(|pile| pile.allocated).sum();
                [
                    (Account::Bin, shelf.in_bins),
                    (Account::Held, shelf.held),
                    (Account::Picked, shelf.picked),
                    (Account::Allocated, allocated),
                ]
            };
            for ((account, was), (_, is)) in sums(&before).into_iter().zip(sums(&ledger)) {
                let moved = i64::try_from(is).unwrap() - i64::try_from(was).unwrap();
                let posted = booked.get(&(account, sku.clone())).copied().unwrap_or_default();
                assert_eq!(moved, posted, "{event:?} posts what it moves of {sku} {account:?}");
            }
        }
    }
    ledger
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(512))]

    #[test]
    fn no_unit_appears_vanishes_or_is_promised_twice(commands in commands()) {
        let (mut ledger, mut tables) = (StockLedger::default(), Tables::default());
        for command in &commands {
            let decided = ledger.decide(command);
            let expected = tables.carry_out(command);
            prop_assert_eq!(decided.is_ok(), expected.is_ok(), "{:?}: {:?}", command, decided);
            let events = decided.unwrap_or_default();
            ledger = evolved(ledger, &events);
            if let Command::Pick { missing, .. } = command && !events.is_empty() {
                tables.write_off(missing, &events);
                for Missing { at, .. } in missing {
                    let free = ledger.pile(&at.sku, &Place::of(at)).free();
                    prop_assert_eq!(free.min(ledger.available(&at.sku)), 0, "{:?}", at);
                }
            }
            agree(&ledger, &tables);
        }
    }

    #[test]
    fn release_gives_back_exactly_what_reserve_took(
        commands in commands(),
        lines in sku_lines(5, 1),
    ) {
        let mut ledger = StockLedger::default();
        for command in &commands {
            let events = ledger.decide(command).unwrap_or_default();
            ledger = evolved(ledger, &events);
        }
        let before = SKUS.map(|sku| ledger.available(&sku.into()));
        let reservation = ReservationId::from("new/1");
        let order = OrderId::from("new");
        let reserve = Command::Reserve {
            reservation: reservation.clone(), order: order.clone(), lines,
        };
        let taken = ledger.decide(&reserve).unwrap_or_default();
        ledger = evolved(ledger, &taken);
        let allocate = Command::AllocateBins {
            reservations: vec![reservation.clone()], pick_list: "P".into(), walk: walk(),
        };
        let chosen = ledger.decide(&allocate).unwrap();
        ledger = evolved(ledger, &chosen);
        let release = Command::Release { reservation, order, reason: "cancelled".into() };
        let back = ledger.decide(&release).unwrap();
        ledger = evolved(ledger, &back);
        prop_assert_eq!(before, SKUS.map(|sku| ledger.available(&sku.into())));
        prop_assert_eq!(ledger.audit(), Vec::<String>::new());
        prop_assert_eq!(ledger.decide(&reserve), Err(Refusal::ReleasedBefore));
    }

    #[test]
    fn any_history_can_be_folded_even_a_damaged_one(
        commands in commands(),
        order in proptest::collection::vec(any::<proptest::sample::Index>(), 0..80),
    ) {
        let mut ledger = StockLedger::default();
        let mut events = Vec::new();
        for command in &commands {
            let more = ledger.decide(command).unwrap_or_default();
            ledger = more.iter().fold(ledger, StockLedger::evolve);
            events.extend(more);
        }
        if !events.is_empty() {
            let shuffled = order.iter().map(|index| index.get(&events));
            let damaged = shuffled.fold(StockLedger::default(), StockLedger::evolve);
            // Whatever it found, it found it without falling over.
            let _found = damaged.audit();
        }
    }
}
