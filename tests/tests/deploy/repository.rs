//! The checkout, the programs of this build, and secrets as `deploy/secrets.sh` makes them.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::sync::LazyLock;

use serde::Deserialize;
use serde_json::Value;

pub(crate) const ROLES: [&str; 7] =
    ["order", "inventory", "fulfillment", "shipping", "notification", "gateway", "ingress"];
/// Where a container finds what only its role may know.
pub(crate) const SECRETS_AT: &str = "/run/nexus";

pub(crate) fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().to_owned()
}

pub(crate) fn text(path: &str) -> String {
    let file = root().join(path);
    std::fs::read_to_string(&file).unwrap_or_else(|error| panic!("{path}: {error}"))
}

/// All files below a folder, with `/` between names.
pub(crate) fn files_in(folder: &str) -> Vec<String> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(root().join(folder)).unwrap() {
        let entry = entry.unwrap();
        let path = format!("{folder}/{}", entry.file_name().to_string_lossy());
        if entry.path().is_dir() {
            found.extend(files_in(&path));
        } else {
            found.push(path);
        }
    }
    found.sort();
    found
}

/// The documents of a YAML text, with `<<` merged.
pub(crate) fn yaml(text: &str) -> Vec<Value> {
    let documents = serde_norway::Deserializer::from_str(text).map(|document| {
        let mut document = serde_norway::Value::deserialize(document).unwrap();
        // What is merged may merge something itself.
        for _ in 0..4 {
            document.apply_merge().unwrap();
        }
        serde_json::to_value(document).unwrap()
    });
    documents.filter(|document| !document.is_null()).collect()
}

pub(crate) fn strings(value: &Value) -> Vec<String> {
    let items = value.as_array().map(Vec::as_slice).unwrap_or_default();
    items.iter().map(|item| item.as_str().map_or_else(|| item.to_string(), str::to_owned)).collect()
}

/// The nexus of the same build as this test.
pub(crate) fn nexus() -> PathBuf {
    let test = std::env::current_exe().unwrap();
    let profile = test.parent().and_then(Path::parent).unwrap();
    let binary = profile.join(format!("nexus{}", std::env::consts::EXE_SUFFIX));
    assert!(binary.is_file(), "build it first: cargo build --package nexus");
    binary
}

/// The one that `cargo xtask test` names, else the one it fetched.
pub(crate) fn nats_server() -> PathBuf {
    if let Some(named) = std::env::var_os("NEXUS_NATS_SERVER") {
        return PathBuf::from(named);
    }
    let test = std::env::current_exe().unwrap();
    let mut tools = test.ancestors().map(|folder| folder.join("tools").join("nats-server"));
    let found = tools.find(|path| path.is_file());
    found.unwrap_or_else(|| panic!("there is no nats-server: cargo xtask test fetches one"))
}

/// Runs a program with nothing but these variables.
pub(crate) fn run(
    program: &Path,
    words: &[&str],
    environment: &BTreeMap<String, String>,
) -> Output {
    let mut command = Command::new(program);
    command.args(words).env_clear().envs(environment).stdin(Stdio::null());
    command.output().unwrap_or_else(|error| panic!("{}: {error}", program.display()))
}

pub(crate) fn said(output: &Output) -> String {
    format!(
        "{}{}",
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    )
}

/// Whether this command can be had; a check that needs it says in one line when it was not made.
pub(crate) fn is_there(words: &[&str], else_unchecked: &str) -> bool {
    let (program, arguments) = words.split_first().unwrap();
    let asked = Command::new(program).args(arguments).stdin(Stdio::null()).output();
    let found = asked.is_ok_and(|answer| answer.status.success());
    if !found {
        eprintln!("{} cannot be run here: {else_unchecked} was not checked", words.join(" "));
    }
    found
}

/// A folder of secrets, made once a process.
pub(crate) fn secrets() -> &'static Path {
    static MADE: LazyLock<tempfile::TempDir> = LazyLock::new(|| {
        let folder = tempfile::tempdir().unwrap();
        make_secrets(folder.path());
        folder
    });
    MADE.path()
}

pub(crate) fn make_secrets(folder: &Path) {
    let script = root().join("deploy/secrets.sh");
    let made = Command::new("sh")
        .arg(script)
        .arg(folder)
        .env("NEXUS", nexus())
        .stdin(Stdio::null())
        .output()
        .unwrap();
    assert!(made.status.success(), "{}", said(&made));
}

/// What `nexus config` makes of an environment, with the secrets of `folder`.
pub(crate) fn config_of(
    role: &str,
    folder: &str,
    environment: &BTreeMap<String, String>,
) -> BTreeMap<String, String> {
    let here = secrets().join(folder).display().to_string();
    let environment = environment
        .iter()
        .map(|(name, value)| (name.clone(), value.replace(SECRETS_AT, &here)))
        .collect();
    let output = run(&nexus(), &["config", role], &environment);
    assert!(output.status.success(), "{role} refuses its settings: {}", said(&output));
    let listing = String::from_utf8_lossy(&output.stdout).into_owned();
    let lines = listing.lines().filter_map(|line| line.split("  # ").next()?.split_once('='));
    lines.map(|(name, value)| (name.to_owned(), value.to_owned())).collect()
}
