//! What a picker reads after a scan: what was wrong, and what to do now.

use crate::domain::pick_list::{Outcome, PickList, ScanResult};

/// The sentence for the outcome of a scan.
pub(super) fn message(list: &PickList, outcome: &Outcome) -> String {
    let Outcome { picked, units, taken_by, bin, barcode, .. } = outcome;
    let item = wanted(list, outcome);
    match outcome.result {
        ScanResult::Accepted if picked == units => {
            format!("{picked} of {units} of {item} picked: the line is complete.")
        }
        ScanResult::Accepted => format!("{picked} of {units} of {item} picked."),
        ScanResult::LineComplete => line_complete(list, outcome, &item),
        ScanResult::WrongItem if item.is_empty() => {
            "Wrong item: nothing on this list is left to pick. Put it back.".to_owned()
        }
        ScanResult::WrongItem => format!("Wrong item: put it back and take {item}."),
        ScanResult::WrongBin => format!("Wrong bin: this is {bin}, take {item}."),
        ScanResult::WrongLot => {
            format!("Wrong lot: take {item}, or ask a supervisor to swap the lot.")
        }
        ScanResult::DuplicateSerial => {
            format!("This very piece was scanned before: take another one of {item}.")
        }
        ScanResult::UnknownBarcode if item.is_empty() => {
            format!("No product has the barcode {barcode}. Nothing is left to pick here.")
        }
        ScanResult::UnknownBarcode => {
            format!("No product has the barcode {barcode}. Scan another code; wanted is {item}.")
        }
        ScanResult::TakenBy => format!(
            "{taken_by} is picking {item}. Take another line; this one is free 15 minutes after \
             their last scan."
        ),
        ScanResult::StaleList if outcome.line_id.is_empty() => {
            format!("This pick list is {}: put the item back and open your next list.", list.status)
        }
        ScanResult::StaleList => {
            "The order that wanted this was cancelled: put it back and load the list again."
                .to_owned()
        }
    }
}

fn line_complete(list: &PickList, outcome: &Outcome, item: &str) -> String {
    let Outcome { picked, units, .. } = outcome;
    let short = list.line(&outcome.line_id).map_or(0, |line| line.short);
    let left = units.saturating_sub(*picked).saturating_sub(short);
    if left == 0 {
        format!("{picked} of {units} of {item} are picked, no more is needed: put this back.")
    } else {
        format!("Only {left} more of {item} is needed, this pack holds more: scan single units.")
    }
}

/// `Mug (85123A) from bin A-1`.
fn wanted(list: &PickList, outcome: &Outcome) -> String {
    let Some(line) = list.line(&outcome.line_id) else { return String::new() };
    let place = &line.line.place;
    let lot = match place.lot.as_str() {
        "" => String::new(),
        lot => format!(", lot {lot},"),
    };
    let name = match line.line.name.as_str() {
        "" => place.sku.clone(),
        name if name == place.sku => name.to_owned(),
        name => format!("{name} ({})", place.sku),
    };
    format!("{name}{lot} from bin {}", place.bin)
}
