//! What the domain refuses, in words a person can act on: the present state, the wish, the way
//! forward.

use nexus_runtime::status;
use tonic::Status;

use crate::domain::fulfillment::{self, Difference, Stage};
use crate::domain::pick_list::{self, OpenLine, Status as ListStatus};

/// At most so many rows are named in one sentence.
const NAMED: usize = 10;

pub(super) fn of_fulfillment(id: &str, refusal: &fulfillment::Refusal) -> Status {
    use fulfillment::Refusal;
    match refusal {
        Refusal::NotOpened => status::not_found("fulfillment", id),
        Refusal::Past(stage) => past(id, *stage),
        Refusal::Disputed { reason } => status::refused(
            "PICK_DISPUTED",
            format!(
                "fulfillment {id} cannot be packed: the stock ledger refused to book its pick \
                 ({reason}); correct the stock, then retry the parked or disputed pick"
            ),
            &[("status", "listed"), ("wish", "pack"), ("dispute", reason)],
        ),
        Refusal::PackedOtherwise => status::refused(
            "ALREADY_PACKED",
            format!(
                "fulfillment {id} is packed already, with other parcels; use the parcels it has: \
                 GET /v1/fulfillments/{id}"
            ),
            &[("status", "packed"), ("wish", "pack")],
        ),
        Refusal::ContentsDiffer(differences) => differ(id, differences),
        Refusal::ListedElsewhere { pick_list_id } => status::refused(
            "ALREADY_LISTED",
            format!("fulfillment {id} stands on pick list {pick_list_id} already"),
            &[("status", "listed"), ("pick_list_id", pick_list_id)],
        ),
        Refusal::UnknownParcel { .. } => {
            status::refused("REFUSED", format!("fulfillment {id}: {refusal}"), &[])
        }
    }
}

fn past(id: &str, stage: Stage) -> Status {
    let way = match stage {
        Stage::Unknown | Stage::Ready => "put it on a pick list first: POST /v1/pick-lists",
        Stage::Listed => {
            "complete its pick list first: POST /v1/pick-lists/{pick_list_id}:complete"
        }
        Stage::Picked => "pack it: POST /v1/fulfillments/{fulfillment_id}:pack",
        Stage::Packed => "create its shipment: POST /v1/shipments",
        Stage::HandedOver => "its parcels are with the courier, nothing is left to pack",
        Stage::Withdrawn => "its order was cancelled or nothing of it was found; pack nothing",
    };
    let stage = stage.to_string();
    status::refused(
        "FULFILLMENT_NOT_PICKED",
        format!("fulfillment {id} is {stage} and cannot be packed: {way}"),
        &[("status", &stage), ("wish", "pack"), ("way_forward", way)],
    )
}

fn differ(id: &str, differences: &[Difference]) -> Status {
    let named: Vec<String> = differences
        .iter()
        .take(NAMED)
        .map(|one| format!("{}: {} picked, {} packed", one.sku, one.picked, one.packed))
        .collect();
    let more = more_than_named(differences.len());
    let named = format!("{}{more}", named.join("; "));
    status::refused(
        "CONTENTS_DIFFER",
        format!(
            "the parcels of fulfillment {id} do not hold what was picked ({named}); list exactly \
             the picked units, all parcels together"
        ),
        &[("status", "picked"), ("wish", "pack"), ("differences", &named)],
    )
}

pub(super) fn of_pick_list(id: &str, wish: &str, refusal: &pick_list::Refusal) -> Status {
    use pick_list::Refusal;
    match refusal {
        Refusal::NotGenerated => status::not_found("pick list", id),
        Refusal::Over(over) => self::over(id, wish, *over),
        Refusal::OpenLines(lines) => open_lines(id, lines),
        Refusal::UnknownLine { line_id } => status::not_found("pick line", line_id),
        Refusal::LineTaken { picker } => status::refused(
            "LINE_TAKEN",
            format!("{picker} works on this line; take another one, or wait until the lease ends"),
            &[("wish", wish), ("taken_by", picker)],
        ),
        Refusal::FoundLessThanScanned { picked } => status::refused(
            "FOUND_LESS_THAN_SCANNED",
            format!("{picked} units of this line were scanned already; found counts them too"),
            &[("wish", wish), ("picked", &picked.to_string())],
        ),
        Refusal::NothingMissing { units } => status::refused(
            "NOTHING_MISSING",
            format!("the line asks for {units} units and as many were found; scan them instead"),
            &[("wish", wish), ("units", &units.to_string())],
        ),
        Refusal::NoReason => status::invalid_field("reason", "is required"),
    }
}

fn over(id: &str, wish: &str, over: ListStatus) -> Status {
    let way = match over {
        ListStatus::Completed => "its fulfillments can be packed",
        ListStatus::Cancelled => "generate a new one for its orders: POST /v1/pick-lists",
        ListStatus::Unknown | ListStatus::Open | ListStatus::Assigned | ListStatus::Picking => "",
    };
    let over = over.to_string();
    status::refused(
        "PICK_LIST_OVER",
        format!("pick list {id} is {over}, it is too late to {wish}: {way}"),
        &[("status", &over), ("wish", wish), ("way_forward", way)],
    )
}

fn open_lines(id: &str, lines: &[OpenLine]) -> Status {
    let named: Vec<String> = lines
        .iter()
        .take(NAMED)
        .map(|line| {
            let OpenLine { line_id, bin, sku, left } = line;
            format!("{line_id}: {left} of {sku} in {bin}")
        })
        .collect();
    let named = format!("{}{}", named.join("; "), more_than_named(lines.len()));
    status::refused(
        "LINES_OPEN",
        format!(
            "pick list {id} has {} open lines ({named}); scan what is left, or report it short",
            lines.len()
        ),
        &[("status", "picking"), ("wish", "complete"), ("open_lines", &named)],
    )
}

fn more_than_named(all: usize) -> String {
    match all.saturating_sub(NAMED) {
        0 => String::new(),
        more => format!("; and {more} more"),
    }
}
