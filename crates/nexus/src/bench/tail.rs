//! `nexus bench tail`: following a service's log from its beginning, beside an ordered push
//! consumer on the same stream.

use std::time::Instant;

use anyhow::Context;
use nexus_es::{EventLog, Position};
use nexus_es_jetstream::JetStreamLog;
use serde_json::json;

use super::ground::{Ground, SERVICE};
use super::raw;
use super::report::{Row, Sheet, drifted};

const BATCH: usize = 256;

/// Reads `commits` raw, as a follower, and raw again.
pub(crate) async fn run(ground: &Ground, commits: u64) -> anyhow::Result<Sheet> {
    let (jetstream, options) = ground
        .jetstream()
        .zip(ground.options()?)
        .context("a tail is measured against NATS: give --nats or --nats-server")?;
    let log = JetStreamLog::connect(options).await?;
    raw::fill(jetstream, SERVICE, commits).await.context("cannot fill the log")?;
    let stream = SERVICE.to_uppercase();
    let before = raw::read(jetstream, &stream, commits).await?;
    let followed = follow(&log, commits).await?;
    let after = raw::read(jetstream, &stream, commits).await?;
    let durability = log.durability().name;
    log.close().await;
    let raw = f64::midpoint(before, after);
    let ratio = followed / raw;
    let rows = vec![
        Row::new(
            "rate_per_s",
            "rate",
            format!("{followed:.0} /s = {ratio:.2} x raw"),
            json!(followed),
        ),
        Row::new(
            "probe_per_s",
            "raw before, after",
            format!("{before:.0} /s, {after:.0} /s"),
            json!({"before": before, "after": after}),
        ),
        Row::silent("ratio", json!(ratio)),
    ];
    let void = drifted(before, after);
    Ok(Sheet { workload: format!("tail, {commits} commits"), durability, rows, void })
}

async fn follow(log: &JetStreamLog, commits: u64) -> anyhow::Result<f64> {
    let began = Instant::now();
    let mut tail = log.tail(SERVICE, Position::START).await?;
    let mut read = 0;
    while read < commits {
        read += u64::try_from(tail.next(BATCH).await?.len())?;
    }
    Ok(super::count(read) / began.elapsed().as_secs_f64())
}
