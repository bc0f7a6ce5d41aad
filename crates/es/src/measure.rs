//! What is measured, in the words of this crate. Whoever keeps figures installs one [`Meter`].
//! *Invariant:* measuring never fails and never waits, and without a meter it is nothing.

use std::sync::OnceLock;
use std::time::Duration;

use tracing::Span;

use crate::ids::Position;
use crate::log::{AppendError, Appended};

/// How handing a commit to a log ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AppendOutcome {
    /// It is stored.
    Stored,
    /// Somebody was faster.
    Conflict,
    /// It is larger than a log takes.
    TooLarge,
    /// The log did not answer.
    Unknown,
    /// The log takes nothing now.
    Unavailable,
}

impl AppendOutcome {
    pub(crate) fn of(answer: &Result<Appended, AppendError>) -> Self {
        match answer {
            Ok(_) => Self::Stored,
            Err(AppendError::Conflict) => Self::Conflict,
            Err(AppendError::TooLarge { .. }) => Self::TooLarge,
            Err(AppendError::Unknown(_)) => Self::Unknown,
            Err(AppendError::Unavailable(_)) => Self::Unavailable,
        }
    }

    /// Its name as a label.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Stored => "stored",
            Self::Conflict => "conflict",
            Self::TooLarge => "too_large",
            Self::Unknown => "unknown",
            Self::Unavailable => "unavailable",
        }
    }
}

/// How one attempt of a process ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Attempt {
    /// It is done.
    Done,
    /// It was too early.
    NotYet,
    /// It failed and is tried again.
    Retry,
    /// Trying again will not help.
    Hopeless,
}

impl Attempt {
    /// Its name as a label.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Done => "done",
            Self::NotYet => "not_yet",
            Self::Retry => "retry",
            Self::Hopeless => "hopeless",
        }
    }
}

/// Keeps figures. Its methods are called on hot paths: they must be quick.
pub trait Meter: Send + Sync + 'static {
    /// The log of `service` answered an append.
    fn appended(&self, service: &str, outcome: AppendOutcome, took: Duration);
    /// So many commits reached the disk by one sync.
    fn synced(&self, commits: usize, took: Duration);
    /// The views of `service` took so many commits in by one transaction.
    fn applied(&self, service: &'static str, commits: usize, took: Duration);
    /// A process dealt once with an event or a timer.
    fn attempted(&self, process: &'static str, outcome: Attempt, took: Duration);
    /// A process has done everything up to `position` of the log of `source`.
    fn reached(&self, process: &'static str, source: &str, position: Position);
    /// A process is no longer active here.
    fn ended(&self, process: &'static str);
    /// What is done in `span` goes on with what was done in the trace `traceparent` before.
    fn continues(&self, span: &Span, traceparent: &str);
}

static METER: OnceLock<Box<dyn Meter>> = OnceLock::new();

/// Gives all figures of this process to `meter`, from now on. False when there is one already.
pub fn install(meter: Box<dyn Meter>) -> bool {
    METER.set(meter).is_ok()
}

/// Tells the meter, if there is one.
pub fn tell(what: impl FnOnce(&dyn Meter)) {
    if let Some(meter) = METER.get() {
        what(&**meter);
    }
}
