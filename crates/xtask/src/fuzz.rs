//! `cargo xtask fuzz`: the property tests of everything that reads what strangers write, for
//! minutes instead of some hundred cases.
//!
//! *Invariant:* it ends with success only when each target ran its tests; a target whose tests are
//! gone is a failure, not a silence.
#![expect(clippy::print_stdout, reason = "a chore talks to the person who started it")]

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, bail, ensure};

use crate::repository;
use crate::run_tests::in_words;

/// Something that reads what strangers write: its package, its kind of binary, its tests.
struct Target {
    name: &'static str,
    package: &'static str,
    binary: Binary,
    /// Where its tests are; their modules are called `fuzz`.
    tests: &'static str,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Binary {
    Lib,
    Bin(&'static str),
}

impl Target {
    /// What cargo calls it.
    fn binary_name(&self) -> String {
        match self.binary {
            Binary::Lib => self.package.replace('-', "_"),
            Binary::Bin(name) => name.to_owned(),
        }
    }
}

const fn lib(name: &'static str, package: &'static str, tests: &'static str) -> Target {
    Target { name, package, binary: Binary::Lib, tests }
}

const TARGETS: [Target; 9] = [
    lib("commit", "nexus-es", "commit::fuzz::"),
    lib("cursor", "nexus-es", "heard::fuzz::"),
    lib("page-token", "nexus-runtime", "page::fuzz::"),
    lib("barcode", "nexus-inventory", "domain::barcode::fuzz::"),
    lib("address", "nexus-order", "grpc::parse::fuzz::"),
    lib("courier", "nexus-shipping", "courier::bosta::"),
    lib("channel", "nexus-notification", "channel::whatsapp::webhook::fuzz::"),
    lib("label", "nexus-sandbox", "label::fuzz::"),
    Target { name: "csv", package: "nexus", binary: Binary::Bin("nexus"), tests: "import::" },
];
/// Tests that fuzz lie in modules of this name.
const MODULE: &str = "fuzz::";
/// How long one run of the tests should take: a fault is told soon, and starting costs little.
const BATCH: Duration = Duration::from_secs(15);
const FIRST_CASES: u32 = 256;
const MOST_CASES: u32 = 50_000_000;

#[derive(clap::Args)]
pub(crate) struct Options {
    /// How long each target runs.
    #[arg(long, default_value_t = 10.0, value_parser = minutes)]
    minutes: f64,
    /// Only these: commit, cursor, page-token, barcode, address, courier, channel, label, csv.
    targets: Vec<String>,
}

fn minutes(text: &str) -> Result<f64, String> {
    match text.parse::<f64>() {
        Ok(minutes) if minutes > 0.0 && minutes <= 10_000.0 => Ok(minutes),
        _ => Err("must be a number above 0, at most 10000".to_owned()),
    }
}

pub(crate) fn run(options: &Options) -> anyhow::Result<ExitCode> {
    let root = repository::root()?;
    let chosen = chosen(&options.targets)?;
    let built = build(&root, &chosen)?;
    let mut faults = Vec::new();
    for target in chosen {
        let length = Duration::from_secs_f64(options.minutes * 60.0);
        let binary = built.get(&target.binary_name());
        let binary = binary.with_context(|| format!("{} has no tests", target.package))?;
        match fuzz(&root, target, binary, length)? {
            Ok(done) => println!("fuzz: {}: {done}, no fault", target.name),
            Err(said) => {
                println!("fuzz: {}: a fault\n{said}", target.name);
                faults.push(target.name);
            }
        }
    }
    if faults.is_empty() {
        return Ok(ExitCode::SUCCESS);
    }
    println!("fuzz: faults in {}: make a test of each smallest input", faults.join(", "));
    Ok(ExitCode::FAILURE)
}

fn chosen(names: &[String]) -> anyhow::Result<Vec<&'static Target>> {
    let all = || TARGETS.iter().map(|target| target.name).collect::<Vec<_>>().join(", ");
    for name in names {
        let known = TARGETS.iter().any(|target| target.name == name);
        ensure!(known, "there is no target {name}: {}", all());
    }
    let wanted = |target: &&Target| names.is_empty() || names.iter().any(|it| it == target.name);
    Ok(TARGETS.iter().filter(wanted).collect())
}

/// Builds the tests of all targets at once; answers their binaries by name.
fn build(root: &Path, targets: &[&Target]) -> anyhow::Result<BTreeMap<String, PathBuf>> {
    let mut command = Command::new("cargo");
    command.args(["test", "--no-run", "--message-format=json-render-diagnostics"]);
    let packages: BTreeSet<_> = targets.iter().map(|target| target.package).collect();
    command.args(packages.iter().map(|package| format!("--package={package}")));
    if targets.iter().any(|target| target.binary == Binary::Lib) {
        command.arg("--lib");
    }
    for target in targets {
        if let Binary::Bin(name) = target.binary {
            command.args(["--bin", name]);
        }
    }
    println!("fuzz: {}", in_words(&command));
    let built = command.current_dir(root).stdin(Stdio::null()).stderr(Stdio::inherit()).output();
    let built = built.with_context(|| format!("cannot start {}", in_words(&command)))?;
    ensure!(built.status.success(), "`{}` ended with {}", in_words(&command), built.status);
    let said = String::from_utf8_lossy(&built.stdout);
    Ok(said.lines().filter_map(executable).collect())
}

/// The binary of tests that a line of cargo names.
fn executable(line: &str) -> Option<(String, PathBuf)> {
    let message: serde_json::Value = serde_json::from_str(line).ok()?;
    let is_test = message.pointer("/profile/test")?.as_bool()?;
    let name = message.pointer("/target/name")?.as_str()?;
    let path = message.get("executable")?.as_str()?;
    is_test.then(|| (name.to_owned(), PathBuf::from(path)))
}

/// What was done without a fault.
#[derive(Debug, Default, PartialEq, Eq)]
struct Done {
    cases: u64,
    tests: u64,
    took: Duration,
}

impl std::fmt::Display for Done {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { cases, tests, took } = self;
        write!(f, "{cases} cases in each of {tests} tests in {} s", took.as_secs())
    }
}

/// Runs the tests again and again; the inner error is what a failed run said.
fn fuzz(
    root: &Path,
    target: &Target,
    binary: &Path,
    length: Duration,
) -> anyhow::Result<Result<Done, String>> {
    let names = tests(target, binary)?;
    let began = Instant::now();
    let mut done = Done { tests: u64::try_from(names.len())?, ..Done::default() };
    let mut cases = FIRST_CASES;
    while began.elapsed() < length {
        let batch = Instant::now();
        let mut command = Command::new(binary);
        command.args(&names).arg("--exact").current_dir(root);
        command.env("PROPTEST_CASES", cases.to_string()).stdin(Stdio::null());
        let ran = command.output().with_context(|| format!("cannot start {}", binary.display()))?;
        if !ran.status.success() {
            return Ok(Err(String::from_utf8_lossy(&ran.stdout).into_owned()));
        }
        done.cases += u64::from(cases);
        let left = length.saturating_sub(began.elapsed());
        cases = next_cases(cases, batch.elapsed(), BATCH.min(left));
    }
    done.took = began.elapsed();
    Ok(Ok(done))
}

/// The names of a target's tests that fuzz.
fn tests(target: &Target, binary: &Path) -> anyhow::Result<Vec<String>> {
    let mut list = Command::new(binary);
    list.args(["--list", "--format", "terse", target.tests]).stdin(Stdio::null());
    let listed = list.output().with_context(|| format!("cannot start {}", binary.display()))?;
    let listed = String::from_utf8_lossy(&listed.stdout).into_owned();
    let names = listed.lines().filter_map(|line| line.strip_suffix(": test"));
    let names: Vec<_> = names.filter(|name| name.contains(MODULE)).map(str::to_owned).collect();
    if names.is_empty() {
        bail!("{} has no test in {} under a module {MODULE}", target.package, target.tests);
    }
    Ok(names)
}

/// As many cases as should take so long, when `cases` took so long.
fn next_cases(cases: u32, took: Duration, wanted: Duration) -> u32 {
    let factor = wanted.as_secs_f64() / took.as_secs_f64().max(0.001);
    // The first run measures its own start more than its cases.
    let factor = factor.clamp(0.01, 20.0);
    let next = f64::from(cases) * factor;
    let most = f64::from(MOST_CASES);
    #[expect(clippy::as_conversions, reason = "between the two borders")]
    let next = next.clamp(f64::from(FIRST_CASES), most) as u32;
    next
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_batch_takes_about_as_long_as_wanted() {
        let second = Duration::from_secs(1);
        assert_eq!(next_cases(10_000, second, 2 * second), 20_000);
        assert_eq!(next_cases(1_000, 10 * second, second), FIRST_CASES);
        assert_eq!(next_cases(10_000, Duration::ZERO, second), 200_000);
        assert_eq!(next_cases(MOST_CASES, second, 10 * second), MOST_CASES);
    }

    #[test]
    fn the_binary_is_the_one_that_cargo_names_for_tests() {
        let line = |test: bool| {
            format!(
                r#"{{"target":{{"name":"x"}},"profile":{{"test":{test}}},"executable":"/t/x"}}"#
            )
        };
        assert_eq!(executable(&line(true)), Some(("x".to_owned(), PathBuf::from("/t/x"))));
        assert_eq!(executable(&line(false)), None);
        assert_eq!(executable(r#"{"reason":"build-finished","success":true}"#), None);
        assert_eq!(executable("no json"), None);
    }

    #[test]
    fn a_target_that_is_not_there_is_named_with_those_that_are() {
        let told = chosen(&["weather".to_owned()]).err().unwrap().to_string();
        assert!(told.starts_with("there is no target weather: commit, cursor"), "{told}");
        assert_eq!(chosen(&[]).unwrap().len(), TARGETS.len());
        assert_eq!(chosen(&["csv".to_owned()]).unwrap().len(), 1);
    }

    /// A target that lost its tests would be a silence; this is a failure that names it.
    #[test]
    fn every_target_has_its_tests_in_the_tree() {
        let root = repository::root().unwrap();
        for target in &TARGETS {
            let folder = match target.package.strip_prefix("nexus-") {
                Some(name) => name,
                None => target.package,
            };
            let tree = root.join("crates").join(folder).join("src");
            let path = target.tests.trim_end_matches("::").trim_end_matches("::fuzz");
            let place = tree.join(path.replace("::", "/"));
            let found = find(&place);
            assert!(found, "{} has no fuzz.rs under {}", target.name, place.display());
        }
    }

    fn find(folder: &Path) -> bool {
        let entries = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
        entries.into_iter().any(|path| path.ends_with("fuzz.rs") || path.is_dir() && find(&path))
    }
}
