//! What the domain of a service may name: `std` without the outer world, the decider, itself.

use super::Finding;
use super::code::{Module, Use};
use super::manifests::Packages;

const RULE: &str = "domain-use";
const REMEDY: &str = "a domain names std, nexus_es::Decider, thiserror and itself: what a decision \
                      needs comes in with the command";
/// Modules of `std` through which the outer world comes in.
const WORLD: [&str; 7] = ["env", "fs", "io", "net", "os", "process", "thread"];
const CLOCKS: [&str; 2] = ["Instant", "SystemTime"];
const LINTS: [&str; 2] =
    ["clippy::wildcard_enum_match_arm", "clippy::match_wildcard_for_single_variants"];

pub(super) fn check(modules: &[Module<'_>], packages: &Packages) -> Vec<Finding> {
    let mut findings = vec![];
    for module in modules {
        let Some((folder, file)) = module.path.split_once("/src/") else { continue };
        let is_root = file == "domain.rs";
        if !folder.starts_with("crates/") || !(is_root || file.starts_with("domain/")) {
            continue;
        }
        let dependencies = packages.get(folder).into_iter().flatten().map(String::as_str);
        let strangers: Vec<_> = dependencies
            .filter(|name| !["nexus_es", "thiserror", "proptest"].contains(name))
            .collect();
        findings.extend(uses(module));
        findings.extend(inline_names(module, &strangers));
        if is_root {
            findings.extend(missing_lints(module));
        }
    }
    findings
}

fn uses(module: &Module<'_>) -> impl Iterator<Item = Finding> {
    let broken = module.uses.iter().filter(|import| !is_allowed(module, import));
    broken.map(|import| Finding::new(module.path, import.line, RULE, REMEDY))
}

fn is_allowed(module: &Module<'_>, import: &Use) -> bool {
    let in_test = module.is_test_line(import.line);
    let words: Vec<&str> = import.path.iter().map(String::as_str).collect();
    match *words.as_slice() {
        ["std", ref rest @ ..] => is_pure(rest),
        ["nexus_es", ref rest @ ..] => in_test || matches!(*rest, ["Decider"]),
        ["proptest", ..] => in_test,
        ["crate", next, ..] => next == "domain",
        ["core" | "alloc" | "self" | "super" | "thiserror", ..] => true,
        // A type or an enum (`use Event::*`), or a module declared in this very file.
        [first, ..] => first.starts_with(char::is_uppercase) || module.declares.contains(first),
        [] => true,
    }
}

fn is_pure(within_std: &[&str]) -> bool {
    match *within_std {
        ["time", ref rest @ ..] => matches!(*rest, ["Duration"]),
        [first, ..] => !WORLD.contains(&first),
        [] => true,
    }
}

/// Names that stand in the code with their whole path, also within macros and attributes.
fn inline_names(module: &Module<'_>, strangers: &[&str]) -> Vec<Finding> {
    let mut lines = vec![];
    for stranger in strangers {
        // `a::stranger::b` is a module of ours that has the same name.
        lines.extend(module.tokens.windows(4).filter_map(|window| match window {
            [(before, _), (name, line), (one, _), (two, _)]
                if name == stranger && before != ":" && one == ":" && two == ":" =>
            {
                Some(*line)
            }
            _ => None,
        }));
    }
    for world in WORLD {
        lines.extend(module.lines_with(&["std", ":", ":", world]));
    }
    for clock in CLOCKS {
        lines.extend(module.lines_with(&[clock]));
    }
    lines.extend(module.lines_with(&["async"]));
    lines.into_iter().map(|line| Finding::new(module.path, line, RULE, REMEDY)).collect()
}

fn missing_lints(module: &Module<'_>) -> Option<Finding> {
    let denied = |lint: &&str| module.attributes.iter().any(|text| is_denied(text, lint));
    (!LINTS.iter().all(denied)).then(|| {
        let remedy =
            format!("start it with #![deny({})]: no `_` arm on our own enums", LINTS.join(", "));
        Finding::new(module.path, 1, "domain-lints", remedy)
    })
}

fn is_denied(attribute: &str, lint: &str) -> bool {
    (attribute.starts_with("deny(") || attribute.starts_with("forbid(")) && attribute.contains(lint)
}
