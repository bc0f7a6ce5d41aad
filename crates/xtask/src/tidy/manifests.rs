//! Which crate may depend on which, read from the manifests.

use std::collections::{BTreeMap, BTreeSet};

use toml::de::{DeTable, DeValue};

use super::{Finding, Tree};

/// Every crate of the workspace with those it may name under `[dependencies]`.
const LAYERS: [(&str, &[&str]); 17] = [
    ("nexus-proto", &[]),
    ("nexus-es", &["nexus-proto"]),
    ("nexus-es-jetstream", &["nexus-es", "nexus-proto"]),
    ("nexus-es-sqlite", &["nexus-es", "nexus-proto"]),
    ("nexus-runtime", &["nexus-es", "nexus-proto"]),
    ("nexus-order", SERVICE),
    ("nexus-inventory", SERVICE),
    ("nexus-fulfillment", SERVICE),
    ("nexus-shipping", SERVICE),
    ("nexus-notification", SERVICE),
    ("nexus-ingress", SERVICE),
    ("nexus-gateway", &["nexus-console", "nexus-es", "nexus-proto", "nexus-runtime"]),
    ("nexus-console", &["nexus-proto", "nexus-runtime"]),
    ("nexus-sandbox", &["nexus-es", "nexus-runtime"]),
    // The judge knows nobody whom it judges: see docs/decisions.
    ("nexus-verify", &["nexus-es", "nexus-proto"]),
    ("nexus-test-postgres", &[]),
    ("xtask", &["nexus-test-postgres"]),
];
const SERVICE: &[&str] = &["nexus-es", "nexus-proto", "nexus-runtime"];
const SERVICES: [&str; 7] = [
    "nexus-order",
    "nexus-inventory",
    "nexus-fulfillment",
    "nexus-shipping",
    "nexus-notification",
    "nexus-ingress",
    "nexus-gateway",
];
const ADAPTERS: [&str; 2] = ["nexus-es-jetstream", "nexus-es-sqlite"];
/// These two put the rest together and may name every crate.
const ASSEMBLIES: [&str; 2] = ["nexus", "nexus-tests"];

/// What each crate may reach, by its folder: the names of its dependencies as code spells them.
pub(super) type Packages = BTreeMap<String, BTreeSet<String>>;

struct Dependency {
    /// The name of the package, and the one that code uses for it.
    package: String,
    alias: String,
    line: usize,
    for_tests: bool,
}

pub(super) fn check(tree: &Tree) -> (Packages, Vec<Finding>) {
    let (mut packages, mut findings) = (Packages::new(), vec![]);
    for file in tree.files() {
        let Some(folder) = file.path().strip_suffix("/Cargo.toml") else { continue };
        let manifest = match DeTable::parse(file.text()) {
            Ok(manifest) => manifest.into_inner(),
            Err(problem) => {
                let line = line_at(file.text(), problem.span().map_or(0, |span| span.start));
                let remedy = format!("this is no TOML: {}", problem.message());
                findings.push(Finding::new(file.path(), line, "syntax", remedy));
                continue;
            }
        };
        let dependencies = dependencies(&manifest, file.text());
        let names = dependencies.iter().map(|d| d.alias.replace('-', "_"));
        packages.insert(folder.to_owned(), names.collect());
        let name = table(&manifest, "package").and_then(|package| text(package, "name"));
        findings.extend(check_manifest(file.path(), name.unwrap_or(""), &dependencies));
        if !inherits_lints(&manifest) {
            let remedy = "add [lints] workspace = true";
            findings.push(Finding::new(file.path(), 1, "lints", remedy));
        }
    }
    (packages, findings)
}

fn check_manifest(path: &str, name: &str, dependencies: &[Dependency]) -> Vec<Finding> {
    if ASSEMBLIES.contains(&name) {
        return vec![];
    }
    let Some((_, layer)) = LAYERS.iter().find(|(package, _)| *package == name) else {
        let remedy = format!(
            "`{name}` is no known crate: a new one needs a decision record and a row in \
             crates/xtask/src/tidy/manifests.rs"
        );
        return vec![Finding::new(path, 1, "unknown-crate", remedy)];
    };
    let broken = dependencies.iter().filter_map(|dependency| {
        let (rule, remedy) = objection(name, layer, dependency)?;
        Some(Finding::new(path, dependency.line, rule, remedy))
    });
    broken.collect()
}

/// Why this crate may not have this dependency.
fn objection(
    name: &str,
    layer: &[&str],
    dependency: &Dependency,
) -> Option<(&'static str, String)> {
    let wanted = dependency.package.as_str();
    if wanted == "anyhow" && !dependency.for_tests && name != "xtask" {
        let remedy = "anyhow is for nexus, xtask and tests: make an error enum with thiserror";
        return Some(("error-kind", remedy.to_owned()));
    }
    let is_ours = ASSEMBLIES.contains(&wanted) || LAYERS.iter().any(|(ours, _)| *ours == wanted);
    // A crate's tests may also name itself, with other features.
    if !is_ours || wanted == name || layer.contains(&wanted) {
        return None;
    }
    if SERVICES.contains(&wanted) {
        let remedy = format!(
            "`{name}` may not know `{wanted}`: services meet in proto/, by gRPC and events"
        );
        return Some(("service-dependency", remedy));
    }
    if dependency.for_tests && !ASSEMBLIES.contains(&wanted) {
        return None;
    }
    if ADAPTERS.contains(&wanted) {
        let remedy = format!("only nexus and nexus-tests name `{wanted}`: take the port instead");
        return Some(("adapter-dependency", remedy));
    }
    let remedy = format!("`{name}` lies below `{wanted}` or beside it: turn the dependency round");
    Some(("layer-dependency", remedy))
}

fn dependencies(manifest: &DeTable<'_>, source: &str) -> Vec<Dependency> {
    let mut found = vec![];
    let targets = table(manifest, "target").into_iter().flat_map(DeTable::values);
    let targets = targets.filter_map(|target| target.get_ref().as_table());
    for part in std::iter::once(manifest).chain(targets) {
        for kind in ["dependencies", "build-dependencies", "dev-dependencies"] {
            let Some(entries) = table(part, kind) else { continue };
            found.extend(entries.iter().map(|(name, value)| {
                let alias = name.get_ref().as_ref();
                let renamed = value.get_ref().as_table().and_then(|table| text(table, "package"));
                Dependency {
                    package: renamed.unwrap_or(alias).to_owned(),
                    alias: alias.to_owned(),
                    line: line_at(source, name.span().start),
                    for_tests: kind == "dev-dependencies",
                }
            }));
        }
    }
    found
}

fn inherits_lints(manifest: &DeTable<'_>) -> bool {
    let lints = table(manifest, "lints").and_then(|lints| value(lints, "workspace"));
    lints.and_then(DeValue::as_bool) == Some(true)
}

fn value<'m, 'i>(table: &'m DeTable<'i>, key: &str) -> Option<&'m DeValue<'i>> {
    let entry = table.iter().find(|(name, _)| name.get_ref().as_ref() == key);
    entry.map(|(_, value)| value.get_ref())
}

fn table<'m, 'i>(within: &'m DeTable<'i>, key: &str) -> Option<&'m DeTable<'i>> {
    value(within, key)?.as_table()
}

fn text<'m>(within: &'m DeTable<'_>, key: &str) -> Option<&'m str> {
    value(within, key)?.as_str()
}

fn line_at(source: &str, offset: usize) -> usize {
    source.bytes().take(offset).filter(|byte| *byte == b'\n').count() + 1
}
