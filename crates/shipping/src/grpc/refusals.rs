//! The domain's no in the words of the contract: present state, wish, way forward.

use nexus_es::HandleError;
use nexus_runtime::status;
use tonic::Status;

use crate::domain::{courier_account, manifest, shipment};

/// Why a shipment does not do what was wished.
pub(super) fn shipment(id: &str, wish: &str, error: HandleError<shipment::Refusal>) -> Status {
    status::of(error, |no| refused(id, wish, &no))
}

fn refused(id: &str, wish: &str, no: &shipment::Refusal) -> Status {
    use shipment::Refusal;
    match no {
        Refusal::NotFound => status::not_found("shipment", id),
        Refusal::OtherAccount { account } => status::refused(
            "OTHER_ACCOUNT",
            format!(
                "the parcel has an AWB of courier account {account}, cannot {wish}: void that AWB \
                 first"
            ),
            &[("shipment_id", id), ("courier_account_id", account)],
        ),
        Refusal::OtherAwb { awb } => status::refused(
            "OTHER_AWB",
            format!("the parcel has the AWB {awb}, cannot {wish}: void that AWB first"),
            &[("shipment_id", id), ("awb", awb)],
        ),
        Refusal::WrongStatus { status: now } => status::refused(
            "WRONG_STATUS",
            format!("the shipment is {now}, cannot {wish}: {}", way_forward(now)),
            &[("status", now), ("shipment_id", id)],
        ),
        Refusal::VoidPending => status::refused(
            "VOID_PENDING",
            format!(
                "the courier is being asked to void the AWB, cannot {wish}: wait for its answer"
            ),
            &[("status", "awb_live"), ("shipment_id", id)],
        ),
        Refusal::WrongLabel { expected } => status::refused(
            "WRONG_LABEL",
            format!("the label is another parcel's, cannot {wish}: this one's says {expected}"),
            &[("expected", expected), ("shipment_id", id)],
        ),
        Refusal::NoLabel => status::refused(
            "NO_LABEL",
            format!("no label is stored, cannot {wish}: use the one that the courier gave you"),
            &[("shipment_id", id)],
        ),
    }
}

fn way_forward(now: &str) -> &'static str {
    match now {
        "planned" | "awb_failed" | "voided" => "ask for the AWB with :create-awb first",
        "awb_requested" | "awb_unknown" => "wait until the courier has answered",
        "awb_live" => "hand the parcel over with :hand-over first",
        "handed_over" => "the courier has the parcel",
        _ => "its story has ended",
    }
}

/// Why an account does not change.
pub(super) fn account(id: &str, error: HandleError<courier_account::Refusal>) -> Status {
    use courier_account::Refusal;
    status::of(error, |no| match no {
        Refusal::NotFound => status::not_found("courier account", id),
        Refusal::TakesNoCredentials => status::refused(
            "NO_CREDENTIALS",
            "a manual account has no credentials to rotate",
            &[("courier", "manual")],
        ),
    })
}

/// Why a manifest does not take or close.
pub(super) fn manifest(id: &str, error: HandleError<manifest::Refusal>) -> Status {
    use manifest::Refusal;
    status::of(error, |no| match no {
        Refusal::NotFound => status::not_found("manifest", id),
        Refusal::Closed => status::refused(
            "MANIFEST_CLOSED",
            "the manifest is closed, it takes no more labels: open another one",
            &[("status", "closed"), ("manifest_id", id)],
        ),
        Refusal::Empty => status::refused(
            "MANIFEST_EMPTY",
            "nothing was scanned, cannot close: scan the labels of the load first",
            &[("status", "open"), ("manifest_id", id)],
        ),
    })
}
