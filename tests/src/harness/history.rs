//! What clients asked and what they were told: the evidence for promises made to them.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};

use serde_json::Value;

/// One try of one command.
#[derive(Clone, Debug)]
pub struct Command {
    /// The idempotency key.
    pub key: String,
    /// `POST /v1/orders`, with ids left in.
    pub call: String,
    /// What was sent.
    pub body: Value,
    /// What came back.
    pub outcome: Outcome,
}

/// What the client knows about it.
#[derive(Clone, Debug)]
pub enum Outcome {
    /// A 2xx with its body.
    Acked {
        /// The resource.
        body: Value,
        /// Whether it was told to be a replay.
        replayed: bool,
    },
    /// A definite no.
    Refused {
        /// The HTTP status.
        status: u16,
        /// The stable reason.
        reason: String,
    },
    /// No answer, or one that does not say whether it was done.
    Unknown {
        /// What was seen instead.
        why: String,
    },
}

impl Command {
    /// The body of a 2xx.
    #[must_use]
    pub const fn acked(&self) -> Option<&Value> {
        match &self.outcome {
            Outcome::Acked { body, .. } => Some(body),
            Outcome::Refused { .. } | Outcome::Unknown { .. } => None,
        }
    }

    /// Whether it was acked and not as a replay.
    #[must_use]
    pub const fn acked_first(&self) -> bool {
        matches!(&self.outcome, Outcome::Acked { replayed: false, .. })
    }
}

/// All tries, in the order their outcomes were seen.
#[derive(Debug, Default)]
pub struct History(Mutex<Vec<Command>>);

impl History {
    /// Adds one.
    pub fn push(&self, command: Command) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).push(command);
    }

    /// How many there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).len()
    }

    /// How many were acknowledged.
    #[must_use]
    pub fn acked(&self) -> usize {
        let all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        all.iter().filter(|command| command.acked().is_some()).count()
    }

    /// Whether nothing was tried.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// A copy of all.
    #[must_use]
    pub fn all(&self) -> Vec<Command> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

/// Tries by call and key: one entry is one command, however often it was sent.
#[must_use]
pub fn by_key(history: &[Command]) -> BTreeMap<(&str, &str), Vec<&Command>> {
    let mut groups: BTreeMap<_, Vec<&Command>> = BTreeMap::new();
    for command in history {
        groups.entry((command.call.as_str(), command.key.as_str())).or_default().push(command);
    }
    groups
}
