//! The stored messages of the ledger's events.

use nexus_es::Payload;
use nexus_proto::common::v1 as common;
use nexus_proto::inventory::v1 as proto;

use super::stored;
use crate::domain::stock_ledger::{Account, Event, LotUnits, Missing, Posting, postings};
use crate::domain::{Bin, BinUnits, Lot, OrderId, Reference, ReservationId, Sku, SkuUnits};

/// An event as stored.
pub(super) fn payload(event: &Event) -> Payload {
    let book = || postings(event).iter().map(posting).collect();
    match event {
        Event::Received { receipt, lines } => {
            let (receipt, lines) = (receipt.to_string(), bin_facts(lines));
            let message = proto::StockLedgerReceived { receipt, lines, postings: book() };
            stored("stock_ledger.Received", &message)
        }
        Event::Adjusted { sku, bin, lot, delta, reason } => {
            let at = (sku, bin, lot);
            stored("stock_ledger.Adjusted", &adjusted(at, *delta, reason, book()))
        }
        Event::Moved { sku, from, to, lot, units } => {
            stored("stock_ledger.Moved", &moved(sku, (from, to), lot, *units, book()))
        }
        Event::Reserved { reservation, order, lines } => {
            let (reservation, order_id) = (reservation.to_string(), order.to_string());
            let lines = sku_facts(lines);
            let message = proto::StockLedgerReserved { reservation, order_id, lines };
            stored("stock_ledger.Reserved", &message)
        }
        Event::Released { reservation, order, lines, reason, given_up } => {
            let whose = (reservation, order);
            stored("stock_ledger.Released", &released(whose, lines, reason, given_up))
        }
        Event::ReleasedUnseen { reservation, order, reason } => {
            let (reservation, order_id) = (reservation.to_string(), order.to_string());
            let reason = reason.clone();
            let message = proto::StockLedgerReleasedUnseen { reservation, order_id, reason };
            stored("stock_ledger.ReleasedUnseen", &message)
        }
        Event::BinsAllocated { reservation, order, lines, pick_list } => {
            stored("stock_ledger.BinsAllocated", &allocated((reservation, order), lines, pick_list))
        }
        Event::BinsReallocated { reservation, order, given_up, taken } => {
            let message = reallocated((reservation, order), given_up, taken);
            stored("stock_ledger.BinsReallocated", &message)
        }
        Event::Picked { reservation, order, lines, pick_list } => {
            let whose = (reservation, order);
            stored("stock_ledger.Picked", &picked(whose, lines, pick_list, book()))
        }
        Event::ShortPicked { reservation, order, pick_list, lines, given_up, missing } => {
            let whose = (reservation, order);
            let message = short_picked(whose, pick_list, (lines, given_up), missing);
            stored("stock_ledger.ShortPicked", &message)
        }
        Event::Unpicked { reservation, order, lines, reason, reference } => {
            let whose = (reservation, order);
            let message = unpicked(whose, lines, (reason, reference), book());
            stored("stock_ledger.Unpicked", &message)
        }
        Event::Shipped { reservation, order, shipment, lines } => {
            let whose = (reservation, order);
            stored("stock_ledger.Shipped", &shipped(whose, shipment, lines, book()))
        }
        Event::TakenBack { order, shipment, reference, lines } => stored(
            "stock_ledger.TakenBack",
            &taken_back(order, (shipment, reference), lines, book()),
        ),
        Event::PromiseBroken { reservation, order, sku, units, left, reason } => {
            let whose = (reservation, order);
            stored("stock_ledger.PromiseBroken", &broken(whose, sku, (*units, *left), reason))
        }
    }
}

type Whose<'a> = (&'a ReservationId, &'a OrderId);
type Book = Vec<proto::Posting>;

fn adjusted(
    (sku, bin, lot): (&Sku, &Bin, &Lot),
    delta: i64,
    reason: &str,
    postings: Book,
) -> proto::StockLedgerAdjusted {
    proto::StockLedgerAdjusted {
        sku: sku.to_string(),
        bin: bin.to_string(),
        lot: lot.to_string(),
        delta,
        reason: reason.to_owned(),
        postings,
    }
}

fn moved(
    sku: &Sku,
    (from, to): (&Bin, &Bin),
    lot: &Lot,
    units: u32,
    postings: Book,
) -> proto::StockLedgerMoved {
    proto::StockLedgerMoved {
        sku: sku.to_string(),
        from_bin: from.to_string(),
        to_bin: to.to_string(),
        lot: lot.to_string(),
        units,
        postings,
    }
}

fn released(
    (reservation, order): Whose<'_>,
    lines: &[SkuUnits],
    reason: &str,
    given_up: &[BinUnits],
) -> proto::StockLedgerReleased {
    proto::StockLedgerReleased {
        reservation: reservation.to_string(),
        order_id: order.to_string(),
        lines: sku_facts(lines),
        reason: reason.to_owned(),
        given_up: bin_facts(given_up),
    }
}

fn allocated(
    (reservation, order): Whose<'_>,
    lines: &[BinUnits],
    pick_list: &Reference,
) -> proto::StockLedgerBinsAllocated {
    proto::StockLedgerBinsAllocated {
        reservation: reservation.to_string(),
        order_id: order.to_string(),
        lines: bin_facts(lines),
        pick_list_id: pick_list.to_string(),
    }
}

fn reallocated(
    (reservation, order): Whose<'_>,
    given_up: &[BinUnits],
    taken: &[BinUnits],
) -> proto::StockLedgerBinsReallocated {
    proto::StockLedgerBinsReallocated {
        reservation: reservation.to_string(),
        order_id: order.to_string(),
        given_up: bin_facts(given_up),
        taken: bin_facts(taken),
    }
}

fn picked(
    (reservation, order): Whose<'_>,
    lines: &[BinUnits],
    pick_list: &Reference,
    postings: Book,
) -> proto::StockLedgerPicked {
    proto::StockLedgerPicked {
        reservation: reservation.to_string(),
        order_id: order.to_string(),
        lines: bin_facts(lines),
        pick_list_id: pick_list.to_string(),
        postings,
    }
}

fn short_picked(
    (reservation, order): Whose<'_>,
    pick_list: &Reference,
    (lines, given_up): (&[SkuUnits], &[BinUnits]),
    missing: &[Missing],
) -> proto::StockLedgerShortPicked {
    let fact = |missing: &Missing| proto::MissingFact {
        at: Some(bin_fact(&missing.at)),
        reason: missing.reason.clone(),
    };
    proto::StockLedgerShortPicked {
        reservation: reservation.to_string(),
        order_id: order.to_string(),
        pick_list_id: pick_list.to_string(),
        lines: sku_facts(lines),
        given_up: bin_facts(given_up),
        missing: missing.iter().map(fact).collect(),
    }
}

fn unpicked(
    (reservation, order): Whose<'_>,
    lines: &[BinUnits],
    (reason, reference): (&str, &Reference),
    postings: Book,
) -> proto::StockLedgerUnpicked {
    proto::StockLedgerUnpicked {
        reservation: reservation.to_string(),
        order_id: order.to_string(),
        lines: bin_facts(lines),
        reason: reason.to_owned(),
        reference: reference.to_string(),
        postings,
    }
}

fn shipped(
    (reservation, order): Whose<'_>,
    shipment: &Reference,
    lines: &[LotUnits],
    postings: Book,
) -> proto::StockLedgerShipped {
    let fact = |line: &LotUnits| proto::BinUnitsFact {
        sku: line.sku.to_string(),
        bin: String::new(),
        lot: line.lot.to_string(),
        units: line.units,
    };
    proto::StockLedgerShipped {
        reservation: reservation.to_string(),
        order_id: order.to_string(),
        shipment_id: shipment.to_string(),
        lines: lines.iter().map(fact).collect(),
        postings,
    }
}

fn taken_back(
    order: &OrderId,
    (shipment, reference): (&Reference, &Reference),
    lines: &[BinUnits],
    postings: Book,
) -> proto::StockLedgerTakenBack {
    proto::StockLedgerTakenBack {
        order_id: order.to_string(),
        shipment_id: shipment.to_string(),
        lines: bin_facts(lines),
        reference: reference.to_string(),
        postings,
    }
}

fn broken(
    (reservation, order): Whose<'_>,
    sku: &Sku,
    (units, left): (u32, u32),
    reason: &str,
) -> proto::StockLedgerPromiseBroken {
    proto::StockLedgerPromiseBroken {
        reservation: reservation.to_string(),
        order_id: order.to_string(),
        sku: sku.to_string(),
        units,
        left,
        reason: reason.to_owned(),
    }
}

fn bin_facts(lines: &[BinUnits]) -> Vec<proto::BinUnitsFact> {
    lines.iter().map(bin_fact).collect()
}

fn bin_fact(line: &BinUnits) -> proto::BinUnitsFact {
    proto::BinUnitsFact {
        sku: line.sku.to_string(),
        bin: line.bin.to_string(),
        lot: line.lot.to_string(),
        units: line.units,
    }
}

fn sku_facts(lines: &[SkuUnits]) -> Vec<common::SkuUnits> {
    let fact = |line: &SkuUnits| common::SkuUnits { sku: line.sku.to_string(), units: line.units };
    lines.iter().map(fact).collect()
}

/// The reservation stays empty: it is the event's own, and a pick of 2,000 lines must fit a commit.
fn posting(posting: &Posting) -> proto::Posting {
    use proto::posting::Account as Kind;
    let account = match posting.account {
        Account::Bin => Kind::Bin,
        Account::Picked => Kind::Picked,
        Account::Supplier => Kind::Supplier,
        Account::Customer => Kind::Customer,
        Account::Difference => Kind::Difference,
        Account::Held => Kind::Held,
        Account::Allocated => Kind::Allocated,
    };
    proto::Posting {
        account: account.into(),
        bin: posting.bin.to_string(),
        lot: posting.lot.to_string(),
        sku: posting.sku.to_string(),
        reservation: String::new(),
        delta: posting.delta,
    }
}
