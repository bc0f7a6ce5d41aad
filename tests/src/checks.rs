//! The invariants that can be checked from outside, by the numbers of the reliability notes: each a
//! function from what was seen to what is wrong with it.
//! *Invariant:* each check has a test that plants one violation and sees it named.

mod ends;
mod history;
mod messages;
mod shipping;
mod stock;
mod timeline;

use std::fmt;

use anyhow::ensure;

pub use ends::check_i15;
pub use history::{check_i1, check_i2, check_i7, check_i9, check_i10};
pub use messages::check_i26;
pub use shipping::{check_i22, check_i24, check_i25};
pub use stock::{check_i11, check_stock};
pub use timeline::check_i4;

/// Something that must never be, and was.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Violation {
    /// Its name: `I22`.
    pub invariant: &'static str,
    /// What was seen.
    pub detail: String,
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.invariant, self.detail)
    }
}

/// Collects violations of one invariant.
struct Findings {
    invariant: &'static str,
    found: Vec<Violation>,
}

impl Findings {
    const fn of(invariant: &'static str) -> Self {
        Self { invariant, found: Vec::new() }
    }

    fn unless(&mut self, holds: bool, detail: impl FnOnce() -> String) {
        if !holds {
            self.found.push(Violation { invariant: self.invariant, detail: detail() });
        }
    }
}

/// There must be none.
///
/// # Errors
/// All of them, one a line.
pub fn none(violations: &[Violation]) -> anyhow::Result<()> {
    let lines: Vec<_> = violations.iter().map(ToString::to_string).collect();
    ensure!(lines.is_empty(), "{} violations:\n{}", lines.len(), lines.join("\n"));
    Ok(())
}

#[cfg(test)]
fn names(violations: &[Violation]) -> Vec<&'static str> {
    violations.iter().map(|violation| violation.invariant).collect()
}
