//! `nexus bench`: how fast it is, as ratios to a raw probe of the same disk, or of the same NATS
//! server, in the same minute. Benchmarks are commands, never timed tests.
#![expect(clippy::disallowed_methods, reason = "a run's tasks end with the run")]

mod append;
mod ground;
mod lag;
mod life;
mod log;
mod probe;
mod raw;
mod rebuild;
mod report;
mod server;
mod shop;
mod stock;
mod tail;
mod webhooks;

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use anyhow::bail;
use clap::{Args, Subcommand};
use tokio::signal::unix::{SignalKind, signal};

use ground::Ground;
use server::Sync;

#[derive(Args)]
pub(crate) struct BenchArgs {
    #[command(subcommand)]
    workload: Workload,
    /// One JSON object a line.
    #[arg(long, global = true)]
    json: bool,
    /// Directory to work in, on the disk that is measured; a new one inside it is used and removed.
    #[arg(long, global = true, default_value = ".")]
    dir: PathBuf,
    /// Keep the log on this server, nats://HOST:PORT, which keeps no Nexus yet; NEXUS_NATS_… says
    /// how it is reached.
    #[arg(long, global = true, conflicts_with = "nats_server")]
    nats: Option<String>,
    /// Keep the log on a server of the run's own: the nats-server program.
    #[arg(long, global = true)]
    nats_server: Option<PathBuf>,
    /// When that server syncs.
    #[arg(long, global = true, value_enum, default_value = "always")]
    sync: Sync,
}

#[derive(Subcommand)]
enum Workload {
    /// The command handler over the log, no RPC.
    Log {
        /// Commands at once.
        #[arg(long, default_value_t = 64)]
        in_flight: usize,
    },
    /// W1: create and confirm over gRPC, open loop, in steps of a growing rate.
    Append {
        /// Orders a second in the first step.
        #[arg(long, default_value_t = 200.0)]
        from: f64,
        /// Seconds a step.
        #[arg(long, default_value_t = 30)]
        seconds: u64,
        /// Stay at the first rate.
        #[arg(long)]
        single: bool,
    },
    /// W2: whole lives, created to delivered, with simulated pickers.
    Life {
        /// Orders a second that are begun.
        #[arg(long, default_value_t = 100.0)]
        rate: f64,
        /// Seconds in which orders are begun.
        #[arg(long, default_value_t = 30)]
        seconds: u64,
    },
    /// W3: a storm of courier updates, shuffled, with duplicates, late and forged ones.
    Webhooks {
        /// Shipments, of each five updates.
        #[arg(long, default_value_t = 1_000)]
        shipments: u32,
        /// Posts a second.
        #[arg(long, default_value_t = 500.0)]
        rate: f64,
    },
    /// W4: a rush for one SKU, then for all of one warehouse.
    Stock {
        /// Buyers in each of the two.
        #[arg(long, default_value_t = 10_000)]
        buyers: u64,
        /// Units of the one SKU.
        #[arg(long, default_value_t = 1_000)]
        units: u32,
        /// Buyers at once.
        #[arg(long, default_value_t = 64)]
        in_flight: usize,
    },
    /// W5: the views of the order service, built anew.
    Rebuild {
        /// Events in its log before.
        #[arg(long, default_value_t = 100_000)]
        events: u64,
    },
    /// Following a log, beside a raw ordered push consumer; on NATS only.
    Tail {
        /// Commits to read.
        #[arg(long, default_value_t = 100_000)]
        commits: u64,
    },
}

pub(crate) async fn run(args: BenchArgs) -> anyhow::Result<ExitCode> {
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    let scratch = Scratch::new(&args.dir)?;
    // Dropping the run ends its server too.
    tokio::select! {
        measured = measure(&args, &scratch.0) => measured?,
        _ = terminate.recv() => bail!("the run was ended"),
        _ = interrupt.recv() => bail!("the run was ended"),
    }
    Ok(ExitCode::SUCCESS)
}

async fn measure(args: &BenchArgs, dir: &Path) -> anyhow::Result<()> {
    let ground = match (&args.nats, &args.nats_server) {
        (Some(url), _) => Ground::server(url, dir).await?,
        (None, Some(program)) => Ground::own_server(program, dir, args.sync).await?,
        (None, None) => Ground::embedded(dir),
    };
    let measured = workload(args, &ground).await;
    ground.leave().await?;
    measured
}

async fn workload(args: &BenchArgs, ground: &Ground) -> anyhow::Result<()> {
    let length = |seconds: u64| Duration::from_secs(seconds.max(1));
    match args.workload {
        Workload::Log { in_flight } => log::run(ground, in_flight.max(1)).await?.print(args.json),
        Workload::Append { from, seconds, single } => {
            append::run(ground, from, length(seconds), single, args.json).await?;
        }
        Workload::Life { rate, seconds } => {
            life::run(ground, rate, length(seconds)).await?.print(args.json);
        }
        Workload::Webhooks { shipments, rate } => {
            webhooks::run(ground, shipments.max(1), rate).await?.print(args.json);
        }
        Workload::Stock { buyers, units, in_flight } => {
            stock::run(ground, buyers, units, in_flight.max(1)).await?.print(args.json);
        }
        Workload::Rebuild { events } => rebuild::run(ground, events).await?.print(args.json),
        Workload::Tail { commits } => tail::run(ground, commits.max(2)).await?.print(args.json),
    }
    Ok(())
}

/// A directory that is gone when the run is over.
struct Scratch(PathBuf);

impl Scratch {
    fn new(inside: &Path) -> anyhow::Result<Self> {
        let dir = inside.join(format!("nexus-bench-{}", nexus_es::new_id()));
        std::fs::create_dir_all(&dir)?;
        Ok(Self(dir))
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        if let Err(error) = std::fs::remove_dir_all(&self.0) {
            eprintln!("cannot remove {}: {error}", self.0.display());
        }
    }
}

/// A count as a number to divide.
#[expect(clippy::as_conversions, reason = "counts of one run are far below 2^52")]
pub(crate) fn count(n: u64) -> f64 {
    n as f64
}
