//! The one task that writes commits: it takes what waits, stores it in one statement, answers.
//! *Invariant:* nothing is answered or shown before the sync that covers it, and after a failed
//! sync nothing is written any more.

use std::collections::HashSet;
use std::num::NonZeroUsize;
use std::sync::Arc;
use std::time::Instant;

use lru::LruCache;
use nexus_es::commit::Stored;
use nexus_es::log::{Append, AppendError, Appended};
use nexus_es::measure;
use nexus_es::tasks::Tasks;
use nexus_es::{AggregateId, Position, Version};
use sqlx::sqlite::SqliteConnection;
use tokio::sync::{mpsc, oneshot};

use super::feed::Feeds;
use super::rows::{self, MAX_ROWS, Placed};
use super::truncate::{self, Truncation};
use super::{Refused, Stopped, Written};
use crate::database::{SQLITE_BUSY, SQLITE_FULL, SQLITE_LOCKED, code};
use crate::directory::Lock;

/// Most bytes of commits in one statement, unless one alone has more.
const GROUP_BYTES: usize = 2 * 1024 * 1024;

/// Aggregates whose version is remembered: about 4 MB.
const REMEMBERED: NonZeroUsize = NonZeroUsize::new(16_384).unwrap();

/// A commit, and who waits for it.
#[derive(Debug)]
pub(super) struct Request {
    pub(super) append: Append,
    pub(super) answer: oneshot::Sender<Verdict>,
}

/// What became of a commit.
#[derive(Debug)]
pub(super) enum Verdict {
    /// It is on disk.
    Stored(Appended),
    /// The aggregate is not at the expected version; here it is back.
    NotCurrent(Append),
    /// It failed.
    Failed(AppendError),
}

pub(super) struct Writer {
    connection: SqliteConnection,
    /// The last position that was given out.
    last: Position,
    versions: LruCache<AggregateId, Version>,
    feeds: Feeds,
    stopped: Stopped,
    truncation: Truncation,
    written: Written,
}

impl Writer {
    pub(super) fn new(
        connection: SqliteConnection,
        last: Position,
        feeds: Feeds,
        stopped: Stopped,
        truncation: Truncation,
        written: Written,
    ) -> Self {
        let versions = LruCache::new(REMEMBERED);
        Self { connection, last, versions, feeds, stopped, truncation, written }
    }

    /// Writes until nobody is left who could append, or `tasks` are asked to stop; what was handed
    /// over until then is still written.
    pub(super) fn start(
        mut self,
        mut requests: mpsc::Receiver<Request>,
        tasks: &Tasks,
        lock: Arc<Lock>,
    ) {
        let stopping = tasks.stopping();
        tasks.spawn("write the log", async move {
            let mut group = Vec::with_capacity(MAX_ROWS);
            loop {
                tokio::select! {
                    taken = requests.recv_many(&mut group, MAX_ROWS) => if taken == 0 { break },
                    () = stopping.cancelled(), if !requests.is_closed() => requests.close(),
                }
                while !group.is_empty() {
                    let rest = group.split_off(fitting(&group));
                    self.write(std::mem::replace(&mut group, rest)).await;
                }
            }
            if self.stopped.unavailable().is_none()
                && let Err(error) = truncate::all(&mut self.connection).await
            {
                tracing::warn!("the log keeps its write-ahead log: {error}");
            }
            truncate::end(self.connection, &self.stopped).await;
            // Until here the directory is ours, also when the store was dropped unclosed.
            drop(lock);
        });
    }

    async fn write(&mut self, group: Vec<Request>) {
        if self.stopped.unavailable().is_some() {
            return self.fail(group, None);
        }
        let (group, outdated) = match self.sort(group).await {
            Ok(sorted) => sorted,
            Err((group, error)) => return self.fail(group, Some(&error)),
        };
        let stored = match self.store(&group).await {
            Ok(stored) => stored,
            Err(error) => {
                // Those that were outdated anyhow cannot know whether a rival was stored.
                let all = group.into_iter().map(|(request, _)| request).chain(outdated);
                return self.fail(all.collect(), Some(&error));
            }
        };
        // Whole pages go to the write-ahead log: about three, and one an aggregate's index entry.
        let bytes: usize =
            group.iter().map(|(request, _)| request.append.bytes.len() + 2_048).sum();
        let bytes = bytes + 3 * 4_096;
        self.answer(group, &stored);
        for request in outdated {
            request.answer.send(Verdict::NotCurrent(request.append)).ok();
        }
        self.truncation.wrote(bytes, &mut self.connection, &self.stopped).await;
    }

    /// Parts the commits that may be stored, each with its position, from the outdated ones.
    async fn sort(&mut self, group: Vec<Request>) -> Result<Sorted, (Vec<Request>, sqlx::Error)> {
        if let Err(error) = self.remember(&group).await {
            return Err((group, error));
        }
        let (mut placed, mut outdated) = (Vec::with_capacity(group.len()), Vec::new());
        let mut met = HashSet::new();
        for request in group {
            let aggregate = &request.append.aggregate;
            // An aggregate that is not remembered has not been looked up since its first commit is
            // asked for: that there is none is checked by the table's unique index.
            let version = self.versions.get(aggregate).copied().unwrap_or(Version::NONE);
            // A second one of this group would stand on a version that nobody has been told.
            if version == request.append.expected && met.insert(aggregate.clone()) {
                self.last = Position(self.last.0 + 1);
                placed.push((request, self.last));
            } else {
                outdated.push(request);
            }
        }
        Ok((placed, outdated))
    }

    /// Looks up the versions that are needed and not remembered, all in one query.
    async fn remember(&mut self, group: &[Request]) -> Result<(), sqlx::Error> {
        let unknown: HashSet<&AggregateId> = group
            .iter()
            .filter(|request| request.append.expected != Version::NONE)
            .map(|request| &request.append.aggregate)
            .filter(|aggregate| !self.versions.contains(aggregate))
            .collect();
        if unknown.is_empty() {
            return Ok(());
        }
        let unknown: Vec<_> = unknown.into_iter().collect();
        let versions = rows::versions(&mut self.connection, &unknown).await?;
        for (aggregate, version) in unknown.into_iter().zip(versions) {
            self.versions.put(aggregate.clone(), version);
        }
        Ok(())
    }

    /// Stores the commits, and answers the positions that were taken.
    async fn store(
        &mut self,
        group: &[(Request, Position)],
    ) -> Result<HashSet<Position>, sqlx::Error> {
        let placed: Vec<_> = group
            .iter()
            .map(|(request, position)| Placed { append: &request.append, position: *position })
            .collect();
        let Some(first) = placed.first().map(|placed| placed.position) else {
            return Ok(HashSet::new());
        };
        let began = Instant::now();
        let stored = rows::insert(&mut self.connection, &placed).await?;
        measure::tell(|meter| meter.synced(placed.len(), began.elapsed()));
        self.written.add_group(placed.len());
        if usize::try_from(stored) == Ok(placed.len()) {
            return Ok(placed.iter().map(|placed| placed.position).collect());
        }
        Ok(rows::taken(&mut self.connection, first).await?.into_iter().collect())
    }

    /// Shows the stored commits to the tails, then tells everybody.
    fn answer(&mut self, group: Vec<(Request, Position)>, stored: &HashSet<Position>) {
        let mut commits = Vec::with_capacity(group.len());
        let mut answers = Vec::with_capacity(group.len());
        for (Request { append, answer }, position) in group {
            if !stored.contains(&position) {
                self.versions.pop(&append.aggregate);
                answers.push((answer, Verdict::NotCurrent(append)));
                continue;
            }
            let place = Appended { version: Version(position.0), position };
            let Append { aggregate, bytes, .. } = append;
            self.versions.put(aggregate.clone(), place.version);
            commits.push(Stored { aggregate, version: place.version, position, bytes });
            answers.push((answer, Verdict::Stored(place)));
        }
        self.feeds.show(commits);
        for (answer, verdict) in answers {
            // Who no longer waits will resend.
            answer.send(verdict).ok();
        }
    }

    /// Tells all that it failed. A full disk or a busy file stored nothing and may get better;
    /// anything else may have stored the group, and ends the writing.
    fn fail(&mut self, group: Vec<Request>, error: Option<&sqlx::Error>) {
        self.versions.clear();
        let passing = error
            .and_then(code)
            .is_some_and(|code| matches!(code, SQLITE_FULL | SQLITE_BUSY | SQLITE_LOCKED));
        if let Some(error) = error {
            if passing {
                tracing::error!("the log takes no commits now: {error}");
            } else {
                self.stopped.stop(error);
            }
        }
        for Request { answer, .. } in group {
            let error = match error {
                Some(error) => {
                    let why = Box::new(Refused::Stopped(error.to_string()));
                    if passing { AppendError::Unavailable(why) } else { AppendError::Unknown(why) }
                }
                None => match self.stopped.unavailable() {
                    Some(error) => error,
                    None => AppendError::Unavailable(Box::new(Refused::Closed)),
                },
            };
            answer.send(Verdict::Failed(error)).ok();
        }
    }
}

type Sorted = (Vec<(Request, Position)>, Vec<Request>);

/// How many of the commits go into one statement.
fn fitting(group: &[Request]) -> usize {
    let mut bytes = 0;
    let over = group.iter().position(|request| {
        bytes += request.append.bytes.len();
        bytes > GROUP_BYTES
    });
    over.map_or(group.len(), |at| at.max(1))
}
