//! Which bins are chosen for whom, when units of one SKU are no longer where they were chosen.
//! *Invariant:* a promise that can be served from another bin is; the oldest promises keep their
//! bins.

use std::collections::BTreeMap;

use super::promises::{at, walked};
use super::{Event, Pile, Place, Shelf, StockLedger};
use crate::domain::warehouse::Walk;
use crate::domain::{ReservationId, Sku};

/// Units that a promise needs elsewhere.
pub(super) type Need = (ReservationId, u32);

/// What one command changes, over the books as they are: nothing is copied that it does not touch.
pub(super) struct Rebalance<'a> {
    ledger: &'a StockLedger,
    sku: &'a Sku,
    shelf: Option<&'a Shelf>,
    walk: &'a Walk,
    piles: BTreeMap<Place, Pile>,
    chosen: BTreeMap<ReservationId, BTreeMap<Place, u32>>,
}

impl<'a> Rebalance<'a> {
    pub(super) fn new(ledger: &'a StockLedger, sku: &'a Sku, walk: &'a Walk) -> Self {
        let shelf = ledger.shelf(sku);
        Self { ledger, sku, shelf, walk, piles: BTreeMap::new(), chosen: BTreeMap::new() }
    }

    /// So many units will lie in `place`.
    pub(super) fn set_units(&mut self, place: &Place, units: u64) {
        self.pile_mut(place).units = units;
    }

    /// Chooses `units` of `place` for a promise.
    pub(super) fn choose(&mut self, id: &ReservationId, place: &Place, units: u32) {
        *self.chosen_mut(id).entry(place.clone()).or_default() += units;
        self.pile_mut(place).allocated += u64::from(units);
    }

    /// Lets a promise have chosen at most `most` units. Of a place in `keep` it keeps what is said
    /// there; `first` is given up first, then the last of the walk.
    pub(super) fn shrink(
        &mut self,
        id: &ReservationId,
        most: u64,
        keep: &BTreeMap<Place, u32>,
        first: Option<&Place>,
    ) {
        let mut chosen: Vec<_> = self
            .chosen_of(id)
            .into_iter()
            .flatten()
            .map(|(place, units)| (place.clone(), *units))
            .collect();
        let total: u64 = chosen.iter().map(|(_, units)| u64::from(*units)).sum();
        let mut excess = total.saturating_sub(most);
        chosen.sort_by_key(|(place, _)| {
            (Some(place) != first, std::cmp::Reverse(self.walk.sequence(&place.bin)))
        });
        for (place, units) in chosen {
            let kept = keep.get(&place).copied().unwrap_or_default();
            let spare = u64::from(units.saturating_sub(kept)).min(excess);
            excess -= spare;
            self.give_up(id, &place, u32::try_from(spare).unwrap_or(u32::MAX));
        }
    }

    /// Takes choices of `place` away, those of the newest promises first, until `wanted` units are
    /// free there. Answers who needs how many elsewhere.
    pub(super) fn make_room(
        &mut self,
        place: &Place,
        wanted: u64,
        except: Option<&ReservationId>,
    ) -> Vec<Need> {
        let mut needs = Vec::new();
        let pile = *self.pile_mut(place);
        let mut missing = pile.allocated.saturating_add(wanted).saturating_sub(pile.units);
        let holders = self.shelf.into_iter().flat_map(|shelf| shelf.holders.values().rev());
        for id in holders.filter(|id| Some(*id) != except) {
            if missing == 0 {
                break;
            }
            let chosen = self.chosen_of(id).and_then(|chosen| chosen.get(place));
            let units = u64::from(chosen.copied().unwrap_or_default()).min(missing);
            if units > 0 {
                missing -= units;
                let units = u32::try_from(units).unwrap_or(u32::MAX);
                self.give_up(id, place, units);
                needs.push((id.clone(), units));
            }
        }
        needs
    }

    /// Chooses other places for `needs`: `first`, then along the walk.
    pub(super) fn settle(&mut self, needs: Vec<Need>, first: Option<&Place>) {
        if needs.is_empty() {
            return;
        }
        let mut all = self.shelf.map(|shelf| shelf.piles.clone()).unwrap_or_default();
        all.extend(self.piles.iter().map(|(place, pile)| (place.clone(), *pile)));
        let walk = walked(all.iter(), self.walk);
        let places: Vec<_> = first.into_iter().chain(walk).cloned().collect();
        let mut places = places.iter().peekable();
        for (id, mut wanted) in needs {
            while wanted > 0
                && let Some(place) = places.peek()
            {
                let free = self.pile_mut(place).free();
                let units = wanted.min(u32::try_from(free).unwrap_or(u32::MAX));
                if units == 0 {
                    places.next();
                    continue;
                }
                self.choose(&id, place, units);
                wanted -= units;
            }
        }
    }

    /// What changed, one event a promise.
    pub(super) fn into_events(self) -> Vec<Event> {
        let mut events = Vec::new();
        for (id, now) in &self.chosen {
            let Some(known) = self.ledger.reservation(id) else { continue };
            let before = known.lines.get(self.sku).map(|line| &line.allocated);
            let units = |of: Option<&BTreeMap<Place, u32>>, place: &Place| {
                of.and_then(|of| of.get(place)).copied().unwrap_or_default()
            };
            let less = before.into_iter().flatten().filter_map(|(place, had)| {
                let fewer = had.saturating_sub(units(Some(now), place));
                (fewer > 0).then(|| at(self.sku, place, fewer))
            });
            let more = now.iter().filter_map(|(place, has)| {
                let more = has.saturating_sub(units(before, place));
                (more > 0).then(|| at(self.sku, place, more))
            });
            let (given_up, taken): (Vec<_>, Vec<_>) = (less.collect(), more.collect());
            if !given_up.is_empty() || !taken.is_empty() {
                let (reservation, order) = (id.clone(), known.order.clone());
                events.push(Event::BinsReallocated { reservation, order, given_up, taken });
            }
        }
        events
    }

    fn give_up(&mut self, id: &ReservationId, place: &Place, units: u32) {
        if units == 0 {
            return;
        }
        let chosen = self.chosen_mut(id).entry(place.clone()).or_default();
        *chosen = chosen.saturating_sub(units);
        let pile = self.pile_mut(place);
        pile.allocated = pile.allocated.saturating_sub(u64::from(units));
    }

    fn pile_mut(&mut self, place: &Place) -> &mut Pile {
        let pile = || self.shelf.and_then(|shelf| shelf.piles.get(place)).copied();
        self.piles.entry(place.clone()).or_insert_with(|| pile().unwrap_or_default())
    }

    fn chosen_of(&self, id: &ReservationId) -> Option<&BTreeMap<Place, u32>> {
        self.chosen.get(id).or_else(|| {
            let line = self.ledger.reservation(id)?.lines.get(self.sku)?;
            Some(&line.allocated)
        })
    }

    fn chosen_mut(&mut self, id: &ReservationId) -> &mut BTreeMap<Place, u32> {
        let known = || self.ledger.reservation(id)?.lines.get(self.sku);
        self.chosen
            .entry(id.clone())
            .or_insert_with(|| known().map(|line| line.allocated.clone()).unwrap_or_default())
    }
}
