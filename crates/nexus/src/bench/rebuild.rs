//! W5: the views of the order service, built anew from logs that real commands filled.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context, ensure};
use nexus_es::{EventLog, Heard, Position};
use serde_json::json;

use super::ground::Ground;
use super::report::{Row, Sheet, drifted, resident_mib};
use super::shop::Shop;

const SERVICE: &str = "order";
/// Orders at once while the logs are filled.
const FILLING: usize = 48;
const BATCH: usize = 256;
const PATIENCE: Duration = Duration::from_secs(60);
/// A log that grows slower than that, events a second, is not worth waiting for.
const SLOWEST: u64 = 200;

/// Fills the log of the order service with `events` events, and builds its views anew.
pub(crate) async fn run(ground: &Ground, events: u64) -> anyhow::Result<Sheet> {
    let shop = Arc::new(Shop::open(ground, 1.0).await?);
    let filling = Duration::from_secs(events / SLOWEST + 30);
    tokio::time::timeout(filling, fill(&shop, events))
        .await
        .context("filling takes too long")??;
    let views = shop.system.running(SERVICE).context("no order service")?.views;
    let log = shop.system.log();
    settle(&views).await?;
    let before = views.content_hash().await?;
    let (heard, raw_before) = read(&*log, &views.positions()).await?;
    let began = Instant::now();
    views.rebuild().await?;
    let took = began.elapsed();
    let (_, raw_after) = read(&*log, &views.positions()).await?;
    let after = views.content_hash().await?;
    let durability = shop.system.durability.clone();
    if let Some(shop) = Arc::into_inner(shop) {
        shop.system.stop().await;
    }
    let rate = super::count(heard) / took.as_secs_f64();
    let ratio = rate / f64::midpoint(raw_before, raw_after);
    let same = before == after;
    let rows = vec![
        Row::new(
            "rate_per_s",
            "rate",
            format!("{rate:.0} events/s = {ratio:.2} x raw"),
            json!(rate),
        ),
        Row::silent("ratio", json!(ratio)),
        Row::new(
            "probe_per_s",
            "read and decode",
            format!("before {raw_before:.0} events/s, after {raw_after:.0} events/s"),
            json!({"before": raw_before, "after": raw_after}),
        ),
        Row::new("took_ms", "took", format!("{took:.1?}"), json!(took.as_millis())),
        Row::new("same_hash", "same rows", same.to_string(), json!(same)),
        Row::new(
            "rss_mib",
            "resident",
            format!("{:.0} MiB", resident_mib()),
            json!(resident_mib()),
        ),
    ];
    let void = (!same).then(|| format!("the rows are others: {before} became {after}"));
    Ok(Sheet {
        workload: format!("rebuild (W5) of the views of {SERVICE}, {heard} events"),
        durability,
        rows,
        void: void.or_else(|| drifted(raw_before, raw_after)),
    })
}

/// Creates and confirms orders until the log of the order service holds `events` events.
async fn fill(shop: &Arc<Shop>, events: u64) -> anyhow::Result<()> {
    let over = Arc::new(AtomicBool::new(false));
    let mut workers = tokio::task::JoinSet::new();
    for _ in 0..FILLING {
        let (shop, over) = (Arc::clone(shop), Arc::clone(&over));
        workers.spawn(async move {
            while !over.load(Ordering::Relaxed) {
                let order_id = shop.create().await?;
                shop.confirm(&order_id).await?;
            }
            anyhow::Ok(())
        });
    }
    let mut tail = shop.system.log().tail(SERVICE, Position::START).await?;
    let mut heard = 0;
    while heard < events {
        tokio::select! {
            Some(worked) = workers.join_next() => worked??,
            commits = tail.next(BATCH) => heard += count(&commits?)?,
        }
    }
    over.store(true, Ordering::Relaxed);
    while let Some(worked) = workers.join_next().await {
        worked??;
    }
    Ok(())
}

fn count(commits: &[nexus_es::Stored]) -> anyhow::Result<u64> {
    let mut events = 0;
    for commit in commits {
        events += u64::try_from(Heard::of(commit)?.len())?;
    }
    Ok(events)
}

/// Waits until the views have read all there is, and nothing more comes.
async fn settle(views: &nexus_es::views::Views) -> anyhow::Result<()> {
    let deadline = Instant::now() + PATIENCE;
    let mut before = views.positions();
    loop {
        tokio::time::sleep(Duration::from_secs(1)).await;
        let now = views.positions();
        if now == before && views.caught_up().await? {
            return Ok(());
        }
        ensure!(Instant::now() < deadline, "the views do not come to rest");
        before = now;
    }
}

/// Reads and decodes what the views read, and does nothing with it: events, and events a second.
async fn read(log: &dyn EventLog, until: &nexus_es::Positions) -> anyhow::Result<(u64, f64)> {
    let began = Instant::now();
    let mut heard = 0;
    for (service, until) in &until.0 {
        let mut tail = log.tail(service, Position::START).await?;
        let mut at = Position::START;
        while at < *until {
            let commits = tail.next(BATCH).await?;
            at = commits.last().map_or(at, |commit| commit.position);
            heard += count(&commits)?;
        }
    }
    Ok((heard, super::count(heard) / began.elapsed().as_secs_f64()))
}
