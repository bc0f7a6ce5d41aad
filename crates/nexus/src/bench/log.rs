//! `nexus bench log`: the command handler over the log, no RPC. Each aggregate is created and gets
//! one more command, then a new one follows.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use bytes::Bytes;
use hdrhistogram::Histogram;
use nexus_es::commit::{Commit, Entry};
use nexus_es::{
    Actor, Aggregate, AggregateId, BadEvent, Cause, Decider, EventLog, Handler, Payload, clock,
    new_id,
};
use nexus_es_jetstream::JetStreamLog;
use nexus_es_sqlite::SqliteStore;
use serde_json::json;

use super::ground::{Ground, SERVICE};
use super::raw::{self, How};
use super::report::{self, Report, Row};

const LENGTH: Duration = Duration::from_secs(10);
/// Bytes of an event, about those of an order's.
const EVENT_BYTES: usize = 300;
pub(crate) const CATEGORY: &str = "bench";

#[derive(Default)]
struct Thing(u32);

struct Changed;

impl Decider for Thing {
    const CATEGORY: &'static str = CATEGORY;
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
    const SERVICE: &'static str = SERVICE;

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

/// A commit as the handler makes it.
pub(crate) fn commit_bytes() -> anyhow::Result<Bytes> {
    let events = vec![(new_id(), Thing::encode(&Changed))];
    let commit = Commit {
        commit_id: new_id(),
        aggregate: AggregateId::new(SERVICE, CATEGORY, &new_id().to_string())?,
        number: 2,
        previous_sha256: vec![0; 32],
        entries: vec![Entry { cause: cause(), events }],
    };
    Ok(commit.encode())
}

/// The log that is measured.
enum Log {
    Sqlite(SqliteStore),
    JetStream(Arc<JetStreamLog>),
}

impl Log {
    async fn open(ground: &Ground) -> anyhow::Result<Self> {
        Ok(match ground.options()? {
            None => Self::Sqlite(SqliteStore::open(&ground.dir).await?),
            Some(options) => Self::JetStream(Arc::new(JetStreamLog::connect(options).await?)),
        })
    }

    fn port(&self) -> Arc<dyn EventLog> {
        match self {
            Self::Sqlite(store) => store.log(),
            Self::JetStream(log) => log.clone(),
        }
    }

    /// Commits, and syncs of this process.
    fn written(&self) -> (u64, u64) {
        match self {
            Self::Sqlite(store) => store.log().written(),
            Self::JetStream(log) => (log.written(), 0),
        }
    }

    async fn close(&self) {
        match self {
            Self::Sqlite(store) => store.close().await,
            Self::JetStream(log) => log.close().await,
        }
    }
}

/// Runs with `in_flight` commands at once.
pub(crate) async fn run(ground: &Ground, in_flight: usize) -> anyhow::Result<Report> {
    let log = Log::open(ground).await?;
    let before = ground.measure(in_flight).await?;
    let handler = Handler::<Thing>::new(log.port());
    let over = Arc::new(AtomicBool::new(false));
    let stored = ground.stored().await?;
    let (commits, syncs) = log.written();
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
    let cpu_us_per_unit = (report::cpu_us() - cpu) / super::count(latencies.len().max(1));
    let (commits, syncs) = {
        let (commits_now, syncs_now) = log.written();
        (commits_now - commits, syncs_now - syncs)
    };
    let stored = ground.stored().await? - stored;
    let durability = log.port().durability().name;
    log.close().await;
    let after = ground.measure(in_flight).await?;
    let rate_per_s = super::count(latencies.len()) / elapsed;
    Ok(Report {
        workload: format!("log, {in_flight} in flight"),
        commits_per_fsync: ground.commits_per_fsync(&durability, commits, syncs, stored),
        durability,
        yardstick: ground.yardstick(in_flight),
        before,
        after,
        rate_per_s,
        commits_per_s: None,
        latencies,
        lags: None,
        cpu_us_per_unit,
        more: guarded(ground, in_flight, rate_per_s).await?,
        void: None,
    })
}

/// The same beside raw publishes that come closer and closer to an append: what is left is ours.
async fn guarded(ground: &Ground, in_flight: usize, rate: f64) -> anyhow::Result<Vec<Row>> {
    let Some(jetstream) = ground.jetstream() else { return Ok(Vec::new()) };
    let closer = [
        (How::Guarded, "raw_guarded_per_s", "raw with guard"),
        (How::Named, "raw_named_per_s", "  with id too"),
        (How::AsTheLog, "raw_as_the_log_per_s", "  in such a stream"),
    ];
    let mut rows = Vec::new();
    for (how, key, label) in closer {
        let raw = raw::publish(jetstream, in_flight, how).await?.per_second;
        let text = format!("{raw:.0} /s; the log is {:.2} x that", rate / raw);
        rows.push(Row::new(key, label, text, json!(raw)));
    }
    Ok(rows)
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
