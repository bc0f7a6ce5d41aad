//! Processes over the in-memory log: lanes, back-off, parking, retrying, restarting.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

use uuid::Uuid;

use super::*;
use crate::commit::{Actor, Cause, Commit, Entry, Payload};
use crate::handle::Handler;
use crate::ids::{AggregateId, Version, new_id};
use crate::log::Append;
use crate::memory::{MemoryCheckpoints, MemoryLeases, MemoryLog, MemoryTimers};
use crate::views::ViewsConfig;
use crate::work::{self, Command, ParkedView, WorkItem};

/// What the fake target saw, and how often it still fails, by key.
#[derive(Default)]
struct Target {
    seen: Mutex<Vec<String>>,
    failures: Mutex<HashMap<String, u32>>,
}

impl Target {
    fn seen(&self) -> Vec<String> {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn fail(&self, key: &str, times: u32) {
        self.failures.lock().unwrap().insert(key.to_owned(), times);
    }
}

/// A timer with this payload cannot be dealt with.
const HOPELESS: &[u8] = b"hopeless";

struct Tell(Arc<Target>);

#[async_trait]
impl Process for Tell {
    fn name(&self) -> &'static str {
        "tell"
    }

    fn sources(&self) -> &[&'static str] {
        &["order"]
    }

    fn key(&self, heard: &Heard) -> Option<String> {
        (heard.aggregate.category == "thing").then(|| heard.aggregate.id.clone())
    }

    async fn act(&self, heard: &Heard) -> Result<(), Trouble> {
        let key = heard.aggregate.id.as_str();
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
        directory: dir.path().to_owned(),
        views: vec![Arc::new(ParkedView::new("order"))],
    };
    Views::start(config, Arc::new(log.clone()), tasks.clone()).await.unwrap()
}

impl World {
    async fn new() -> Self {
        let log = MemoryLog::default();
        let tasks = Tasks::default();
        let dir = tempfile::tempdir().unwrap();
        let views = views(&dir, &log, &tasks).await;
        let ground = Ground {
            service: "order",
            log: Arc::new(log.clone()),
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

    async fn append(&self, key: &str) {
        let aggregate = AggregateId::new("order", "thing", key).unwrap();
        let (number, expected, previous) =
            self.ends.lock().unwrap().get(key).cloned().unwrap_or_default();
        let payload = Payload { event_type: "thing.Made".to_owned(), schema: 1, bytes: vec![] };
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
async fn a_retry_that_works_frees_the_key_in_order() {
    let world = World::new().await;
    world.target.fail("a", 3);
    world.append("a").await;
    world.append("a").await;
    world.start();
    world.until("both are parked", async |w| w.parked().await.len() == 2).await;
    let first = world.parked().await[0].id.clone();
    world.decide(&first, Command::Retry).await;
    world.until("both are told", async |w| w.target.seen() == ["a1", "a2"]).await;
    world.until("nothing is parked", async |w| w.parked().await.is_empty()).await;
    world.append("a").await;
    world.until("the key is free", async |w| w.target.seen() == ["a1", "a2", "a3"]).await;
}

#[tokio::test]
async fn a_skip_lets_the_next_one_through() {
    let world = World::new().await;
    world.target.fail("a", 3);
    world.append("a").await;
    world.append("a").await;
    world.start();
    world.until("both are parked", async |w| w.parked().await.len() == 2).await;
    let first = world.parked().await[0].id.clone();
    world.decide(&first, Command::Skip { reason: "done by hand".to_owned() }).await;
    world.until("the second is told", async |w| w.target.seen() == ["a2"]).await;
    world.until("nothing is parked", async |w| w.parked().await.is_empty()).await;
}

#[tokio::test]
async fn a_lost_checkpoint_only_asks_again_and_a_kept_one_does_not() {
    let world = World::new().await;
    world.append("a").await;
    world.start();
    let kept = async |w: &World| {
        let at = w.ground.checkpoints.load("tell", "order").await.unwrap();
        at == w.log.head("order").await.unwrap()
    };
    world.until("the checkpoint is kept", kept).await;
    assert!(world.ground.tasks.shut_down(Duration::from_secs(10)).await);
    let tasks = Tasks::default();
    let views = views(&world.dir, &world.log, &tasks).await;
    let again = World { ground: Ground { tasks, views, ..world.ground.clone() }, ..world };
    again.start();
    again.append("b").await;
    again.until("b is told", async |w| w.target.seen() == ["a1", "b1"]).await;
}

#[tokio::test]
async fn a_due_timer_wakes_once_and_never_early() {
    let world = World::new().await;
    let now = crate::clock::now_ms();
    for (key, due_at_ms) in [("soon", now), ("later", now + 3_600_000)] {
        let timer =
            Timer { process: "tell".to_owned(), key: key.to_owned(), due_at_ms, payload: vec![] };
        world.ground.timers.set(timer).await.unwrap();
    }
    world.start();
    world.until("woken", async |w| w.target.seen() == ["woken soon"]).await;
    let settled =
        async |w: &World| w.ground.timers.next_due("tell").await.unwrap() == Some(now + 3_600_000);
    world.until("the fired one is gone", settled).await;
}

#[tokio::test]
async fn a_hopeless_timer_is_given_up_once_and_fires_no_more() {
    let world = World::new().await;
    let due_at_ms = crate::clock::now_ms();
    let timer = |key: &str, payload: &[u8]| Timer {
        process: "tell".to_owned(),
        key: key.to_owned(),
        due_at_ms,
        payload: payload.to_vec(),
    };
    world.ground.timers.set(timer("lost", HOPELESS)).await.unwrap();
    world.start();
    let gone = async |w: &World| w.ground.timers.next_due("tell").await.unwrap().is_none();
    world.until("it is gone", gone).await;
    world.ground.timers.set(timer("next", b"")).await.unwrap();
    world.until("the next one fires", async |w| w.target.seen().len() == 2).await;
    assert_eq!(world.target.seen(), ["woken lost", "woken next"]);
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
