//! Read models: one database a service, fed from the logs, dropped and rebuilt at any time.
//! *Invariant:* what a batch changes and the checkpoint that says so are one transaction; nothing
//! in a view database is the only copy of anything.
//!
//! Views of one service share a schema with one version. Each version, and each rebuild, is a
//! database file of its own, on PostgreSQL a schema: a rebuild fills a new one beside the live one
//! and takes its place in one step when it has caught up.

mod database;
mod hash;
mod pool;
mod recent;
mod replicas;
pub mod rows;
mod runner;
mod waiters;

use std::collections::HashMap;
use std::pin::Pin;
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use async_trait::async_trait;
use sqlx::AnyConnection;
use tokio::sync::futures::OwnedNotified;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

use crate::heard::{Heard, Positions};
use crate::log::{EventLog, LogError};
use crate::seal::SealError;
use crate::tasks::Tasks;

pub use database::{BadUrl, Database, PostgresUrl, copy_of};
pub use pool::{Lent, Pool};
pub use waiters::Changes;

use database::{Generation, Home, Unfinished};
use waiters::Waiters;

/// How often a wait looks whether there is another database to wait on.
const LOOK_AGAIN: Duration = Duration::from_millis(10);
/// How often a database that is away at the start is tried.
const START_AGAIN: Duration = Duration::from_millis(500);
/// A newer generation that another replica feeds is taken over in this time, or tried again.
const GO_OVER: Duration = Duration::from_secs(10);

/// One read model: its events, its rows.
#[async_trait]
pub trait View: Send + Sync + 'static {
    /// Its name, for logs and metrics.
    fn name(&self) -> &'static str;

    /// The services whose logs it follows. Events of one log come in order; between logs there is
    /// no order, so that what it keeps must not depend on one.
    fn sources(&self) -> &[&'static str];

    /// Takes in `heard`, all of the view's sources, in log order. An event of a type that it does
    /// not know is skipped. Keys put into `changes` wake those who wait for them.
    async fn apply(
        &self,
        tx: &mut AnyConnection,
        heard: &[Heard],
        changes: &mut Changes,
    ) -> Result<(), ViewError>;
}

/// Why a view could not take events in.
#[derive(Debug, thiserror::Error)]
pub enum ViewError {
    /// The database failed.
    #[error("the view database failed")]
    Database(#[from] sqlx::Error),
    /// An event of a known type does not decode.
    #[error("event {event_type} cannot be read: {why}")]
    Event {
        /// Its type.
        event_type: String,
        /// What is wrong.
        why: String,
    },
    /// A port that the view needs (the vault) is away: the view waits for it, however long.
    #[error("{0}")]
    Port(String),
    /// What the view reads beside events, a row of its own or a sealed value, is damaged.
    #[error("{0}")]
    Damaged(String),
    /// A bug: a view panicked.
    #[error("a view panicked: {0}")]
    Panicked(String),
}

impl From<SealError> for ViewError {
    fn from(error: SealError) -> Self {
        match error {
            SealError::Broken { .. } => Self::Damaged(error.to_string()),
            // A missing master key is loaded by a person, and then all of it opens.
            SealError::Store(_) | SealError::UnknownMaster { .. } | SealError::Random => {
                Self::Port(error.to_string())
            }
        }
    }
}

/// Why a reader's wait ended.
#[derive(Debug, thiserror::Error)]
pub enum WaitError {
    /// The view did not get there in time.
    #[error("the view is behind position {wanted}")]
    Behind {
        /// What was asked for.
        wanted: String,
    },
    /// The database failed.
    #[error(transparent)]
    Database(#[from] sqlx::Error),
}

/// What views of one service are built from.
pub struct ViewsConfig {
    /// The service that owns them.
    pub service: &'static str,
    /// Grows with every change of `schema` or of what `apply` writes.
    pub version: u32,
    /// The tables, one statement after the other, separated by `;`.
    pub schema: &'static str,
    /// Where they are kept.
    pub database: Database,
    /// The read models.
    pub views: Vec<Arc<dyn View>>,
}

/// The running views of one service.
pub struct Views {
    config: ViewsConfig,
    log: Arc<dyn EventLog>,
    tasks: Tasks,
    live: RwLock<Arc<Live>>,
    waiters: Arc<Waiters>,
    /// One rebuild at a time; the highest generation that was begun.
    rebuilding: tokio::sync::Mutex<u64>,
}

/// A change that is being waited for since [`Views::expect`].
pub struct Expected {
    waiters: Arc<Waiters>,
    change: Pin<Box<OwnedNotified>>,
}

impl Expected {
    /// Waits for the change, at most `patience`; false when it did not come.
    pub async fn came(self, patience: Duration) -> bool {
        let _waits = self.waiters.wait();
        tokio::time::timeout(patience, self.change).await.is_ok()
    }
}

/// One database that is being fed.
struct Live {
    generation: Generation,
    positions: watch::Receiver<Positions>,
    stop: CancellationToken,
}

impl Drop for Live {
    /// Nobody reads it any more: a rebuild that was given up must not go on writing.
    fn drop(&mut self) {
        self.stop.cancel();
    }
}

impl Views {
    /// Opens the newest complete database of this version, or begins a new one, and feeds it. It
    /// waits for a database that is away.
    ///
    /// # Errors
    /// [`ViewError::Database`] when no database can be opened or made.
    pub async fn start(
        config: ViewsConfig,
        log: Arc<dyn EventLog>,
        tasks: Tasks,
    ) -> Result<Arc<Self>, ViewError> {
        let generation = present(&config, &tasks).await?;
        let waiters = Arc::new(Waiters::default());
        let live = feed(&config, generation, &log, &tasks, &waiters).await?;
        let shared = matches!(config.database, Database::Postgres(_));
        let views = Arc::new(Self {
            config,
            log,
            tasks,
            live: RwLock::new(Arc::new(live)),
            waiters,
            rebuilding: tokio::sync::Mutex::default(),
        });
        if shared {
            let stop = views.tasks.stopping().child_token();
            let watch = replicas::watch(Arc::downgrade(&views), stop);
            views.tasks.spawn("views of other replicas", watch);
        }
        Ok(views)
    }

    /// The database to read from, now.
    #[must_use]
    pub fn pool(&self) -> Pool {
        self.live().generation.pool.clone()
    }

    /// How far the views have read.
    #[must_use]
    pub fn positions(&self) -> Positions {
        self.live().positions.borrow().clone()
    }

    /// The service that owns these views.
    #[must_use]
    pub fn service(&self) -> &'static str {
        self.config.service
    }

    /// Waits until everything up to `wanted` can be read, at most `patience`.
    ///
    /// # Errors
    /// [`WaitError::Behind`] when the time is over.
    pub async fn wait_for(&self, wanted: &Positions, patience: Duration) -> Result<(), WaitError> {
        let deadline = tokio::time::Instant::now() + patience;
        if self.positions().covers(wanted) {
            return Ok(());
        }
        let _waits = self.waiters.wait();
        loop {
            let mut positions = self.live().positions.clone();
            let reached = async { positions.wait_for(|at| at.covers(wanted)).await.is_ok() };
            match tokio::time::timeout_at(deadline, reached).await {
                // Asked again of the live one: a rebuilt one may have taken its place meanwhile.
                Ok(true) if self.positions().covers(wanted) => return Ok(()),
                Ok(true) => {}
                // Nobody feeds this database. It was replaced by a rebuilt one, or is about to be.
                Ok(false) if !self.tasks.stopping().is_cancelled() => {}
                _ => return Err(WaitError::Behind { wanted: wanted.to_string() }),
            }
            let pause = tokio::time::sleep(LOOK_AGAIN);
            if tokio::time::timeout_at(deadline, pause).await.is_err() {
                return Err(WaitError::Behind { wanted: wanted.to_string() });
            }
        }
    }

    /// Waits until what its own service's log holds by now can be read, at most `patience`. Whoever
    /// sees a consequence in another service and then looks here must find its cause; when the time
    /// is over the answer is a moment old, which was never promised otherwise.
    pub async fn wait_for_latest(&self, patience: Duration) {
        if let Ok(head) = self.log.head(self.config.service).await {
            let latest = Positions::one(self.config.service, head);
            drop(self.wait_for(&latest, patience).await);
        }
    }

    /// Asks `check` now and after each change of `key` until it answers something, at most
    /// `patience`; then `None`.
    ///
    /// # Errors
    /// What `check` answers.
    pub async fn until<T, E, Fut>(
        &self,
        key: &str,
        patience: Duration,
        mut check: impl FnMut() -> Fut + Send,
    ) -> Result<Option<T>, E>
    where
        Fut: Future<Output = Result<Option<T>, E>> + Send,
    {
        let deadline = tokio::time::Instant::now() + patience;
        let _waits = self.waiters.wait();
        loop {
            let waiter = self.waiters.register(key);
            let changed = waiter.notified();
            tokio::pin!(changed);
            // Enabled before the check, so that a change between check and wait is not missed.
            changed.as_mut().enable();
            if let Some(found) = check().await? {
                return Ok(Some(found));
            }
            if tokio::time::timeout_at(deadline, changed).await.is_err() {
                return Ok(None);
            }
        }
    }

    /// Begins to wait for the next change of `key`: whoever then does what leads to that change
    /// need not ask for it before it comes.
    #[must_use]
    pub fn expect(&self, key: &str) -> Expected {
        let waiter = self.waiters.register(key);
        let mut change = Box::pin(waiter.notified_owned());
        change.as_mut().enable();
        Expected { waiters: Arc::clone(&self.waiters), change }
    }

    /// What `read` finds in the database under `key`, kept until a batch changes that key: for
    /// rows that are read for nearly every request and hardly ever change.
    ///
    /// # Errors
    /// What `read` answers.
    pub async fn cached<T: Send + Sync + 'static, E>(
        &self,
        key: &str,
        read: impl Future<Output = Result<T, E>> + Send,
    ) -> Result<Arc<T>, E> {
        let recent = &self.waiters.recent;
        if let Some(found) = recent.get(key) {
            return Ok(found);
        }
        let since = recent.batches();
        let found = Arc::new(read.await?);
        recent.keep(key, &found, since);
        Ok(found)
    }

    /// As [`Self::cached`], for the rows of several names: `read` is asked for those that are not
    /// kept, and answers the ones that exist. A row's key is `kind`, a colon and its name.
    ///
    /// # Errors
    /// What `read` answers.
    pub async fn cached_rows<T, E, Fut>(
        &self,
        kind: &str,
        names: &[String],
        read: impl FnOnce(Vec<String>) -> Fut + Send,
    ) -> Result<HashMap<String, Arc<T>>, E>
    where
        T: Send + Sync + 'static,
        Fut: Future<Output = Result<Vec<(String, T)>, E>> + Send,
    {
        let recent = &self.waiters.recent;
        let key = |name: &str| format!("{kind}:{name}");
        let since = recent.batches();
        let mut rows = HashMap::with_capacity(names.len());
        let mut missing = Vec::new();
        for name in names {
            match recent.get(&key(name)) {
                Some(row) => drop(rows.insert(name.clone(), row)),
                None => missing.push(name.clone()),
            }
        }
        if missing.is_empty() {
            return Ok(rows);
        }
        for (name, row) in read(missing).await? {
            let row = Arc::new(row);
            recent.keep(&key(&name), &row, since);
            rows.insert(name, row);
        }
        Ok(rows)
    }

    /// True when the views have read everything that stood in their logs at the time of the call.
    ///
    /// # Errors
    /// [`LogError`] when a log cannot be asked.
    pub async fn caught_up(&self) -> Result<bool, LogError> {
        Ok(self.positions().covers(&runner::heads(&self.config, &*self.log).await?))
    }

    /// Builds a new database from the logs beside the live one and puts it in its place. Nothing
    /// is sent to the outside by it.
    ///
    /// # Errors
    /// [`ViewError`] when the new database cannot be made; the live one stays.
    pub async fn rebuild(&self) -> Result<(), ViewError> {
        let mut highest = self.rebuilding.lock().await;
        let generation = Generation::create_next(&self.config, &mut highest).await?;
        let unfinished = Unfinished::new(&generation);
        let fresh = feed(&self.config, generation, &self.log, &self.tasks, &self.waiters).await?;
        let mut fresh = Arc::new(fresh);
        let mut positions = fresh.positions.clone();
        let mut complete = false;
        let old = loop {
            if positions.borrow_and_update().covers(&self.positions()) {
                if !complete {
                    fresh.generation.mark_complete().await?;
                    complete = true;
                }
                match self.replace(fresh) {
                    Ok(old) => break old,
                    // The live one was faster again.
                    Err(behind) => fresh = behind,
                }
            }
            if positions.changed().await.is_err() {
                return Err(ViewError::Port("the rebuild was stopped".to_owned()));
            }
        };
        unfinished.finished();
        self.waiters.recent.clear();
        old.stop.cancel();
        old.generation.remove().await;
        info!(service = self.config.service, "views of {} rebuilt", self.config.service);
        Ok(())
    }

    /// Reads from a generation that another replica built; with `in_order` once it has read what
    /// can be read from the live one.
    async fn go_over(&self, generation: Generation, in_order: bool) -> Result<(), ViewError> {
        let fresh = feed(&self.config, generation, &self.log, &self.tasks, &self.waiters).await?;
        let fresh = Arc::new(fresh);
        let mut positions = fresh.positions.clone();
        let live = self.positions();
        let reached = positions.wait_for(|at| !in_order || at.covers(&live));
        // Else the next glance tries again.
        if !matches!(tokio::time::timeout(GO_OVER, reached).await, Ok(Ok(_))) {
            return Ok(());
        }
        let old = {
            let mut live = self.live.write().unwrap_or_else(PoisonError::into_inner);
            std::mem::replace(&mut *live, fresh)
        };
        self.waiters.recent.clear();
        old.stop.cancel();
        old.generation.remove().await;
        info!(service = self.config.service, "views of {} are newer ones", self.config.service);
        Ok(())
    }

    /// Puts `fresh` in the place of the live database and answers that one, or `fresh` back when
    /// it has not read all that could be read from the live one.
    fn replace(&self, fresh: Arc<Live>) -> Result<Arc<Live>, Arc<Live>> {
        let mut live = self.live.write().unwrap_or_else(PoisonError::into_inner);
        let reached = live.positions.borrow().clone();
        if !fresh.positions.borrow().covers(&reached) {
            return Err(fresh);
        }
        Ok(std::mem::replace(&mut *live, fresh))
    }

    /// A digest of all rows, whatever their order: equal databases have equal digests.
    ///
    /// # Errors
    /// [`ViewError::Database`] when the database fails.
    pub async fn content_hash(&self) -> Result<String, ViewError> {
        Ok(hash::content_hash(&self.pool()).await?)
    }

    fn live(&self) -> Arc<Live> {
        Arc::clone(&self.live.read().unwrap_or_else(PoisonError::into_inner))
    }
}

/// The generation to begin with; a database that is away is waited for.
async fn present(config: &ViewsConfig, tasks: &Tasks) -> Result<Generation, ViewError> {
    loop {
        match Generation::open_newest(config).await {
            Err(ViewError::Database(error)) if database::passes(&error) => {
                let service = config.service;
                warn!(service, "the views of {service} wait for their database: {error}");
                let pause = tokio::time::sleep(START_AGAIN);
                if tasks.stopping().run_until_cancelled(pause).await.is_none() {
                    return Err(error.into());
                }
            }
            opened => return opened,
        }
    }
}

/// What feeds a generation.
struct Feed {
    service: &'static str,
    views: Vec<Arc<dyn View>>,
    log: Arc<dyn EventLog>,
    waiters: Arc<Waiters>,
    stop: CancellationToken,
    tasks: Tasks,
}

impl Feed {
    /// Where to go on. A log that was not read yet is followed all the same: waiting for it must
    /// wait.
    fn from(&self, mut checkpoint: Positions) -> Positions {
        for source in runner::sources(&self.views) {
            checkpoint.advance(source, crate::Position::START);
        }
        checkpoint
    }

    fn runner(
        &self,
        generation: Generation,
        positions: watch::Sender<Positions>,
        stop: CancellationToken,
    ) -> runner::Runner {
        runner::Runner {
            service: self.service,
            views: self.views.clone(),
            log: Arc::clone(&self.log),
            generation,
            positions,
            waiters: Arc::clone(&self.waiters),
            stop,
            tasks: self.tasks.clone(),
            // A crash may have come between a batch that forgets and the emptying of the log.
            forgetting: true.into(),
        }
    }
}

async fn feed(
    config: &ViewsConfig,
    generation: Generation,
    log: &Arc<dyn EventLog>,
    tasks: &Tasks,
    waiters: &Arc<Waiters>,
) -> Result<Live, ViewError> {
    let stop = tasks.stopping().child_token();
    let feed = Feed {
        service: config.service,
        views: config.views.clone(),
        log: Arc::clone(log),
        waiters: Arc::clone(waiters),
        stop: stop.clone(),
        tasks: tasks.clone(),
    };
    let (sender, positions) = watch::channel(feed.from(generation.positions().await?));
    generation.shows(&positions);
    match generation.home {
        Home::File(_) => {
            let runner = feed.runner(generation.clone(), sender, stop.clone());
            tasks.spawn("views", runner.run());
        }
        Home::Schema(_) => {
            tasks.spawn("views", replicas::keep(feed, generation.clone(), sender));
        }
    }
    Ok(Live { generation, positions, stop })
}

#[cfg(test)]
mod tests;
