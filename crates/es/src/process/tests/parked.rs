//! Parked work: it blocks its key, is retried or skipped, and stays what it is over restarts.

use async_trait::async_trait;

use super::*;
use crate::commit::Stored;
use crate::log::{AppendError, Appended, Durability, LogError, Tail};

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

/// Two events of `a`, the first given up, the second behind it.
async fn both_parked(world: &World) -> String {
    world.target.fail("a", 3);
    world.append("a").await;
    world.append("a").await;
    world.start();
    world.until("both are parked", async |w| w.parked().await.len() == 2).await;
    world.parked().await[0].id.clone()
}

async fn nothing_is_parked(world: &World) {
    world.until("nothing is parked", async |w| w.parked().await.is_empty()).await;
}

#[tokio::test]
async fn an_event_that_waits_while_the_key_is_freed_is_done() {
    let world = World::new().await;
    world.target.fail("a", 3);
    world.append("a").await;
    world.start();
    world.until("it is parked", async |w| w.parked().await.len() == 1).await;
    world.target.hold(Some("a"));
    world.decide(&world.parked().await[0].id, Command::Retry).await;
    world.until("it is tried again", async |w| w.target.held_up() == 1).await;
    world.append("a").await;
    world.append("b").await;
    // What comes after it was heard: it waits in its lane.
    world.until("b is told", async |w| w.target.seen() == ["b1"]).await;
    world.target.hold(None);
    world.until("both are told", async |w| w.target.seen() == ["b1", "a1", "a2"]).await;
    nothing_is_parked(&world).await;
}

#[tokio::test]
async fn a_skip_lasts_when_the_log_is_heard_again() {
    let world = World::new().await;
    world.target.fail("a", 3);
    world.append("a").await;
    world.start();
    world.until("it is parked", async |w| w.parked().await.len() == 1).await;
    let id = world.parked().await[0].id.clone();
    world.decide(&id, Command::Skip { reason: "done by hand".to_owned() }).await;
    nothing_is_parked(&world).await;
    let again = world.restarted_from_zero().await;
    again.start();
    again.until_done().await;
    again.append("a").await;
    again.until("the next one is told", async |w| w.target.seen() == ["a2"]).await;
    assert!(again.parked().await.is_empty());
}

#[tokio::test]
async fn parked_work_that_is_heard_again_stays_as_it_is() {
    let world = World::new().await;
    world.append("a").await;
    world.start();
    world.until("the first is told", async |w| w.target.seen() == ["a1"]).await;
    world.target.fail("a", 3);
    world.append("a").await;
    world.append("a").await;
    world.until("two are parked", async |w| w.parked().await.len() == 2).await;
    let before = world.parked().await;
    assert_eq!((before[0].attempts, before[0].cause.as_str()), (3, "the target is down"));
    let again = world.restarted_from_zero().await;
    again.start();
    again.until_done().await;
    assert_eq!(again.target.seen(), ["a1", "a1"]);
    assert_eq!(again.parked().await, before);
}

#[tokio::test]
async fn a_retry_that_was_asked_for_outlives_a_restart() {
    let world = World::new().await;
    let first = both_parked(&world).await;
    world.target.hold(Some("a"));
    world.decide(&first, Command::Retry).await;
    world.until("it is tried again", async |w| w.target.held_up() == 1).await;
    world.until_done().await;
    let again = world.restarted().await;
    again.target.hold(None);
    again.start();
    again.until("both are told", async |w| w.target.seen() == ["a1", "a2"]).await;
    nothing_is_parked(&again).await;
}

/// What the term before this one wrote when it was already over.
async fn parked_late(world: &World, number: usize, attempts: u32) -> String {
    let commit = world.log.commits("order").remove(number - 1);
    let heard = Heard::of(&commit).unwrap().remove(0);
    let id = crate::derived_id(&["work", "tell", &heard.event_id.to_string()]).to_string();
    let parked = nexus_proto::work::v1::WorkParked {
        process: "tell".to_owned(),
        key: heard.aggregate.id.clone(),
        source: "order".to_owned(),
        position: heard.position.0,
        index: heard.index,
        event_id: heard.event_id.as_bytes().to_vec(),
        event_type: heard.event_type().to_owned(),
        cause: "the target was down".to_owned(),
        attempts,
    };
    world.decide(&id, Command::Park(parked)).await;
    id
}

#[tokio::test]
async fn what_waits_behind_nothing_is_tried_at_the_start() {
    let world = World::new().await;
    world.append("a").await;
    parked_late(&world, 1, 0).await;
    world.start();
    world.until("it is told", async |w| w.target.seen() == ["a1"]).await;
    nothing_is_parked(&world).await;
}

#[tokio::test]
async fn a_decision_about_work_that_another_term_parked_is_heard() {
    let world = World::new().await;
    world.append("a").await;
    world.append("b").await;
    world.start();
    world.until("both are told", async |w| w.target.seen().len() == 2).await;
    let retried = parked_late(&world, 1, 3).await;
    let skipped = parked_late(&world, 2, 3).await;
    world.until("both are parked", async |w| w.parked().await.len() == 2).await;
    world.decide(&retried, Command::Retry).await;
    world.decide(&skipped, Command::Skip { reason: "done by hand".to_owned() }).await;
    nothing_is_parked(&world).await;
    world.append("a").await;
    world.append("b").await;
    world.until("both keys are free", async |w| w.target.seen().len() == 5).await;
    let mut seen = world.target.seen();
    seen.sort();
    assert_eq!(seen, ["a1", "a1", "a2", "b1", "b2"]);
}

/// A log that is slow or away for what is written about parked work.
struct Faulty {
    log: MemoryLog,
    /// New work is not parked while it is true.
    held: watch::Receiver<bool>,
    /// So many retries are not written.
    lost_retries: AtomicU32,
}

#[async_trait]
impl EventLog for Faulty {
    async fn append(&self, append: Append) -> Result<Appended, AppendError> {
        let commit = Commit::decode(&append.bytes).unwrap();
        match commit.entries[0].events[0].1.event_type.as_str() {
            "work.Parked" if commit.number == 1 => {
                self.held.clone().wait_for(|held| !held).await.unwrap();
            }
            "work.Retried" => {
                let lose = |n: u32| n.checked_sub(1);
                let lost = self.lost_retries.fetch_update(Ordering::SeqCst, Ordering::SeqCst, lose);
                if lost.is_ok() {
                    return Err(AppendError::Unavailable("away".into()));
                }
            }
            _ => {}
        }
        self.log.append(append).await
    }
    async fn load(&self, id: &AggregateId, after: Version) -> Result<Vec<Stored>, LogError> {
        self.log.load(id, after).await
    }
    async fn tail(&self, service: &str, after: crate::Position) -> Result<Box<dyn Tail>, LogError> {
        self.log.tail(service, after).await
    }
    async fn head(&self, service: &str) -> Result<crate::Position, LogError> {
        self.log.head(service).await
    }
    fn durability(&self) -> Durability {
        self.log.durability()
    }
}

#[tokio::test]
async fn a_skip_while_the_next_one_is_being_parked_lets_it_through() {
    let (hold, held) = watch::channel(false);
    let world = World::over(|log| Arc::new(Faulty { log, held, lost_retries: 0.into() })).await;
    world.target.fail("a", 3);
    world.append("a").await;
    world.start();
    world.until("it is parked", async |w| w.parked().await.len() == 1).await;
    hold.send_replace(true);
    world.append("a").await;
    world.append("b").await;
    world.until("b is told", async |w| w.target.seen() == ["b1"]).await;
    let first = world.parked().await[0].id.clone();
    world.decide(&first, Command::Skip { reason: "done by hand".to_owned() }).await;
    nothing_is_parked(&world).await;
    world.append("c").await;
    // What comes after the skip was heard.
    world.until("c is told", async |w| w.target.seen() == ["b1", "c1"]).await;
    hold.send_replace(false);
    world.until("the second is told", async |w| w.target.seen() == ["b1", "c1", "a2"]).await;
    nothing_is_parked(&world).await;
}

#[tokio::test]
async fn a_retry_that_the_log_did_not_take_is_asked_for_again() {
    let (_hold, held) = watch::channel(false);
    let world = World::over(|log| Arc::new(Faulty { log, held, lost_retries: 2.into() })).await;
    let first = both_parked(&world).await;
    world.decide(&first, Command::Retry).await;
    world.until("both are told", async |w| w.target.seen() == ["a1", "a2"]).await;
    nothing_is_parked(&world).await;
}
