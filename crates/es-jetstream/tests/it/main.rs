//! All ports on real servers, which these tests start, kill and start again.
#![expect(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "steps that tests share are tests too, and a test may fail by a panic"
)]

mod cluster;
mod contract;
mod outages;
mod permissions;
mod ports;
mod proxy;
mod reading;
mod server;
mod start;
mod steps;
