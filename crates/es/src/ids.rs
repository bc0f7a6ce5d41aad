//! Names and numbers of the log: aggregates, versions, positions, command ids.

use std::fmt;

use uuid::Uuid;

/// Longest id of an aggregate, in bytes.
pub const MAX_ID_BYTES: usize = 128;

/// One aggregate: whose it is, its category, its id.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct AggregateId {
    /// The owning service, which is also the name of its log.
    pub service: String,
    /// The category, for example `order`.
    pub category: String,
    /// The id inside its category. It becomes a token of a subject: no dot, star, `>` or space.
    pub id: String,
}

/// Why a text cannot be an id.
#[derive(Debug, thiserror::Error)]
#[error(
    "\"{0}\" cannot be an id: 1 to 128 letters, digits, '-', '_', '~', '=', '+' or ':' are allowed"
)]
pub struct BadId(pub String);

impl AggregateId {
    /// Names an aggregate.
    ///
    /// # Errors
    /// [`BadId`] when a part is empty, too long, or holds a character that a subject cannot.
    pub fn new(service: &str, category: &str, id: &str) -> Result<Self, BadId> {
        for part in [service, category, id] {
            let fits = !part.is_empty() && part.len() <= MAX_ID_BYTES;
            let clean = part.bytes().all(|b| b.is_ascii_alphanumeric() || b"-_~=+:".contains(&b));
            if !fits || !clean {
                return Err(BadId(part.to_owned()));
            }
        }
        Ok(Self { service: service.to_owned(), category: category.to_owned(), id: id.to_owned() })
    }
}

impl fmt::Display for AggregateId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}-{}", self.service, self.category, self.id)
    }
}

/// Where an aggregate stands in its log: opaque, growing, sparse. Zero: no commit yet.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Version(pub u64);

impl Version {
    /// The version of an aggregate that has no commit.
    pub const NONE: Self = Self(0);
}

/// A place in one service's log: growing, sparse. Zero: before the first commit.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Position(pub u64);

impl Position {
    /// Before the first commit.
    pub const START: Self = Self(0);
}

impl fmt::Display for Position {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// An id derived from `parts`: the same parts give the same id, on every replica and after every
/// restart (UUIDv8 over SHA-256, RFC 9562 5.8).
#[must_use]
pub fn derived_id(parts: &[&str]) -> Uuid {
    let mut digest = aws_lc_rs::digest::Context::new(&aws_lc_rs::digest::SHA256);
    for part in parts {
        // The length goes first, so that ("ab", "c") and ("a", "bc") differ.
        digest.update(&u64::try_from(part.len()).unwrap_or(u64::MAX).to_be_bytes());
        digest.update(part.as_bytes());
    }
    let mut bytes = [0; 16];
    for (to, from) in bytes.iter_mut().zip(digest.finish().as_ref()) {
        *to = *from;
    }
    Uuid::new_v8(bytes)
}

/// A fresh id, sortable by time (UUIDv7).
#[must_use]
pub fn new_id() -> Uuid {
    Uuid::now_v7()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_parts_give_the_same_id_and_shifted_parts_another() {
        assert_eq!(derived_id(&["ab", "c"]), derived_id(&["ab", "c"]));
        assert_ne!(derived_id(&["ab", "c"]), derived_id(&["a", "bc"]));
    }

    #[test]
    fn an_id_that_would_break_a_subject_is_refused() {
        for bad in ["", "a.b", "a b", "a>", "*", "é"] {
            assert!(AggregateId::new("order", "order", bad).is_err(), "{bad}");
        }
        assert!(AggregateId::new("order", "order", "01-ab_C~=").is_ok());
    }
}
