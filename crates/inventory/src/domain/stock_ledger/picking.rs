//! Held units on their way out: pick, unpick, ship.

use std::collections::BTreeMap;

use super::rebalance::Rebalance;
use super::{Event, Line, LotUnits, Missing, Place, Refusal, Reservation, Step, StockLedger};
use crate::domain::warehouse::Walk;
use crate::domain::{BinUnits, Lot, Reference, ReservationId, Sku, SkuUnits};

type Decision = Result<Vec<Event>, Refusal>;
type Places = BTreeMap<Place, u32>;

impl StockLedger {
    pub(super) fn pick(
        &self,
        reservation: &ReservationId,
        (lines, missing): (&[BinUnits], &[Missing]),
        pick_list: &Reference,
        walk: &Walk,
    ) -> Decision {
        let known = self.known(reservation)?;
        if known.steps.contains(&Step::PickList(pick_list.clone())) {
            return Ok(vec![]);
        }
        let mut wanted: BTreeMap<&Sku, Places> = BTreeMap::new();
        for line in lines.iter().filter(|line| line.units > 0) {
            let units = wanted.entry(&line.sku).or_default().entry(Place::of(line)).or_default();
            *units = units.saturating_add(line.units);
        }
        let mut events = Vec::new();
        let mut picked = Vec::new();
        for (sku, places) in &wanted {
            let line = known.lines.get(*sku);
            let asked: u64 = places.values().map(|units| u64::from(*units)).sum();
            let held = line.map_or(0, |line| u64::from(line.held));
            if asked > held {
                return Err(Refusal::NotHeld { sku: (*sku).clone(), asked, held });
            }
            for (place, units) in places {
                self.left_in(sku, place, u64::from(*units))?;
                picked.push(super::promises::at(sku, place, *units));
            }
            if places.iter().any(|(place, units)| chosen(line, place) < *units) {
                events.extend(self.choose_what_was_picked(reservation, sku, places, walk));
            }
        }
        if !picked.is_empty() {
            events.push(Event::Picked {
                reservation: reservation.clone(),
                order: known.order.clone(),
                lines: picked,
                pick_list: pick_list.clone(),
            });
        }
        let rest = self.give_back_rest(reservation, missing, pick_list, &events);
        events.extend(rest);
        Ok(events)
    }

    /// Units were taken where none were chosen for this promise: it gives up other places for
    /// them, and those who are left without units there go elsewhere.
    fn choose_what_was_picked(
        &self,
        id: &ReservationId,
        sku: &Sku,
        places: &Places,
        walk: &Walk,
    ) -> Vec<Event> {
        let Some(line) = self.reservation(id).and_then(|known| known.lines.get(sku)) else {
            return Vec::new();
        };
        let missing = |(place, units): (&Place, &u32)| {
            let more = units.saturating_sub(chosen(Some(line), place));
            (more > 0).then(|| (place.clone(), more))
        };
        let more: Places = places.iter().filter_map(missing).collect();
        let total: u64 = more.values().map(|units| u64::from(*units)).sum();
        let mut balance = Rebalance::new(self, sku, walk);
        balance.shrink(id, u64::from(line.held).saturating_sub(total), places, None);
        let mut needs = Vec::new();
        for (place, units) in &more {
            needs.extend(balance.make_room(place, u64::from(*units), Some(id)));
            balance.choose(id, place, *units);
        }
        balance.settle(needs, None);
        balance.into_events()
    }

    pub(super) fn unpick(
        &self,
        reservation: &ReservationId,
        lines: &[BinUnits],
        reason: &str,
        reference: &Reference,
    ) -> Decision {
        let known = self.known(reservation)?;
        if known.steps.contains(&Step::PutBack(reference.clone())) {
            return Ok(vec![]);
        }
        let mut back: BTreeMap<(&Sku, &Lot), u64> = BTreeMap::new();
        for line in lines {
            *back.entry((&line.sku, &line.lot)).or_default() += u64::from(line.units);
        }
        for ((sku, lot), asked) in back {
            let of_lot = known.lines.get(sku).and_then(|line| line.picked.get(lot));
            let picked = of_lot.copied().map_or(0, u64::from);
            if asked > picked {
                return Err(Refusal::NotPicked { sku: sku.clone(), asked, picked });
            }
        }
        let lines: Vec<_> = lines.iter().filter(|line| line.units > 0).cloned().collect();
        if lines.is_empty() {
            return Ok(vec![]);
        }
        Ok(vec![Event::Unpicked {
            reservation: reservation.clone(),
            order: known.order.clone(),
            lines,
            reason: reason.to_owned(),
            reference: reference.clone(),
        }])
    }

    pub(super) fn ship(
        &self,
        reservation: &ReservationId,
        shipment: &Reference,
        lines: &[SkuUnits],
    ) -> Decision {
        let known = self.known(reservation)?;
        if known.steps.contains(&Step::Shipment(shipment.clone())) {
            return Ok(vec![]);
        }
        let mut leaving: BTreeMap<&Sku, u64> = BTreeMap::new();
        for line in lines.iter().filter(|line| line.units > 0) {
            *leaving.entry(&line.sku).or_default() += u64::from(line.units);
        }
        if lines.is_empty() {
            leaving = known.lines.iter().map(|(sku, line)| (sku, line.picked_units())).collect();
            leaving.retain(|_, units| *units > 0);
        }
        if leaving.is_empty() {
            return Err(Refusal::NothingPicked);
        }
        let mut left = Vec::new();
        for (sku, units) in leaving {
            left.extend(from_lots(sku, known.lines.get(sku), units)?);
        }
        Ok(vec![Event::Shipped {
            reservation: reservation.clone(),
            order: known.order.clone(),
            shipment: shipment.clone(),
            lines: left,
        }])
    }

    fn known(&self, id: &ReservationId) -> Result<&Reservation, Refusal> {
        self.reservation(id).ok_or(Refusal::UnknownReservation)
    }
}

fn chosen(line: Option<&Line>, place: &Place) -> u32 {
    line.and_then(|line| line.allocated.get(place)).copied().unwrap_or_default()
}

/// Which lots `units` of a SKU leave with; lots are used up in the order of their names.
fn from_lots(sku: &Sku, line: Option<&Line>, units: u64) -> Result<Vec<LotUnits>, Refusal> {
    let picked = line.map_or(0, Line::picked_units);
    if units > picked {
        return Err(Refusal::NotPicked { sku: sku.clone(), asked: units, picked });
    }
    let mut wanted = units;
    let mut lots = Vec::new();
    for (lot, of_lot) in line.into_iter().flat_map(|line| &line.picked) {
        let units = u32::try_from(wanted.min(u64::from(*of_lot))).unwrap_or(u32::MAX);
        if units > 0 {
            lots.push(LotUnits { sku: sku.clone(), lot: lot.clone(), units });
        }
        wanted = wanted.saturating_sub(u64::from(units));
    }
    Ok(lots)
}
