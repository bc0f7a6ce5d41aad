//! The event log in memory, broken in one way.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use futures::FutureExt;
use uuid::Uuid;

use crate::commit::{MAX_COMMIT_BYTES, Stored};
use crate::ids::{AggregateId, Position, Version};
use crate::log::{Append, AppendError, Appended, Durability, EventLog, LogError, Tail};
use crate::memory::MemoryLog;

use super::super::Rig;

/// The one thing that is broken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LogFault {
    /// The last acknowledged commit is not there after a reopen.
    LosesTheLastCommit,
    /// A writer that came too late is stored behind the winner and told that it won.
    LetsTwoWritersWin,
    /// A conflict is answered, and the commit stored all the same.
    StoresConflicts,
    /// Anything but the first version is taken for current.
    IgnoresTheVersion,
    /// A resent commit is answered with a conflict.
    ForgetsResends,
    /// The first answer of every commit is lost; a resent one is stored a second time.
    StoresResendsTwice,
    /// Takes commits of any size.
    TakesTooMuch,
    /// Refuses commits of exactly the largest size.
    TakesTooLittle,
    /// Large commits come back without their end.
    TearsCommits,
    /// `load` begins with the commit that the caller has.
    LoadsOneTooMany,
    /// Versions count down.
    VersionsShrink,
    /// A tail leaves out a commit now and then.
    SkipsAPosition,
    /// A tail swaps neighbours.
    Reorders,
    /// A tail begins at the first commit, wherever it was asked to.
    StartsAtTheBeginning,
    /// A tail that has found nothing never looks again.
    NeverWakes,
    /// A tail moves on before its answer is taken.
    MovesOnTooEarly,
    /// A tail shows the commits of all services.
    MixesServices,
    /// The head is that of the commit before.
    HeadLagsBehind,
    /// Ids that differ in case only are one.
    FoldsCase,
}

/// An event log in memory that has `fault`.
#[must_use]
pub fn broken_log(fault: LogFault) -> Rig<dyn EventLog> {
    let inner = MemoryLog::default();
    let log = Arc::new(Fake { fault, inner, appended: Mutex::default() });
    let reopened = log.clone();
    Rig::<dyn EventLog>::new(log, move || {
        let log = reopened.reopen();
        async move { log }
    })
    .patient(Duration::from_secs(1))
}

struct Fake {
    fault: LogFault,
    inner: MemoryLog,
    /// All acknowledged commits: a reopened log is made of them, and resent ones known by them.
    appended: Mutex<Vec<Append>>,
}

impl Fake {
    fn appended(&self) -> std::sync::MutexGuard<'_, Vec<Append>> {
        self.appended.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn reopen(self: &Arc<Self>) -> Arc<dyn EventLog> {
        if self.fault != LogFault::LosesTheLastCommit {
            return self.clone();
        }
        let inner = MemoryLog::default();
        let mut kept = self.appended().clone();
        kept.pop();
        for append in &kept {
            // In the same order they come to stand at the same places.
            inner.append_any_size(append).ok();
        }
        Arc::new(Self { fault: self.fault, inner, appended: Mutex::new(kept) })
    }

    async fn current(&self, aggregate: &AggregateId) -> Version {
        let commits = self.inner.load(aggregate, Version::NONE).await.unwrap_or_default();
        commits.last().map_or(Version::NONE, |stored| stored.version)
    }

    async fn store(&self, append: Append) -> Result<Appended, AppendError> {
        let known = self.appended().iter().any(|known| known.commit_id == append.commit_id);
        let behind = Append { expected: self.current(&append.aggregate).await, ..append.clone() };
        match (self.fault, self.inner.append_any_size(&append)) {
            (LogFault::LetsTwoWritersWin, Err(AppendError::Conflict))
                if append.expected != Version::NONE =>
            {
                self.inner.append_any_size(&behind)
            }
            (LogFault::StoresConflicts, Err(AppendError::Conflict)) => {
                self.inner.append_any_size(&behind)?;
                Err(AppendError::Conflict)
            }
            (LogFault::IgnoresTheVersion, Err(AppendError::Conflict))
                if behind.expected == Version::NONE =>
            {
                self.inner.append_any_size(&behind)
            }
            (LogFault::ForgetsResends, Ok(_)) if known => Err(AppendError::Conflict),
            (LogFault::StoresResendsTwice, Ok(_)) if !known => {
                self.appended().push(append);
                Err(AppendError::Unknown("the answer is lost".into()))
            }
            (LogFault::StoresResendsTwice, Ok(place)) => {
                let other = Append { commit_id: Uuid::nil(), ..behind };
                // Every other resend is taken for a new commit.
                let current = place.version == other.expected;
                if current { self.inner.append_any_size(&other) } else { Ok(place) }
            }
            (_, answer) => {
                if answer.is_ok() && !known {
                    self.appended().push(append);
                }
                answer
            }
        }
    }

    fn seen(&self, mut stored: Stored) -> Stored {
        match self.fault {
            LogFault::TearsCommits if stored.bytes.len() > 4_096 => {
                stored.bytes = stored.bytes.slice(..4_096);
            }
            LogFault::VersionsShrink => stored.version = mirrored(stored.version),
            _ => {}
        }
        stored
    }
}

/// Versions counted down from the largest, and back.
fn mirrored(version: Version) -> Version {
    if version == Version::NONE { version } else { Version(u64::MAX - version.0) }
}

fn folded(aggregate: &AggregateId) -> AggregateId {
    let AggregateId { service, category, id } = aggregate;
    AggregateId {
        service: service.clone(),
        category: category.clone(),
        id: id.to_ascii_lowercase(),
    }
}

#[async_trait]
impl EventLog for Fake {
    async fn append(&self, mut append: Append) -> Result<Appended, AppendError> {
        let bytes = append.bytes.len();
        match self.fault {
            LogFault::TakesTooMuch => {}
            LogFault::TakesTooLittle if bytes == MAX_COMMIT_BYTES => {
                return Err(AppendError::TooLarge { bytes });
            }
            LogFault::VersionsShrink => {
                append.check_size()?;
                append.expected = mirrored(append.expected);
                let place = self.store(append).await?;
                return Ok(Appended { version: mirrored(place.version), ..place });
            }
            LogFault::FoldsCase => {
                append.check_size()?;
                append.aggregate = folded(&append.aggregate);
            }
            _ => append.check_size()?,
        }
        self.store(append).await
    }

    async fn load(&self, aggregate: &AggregateId, after: Version) -> Result<Vec<Stored>, LogError> {
        let (aggregate, after) = match self.fault {
            LogFault::FoldsCase => (folded(aggregate), after),
            LogFault::VersionsShrink => (aggregate.clone(), mirrored(after)),
            LogFault::LoadsOneTooMany => (aggregate.clone(), Version(after.0.saturating_sub(1))),
            _ => (aggregate.clone(), after),
        };
        let commits = self.inner.load(&aggregate, after).await?;
        Ok(commits.into_iter().map(|stored| self.seen(stored)).collect())
    }

    async fn tail(&self, service: &str, after: Position) -> Result<Box<dyn Tail>, LogError> {
        let after =
            if self.fault == LogFault::StartsAtTheBeginning { Position::START } else { after };
        let fake =
            Self { fault: self.fault, inner: self.inner.clone(), appended: Mutex::default() };
        let mut inner = vec![self.inner.tail(service, after).await?];
        if self.fault == LogFault::MixesServices {
            for other in super::super::SERVICES.iter().filter(|other| **other != service) {
                inner.push(self.inner.tail(other, after).await?);
            }
        }
        Ok(Box::new(FakeTail { fake, inner, asleep: AtomicBool::new(false) }))
    }

    async fn head(&self, service: &str) -> Result<Position, LogError> {
        let commits = self.inner.commits(service);
        let back = usize::from(self.fault == LogFault::HeadLagsBehind);
        Ok(commits.iter().rev().nth(back).map_or(Position::START, |stored| stored.position))
    }

    fn durability(&self) -> Durability {
        self.inner.durability()
    }
}

struct FakeTail {
    fake: Fake,
    inner: Vec<Box<dyn Tail>>,
    asleep: AtomicBool,
}

impl FakeTail {
    /// What is there for the first tail that has something, or a wait for it.
    async fn some(&mut self, max: usize) -> Result<Vec<Stored>, LogError> {
        let waits = self.inner.iter_mut().map(|tail| tail.next(max));
        futures::future::select_all(waits).await.0
    }
}

#[async_trait]
impl Tail for FakeTail {
    async fn next(&mut self, max: usize) -> Result<Vec<Stored>, LogError> {
        if self.fake.fault == LogFault::NeverWakes {
            if !self.asleep.load(Ordering::Relaxed)
                && let Some(some) = self.some(max).now_or_never()
            {
                return some;
            }
            self.asleep.store(true, Ordering::Relaxed);
            return std::future::pending().await;
        }
        let mut some = self.some(max).await?;
        match self.fake.fault {
            LogFault::SkipsAPosition => {
                some.retain(|stored| stored.position.0 % 7 != 0);
                if some.is_empty() {
                    some = self.some(max).await?;
                }
            }
            LogFault::Reorders => {
                for pair in some.chunks_mut(2) {
                    pair.reverse();
                }
            }
            LogFault::MovesOnTooEarly => tokio::task::yield_now().await,
            _ => {}
        }
        Ok(some.into_iter().map(|stored| self.fake.seen(stored)).collect())
    }
}
