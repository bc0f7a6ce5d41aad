//! The stock of one warehouse, double entry: every unit lies in a bin or is picked for somebody,
//! and beside that is promised to at most one reservation. The warehouse's code is the aggregate's
//! id.
//! *Invariant:* units in bins and picked = received − shipped ± adjusted + taken back; per SKU the
//! units promised never exceed those in bins, and those chosen for pick lists never exceed those
//! promised, nor, in any bin, those that lie there. Each holds after every event, the last one
//! after every commit.
//!
//! A command costs what its own lines cost, however large the warehouse is; only a bin that holds
//! less than was chosen from it makes the ledger look at all promises of that SKU. A reservation
//! that holds nothing any more is kept, small, until [`FINISHED_KEPT`] others have ended after it,
//! so that late and repeated messages about it are still known; receipts and returns are kept for
//! ever.

mod evolve;
mod intake;
#[cfg(test)]
mod model;
mod picking;
mod postings;
mod promises;
mod rebalance;
mod short;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet, HashMap, VecDeque};

use nexus_es::Decider;

use super::warehouse::Walk;
use super::{Bin, BinUnits, Lot, OrderId, Reference, ReservationId, Sku, SkuUnits};

pub use postings::{Account, Posting, postings};

/// Reservations that are remembered after their end.
pub const FINISHED_KEPT: usize = 50_000;

/// Most units of one SKU in one warehouse.
pub const MOST_UNITS: u64 = 2_000_000_000;

/// What is asked of the ledger.
#[derive(Clone, Debug)]
pub enum Command {
    /// A delivery came; its name counts once.
    Receive {
        /// Its name.
        receipt: Reference,
        /// What came, and where it was put.
        lines: Vec<BinUnits>,
    },
    /// A bin holds more or fewer than was thought. Never refused for promises.
    Adjust {
        /// Which SKU.
        sku: Sku,
        /// In which bin.
        bin: Bin,
        /// Of which lot.
        lot: Lot,
        /// Units more or, negative, fewer.
        delta: i64,
        /// Why.
        reason: String,
        /// The order in which other bins are chosen instead.
        walk: Walk,
    },
    /// Units lie in another bin. Never refused for promises.
    Move {
        /// Which SKU.
        sku: Sku,
        /// From.
        from: Bin,
        /// To.
        to: Bin,
        /// Of which lot.
        lot: Lot,
        /// How many.
        units: u32,
        /// The order in which other bins are chosen instead.
        walk: Walk,
    },
    /// Promise units, all of them or none.
    Reserve {
        /// The promise's name.
        reservation: ReservationId,
        /// Whom it is for.
        order: OrderId,
        /// What is promised.
        lines: Vec<SkuUnits>,
    },
    /// Give back what this name still holds.
    Release {
        /// The promise's name.
        reservation: ReservationId,
        /// Whom it is for.
        order: OrderId,
        /// Why.
        reason: String,
    },
    /// Choose bins for all that these promises hold and that has none yet.
    AllocateBins {
        /// The promises; unknown ones are passed over.
        reservations: Vec<ReservationId>,
        /// The pick list that they go on.
        pick_list: Reference,
        /// The order in which bins are chosen.
        walk: Walk,
    },
    /// Held units were taken out of their bins, and no more will be: what the promise still holds
    /// is given back.
    Pick {
        /// The promise's name.
        reservation: ReservationId,
        /// From where, how many.
        lines: Vec<BinUnits>,
        /// Where the picker found too few.
        missing: Vec<Missing>,
        /// The pick list; it counts once a promise.
        pick_list: Reference,
        /// The order in which other bins are chosen instead.
        walk: Walk,
    },
    /// Picked units lie in bins again, and are held again.
    Unpick {
        /// The promise's name.
        reservation: ReservationId,
        /// Into where, how many.
        lines: Vec<BinUnits>,
        /// Why.
        reason: String,
        /// The put-back's name; it counts once a promise.
        reference: Reference,
    },
    /// Picked units left the house.
    Ship {
        /// The promise's name.
        reservation: ReservationId,
        /// The shipment; it counts once a promise.
        shipment: Reference,
        /// What left; none: all that is picked.
        lines: Vec<SkuUnits>,
    },
    /// Units came back into bins.
    TakeBack {
        /// Whom they had been for.
        order: OrderId,
        /// With which shipment they had left.
        shipment: Reference,
        /// The return's name; it counts once a shipment.
        reference: Reference,
        /// Into where, how many.
        lines: Vec<BinUnits>,
    },
}

/// What happened to stock and promises.
#[derive(Clone, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "the fields are those of the commands")]
pub enum Event {
    /// A delivery lies in its bins.
    Received { receipt: Reference, lines: Vec<BinUnits> },
    /// A bin holds more or fewer than was thought.
    Adjusted { sku: Sku, bin: Bin, lot: Lot, delta: i64, reason: String },
    /// Units lie in another bin.
    Moved { sku: Sku, from: Bin, to: Bin, lot: Lot, units: u32 },
    /// Units are promised.
    Reserved { reservation: ReservationId, order: OrderId, lines: Vec<SkuUnits> },
    /// All that a name still held is free; the bins chosen for it are too.
    Released {
        reservation: ReservationId,
        order: OrderId,
        lines: Vec<SkuUnits>,
        reason: String,
        given_up: Vec<BinUnits>,
    },
    /// A name never seen was released: it can no longer be reserved.
    ReleasedUnseen { reservation: ReservationId, order: OrderId, reason: String },
    /// Bins are chosen for held units.
    BinsAllocated {
        reservation: ReservationId,
        order: OrderId,
        lines: Vec<BinUnits>,
        pick_list: Reference,
    },
    /// Other bins are chosen, as the units are no longer where they were chosen.
    BinsReallocated {
        reservation: ReservationId,
        order: OrderId,
        given_up: Vec<BinUnits>,
        taken: Vec<BinUnits>,
    },
    /// Held units left the bins that were chosen for them.
    Picked {
        reservation: ReservationId,
        order: OrderId,
        lines: Vec<BinUnits>,
        pick_list: Reference,
    },
    /// Fewer were picked than promised, and no more will be: the rest is free.
    ShortPicked {
        reservation: ReservationId,
        order: OrderId,
        pick_list: Reference,
        lines: Vec<SkuUnits>,
        given_up: Vec<BinUnits>,
        missing: Vec<Missing>,
    },
    /// Picked units lie in bins again, and are held again.
    Unpicked {
        reservation: ReservationId,
        order: OrderId,
        lines: Vec<BinUnits>,
        reason: String,
        reference: Reference,
    },
    /// Picked units left the house.
    Shipped {
        reservation: ReservationId,
        order: OrderId,
        shipment: Reference,
        lines: Vec<LotUnits>,
    },
    /// Units came back into bins.
    TakenBack { order: OrderId, shipment: Reference, reference: Reference, lines: Vec<BinUnits> },
    /// Less is there than was promised: this promise holds fewer.
    PromiseBroken {
        reservation: ReservationId,
        order: OrderId,
        sku: Sku,
        units: u32,
        left: u32,
        reason: String,
    },
}

/// Why not.
#[derive(Clone, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "the fields are those of the commands")]
pub enum Refusal {
    /// The receipt or return of this name held something else.
    OtherContent { reference: Reference },
    /// Less is promisable than asked; nothing was promised.
    Short { shortages: Vec<Shortage> },
    /// The name was released before it was reserved, or since.
    ReleasedBefore,
    /// The name holds something else.
    OtherLines,
    /// Nobody reserved under this name.
    UnknownReservation,
    /// A bin holds fewer than should be taken from it.
    BinShort { sku: Sku, bin: Bin, lot: Lot, asked: u64, there: u64 },
    /// The promise holds fewer than were picked for it.
    NotHeld { sku: Sku, asked: u64, held: u64 },
    /// Fewer are picked than should be shipped or put back.
    NotPicked { sku: Sku, asked: u64, picked: u64 },
    /// Nothing is picked that could be shipped.
    NothingPicked,
    /// More than [`MOST_UNITS`] of a SKU.
    TooMany { sku: Sku },
}

/// A SKU that falls short.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Shortage {
    /// Which.
    pub sku: Sku,
    /// Units asked for.
    pub asked: u32,
    /// Units that could be promised.
    pub available: u32,
}

/// Units that a picker did not find where they should have been.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Missing {
    /// Where, and how many.
    pub at: BinUnits,
    /// What the picker says about it.
    pub reason: String,
}

/// Units of a lot.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LotUnits {
    /// Which SKU.
    pub sku: Sku,
    /// Which lot.
    pub lot: Lot,
    /// How many.
    pub units: u32,
}

/// A bin and a lot in it: the key of a SKU's stock.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Place {
    /// The bin.
    pub bin: Bin,
    /// The lot.
    pub lot: Lot,
}

/// Units of one SKU in one place.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Pile {
    /// How many lie there.
    pub units: u64,
    /// Of them, chosen for promises.
    pub allocated: u64,
    /// When the place was last filled from empty: the older pile goes first.
    since: u64,
    /// A picker found too few here, and nobody has put any here since: it is chosen last.
    doubtful: bool,
}

impl Pile {
    fn free(&self) -> u64 {
        self.units.saturating_sub(self.allocated)
    }
}

/// One SKU in the warehouse.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Shelf {
    /// Where it lies.
    pub piles: BTreeMap<Place, Pile>,
    /// Units in bins, all together.
    pub in_bins: u64,
    /// Units promised and not yet picked.
    pub held: u64,
    /// Units picked and not yet shipped.
    pub picked: u64,
    /// Who holds units, the oldest promise first.
    holders: BTreeMap<u64, ReservationId>,
}

impl Shelf {
    /// Units that can be promised.
    #[must_use]
    pub fn available(&self) -> u64 {
        self.in_bins.saturating_sub(self.held)
    }

    /// Units in the building.
    #[must_use]
    pub fn on_hand(&self) -> u64 {
        self.in_bins.saturating_add(self.picked)
    }
}

/// One SKU of a reservation.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Line {
    /// Units promised at first.
    pub asked: u32,
    /// Units promised and not yet picked.
    pub held: u32,
    /// Of them, those whose bins are chosen.
    pub allocated: BTreeMap<Place, u32>,
    /// Units picked and not yet shipped, by lot.
    pub picked: BTreeMap<Lot, u32>,
    /// Units shipped.
    pub shipped: u32,
}

impl Line {
    fn allocated_units(&self) -> u64 {
        self.allocated.values().map(|units| u64::from(*units)).sum()
    }

    /// Units picked, all lots together.
    #[must_use]
    pub fn picked_units(&self) -> u64 {
        self.picked.values().map(|units| u64::from(*units)).sum()
    }
}

/// What was done under a name that counts once.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Step {
    PickList(Reference),
    PutBack(Reference),
    Shipment(Reference),
}

/// One promise and what became of it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Reservation {
    /// Whom it is for.
    pub order: OrderId,
    /// SKU by SKU.
    pub lines: BTreeMap<Sku, Line>,
    /// True once it was given back.
    pub released: bool,
    /// Grows from promise to promise.
    age: u64,
    steps: BTreeSet<Step>,
}

/// The stock of one warehouse.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct StockLedger {
    shelves: HashMap<Sku, Shelf>,
    reservations: HashMap<ReservationId, Reservation>,
    /// Reservations that hold nothing and have nothing picked, the longest ended first.
    finished: VecDeque<ReservationId>,
    /// Receipts, and what they held.
    receipts: HashMap<Reference, u64>,
    /// Returns by shipment and name, and what they held.
    returns: HashMap<(Reference, Reference), u64>,
    /// Counts promises and fillings of empty places: which of two came first.
    clock: u64,
}

impl StockLedger {
    /// One SKU's stock; `None` when it never lay here.
    #[must_use]
    pub fn shelf(&self, sku: &Sku) -> Option<&Shelf> {
        self.shelves.get(sku)
    }

    /// Units of a SKU that can be promised.
    #[must_use]
    pub fn available(&self, sku: &Sku) -> u64 {
        self.shelves.get(sku).map_or(0, Shelf::available)
    }

    /// A promise; `None` when its name was never seen, or ended long ago.
    #[must_use]
    pub fn reservation(&self, id: &ReservationId) -> Option<&Reservation> {
        self.reservations.get(id)
    }

    fn pile(&self, sku: &Sku, place: &Place) -> Pile {
        let pile = self.shelves.get(sku).and_then(|shelf| shelf.piles.get(place));
        pile.copied().unwrap_or_default()
    }

    /// What is wrong with the books, in words; empty when every invariant holds.
    #[must_use]
    pub fn audit(&self) -> Vec<String> {
        let mut wrong = Vec::new();
        let mut held: HashMap<&Sku, u64> = HashMap::new();
        let mut allocated: HashMap<(&Sku, &Place), u64> = HashMap::new();
        for (id, reservation) in &self.reservations {
            for (sku, line) in &reservation.lines {
                *held.entry(sku).or_default() += u64::from(line.held);
                for (place, units) in &line.allocated {
                    *allocated.entry((sku, place)).or_default() += u64::from(*units);
                }
                if line.allocated_units() > u64::from(line.held) {
                    wrong.push(format!("{id} has more bins chosen for {sku} than it holds"));
                }
            }
        }
        for (sku, shelf) in &self.shelves {
            let in_bins: u64 = shelf.piles.values().map(|pile| pile.units).sum();
            if in_bins != shelf.in_bins {
                wrong.push(format!("{sku}: {in_bins} lie in bins, {} are booked", shelf.in_bins));
            }
            let promised = held.get(sku).copied().unwrap_or_default();
            if promised != shelf.held || shelf.held > shelf.in_bins {
                wrong.push(format!(
                    "{sku}: promises sum to {promised}, {} are booked as held of {}",
                    shelf.held, shelf.in_bins
                ));
            }
            for (place, pile) in &shelf.piles {
                let chosen = allocated.get(&(sku, place)).copied().unwrap_or_default();
                if chosen != pile.allocated || pile.allocated > pile.units {
                    wrong.push(format!(
                        "{sku} in {}: {chosen} chosen, {} booked of {}",
                        place.bin, pile.allocated, pile.units
                    ));
                }
            }
        }
        wrong
    }
}

impl Decider for StockLedger {
    const CATEGORY: &'static str = "stock_ledger";
    type Command = Command;
    type Event = Event;
    type Refusal = Refusal;

    fn decide(&self, command: &Command) -> Result<Vec<Event>, Refusal> {
        match command {
            Command::Receive { receipt, lines } => self.receive(receipt, lines),
            Command::Adjust { sku, bin, lot, delta, reason, walk } => {
                let place = Place { bin: bin.clone(), lot: lot.clone() };
                self.adjust(sku, &place, *delta, reason, walk)
            }
            Command::Move { sku, from, to, lot, units, walk } => {
                self.relocate(sku, (from, to), lot, *units, walk)
            }
            Command::Reserve { reservation, order, lines } => {
                self.reserve(reservation, order, lines)
            }
            Command::Release { reservation, order, reason } => {
                Ok(self.release(reservation, order, reason))
            }
            Command::AllocateBins { reservations, pick_list, walk } => {
                Ok(self.allocate_bins(reservations, pick_list, walk))
            }
            Command::Pick { reservation, lines, missing, pick_list, walk } => {
                self.pick(reservation, (lines, missing), pick_list, walk)
            }
            Command::Unpick { reservation, lines, reason, reference } => {
                self.unpick(reservation, lines, reason, reference)
            }
            Command::Ship { reservation, shipment, lines } => {
                self.ship(reservation, shipment, lines)
            }
            Command::TakeBack { order, shipment, reference, lines } => {
                self.take_back(order, shipment, reference, lines)
            }
        }
    }

    fn evolve(self, event: &Event) -> Self {
        self.after(event)
    }
}
