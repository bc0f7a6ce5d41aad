//! Given / when / then for deciders: what happened, what is asked, what follows.

use std::fmt::Debug;

use crate::decider::{Decider, fold};

/// A decider with a history.
pub struct Given<D: Decider>(D);

/// What a decider answered.
pub struct Answer<D: Decider> {
    state: D,
    answer: Result<Vec<D::Event>, D::Refusal>,
}

/// Starts a test from what already happened.
pub fn given<D: Decider>(events: impl IntoIterator<Item = D::Event>) -> Given<D> {
    let events: Vec<_> = events.into_iter().collect();
    Given(fold(&events))
}

impl<D: Decider> Given<D> {
    /// Asks for `command`.
    pub fn when(self, command: &D::Command) -> Answer<D> {
        let answer = self.0.decide(command);
        Answer { state: self.0, answer }
    }
}

impl<D: Decider> Answer<D>
where
    D::Event: PartialEq + Debug,
    D::Refusal: PartialEq,
{
    /// Expects exactly these events, and answers the state after them for further steps.
    #[track_caller]
    pub fn then(self, expected: impl IntoIterator<Item = D::Event>) -> Given<D> {
        let expected: Vec<_> = expected.into_iter().collect();
        assert_eq!(
            self.answer.as_ref().ok(),
            Some(&expected),
            "refused: {:?}",
            self.answer.as_ref().err()
        );
        Given(expected.iter().fold(self.state, D::evolve))
    }

    /// Expects no event and no refusal: the command said what is already so.
    #[track_caller]
    pub fn then_no_news(self) -> Given<D> {
        self.then([])
    }

    /// Expects this refusal.
    #[track_caller]
    #[expect(clippy::needless_pass_by_value, reason = "reads as a sentence in tests")]
    pub fn then_refused(self, expected: D::Refusal) {
        assert_eq!(
            self.answer.as_ref().err(),
            Some(&expected),
            "events: {:?}",
            self.answer.as_ref().ok()
        );
    }
}
