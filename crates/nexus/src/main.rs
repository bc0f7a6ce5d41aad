//! The one binary: all of Nexus in one process, and the tools around it.
#![expect(clippy::print_stdout, clippy::print_stderr, reason = "this is the command line")]

mod ask_health;
mod backend;
mod bench;
mod certs;
mod cli;
mod client;
mod config;
mod demo;
mod endpoints;
mod events;
mod first_start;
mod health;
mod import;
mod init;
mod nkeys;
mod node;
mod parked;
mod rebuild;
mod roles;
mod root;
mod serve;
mod standing;
mod system;
mod up;
mod verify;

use std::process::ExitCode;

use clap::Parser;
use mimalloc::MiMalloc;

/// An order's life costs a sixth less processor time than with the system's own: memory goes back
/// and forth between the threads of the runtime and those of the database driver. It asks for no
/// huge pages: of those an idle process would keep 50 MiB that it does not use.
#[global_allocator]
static MEMORY: MiMalloc = MiMalloc;

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
        cli::Command::Serve(args) => serve::run(args).await,
        cli::Command::Config(args) => {
            config::show(args.config.as_deref(), args.role.0).map(|()| ExitCode::SUCCESS)
        }
        cli::Command::Init(args) => init::run(args).await,
        cli::Command::Certs(args) => certs::run(&args).map(|()| ExitCode::SUCCESS),
        cli::Command::Nkeys(args) => nkeys::run(&args.dir).map(|()| ExitCode::SUCCESS),
        cli::Command::Health => ask_health::run().await,
        cli::Command::Bench(args) => bench::run(args).await,
        cli::Command::Demo(args) => demo::run(args, verify::is_green).await,
        cli::Command::Import(command) => import::run(command).await,
        cli::Command::Parked(args) => parked::run(args).await,
        cli::Command::Rebuild(args) => rebuild::run(args).await,
        cli::Command::Verify(args) => verify::run(&args).await,
        cli::Command::Events(args) => events::run(args).await,
    }
}
