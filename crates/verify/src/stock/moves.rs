//! What a ledger's event moves, read from its lines; and what it states as postings.

use std::collections::BTreeMap;

use nexus_proto::common::v1::SkuUnits;
use nexus_proto::inventory::v1::posting::Account;
use nexus_proto::inventory::v1::{
    BinUnitsFact, Posting, StockLedgerAdjusted, StockLedgerBinsAllocated,
    StockLedgerBinsReallocated, StockLedgerMoved, StockLedgerPicked, StockLedgerPromiseBroken,
    StockLedgerReceived, StockLedgerReleased, StockLedgerReserved, StockLedgerShipped,
    StockLedgerShortPicked, StockLedgerTakenBack, StockLedgerUnpicked,
};

use super::Spot;
use crate::facts::Fact;
use crate::report::Report;

/// One account, so many units more or fewer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Leg {
    pub(super) account: Account,
    pub(super) sku: String,
    pub(super) bin: String,
    pub(super) lot: String,
    pub(super) delta: i64,
}

impl Leg {
    pub(super) fn spot(&self) -> Spot {
        (self.sku.clone(), self.bin.clone(), self.lot.clone())
    }

    pub(super) fn is_physical(&self) -> bool {
        !matches!(self.account, Account::Held | Account::Allocated)
    }
}

/// Whose promise an event is about.
pub(super) enum Named {
    Nobody,
    Reserved { name: String, order_id: String },
    Released(String),
    Other(String),
}

impl Named {
    pub(super) fn name(&self) -> Option<&str> {
        match self {
            Self::Nobody => None,
            Self::Reserved { name, .. } | Self::Released(name) | Self::Other(name) => Some(name),
        }
    }
}

pub(super) struct Moves {
    pub(super) named: Named,
    /// What the lines say.
    pub(super) legs: Vec<Leg>,
    /// What is stated, where events state it.
    pub(super) stated: Option<Vec<Leg>>,
}

/// The first account that lines and postings move by different units, in words.
pub(super) fn difference(lines: &[Leg], stated: &[Leg]) -> Option<String> {
    let mut sums: BTreeMap<_, (i64, i64)> = BTreeMap::new();
    let key = |leg: &Leg| (leg.account.as_str_name(), leg.spot());
    for leg in lines {
        super::add(&mut sums.entry(key(leg)).or_default().0, leg.delta);
    }
    for leg in stated {
        super::add(&mut sums.entry(key(leg)).or_default().1, leg.delta);
    }
    let (account, (lines, stated)) = sums.into_iter().find(|(_, (a, b))| a != b)?;
    let (name, (sku, bin, lot)) = account;
    let at = [name, &sku, &bin, &lot].into_iter().filter(|word| !word.is_empty());
    let at = at.collect::<Vec<_>>().join(" ");
    Some(format!("{at}: the lines move {lines}, the postings {stated}"))
}

/// What the event moves; `None` when it moves nothing that is known here.
pub(super) fn of(fact: &Fact<'_>, report: &mut Report) -> Option<Moves> {
    let name = fact.kind().strip_prefix("stock_ledger.")?;
    match name {
        "Received" | "Adjusted" | "Moved" | "TakenBack" => of_units(name, fact, report),
        "Picked" | "Unpicked" | "Shipped" => of_picks(name, fact, report),
        _ => of_promises(name, fact, report),
    }
}

fn of_units(name: &str, fact: &Fact<'_>, report: &mut Report) -> Option<Moves> {
    let (legs, stated) = match name {
        "Received" => {
            let it: StockLedgerReceived = fact.read(report)?;
            (against(&it.lines, Account::Supplier, 1), it.postings)
        }
        "TakenBack" => {
            let it: StockLedgerTakenBack = fact.read(report)?;
            (against(&it.lines, Account::Customer, 1), it.postings)
        }
        "Adjusted" => {
            let it: StockLedgerAdjusted = fact.read(report)?;
            let bin = leg(Account::Bin, &it.sku, &it.bin, &it.lot, it.delta);
            let other = leg(Account::Difference, &it.sku, "", "", it.delta.saturating_neg());
            (vec![bin, other], it.postings)
        }
        _ => {
            let it: StockLedgerMoved = fact.read(report)?;
            let units = i64::from(it.units);
            let from = leg(Account::Bin, &it.sku, &it.from_bin, &it.lot, -units);
            (vec![from, leg(Account::Bin, &it.sku, &it.to_bin, &it.lot, units)], it.postings)
        }
    };
    Some(Moves { named: Named::Nobody, legs, stated: Some(read(stated)) })
}

fn of_picks(name: &str, fact: &Fact<'_>, report: &mut Report) -> Option<Moves> {
    let (reservation, legs, stated) = match name {
        "Picked" => {
            let it: StockLedgerPicked = fact.read(report)?;
            let mut legs = against(&it.lines, Account::Picked, -1);
            legs.extend(held(&it.lines, -1));
            legs.extend(chosen(&it.lines, -1));
            (it.reservation, legs, it.postings)
        }
        "Unpicked" => {
            let it: StockLedgerUnpicked = fact.read(report)?;
            let mut legs = against(&it.lines, Account::Picked, 1);
            legs.extend(held(&it.lines, 1));
            (it.reservation, legs, it.postings)
        }
        _ => {
            let it: StockLedgerShipped = fact.read(report)?;
            let legs = it.lines.iter().flat_map(|line| {
                let units = i64::from(line.units);
                let gone = leg(Account::Picked, &line.sku, "", &line.lot, -units);
                [gone, leg(Account::Customer, &line.sku, "", "", units)]
            });
            let legs = legs.collect();
            (it.reservation, legs, it.postings)
        }
    };
    Some(Moves { named: Named::Other(reservation), legs, stated: Some(read(stated)) })
}

fn of_promises(name: &str, fact: &Fact<'_>, report: &mut Report) -> Option<Moves> {
    let (named, legs) = match name {
        "Reserved" => {
            let it: StockLedgerReserved = fact.read(report)?;
            let named = Named::Reserved { name: it.reservation, order_id: it.order_id };
            (named, promised(&it.lines, 1))
        }
        "Released" => {
            let it: StockLedgerReleased = fact.read(report)?;
            let mut legs = promised(&it.lines, -1);
            legs.extend(chosen(&it.given_up, -1));
            (Named::Released(it.reservation), legs)
        }
        "ShortPicked" => {
            let it: StockLedgerShortPicked = fact.read(report)?;
            let mut legs = promised(&it.lines, -1);
            legs.extend(chosen(&it.given_up, -1));
            (Named::Other(it.reservation), legs)
        }
        "BinsAllocated" => {
            let it: StockLedgerBinsAllocated = fact.read(report)?;
            (Named::Other(it.reservation), chosen(&it.lines, 1))
        }
        "BinsReallocated" => {
            let it: StockLedgerBinsReallocated = fact.read(report)?;
            let mut legs = chosen(&it.given_up, -1);
            legs.extend(chosen(&it.taken, 1));
            (Named::Other(it.reservation), legs)
        }
        "PromiseBroken" => {
            let it: StockLedgerPromiseBroken = fact.read(report)?;
            let units = SkuUnits { sku: it.sku, units: it.units };
            (Named::Other(it.reservation), promised(&[units], -1))
        }
        _ => return None,
    };
    Some(Moves { named, legs, stated: None })
}

fn against(lines: &[BinUnitsFact], other: Account, sign: i64) -> Vec<Leg> {
    let legs = lines.iter().flat_map(|line| {
        let units = sign * i64::from(line.units);
        // Picked units keep their lot; outside nobody asks for it.
        let lot = if other == Account::Picked { line.lot.as_str() } else { "" };
        [
            leg(Account::Bin, &line.sku, &line.bin, &line.lot, units),
            leg(other, &line.sku, "", lot, -units),
        ]
    });
    legs.collect()
}

fn held(lines: &[BinUnitsFact], sign: i64) -> Vec<Leg> {
    let legs = lines
        .iter()
        .map(|line| leg(Account::Held, &line.sku, "", "", sign * i64::from(line.units)));
    legs.collect()
}

fn promised(lines: &[SkuUnits], sign: i64) -> Vec<Leg> {
    let legs = lines
        .iter()
        .map(|line| leg(Account::Held, &line.sku, "", "", sign * i64::from(line.units)));
    legs.collect()
}

fn chosen(lines: &[BinUnitsFact], sign: i64) -> Vec<Leg> {
    let legs = lines.iter().map(|line| {
        leg(Account::Allocated, &line.sku, &line.bin, &line.lot, sign * i64::from(line.units))
    });
    legs.collect()
}

fn leg(account: Account, sku: &str, bin: &str, lot: &str, delta: i64) -> Leg {
    let text = str::to_owned;
    Leg { account, sku: text(sku), bin: text(bin), lot: text(lot), delta }
}

fn read(postings: Vec<Posting>) -> Vec<Leg> {
    let legs = postings.into_iter().map(|posting| Leg {
        account: Account::try_from(posting.account).unwrap_or(Account::Unspecified),
        sku: posting.sku,
        bin: posting.bin,
        lot: posting.lot,
        delta: posting.delta,
    });
    legs.collect()
}
