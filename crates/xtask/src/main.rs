//! Chores of this repository: `cargo xtask test`, `test-foreign`, `fuzz`, `crash` and `tidy`.
#![expect(
    clippy::print_stderr,
    clippy::print_stdout,
    reason = "a chore talks to the person who started it"
)]

mod crash;
mod doc_tests;
mod foreign;
mod fuzz;
mod nats_server;
mod postgres_server;
mod repository;
mod run_tests;
mod tidy;

use std::process::ExitCode;

use anyhow::Context;
use clap::Parser;

/// Chores of this repository.
#[derive(Parser)]
#[command(name = "cargo xtask", bin_name = "cargo xtask")]
enum Chore {
    /// Fetch what the tests need and run them all.
    Test(run_tests::Options),
    /// Let clients that others wrote use a Nexus of this build.
    TestForeign(foreign::Options),
    /// Feed everything that reads what strangers write with random input, as long as told.
    Fuzz(fuzz::Options),
    /// Kill a running Nexus again and again, and check that nothing is lost or done twice.
    Crash(crash::Options),
    /// Check the rules that neither rustc, clippy nor rustfmt know.
    Tidy,
}

fn main() -> ExitCode {
    let outcome = match Chore::parse() {
        Chore::Test(options) => run_tests::run(&options),
        Chore::TestForeign(options) => foreign::run(&options),
        Chore::Fuzz(options) => fuzz::run(&options),
        Chore::Crash(options) => crash::run(&options),
        Chore::Tidy => tidy(),
    };
    outcome.unwrap_or_else(|problem| {
        eprintln!("xtask: {problem:#}");
        ExitCode::FAILURE
    })
}

fn tidy() -> anyhow::Result<ExitCode> {
    let findings = tidy::check(&repository::root()?).context("cannot read the tree")?;
    for finding in &findings {
        println!("{finding}");
    }
    if findings.is_empty() {
        println!("tidy: nothing to complain about");
        return Ok(ExitCode::SUCCESS);
    }
    println!("tidy: {} to mend", findings.len());
    Ok(ExitCode::FAILURE)
}
