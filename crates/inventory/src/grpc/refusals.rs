//! The ledger's no in words: what is so, what was wished, and what to do about it.

use nexus_runtime::status;
use tonic::Status;

use crate::domain::stock_ledger::Refusal;

/// A refusal as a status.
pub(super) fn ledger(warehouse: &str, refusal: Refusal) -> Status {
    match refusal {
        Refusal::OtherContent { reference } => status::refused(
            "ALREADY_RECORDED",
            format!(
                "\"{reference}\" was recorded in {warehouse} with other lines and counts once: use \
                 another name for what came beside it, or adjust the stock"
            ),
            &[("reference", reference.as_str())],
        ),
        Refusal::Short { shortages } => {
            let first = shortages.first();
            let sku = first.map(|short| short.sku.to_string()).unwrap_or_default();
            status::refused(
                "STOCK_SHORT",
                format!("{warehouse} has too few of {} SKUs, first of {sku}", shortages.len()),
                &[("sku", &sku)],
            )
        }
        Refusal::ReleasedBefore => status::refused(
            "RELEASED_BEFORE",
            "the reservation was given back already: reserve under a new name",
            &[("status", "released")],
        ),
        Refusal::OtherLines => status::refused(
            "RESERVED_DIFFERENTLY",
            "the reservation holds other lines: release it, and reserve under a new name",
            &[("status", "reserved")],
        ),
        Refusal::UnknownReservation => status::refused(
            "UNKNOWN_RESERVATION",
            format!("nothing was reserved in {warehouse} under this name: reserve first"),
            &[("status", "unknown")],
        ),
        Refusal::BinShort { sku, bin, lot, asked, there } => {
            let lot = if lot.is_empty() { String::new() } else { format!(" of lot {lot}") };
            bin_short(&format!("{sku}{lot}"), bin.as_str(), asked, there)
        }
        Refusal::NotHeld { sku, asked, held } => status::refused(
            "NOT_HELD",
            format!(
                "the reservation holds {held} units of {sku}, {asked} cannot be picked for it: put \
                 the others back"
            ),
            &[("held", &held.to_string()), ("sku", sku.as_str())],
        ),
        Refusal::NotPicked { sku, asked, picked } => status::refused(
            "NOT_PICKED",
            format!(
                "{picked} units of {sku} are picked for the reservation, {asked} cannot leave it: \
                 pick them first"
            ),
            &[("picked", &picked.to_string()), ("sku", sku.as_str())],
        ),
        Refusal::NothingPicked => status::refused(
            "NOTHING_PICKED",
            "nothing is picked for the reservation that could be shipped: pick it first",
            &[("picked", "0")],
        ),
        Refusal::TooMany { sku } => status::refused(
            "TOO_MANY_UNITS",
            format!("{warehouse} cannot hold so many units of {sku}: check the number"),
            &[("sku", sku.as_str())],
        ),
    }
}

fn bin_short(what: &str, bin: &str, asked: u64, there: u64) -> Status {
    status::refused(
        "BIN_SHORT",
        format!(
            "bin {bin} holds {there} units of {what}, {asked} cannot be taken from it: count the \
             bin and adjust it first"
        ),
        &[("there", &there.to_string()), ("bin", bin)],
    )
}
