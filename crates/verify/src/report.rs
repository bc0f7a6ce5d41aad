//! What was checked, and the first thing found wrong with each invariant.

use std::collections::BTreeMap;
use std::fmt;

use serde::Serialize;

use crate::facts::Place;

/// What must never break, under the numbers of the reliability notes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[expect(missing_docs, reason = "each is described by its name")]
pub enum Invariant {
    I3,
    I5,
    I6,
    I12,
    I13,
    I16,
    I17,
    I18,
    I19,
    I20,
    I21,
    I23,
    I27,
    I28,
    I29,
    Numbers,
}

impl Invariant {
    /// Its number: `I17`.
    #[must_use]
    pub fn id(self) -> &'static str {
        match self {
            Self::I3 => "I3",
            Self::I5 => "I5",
            Self::I6 => "I6",
            Self::I12 => "I12",
            Self::I13 => "I13",
            Self::I16 => "I16",
            Self::I17 => "I17",
            Self::I18 => "I18",
            Self::I19 => "I19",
            Self::I20 => "I20",
            Self::I21 => "I21",
            Self::I23 => "I23",
            Self::I27 => "I27",
            Self::I28 => "I28",
            Self::I29 => "I29",
            Self::Numbers => "NUM",
        }
    }

    /// What it says, in a few words.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::I3 => "commits are numbered without a gap, no event id comes twice",
            Self::I5 => "every commit is whole and readable",
            Self::I6 => "no stored commit was changed (hash chain)",
            Self::I12 => "no step of order, fulfilment or shipment is skipped",
            Self::I13 => "what has ended stays ended, but for the listed corrections",
            Self::I16 => "a cancelled order has nothing reserved and no live AWB",
            Self::I17 => "conservation per SKU, bin and lot",
            Self::I18 => "reserved is never below zero or above what lies in bins",
            Self::I19 => "nothing is oversold",
            Self::I20 => "a confirmed order has exactly its reservations",
            Self::I21 => "picks add up, and each scan counts once",
            Self::I23 => "every courier update is logged exactly once",
            Self::I27 => "no milestone is told after a later one",
            Self::I28 => "nothing is sent without consent or for a cancelled order",
            Self::I29 => "rebuilt views equal the live ones",
            Self::Numbers => "order numbers come once, from leased blocks",
        }
    }
}

/// Where an invariant was broken first, and how.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Violation {
    /// Whose log.
    pub service: String,
    /// Which aggregate: `stock_ledger-MAIN`.
    pub aggregate: String,
    /// The position of the commit.
    pub position: u64,
    /// A sentence on what is wrong.
    pub what: String,
}

/// One invariant and what was found.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Check {
    /// Its number: `I17`.
    pub id: &'static str,
    /// What it says.
    pub name: &'static str,
    /// How many things were looked at.
    pub checked: u64,
    /// How many could not be judged yet, as what follows from them is still under way.
    pub in_flight: u64,
    /// What else is worth knowing; empty: nothing.
    pub note: String,
    /// How often it is broken.
    pub violations: u64,
    /// The first time, if any.
    pub first: Option<Violation>,
}

/// All invariants.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Report {
    checks: BTreeMap<Invariant, Check>,
}

impl Report {
    pub(crate) fn of(invariants: &[Invariant]) -> Self {
        let mut report = Self::default();
        for invariant in invariants {
            report.check(*invariant);
        }
        report
    }

    /// True when nothing is broken.
    #[must_use]
    pub fn is_green(&self) -> bool {
        self.checks.values().all(|check| check.first.is_none())
    }

    /// The invariants that were checked, in the order of their numbers.
    pub fn checks(&self) -> impl Iterator<Item = &Check> {
        self.checks.values()
    }

    /// What was found about one invariant; `None` when it was not checked.
    #[must_use]
    pub fn get(&self, invariant: Invariant) -> Option<&Check> {
        self.checks.get(&invariant)
    }

    /// Both reports as one; of two violations the one in `self` is the first.
    #[must_use]
    pub fn merged(mut self, other: Self) -> Self {
        for (invariant, theirs) in other.checks {
            let mine = self.check(invariant);
            mine.checked += theirs.checked;
            mine.in_flight += theirs.in_flight;
            mine.violations += theirs.violations;
            if mine.note.is_empty() {
                mine.note = theirs.note;
            }
            if mine.first.is_none() {
                mine.first = theirs.first;
            }
        }
        self
    }

    fn check(&mut self, invariant: Invariant) -> &mut Check {
        self.checks.entry(invariant).or_insert_with(|| Check {
            id: invariant.id(),
            name: invariant.name(),
            checked: 0,
            in_flight: 0,
            note: String::new(),
            violations: 0,
            first: None,
        })
    }

    pub(crate) fn count(&mut self, invariant: Invariant) {
        self.check(invariant).checked += 1;
    }

    pub(crate) fn in_flight(&mut self, invariant: Invariant) {
        self.check(invariant).in_flight += 1;
    }

    pub(crate) fn note(&mut self, invariant: Invariant, note: String) {
        self.check(invariant).note = note;
    }

    pub(crate) fn violated(
        &mut self,
        invariant: Invariant,
        place: &Place,
        what: impl Into<String>,
    ) {
        let check = self.check(invariant);
        check.violations += 1;
        check.first.get_or_insert_with(|| Violation {
            service: place.aggregate.service.clone(),
            aggregate: format!("{}-{}", place.aggregate.category, place.aggregate.id),
            position: place.position.0,
            what: what.into(),
        });
    }

    /// Counts one check; reports it when it `holds` not.
    pub(crate) fn expect(
        &mut self,
        invariant: Invariant,
        holds: bool,
        place: &Place,
        what: impl FnOnce() -> String,
    ) {
        self.count(invariant);
        if !holds {
            self.violated(invariant, place, what());
        }
    }
}

impl fmt::Display for Check {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { id, name, checked, in_flight, note, violations, first } = self;
        if let Some(Violation { service, aggregate, position, what }) = first {
            write!(f, "{id:<4}VIOLATED at {service}/{aggregate} position {position}: {what}")?;
            if *violations > 1 {
                write!(f, " (and {} more)", grouped(violations - 1))?;
            }
            return Ok(());
        }
        write!(f, "{id:<4}ok  {} checked  {name}", grouped(*checked))?;
        if *in_flight > 0 {
            write!(f, "; {} in flight", grouped(*in_flight))?;
        }
        if !note.is_empty() {
            write!(f, "; {note}")?;
        }
        Ok(())
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.checks.values().try_for_each(|check| writeln!(f, "{check}"))
    }
}

/// `1204` as `1,204`.
fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::new();
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_number_is_written_in_groups_of_three() {
        for (number, text) in [(0, "0"), (999, "999"), (1204, "1,204"), (1_000_000, "1,000,000")] {
            assert_eq!(grouped(number), text);
        }
    }
}
