//! W1: create and confirm, open loop. Latency counts from the intended start; a step is held when
//! nothing failed or was dropped and p99 stays within the limit.

use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use hdrhistogram::Histogram;
use tokio::sync::{Semaphore, mpsc};
use tokio::time::Instant;

use super::ground::Ground;
use super::lag::Sampler;
use super::report::{self, Report};
use super::shop::Shop;

const P99_LIMIT_US: u64 = 50_000;
/// Raw publishes in flight beside it, where the log is on NATS.
const PROBED: usize = 64;
const STEP: f64 = 1.4;
/// Orders at once; one that finds no place is dropped, and counted.
const MAX_OPEN: usize = 2_000;

/// Runs the ladder, printing a line a step; the last one held is what it sustains.
pub(crate) async fn run(
    ground: &Ground,
    from: f64,
    length: Duration,
    single: bool,
    json: bool,
) -> anyhow::Result<()> {
    let shop = Arc::new(Shop::open(ground, 1.0).await?);
    let mut rate = from;
    loop {
        let held = step(ground, &shop, rate, length, json).await?;
        if single || !held {
            break;
        }
        rate *= STEP;
    }
    if let Some(shop) = Arc::into_inner(shop) {
        shop.system.stop().await;
    }
    Ok(())
}

async fn step(
    ground: &Ground,
    shop: &Arc<Shop>,
    rate: f64,
    length: Duration,
    json: bool,
) -> anyhow::Result<bool> {
    let before = ground.measure(PROBED).await?;
    let stored = ground.stored().await?;
    let (commits, syncs) = shop.system.written();
    let order = shop.system.running("order").context("no order service")?;
    let sampler = Sampler::start(order, shop.system.log());
    let (sender, mut done) = mpsc::unbounded_channel();
    let cpu = report::cpu_us();
    let began = Instant::now();
    let dropped = begin_all(shop, rate, length, sender).await;
    let mut latencies = Histogram::<u64>::new(3)?;
    let mut failed = 0_u32;
    let mut last_error = None;
    while let Some(ran) = done.recv().await {
        match ran {
            Ok(both) => both.into_iter().try_for_each(|us| latencies.record(us))?,
            Err(error) => {
                failed += 1;
                last_error = Some(error);
            }
        }
    }
    let elapsed = began.elapsed().as_secs_f64();
    let lags = sampler.finish().await?;
    let (commits_now, syncs_now) = shop.system.written();
    let cpu_us_per_unit = (report::cpu_us() - cpu) / super::count(latencies.len().max(1));
    let stored = ground.stored().await? - stored;
    let after = ground.measure(PROBED).await?;
    let p99 = latencies.value_at_quantile(0.99);
    let held = failed == 0 && dropped == 0 && p99 <= P99_LIMIT_US;
    let void = (failed + dropped > 0).then(|| {
        let error = last_error.map(|error| format!(": {error:#}")).unwrap_or_default();
        format!("{dropped} dropped, {failed} failed{error}")
    });
    let report = Report {
        workload: format!("append (W1), {rate:.0} orders/s offered, held: {held}"),
        durability: shop.system.durability.clone(),
        yardstick: ground.yardstick(PROBED),
        before,
        after,
        rate_per_s: super::count(latencies.len()) / elapsed,
        latencies,
        lags: Some(lags),
        cpu_us_per_unit,
        commits_per_s: Some(super::count(commits_now - commits) / elapsed),
        commits_per_fsync: ground.commits_per_fsync(
            &shop.system.durability,
            commits_now - commits,
            syncs_now - syncs,
            stored,
        ),
        more: Vec::new(),
        void,
    };
    report.print(json);
    Ok(held)
}

/// What became of one order: both latencies, in microseconds.
type Ran = anyhow::Result<[u64; 2]>;

/// Begins an order at each intended start; answers how many found no place.
async fn begin_all(
    shop: &Arc<Shop>,
    rate: f64,
    length: Duration,
    done: mpsc::UnboundedSender<Ran>,
) -> u32 {
    let places = Arc::new(Semaphore::new(MAX_OPEN));
    let began = Instant::now();
    let (mut begun, mut dropped) = (0_u32, 0_u32);
    loop {
        let intended = began + Duration::from_secs_f64(f64::from(begun) / rate);
        if intended - began >= length {
            return dropped;
        }
        tokio::time::sleep_until(intended).await;
        begun += 1;
        let Ok(place) = Arc::clone(&places).try_acquire_owned() else {
            dropped += 1;
            continue;
        };
        let (shop, done) = (Arc::clone(shop), done.clone());
        drop(tokio::task::spawn(async move {
            let ran = one(&shop, intended).await;
            drop(place);
            drop(done.send(ran));
        }));
    }
}

/// Creates and confirms one order; the latency of each, in microseconds. The confirm is meant to
/// start when the create should have been answered.
async fn one(shop: &Shop, intended: Instant) -> anyhow::Result<[u64; 2]> {
    let order_id = shop.create().await?;
    let created = u64::try_from(intended.elapsed().as_micros())?;
    let second = Instant::now();
    shop.confirm(&order_id).await?;
    Ok([created, u64::try_from(second.elapsed().as_micros())?])
}
