//! `nexus bench`: how fast it is, as ratios to a raw probe of the same disk in the same minute.
//! Benchmarks are commands, never timed tests.
#![expect(clippy::disallowed_methods, reason = "a run's tasks end with the run")]

mod append;
mod lag;
mod life;
mod log;
mod probe;
mod report;
mod shop;

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use clap::{Args, Subcommand};

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
}

#[derive(Subcommand)]
enum Workload {
    /// The command handler over the embedded log, no RPC.
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
}

pub(crate) async fn run(args: BenchArgs) -> anyhow::Result<ExitCode> {
    let scratch = Scratch::new(&args.dir)?;
    let dir = scratch.0.as_path();
    match args.workload {
        Workload::Log { in_flight } => log::run(dir, in_flight.max(1)).await?.print(args.json),
        Workload::Append { from, seconds, single } => {
            let length = Duration::from_secs(seconds.max(1));
            append::run(dir, from, length, single, args.json).await?;
        }
        Workload::Life { rate, seconds } => {
            let length = Duration::from_secs(seconds.max(1));
            life::run(dir, rate, length).await?.print(args.json);
        }
    }
    Ok(ExitCode::SUCCESS)
}

/// A directory that is gone when the run is over.
struct Scratch(PathBuf);

impl Scratch {
    fn new(inside: &std::path::Path) -> anyhow::Result<Self> {
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
