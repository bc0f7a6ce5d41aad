//! Rules that look at lines: how many, how long, how a file opens, what may not stand in them.

use super::tree::File;
use super::{Finding, Tree};

const FILE_LINES: usize = 600;
const COLUMNS: usize = 100;
const SOURCES: [&str; 8] = ["md", "proto", "rs", "sh", "sql", "toml", "yaml", "yml"];
/// Put together here, so that this file does not break its own rules.
const MARK: &str = concat!("TO", "DO");
const MACHINE_PATHS: [&str; 3] =
    [concat!("/", "work", "/"), concat!("/", "tmp", "/"), concat!("/", "root", "/")];

pub(super) fn check(tree: &Tree) -> Vec<Finding> {
    let mut findings = vec![];
    for file in tree.files() {
        if file.is_rust() {
            findings.extend(length(file));
            findings.extend(opening(file));
            findings.extend(columns(file));
        }
        if file.has_extension(&SOURCES) || file.path().starts_with(".ci/") {
            findings.extend(open_ends(file));
            findings.extend(machine_paths(file));
        }
    }
    findings
}

fn numbered(file: File<'_>) -> impl Iterator<Item = (usize, &str)> {
    (1..).zip(file.text().lines())
}

fn length(file: File<'_>) -> Option<Finding> {
    let lines = file.text().lines().count();
    (lines > FILE_LINES).then(|| {
        let remedy = format!("{lines} lines, at most {FILE_LINES}: split it by what it does");
        Finding::new(file.path(), FILE_LINES + 1, "file-length", remedy)
    })
}

fn opening(file: File<'_>) -> Option<Finding> {
    (!file.text().starts_with("//!")).then(|| {
        let remedy = "open the file with //! and a sentence on what it is";
        Finding::new(file.path(), 1, "opening", remedy)
    })
}

fn columns(file: File<'_>) -> impl Iterator<Item = Finding> {
    let lengths = numbered(file).map(|(line, text)| (line, text.chars().count()));
    lengths.filter(|(_, columns)| *columns > COLUMNS).map(move |(line, columns)| {
        let remedy = format!("{columns} columns, at most {COLUMNS}: break the line");
        Finding::new(file.path(), line, "line-length", remedy)
    })
}

fn open_ends(file: File<'_>) -> impl Iterator<Item = Finding> {
    let marked = numbered(file).filter(|(_, text)| {
        // A word of its own, so that an identifier which holds the letters is none.
        let mut words = text.split(|c: char| !c.is_alphanumeric() && c != '_');
        words.any(|word| word == MARK) && !names_an_issue(text)
    });
    marked.map(move |(line, _)| {
        let remedy = format!("do it now, or name the issue: {MARK}(#12)");
        Finding::new(file.path(), line, "open-end", remedy)
    })
}

fn names_an_issue(text: &str) -> bool {
    let after = text.split('#').skip(1);
    after.into_iter().any(|rest| rest.starts_with(|c: char| c.is_ascii_digit()))
}

fn machine_paths(file: File<'_>) -> impl Iterator<Item = Finding> {
    let lines = numbered(file).filter_map(|(line, text)| {
        let path = MACHINE_PATHS.into_iter().find(|path| begins_somewhere(text, path))?;
        Some((line, path))
    });
    lines.map(move |(line, path)| {
        let remedy = format!("{path} is a path of one machine: use a relative one or a setting");
        Finding::new(file.path(), line, "machine-path", remedy)
    })
}

/// Whether `path` stands in `text` as the beginning of a path, not within a longer one.
fn begins_somewhere(text: &str, path: &str) -> bool {
    text.match_indices(path).any(|(at, _)| {
        let before = text.get(..at).and_then(|before| before.chars().next_back());
        !before.is_some_and(|c| c.is_alphanumeric() || "._-/~}*".contains(c))
    })
}
