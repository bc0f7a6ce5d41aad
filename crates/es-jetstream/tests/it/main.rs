//! The log on real servers, which these tests start, kill and start again.

mod cluster;
mod contract;
mod outages;
mod proxy;
mod reading;
mod server;
mod start;
mod steps;
