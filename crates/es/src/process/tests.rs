//! Processes over the in-memory log: lanes, back-off, restarting; parked work, timers and faults
//! in files of their own.

mod faults;
mod parked;
mod timers;

use std::collections::HashMap;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Mutex, PoisonError};

use tokio::sync::watch;
use uuid::Uuid;

use super::*;
use crate::commit::{Actor, Cause, Commit, Entry, Payload};
use crate::handle::Handler;
use crate::ids::{AggregateId, Version, new_id};
use crate::log::Append;
use crate::memory::{MemoryCheckpoints, MemoryLeases, MemoryLog, MemoryTimers};
use crate::views::{Database, ViewsConfig};
use crate::work::{self, Command, ParkedView, WorkItem};

/// What the fake target saw, and how often it still fails, by key.
#[derive(Default)]
struct Target {
    seen: Mutex<Vec<String>>,
    failures: Mutex<HashMap<String, u32>>,
    /// Keys that begin with it are held up, as long as it stands.
    held: watch::Sender<Option<&'static str>>,
    /// How many were held up so far.
    held_up: AtomicU32,
    /// Terms of replicas.
    terms: AtomicU32,
}

impl Target {
    fn seen(&self) -> Vec<String> {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn fail(&self, key: &str, times: u32) {
        self.failures.lock().unwrap().insert(key.to_owned(), times);
    }

    fn hold(&self, prefix: Option<&'static str>) {
        self.held.send_replace(prefix);
    }

    fn held_up(&self) -> u32 {
        self.held_up.load(Ordering::SeqCst)
    }

    async fn pass(&self, key: &str) {
        let free = |held: &Option<&str>| held.is_none_or(|prefix| !key.starts_with(prefix));
        let mut held = self.held.subscribe();
        if !free(&held.borrow()) {
            self.held_up.fetch_add(1, Ordering::SeqCst);
        }
        held.wait_for(free).await.unwrap();
    }
}

/// A timer with this payload cannot be dealt with.
const HOPELESS: &[u8] = b"hopeless";
/// Nor can one with this, now.
const DOWN: &[u8] = b"down";
/// An event of this type makes the process panic when it is asked for its key.
const CURSED: &str = "thing.Cursed";

struct Tell(Arc<Target>);

#[async_trait]
impl Process for Tell {
    fn name(&self) -> &'static str {
        "tell"
    }

    fn sources(&self) -> &[&'static str] {
        &["order"]
    }

    fn begin_term(&self, _now_ms: i64) {
        self.0.terms.fetch_add(1, Ordering::SeqCst);
    }

    fn key(&self, heard: &Heard) -> Option<String> {
        assert_ne!(heard.event_type(), CURSED, "made to panic");
        (heard.aggregate.category == "thing").then(|| heard.aggregate.id.clone())
    }

    async fn act(&self, heard: &Heard) -> Result<(), Trouble> {
        let key = heard.aggregate.id.as_str();
        self.0.pass(key).await;
        if let Some(left) = self.0.failures.lock().unwrap().get_mut(key)
            && *left > 0
        {
            *left -= 1;
            return Err(Trouble::Retry("the target is down".to_owned()));
        }
        let line = format!("{key}{}", heard.number);
        self.0.seen.lock().unwrap().push(line);
        Ok(())
    }

    async fn wake(&self, timer: &Timer) -> Result<Option<i64>, Trouble> {
        self.0.seen.lock().unwrap().push(format!("woken {}", timer.key));
        if timer.payload == HOPELESS {
            return Err(Trouble::Hopeless("nothing can be done".to_owned()));
        }
        if timer.payload == DOWN {
            return Err(Trouble::Retry("the target is down".to_owned()));
        }
        self.0.pass(&timer.key).await;
        Ok(None)
    }

    fn uses_timers(&self) -> bool {
        true
    }
}

/// Where an aggregate ends: commit number, version, hash of the last commit.
type End = (u64, Version, Vec<u8>);

struct World {
    log: MemoryLog,
    ground: Ground,
    target: Arc<Target>,
    ends: Mutex<HashMap<String, End>>,
    dir: tempfile::TempDir,
}

async fn views(dir: &tempfile::TempDir, log: &MemoryLog, tasks: &Tasks) -> Arc<Views> {
    let config = ViewsConfig {
        service: "order",
        version: 1,
        schema: work::SCHEMA,
        database: Database::Directory(dir.path().to_owned()),
        views: vec![Arc::new(ParkedView::new("order"))],
    };
    Views::start(config, Arc::new(log.clone()), tasks.clone()).await.unwrap()
}

impl World {
    async fn new() -> Self {
        Self::over(|log| Arc::new(log)).await
    }

    /// The runners write to what `faulty` makes of the log, the test to the log itself.
    async fn over(faulty: impl FnOnce(MemoryLog) -> Arc<dyn EventLog>) -> Self {
        let log = MemoryLog::default();
        let tasks = Tasks::default();
        let dir = tempfile::tempdir().unwrap();
        let views = views(&dir, &log, &tasks).await;
        let ground = Ground {
            service: "order",
            log: faulty(log.clone()),
            leases: Arc::new(MemoryLeases::default()),
            checkpoints: Arc::new(MemoryCheckpoints::default()),
            timers: Arc::new(MemoryTimers::default()),
            views,
            tasks,
            patience: Patience {
                attempts: 3,
                back_off_min: Duration::from_millis(1),
                back_off_max: Duration::from_millis(5),
                concurrency: 8,
            },
            span: |_, _| Span::none(),
        };
        let target = Arc::new(Target::default());
        Self { log, ground, target, ends: Mutex::default(), dir }
    }

    fn start(&self) {
        start(Arc::new(Tell(Arc::clone(&self.target))), self.ground.clone());
    }

    async fn shut_down(&self) {
        assert!(self.ground.tasks.shut_down(Duration::from_secs(10)).await);
    }

    /// The same after a restart, not yet started.
    async fn restarted(self) -> Self {
        self.shut_down().await;
        let tasks = Tasks::default();
        let views = views(&self.dir, &self.log, &tasks).await;
        Self { ground: Ground { tasks, views, ..self.ground.clone() }, ..self }
    }

    /// The same after a restart that found no checkpoints.
    async fn restarted_from_zero(self) -> Self {
        let again = self.restarted().await;
        let checkpoints = Arc::new(MemoryCheckpoints::default());
        Self { ground: Ground { checkpoints, ..again.ground.clone() }, ..again }
    }

    /// Waits until all that stands in the log is done, parked or passed by.
    async fn until_done(&self) {
        let done = async |w: &Self| {
            let at = w.ground.checkpoints.load("tell", "order").await.unwrap();
            at == w.log.head("order").await.unwrap()
        };
        self.until("the checkpoint is at the end", done).await;
    }

    async fn append(&self, key: &str) {
        self.append_event(key, "thing.Made").await;
    }

    async fn append_event(&self, key: &str, event_type: &str) {
        let aggregate = AggregateId::new("order", "thing", key).unwrap();
        let (number, expected, previous) =
            self.ends.lock().unwrap().get(key).cloned().unwrap_or_default();
        let payload = Payload { event_type: event_type.to_owned(), schema: 1, bytes: vec![] };
        let commit = Commit {
            commit_id: new_id(),
            aggregate: aggregate.clone(),
            number: number + 1,
            previous_sha256: previous,
            entries: vec![Entry { cause: cause(), events: vec![(new_id(), payload)] }],
        };
        let bytes = commit.encode();
        let append = Append {
            aggregate,
            expected,
            commit_id: commit.commit_id,
            bytes: bytes.clone(),
            traceparent: String::new(),
        };
        let appended = self.log.append(append).await.unwrap();
        let end = (number + 1, appended.version, crate::commit::sha256(&bytes));
        self.ends.lock().unwrap().insert(key.to_owned(), end);
    }

    async fn until(&self, what: &str, mut holds: impl AsyncFnMut(&Self) -> bool) {
        let mut poll = tokio::time::interval(Duration::from_millis(5));
        let waited = tokio::time::timeout(Duration::from_secs(20), async {
            while !holds(self).await {
                poll.tick().await;
            }
        });
        assert!(waited.await.is_ok(), "{what}; seen: {:?}", self.target.seen());
    }

    async fn parked(&self) -> Vec<work::Parked> {
        work::list(&self.ground.views.pool(), Some("tell")).await.unwrap()
    }

    async fn decide(&self, id: &str, command: Command) {
        let handler = Handler::<WorkItem>::in_service("order", Arc::new(self.log.clone()));
        handler.execute(id, command, cause()).await.unwrap();
    }
}

fn cause() -> Cause {
    Cause {
        occurred_at_ms: 1,
        learned_at_ms: 1,
        command_id: new_id(),
        request_hash: vec![],
        story: "story".to_owned(),
        causation_id: Some(Uuid::nil()),
        actor: Actor::service("test"),
        traceparent: String::new(),
    }
}

#[tokio::test]
async fn events_of_one_key_are_handled_in_order_even_when_the_first_fails() {
    let world = World::new().await;
    world.target.fail("a", 2);
    for _ in 0..3 {
        world.append("a").await;
    }
    world.start();
    world.until("three seen", async |w| w.target.seen().len() == 3).await;
    assert_eq!(world.target.seen(), ["a1", "a2", "a3"]);
    assert!(world.parked().await.is_empty());
}

#[tokio::test]
async fn a_key_that_keeps_failing_is_parked_and_others_go_on() {
    let world = World::new().await;
    world.target.fail("a", u32::MAX);
    world.append("a").await;
    world.append("b").await;
    world.append("a").await;
    world.start();
    world.until("b is told", async |w| w.target.seen() == ["b1"]).await;
    world.until("both of a are parked", async |w| w.parked().await.len() == 2).await;
    let parked = world.parked().await;
    assert_eq!((parked[0].attempts, parked[0].cause.as_str()), (3, "the target is down"));
    assert_eq!(parked[1].attempts, 0);
}

#[tokio::test]
async fn a_lost_checkpoint_only_asks_again_and_a_kept_one_does_not() {
    let world = World::new().await;
    world.append("a").await;
    world.start();
    world.until_done().await;
    let again = world.restarted().await;
    again.start();
    again.append("b").await;
    again.until("b is told", async |w| w.target.seen() == ["a1", "b1"]).await;
    let again = again.restarted_from_zero().await;
    again.start();
    again.until("both are told again", async |w| w.target.seen().len() == 4).await;
}

#[tokio::test]
async fn only_one_of_two_runners_is_active() {
    let world = World::new().await;
    world.start();
    world.start();
    for _ in 0..10 {
        world.append("a").await;
    }
    world.until("all told", async |w| w.target.seen().len() >= 10).await;
    assert_eq!(world.target.seen().len(), 10);
}
