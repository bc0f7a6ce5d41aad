//! Fulfilment: which goods to fetch for which orders, what was scanned, what lies in which parcel.

mod domain;
mod wire;

/// The service's name, and its log's.
pub const SERVICE: &str = "fulfillment";
