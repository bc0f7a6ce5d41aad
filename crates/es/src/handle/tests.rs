//! The handler over the in-memory log, with a counter as aggregate.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use async_trait::async_trait;
use futures::future::join_all;
use uuid::Uuid;

use super::*;
use crate::commit::Actor;
use crate::log::{Append, AppendError, Appended, Durability, Tail};
use crate::memory::MemoryLog;

#[derive(Default)]
struct Counter(u32);

#[derive(Debug, PartialEq)]
struct Added(u32);

#[derive(Debug, PartialEq)]
struct Full;

/// Empties the counter.
const SINK: u32 = 1_000;
/// Adds one with an event that is larger than a commit may be.
const HUGE: u32 = 2_000;

impl Decider for Counter {
    const CATEGORY: &'static str = "counter";
    type Command = u32;
    type Event = Added;
    type Refusal = Full;

    fn decide(&self, add: &u32) -> Result<Vec<Added>, Full> {
        match *add {
            0 => Ok(vec![]),
            13 => panic!("thirteen"),
            SINK | HUGE => Ok(vec![Added(*add)]),
            add if self.0 + add > 100 => Err(Full),
            add => Ok(vec![Added(add)]),
        }
    }

    fn evolve(self, event: &Added) -> Self {
        match event.0 {
            SINK => Self(0),
            HUGE => Self(self.0 + 1),
            add => Self(self.0 + add),
        }
    }
}

impl Aggregate for Counter {
    const SERVICE: &'static str = "order";

    fn encode(event: &Added) -> Payload {
        let mut bytes = event.0.to_be_bytes().to_vec();
        if event.0 == HUGE {
            bytes.resize(crate::commit::MAX_COMMIT_BYTES, 0);
        }
        Payload { event_type: "counter.Added".to_owned(), schema: 1, bytes }
    }

    fn decode(payload: &Payload) -> Result<Added, BadEvent> {
        let bytes = payload.bytes.as_slice().try_into().map_err(|_| BadEvent::Malformed {
            event_type: payload.event_type.clone(),
            why: "not four bytes".to_owned(),
        })?;
        Ok(Added(u32::from_be_bytes(bytes)))
    }
}

fn cause(key: u128, body: &[u8]) -> Cause {
    Cause {
        occurred_at_ms: 1,
        learned_at_ms: 1,
        command_id: Uuid::from_u128(key),
        request_hash: body.to_vec(),
        story: "story".to_owned(),
        causation_id: None,
        actor: Actor::service("test"),
        traceparent: String::new(),
    }
}

async fn commits(log: &MemoryLog) -> usize {
    let id = AggregateId::new("order", "counter", "a").unwrap();
    log.load(&id, Version::NONE).await.unwrap().len()
}

/// Answers "unknown" after storing, as often as told, and counts how often it is read.
struct LosesAnswers {
    log: MemoryLog,
    left: AtomicU32,
    reads: AtomicU32,
}

impl LosesAnswers {
    fn new(log: &MemoryLog, left: u32) -> Self {
        Self { log: log.clone(), left: left.into(), reads: 0.into() }
    }
}

#[async_trait]
impl EventLog for LosesAnswers {
    async fn append(&self, append: Append) -> Result<Appended, AppendError> {
        let answer = self.log.append(append).await;
        let lose = self.left.fetch_update(Ordering::SeqCst, Ordering::SeqCst, |n| n.checked_sub(1));
        if lose.is_ok() { Err(AppendError::Unknown("lost".into())) } else { answer }
    }
    async fn load(&self, id: &AggregateId, after: Version) -> Result<Vec<Stored>, LogError> {
        self.reads.fetch_add(1, Ordering::SeqCst);
        self.log.load(id, after).await
    }
    async fn tail(&self, service: &str, after: Position) -> Result<Box<dyn Tail>, LogError> {
        self.log.tail(service, after).await
    }
    async fn head(&self, service: &str) -> Result<Position, LogError> {
        self.log.head(service).await
    }
    fn durability(&self) -> Durability {
        self.log.durability()
    }
}

#[tokio::test]
async fn fifty_requests_with_one_key_make_one_entry() {
    let log = MemoryLog::default();
    let handler = Handler::<Counter>::new(Arc::new(log.clone()));
    let all = join_all((0..50).map(|_| {
        handler.execute_then("a", 7, cause(1, b"body"), |state, events| (state.0, events.len()))
    }))
    .await;
    let replayed = all.iter().filter(|answer| answer.as_ref().unwrap().0.replayed).count();
    assert_eq!(replayed, 49);
    assert!(all.iter().all(|answer| answer.as_ref().unwrap().1 == (7, 1)));
    assert_eq!(commits(&log).await, 1);
}

#[tokio::test]
async fn the_same_key_with_another_body_is_refused_and_stores_nothing() {
    let log = MemoryLog::default();
    let handler = Handler::<Counter>::new(Arc::new(log.clone()));
    handler.execute("a", 7, cause(1, b"body")).await.unwrap();
    let other = handler.execute("a", 8, cause(1, b"other body")).await;
    assert!(matches!(other, Err(HandleError::KeyReused)));
    assert_eq!(commits(&log).await, 1);
}

#[tokio::test]
async fn a_replay_answers_the_state_of_its_time_also_after_a_restart() {
    let log = MemoryLog::default();
    let handler = Handler::<Counter>::new(Arc::new(log.clone()));
    handler.execute("a", 7, cause(1, b"x")).await.unwrap();
    handler.execute("a", 5, cause(2, b"y")).await.unwrap();
    let restarted = Handler::<Counter>::new(Arc::new(log));
    let (receipt, value) =
        restarted.execute_then("a", 7, cause(1, b"x"), |state, _| state.0).await.unwrap();
    assert!(receipt.replayed);
    assert_eq!(value, 7);
    assert_eq!(restarted.read("a", |state| state.0).await.unwrap().1, 12);
}

#[tokio::test]
async fn commands_that_wait_are_appended_together_and_a_refusal_spoils_none() {
    let log = MemoryLog::default();
    let handler = Handler::<Counter>::new(Arc::new(log.clone()));
    let all = join_all((0..30).map(|n| handler.execute("a", 10, cause(n, b"")))).await;
    assert_eq!(all.iter().filter(|answer| answer.is_ok()).count(), 10);
    assert_eq!(handler.read("a", |state| state.0).await.unwrap().1, 100);
    assert!(commits(&log).await < 10, "ten adds took {} commits", commits(&log).await);
}

#[tokio::test]
async fn two_replicas_never_both_win_and_both_get_through() {
    let log = MemoryLog::default();
    let one = Handler::<Counter>::new(Arc::new(log.clone()));
    let two = Handler::<Counter>::new(Arc::new(log.clone()));
    let all = join_all((0..20).map(|n| {
        let handler = if n % 2 == 0 { &one } else { &two };
        handler.execute("a", 10, cause(n, b""))
    }))
    .await;
    assert_eq!(all.iter().filter(|answer| answer.is_ok()).count(), 10);
    let fresh = Handler::<Counter>::new(Arc::new(log));
    assert_eq!(fresh.read("a", |state| state.0).await.unwrap().1, 100);
}

#[tokio::test]
async fn a_refusal_and_no_news_rest_on_what_another_writer_has_stored() {
    let log = MemoryLog::default();
    let one = Handler::<Counter>::new(Arc::new(log.clone()));
    let two = Handler::<Counter>::new(Arc::new(log));
    one.execute("a", 100, cause(1, b"")).await.unwrap();
    two.execute("a", SINK, cause(2, b"")).await.unwrap();
    // As `one` remembers it, the counter is full.
    one.execute("a", 5, cause(3, b"")).await.unwrap();
    two.execute("a", 7, cause(4, b"")).await.unwrap();
    let (receipt, value) =
        one.execute_then("a", 0, cause(5, b""), |state, _| state.0).await.unwrap();
    assert_eq!(value, 12);
    assert_eq!(receipt.version, two.read("a", |_| ()).await.unwrap().0.version);
}

#[tokio::test]
async fn a_repeat_of_what_another_writer_stored_is_a_replay_and_no_refusal() {
    let log = MemoryLog::default();
    let one = Handler::<Counter>::new(Arc::new(log.clone()));
    let two = Handler::<Counter>::new(Arc::new(log.clone()));
    one.execute("a", 100, cause(1, b"")).await.unwrap();
    two.execute("a", SINK, cause(2, b"")).await.unwrap();
    two.execute("a", 10, cause(3, b"")).await.unwrap();
    // As `one` remembers it, the counter is full.
    let (receipt, value) =
        one.execute_then("a", 10, cause(3, b""), |state, _| state.0).await.unwrap();
    assert_eq!((receipt.replayed, value), (true, 10));
    assert_eq!(commits(&log).await, 3);
}

#[tokio::test]
async fn events_that_no_commit_holds_fail_their_command_alone() {
    let log = MemoryLog::default();
    let handler = Handler::<Counter>::new(Arc::new(log.clone()));
    handler.execute("a", 1, cause(1, b"")).await.unwrap();
    let (huge, full, nothing, read) = tokio::join!(
        handler.execute("a", HUGE, cause(2, b"")),
        handler.execute("a", 101, cause(3, b"")),
        handler.execute_then("a", 0, cause(4, b""), |state, _| state.0),
        handler.read("a", |state| state.0),
    );
    assert!(matches!(huge, Err(HandleError::TooLarge { .. })), "{huge:?}");
    assert!(matches!(full, Err(HandleError::Refused(Full))), "{full:?}");
    assert_eq!((nothing.unwrap().1, read.unwrap().1), (1, 1));
    assert_eq!(commits(&log).await, 1);
}

#[tokio::test]
async fn a_new_aggregate_costs_no_read_and_one_that_was_there_is_found_all_the_same() {
    let log = MemoryLog::default();
    let reading = Arc::new(LosesAnswers::new(&log, 0));
    let handler = Handler::<Counter>::new(reading.clone());
    handler.execute("a", 60, cause(1, b"")).await.unwrap();
    assert_eq!(reading.reads.load(Ordering::SeqCst), 0);
    // Nobody here knows of it any more: one command meets what is stored, one is refused by it.
    for (key, add, fits) in [(2, 30, true), (3, 30, false)] {
        handler.forget("a");
        let done = handler.execute("a", add, cause(key, b"")).await;
        assert_eq!(done.is_ok(), fits, "{done:?}");
    }
    handler.forget("a");
    assert!(handler.execute("a", 60, cause(1, b"")).await.unwrap().replayed);
    assert_eq!(handler.read("a", |state| state.0).await.unwrap().1, 90);
}

#[tokio::test]
async fn a_lost_answer_is_resolved_by_resending_and_stored_once() {
    let log = MemoryLog::default();
    let losing = LosesAnswers::new(&log, 2);
    let handler = Handler::<Counter>::new(Arc::new(losing));
    handler.execute("a", 7, cause(1, b"")).await.unwrap();
    assert_eq!(commits(&log).await, 1);
    assert_eq!(handler.read("a", |state| state.0).await.unwrap().1, 7);
}

#[tokio::test]
async fn an_answer_that_stays_lost_is_told_as_unknown_and_the_key_finds_out() {
    let log = MemoryLog::default();
    let losing = LosesAnswers::new(&log, 4);
    let handler = Handler::<Counter>::new(Arc::new(losing));
    let lost = handler.execute("a", 7, cause(1, b"")).await;
    assert!(matches!(lost, Err(HandleError::Unknown(_))));
    assert!(handler.execute("a", 7, cause(1, b"")).await.unwrap().replayed);
    assert_eq!(commits(&log).await, 1);
}

#[tokio::test]
async fn a_panic_while_deciding_stores_nothing_and_the_aggregate_goes_on() {
    let log = MemoryLog::default();
    let handler = Handler::<Counter>::new(Arc::new(log.clone()));
    let panicked = handler.execute("a", 13, cause(1, b"")).await;
    assert!(matches!(panicked, Err(HandleError::Panicked(_))));
    assert_eq!(commits(&log).await, 0);
    handler.execute("a", 7, cause(2, b"")).await.unwrap();
    assert_eq!(handler.read("a", |state| state.0).await.unwrap().1, 7);
}

/// A counter whose commands are never sent again.
#[derive(Default)]
struct Forgetful(Counter);

impl Decider for Forgetful {
    const CATEGORY: &'static str = "forgetful";
    type Command = u32;
    type Event = Added;
    type Refusal = Full;

    fn decide(&self, add: &u32) -> Result<Vec<Added>, Full> {
        self.0.decide(add)
    }

    fn evolve(self, event: &Added) -> Self {
        Self(self.0.evolve(event))
    }
}

impl Aggregate for Forgetful {
    const SERVICE: &'static str = "order";
    const REMEMBERS_COMMANDS: bool = false;

    fn encode(event: &Added) -> Payload {
        Counter::encode(event)
    }

    fn decode(payload: &Payload) -> Result<Added, BadEvent> {
        Counter::decode(payload)
    }
}

#[tokio::test]
async fn an_aggregate_can_keep_no_finished_commands_in_memory() {
    let log = MemoryLog::default();
    let handler = Handler::<Forgetful>::new(Arc::new(log.clone()));
    let id = AggregateId::new("order", "forgetful", "a").unwrap();
    for key in 1..=3 {
        handler.execute("a", 1, cause(key, b"")).await.unwrap();
    }
    assert!(!handler.execute("a", 1, cause(1, b"")).await.unwrap().replayed);
    let restarted = Handler::<Forgetful>::new(Arc::new(log.clone()));
    assert_eq!(restarted.read("a", |state| state.0.0).await.unwrap().1, 4);
    let loaded = load::<Forgetful>(&log, &id, None).await.unwrap();
    assert_eq!((loaded.number, loaded.commands.len()), (4, 0));
}

#[tokio::test]
async fn a_changed_history_is_not_loaded() {
    let log = MemoryLog::default();
    let handler = Handler::<Counter>::new(Arc::new(log.clone()));
    handler.execute("a", 7, cause(1, b"")).await.unwrap();
    let id = AggregateId::new("order", "counter", "a").unwrap();
    let foreign = Commit {
        commit_id: Uuid::from_u128(9),
        aggregate: id.clone(),
        number: 2,
        previous_sha256: vec![0; 32],
        entries: vec![],
    };
    let expected = log.load(&id, Version::NONE).await.unwrap().last().unwrap().version;
    let append = Append {
        aggregate: id,
        expected,
        commit_id: foreign.commit_id,
        bytes: foreign.encode(),
        traceparent: String::new(),
    };
    log.append(append).await.unwrap();
    let fresh = Handler::<Counter>::new(Arc::new(log));
    let answer = fresh.execute("a", 1, cause(3, b"")).await;
    assert!(matches!(answer, Err(HandleError::Load(_))), "{answer:?}");
}

/// Two replicas with what each has kept of the counter, and the log between them.
async fn two_replicas() -> (Arc<LosesAnswers>, Handler<Counter>, Handler<Counter>) {
    let log = Arc::new(LosesAnswers::new(&MemoryLog::default(), 0));
    let here = Handler::<Counter>::new(log.clone());
    let there = Handler::<Counter>::new(log.clone());
    here.execute("a", 7, cause(1, b"a")).await.unwrap();
    assert_eq!(there.read("a", |state| state.0).await.unwrap().1, 7);
    (log, here, there)
}

#[tokio::test]
async fn a_reader_sees_what_another_replica_wrote_since_it_read_last() {
    let (_, here, there) = two_replicas().await;
    let receipt = here.execute("a", 5, cause(2, b"b")).await.unwrap();
    assert_eq!(there.read("a", |state| state.0).await.unwrap(), (receipt, 12));
}

#[tokio::test]
async fn who_heard_of_a_commit_reads_it_and_asks_the_log_only_where_it_is_not_known_yet() {
    let (log, here, there) = two_replicas().await;
    let receipt = here.execute("a", 5, cause(2, b"b")).await.unwrap();
    let reads = || log.reads.load(Ordering::SeqCst);
    let before = reads();
    let known = here.read_since("a", receipt.position, |state| state.0).await.unwrap();
    assert_eq!((known.1, reads() - before), (12, 0));
    let heard = there.read_since("a", receipt.position, |state| state.0).await.unwrap();
    assert_eq!((heard.1, reads() - before), (12, 1));
}

#[tokio::test]
async fn what_is_looked_up_is_asked_of_the_log_only_while_it_is_not_there() {
    let (log, here, there) = two_replicas().await;
    let at_least = |least: u32| move |state: &Counter| (state.0 >= least).then_some(state.0);
    here.execute("a", 5, cause(2, b"b")).await.unwrap();
    let before = log.reads.load(Ordering::SeqCst);
    assert_eq!(there.find("a", at_least(7)).await.unwrap(), Some(7));
    assert_eq!(log.reads.load(Ordering::SeqCst), before);
    assert_eq!(there.find("a", at_least(12)).await.unwrap(), Some(12));
    assert_eq!(there.find("a", at_least(13)).await.unwrap(), None);
}

#[tokio::test]
async fn forty_at_two_replicas_never_go_over_the_limit() {
    let log = Arc::new(MemoryLog::default());
    let replicas = [Handler::<Counter>::new(log.clone()), Handler::new(log.clone())];
    let all = join_all((0..40_u128).map(|n| {
        let replica = replicas[usize::from(n % 2 == 0)].clone();
        async move { replica.execute("a", 10, cause(n + 1, &n.to_be_bytes())).await }
    }));
    let all = all.await;
    let done = all.iter().filter(|answer| answer.is_ok()).count();
    let full = |answer: &&Result<_, _>| matches!(answer, Err(HandleError::Refused(Full)));
    assert_eq!((done, all.iter().filter(full).count()), (10, 30));
    for replica in replicas {
        assert_eq!(replica.read("a", |state| state.0).await.unwrap().1, 100);
    }
}
