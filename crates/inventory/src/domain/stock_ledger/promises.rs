//! Promises: reserve, release, and the choice of bins for what is held.

use std::collections::{BTreeMap, HashMap};

use super::{Event, Pile, Place, Refusal, Reservation, Shortage, StockLedger};
use crate::domain::warehouse::Walk;
use crate::domain::{BinUnits, OrderId, Reference, ReservationId, Sku, SkuUnits};

impl StockLedger {
    pub(super) fn reserve(
        &self,
        reservation: &ReservationId,
        order: &OrderId,
        lines: &[SkuUnits],
    ) -> Result<Vec<Event>, Refusal> {
        let mut asked: BTreeMap<&Sku, u32> = BTreeMap::new();
        for line in lines.iter().filter(|line| line.units > 0) {
            let units = asked.entry(&line.sku).or_default();
            *units = units.saturating_add(line.units);
        }
        if let Some(known) = self.reservation(reservation) {
            return match known {
                Reservation { released: true, .. } => Err(Refusal::ReleasedBefore),
                known if known.asked().eq(asked) => Ok(vec![]),
                _ => Err(Refusal::OtherLines),
            };
        }
        let shortages: Vec<_> = asked
            .iter()
            .map(|(sku, units)| (sku, *units, self.available(sku)))
            .filter(|(_, units, available)| u64::from(*units) > *available)
            .map(|(sku, asked, available)| {
                let available = u32::try_from(available).unwrap_or(u32::MAX);
                Shortage { sku: (*sku).clone(), asked, available }
            })
            .collect();
        if !shortages.is_empty() {
            return Err(Refusal::Short { shortages });
        }
        if asked.is_empty() {
            return Ok(vec![]);
        }
        let lines = asked.into_iter().map(|(sku, units)| SkuUnits { sku: sku.clone(), units });
        let (reservation, order) = (reservation.clone(), order.clone());
        Ok(vec![Event::Reserved { reservation, order, lines: lines.collect() }])
    }

    pub(super) fn release(
        &self,
        reservation: &ReservationId,
        order: &OrderId,
        reason: &str,
    ) -> Vec<Event> {
        let reason = reason.to_owned();
        let Some(known) = self.reservation(reservation) else {
            let (reservation, order) = (reservation.clone(), order.clone());
            return vec![Event::ReleasedUnseen { reservation, order, reason }];
        };
        let lines: Vec<_> = known.held().collect();
        if lines.is_empty() {
            return vec![];
        }
        let (reservation, order) = (reservation.clone(), known.order.clone());
        let given_up = known.allocated().collect();
        vec![Event::Released { reservation, order, lines, reason, given_up }]
    }

    pub(super) fn allocate_bins(
        &self,
        reservations: &[ReservationId],
        pick_list: &Reference,
        walk: &Walk,
    ) -> Vec<Event> {
        let mut free = FreePiles { ledger: self, walk, skus: HashMap::new() };
        let mut events = Vec::new();
        let mut seen = std::collections::HashSet::new();
        for id in reservations.iter().filter(|id| seen.insert(*id)) {
            let Some(known) = self.reservation(id) else { continue };
            let lines: Vec<_> = known
                .lines
                .iter()
                .flat_map(|(sku, line)| {
                    free.take(sku, u64::from(line.held).saturating_sub(line.allocated_units()))
                })
                .collect();
            if !lines.is_empty() {
                events.push(Event::BinsAllocated {
                    reservation: id.clone(),
                    order: known.order.clone(),
                    lines,
                    pick_list: pick_list.clone(),
                });
            }
        }
        events
    }
}

impl Reservation {
    /// What was promised at first.
    pub fn asked(&self) -> impl Iterator<Item = (&Sku, u32)> {
        self.lines.iter().map(|(sku, line)| (sku, line.asked))
    }

    /// What is promised and not yet picked.
    pub fn held(&self) -> impl Iterator<Item = SkuUnits> + '_ {
        let held = self.lines.iter().filter(|(_, line)| line.held > 0);
        held.map(|(sku, line)| SkuUnits { sku: sku.clone(), units: line.held })
    }

    /// The bins chosen for what is held.
    pub fn allocated(&self) -> impl Iterator<Item = BinUnits> + '_ {
        self.lines.iter().flat_map(|(sku, line)| {
            line.allocated.iter().map(|(place, units)| at(sku, place, *units))
        })
    }
}

pub(super) fn at(sku: &Sku, place: &Place, units: u32) -> BinUnits {
    BinUnits { sku: sku.clone(), bin: place.bin.clone(), lot: place.lot.clone(), units }
}

/// The piles of `piles` in walking order, doubtful ones at the end; of two at one step of the walk
/// the older first.
pub(super) fn walked<'a>(
    piles: impl Iterator<Item = (&'a Place, &'a Pile)>,
    walk: &Walk,
) -> Vec<&'a Place> {
    let key = |pile: &Pile, place: &Place| (pile.doubtful, walk.sequence(&place.bin), pile.since);
    let mut places: Vec<_> = piles.map(|(place, pile)| (key(pile, place), place)).collect();
    places.sort();
    places.into_iter().map(|(_, place)| place).collect()
}

/// The units that one command may still choose, SKU by SKU in walking order. Each SKU is sorted
/// once, however many reservations want it.
struct FreePiles<'a> {
    ledger: &'a StockLedger,
    walk: &'a Walk,
    skus: HashMap<&'a Sku, Vec<(&'a Place, u64)>>,
}

impl<'a> FreePiles<'a> {
    fn take(&mut self, sku: &'a Sku, wanted: u64) -> Vec<BinUnits> {
        let mut taken = Vec::new();
        let mut wanted = wanted;
        if wanted == 0 {
            return taken;
        }
        // Last in the walk lies at the bottom, so that used-up piles are popped.
        let piles = self.skus.entry(sku).or_insert_with(|| {
            let Some(shelf) = self.ledger.shelf(sku) else { return Vec::new() };
            let places = walked(shelf.piles.iter(), self.walk).into_iter().rev();
            places
                .filter_map(|place| Some((place, shelf.piles.get(place)?.free())))
                .filter(|(_, free)| *free > 0)
                .collect()
        });
        while wanted > 0
            && let Some((place, free)) = piles.last_mut()
        {
            let units = u32::try_from(wanted.min(*free)).unwrap_or(u32::MAX);
            taken.push(at(sku, place, units));
            wanted -= u64::from(units);
            *free -= u64::from(units);
            if *free == 0 {
                piles.pop();
            }
        }
        taken
    }
}
