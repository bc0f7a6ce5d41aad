//! Adapters that break one promise each, kept so that the suites can be seen to catch them.

mod log;
mod ports;

pub use log::{LogFault, broken_log};
pub use ports::{
    broken_blobs, broken_checkpoints, broken_key_store, broken_leases, broken_timers,
    careless_timers,
};
