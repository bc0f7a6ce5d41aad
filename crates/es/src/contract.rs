//! What each port promises, as checks that any adapter's tests run, and broken fakes that fail
//! them.
//! *Invariant:* each promise has a name, and a fake that breaks it is caught under that name.

pub mod fakes;

mod blobs;
mod checkpoints;
mod event_log;
mod key_store;
mod leases;
mod timers;

use std::fmt;
use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use futures::FutureExt;
use futures::future::BoxFuture;

use crate::log::EventLog;
use crate::ports::{Blobs, Checkpoints, KeyStore, Leases, Timers};
use crate::tasks::panic_text;

/// The services that the suite of the event log writes to, for adapters that make a stream each.
pub const SERVICES: [&str; 2] = ["order", "inventory"];

/// How long one check may take before its promise counts as broken.
const LIMIT: Duration = Duration::from_secs(90);

/// How long one answer may take, unless the rig says otherwise.
const PATIENCE: Duration = Duration::from_secs(20);

/// A promise that was not kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Broken {
    /// The promise, as a sentence.
    pub promise: &'static str,
    /// What was seen instead.
    pub detail: String,
}

impl fmt::Display for Broken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "not kept: {}: {}", self.promise, self.detail)
    }
}

/// What a suite needs of an adapter: the port over an empty store, and a way to start it again.
pub struct Rig<P: ?Sized> {
    port: Arc<P>,
    reopen: Reopen<P>,
    patience: Duration,
}

type Reopen<P> = Box<dyn Fn() -> BoxFuture<'static, Arc<P>> + Send + Sync>;

impl<P: ?Sized> Rig<P> {
    /// A port, and `reopen`, which ends it and opens the same store again. `reopen` also keeps
    /// alive what the store needs, such as its directory.
    pub fn new<F, Fut>(port: Arc<P>, reopen: F) -> Self
    where
        F: Fn() -> Fut + Send + Sync + 'static,
        Fut: Future<Output = Arc<P>> + Send + 'static,
    {
        Self { port, reopen: Box::new(move || reopen().boxed()), patience: PATIENCE }
    }

    /// Waits less long, or longer, for what should come.
    #[must_use]
    pub fn patient(self, patience: Duration) -> Self {
        Self { patience, ..self }
    }

    /// A port that has no store outside of its process.
    #[must_use]
    pub fn without_store(port: Arc<P>) -> Self
    where
        P: Send + Sync + 'static,
    {
        let same = port.clone();
        Self::new(port, move || std::future::ready(same.clone()))
    }
}

/// What one check found: nothing, or what is wrong.
type Seen = Result<(), String>;

/// One promise: its sentence, and how it is checked.
type Promise<P> = (&'static str, fn(&Rig<P>) -> BoxFuture<'_, Seen>);

/// Runs every promise of the event log, each on a fresh one, and answers those not kept.
pub async fn event_log<F, Fut>(make: F) -> Vec<Broken>
where
    F: Fn() -> Fut,
    Fut: Future<Output = Rig<dyn EventLog>>,
{
    run(make, event_log::PROMISES).await
}

/// Runs every promise of the leases, each on fresh ones, and answers those not kept.
pub async fn leases<F, Fut>(make: F) -> Vec<Broken>
where
    F: Fn() -> Fut,
    Fut: Future<Output = Rig<dyn Leases>>,
{
    run(make, leases::PROMISES).await
}

/// Runs every promise of the checkpoints, each on fresh ones, and answers those not kept.
pub async fn checkpoints<F, Fut>(make: F) -> Vec<Broken>
where
    F: Fn() -> Fut,
    Fut: Future<Output = Rig<dyn Checkpoints>>,
{
    run(make, checkpoints::PROMISES).await
}

/// Runs every promise of the timers, each on fresh ones, and answers those not kept.
pub async fn timers<F, Fut>(make: F) -> Vec<Broken>
where
    F: Fn() -> Fut,
    Fut: Future<Output = Rig<dyn Timers>>,
{
    run(make, timers::PROMISES).await
}

/// Runs every promise of the key store, each on a fresh one, and answers those not kept.
pub async fn key_store<F, Fut>(make: F) -> Vec<Broken>
where
    F: Fn() -> Fut,
    Fut: Future<Output = Rig<dyn KeyStore>>,
{
    run(make, key_store::PROMISES).await
}

/// Runs every promise of the blobs, each on fresh ones, and answers those not kept.
pub async fn blobs<F, Fut>(make: F) -> Vec<Broken>
where
    F: Fn() -> Fut,
    Fut: Future<Output = Rig<dyn Blobs>>,
{
    run(make, blobs::PROMISES).await
}

async fn run<P, F, Fut>(make: F, promises: &[Promise<P>]) -> Vec<Broken>
where
    P: ?Sized,
    F: Fn() -> Fut,
    Fut: Future<Output = Rig<P>>,
{
    let mut broken = Vec::new();
    for (promise, check) in promises {
        let rig = make().await;
        let guarded = std::panic::AssertUnwindSafe(check(&rig)).catch_unwind();
        let seen = match tokio::time::timeout(LIMIT, guarded).await {
            Ok(Ok(seen)) => seen,
            Ok(Err(panic)) => Err(format!("panicked: {}", panic_text(&*panic))),
            Err(_) => Err(format!("not done after {LIMIT:?}")),
        };
        if let Err(detail) = seen {
            broken.push(Broken { promise, detail });
        }
    }
    broken
}

/// `Err` with what was seen, unless `kept`.
fn ensure(kept: bool, seen: impl FnOnce() -> String) -> Seen {
    if kept { Ok(()) } else { Err(seen()) }
}

/// What was done, and that it failed.
fn failed<E: fmt::Debug>(what: &'static str) -> impl Fn(E) -> String {
    move |error| format!("cannot {what}: {error:?}")
}

#[cfg(test)]
mod tests;
