//! The SQLite adapters over real files.
#![expect(clippy::unwrap_used, reason = "clippy allows it in tests, but not in what they share")]

mod contract;
mod files;
