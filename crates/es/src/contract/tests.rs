//! The adapters in memory keep every promise.

use super::fakes::{
    LogFault, broken_blobs, broken_checkpoints, broken_key_store, broken_leases, broken_log,
    broken_timers, careless_timers,
};
use super::*;
use crate::memory::{
    MemoryBlobs, MemoryCheckpoints, MemoryKeyStore, MemoryLeases, MemoryLog, MemoryTimers,
};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_log_in_memory_keeps_every_promise() {
    let make = async || Rig::<dyn EventLog>::without_store(Arc::new(MemoryLog::default()));
    assert_eq!(event_log(make).await, []);
}

#[tokio::test]
async fn leases_in_memory_keep_every_promise() {
    let make = async || Rig::<dyn Leases>::without_store(Arc::new(MemoryLeases::default()));
    assert_eq!(leases(make).await, []);
}

#[tokio::test]
async fn checkpoints_in_memory_keep_every_promise() {
    let make =
        async || Rig::<dyn Checkpoints>::without_store(Arc::new(MemoryCheckpoints::default()));
    assert_eq!(checkpoints(make).await, []);
}

#[tokio::test]
async fn timers_in_memory_keep_every_promise() {
    let make = async || Rig::<dyn Timers>::without_store(Arc::new(MemoryTimers::default()));
    assert_eq!(timers(make).await, []);
}

#[tokio::test]
async fn the_key_store_in_memory_keeps_every_promise() {
    let make = async || Rig::<dyn KeyStore>::without_store(Arc::new(MemoryKeyStore::default()));
    assert_eq!(key_store(make).await, []);
}

#[tokio::test]
async fn blobs_in_memory_keep_every_promise() {
    let make = async || Rig::<dyn Blobs>::without_store(Arc::new(MemoryBlobs::default()));
    assert_eq!(blobs(make).await, []);
}

/// The promises that the suite finds broken.
fn names(broken: &[Broken]) -> Vec<&str> {
    broken.iter().map(|broken| broken.promise).collect()
}

async fn caught(fault: LogFault) -> Vec<Broken> {
    event_log(async || broken_log(fault)).await
}

/// Each fault, and the promise under which it must be caught.
const FAULTS: [(LogFault, &str); 19] = [
    (LogFault::LosesTheLastCommit, "an acknowledged commit is there after a reopen"),
    (LogFault::LetsTwoWritersWin, "of concurrent writers on one version one wins"),
    (LogFault::StoresConflicts, "a conflict stores nothing"),
    (LogFault::IgnoresTheVersion, "a version that the aggregate is not at conflicts"),
    (LogFault::ForgetsResends, "an identical commit answers its place and is stored once"),
    (LogFault::StoresResendsTwice, "an unknown answer is settled by resending"),
    (LogFault::TakesTooMuch, "a commit over the limit is refused, one at the limit is not"),
    (LogFault::TakesTooLittle, "a commit over the limit is refused, one at the limit is not"),
    (LogFault::TearsCommits, "commits come back byte for byte"),
    (LogFault::LoadsOneTooMany, "load answers exactly what is after a version"),
    (LogFault::VersionsShrink, "versions grow"),
    (LogFault::SkipsAPosition, "positions grow, and a tail meets every commit once, in order"),
    (LogFault::Reorders, "positions grow, and a tail meets every commit once, in order"),
    (LogFault::StartsAtTheBeginning, "a tail starts right after any position"),
    (LogFault::NeverWakes, "a tail waits for news and wakes"),
    (LogFault::MovesOnTooEarly, "a dropped wait loses nothing"),
    (LogFault::MixesServices, "the logs of two services are separate"),
    (LogFault::HeadLagsBehind, "the head is the last position"),
    (LogFault::FoldsCase, "ids may hold every allowed character"),
];

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_broken_log_is_caught_under_the_promise_it_breaks() {
    let all = FAULTS.map(|(fault, promise)| async move { (fault, promise, caught(fault).await) });
    for (fault, promise, broken) in futures::future::join_all(all).await {
        assert!(names(&broken).contains(&promise), "{fault:?} was caught as {broken:?}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_other_broken_port_is_caught_under_the_promise_it_breaks() {
    let broken = leases(async || broken_leases()).await;
    assert!(names(&broken).contains(&"one owner has a name at a time"), "{broken:?}");
    let broken = checkpoints(async || broken_checkpoints()).await;
    assert_eq!(names(&broken), ["the last saved position is loaded"]);
    let broken = timers(async || broken_timers()).await;
    assert!(names(&broken).contains(&"a timer stays due until it is cancelled or replaced"));
    let broken = timers(async || careless_timers()).await;
    assert_eq!(names(&broken), ["a timer that was set anew is not settled"]);
    let broken = key_store(async || broken_key_store()).await;
    assert_eq!(names(&broken), ["a deleted key gets no successor"]);
    let broken = blobs(async || broken_blobs()).await;
    assert_eq!(names(&broken), ["a blob comes back byte for byte"]);
}
