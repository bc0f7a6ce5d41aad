//! `nexus import`: CSV files into the running API, row by row, each row answered.
//! *Invariant:* a second run of the same file adds nothing, and says so.

mod countries;
mod expected;
mod figures;
mod orders;
mod progress;
mod report;
mod retail;
mod table;
mod tables;

use std::process::ExitCode;

use crate::cli::{ImportCommand, ReachArgs};
use crate::client::{Client, NotRunning};

/// Calls in flight at once.
const AT_ONCE: usize = 8;
/// What `nexus` ends with when there is no running Nexus to talk to.
const NOT_RUNNING: u8 = 2;

pub(crate) async fn run(command: ImportCommand) -> anyhow::Result<ExitCode> {
    match command {
        ImportCommand::Orders(args) => orders::run(&args).await,
        ImportCommand::Products(args) => table::run(&args, &tables::Products).await,
        ImportCommand::Bins(args) => table::run(&args, &tables::Bins).await,
        ImportCommand::Stock(args) => {
            let stock = tables::Stock::of(&args)?;
            table::run(&args.file, &stock).await
        }
    }
}

/// The running Nexus, or the exit code that says that there is none.
pub(crate) async fn reach(args: &ReachArgs) -> Result<Client, ExitCode> {
    Client::connect(args).await.map_err(|error: NotRunning| {
        eprintln!("nexus: {:#}", anyhow::Error::from(error));
        ExitCode::from(NOT_RUNNING)
    })
}

/// A name for an idempotency key: the same for the same content, whatever its length.
fn digest(parts: &[&str]) -> String {
    let mut context = aws_lc_rs::digest::Context::new(&aws_lc_rs::digest::SHA256);
    for part in parts {
        // The length first, so that no two lists of parts read alike.
        context.update(&part.len().to_be_bytes());
        context.update(part.as_bytes());
    }
    let mut text = hex::encode(context.finish());
    text.truncate(32);
    text
}
