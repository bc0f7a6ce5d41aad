//! Processes: they hear events in order and act, on other services, couriers, channels, timers.
//! *Invariant:* an event is done, parked or still ahead of the checkpoint; never none of these.
//! Events of one key are handled one after the other; different keys do not wait for each other.
//!
//! What is still to do follows from the logs: a lost checkpoint only asks again, and every target
//! treats a repeat as no news, because commands carry ids derived from the event and the action.

mod blocked;
mod lanes;
mod runner;
mod worker;

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use tracing::Span;

use crate::heard::Heard;
use crate::log::EventLog;
use crate::ports::{Checkpoints, Leases, Timer, Timers};
use crate::tasks::Tasks;
use crate::views::Views;

pub use runner::start;

/// Why an action did not work, and what should come of it. Texts hold no personal data.
#[derive(Debug, thiserror::Error)]
pub enum Trouble {
    /// The world broke: try again with back-off, and park after the last attempt.
    #[error("{0}")]
    Retry(String),
    /// It is too early: try again after the given time. This does not count as an attempt.
    #[error("not yet: {1}")]
    NotYet(Duration, String),
    /// Trying again will not help: park at once.
    #[error("{0}")]
    Hopeless(String),
}

/// What hears events and acts.
#[async_trait]
pub trait Process: Send + Sync + 'static {
    /// Its name, for example `confirm_order`; part of ids, never changed.
    fn name(&self) -> &'static str;

    /// The services whose logs it follows.
    fn sources(&self) -> &[&'static str];

    /// This replica is the active one from now on: another may have been until a moment ago, and
    /// what it had begun is not known here.
    fn begin_term(&self, _now_ms: i64) {}

    /// What `heard` concerns, when it asks for anything: the key of its lane.
    fn key(&self, heard: &Heard) -> Option<String>;

    /// Does what follows from `heard`. It may be asked again after a crash: repeats are no news.
    async fn act(&self, heard: &Heard) -> Result<(), Trouble>;

    /// Deals with a timer that it has set; answers when to be woken again, unix milliseconds.
    async fn wake(&self, timer: &Timer) -> Result<Option<i64>, Trouble> {
        Err(Trouble::Hopeless(format!("{} sets no timers, but {} fired", self.name(), timer.key)))
    }

    /// True when it sets timers.
    fn uses_timers(&self) -> bool {
        false
    }
}

/// How patient a process is.
#[derive(Clone, Copy, Debug)]
pub struct Patience {
    /// Attempts before work is parked.
    pub attempts: u32,
    /// The first wait; it doubles with each attempt.
    pub back_off_min: Duration,
    /// The longest wait.
    pub back_off_max: Duration,
    /// Actions at once, over all keys.
    pub concurrency: usize,
}

impl Default for Patience {
    fn default() -> Self {
        Self {
            attempts: 10,
            back_off_min: Duration::from_millis(50),
            back_off_max: Duration::from_secs(15),
            concurrency: 64,
        }
    }
}

/// Makes the span in which an event is handled: joined to the event's trace.
pub type SpanOf = fn(process: &'static str, heard: &Heard) -> Span;

/// What processes of one service run on.
#[derive(Clone)]
pub struct Ground {
    /// The service they belong to; parked work stands in its log.
    pub service: &'static str,
    /// The logs.
    pub log: Arc<dyn EventLog>,
    /// One active runner a process.
    pub leases: Arc<dyn Leases>,
    /// Where each stands.
    pub checkpoints: Arc<dyn Checkpoints>,
    /// Their wake-ups.
    pub timers: Arc<dyn Timers>,
    /// The service's views: they list parked work ([`crate::work::ParkedView`] must be one).
    pub views: Arc<Views>,
    /// Where the runners run.
    pub tasks: Tasks,
    /// How patient they are.
    pub patience: Patience,
    /// The span of an event being handled.
    pub span: SpanOf,
}

#[cfg(test)]
mod tests;
