//! Where files may lie, and how the decisions are numbered.

use super::{Finding, Tree};

const IN_ROOT: [&str; 18] = [
    ".cargo",
    ".ci",
    ".config",
    ".dockerignore",
    ".gitignore",
    "Cargo.lock",
    "Cargo.toml",
    "LICENSE",
    "README.md",
    "clippy.toml",
    "crates",
    "deny.toml",
    "deploy",
    "docker-compose.yml",
    "docs",
    "proto",
    "rustfmt.toml",
    "tests",
];
const DECISIONS: &str = "docs/decisions/";
const ARCHITECTURE: &str = "docs/ARCHITECTURE.md";
const ARCHITECTURE_LINES: usize = 250;

pub(super) fn check(tree: &Tree) -> Vec<Finding> {
    let mut findings = vec![];
    findings.extend(stray_files(tree));
    findings.extend(module_files(tree));
    findings.extend(decisions(tree));
    findings.extend(architecture(tree));
    findings
}

fn stray_files(tree: &Tree) -> impl Iterator<Item = Finding> {
    tree.root_entries().filter(|name| !IN_ROOT.contains(name)).map(|name| {
        let remedy = "nothing else belongs into the root: move it, or have git ignore it";
        Finding::new(name, 1, "stray-file", remedy)
    })
}

fn module_files(tree: &Tree) -> impl Iterator<Item = Finding> {
    let files = tree.rust_files().filter_map(|file| {
        let folder = file.path().strip_suffix("/mod.rs")?;
        Some((file, folder))
    });
    files.map(|(file, folder)| {
        Finding::new(file.path(), 1, "module-file", format!("call it {folder}.rs"))
    })
}

fn decisions(tree: &Tree) -> Vec<Finding> {
    let mut findings = vec![];
    let mut expected = 1;
    for file in tree.files() {
        let Some(name) = file.path().strip_prefix(DECISIONS) else { continue };
        let mut complain = |remedy: String| {
            findings.push(Finding::new(file.path(), 1, "decision-number", remedy));
        };
        match decision_number(name) {
            None => complain("name it NNN-title.md, in lower case with hyphens".to_owned()),
            Some(number) if number == expected => expected += 1,
            Some(number) => {
                complain(format!(
                    "the next number is {expected:03}: numbers have no gap or repeat"
                ));
                expected = number.saturating_add(1).max(expected);
            }
        }
    }
    findings
}

/// The number in `007-one-log-a-service.md`.
fn decision_number(name: &str) -> Option<u32> {
    let (number, title) = name.strip_suffix(".md")?.split_once('-')?;
    let of_title = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
    let well_formed = number.len() == 3 && !title.is_empty() && title.chars().all(of_title);
    if well_formed { number.parse().ok() } else { None }
}

fn architecture(tree: &Tree) -> Option<Finding> {
    let lines = tree.text(ARCHITECTURE)?.lines().count();
    (lines > ARCHITECTURE_LINES).then(|| {
        let remedy =
            format!("{lines} lines, at most {ARCHITECTURE_LINES}: name modules, not lines");
        Finding::new(ARCHITECTURE, ARCHITECTURE_LINES + 1, "architecture-length", remedy)
    })
}
