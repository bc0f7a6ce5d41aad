//! W2: whole lives, from created to delivered, with simulated pickers and both sandboxes, all
//! services up and traces on.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use anyhow::Context;
use hdrhistogram::Histogram;
use nexus_es::{Heard, Position};
use nexus_proto::order::v1::OrderPartProgressed;
use prost::Message;
use tokio::sync::mpsc;
use tokio::time::Instant;

use super::ground::Ground;
use super::lag::Sampler;
use super::report::{self, Report};
use super::shop::Shop;

/// The sandboxes deliver within a second or two.
const SPEED: f64 = 60.0;
/// Raw publishes in flight beside it, where the log is on NATS.
const PROBED: usize = 64;
const PATIENCE: Duration = Duration::from_secs(120);

type Begun = Arc<Mutex<HashMap<String, Instant>>>;

/// Begins `rate` orders a second for `length`, and waits until all are delivered.
pub(crate) async fn run(ground: &Ground, rate: f64, length: Duration) -> anyhow::Result<Report> {
    let shop = Arc::new(Shop::open(ground, SPEED).await?);
    let before = ground.measure(PROBED).await?;
    let stored = ground.stored().await?;
    let (commits, syncs) = shop.system.written();
    let order = shop.system.running("order").context("no order service")?;
    let lags = Sampler::start(order, shop.system.log());
    let begun = Begun::default();
    let (delivered_sender, mut delivered) = mpsc::unbounded_channel();
    let watching =
        tokio::task::spawn(watch(Arc::clone(&shop), Arc::clone(&begun), delivered_sender));
    let (failed_sender, mut failures) = mpsc::unbounded_channel();
    let cpu = report::cpu_us();
    let began = Instant::now();
    let lives = begin_all(&shop, &begun, rate, length, failed_sender).await;
    let mut latencies = Histogram::<u64>::new(3)?;
    let mut failed = Vec::new();
    let mut last = began.elapsed();
    let deadline = Instant::now() + PATIENCE;
    while latencies.len() + u64::try_from(failed.len())? < u64::from(lives) {
        tokio::select! {
            Some(took) = delivered.recv() => {
                latencies.record(took)?;
                last = began.elapsed();
            }
            Some(why) = failures.recv() => failed.push(why),
            () = tokio::time::sleep_until(deadline) => break,
        }
    }
    watching.abort();
    drop(watching.await);
    let lags = lags.finish().await?;
    let (commits_now, syncs_now) = shop.system.written();
    let cpu_us_per_unit = (report::cpu_us() - cpu) / super::count(latencies.len().max(1));
    let stored = ground.stored().await? - stored;
    let after = ground.measure(PROBED).await?;
    let missing = u64::from(lives) - latencies.len();
    let void = (missing > 0).then(|| {
        let first = failed.first().map(|why| format!(", first failure: {why}")).unwrap_or_default();
        format!("{missing} of {lives} orders were not delivered{first}")
    });
    let report = Report {
        workload: format!("life (W2), {rate:.0} orders/s offered for {} s", length.as_secs()),
        durability: shop.system.durability.clone(),
        yardstick: ground.yardstick(PROBED),
        before,
        after,
        rate_per_s: super::count(latencies.len()) / last.as_secs_f64(),
        latencies,
        lags: Some(lags),
        cpu_us_per_unit,
        commits_per_s: Some(super::count(commits_now - commits) / last.as_secs_f64()),
        commits_per_fsync: ground.commits_per_fsync(
            &shop.system.durability,
            commits_now - commits,
            syncs_now - syncs,
            stored,
        ),
        more: Vec::new(),
        void,
    };
    if let Some(shop) = Arc::into_inner(shop) {
        shop.system.stop().await;
    }
    Ok(report)
}

/// Begins a life at each intended start; answers how many.
async fn begin_all(
    shop: &Arc<Shop>,
    begun: &Begun,
    rate: f64,
    length: Duration,
    failed: mpsc::UnboundedSender<String>,
) -> u32 {
    let began = Instant::now();
    let mut lives = 0_u32;
    loop {
        let intended = began + Duration::from_secs_f64(f64::from(lives) / rate);
        if intended - began >= length {
            return lives;
        }
        tokio::time::sleep_until(intended).await;
        lives += 1;
        let (shop, begun, failed) = (Arc::clone(shop), Arc::clone(begun), failed.clone());
        drop(tokio::task::spawn(async move {
            if let Err(error) = live(&shop, &begun, intended).await {
                drop(failed.send(format!("{error:#}")));
            }
        }));
    }
}

async fn live(shop: &Shop, begun: &Begun, intended: Instant) -> anyhow::Result<()> {
    let order_id = shop.create().await?;
    begun.lock().unwrap_or_else(PoisonError::into_inner).insert(order_id.clone(), intended);
    shop.confirm(&order_id).await?;
    shop.dispatch(&order_id).await.map(drop)
}

/// Follows the order log for deliveries; tells how long each life took, in microseconds.
async fn watch(
    shop: Arc<Shop>,
    begun: Begun,
    delivered: mpsc::UnboundedSender<u64>,
) -> anyhow::Result<()> {
    let mut tail = shop.system.log().tail("order", Position::START).await?;
    loop {
        for commit in tail.next(256).await? {
            for heard in Heard::of(&commit)? {
                if heard.event_type() != "order.PartProgressed" {
                    continue;
                }
                let progressed = OrderPartProgressed::decode(heard.payload.bytes.as_slice())?;
                if progressed.stage != "delivered" {
                    continue;
                }
                let mut begun = begun.lock().unwrap_or_else(PoisonError::into_inner);
                if let Some(intended) = begun.remove(&heard.aggregate.id) {
                    delivered.send(u64::try_from(intended.elapsed().as_micros())?)?;
                }
            }
        }
    }
}
