//! Works one job: attempts, back-off, and what is written when they run out.
//! *Invariant:* a job ends done, parked in the log, or not at all: then the next term begins it
//! again.

use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::{Duration, Instant};

use futures::FutureExt;
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;
use tracing::field::Empty;
use tracing::{Instrument, Span, error, info_span, warn};

use super::lanes::Job;
use super::{Ground, Process, Trouble};
use crate::clock::now_ms;
use crate::handle::{HandleError, Handler};
use crate::heard::Heard;
use crate::ids::{derived_id, new_id};
use crate::measure::{self, Attempt};
use crate::ports::Timer;
use crate::tasks::panic_text;
use crate::work::{Command, WorkItem};
use crate::{Actor, Cause};

/// A timer whose attempts ran out comes back after this time, for as long as it takes: it cannot be
/// parked, as it is no event that could be read again.
const PUT_OFF: Duration = Duration::from_secs(300);

#[derive(Clone)]
pub(super) struct Worker {
    pub(super) process: Arc<dyn Process>,
    pub(super) ground: Ground,
    pub(super) permits: Arc<Semaphore>,
    pub(super) term: CancellationToken,
}

impl Worker {
    /// Works until the job is done (false), parked (true), or the term is over (`None`). What is
    /// `behind` parked work is parked too.
    pub(super) async fn work(&self, key: &str, job: &Job, behind: bool) -> Option<bool> {
        if behind {
            let cause = "waits behind parked work of the same key".to_owned();
            return self.set_aside(key, job, cause, 0).await;
        }
        if let Job::Unkeyed(_, cause) = job {
            return self.set_aside(key, job, cause.clone(), 1).await;
        }
        let patience = self.ground.patience;
        let mut attempts = 0;
        loop {
            let trouble = match self.attempt(job).await? {
                Ok(()) => return self.resolve(job).await.then_some(false),
                Err(trouble) => trouble,
            };
            let wait = match trouble {
                Trouble::NotYet(wait, _) => wait,
                Trouble::Hopeless(cause) => {
                    if let Job::Timer(timer) = job {
                        self.give_up(timer, &cause).await;
                        return Some(false);
                    }
                    return self.set_aside(key, job, cause, attempts + 1).await;
                }
                Trouble::Retry(cause) => {
                    attempts += 1;
                    if attempts >= patience.attempts {
                        return self.set_aside(key, job, cause, attempts).await;
                    }
                    let name = self.process.name();
                    warn!(process = name, attempts, "process {name} tries {key} again: {cause}");
                    back_off(patience.back_off_min, patience.back_off_max, attempts)
                }
            };
            tokio::select! {
                () = self.term.cancelled() => return None,
                () = tokio::time::sleep(wait) => {}
            }
        }
    }

    /// One attempt; `None` when the term is over.
    async fn attempt(&self, job: &Job) -> Option<Result<(), Trouble>> {
        let acting = async {
            let _permit = self.permits.acquire().await;
            let span = self.span(job);
            let began = Instant::now();
            let ended = async {
                match job {
                    Job::Event(heard) | Job::Unkeyed(heard, _) | Job::Retry(_, heard) => {
                        self.process.act(heard).await
                    }
                    Job::Timer(timer) => self.wake(timer).await,
                }
            };
            let ended = ended.instrument(span.clone()).await;
            self.measure(&span, &ended, began.elapsed());
            ended
        };
        let guarded = AssertUnwindSafe(acting).catch_unwind();
        let ended = tokio::select! {
            () = self.term.cancelled() => return None,
            ended = guarded => ended,
        };
        Some(ended.unwrap_or_else(|panic| {
            Err(Trouble::Retry(format!("it panicked: {}", panic_text(&*panic))))
        }))
    }

    fn span(&self, job: &Job) -> Span {
        let name = self.process.name();
        match job.heard() {
            Some(heard) => (self.ground.span)(name, heard),
            // A timer has no story of its own; the command that follows tells it.
            None => info_span!(
                "wake",
                otel.name = format!("wake {name}"),
                otel.kind = "internal",
                otel.status_code = Empty,
                error.type = Empty,
                messaging.consumer.group.name = name,
                nexus.story = "",
            ),
        }
    }

    fn measure(&self, span: &Span, ended: &Result<(), Trouble>, took: Duration) {
        let outcome = match ended {
            Ok(()) => Attempt::Done,
            Err(Trouble::NotYet(..)) => Attempt::NotYet,
            Err(Trouble::Retry(_)) => Attempt::Retry,
            Err(Trouble::Hopeless(_)) => Attempt::Hopeless,
        };
        if matches!(outcome, Attempt::Retry | Attempt::Hopeless) {
            span.record("otel.status_code", "ERROR").record("error.type", outcome.name());
        }
        measure::tell(|meter| meter.attempted(self.process.name(), outcome, took));
    }

    async fn wake(&self, timer: &Timer) -> Result<(), Trouble> {
        let again = self.process.wake(timer).await?;
        // What was set meanwhile under the same key stands.
        let settled = self.ground.timers.settle(timer, again).await;
        settled.map_err(|error| Trouble::Retry(error.to_string()))
    }

    async fn resolve(&self, job: &Job) -> bool {
        let Job::Retry(id, _) = job else { return true };
        let command = || Command::Resolve;
        self.record(id, command, "resolve").await
    }

    /// A timer that nothing can be done about, as its process says: it is said once and fires no
    /// more.
    async fn give_up(&self, timer: &Timer, cause: &str) {
        let (name, key, due) = (self.process.name(), timer.key.as_str(), timer.due_at_ms);
        match self.ground.timers.settle(timer, None).await {
            Ok(()) => error!(
                process = name,
                "process {name} gives up the timer of {key}, due at {due}: {cause}"
            ),
            // It stays due, fires again, and is given up then.
            Err(error) => warn!(process = name, "cannot cancel the timer of {key}: {error}"),
        }
    }

    /// A timer whose attempts ran out: what keeps it from being dealt with may pass.
    async fn put_off(&self, timer: &Timer, cause: &str) {
        let (name, key) = (self.process.name(), timer.key.as_str());
        let pause = i64::try_from(PUT_OFF.as_millis()).unwrap_or(i64::MAX);
        let next = now_ms().saturating_add(pause);
        match self.ground.timers.settle(timer, Some(next)).await {
            Ok(()) => {
                error!(process = name, "process {name} puts the timer of {key} off: {cause}");
            }
            // It stays due, and fires again at once.
            Err(error) => warn!(process = name, "cannot put the timer of {key} off: {error}"),
        }
    }

    /// Sets the job aside: an event in the log, a timer to later. True when it is parked work from
    /// now on, `None` when the term ended first.
    async fn set_aside(&self, key: &str, job: &Job, cause: String, attempts: u32) -> Option<bool> {
        match job {
            Job::Event(heard) | Job::Unkeyed(heard, _) | Job::Retry(_, heard) => {
                self.park(key, heard, cause, attempts).await.then_some(true)
            }
            Job::Timer(timer) => {
                self.put_off(timer, &cause).await;
                Some(false)
            }
        }
    }

    async fn park(&self, key: &str, heard: &Heard, cause: String, attempts: u32) -> bool {
        let name = self.process.name();
        if attempts > 0 {
            error!(process = name, attempts, "process {name} parks {key}: {cause}");
        }
        let parked = nexus_proto::work::v1::WorkParked {
            process: name.to_owned(),
            key: key.to_owned(),
            source: heard.service().to_owned(),
            position: heard.position.0,
            index: heard.index,
            event_id: heard.event_id.as_bytes().to_vec(),
            event_type: heard.event_type().to_owned(),
            cause,
            attempts,
        };
        let id = work_id(name, heard);
        self.record(&id, || Command::Park(parked.clone()), "park").await
    }

    /// Asks, through the log, that parked work be tried again; until it is written. A term that
    /// ends before leaves it to the next one, which tries what waits behind nothing.
    pub(super) async fn ask_for_retry(&self, id: &str) {
        self.record(id, || Command::Retry, "retry").await;
    }

    /// Writes a decision about work into the log, until it takes it. False when the term ended
    /// first.
    async fn record(&self, id: &str, command: impl Fn() -> Command, what: &str) -> bool {
        let log = Arc::clone(&self.ground.log);
        let handler = Handler::<WorkItem>::in_service(self.ground.service, log);
        let cause = own_cause(self.ground.service, &[what, id, &new_id().to_string()]);
        let mut tries = 1;
        loop {
            match handler.execute(id, command(), cause.clone()).await {
                // Refused: somebody settled it meanwhile.
                Ok(_) | Err(HandleError::Refused(_)) => return true,
                Err(error) => error!("cannot {what} work {id}: {error}"),
            }
            let patience = self.ground.patience;
            let wait = back_off(patience.back_off_min, patience.back_off_max, tries);
            tries += 1;
            tokio::select! {
                () = self.term.cancelled() => return false,
                () = tokio::time::sleep(wait) => {}
            }
        }
    }
}

/// The id of parked work: the same event of the same process is the same work.
pub(super) fn work_id(process: &str, heard: &Heard) -> String {
    derived_id(&["work", process, &heard.event_id.to_string()]).to_string()
}

fn own_cause(service: &str, parts: &[&str]) -> Cause {
    let now = now_ms();
    let command_id = derived_id(parts);
    Cause {
        occurred_at_ms: now,
        learned_at_ms: now,
        command_id,
        request_hash: Vec::new(),
        story: command_id.to_string(),
        causation_id: None,
        actor: Actor::service(service),
        traceparent: String::new(),
    }
}

/// Doubles from `min` to `max`, less up to a quarter, so that many do not come back at once.
fn back_off(min: Duration, max: Duration, attempts: u32) -> Duration {
    let full = min.saturating_mul(1 << attempts.saturating_sub(1).min(16)).min(max);
    let spread = f64::from(new_id().as_bytes().last().copied().unwrap_or_default()) / 255.0;
    full.mul_f64(1.0 - spread / 4.0)
}
