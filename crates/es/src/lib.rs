//! Event sourcing as Nexus does it: deciders, the commit, the ports to logs and stores, the command
//! handler, and the runners of views and processes.

pub mod clock;
pub mod commands;
pub mod commit;
pub mod contract;
pub mod decider;
pub mod handle;
pub mod heard;
pub mod ids;
pub mod kit;
pub mod log;
pub mod measure;
pub mod memory;
pub mod ports;
pub mod process;
pub mod seal;
pub mod tasks;
pub mod views;
pub mod work;

pub use commit::{Actor, ActorKind, Cause, Commit, Entry, Payload, Stored};
pub use decider::{Decider, fold};
pub use handle::{Aggregate, BadEvent, HandleError, Handler, Receipt};
pub use heard::{Heard, Positions};
pub use ids::{AggregateId, Position, Version, derived_id, new_id};
pub use log::{Append, AppendError, Appended, EventLog, LogError, Tail};
