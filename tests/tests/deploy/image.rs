//! `deploy/Dockerfile`: its steps, run without an engine as far as that goes.

use std::path::Path;
use std::process::{Command, Stdio};

use super::repository::{nexus, root, run, said, text};

const DOCKERFILE: &str = "deploy/Dockerfile";

/// Its instructions, continued lines joined, comments left out.
fn instructions() -> Vec<(String, String)> {
    let text = text(DOCKERFILE).replace("\\\n", " ");
    let lines =
        text.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with('#'));
    let parts = lines.map(|line| line.split_once(' ').unwrap());
    parts
        .map(|(word, rest)| {
            (word.to_owned(), rest.split_whitespace().collect::<Vec<_>>().join(" "))
        })
        .collect()
}

fn all(word: &str) -> Vec<String> {
    let found = instructions().into_iter().filter(|(found, _)| found == word);
    found.map(|(_, rest)| rest).collect()
}

/// What is copied from the checkout.
fn copied() -> Vec<String> {
    let copies = all("COPY").into_iter().filter(|copy| !copy.starts_with("--from"));
    let sources = copies.flat_map(|copy| {
        let mut words: Vec<_> = copy.split(' ').map(str::to_owned).collect();
        words.pop();
        words
    });
    sources.collect()
}

fn copy(from: &Path, to: &Path) {
    if from.is_dir() {
        std::fs::create_dir_all(to).unwrap();
        for entry in std::fs::read_dir(from).unwrap() {
            let name = entry.unwrap().file_name();
            copy(&from.join(&name), &to.join(&name));
        }
    } else {
        std::fs::copy(from, to).unwrap();
    }
}

#[test]
fn the_builder_gets_all_that_the_build_needs() {
    let context = tempfile::tempdir().unwrap();
    let let_in: Vec<_> = text(".dockerignore").lines().map(str::to_owned).collect();
    for source in copied() {
        assert!(let_in.contains(&format!("!{source}")), ".dockerignore keeps {source} out");
        copy(&root().join(&source), &context.path().join(&source));
    }
    // Resolves the whole workspace from what was copied, with the lock file as it is.
    let tree = Command::new(env!("CARGO"))
        .args(["tree", "--locked", "--offline", "--package", "nexus", "--edges", "normal,build"])
        .current_dir(context.path())
        .env("CARGO_TARGET_DIR", context.path().join("target"))
        .stdin(Stdio::null())
        .output()
        .unwrap();
    assert!(tree.status.success(), "{}", said(&tree));
}

#[test]
fn the_image_is_built_by_the_commands_and_the_compiler_of_everybody() {
    let commands: Vec<_> = all("RUN").iter().map(|run| after_mounts(run)).collect();
    let [fetch, build] = commands.as_slice() else { panic!("{commands:?}") };
    assert_eq!(fetch, "cargo fetch --locked");
    assert!(build.starts_with("cargo build --locked --release --package nexus && "), "{build}");
    let manifest = text("Cargo.toml");
    let (_, rust) = manifest.split_once("rust-version = \"").unwrap();
    let (rust, _) = rust.split_once('"').unwrap();
    assert_eq!(all("FROM")[0], format!("rust:{rust}-bookworm AS build"));
}

fn after_mounts(run: &str) -> String {
    run.split(' ').skip_while(|word| word.starts_with("--mount")).collect::<Vec<_>>().join(" ")
}

#[test]
fn the_image_holds_no_shell_and_runs_as_nobody() {
    assert_eq!(all("USER"), ["65532:65532"]);
    assert_eq!(all("STOPSIGNAL"), ["SIGTERM"]);
    assert_eq!(all("ENTRYPOINT"), ["[\"/usr/local/bin/nexus\"]"]);
    assert!(all("ARG")[0].contains("distroless"));
    assert_eq!(all("FROM").last().unwrap(), "${RUNTIME}");
    let last_stage = text(DOCKERFILE);
    let (_, last_stage) = last_stage.rsplit_once("FROM ").unwrap();
    assert!(!last_stage.contains("\nRUN "), "there is nothing to run it with");
}

#[test]
fn the_health_check_is_a_command_of_the_binary() {
    let check = all("HEALTHCHECK").remove(0);
    let (_, words) = check.split_once("CMD ").unwrap();
    let words: Vec<String> = serde_json::from_str(words).unwrap();
    assert_eq!(words[0], "/usr/local/bin/nexus");
    let asked: Vec<_> = words.iter().skip(1).map(String::as_str).chain(["--help"]).collect();
    let helped = run(&nexus(), &asked, &Default::default());
    assert!(helped.status.success(), "{}", said(&helped));
}
