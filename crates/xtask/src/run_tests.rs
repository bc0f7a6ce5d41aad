//! `cargo xtask test`: all that a fresh clone needs to pass the tests, then the tests.
#![expect(clippy::print_stdout, reason = "a chore talks to the person who started it")]

use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode, ExitStatus, Stdio};

use anyhow::{Context, ensure};

use crate::{doc_tests, nats_server, postgres_server, repository};

/// Whose tests run once more with their views in PostgreSQL.
const WITH_VIEWS: [&str; 6] = [
    "nexus-order",
    "nexus-inventory",
    "nexus-fulfillment",
    "nexus-shipping",
    "nexus-notification",
    "nexus-ingress",
];

/// The shapes of a running Nexus that whole lives are walked on once more.
const LAYOUTS: [&str; 2] = ["jetstream", "seven"];
/// Names the shape to the tests.
const LAYOUT: &str = "NEXUS_TEST_LAYOUT";

#[derive(clap::Args)]
pub(crate) struct Options {
    /// A nats-server of your own, 2.15 or newer, instead of the one from PyPI.
    #[arg(long, env = "NEXUS_NATS_SERVER")]
    nats_server: Option<PathBuf>,
    /// The folder with the real orders that the import tests read.
    #[arg(long, env = "NEXUS_TEST_DATA")]
    test_data: Option<PathBuf>,
    /// For the test runner: filters, `-p PACKAGE`, …
    #[arg(last = true)]
    runner: Vec<String>,
}

pub(crate) fn run(options: &Options) -> anyhow::Result<ExitCode> {
    let root = repository::root()?;
    let target = repository::target_dir(&root)?;
    let server = nats_server::ensure(&target, options.nats_server.as_deref())?;
    let postgres = postgres_server::start()?;
    let data = test_data(&root, options.test_data.as_deref())?;
    let start = |mut command: Command| -> anyhow::Result<ExitStatus> {
        command.current_dir(&root).env("NEXUS_NATS_SERVER", &server);
        command.env(nexus_test_postgres::RUNNING, postgres.socket());
        if let Some(data) = &data {
            command.env("NEXUS_TEST_DATA", data);
        }
        println!("xtask: {}", in_words(&command));
        command.status().with_context(|| format!("cannot start {}", in_words(&command)))
    };

    let built = start(build_command(is_release(&options.runner)))?;
    if !built.success() {
        return Ok(exit_code(built));
    }
    let status = start(test_command(&options.runner))?;
    if !status.success() || !options.runner.is_empty() {
        return Ok(exit_code(status));
    }
    let views = WITH_VIEWS.iter().map(|name| format!("--package={name}"));
    let views: Vec<_> = views.chain(["--test=it".to_owned()]).collect();
    let mut on_postgres = test_command(&views);
    on_postgres.env(nexus_test_postgres::VIEWS, "postgres");
    let status = start(on_postgres)?;
    if !status.success() {
        return Ok(exit_code(status));
    }
    for layout in LAYOUTS {
        let lives = ["--package=nexus-tests", "--test=lifecycle", "--test=telemetry"];
        let mut on_layout = test_command(&lives.map(str::to_owned));
        on_layout.env(LAYOUT, layout);
        let status = start(on_layout)?;
        if !status.success() {
            return Ok(exit_code(status));
        }
    }
    // Building documentation tests takes longer than most tests do; most crates have none.
    for package in doc_tests::packages_with_examples(&root)? {
        let mut command = Command::new("cargo");
        command.args(["test", "--doc", "--package", &package]);
        let status = start(command)?;
        if !status.success() {
            return Ok(exit_code(status));
        }
    }
    Ok(ExitCode::SUCCESS)
}

/// The end-to-end tests start the binary, which no test runner builds for them.
pub(crate) fn build_command(release: bool) -> Command {
    let mut command = Command::new("cargo");
    command.args(["build", "--package", "nexus"]);
    if release {
        command.arg("--release");
    }
    command
}

fn is_release(runner: &[String]) -> bool {
    runner.iter().any(|word| word == "--release" || word == "-r")
}

fn test_command(runner: &[String]) -> Command {
    let mut command = Command::new("cargo");
    if has_nextest() {
        command.args(["nextest", "run"]);
    } else {
        println!("xtask: cargo-nextest is not installed, using cargo test");
        command.arg("test");
        if !runner.iter().any(|word| word.starts_with("--test")) {
            command.arg("--all-targets");
        }
    }
    if !names_a_package(runner) {
        command.arg("--workspace");
    }
    command.args(runner);
    command
}

fn has_nextest() -> bool {
    let answer = Command::new("cargo").args(["nextest", "--version"]).stdin(Stdio::null()).output();
    answer.is_ok_and(|answer| answer.status.success())
}

fn names_a_package(runner: &[String]) -> bool {
    runner.iter().any(|word| word.starts_with("-p") || word.starts_with("--package"))
}

/// The folder with real orders: the one named, else the one beside this checkout.
fn test_data(root: &Path, named: Option<&Path>) -> anyhow::Result<Option<PathBuf>> {
    if let Some(named) = named {
        let found = named.join("online-retail").is_dir();
        ensure!(found, "NEXUS_TEST_DATA names {}, which has no online-retail/", named.display());
        let full = named.canonicalize();
        return Ok(Some(full.with_context(|| format!("cannot open {}", named.display()))?));
    }
    let beside = root.join("../shared/data");
    if beside.join("online-retail").is_dir() {
        return Ok(Some(beside.canonicalize().context("cannot open ../shared/data")?));
    }
    println!(
        "xtask: no test data, so the import of real orders is not tested: set NEXUS_TEST_DATA to \
         a folder with online-retail/ (UCI Online Retail, doi:10.24432/C5BW33)"
    );
    Ok(None)
}

pub(crate) fn in_words(command: &Command) -> String {
    let words = std::iter::once(command.get_program()).chain(command.get_args());
    words.map(|word| word.to_string_lossy()).collect::<Vec<_>>().join(" ")
}

/// The exit code of a child as ours; one that was ended by a signal has none and counts as 1.
pub(crate) fn exit_code(status: ExitStatus) -> ExitCode {
    let code = status.code().map_or(1, |code| u8::try_from(code).unwrap_or(1));
    ExitCode::from(code)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(all: &[&str]) -> Vec<String> {
        all.iter().map(ToString::to_string).collect()
    }

    #[test]
    fn the_whole_workspace_is_tested_unless_a_package_is_named() {
        assert!(!names_a_package(&words(&["--locked", "a_unit_is_never"])));
        assert!(names_a_package(&words(&["-p", "nexus-es"])));
        assert!(names_a_package(&words(&["--package=nexus-es"])));
    }

    #[test]
    fn the_binary_is_built_the_way_the_tests_are() {
        assert!(is_release(&words(&["-p", "nexus-tests", "--release"])));
        assert!(!is_release(&words(&["-p", "nexus-tests"])));
        let in_release = in_words(&build_command(true));
        assert_eq!(in_release, "cargo build --package nexus --release");
    }

    #[test]
    fn a_named_folder_without_orders_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let problem = test_data(folder.path(), Some(folder.path())).unwrap_err();
        assert!(problem.to_string().contains("online-retail"), "{problem}");
    }

    #[test]
    fn a_named_folder_with_orders_is_taken() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::create_dir(folder.path().join("online-retail")).unwrap();
        assert!(test_data(Path::new("."), Some(folder.path())).unwrap().is_some());
    }
}
