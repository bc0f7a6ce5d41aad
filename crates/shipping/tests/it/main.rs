//! The service through its rpcs, over logs in memory and against the sandbox courier, beside small
//! servers that answer as order, fulfilment and inventory do.
#![cfg(test)]

mod fakes;
mod world;

mod accounts;
mod awbs;
mod loads;
mod shipping;
mod tracking;
