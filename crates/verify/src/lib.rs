//! Reads the logs and says whether what must never break is whole: a second, naive model of the
//! whole story, computed from the stored messages alone.
//! *Invariant:* it only reads, and shares no code with the services whose work it judges (see
//! `docs/decisions/005`).

mod chain;
mod events;
mod facts;
mod fulfillments;
mod inbox;
mod messages;
mod numbers;
mod orders;
mod parked;
mod pick_lists;
mod promises;
mod report;
mod run;
mod shipments;
mod stock;
mod views;

pub use events::{Filter, PrintError, print_events};
pub use report::{Check, Invariant, Report, Violation};
pub use run::{VerifyError, verify_log};
pub use views::{Build, CopyInto, Live, ViewsOf, verify_views};

/// The services that keep a log, in the order in which `verify` reads them: who acts on the facts
/// of another comes after it, so that a log that grows meanwhile shows no effect without its cause.
pub const SERVICES: [&str; 7] =
    ["order", "inventory", "fulfillment", "shipping", "notification", "ingress", "gateway"];
