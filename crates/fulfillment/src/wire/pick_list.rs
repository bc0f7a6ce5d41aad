//! Events of a pick list as stored.

use nexus_es::{Aggregate, BadEvent, Payload};
use nexus_proto::fulfillment::v1 as proto;

use super::{malformed, message, payload, unknown};
use crate::SERVICE;
use crate::domain::pick_list::{
    Event, Expected, Line, Part, PartTakes, PickList, Place, ScanRefused, ScanResult, Scanned,
    Split, Take,
};

impl Aggregate for PickList {
    const SERVICE: &'static str = SERVICE;

    fn encode(event: &Event) -> Payload {
        match event {
            Event::Generated { warehouse, lines, parts } => {
                payload("pick_list.Generated", &generated_to_proto(warehouse, lines, parts))
            }
            Event::Assigned { picker } => {
                payload("pick_list.Assigned", &proto::PickListAssigned { picker: picker.clone() })
            }
            Event::Started { picker } => {
                payload("pick_list.Started", &proto::PickListStarted { picker: picker.clone() })
            }
            Event::LineLeased { line_id, picker, until_ms } => payload(
                "pick_list.LineLeased",
                &proto::PickListLineLeased {
                    line_id: line_id.clone(),
                    picker: picker.clone(),
                    until_ms: *until_ms,
                },
            ),
            Event::Scanned(scanned) => payload("pick_list.Scanned", &scanned_to_proto(scanned)),
            Event::ScanRefused(refused) => {
                payload("pick_list.ScanRefused", &refused_to_proto(refused))
            }
            Event::ShortPicked { line_id, found, missing, reason, picker } => payload(
                "pick_list.ShortPicked",
                &proto::PickListShortPicked {
                    line_id: line_id.clone(),
                    found: *found,
                    missing: *missing,
                    reason: reason.clone(),
                    picker: picker.clone(),
                },
            ),
            Event::Completed { picker, parts } => payload(
                "pick_list.Completed",
                &proto::PickListCompleted {
                    picker: picker.clone(),
                    parts: parts.iter().map(takes_to_proto).collect(),
                },
            ),
            Event::Cancelled { reason, fulfillment_ids } => payload(
                "pick_list.Cancelled",
                &proto::PickListCancelled {
                    reason: reason.clone(),
                    fulfillment_ids: fulfillment_ids.clone(),
                },
            ),
            Event::OrderWithdrawn { order_id, fulfillment_id, reason } => payload(
                "pick_list.OrderWithdrawn",
                &proto::PickListOrderWithdrawn {
                    order_id: order_id.clone(),
                    fulfillment_id: fulfillment_id.clone(),
                    reason: reason.clone(),
                },
            ),
        }
    }

    fn decode(stored: &Payload) -> Result<Event, BadEvent> {
        Ok(match stored.event_type.as_str() {
            "pick_list.Generated" => generated_from_proto(stored, message(stored)?)?,
            "pick_list.Assigned" => {
                let proto::PickListAssigned { picker } = message(stored)?;
                Event::Assigned { picker }
            }
            "pick_list.Started" => {
                let proto::PickListStarted { picker } = message(stored)?;
                Event::Started { picker }
            }
            "pick_list.LineLeased" => {
                let proto::PickListLineLeased { line_id, picker, until_ms } = message(stored)?;
                Event::LineLeased { line_id, picker, until_ms }
            }
            "pick_list.Scanned" => Event::Scanned(scanned_from_proto(message(stored)?)),
            "pick_list.ScanRefused" => {
                Event::ScanRefused(refused_from_proto(stored, message(stored)?)?)
            }
            "pick_list.ShortPicked" => {
                let proto::PickListShortPicked { line_id, found, missing, reason, picker } =
                    message(stored)?;
                Event::ShortPicked { line_id, found, missing, reason, picker }
            }
            "pick_list.Completed" => {
                let proto::PickListCompleted { picker, parts } = message(stored)?;
                let parts = parts.into_iter().map(takes_from_proto).collect();
                Event::Completed { picker, parts }
            }
            "pick_list.Cancelled" => {
                let proto::PickListCancelled { reason, fulfillment_ids } = message(stored)?;
                Event::Cancelled { reason, fulfillment_ids }
            }
            "pick_list.OrderWithdrawn" => {
                let proto::PickListOrderWithdrawn { order_id, fulfillment_id, reason } =
                    message(stored)?;
                Event::OrderWithdrawn { order_id, fulfillment_id, reason }
            }
            _ => return Err(unknown(stored)),
        })
    }
}

fn generated_to_proto(warehouse: &str, lines: &[Line], parts: &[Part]) -> proto::PickListGenerated {
    let lines = lines.iter().map(|line| proto::GeneratedLine {
        line_id: line.line_id.clone(),
        bin: line.place.bin.clone(),
        zone: line.place.zone.clone(),
        pick_sequence: line.place.pick_sequence,
        sku: line.place.sku.clone(),
        lot: line.place.lot.clone(),
        name: line.name.clone(),
        barcodes: line
            .barcodes
            .iter()
            .map(|(code, units)| proto::GeneratedBarcode { code: code.clone(), units: *units })
            .collect(),
        units: line.units,
        split: line
            .split
            .iter()
            .map(|split| proto::GeneratedSplit {
                order_line_id: split.order_line_id.clone(),
                units: split.units,
                part: u32::try_from(split.part).unwrap_or(u32::MAX),
            })
            .collect(),
    });
    let parts = parts.iter().map(|part| proto::GeneratedPart {
        order_id: part.order_id.clone(),
        order_number: part.order_number.clone(),
        fulfillment_id: part.fulfillment_id.clone(),
        reservation: part.reservation.clone(),
    });
    proto::PickListGenerated {
        warehouse: warehouse.to_owned(),
        lines: lines.collect(),
        parts: parts.collect(),
    }
}

fn generated_from_proto(
    stored: &Payload,
    generated: proto::PickListGenerated,
) -> Result<Event, BadEvent> {
    let parts: Vec<Part> = generated
        .parts
        .into_iter()
        .map(|part| Part {
            order_id: part.order_id,
            order_number: part.order_number,
            fulfillment_id: part.fulfillment_id,
            reservation: part.reservation,
        })
        .collect();
    let part_of = |split: &proto::GeneratedSplit| {
        let part = usize::try_from(split.part).ok().filter(|part| *part < parts.len());
        part.ok_or_else(|| malformed(stored, &"a split names a part that is not there"))
    };
    let mut lines = Vec::with_capacity(generated.lines.len());
    for line in generated.lines {
        let mut splits = Vec::with_capacity(line.split.len());
        for split in line.split {
            let part = part_of(&split)?;
            let proto::GeneratedSplit { order_line_id, units, .. } = split;
            splits.push(Split { part, order_line_id, units });
        }
        lines.push(Line {
            line_id: line.line_id,
            place: Place {
                zone: line.zone,
                pick_sequence: line.pick_sequence,
                bin: line.bin,
                sku: line.sku,
                lot: line.lot,
            },
            name: line.name,
            barcodes: line.barcodes.into_iter().map(|code| (code.code, code.units)).collect(),
            units: line.units,
            split: splits,
        });
    }
    Ok(Event::Generated { warehouse: generated.warehouse, lines, parts })
}

fn scanned_to_proto(scanned: &Scanned) -> proto::PickListScanned {
    proto::PickListScanned {
        scan_id: scanned.scan_id.clone(),
        line_id: scanned.line_id.clone(),
        bin: scanned.bin.clone(),
        barcode: scanned.barcode.clone(),
        units: scanned.units,
        picker: scanned.picker.clone(),
        serial: scanned.serial.clone(),
        leased_until_ms: scanned.leased_until_ms,
    }
}

fn scanned_from_proto(scanned: proto::PickListScanned) -> Scanned {
    Scanned {
        scan_id: scanned.scan_id,
        line_id: scanned.line_id,
        bin: scanned.bin,
        barcode: scanned.barcode,
        serial: scanned.serial,
        units: scanned.units,
        picker: scanned.picker,
        leased_until_ms: scanned.leased_until_ms,
    }
}

fn refused_to_proto(refused: &ScanRefused) -> proto::PickListScanRefused {
    let expected = refused.expected.as_ref();
    let text = |of: fn(&Expected) -> &String| expected.map(of).cloned().unwrap_or_default();
    proto::PickListScanRefused {
        scan_id: refused.scan_id.clone(),
        result: refused.result.name().to_owned(),
        bin: refused.bin.clone(),
        barcode: refused.barcode.clone(),
        line_id: refused.line_id.clone(),
        expected_bin: text(|expected| &expected.bin),
        expected_sku: text(|expected| &expected.sku),
        expected_lot: text(|expected| &expected.lot),
        picker: refused.picker.clone(),
        taken_by: refused.taken_by.clone(),
    }
}

fn refused_from_proto(
    stored: &Payload,
    refused: proto::PickListScanRefused,
) -> Result<ScanRefused, BadEvent> {
    let result = ScanResult::named(&refused.result)
        .ok_or_else(|| malformed(stored, &"the result is not one that a scan can have"))?;
    let expected = (!refused.expected_sku.is_empty()).then_some(Expected {
        bin: refused.expected_bin,
        sku: refused.expected_sku,
        lot: refused.expected_lot,
    });
    Ok(ScanRefused {
        scan_id: refused.scan_id,
        result,
        bin: refused.bin,
        barcode: refused.barcode,
        line_id: refused.line_id,
        expected,
        picker: refused.picker,
        taken_by: refused.taken_by,
    })
}

fn takes_to_proto(part: &PartTakes) -> proto::CompletedPart {
    let takes = part.takes.iter().map(|take| proto::CompletedTake {
        order_line_id: take.order_line_id.clone(),
        sku: take.sku.clone(),
        bin: take.bin.clone(),
        lot: take.lot.clone(),
        picked: take.picked,
        short: take.short,
    });
    proto::CompletedPart {
        fulfillment_id: part.fulfillment_id.clone(),
        order_id: part.order_id.clone(),
        reservation: part.reservation.clone(),
        takes: takes.collect(),
    }
}

fn takes_from_proto(part: proto::CompletedPart) -> PartTakes {
    let takes = part.takes.into_iter().map(|take| Take {
        order_line_id: take.order_line_id,
        sku: take.sku,
        bin: take.bin,
        lot: take.lot,
        picked: take.picked,
        short: take.short,
    });
    PartTakes {
        takes: takes.collect(),
        fulfillment_id: part.fulfillment_id,
        order_id: part.order_id,
        reservation: part.reservation,
    }
}
