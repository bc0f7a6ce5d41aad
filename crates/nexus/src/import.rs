//! `nexus import`: CSV files into the running API, row by row, each row answered.
//! *Invariant:* a second run of the same file adds nothing, and says so.

mod countries;
mod csv_file;
mod expected;
mod figures;
mod orders;
mod problem;
mod progress;
mod report;
mod retail;
mod table;
mod tables;

use std::path::Path;
use std::process::ExitCode;

use crate::cli::{ImportCommand, ReachArgs};
use crate::client::{CallError, Client, NotRunning};
use csv_file::CsvFile;
use report::Report;

/// Calls in flight at once.
const AT_ONCE: usize = 8;
/// What `nexus` ends with when there is no running Nexus to talk to.
const NOT_RUNNING: u8 = 2;
/// What it ends with when the running Nexus went away half-way.
const STOPPED: u8 = 3;

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

/// The running Nexus; a dry run does without one.
async fn reach_unless_dry(args: &ReachArgs, dry: bool) -> Result<Option<Client>, ExitCode> {
    if !dry {
        return reach(args).await.map(Some);
    }
    let client = Client::connect(args).await.ok();
    if client.is_none() {
        println!("no Nexus runs here: rows are judged by the file alone");
    }
    Ok(client)
}

/// Writes the report and what was refused, tells both, and how it ended.
fn end(
    report: &mut Report,
    file: &CsvFile,
    directory: &Path,
    sent: Result<(), CallError>,
) -> anyhow::Result<ExitCode> {
    let path = report.write(directory)?;
    report.tell(&path);
    if let Some(refused) = report.write_refused(file, directory)? {
        println!("refused rows, to be mended and brought in: {}", refused.display());
    }
    if let Err(error) = sent {
        eprintln!("nexus: {:#}", anyhow::Error::from(error));
        eprintln!("nexus: the import stopped: run it again, it goes on from here");
        return Ok(ExitCode::from(STOPPED));
    }
    Ok(if report.any_refused() { ExitCode::FAILURE } else { ExitCode::SUCCESS })
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
