//! What follows without anybody asking: each file hears some events and acts on them.

pub(crate) mod follow_shipments;
pub(crate) mod list_fulfillments;
pub(crate) mod open_fulfillment;
pub(crate) mod record_picks;
pub(crate) mod withdraw_cancelled;

use nexus_es::process::Trouble;
use nexus_es::{Cause, Heard, clock};
use nexus_runtime::telemetry;
use prost::Message;

/// Fulfilments of one event that are worked on at once.
const AT_ONCE: usize = 8;

/// The message of an event that was heard.
fn message<M: Message + Default>(heard: &Heard) -> Result<M, Trouble> {
    let decoded = M::decode(heard.payload.bytes.as_slice());
    decoded.map_err(|error| Trouble::Hopeless(format!("{}: {error}", heard.event_type())))
}

/// The cause of what `process` does about `heard`, named by `action`, in the story of an order.
fn cause(heard: &Heard, process: &str, action: &str, order_id: &str) -> Cause {
    let trace = telemetry::current_traceparent();
    let cause = heard.cause_for(process, action, clock::now_ms(), trace);
    Cause { story: order_id.to_owned(), ..cause }
}
