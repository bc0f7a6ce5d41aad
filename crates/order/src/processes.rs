//! What follows from what happened: stock held or given back, parts followed.

pub(crate) mod cancel_order;
pub(crate) mod confirm_order;
pub(crate) mod erase_contact;
pub(crate) mod follow_order;
pub(crate) mod lapse_holds;

use std::time::Duration;

use nexus_es::HandleError;
use nexus_es::process::Trouble;
use nexus_runtime::status;
use tonic::{Code, Status};

use crate::domain::order::Refusal;

/// How long to wait for a service that is away.
const AWAY: Duration = Duration::from_millis(500);

/// What a failed command of ours means: the log will be back, a refusal will not change.
fn trouble(what: &str, error: &HandleError<Refusal>) -> Trouble {
    match error {
        HandleError::Contended | HandleError::Unknown(_) | HandleError::Unavailable(_) => {
            Trouble::Retry(format!("cannot {what}: {error}"))
        }
        _ => Trouble::Hopeless(format!("cannot {what}: {error}")),
    }
}

/// What an unanswered question to inventory means: while it is away there is nothing to give up,
/// anything else is counted, and parked in the end.
fn away(what: &str, no: &Status) -> Trouble {
    match no.code() {
        Code::Unavailable | Code::DeadlineExceeded | Code::Cancelled => {
            Trouble::NotYet(AWAY, format!("{what}: {:?}", no.code()))
        }
        _ => status::trouble(what, no),
    }
}

/// The name under which inventory holds the goods of one attempt.
pub(crate) fn reservation(order_id: &str, attempt: u32) -> String {
    format!("{order_id}/{attempt}")
}
