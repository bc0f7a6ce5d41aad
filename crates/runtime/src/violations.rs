//! What is wrong with a request: all of it in one answer, each with its field.

use tonic::Status;

use crate::{money, status};

/// One thing that is wrong.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Violation {
    /// The field's path, for example `lines[3].units`.
    pub field: String,
    /// What is wrong and what would be right.
    pub description: String,
}

/// Collects what is wrong while a request is parsed.
#[derive(Debug, Default)]
pub struct Violations(Vec<Violation>);

impl Violations {
    /// Notes that `field` is wrong.
    pub fn add(&mut self, field: impl Into<String>, description: impl Into<String>) {
        self.0.push(Violation { field: field.into(), description: description.into() });
    }

    /// True when nothing is wrong so far.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// A required text of 1 to `max` characters, trimmed; control characters are refused.
    pub fn text(&mut self, field: &str, value: &str, max: usize) -> String {
        let trimmed = value.trim();
        if trimmed.is_empty() {
            self.add(field, "is required");
        }
        self.optional_text(field, trimmed, max)
    }

    /// A text of at most `max` characters that may be empty.
    pub fn optional_text(&mut self, field: &str, value: &str, max: usize) -> String {
        let trimmed = value.trim();
        let length = trimmed.chars().count();
        if length > max {
            self.add(field, format!("has {length} characters, at most {max} are allowed"));
        }
        if trimmed.chars().any(|c| c.is_control() && !matches!(c, '\n' | '\t' | '\r')) {
            self.add(field, "holds control characters");
        }
        trimmed.to_owned()
    }

    /// One of the given words.
    pub fn one_of(&mut self, field: &str, value: &str, allowed: &[&str]) -> String {
        if !allowed.contains(&value) {
            self.add(field, format!("is \"{value}\", allowed are: {}", allowed.join(", ")));
        }
        value.to_owned()
    }

    /// A whole number of units, at least one, at most `max`.
    pub fn units(&mut self, field: &str, value: u32, max: u32) -> u32 {
        if value == 0 || value > max {
            self.add(field, format!("is {value}, it must be from 1 to {max}"));
        }
        value
    }

    /// An amount that is not negative, in ten-thousandths.
    pub fn amount(&mut self, field: &str, value: &str) -> i64 {
        match money::parse_amount(value) {
            Ok(amount) if amount < 0 => {
                self.add(field, format!("is {value}, it must not be negative"));
                0
            }
            Ok(amount) => amount,
            Err(error) => {
                self.add(field, error.to_string());
                0
            }
        }
    }

    /// An amount in the given currency, in ten-thousandths.
    pub fn money(
        &mut self,
        field: &str,
        value: &nexus_proto::common::v1::Money,
        currency: &str,
    ) -> i64 {
        if value.currency != currency {
            let description = format!("is \"{}\", the order is in {currency}", value.currency);
            self.add(format!("{field}.currency"), description);
        }
        self.amount(&format!("{field}.amount"), &value.amount)
    }

    /// Goes on when nothing was wrong.
    ///
    /// # Errors
    /// `INVALID_ARGUMENT` with every violation.
    pub fn done(self) -> Result<(), Status> {
        if self.0.is_empty() { Ok(()) } else { Err(status::invalid(self.0)) }
    }
}
