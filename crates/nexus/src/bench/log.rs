//! `nexus bench log`: the command handler over the embedded log, no RPC. Each aggregate is created
//! and gets one more command, then a new one follows.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use hdrhistogram::Histogram;
use nexus_es::{
    Actor, Aggregate, BadEvent, Cause, Decider, EventLog, Handler, Payload, clock, new_id,
};
use nexus_es_sqlite::SqliteStore;

use super::probe;
use super::report::{self, Report};

const LENGTH: Duration = Duration::from_secs(10);
/// Bytes of an event, about those of an order's.
const EVENT_BYTES: usize = 300;

#[derive(Default)]
struct Thing(u32);

struct Changed;

impl Decider for Thing {
    const CATEGORY: &'static str = "bench";
    type Command = ();
    type Event = Changed;
    type Refusal = ();

    fn decide(&self, (): &()) -> Result<Vec<Changed>, ()> {
        Ok(vec![Changed])
    }

    fn evolve(self, _: &Changed) -> Self {
        Self(self.0 + 1)
    }
}

impl Aggregate for Thing {
    const SERVICE: &'static str = "bench";

    fn encode(_: &Changed) -> Payload {
        let bytes = vec![0x5A; EVENT_BYTES];
        Payload { event_type: "bench.Changed".to_owned(), schema: 1, bytes }
    }

    fn decode(_: &Payload) -> Result<Changed, BadEvent> {
        Ok(Changed)
    }
}

fn cause() -> Cause {
    let now = clock::now_ms();
    Cause {
        occurred_at_ms: now,
        learned_at_ms: now,
        command_id: new_id(),
        request_hash: vec![0; 16],
        story: "bench".to_owned(),
        causation_id: None,
        actor: Actor::service("bench"),
        traceparent: String::new(),
    }
}

/// Runs with `in_flight` commands at once and prints the line.
pub(crate) async fn run(dir: &Path, in_flight: usize) -> anyhow::Result<Report> {
    let store = SqliteStore::open(dir).await?;
    let before = probe::measure(dir)?;
    let handler = Handler::<Thing>::new(store.log());
    let over = Arc::new(AtomicBool::new(false));
    let (commits, syncs) = store.log().written();
    let cpu = report::cpu_us();
    let began = Instant::now();
    let mut workers = tokio::task::JoinSet::new();
    for _ in 0..in_flight {
        workers.spawn(work(handler.clone(), Arc::clone(&over)));
    }
    tokio::time::sleep(LENGTH).await;
    over.store(true, Ordering::Relaxed);
    let mut latencies = Histogram::<u64>::new(3)?;
    while let Some(worked) = workers.join_next().await {
        latencies.add(worked??)?;
    }
    let elapsed = began.elapsed().as_secs_f64();
    let (commits, syncs) = {
        let (commits_now, syncs_now) = store.log().written();
        (commits_now - commits, syncs_now - syncs)
    };
    let durability = store.log().durability().name;
    store.close().await;
    let cpu_us_per_unit = (report::cpu_us() - cpu) / super::count(latencies.len().max(1));
    let after = probe::measure(dir)?;
    Ok(Report {
        workload: format!("log, {in_flight} in flight"),
        durability,
        before,
        after,
        rate_per_s: super::count(latencies.len()) / elapsed,
        latencies,
        lags: None,
        cpu_us_per_unit,
        commits_per_fsync: super::count(commits) / super::count(syncs.max(1)),
        void: None,
    })
}

async fn work(handler: Handler<Thing>, over: Arc<AtomicBool>) -> anyhow::Result<Histogram<u64>> {
    let mut latencies = Histogram::<u64>::new(3)?;
    while !over.load(Ordering::Relaxed) {
        let id = new_id().to_string();
        for _ in 0..2 {
            let began = Instant::now();
            handler.execute(&id, (), cause()).await?;
            latencies.record(u64::try_from(began.elapsed().as_micros())?)?;
        }
    }
    Ok(latencies)
}
