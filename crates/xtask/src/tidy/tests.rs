//! A tree that breaks one rule at a time, and this very tree, which breaks none.

use std::fs;
use std::path::Path;

use super::{Finding, check};
use crate::repository;

const GOOD_MANIFEST: &str = "[package]\nname = \"nexus-order\"\n\n[lints]\nworkspace = true\n";
const GOOD_DOMAIN: &str = "\
//! Orders.
#![deny(clippy::wildcard_enum_match_arm, clippy::match_wildcard_for_single_variants)]

use std::collections::BTreeMap;
use std::time::Duration;

use nexus_es::Decider;
use thiserror::Error;

use crate::domain::line::Line;
use Command::*;

mod line;

#[cfg(test)]
mod tests {
    use nexus_es::kit::given;
    use proptest::prelude::*;
    use super::*;
}
";

/// A tree with one good service in it, to which a test adds what it is about.
struct Checkout(tempfile::TempDir);

impl Checkout {
    fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
            .with(".gitignore", "/target\n")
            .with("target/debug/old/mod.rs", "no rust at all (")
            .with("crates/order/Cargo.toml", GOOD_MANIFEST)
            .with("crates/order/src/lib.rs", "//! Orders.\n\nmod domain;\n")
            .with("crates/order/src/domain.rs", GOOD_DOMAIN)
            .with("crates/order/src/domain/line.rs", "//! A line.\n\npub(crate) struct Line;\n")
            .with("docs/decisions/001-one-log-a-service.md", "# One log a service\n")
            .with("docs/ARCHITECTURE.md", "# Architecture\n")
    }

    fn with(self, path: &str, text: &str) -> Self {
        let place = self.0.path().join(path);
        fs::create_dir_all(place.parent().unwrap()).unwrap();
        fs::write(place, text).unwrap();
        self
    }

    /// A service manifest with this section below it.
    fn with_manifest(self, name: &str, sections: &str) -> Self {
        let folder = name.strip_prefix("nexus-").unwrap_or(name).to_owned();
        let text =
            format!("[package]\nname = \"{name}\"\n\n[lints]\nworkspace = true\n\n{sections}\n");
        self.with(&format!("crates/{folder}/Cargo.toml"), &text)
    }

    /// A module of the order service.
    fn with_module(self, text: &str) -> Self {
        self.with("crates/order/src/views.rs", &format!("//! Views.\n{text}"))
    }

    fn with_domain_line(self, line: &str) -> Self {
        self.with("crates/order/src/domain/order.rs", &format!("//! An order.\n{line}\n"))
    }

    fn findings(&self) -> Vec<Finding> {
        check(self.0.path()).unwrap()
    }

    #[track_caller]
    fn is_clean(&self) {
        assert_eq!(self.findings(), []);
    }

    /// Expects exactly one finding: this rule, in this file, on this line.
    #[track_caller]
    fn breaks(&self, rule: &str, file: &str, line: usize) {
        let findings = self.findings();
        let found: Vec<_> = findings.iter().map(|f| (f.rule, f.file.as_str(), f.line)).collect();
        assert_eq!(found, [(rule, file, line)]);
    }
}

const VIEWS: &str = "crates/order/src/views.rs";
const ORDER: &str = "crates/order/src/domain/order.rs";

#[test]
fn this_repository_is_tidy() {
    let findings = check(&repository::root().unwrap()).unwrap();
    let lines: Vec<_> = findings.iter().map(ToString::to_string).collect();
    assert!(lines.is_empty(), "{}", lines.join("\n"));
}

#[test]
fn a_tree_that_keeps_all_rules_has_no_finding() {
    Checkout::new().is_clean();
}

#[test]
fn a_finding_names_file_line_rule_and_remedy() {
    let tree = Checkout::new().with("notes.txt", "call Mona");
    let findings = tree.findings();
    let said = findings.first().unwrap().to_string();
    assert!(said.starts_with("notes.txt:1: [stray-file] nothing else belongs"), "{said}");
}

#[test]
fn a_stray_file_in_the_root_is_found() {
    Checkout::new().with("PLAN.md", "").breaks("stray-file", "PLAN.md", 1);
    Checkout::new().with("src/lib.rs", "//! Lost.\n").breaks("stray-file", "src", 1);
}

#[test]
fn a_module_file_called_mod_is_found() {
    let path = "crates/order/src/views/mod.rs";
    Checkout::new().with(path, "//! Views.\n").breaks("module-file", path, 1);
}

#[test]
fn decisions_have_neither_gap_nor_repeat() {
    let gap = "docs/decisions/003-blobs.md";
    Checkout::new().with(gap, "").breaks("decision-number", gap, 1);
    let repeat = "docs/decisions/001-two-logs.md";
    Checkout::new().with(repeat, "").breaks("decision-number", repeat, 1);
    Checkout::new().with("docs/decisions/002-blobs.md", "").is_clean();
}

#[test]
fn a_decision_has_a_number_and_a_title() {
    for name in ["blobs.md", "2-blobs.md", "002-Blobs.md", "002-.md", "002-blobs.txt"] {
        let path = format!("docs/decisions/{name}");
        Checkout::new().with(&path, "").breaks("decision-number", &path, 1);
    }
}

#[test]
fn an_architecture_page_longer_than_250_lines_is_found() {
    let path = "docs/ARCHITECTURE.md";
    Checkout::new().with(path, &"A sentence.\n".repeat(250)).is_clean();
    let long = Checkout::new().with(path, &"A sentence.\n".repeat(251));
    long.breaks("architecture-length", path, 251);
}

#[test]
fn a_file_longer_than_600_lines_is_found() {
    Checkout::new().with_module(&"\n".repeat(599)).is_clean();
    Checkout::new().with_module(&"\n".repeat(600)).breaks("file-length", VIEWS, 601);
}

#[test]
fn a_line_wider_than_100_columns_is_found() {
    let line = |columns: usize| format!("// {}\n", "ع".repeat(columns - 3));
    Checkout::new().with_module(&line(100)).is_clean();
    Checkout::new().with_module(&line(101)).breaks("line-length", VIEWS, 2);
}

#[test]
fn a_file_that_does_not_say_what_it_is_is_found() {
    let tree = Checkout::new().with(VIEWS, "struct Orders;\n");
    tree.breaks("opening", VIEWS, 1);
}

#[test]
fn an_open_end_without_an_issue_is_found() {
    let mark = ["TO", "DO"].concat();
    let found = Checkout::new().with_module(&format!("// {mark}: later\n"));
    found.breaks("open-end", VIEWS, 2);
    Checkout::new().with_module(&format!("// {mark}(#12): later\n")).is_clean();
    Checkout::new().with_module(&format!("const {mark}_LIST: u8 = 1;\n")).is_clean();
}

#[test]
fn a_path_of_one_machine_is_found() {
    for folder in ["work", "tmp", "root"] {
        let text = format!("const A: &str = \"/{folder}/data\";\n");
        Checkout::new().with_module(&text).breaks("machine-path", VIEWS, 2);
        let script = format!("cd /{folder}/main\n");
        Checkout::new().with(".ci/run", &script).breaks("machine-path", ".ci/run", 1);
        let route = format!("const A: &str = \"/v1/{folder}/list\";\n");
        Checkout::new().with_module(&route).is_clean();
    }
}

#[test]
fn a_function_longer_than_70_lines_is_found() {
    let function = |lines: usize| format!("fn list() {{\n{}}}\n", "    go();\n".repeat(lines - 2));
    Checkout::new().with_module(&function(70)).is_clean();
    Checkout::new().with_module(&function(71)).breaks("function-length", VIEWS, 2);
}

#[test]
fn a_method_longer_than_70_lines_is_found() {
    let body = "        go();\n".repeat(69);
    let method = format!("impl Orders {{\n    fn list() {{\n{body}    }}\n}}\n");
    Checkout::new().with_module(&method).breaks("function-length", VIEWS, 3);
    let default = format!("trait List {{\n    fn list() {{\n{body}    }}\n}}\n");
    Checkout::new().with_module(&default).breaks("function-length", VIEWS, 3);
}

#[test]
fn braces_in_strings_do_not_make_a_function_longer() {
    let text = format!("fn a() {{\n    say(\"{{{{\");\n}}\n{}", "\n".repeat(80));
    Checkout::new().with_module(&text).is_clean();
}

#[test]
fn an_ignored_test_is_found() {
    let plain = "#[test]\n#[ignore = \"slow\"]\nfn a() {}\n";
    Checkout::new().with_module(plain).breaks("ignored-test", VIEWS, 3);
    let conditional = "#[test]\n#[cfg_attr(unix, ignore)]\nfn a() {}\n";
    Checkout::new().with_module(conditional).breaks("ignored-test", VIEWS, 3);
    Checkout::new().with_module("// #[ignore] is not for us.\n").is_clean();
}

#[test]
fn a_test_that_sleeps_is_found() {
    let in_module =
        "#[cfg(test)]\nmod tests {\n    fn a() {\n        std::thread::sleep(D);\n    }\n}\n";
    Checkout::new().with_module(in_module).breaks("sleeping-test", VIEWS, 5);
    let in_function = "#[tokio::test]\nasync fn a() {\n    tokio::time::sleep(D).await;\n}\n";
    Checkout::new().with_module(in_function).breaks("sleeping-test", VIEWS, 4);
    let imported = "#[cfg(test)]\nmod tests {\n    use tokio::time::{Duration, sleep};\n}\n";
    Checkout::new().with_module(imported).breaks("sleeping-test", VIEWS, 4);
    let in_macro = "#[test]\nfn a() {\n    select! { _ = time::sleep_until(D) => {} }\n}\n";
    Checkout::new().with_module(in_macro).breaks("sleeping-test", VIEWS, 4);
}

#[test]
fn a_file_that_is_all_test_may_not_sleep_either() {
    let sleeps = "//! Tests.\nfn a() {\n    thread::sleep(D);\n}\n";
    for path in ["crates/order/tests/it/main.rs", "tests/src/harness.rs", "tests/crash.rs"] {
        Checkout::new().with(path, sleeps).breaks("sleeping-test", path, 3);
    }
    let path = "crates/order/src/views/checks.rs";
    let declared = Checkout::new().with_module("#[cfg(test)]\nmod checks;\n").with(path, sleeps);
    declared.breaks("sleeping-test", path, 3);
}

#[test]
fn what_is_no_test_may_sleep() {
    let text = "async fn retry() {\n    tokio::time::sleep(D).await;\n}\n";
    Checkout::new().with_module(text).is_clean();
}

#[test]
fn what_is_no_rust_is_named() {
    Checkout::new().with_module("fn a( {}\n").breaks("syntax", VIEWS, 2);
}

#[test]
fn a_domain_that_names_the_outer_world_is_found() {
    let lines = [
        "use serde::Serialize;",
        "use tokio::sync::mpsc;",
        "use std::fs::File;",
        "use std::{collections::BTreeMap, env};",
        "use std::time::Instant;",
        "use nexus_es::EventLog;",
        "use nexus_es::kit::given;",
        "use crate::wire::OrderCreated;",
        "const A: fn() = std::process::abort;",
        "fn a() { let now = SystemTime::now(); }",
        "async fn a() {}",
    ];
    for line in lines {
        let tree = Checkout::new().with_domain_line(line);
        let findings = tree.findings();
        assert!(findings.iter().all(|f| f.rule == "domain-use" && f.file == ORDER), "{line}");
        assert_eq!(findings.len(), 1, "{line}: {findings:?}");
    }
}

#[test]
fn a_domain_that_spells_out_a_dependency_is_found() {
    let manifest = "[dependencies]\nserde = { workspace = true }\nuuid = { workspace = true }\n";
    for line in ["#[derive(serde::Serialize)]\nstruct A;", "\nstruct A(uuid::Uuid);"] {
        let tree = Checkout::new().with_manifest("nexus-order", manifest).with_domain_line(line);
        let findings = tree.findings();
        assert!(findings.iter().all(|f| f.rule == "domain-use" && f.file == ORDER), "{line}");
        assert_eq!(findings.len(), 1, "{line}: {findings:?}");
    }
}

#[test]
fn a_domain_that_may_hide_a_new_event_is_found() {
    let path = "crates/order/src/domain.rs";
    Checkout::new().with(path, "//! Orders.\n").breaks("domain-lints", path, 1);
}

#[test]
fn a_service_that_knows_another_service_is_found() {
    for kind in ["dependencies", "dev-dependencies", "target.'cfg(unix)'.dependencies"] {
        let section = format!("[{kind}]\nnexus-inventory = {{ workspace = true }}");
        let tree = Checkout::new().with_manifest("nexus-order", &section);
        tree.breaks("service-dependency", "crates/order/Cargo.toml", 8);
    }
}

#[test]
fn a_renamed_dependency_is_seen_through() {
    let section = "[dependencies.stock]\npath = \"../inventory\"\npackage = \"nexus-inventory\"";
    let tree = Checkout::new().with_manifest("nexus-order", section);
    tree.breaks("service-dependency", "crates/order/Cargo.toml", 7);
}

#[test]
fn an_adapter_is_named_by_the_binary_and_by_tests_only() {
    let named = "[dependencies]\nnexus-es-sqlite.workspace = true";
    let tree = Checkout::new().with_manifest("nexus-order", named);
    tree.breaks("adapter-dependency", "crates/order/Cargo.toml", 8);
    Checkout::new().with_manifest("nexus", named).is_clean();
    let for_tests = "[dev-dependencies]\nnexus-es-sqlite.workspace = true";
    Checkout::new().with_manifest("nexus-order", for_tests).is_clean();
}

#[test]
fn a_dependency_against_the_layers_is_found() {
    for (name, upwards) in [("nexus-es", "nexus-runtime"), ("nexus-proto", "nexus-es")] {
        let section = format!("[dependencies]\n{upwards} = {{ workspace = true }}");
        let folder = name.strip_prefix("nexus-").unwrap();
        let tree = Checkout::new().with_manifest(name, &section);
        tree.breaks("layer-dependency", &format!("crates/{folder}/Cargo.toml"), 8);
    }
}

#[test]
fn a_crate_without_a_place_in_the_layers_is_found() {
    let tree = Checkout::new().with_manifest("nexus-utils", "");
    tree.breaks("unknown-crate", "crates/utils/Cargo.toml", 1);
}

#[test]
fn a_shapeless_error_outside_of_binaries_and_tests_is_found() {
    let named = "[dependencies]\nanyhow = { workspace = true }";
    let tree = Checkout::new().with_manifest("nexus-order", named);
    tree.breaks("error-kind", "crates/order/Cargo.toml", 8);
    let for_tests = "[dev-dependencies]\nanyhow = { workspace = true }";
    Checkout::new().with_manifest("nexus-order", for_tests).is_clean();
}

#[test]
fn a_crate_without_the_lints_of_the_workspace_is_found() {
    let path = "crates/order/Cargo.toml";
    let tree = Checkout::new().with(path, "[package]\nname = \"nexus-order\"\n");
    tree.breaks("lints", path, 1);
}

#[test]
fn checking_the_same_tree_twice_finds_the_same() {
    let tree = Checkout::new().with("b.txt", "").with("a.txt", "").with_module("fn a( {}\n");
    assert_eq!(tree.findings(), tree.findings());
    assert!(tree.findings().is_sorted());
    assert!(Path::new(&tree.findings().first().unwrap().file).ends_with("a.txt"));
}
