//! The service through its rpcs, over logs in memory, beside small servers that answer as order and
//! inventory do.
#![cfg(test)]

mod fakes;
mod shop;

mod cancelling;
mod packing;
mod picking;
mod planning;
mod rebuilding;
