//! A pick list as people see it, event by event. It works on a whole list and on a list of which
//! only the needed lines were read.

use nexus_proto::fulfillment::v1 as proto;
use nexus_runtime::time;

use crate::domain::pick_list::{Event, Line, Part, kept};

/// Which lines an event needs.
pub(super) enum Lines<'a> {
    None,
    One(&'a str),
    All,
    /// It makes them.
    New,
}

pub(super) fn lines_of(event: &Event) -> Lines<'_> {
    match event {
        Event::Generated { .. } => Lines::New,
        Event::LineLeased { line_id, .. } | Event::ShortPicked { line_id, .. } => {
            Lines::One(line_id)
        }
        Event::Scanned(scanned) => Lines::One(&scanned.line_id),
        Event::OrderWithdrawn { .. } => Lines::All,
        Event::Assigned { .. }
        | Event::Started { .. }
        | Event::ScanRefused(_)
        | Event::Completed { .. }
        | Event::Cancelled { .. } => Lines::None,
    }
}

/// The list after `event`.
pub(super) fn fold(list: &mut proto::PickList, event: &Event, at_ms: i64) {
    list.updated_at = time::rfc3339(at_ms);
    match event {
        Event::Generated { warehouse, lines, parts } => {
            "open".clone_into(&mut list.status);
            list.warehouse.clone_from(warehouse);
            list.created_at = time::rfc3339(at_ms);
            list.order_ids = parts.iter().map(|part| part.order_id.clone()).collect();
            list.lines = lines.iter().map(|line| generated(line, parts)).collect();
        }
        Event::Assigned { picker } => {
            list.picker = Some(picker.clone());
            if list.status == "open" {
                "assigned".clone_into(&mut list.status);
            }
        }
        Event::Started { picker } => {
            list.picker = Some(picker.clone());
            "picking".clone_into(&mut list.status);
        }
        Event::LineLeased { line_id, picker, until_ms } => lease(list, line_id, picker, *until_ms),
        Event::Scanned(scanned) => {
            lease(list, &scanned.line_id, &scanned.picker, scanned.leased_until_ms);
            if let Some(line) = line_mut(list, &scanned.line_id) {
                line.picked += scanned.units;
            }
        }
        Event::ShortPicked { line_id, missing, reason, .. } => {
            if let Some(line) = line_mut(list, line_id) {
                line.short = *missing;
                line.short_reason = Some(reason.clone());
            }
        }
        Event::ScanRefused(_) => {}
        Event::Completed { .. } => "completed".clone_into(&mut list.status),
        Event::Cancelled { .. } => "cancelled".clone_into(&mut list.status),
        Event::OrderWithdrawn { order_id, fulfillment_id, .. } => {
            list.order_ids.retain(|id| id != order_id);
            take_off(list, fulfillment_id);
        }
    }
}

fn generated(line: &Line, parts: &[Part]) -> proto::PickLine {
    let split = line.split.iter().filter_map(|split| {
        let part = parts.get(split.part)?;
        Some(proto::PickSplit {
            order_id: part.order_id.clone(),
            units: split.units,
            fulfillment_id: part.fulfillment_id.clone(),
        })
    });
    let mut shares: Vec<proto::PickSplit> = vec![];
    for share in split {
        match shares.last_mut() {
            // One article on several lines of one order is one share of that order.
            Some(last) if last.fulfillment_id == share.fulfillment_id => last.units += share.units,
            _ => shares.push(share),
        }
    }
    let barcodes = line.barcodes.iter();
    let barcodes =
        barcodes.map(|(code, units)| proto::Barcode { code: code.clone(), units: *units });
    proto::PickLine {
        line_id: line.line_id.clone(),
        bin: line.place.bin.clone(),
        zone: line.place.zone.clone(),
        sku: line.place.sku.clone(),
        name: line.name.clone(),
        barcodes: barcodes.collect(),
        units: line.units,
        picked: 0,
        short: 0,
        split: shares,
        leased_to: None,
        lot: Some(line.place.lot.clone()).filter(|lot| !lot.is_empty()),
        pick_sequence: line.place.pick_sequence,
        short_reason: None,
        leased_until: None,
    }
}

fn line_mut<'a>(list: &'a mut proto::PickList, line_id: &str) -> Option<&'a mut proto::PickLine> {
    list.lines.iter_mut().find(|line| line.line_id == line_id)
}

fn lease(list: &mut proto::PickList, line_id: &str, picker: &str, until_ms: i64) {
    if let Some(line) = line_mut(list, line_id) {
        line.leased_to = Some(picker.to_owned());
        line.leased_until = Some(time::rfc3339(until_ms));
    }
}

fn take_off(list: &mut proto::PickList, fulfillment_id: &str) {
    for line in &mut list.lines {
        let before = line.split.len();
        line.split.retain(|split| split.fulfillment_id != fulfillment_id);
        if line.split.len() == before {
            continue;
        }
        line.units = line.split.iter().map(|split| split.units).sum();
        (line.picked, line.short) = kept(line.units, line.picked, line.short);
        if line.short == 0 {
            line.short_reason = None;
        }
    }
    list.lines.retain(|line| line.units > 0);
}
