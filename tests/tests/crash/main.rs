//! Many orders at once, a courier and a channel that misbehave, and processes that are killed again
//! and again: nothing acknowledged is lost, nothing is done twice, everything begun ends.
//!
//! `NEXUS_TEST_SEED` repeats a run's choices, `NEXUS_TEST_KILLS` makes it longer.

mod faults;
mod judge;
mod lives;
mod production;
mod whole;

use anyhow::Context;

/// A number that somebody set, or none.
fn setting(name: &str) -> anyhow::Result<Option<u64>> {
    let Some(value) = std::env::var_os(name) else { return Ok(None) };
    let value = value.to_string_lossy();
    value.parse().map(Some).with_context(|| format!("{name} must be a number, not {value}"))
}
