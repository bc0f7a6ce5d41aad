//! The order service over a log in memory, through gRPC; inventory and fulfillment are small stands
//! that keep their contracts.
#![cfg(test)]

mod amending;
mod confirming;
mod contacts;
mod creating;
mod inventory;
mod life;
mod reading;
mod restarting;
mod support;
