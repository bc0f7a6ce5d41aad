//! Units that come, are counted, or change bins: receive, take back, adjust, move.

use std::collections::BTreeMap;

use super::evolve::fingerprint;
use super::rebalance::Rebalance;
use super::{Event, MOST_UNITS, Place, Refusal, Shelf, StockLedger};
use crate::domain::warehouse::Walk;
use crate::domain::{Bin, BinUnits, Lot, OrderId, Reference, Sku};

type Decision = Result<Vec<Event>, Refusal>;

impl StockLedger {
    pub(super) fn receive(&self, receipt: &Reference, lines: &[BinUnits]) -> Decision {
        if let Some(known) = self.receipts.get(receipt) {
            return once(receipt, *known, lines);
        }
        self.check_room(lines)?;
        let (receipt, lines) = (receipt.clone(), lines.to_vec());
        Ok(vec![Event::Received { receipt, lines }])
    }

    pub(super) fn take_back(
        &self,
        order: &OrderId,
        shipment: &Reference,
        reference: &Reference,
        lines: &[BinUnits],
    ) -> Decision {
        if let Some(known) = self.returns.get(&(shipment.clone(), reference.clone())) {
            return once(reference, *known, lines);
        }
        self.check_room(lines)?;
        Ok(vec![Event::TakenBack {
            order: order.clone(),
            shipment: shipment.clone(),
            reference: reference.clone(),
            lines: lines.to_vec(),
        }])
    }

    pub(super) fn adjust(
        &self,
        sku: &Sku,
        place: &Place,
        delta: i64,
        reason: &str,
        walk: &Walk,
    ) -> Decision {
        let adjusted = Event::Adjusted {
            sku: sku.clone(),
            bin: place.bin.clone(),
            lot: place.lot.clone(),
            delta,
            reason: reason.to_owned(),
        };
        let units = delta.unsigned_abs();
        let on_hand = self.shelf(sku).map_or(0, Shelf::on_hand);
        if delta >= 0 && on_hand.saturating_add(units) > MOST_UNITS {
            return Err(Refusal::TooMany { sku: sku.clone() });
        }
        if delta >= 0 {
            return Ok(if delta == 0 { vec![] } else { vec![adjusted] });
        }
        let left = self.left_in(sku, place, units)?;
        let mut balance = Rebalance::new(self, sku, walk);
        let mut events = self.break_promises(sku, units, reason);
        for event in &events {
            if let Event::PromiseBroken { reservation, left, .. } = event {
                balance.shrink(reservation, u64::from(*left), &BTreeMap::new(), Some(place));
            }
        }
        balance.set_units(place, left);
        let needs = balance.make_room(place, 0, None);
        balance.settle(needs, None);
        events.push(adjusted);
        events.extend(balance.into_events());
        Ok(events)
    }

    pub(super) fn relocate(
        &self,
        sku: &Sku,
        (from, to): (&Bin, &Bin),
        lot: &Lot,
        units: u32,
        walk: &Walk,
    ) -> Decision {
        if from == to || units == 0 {
            return Ok(vec![]);
        }
        let place = |bin: &Bin| Place { bin: bin.clone(), lot: lot.clone() };
        let (source, target) = (place(from), place(to));
        let left = self.left_in(sku, &source, u64::from(units))?;
        let mut balance = Rebalance::new(self, sku, walk);
        balance.set_units(&source, left);
        let there = self.pile(sku, &target).units;
        balance.set_units(&target, there.saturating_add(u64::from(units)));
        let needs = balance.make_room(&source, 0, None);
        balance.settle(needs, Some(&target));
        let (sku, from, to, lot) = (sku.clone(), from.clone(), to.clone(), lot.clone());
        let mut events = vec![Event::Moved { sku, from, to, lot, units }];
        events.extend(balance.into_events());
        Ok(events)
    }

    /// What stays in a bin when `units` leave it.
    pub(super) fn left_in(&self, sku: &Sku, place: &Place, units: u64) -> Result<u64, Refusal> {
        let there = self.pile(sku, place).units;
        there.checked_sub(units).ok_or_else(|| Refusal::BinShort {
            sku: sku.clone(),
            bin: place.bin.clone(),
            lot: place.lot.clone(),
            asked: units,
            there,
        })
    }

    /// The newest promises that cannot be kept once `gone` units are no longer in bins.
    fn break_promises(&self, sku: &Sku, gone: u64, reason: &str) -> Vec<Event> {
        let Some(shelf) = self.shelf(sku) else { return Vec::new() };
        let mut excess = shelf.held.saturating_sub(shelf.in_bins.saturating_sub(gone));
        let mut events = Vec::new();
        for id in shelf.holders.values().rev() {
            if excess == 0 {
                break;
            }
            let Some(known) = self.reservation(id) else { continue };
            let held = known.lines.get(sku).map_or(0, |line| line.held);
            let units = held.min(u32::try_from(excess).unwrap_or(u32::MAX));
            excess = excess.saturating_sub(u64::from(units));
            events.push(Event::PromiseBroken {
                reservation: id.clone(),
                order: known.order.clone(),
                sku: sku.clone(),
                units,
                left: held.saturating_sub(units),
                reason: reason.to_owned(),
            });
        }
        events
    }

    fn check_room(&self, lines: &[BinUnits]) -> Result<(), Refusal> {
        let mut coming: BTreeMap<&Sku, u64> = BTreeMap::new();
        for line in lines {
            let units = coming.entry(&line.sku).or_default();
            *units = units.saturating_add(u64::from(line.units));
        }
        for (sku, units) in coming {
            let on_hand = self.shelf(sku).map_or(0, Shelf::on_hand);
            if on_hand.saturating_add(units) > MOST_UNITS {
                return Err(Refusal::TooMany { sku: sku.clone() });
            }
        }
        Ok(())
    }
}

/// A name that was seen: no news with the same content, refused with another.
fn once(name: &Reference, known: u64, lines: &[BinUnits]) -> Decision {
    if known == fingerprint(lines) {
        Ok(vec![])
    } else {
        Err(Refusal::OtherContent { reference: name.clone() })
    }
}
