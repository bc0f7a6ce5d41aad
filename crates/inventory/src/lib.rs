//! Inventory: what is sold, where it lies, and whom it is promised to.

pub mod domain;
mod views;
mod wire;

/// The service's name, and its log's.
pub const SERVICE: &str = "inventory";
