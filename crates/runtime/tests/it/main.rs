//! The chassis over real connections.
#![cfg(test)]

mod certificates;
mod tls;
