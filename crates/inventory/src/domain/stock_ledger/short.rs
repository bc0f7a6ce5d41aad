//! The end of a pick that found fewer than were promised: the rest is given back, and the bins
//! where units were missing are not believed any more.
//! *Invariant:* no other promise is touched. What others have chosen in such a bin stays theirs:
//! they may be on the same pick list and have taken their units, or find out themselves.

use std::collections::HashMap;

use nexus_es::Decider;

use super::{Event, Missing, Place, StockLedger};
use crate::domain::{Reference, ReservationId};

impl StockLedger {
    /// What follows once `events` have happened and nothing more is picked for `id`.
    pub(super) fn give_back_rest(
        &self,
        id: &ReservationId,
        missing: &[Missing],
        pick_list: &Reference,
        events: &[Event],
    ) -> Vec<Event> {
        let missing: Vec<_> = missing.iter().filter(|it| it.at.units > 0).cloned().collect();
        let mut after = events.iter().fold(self.only(id, &missing), Self::evolve);
        let Some(known) = after.reservation(id) else { return vec![] };
        let lines: Vec<_> = known.held().collect();
        if lines.is_empty() && missing.is_empty() {
            return vec![];
        }
        let mut ending = vec![Event::ShortPicked {
            reservation: id.clone(),
            order: known.order.clone(),
            pick_list: pick_list.clone(),
            lines,
            given_up: known.allocated().collect(),
            missing: missing.clone(),
        }];
        after = ending.iter().fold(after, Self::evolve);
        for Missing { at, reason } in &missing {
            // Units that nobody was promised are written off, so that nobody will be.
            let free = after.pile(&at.sku, &Place::of(at)).free();
            let gone = free.min(after.available(&at.sku));
            if gone > 0 {
                let adjusted = Event::Adjusted {
                    sku: at.sku.clone(),
                    bin: at.bin.clone(),
                    lot: at.lot.clone(),
                    delta: i64::try_from(gone).unwrap_or(i64::MAX).saturating_neg(),
                    reason: format!("found short: {reason}"),
                };
                after = after.evolve(&adjusted);
                ending.push(adjusted);
            }
        }
        ending
    }

    /// The books of one promise and of the SKUs that are missing; nothing else is copied.
    fn only(&self, id: &ReservationId, missing: &[Missing]) -> Self {
        let known = self.reservation(id).map(|known| (id.clone(), known.clone()));
        let shelf = |it: &Missing| Some((it.at.sku.clone(), self.shelf(&it.at.sku)?.clone()));
        Self {
            reservations: HashMap::from_iter(known),
            shelves: missing.iter().filter_map(shelf).collect(),
            ..Self::default()
        }
    }
}
