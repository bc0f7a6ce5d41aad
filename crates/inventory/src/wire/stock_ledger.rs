//! Events of `stock_ledger`. Those that move units carry their postings for readers that keep
//! books of their own; reading an event back needs only its lines.

mod messages;

use nexus_es::handle::BadEvent;
use nexus_es::{Aggregate, Payload};
use nexus_proto::common::v1 as common;
use nexus_proto::inventory::v1 as proto;

use super::{read, stored, unknown};
use crate::SERVICE;
use crate::domain::stock_ledger::{Event, LotUnits, Missing, StockLedger};
use crate::domain::{BinUnits, SkuUnits};

impl Aggregate for StockLedger {
    const SERVICE: &'static str = SERVICE;

    fn encode(event: &Event) -> Payload {
        messages::payload(event)
    }

    fn decode(payload: &Payload) -> Result<Event, BadEvent> {
        if payload.schema != 1 {
            return Err(unknown(payload));
        }
        match payload.event_type.strip_prefix("stock_ledger.").unwrap_or_default() {
            "Received" => read(payload).map(received),
            "Adjusted" => read(payload).map(adjusted),
            "Moved" => read(payload).map(moved),
            "Reserved" => read(payload).map(reserved),
            "Released" => read(payload).map(released),
            "ReleasedUnseen" => read(payload).map(released_unseen),
            "BinsAllocated" => read(payload).map(bins_allocated),
            "BinsReallocated" => read(payload).map(bins_reallocated),
            "Picked" => read(payload).map(picked),
            "ShortPicked" => read(payload).map(short_picked),
            "Unpicked" => read(payload).map(unpicked),
            "Shipped" => read(payload).map(shipped),
            "TakenBack" => read(payload).map(taken_back),
            "PromiseBroken" => read(payload).map(promise_broken),
            _ => Err(unknown(payload)),
        }
    }
}

fn received(message: proto::StockLedgerReceived) -> Event {
    Event::Received { receipt: message.receipt.into(), lines: bin_units(message.lines) }
}

fn adjusted(message: proto::StockLedgerAdjusted) -> Event {
    Event::Adjusted {
        sku: message.sku.into(),
        bin: message.bin.into(),
        lot: message.lot.into(),
        delta: message.delta,
        reason: message.reason,
    }
}

fn moved(message: proto::StockLedgerMoved) -> Event {
    Event::Moved {
        sku: message.sku.into(),
        from: message.from_bin.into(),
        to: message.to_bin.into(),
        lot: message.lot.into(),
        units: message.units,
    }
}

fn reserved(message: proto::StockLedgerReserved) -> Event {
    Event::Reserved {
        reservation: message.reservation.into(),
        order: message.order_id.into(),
        lines: sku_units(message.lines),
    }
}

fn released(message: proto::StockLedgerReleased) -> Event {
    Event::Released {
        reservation: message.reservation.into(),
        order: message.order_id.into(),
        lines: sku_units(message.lines),
        reason: message.reason,
        given_up: bin_units(message.given_up),
    }
}

fn released_unseen(message: proto::StockLedgerReleasedUnseen) -> Event {
    Event::ReleasedUnseen {
        reservation: message.reservation.into(),
        order: message.order_id.into(),
        reason: message.reason,
    }
}

fn bins_allocated(message: proto::StockLedgerBinsAllocated) -> Event {
    Event::BinsAllocated {
        reservation: message.reservation.into(),
        order: message.order_id.into(),
        lines: bin_units(message.lines),
        pick_list: message.pick_list_id.into(),
    }
}

fn bins_reallocated(message: proto::StockLedgerBinsReallocated) -> Event {
    Event::BinsReallocated {
        reservation: message.reservation.into(),
        order: message.order_id.into(),
        given_up: bin_units(message.given_up),
        taken: bin_units(message.taken),
    }
}

fn picked(message: proto::StockLedgerPicked) -> Event {
    Event::Picked {
        reservation: message.reservation.into(),
        order: message.order_id.into(),
        lines: bin_units(message.lines),
        pick_list: message.pick_list_id.into(),
    }
}

fn short_picked(message: proto::StockLedgerShortPicked) -> Event {
    let missing = |fact: proto::MissingFact| Missing {
        at: bin_unit(fact.at.unwrap_or_default()),
        reason: fact.reason,
    };
    Event::ShortPicked {
        reservation: message.reservation.into(),
        order: message.order_id.into(),
        pick_list: message.pick_list_id.into(),
        lines: sku_units(message.lines),
        given_up: bin_units(message.given_up),
        missing: message.missing.into_iter().map(missing).collect(),
    }
}

fn unpicked(message: proto::StockLedgerUnpicked) -> Event {
    Event::Unpicked {
        reservation: message.reservation.into(),
        order: message.order_id.into(),
        lines: bin_units(message.lines),
        reason: message.reason,
        reference: message.reference.into(),
    }
}

fn shipped(message: proto::StockLedgerShipped) -> Event {
    let lot = |fact: proto::BinUnitsFact| LotUnits {
        sku: fact.sku.into(),
        lot: fact.lot.into(),
        units: fact.units,
    };
    Event::Shipped {
        reservation: message.reservation.into(),
        order: message.order_id.into(),
        shipment: message.shipment_id.into(),
        lines: message.lines.into_iter().map(lot).collect(),
    }
}

fn taken_back(message: proto::StockLedgerTakenBack) -> Event {
    Event::TakenBack {
        order: message.order_id.into(),
        shipment: message.shipment_id.into(),
        reference: message.reference.into(),
        lines: bin_units(message.lines),
    }
}

fn promise_broken(message: proto::StockLedgerPromiseBroken) -> Event {
    Event::PromiseBroken {
        reservation: message.reservation.into(),
        order: message.order_id.into(),
        sku: message.sku.into(),
        units: message.units,
        left: message.left,
        reason: message.reason,
    }
}

fn bin_units(facts: Vec<proto::BinUnitsFact>) -> Vec<BinUnits> {
    facts.into_iter().map(bin_unit).collect()
}

fn bin_unit(fact: proto::BinUnitsFact) -> BinUnits {
    BinUnits { sku: fact.sku.into(), bin: fact.bin.into(), lot: fact.lot.into(), units: fact.units }
}

fn sku_units(lines: Vec<common::SkuUnits>) -> Vec<SkuUnits> {
    lines.into_iter().map(|line| SkuUnits { sku: line.sku.into(), units: line.units }).collect()
}
