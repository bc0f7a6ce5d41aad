//! The event log in `log.db`: one table of all services' commits.
//! *Invariant:* one task writes; positions grow in the order of writing, and readers learn of a
//! commit only after it is on disk.

mod feed;
mod rows;
mod truncate;
mod writer;

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use async_trait::async_trait;
use nexus_es::commit::Stored;
use nexus_es::log::{Append, AppendError, Appended, Durability, EventLog, LogError, Tail};
use nexus_es::tasks::Tasks;
use nexus_es::{AggregateId, Position, Version};
use sqlx::ConnectOptions;
use sqlx::sqlite::{SqliteConnectOptions, SqlitePool, SqliteSynchronous};
use tokio::sync::{mpsc, oneshot, watch};

use crate::database::{self, SQLITE_CORRUPT, code, explain};
use crate::directory::Lock;
use crate::store::Error;

use feed::{Feed, Feeds, Found};
use truncate::Truncation;
use writer::{Request, Verdict, Writer};

/// Commits that wait for the writer before their callers wait to hand them over.
const QUEUE: usize = 512;

/// Connections that read. Each is a thread of `SQLite`'s driver.
const READERS: u32 = 4;

/// How often a log that another process writes is looked at for news.
const LOOK_EVERY: Duration = Duration::from_millis(100);

/// The event log of all services in one `SQLite` file.
#[derive(Debug)]
pub struct SqliteLog {
    shared: Arc<Shared>,
    /// `None`: opened for reading.
    writer: Option<mpsc::Sender<Request>>,
}

#[derive(Debug)]
struct Shared {
    readers: SqlitePool,
    /// `None`: another process writes, if any does.
    feeds: Option<Feeds>,
    stopped: Stopped,
    written: Written,
}

/// What was written since the log was opened.
#[derive(Clone, Debug, Default)]
struct Written(Arc<(AtomicU64, AtomicU64)>);

impl Written {
    /// One group is one statement, and one sync.
    fn add_group(&self, commits: usize) {
        let (all, groups) = &*self.0;
        all.fetch_add(u64::try_from(commits).unwrap_or(u64::MAX), Ordering::Relaxed);
        groups.fetch_add(1, Ordering::Relaxed);
    }
}

/// Why the log takes no commits any more; empty while it does.
#[derive(Clone, Debug, Default)]
struct Stopped(Arc<OnceLock<String>>);

impl Stopped {
    /// A file whose sync failed may have lost what was written, and a second sync would not say so
    /// (see `fsync(2)`): only opening it again tells what is there.
    fn stop(&self, error: &sqlx::Error) {
        tracing::error!("the log takes no commits until nexus is started again: {error}");
        self.0.get_or_init(|| error.to_string());
    }

    fn unavailable(&self) -> Option<AppendError> {
        self.0.get().map(|why| AppendError::Unavailable(Box::new(Refused::Stopped(why.clone()))))
    }
}

/// Why the log takes no commit.
#[derive(Debug, thiserror::Error)]
enum Refused {
    #[error("writing failed, and nexus must be started again: {0}")]
    Stopped(String),
    #[error("the log is closed")]
    Closed,
    #[error("the log is opened for reading")]
    ReadOnly,
    #[error("the writer ended before it answered")]
    NoAnswer,
}

fn file_of(dir: &Path) -> PathBuf {
    dir.join("log.db")
}

impl SqliteLog {
    pub(crate) async fn open(dir: &Path, tasks: &Tasks, lock: Arc<Lock>) -> Result<Self, Error> {
        let file = file_of(dir);
        let failed = |source| explain(&file, source);
        let options = database::options(&file, SqliteSynchronous::Full)
            // Moving pages from the write-ahead log into the file is `truncate`'s work: inside of a
            // commit it would hold up that commit and all that wait behind it.
            .pragma("wal_autocheckpoint", "0")
            .pragma("cache_size", "-16000");
        database::prepare(&file, &options, rows::TABLES).await?;
        let mut connection = options.clone().connect().await.map_err(failed)?;
        // What a killed process had written but not synced is still in the system's cache. Bring it
        // to the disk before anybody takes it for acknowledged.
        truncate::all(&mut connection).await.map_err(failed)?;
        database::check_length(&file)?;
        let heads = rows::heads(&mut connection).await.map_err(failed)?;
        let last = heads.iter().map(|(_, position)| *position).max().unwrap_or_default();
        let readers = reader_options(&file).pragma("cache_size", "-4000");
        let readers = database::pool(READERS).connect_with(readers).await.map_err(failed)?;
        let feeds = Feeds::new(heads);
        let stopped = Stopped::default();
        let truncation = Truncation::start(&options, tasks, &stopped).await.map_err(failed)?;
        let written = Written::default();
        let shared = Shared {
            readers,
            feeds: Some(feeds.clone()),
            stopped: stopped.clone(),
            written: written.clone(),
        };
        let (writer, requests) = mpsc::channel(QUEUE);
        Writer::new(connection, last, feeds, stopped, truncation, written)
            .start(requests, tasks, lock);
        Ok(Self { shared: Arc::new(shared), writer: Some(writer) })
    }

    pub(crate) async fn open_read_only(dir: &Path) -> Result<Self, Error> {
        let file = file_of(dir);
        if !file.is_file() {
            return Err(Error::Missing { dir: dir.to_owned() });
        }
        let failed = |source| explain(&file, source);
        let readers = database::pool(2).connect_with(reader_options(&file)).await;
        let readers = readers.map_err(failed)?;
        let mut connection = readers.acquire().await.map_err(failed)?;
        if database::version(&file, &mut connection, rows::TABLES).await? == 0 {
            return Err(Error::Missing { dir: dir.to_owned() });
        }
        drop(connection);
        let (stopped, written) = Default::default();
        let shared = Shared { readers, feeds: None, stopped, written };
        Ok(Self { shared: Arc::new(shared), writer: None })
    }

    /// Commits and syncs since the log was opened: their quotient is what grouping brings.
    #[must_use]
    pub fn written(&self) -> (u64, u64) {
        let (commits, groups) = &*self.shared.written.0;
        (commits.load(Ordering::Relaxed), groups.load(Ordering::Relaxed))
    }

    /// The services that have commits here.
    ///
    /// # Errors
    /// [`LogError::Unavailable`] when the file cannot be read.
    pub async fn services(&self) -> Result<Vec<String>, LogError> {
        let mut connection = self.shared.readers.acquire().await.map_err(unavailable)?;
        let heads = rows::heads(&mut connection).await.map_err(unavailable)?;
        Ok(heads.into_iter().map(|(service, _)| service).collect())
    }

    /// Why the log takes no commits until Nexus is started again, if writing failed.
    #[must_use]
    pub fn problem(&self) -> Option<&str> {
        self.shared.stopped.0.get().map(String::as_str)
    }

    pub(crate) async fn close(&self) {
        self.shared.readers.close().await;
    }

    /// The commit that was appended on the same version decides: it is this one, sent before, or a
    /// rival's.
    async fn resent(&self, append: &Append) -> Result<Appended, AppendError> {
        let found = rows::appended_on(&self.shared.readers, &append.aggregate, append.expected);
        match found.await {
            Ok(Some((place, commit_id, bytes)))
                if commit_id == append.commit_id && bytes == append.bytes =>
            {
                Ok(place)
            }
            Ok(_) => Err(AppendError::Conflict),
            Err(error) => Err(AppendError::Unknown(Box::new(error))),
        }
    }
}

fn reader_options(file: &Path) -> SqliteConnectOptions {
    SqliteConnectOptions::new()
        .filename(file)
        .read_only(true)
        .busy_timeout(Duration::from_secs(5))
        .disable_statement_logging()
}

fn unavailable(error: sqlx::Error) -> LogError {
    LogError::Unavailable(Box::new(error))
}

#[async_trait]
impl EventLog for SqliteLog {
    async fn append(&self, append: Append) -> Result<Appended, AppendError> {
        append.check_size()?;
        let Some(writer) = &self.writer else {
            return Err(AppendError::Unavailable(Box::new(Refused::ReadOnly)));
        };
        if let Some(stopped) = self.shared.stopped.unavailable() {
            return Err(stopped);
        }
        let (answer, answered) = oneshot::channel();
        let closed = |_| AppendError::Unavailable(Box::new(Refused::Closed));
        writer.send(Request { append, answer }).await.map_err(closed)?;
        match answered.await {
            Ok(Verdict::Stored(place)) => Ok(place),
            Ok(Verdict::NotCurrent(append)) => self.resent(&append).await,
            Ok(Verdict::Failed(error)) => Err(error),
            Err(_) => Err(AppendError::Unknown(Box::new(Refused::NoAnswer))),
        }
    }

    async fn load(&self, aggregate: &AggregateId, after: Version) -> Result<Vec<Stored>, LogError> {
        let damaged = |what: String| LogError::Damaged { aggregate: aggregate.clone(), what };
        let commits =
            rows::load(&self.shared.readers, aggregate, after).await.map_err(|error| {
                if code(&error) == Some(SQLITE_CORRUPT) {
                    damaged(error.to_string())
                } else {
                    unavailable(error)
                }
            })?;
        let mut before = after;
        for (previous, stored) in &commits {
            if before != *previous {
                return Err(damaged(format!("the commit before {} is missing", stored.position)));
            }
            before = stored.version;
        }
        Ok(commits.into_iter().map(|(_, stored)| stored).collect())
    }

    async fn tail(&self, service: &str, after: Position) -> Result<Box<dyn Tail>, LogError> {
        let news = self.shared.feeds.as_ref().map(|feeds| feeds.of(service));
        let news = news.map(|feed| News { moved: feed.moved(), feed });
        let shared = self.shared.clone();
        Ok(Box::new(SqliteTail { shared, news, service: service.to_owned(), after }))
    }

    async fn head(&self, service: &str) -> Result<Position, LogError> {
        match &self.shared.feeds {
            Some(feeds) => Ok(feeds.of(service).head()),
            None => rows::head(&self.shared.readers, service).await.map_err(unavailable),
        }
    }

    fn durability(&self) -> Durability {
        Durability { strict: true, name: "strict (sqlite, synchronous=FULL)".to_owned() }
    }

    /// Whoever writes has locked the directory.
    fn is_shared(&self) -> bool {
        self.writer.is_none()
    }
}

struct SqliteTail {
    shared: Arc<Shared>,
    /// `None`: nobody tells, one has to look.
    news: Option<News>,
    service: String,
    after: Position,
}

struct News {
    feed: Arc<Feed>,
    moved: watch::Receiver<Position>,
}

#[async_trait]
impl Tail for SqliteTail {
    async fn next(&mut self, max: usize) -> Result<Vec<Stored>, LogError> {
        let max = max.max(1);
        loop {
            let found = match &mut self.news {
                Some(news) => {
                    // Marked as seen before looking: what comes in between ends the wait.
                    news.moved.borrow_and_update();
                    news.feed.after(self.after, max)
                }
                None => Found::Older,
            };
            let commits = match found {
                Found::Commits(commits) => commits,
                Found::Nothing => Vec::new(),
                Found::Older => {
                    let page = rows::page(&self.shared.readers, &self.service, self.after, max);
                    page.await.map_err(unavailable)?
                }
            };
            // No await between taking the commits and moving on: a dropped future loses nothing.
            if let Some(last) = commits.last() {
                self.after = last.position;
                return Ok(commits);
            }
            match &mut self.news {
                Some(news) => {
                    if news.moved.changed().await.is_err() {
                        return Err(LogError::Unavailable(Box::new(Refused::Closed)));
                    }
                }
                None => tokio::time::sleep(LOOK_EVERY).await,
            }
        }
    }
}
