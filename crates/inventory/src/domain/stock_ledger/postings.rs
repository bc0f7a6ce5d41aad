//! Every event as double entry: which accounts it moves units between, and which promises.
//! *Invariant:* the physical postings of an event sum to zero per SKU.

use super::Event;
use crate::domain::{Bin, BinUnits, Lot, Sku, SkuUnits};

/// The kinds of accounts. `Held` and `Allocated` are promises of the event's own reservation, and
/// `Picked` is its account; the others need no owner.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Account {
    /// Units in a bin, by lot.
    Bin,
    /// Units picked for the reservation, by lot.
    Picked,
    /// Where receipts come from.
    Supplier,
    /// Where shipments go, and returns come from.
    Customer,
    /// What counts and damage add or take.
    Difference,
    /// Units promised to the reservation.
    Held,
    /// Of them, those whose bins are chosen.
    Allocated,
}

impl Account {
    /// False for promises, which are counted beside the units.
    #[must_use]
    pub fn is_physical(self) -> bool {
        !matches!(self, Self::Held | Self::Allocated)
    }
}

/// One leg of a movement.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Posting {
    /// Which account.
    pub account: Account,
    /// For `Bin` and `Allocated`.
    pub bin: Bin,
    /// For `Bin`, `Picked` and `Allocated`.
    pub lot: Lot,
    /// Which SKU.
    pub sku: Sku,
    /// Units more or, negative, fewer.
    pub delta: i64,
}

/// The postings of an event.
#[must_use]
pub fn postings(event: &Event) -> Vec<Posting> {
    let mut book = Vec::new();
    match event {
        Event::Received { lines, .. } => put(&mut book, lines, Account::Supplier),
        Event::TakenBack { lines, .. } => put(&mut book, lines, Account::Customer),
        Event::Adjusted { sku, bin, lot, delta, .. } => {
            book.push(leg(Account::Bin, bin, lot, sku, *delta));
            let against = delta.saturating_neg();
            book.push(leg(Account::Difference, &Bin::default(), &Lot::default(), sku, against));
        }
        Event::Moved { sku, from, to, lot, units } => {
            book.push(leg(Account::Bin, from, lot, sku, -i64::from(*units)));
            book.push(leg(Account::Bin, to, lot, sku, i64::from(*units)));
        }
        Event::Reserved { lines, .. } => promise(&mut book, lines, 1),
        Event::Released { lines, given_up, .. } | Event::ShortPicked { lines, given_up, .. } => {
            promise(&mut book, lines, -1);
            choose(&mut book, given_up, -1);
        }
        Event::PromiseBroken { sku, units, .. } => {
            promise(&mut book, &[SkuUnits { sku: sku.clone(), units: *units }], -1);
        }
        Event::ReleasedUnseen { .. } => {}
        Event::BinsAllocated { lines, .. } => choose(&mut book, lines, 1),
        Event::BinsReallocated { given_up, taken, .. } => {
            choose(&mut book, given_up, -1);
            choose(&mut book, taken, 1);
        }
        Event::Picked { lines, .. } => {
            for line in lines {
                between_bin_and_hand(&mut book, line, -1);
            }
            choose(&mut book, lines, -1);
        }
        Event::Unpicked { lines, .. } => {
            for line in lines {
                between_bin_and_hand(&mut book, line, 1);
            }
        }
        Event::Shipped { lines, .. } => {
            for line in lines {
                let (units, nowhere) = (i64::from(line.units), Bin::default());
                book.push(leg(Account::Picked, &nowhere, &line.lot, &line.sku, -units));
                book.push(leg(Account::Customer, &nowhere, &Lot::default(), &line.sku, units));
            }
        }
    }
    book
}

fn put(book: &mut Vec<Posting>, lines: &[BinUnits], from: Account) {
    for line in lines {
        let units = i64::from(line.units);
        book.push(leg(Account::Bin, &line.bin, &line.lot, &line.sku, units));
        book.push(leg(from, &Bin::default(), &Lot::default(), &line.sku, -units));
    }
}

fn between_bin_and_hand(book: &mut Vec<Posting>, line: &BinUnits, sign: i64) {
    let units = sign * i64::from(line.units);
    book.push(leg(Account::Bin, &line.bin, &line.lot, &line.sku, units));
    book.push(leg(Account::Picked, &Bin::default(), &line.lot, &line.sku, -units));
    book.push(leg(Account::Held, &Bin::default(), &Lot::default(), &line.sku, units));
}

fn promise(book: &mut Vec<Posting>, lines: &[SkuUnits], sign: i64) {
    for line in lines {
        let units = sign * i64::from(line.units);
        book.push(leg(Account::Held, &Bin::default(), &Lot::default(), &line.sku, units));
    }
}

fn choose(book: &mut Vec<Posting>, lines: &[BinUnits], sign: i64) {
    for line in lines {
        let units = sign * i64::from(line.units);
        book.push(leg(Account::Allocated, &line.bin, &line.lot, &line.sku, units));
    }
}

fn leg(account: Account, bin: &Bin, lot: &Lot, sku: &Sku, delta: i64) -> Posting {
    Posting { account, bin: bin.clone(), lot: lot.clone(), sku: sku.clone(), delta }
}
