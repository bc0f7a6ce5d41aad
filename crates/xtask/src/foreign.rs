//! `cargo xtask test-foreign`: clients that others wrote, against a Nexus of this build.
//!
//! *Invariant:* what a client needs is there or the chore fails and says what to install; nothing
//! is left out in silence. The Nexus ends with the chore.
#![expect(clippy::print_stdout, reason = "a chore talks to the person who started it")]

mod venv;

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitCode, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, bail, ensure};

use crate::repository;
use crate::run_tests::{build_command, exit_code, in_words};

const READY: &str = "Nexus is ready";
const READY_WITHIN: Duration = Duration::from_secs(60);
const GLANCE: Duration = Duration::from_millis(50);
/// Where the checks lie, and what they install.
const CHECKS: &str = "tests/foreign";

#[derive(clap::Args)]
pub(crate) struct Options {
    /// For pytest: `-k bosta`, `-x`, …
    #[arg(last = true)]
    pytest: Vec<String>,
}

pub(crate) fn run(options: &Options) -> anyhow::Result<ExitCode> {
    let root = repository::root()?;
    let target = repository::target_dir(&root)?;
    let missing = missing();
    ensure!(missing.is_empty(), "{}", sentence(&missing));
    let python = venv::ensure(&target, &root.join(CHECKS).join("requirements.txt"))?;
    let mut build = build_command(false);
    build.current_dir(&root);
    println!("xtask: {}", in_words(&build));
    let built = build.status().with_context(|| format!("cannot start {}", in_words(&build)))?;
    if !built.success() {
        return Ok(exit_code(built));
    }
    let binary = target.join("debug").join(format!("nexus{}", std::env::consts::EXE_SUFFIX));
    let folder = tempfile::Builder::new().prefix("nexus-foreign-").tempdir()?;
    let mut nexus = Nexus::start(&binary, folder.path())?;
    let checked = check(&python, &root, &nexus.data, &options.pytest)?;
    if !checked.success() || !nexus.still_runs()? {
        // What it logged says why; the folder is small.
        println!("xtask: what Nexus logged is in {}", folder.keep().display());
        return Ok(if checked.success() { ExitCode::FAILURE } else { exit_code(checked) });
    }
    let mut verify = Command::new(&binary);
    verify.arg("verify").arg("--data").arg(&nexus.data);
    println!("xtask: {}", in_words(&verify));
    Ok(exit_code(verify.status().context("cannot start nexus verify")?))
}

fn check(
    python: &Path,
    root: &Path,
    data: &Path,
    more: &[String],
) -> anyhow::Result<std::process::ExitStatus> {
    let mut pytest = Command::new(python);
    pytest
        .args(["-B", "-m", "pytest", "-p", "no:cacheprovider", "--durations=5", CHECKS])
        .args(more)
        .current_dir(root)
        .env("NEXUS_DATA", data)
        // Servers on the loopback are not reached through anybody's proxy.
        .env("NO_PROXY", "127.0.0.1,localhost")
        .env("no_proxy", "127.0.0.1,localhost")
        .stdin(Stdio::null());
    println!("xtask: {}", in_words(&pytest));
    pytest.status().with_context(|| format!("cannot start {}", in_words(&pytest)))
}

/// Debian's names of what this machine lacks.
fn missing() -> Vec<&'static str> {
    let mut missing = vec![];
    if !venv::can_be_made() {
        missing.push("python3 (3.10 or newer) with python3-venv");
    }
    if !answers("pdftoppm", "-v") {
        missing.push("poppler-utils");
    }
    if !answers("zbarimg", "--version") {
        missing.push("zbar-tools");
    }
    missing
}

fn sentence(missing: &[&str]) -> String {
    format!("foreign clients cannot be tested on this machine: install {}", missing.join(", "))
}

fn answers(program: &str, how: &str) -> bool {
    let asked = Command::new(program).arg(how).stdin(Stdio::null()).output();
    asked.is_ok_and(|answer| answer.status.success())
}

/// `nexus up` on free ports and an empty folder.
struct Nexus {
    process: Child,
    data: PathBuf,
}

impl Nexus {
    fn start(binary: &Path, folder: &Path) -> anyhow::Result<Self> {
        let (data, said) = (folder.join("data"), folder.join("stdout"));
        let logged = folder.join("stderr");
        let mut command = Command::new(binary);
        command.args(["up", "--http", "127.0.0.1:0", "--ingress", "127.0.0.1:0"]);
        command.args(["--grpc", "127.0.0.1:0", "--sandbox-speed", "20", "--data"]).arg(&data);
        println!("xtask: {}", in_words(&command));
        let process = command
            .stdin(Stdio::null())
            .stdout(File::create(&said)?)
            .stderr(File::create(&logged)?)
            .spawn()
            .with_context(|| format!("cannot start {}", binary.display()))?;
        let mut nexus = Self { process, data };
        let began = Instant::now();
        while !fs::read_to_string(&said)?.contains(READY) {
            if !nexus.still_runs()? || began.elapsed() > READY_WITHIN {
                bail!("nexus does not get ready: {}", fs::read_to_string(&logged)?);
            }
            std::thread::sleep(GLANCE);
        }
        Ok(nexus)
    }

    fn still_runs(&mut self) -> anyhow::Result<bool> {
        let ended = self.process.try_wait().context("cannot look after nexus")?;
        if let Some(status) = ended {
            println!("xtask: nexus has ended ({status})");
        }
        Ok(ended.is_none())
    }
}

impl Drop for Nexus {
    fn drop(&mut self) {
        // It may have ended by itself; then there is nothing to end.
        if let Err(error) = self.process.kill().and_then(|()| self.process.wait()) {
            println!("xtask: cannot end nexus {}: {error}", self.process.id());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_missing_is_named_in_one_sentence() {
        assert_eq!(
            sentence(&["poppler-utils", "zbar-tools"]),
            "foreign clients cannot be tested on this machine: install poppler-utils, zbar-tools"
        );
        assert!(!answers("no-such-program", "--version"));
    }

    #[test]
    fn a_nexus_that_ends_at_once_is_told_with_what_it_said() {
        let folder = tempfile::tempdir().unwrap();
        let told = Nexus::start(Path::new("false"), folder.path()).err().unwrap();
        assert!(told.to_string().starts_with("nexus does not get ready"), "{told}");
    }
}
