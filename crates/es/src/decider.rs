//! The heart of an aggregate: two pure functions and the empty state.

use std::fmt;

/// What one aggregate keeps consistent. `decide` holds every rule and changes nothing;
/// `evolve` holds no rule and cannot fail: what was recorded, happened.
pub trait Decider: Default + Send + Sync + 'static {
    /// The category in the log, for example `order`.
    const CATEGORY: &'static str;
    /// An intent; it may be refused.
    type Command: Send + Sync + 'static;
    /// A fact; it stays.
    type Event: Send + Sync + 'static;
    /// The domain's no, with its numbers. It is never stored.
    type Refusal: Send + fmt::Debug + 'static;

    /// Answers the facts that follow from `command`, none when it is no news.
    ///
    /// # Errors
    /// The refusal, when a rule says no.
    fn decide(&self, command: &Self::Command) -> Result<Vec<Self::Event>, Self::Refusal>;

    /// The state after `event`.
    #[must_use]
    fn evolve(self, event: &Self::Event) -> Self;
}

/// Folds events into a state.
pub fn fold<'a, D: Decider>(events: impl IntoIterator<Item = &'a D::Event>) -> D {
    events.into_iter().fold(D::default(), D::evolve)
}
