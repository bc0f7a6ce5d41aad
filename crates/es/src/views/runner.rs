//! Feeds one view database: tails the logs, applies in batches, checkpoints in the same
//! transaction.

use std::collections::BTreeSet;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use futures::FutureExt;
use sqlx::{AnyConnection, Connection};
use tokio::sync::{mpsc, watch};
use tokio_util::sync::CancellationToken;
use tracing::{error, warn};

use super::database::{self, Generation};
use super::rows;
use super::waiters::{Changes, Waiters};
use super::{View, ViewError, ViewsConfig};
use crate::commit::Stored;
use crate::heard::{Heard, Positions};
use crate::ids::Position;
use crate::log::{EventLog, LogError};
use crate::measure;
use crate::tasks::{Tasks, panic_text};

const BATCH: usize = 500;
const BACK_OFF_MIN: Duration = Duration::from_millis(20);
/// What waits for a server goes on within two seconds of its return, and has more to do then.
const BACK_OFF_MAX: Duration = Duration::from_millis(500);
/// So many commits in a window say that there is load: a batch is worth a short wait then.
const BUSY: usize = 20;
const WINDOW: Duration = Duration::from_millis(100);
const LINGER: Duration = Duration::from_millis(4);
/// So many such waits while nobody waits for what the batch will show. While somebody does, they
/// last as long as the batch before took to write, and no longer than this.
const UNHURRIED: u32 = 5;
const HURRIED: Duration = Duration::from_millis(8);
/// A write-ahead log that readers kept from being emptied is tried again after this.
const FORGET_AGAIN: Duration = Duration::from_secs(1);
/// A commit that fails so often while applied alone is set aside, so that it blocks no other.
pub(super) const POISON_AFTER: u32 = 5;

pub(super) struct Runner {
    pub(super) service: &'static str,
    pub(super) views: Vec<Arc<dyn View>>,
    pub(super) log: Arc<dyn EventLog>,
    pub(super) generation: Generation,
    pub(super) positions: watch::Sender<Positions>,
    pub(super) waiters: Arc<Waiters>,
    pub(super) stop: CancellationToken,
    pub(super) tasks: Tasks,
    /// The write-ahead log may still hold what a batch deleted for good.
    pub(super) forgetting: AtomicBool,
}

type Arrived = (&'static str, Vec<Stored>);
type Batch = Vec<Arrived>;

pub(super) fn sources(views: &[Arc<dyn View>]) -> BTreeSet<&'static str> {
    views.iter().flat_map(|view| view.sources().iter().copied()).collect()
}

/// Where the logs that these views follow end now.
pub(super) async fn heads(config: &ViewsConfig, log: &dyn EventLog) -> Result<Positions, LogError> {
    let mut heads = Positions::default();
    for source in sources(&config.views) {
        heads.advance(source, log.head(source).await?);
    }
    Ok(heads)
}

/// How much arrives.
struct Load {
    since: Instant,
    commits: usize,
    busy: bool,
    /// How long the last batch took to write.
    took: Duration,
}

impl Default for Load {
    fn default() -> Self {
        Self { since: Instant::now(), commits: 0, busy: false, took: Duration::ZERO }
    }
}

impl Load {
    fn add(&mut self, commits: usize) {
        self.commits += commits;
        let elapsed = self.since.elapsed();
        if elapsed >= WINDOW {
            // A window that lasted longer was a quiet one.
            self.busy = self.commits >= BUSY && elapsed < WINDOW * 2;
            (self.since, self.commits) = (Instant::now(), 0);
        }
    }
}

fn commits_of(batch: &Batch) -> usize {
    batch.iter().map(|(_, commits)| commits.len()).sum()
}

/// Puts `arrived` into the batch, the commits of one log together: a transaction and its
/// statements cost the same for one commit as for twenty.
fn put(batch: &mut Batch, (source, commits): Arrived) {
    match batch.iter_mut().find(|(present, _)| *present == source) {
        Some((_, present)) => present.extend(commits),
        None => batch.push((source, commits)),
    }
}

impl Runner {
    pub(super) async fn run(self) {
        let (sender, mut arrivals) = mpsc::channel(4);
        let start = self.positions.borrow().clone();
        for source in sources(&self.views) {
            let from = start.0.get(source).copied().unwrap_or_default();
            let follow =
                follow(Arc::clone(&self.log), source, from, sender.clone(), self.stop.clone());
            self.tasks.spawn("view tail", follow);
        }
        drop(sender);
        let mut load = Load::default();
        loop {
            let forgetting = self.forgetting.load(Ordering::Relaxed);
            let first = tokio::select! {
                () = self.stop.cancelled() => return,
                first = arrivals.recv() => first,
                () = tokio::time::sleep(FORGET_AGAIN), if forgetting => {
                    self.forget().await;
                    continue;
                }
            };
            let Some(first) = first else { return };
            let batch = self.gather(first, &mut arrivals, &load).await;
            load.add(commits_of(&batch));
            let began = Instant::now();
            self.take_in(&batch).await;
            load.took = began.elapsed();
        }
    }

    /// What has arrived, as one batch. Under load it waits a moment for more, and longer while
    /// nobody waits for it.
    async fn gather(
        &self,
        first: Arrived,
        arrivals: &mut mpsc::Receiver<Arrived>,
        load: &Load,
    ) -> Batch {
        let mut batch = Batch::new();
        put(&mut batch, first);
        let began = Instant::now();
        let mut lingers = if load.busy { UNHURRIED } else { 0 };
        while commits_of(&batch) < BATCH {
            if let Ok(more) = arrivals.try_recv() {
                put(&mut batch, more);
                continue;
            }
            let hurried = lingers < UNHURRIED && began.elapsed() >= load.took.min(HURRIED);
            if lingers == 0 || (hurried && self.waiters.any()) {
                break;
            }
            lingers -= 1;
            tokio::time::sleep(LINGER).await;
        }
        batch
    }

    /// Applies a batch, however long it takes; commit by commit when it fails as a whole.
    async fn take_in(&self, batch: &Batch) {
        match self.guarded(batch).await {
            Ok(()) => return,
            Err(error) => {
                let why = whole(&error);
                warn!(service = self.service, "views of {} failed: {why}", self.service)
            }
        }
        for (source, commits) in batch {
            for commit in commits {
                self.take_in_alone(source, commit).await;
            }
        }
    }

    async fn take_in_alone(&self, source: &'static str, commit: &Stored) {
        let mut wait = BACK_OFF_MIN;
        let mut failures = 0;
        let single = vec![(source, vec![commit.clone()])];
        while !self.stop.is_cancelled() {
            let error = match self.guarded(&single).await {
                Ok(()) => return,
                Err(error) => error,
            };
            failures += 1;
            if !passes(&error)
                && failures >= POISON_AFTER
                && self.set_aside(source, commit, &error).await.is_ok()
            {
                return;
            }
            if failures % POISON_AFTER == 0 {
                let (position, why) = (commit.position, whole(&error));
                warn!(
                    service = self.service,
                    failures, "views of {} wait at {source}:{position}: {why}", self.service
                );
            }
            tokio::select! {
                () = self.stop.cancelled() => return,
                () = tokio::time::sleep(wait) => wait = (wait * 2).min(BACK_OFF_MAX),
            }
        }
    }

    /// Applies a batch; a panic is one more way to fail, and ends no runner.
    async fn guarded(&self, batch: &Batch) -> Result<(), ViewError> {
        let applied = AssertUnwindSafe(self.apply(batch)).catch_unwind().await;
        applied.unwrap_or_else(|panic| Err(ViewError::Panicked(panic_text(&*panic).to_owned())))
    }

    async fn apply(&self, batch: &Batch) -> Result<(), ViewError> {
        let began = Instant::now();
        let mut changes = Changes::default();
        let mut reached = Positions::default();
        let mut writer = self.generation.writer.acquire().await?;
        let mut tx = writer.begin().await?;
        for (source, commits) in batch {
            let heard = heard(commits)?;
            for view in self.views.iter().filter(|view| view.sources().contains(source)) {
                view.apply(&mut tx, &heard, &mut changes).await?;
            }
            if let Some(last) = commits.last() {
                reached.advance(source, last.position);
            }
        }
        checkpoint(&mut tx, &reached).await?;
        tx.commit().await?;
        writer.done();
        measure::tell(|meter| meter.applied(self.service, commits_of(batch), began.elapsed()));
        if changes.forgets {
            self.forgetting.store(true, Ordering::Relaxed);
        }
        self.forget().await;
        self.publish(&reached, &changes);
        Ok(())
    }

    /// Empties the write-ahead log after a batch that deleted something for good; while a reader
    /// is at work in it, the next batch tries again.
    async fn forget(&self) {
        if !self.forgetting.load(Ordering::Relaxed) {
            return;
        }
        match self.generation.truncate_log().await {
            Ok(emptied) => self.forgetting.store(!emptied, Ordering::Relaxed),
            Err(error) => {
                let service = self.service;
                warn!(service, "the write-ahead log of {service} is not emptied: {error}");
            }
        }
    }

    /// Notes a commit that cannot be applied and goes on behind it.
    async fn set_aside(
        &self,
        source: &str,
        commit: &Stored,
        cause: &ViewError,
    ) -> Result<(), ViewError> {
        error!(
            service = self.service,
            position = commit.position.0,
            "views of {} set commit {} of {source} aside: {}",
            self.service,
            commit.position,
            whole(cause),
        );
        let position = i64::try_from(commit.position.0).unwrap_or(i64::MAX);
        let mut writer = self.generation.writer.acquire().await?;
        let mut tx = writer.begin().await?;
        sqlx::query(
            "INSERT INTO view_poison (service, position, cause) VALUES ($1, $2, $3) \
             ON CONFLICT (service, position) DO UPDATE SET cause = excluded.cause",
        )
        .bind(source.to_owned())
        .bind(position)
        .bind(whole(cause))
        .execute(&mut *tx)
        .await?;
        checkpoint(&mut tx, &Positions::one(source, commit.position)).await?;
        tx.commit().await?;
        writer.done();
        self.publish(&Positions::one(source, commit.position), &Changes::default());
        Ok(())
    }

    fn publish(&self, reached: &Positions, changes: &Changes) {
        // First, so that whoever waited for a position finds nothing older.
        self.waiters.recent.changed(changes);
        self.positions.send_modify(|positions| {
            for (service, position) in &reached.0 {
                positions.advance(service, *position);
            }
        });
        self.waiters.wake(changes);
    }
}

/// Whether the same may work later: the world is away, not the commit bad.
fn passes(error: &ViewError) -> bool {
    match error {
        ViewError::Port(_) => true,
        ViewError::Event { .. } | ViewError::Damaged(_) | ViewError::Panicked(_) => false,
        ViewError::Database(error) => database::passes(error),
    }
}

/// An error and what it comes from, as one text.
fn whole(error: &ViewError) -> String {
    let mut text = error.to_string();
    let mut cause = std::error::Error::source(error);
    while let Some(error) = cause {
        text.push_str(": ");
        text.push_str(&error.to_string());
        cause = error.source();
    }
    text
}

fn heard(commits: &[Stored]) -> Result<Vec<Heard>, ViewError> {
    let mut heard = Vec::with_capacity(commits.len());
    for commit in commits {
        let events = Heard::of(commit).map_err(|error| ViewError::Event {
            event_type: format!("commit {} of {}", commit.position, commit.aggregate),
            why: error.to_string(),
        })?;
        heard.extend(events);
    }
    Ok(heard)
}

async fn checkpoint(tx: &mut AnyConnection, reached: &Positions) -> Result<(), ViewError> {
    let positions = reached.0.iter();
    let rows = positions.map(|(service, position)| [service.as_str().into(), position.0.into()]);
    let conflict = "ON CONFLICT (service) DO UPDATE SET position = excluded.position";
    let into = "view_checkpoints (service, position)";
    Ok(rows::insert(tx, into, conflict, rows.collect()).await?)
}

/// Tails one log into the runner's queue; a failing log is tried again for ever.
async fn follow(
    log: Arc<dyn EventLog>,
    source: &'static str,
    from: Position,
    arrivals: mpsc::Sender<(&'static str, Vec<Stored>)>,
    stop: CancellationToken,
) {
    let mut from = from;
    let mut wait = BACK_OFF_MIN;
    loop {
        let tailing = async {
            let mut tail = log.tail(source, from).await?;
            loop {
                let commits = tail.next(BATCH).await?;
                let Some(last) = commits.last() else { continue };
                from = last.position;
                wait = BACK_OFF_MIN;
                if arrivals.send((source, commits)).await.is_err() {
                    return Ok::<(), LogError>(());
                }
            }
        };
        tokio::select! {
            () = stop.cancelled() => return,
            ended = tailing => match ended {
                Ok(()) => return,
                Err(error) => warn!(source, "tail of {source} broke, following again: {error}"),
            },
        }
        tokio::select! {
            () = stop.cancelled() => return,
            () = tokio::time::sleep(wait) => wait = (wait * 2).min(BACK_OFF_MAX),
        }
    }
}
