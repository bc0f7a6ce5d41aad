//! How the books follow what happened. Nothing is decided here, and nothing can fail: what a ledger
//! in good order recorded never takes an account below zero, and a damaged one stops at zero for
//! `audit` to find.

use std::hash::{DefaultHasher, Hash, Hasher};

use super::{Event, FINISHED_KEPT, Line, LotUnits, Place, Reservation, Step, StockLedger};
use crate::domain::{BinUnits, Lot, OrderId, ReservationId, Sku};

impl StockLedger {
    pub(super) fn after(mut self, event: &Event) -> Self {
        match event {
            Event::Received { receipt, lines } => {
                self.receipts.insert(receipt.clone(), fingerprint(lines));
                self.put_all(lines);
            }
            Event::Adjusted { sku, bin, lot, delta, .. } => {
                let place = Place { bin: bin.clone(), lot: lot.clone() };
                if *delta < 0 {
                    self.take(sku, &place, delta.unsigned_abs());
                } else {
                    self.put(sku, place, delta.unsigned_abs());
                }
            }
            Event::Moved { sku, from, to, lot, units } => {
                let place = |bin: &super::Bin| Place { bin: bin.clone(), lot: lot.clone() };
                self.take(sku, &place(from), u64::from(*units));
                self.put(sku, place(to), u64::from(*units));
            }
            Event::Reserved { reservation, order, lines } => {
                self.begin(reservation, order);
                for line in lines {
                    self.line(reservation, &line.sku).asked = line.units;
                    self.hold(reservation, &line.sku, line.units);
                }
            }
            Event::Released { reservation, lines, given_up, .. } => {
                given_up.iter().for_each(|line| self.unchoose(reservation, line));
                lines.iter().for_each(|line| self.unhold(reservation, &line.sku, line.units));
                self.end(reservation);
            }
            Event::ReleasedUnseen { reservation, order, .. } => {
                self.begin(reservation, order);
                self.end(reservation);
            }
            Event::PromiseBroken { reservation, sku, units, .. } => {
                self.unhold(reservation, sku, *units);
                self.finish_if_idle(reservation);
            }
            Event::BinsAllocated { .. }
            | Event::BinsReallocated { .. }
            | Event::Picked { .. }
            | Event::ShortPicked { .. }
            | Event::Unpicked { .. }
            | Event::Shipped { .. }
            | Event::TakenBack { .. } => self.after_walk(event),
        }
        self
    }

    /// What happened while goods were fetched, sent off, and came back.
    fn after_walk(&mut self, event: &Event) {
        match event {
            Event::BinsAllocated { reservation, lines, .. } => {
                lines.iter().for_each(|line| self.choose(reservation, line));
            }
            Event::BinsReallocated { reservation, given_up, taken, .. } => {
                given_up.iter().for_each(|line| self.unchoose(reservation, line));
                taken.iter().for_each(|line| self.choose(reservation, line));
            }
            Event::Picked { reservation, lines, pick_list, .. } => {
                self.step(reservation, Step::PickList(pick_list.clone()));
                lines.iter().for_each(|line| self.pick_up(reservation, line));
            }
            Event::ShortPicked { reservation, pick_list, lines, given_up, missing, .. } => {
                self.step(reservation, Step::PickList(pick_list.clone()));
                given_up.iter().for_each(|line| self.unchoose(reservation, line));
                lines.iter().for_each(|line| self.unhold(reservation, &line.sku, line.units));
                missing.iter().for_each(|missing| self.doubt(&missing.at));
                self.finish_if_idle(reservation);
            }
            Event::Unpicked { reservation, lines, reference, .. } => {
                self.step(reservation, Step::PutBack(reference.clone()));
                lines.iter().for_each(|line| self.put_back(reservation, line));
            }
            Event::Shipped { reservation, shipment, lines, .. } => {
                self.step(reservation, Step::Shipment(shipment.clone()));
                lines.iter().for_each(|line| self.send_off(reservation, line));
                self.finish_if_idle(reservation);
            }
            Event::TakenBack { shipment, reference, lines, .. } => {
                let name = (shipment.clone(), reference.clone());
                self.returns.insert(name, fingerprint(lines));
                self.put_all(lines);
            }
            Event::Received { .. }
            | Event::Adjusted { .. }
            | Event::Moved { .. }
            | Event::Reserved { .. }
            | Event::Released { .. }
            | Event::ReleasedUnseen { .. }
            | Event::PromiseBroken { .. } => {}
        }
    }

    fn tick(&mut self) -> u64 {
        self.clock = self.clock.saturating_add(1);
        self.clock
    }

    fn begin(&mut self, id: &ReservationId, order: &OrderId) {
        let age = self.tick();
        let fresh = Reservation { order: order.clone(), age, ..Reservation::default() };
        self.reservations.insert(id.clone(), fresh);
    }

    fn end(&mut self, id: &ReservationId) {
        if let Some(known) = self.reservations.get_mut(id) {
            known.released = true;
        }
        self.finish_if_idle(id);
    }

    fn step(&mut self, id: &ReservationId, step: Step) {
        self.reservations.entry(id.clone()).or_default().steps.insert(step);
    }

    fn line(&mut self, id: &ReservationId, sku: &Sku) -> &mut Line {
        // The shelf's copy of the SKU's name is shared, not the event's.
        let sku = self.shelves.get_key_value(sku).map_or(sku, |(known, _)| known);
        let reservation = self.reservations.entry(id.clone()).or_default();
        reservation.lines.entry(sku.clone()).or_default()
    }

    fn put_all(&mut self, lines: &[BinUnits]) {
        for line in lines {
            self.put(&line.sku, Place::of(line), u64::from(line.units));
        }
    }

    fn put(&mut self, sku: &Sku, place: Place, units: u64) {
        let now = self.tick();
        let shelf = self.shelves.entry(sku.clone()).or_default();
        shelf.in_bins = shelf.in_bins.saturating_add(units);
        let pile = shelf.piles.entry(place).or_default();
        if pile.units == 0 {
            pile.since = now;
        }
        pile.units = pile.units.saturating_add(units);
        pile.doubtful = false;
    }

    fn doubt(&mut self, at: &BinUnits) {
        let shelf = self.shelves.get_mut(&at.sku);
        let pile = shelf.and_then(|shelf| shelf.piles.get_mut(&Place::of(at)));
        pile.into_iter().for_each(|pile| pile.doubtful = true);
    }

    fn take(&mut self, sku: &Sku, place: &Place, units: u64) {
        let Some(shelf) = self.shelves.get_mut(sku) else { return };
        shelf.in_bins = shelf.in_bins.saturating_sub(units);
        if let Some(pile) = shelf.piles.get_mut(place) {
            pile.units = pile.units.saturating_sub(units);
        }
        shelf.sweep(place);
    }

    fn hold(&mut self, id: &ReservationId, sku: &Sku, units: u32) {
        let line = self.line(id, sku);
        line.held = line.held.saturating_add(units);
        let age = self.reservations.get(id).map(|known| known.age).unwrap_or_default();
        let shelf = self.shelves.entry(sku.clone()).or_default();
        shelf.held = shelf.held.saturating_add(u64::from(units));
        shelf.holders.insert(age, id.clone());
    }

    fn unhold(&mut self, id: &ReservationId, sku: &Sku, units: u32) {
        let line = self.line(id, sku);
        line.held = line.held.saturating_sub(units);
        let left = line.held;
        let age = self.reservations.get(id).map(|known| known.age).unwrap_or_default();
        let Some(shelf) = self.shelves.get_mut(sku) else { return };
        shelf.held = shelf.held.saturating_sub(u64::from(units));
        if left == 0 {
            shelf.holders.remove(&age);
        }
    }

    fn choose(&mut self, id: &ReservationId, at: &BinUnits) {
        let place = Place::of(at);
        let chosen = self.line(id, &at.sku).allocated.entry(place.clone()).or_default();
        *chosen = chosen.saturating_add(at.units);
        let shelf = self.shelves.entry(at.sku.clone()).or_default();
        let pile = shelf.piles.entry(place).or_default();
        pile.allocated = pile.allocated.saturating_add(u64::from(at.units));
    }

    fn unchoose(&mut self, id: &ReservationId, at: &BinUnits) {
        let place = Place::of(at);
        let allocated = &mut self.line(id, &at.sku).allocated;
        if let Some(chosen) = allocated.get_mut(&place) {
            *chosen = chosen.saturating_sub(at.units);
            if *chosen == 0 {
                allocated.remove(&place);
            }
        }
        let Some(shelf) = self.shelves.get_mut(&at.sku) else { return };
        if let Some(pile) = shelf.piles.get_mut(&place) {
            pile.allocated = pile.allocated.saturating_sub(u64::from(at.units));
        }
        shelf.sweep(&place);
    }

    fn pick_up(&mut self, id: &ReservationId, at: &BinUnits) {
        self.unchoose(id, at);
        self.unhold(id, &at.sku, at.units);
        self.take(&at.sku, &Place::of(at), u64::from(at.units));
        let picked = self.line(id, &at.sku).picked.entry(at.lot.clone()).or_default();
        *picked = picked.saturating_add(at.units);
        let shelf = self.shelves.entry(at.sku.clone()).or_default();
        shelf.picked = shelf.picked.saturating_add(u64::from(at.units));
    }

    fn put_back(&mut self, id: &ReservationId, line: &BinUnits) {
        self.put_down(id, &line.sku, &line.lot, line.units);
        self.put(&line.sku, Place::of(line), u64::from(line.units));
        self.hold(id, &line.sku, line.units);
    }

    fn send_off(&mut self, id: &ReservationId, line: &LotUnits) {
        self.put_down(id, &line.sku, &line.lot, line.units);
        let shipped = &mut self.line(id, &line.sku).shipped;
        *shipped = shipped.saturating_add(line.units);
    }

    fn put_down(&mut self, id: &ReservationId, sku: &Sku, lot: &Lot, units: u32) {
        let picked = &mut self.line(id, sku).picked;
        if let Some(of_lot) = picked.get_mut(lot) {
            *of_lot = of_lot.saturating_sub(units);
            if *of_lot == 0 {
                picked.remove(lot);
            }
        }
        if let Some(shelf) = self.shelves.get_mut(sku) {
            shelf.picked = shelf.picked.saturating_sub(u64::from(units));
        }
    }

    /// A promise without held and picked units can never have any again: it is kept for a while
    /// for those who ask late.
    fn finish_if_idle(&mut self, id: &ReservationId) {
        let Some(known) = self.reservations.get(id) else { return };
        if known.lines.values().any(|line| line.held > 0 || !line.picked.is_empty()) {
            return;
        }
        self.finished.push_back(id.clone());
        if self.finished.len() > FINISHED_KEPT
            && let Some(oldest) = self.finished.pop_front()
        {
            self.reservations.remove(&oldest);
        }
    }
}

impl super::Shelf {
    fn sweep(&mut self, place: &Place) {
        if self.piles.get(place).is_some_and(|pile| pile.units == 0 && pile.allocated == 0) {
            self.piles.remove(place);
        }
    }
}

impl Place {
    pub(super) fn of(line: &BinUnits) -> Self {
        Self { bin: line.bin.clone(), lot: line.lot.clone() }
    }
}

/// A digest of lines that does not depend on their order: it tells a repeat from another content.
pub(super) fn fingerprint(lines: &[BinUnits]) -> u64 {
    let mut sorted: Vec<_> = lines.iter().collect();
    sorted.sort();
    let mut hasher = DefaultHasher::new();
    sorted.hash(&mut hasher);
    hasher.finish()
}
