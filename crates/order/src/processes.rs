//! What follows from what happened: stock held or given back, parts followed.

pub(crate) mod cancel_order;
pub(crate) mod confirm_order;
pub(crate) mod erase_contact;
pub(crate) mod follow_order;
pub(crate) mod lapse_holds;

use nexus_es::HandleError;
use nexus_es::process::Trouble;

use crate::domain::order::Refusal;

/// What a failed command of ours means: the log will be back, a refusal will not change.
fn trouble(what: &str, error: &HandleError<Refusal>) -> Trouble {
    match error {
        HandleError::Contended | HandleError::Unknown(_) | HandleError::Unavailable(_) => {
            Trouble::Retry(format!("cannot {what}: {error}"))
        }
        _ => Trouble::Hopeless(format!("cannot {what}: {error}")),
    }
}

/// The name under which inventory holds the goods of one attempt.
pub(crate) fn reservation(order_id: &str, attempt: u32) -> String {
    format!("{order_id}/{attempt}")
}
