//! What shipping does by itself when it hears of something.

pub(crate) mod apply_courier_event;
pub(crate) mod create_awb;
mod follow_silent_shipment;
mod record_dispatch;
mod store_label;
mod void_awb;

use std::sync::Arc;
use std::time::Duration;

use nexus_es::process::{Process, Trouble};
use nexus_es::{Aggregate, Heard};

use crate::courier::CallError;
use crate::domain::shipment::{Event, Shipment};
use crate::opener::OpenError;
use crate::parts::Parts;

/// All processes, one runner each.
pub(crate) fn all(parts: &Arc<Parts>) -> Vec<Arc<dyn Process>> {
    let parts = || Arc::clone(parts);
    vec![
        Arc::new(create_awb::CreateAwb::new(parts())),
        Arc::new(store_label::StoreLabel { parts: parts() }),
        Arc::new(void_awb::VoidAwb { parts: parts() }),
        Arc::new(record_dispatch::RecordDispatch { parts: parts() }),
        Arc::new(apply_courier_event::ApplyCourierEvent { parts: parts() }),
        Arc::new(follow_silent_shipment::FollowSilentShipment { parts: parts() }),
    ]
}

/// When a silent courier is asked again; divided by the speed.
const ASK_AGAIN: Duration = Duration::from_secs(5);

/// A call that can be made again without harm. A courier that is away for hours parks nothing: its
/// parcels wait.
fn again(parts: &Parts, error: &CallError) -> Trouble {
    match error {
        CallError::Busy { retry_after } => Trouble::NotYet(*retry_after, error.to_string()),
        CallError::Unanswered { .. } => {
            Trouble::NotYet(parts.ports.scaled(ASK_AGAIN), error.to_string())
        }
        CallError::Refused(_) | CallError::ReferenceTaken | CallError::NotFound => {
            Trouble::Retry(error.to_string())
        }
    }
}

fn not_opened(error: &OpenError) -> Trouble {
    match error {
        OpenError::NotFound | OpenError::Erased => Trouble::Hopeless(error.to_string()),
        OpenError::Broken(_) => Trouble::Retry(error.to_string()),
    }
}

/// How long from now until `due_ms`; `None` when that has passed.
fn until(due_ms: i64) -> Option<Duration> {
    let left = due_ms - nexus_es::clock::now_ms();
    u64::try_from(left).ok().filter(|left| *left > 0).map(Duration::from_millis)
}

fn millis(wait: Duration) -> i64 {
    i64::try_from(wait.as_millis()).unwrap_or(i64::MAX)
}

/// The event of a shipment; one of a newer writer is parked, not guessed.
fn event(heard: &Heard) -> Result<Event, Trouble> {
    Shipment::decode(&heard.payload).map_err(|error| Trouble::Hopeless(error.to_string()))
}
