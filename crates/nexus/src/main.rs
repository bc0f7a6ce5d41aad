//! The one binary: all of Nexus in one process, and the tools around it.
#![expect(clippy::print_stdout, clippy::print_stderr, reason = "this is the command line")]

mod bench;
mod cli;
mod client;
mod demo;
mod events;
mod import;
mod parked;
mod rebuild;
mod system;
mod up;
mod verify;

use std::process::ExitCode;

use clap::Parser;

fn main() -> ExitCode {
    let command = cli::Cli::parse().command;
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build();
    let ran = match runtime {
        Ok(runtime) => runtime.block_on(run(command)),
        Err(error) => Err(anyhow::Error::from(error).context("cannot start the async runtime")),
    };
    match ran {
        Ok(code) => code,
        Err(error) => {
            eprintln!("nexus: {error:#}");
            ExitCode::FAILURE
        }
    }
}

async fn run(command: cli::Command) -> anyhow::Result<ExitCode> {
    match command {
        cli::Command::Up(args) => up::run(args).await,
        cli::Command::Bench(args) => bench::run(args).await,
        cli::Command::Demo(args) => {
            demo::run(args, async |data| Ok(verify::report(data).await?.is_green())).await
        }
        cli::Command::Import(command) => import::run(command).await,
        cli::Command::Parked(args) => parked::run(args).await,
        cli::Command::Rebuild(args) => rebuild::run(args).await,
        cli::Command::Verify(args) => verify::run(args).await,
        cli::Command::Events(args) => events::run(args).await,
    }
}
