//! Ingress over logs in memory, through its HTTP doors.
#![cfg(test)]

mod doors;
mod world;
