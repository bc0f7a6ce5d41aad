//! The names and lines of requests, parsed once: every violation is noted with its field.

use nexus_proto::common::v1 as common;
use nexus_proto::inventory::v1 as proto;
use nexus_runtime::Violations;

use crate::domain::stock_ledger::Missing;
use crate::domain::{
    Bin, BinUnits, MAX_NAME_BYTES, Reference, ReservationId, Sku, SkuUnits, id_of,
};

/// Most units in one line of a request.
pub(super) const MAX_UNITS: u32 = 100_000_000;
/// Most lines of an order, and of what is done for one.
pub(super) const MAX_ORDER_LINES: usize = 2_000;
/// Most lines of a delivery.
pub(super) const MAX_DELIVERY_LINES: usize = 1_000;

const MAX_WAREHOUSE: usize = 32;
const MAX_BIN: usize = 64;

/// A SKU as it is registered.
pub(super) fn sku(violations: &mut Violations, field: &str, text: &str) -> Sku {
    let sku = violations.text(field, text, 64);
    let bytes = id_of(&sku).len();
    if bytes > MAX_NAME_BYTES {
        let description = format!(
            "takes {bytes} bytes as an id, at most {MAX_NAME_BYTES} are allowed: letters outside \
             ASCII take 6 or more each"
        );
        violations.add(field, description);
    }
    sku.into()
}

/// The code of a warehouse.
pub(super) fn warehouse(violations: &mut Violations, text: &str) -> String {
    let code = violations.text("warehouse", text, MAX_WAREHOUSE);
    let allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"-_".contains(&byte);
    if !code.bytes().all(allowed) {
        violations.add("warehouse", "may hold ASCII letters, digits, - and _ only");
    }
    code
}

/// The code of a bin.
pub(super) fn bin(violations: &mut Violations, field: &str, text: &str) -> Bin {
    violations.text(field, text, MAX_BIN).into()
}

/// A name given outside: required, any text.
pub(super) fn reference(violations: &mut Violations, field: &str, text: &str) -> Reference {
    violations.text(field, text, MAX_NAME_BYTES).into()
}

/// The name of a reservation.
pub(super) fn reservation(violations: &mut Violations, field: &str, text: &str) -> ReservationId {
    violations.text(field, text, MAX_NAME_BYTES).into()
}

/// Units that were not found, each with its place and reason; there may be none.
pub(super) fn missing(
    violations: &mut Violations,
    lines: &[proto::MissingUnits],
    most: usize,
) -> Vec<Missing> {
    if lines.len() > most {
        let count = lines.len();
        violations.add("missing", format!("has {count} lines, at most {most} are allowed"));
    }
    let mut parsed = Vec::with_capacity(lines.len().min(most));
    for (nth, line) in lines.iter().enumerate().take(most) {
        let at = line.at.clone().unwrap_or_default();
        let reason = violations.text(&format!("missing[{nth}].reason"), &line.reason, 300);
        let at = bin_line(violations, &format!("missing[{nth}].at"), &at);
        parsed.push(Missing { at, reason });
    }
    parsed
}

/// Lines of units in bins, 1 to `most`.
pub(super) fn bin_lines(
    violations: &mut Violations,
    lines: &[proto::BinUnits],
    most: usize,
) -> Vec<BinUnits> {
    line_count(violations, lines.len(), most);
    let mut parsed = Vec::with_capacity(lines.len());
    for (nth, line) in lines.iter().enumerate().take(most) {
        parsed.push(bin_line(violations, &format!("lines[{nth}]"), line));
    }
    parsed
}

fn bin_line(violations: &mut Violations, within: &str, line: &proto::BinUnits) -> BinUnits {
    let field = |name: &str| format!("{within}.{name}");
    BinUnits {
        sku: sku(violations, &field("sku"), &line.sku),
        bin: bin(violations, &field("bin"), &line.bin),
        lot: violations.optional_text(&field("lot"), &line.lot, MAX_BIN).into(),
        units: violations.units(&field("units"), line.units, MAX_UNITS),
    }
}

/// Lines of units of SKUs, each SKU once, up to `most`.
pub(super) fn sku_lines(
    violations: &mut Violations,
    lines: &[common::SkuUnits],
    most: usize,
) -> Vec<SkuUnits> {
    let mut seen = std::collections::HashSet::new();
    let mut parsed = Vec::with_capacity(lines.len());
    if lines.len() > most {
        violations.add("lines", format!("has {} lines, at most {most} are allowed", lines.len()));
    }
    for (nth, line) in lines.iter().enumerate().take(most) {
        let field = |name: &str| format!("lines[{nth}].{name}");
        let sku = sku(violations, &field("sku"), &line.sku);
        if !seen.insert(sku.clone()) {
            violations
                .add(field("sku"), format!("\"{sku}\" stands on an earlier line: add them up"));
        }
        let units = violations.units(&field("units"), line.units, MAX_UNITS);
        parsed.push(SkuUnits { sku, units });
    }
    parsed
}

/// 1 to `most` lines.
pub(super) fn line_count(violations: &mut Violations, count: usize, most: usize) {
    if count == 0 || count > most {
        violations.add("lines", format!("has {count} lines, 1 to {most} are allowed"));
    }
}
