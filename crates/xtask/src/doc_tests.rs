//! Which packages have examples in their documentation that rustdoc would run.

use std::path::Path;

use crate::tidy::Tree;

/// Names of the folders under `crates/` with at least one runnable example.
pub(crate) fn packages_with_examples(root: &Path) -> anyhow::Result<Vec<String>> {
    let tree = Tree::read(root)?;
    let mut packages: Vec<String> = tree
        .files()
        .filter(|file| has_example(file.text()))
        .filter_map(|file| file.path().strip_prefix("crates/")?.split_once("/src/"))
        .filter_map(|(folder, _)| package_name(tree.text(&format!("crates/{folder}/Cargo.toml"))?))
        .collect();
    packages.sort();
    packages.dedup();
    Ok(packages)
}

fn package_name(manifest: &str) -> Option<String> {
    let manifest: toml::Table = manifest.parse().ok()?;
    Some(manifest.get("package")?.get("name")?.as_str()?.to_owned())
}

/// Whether a fence in a documentation comment opens an example that rustdoc compiles.
fn has_example(source: &str) -> bool {
    let mut inside = false;
    for line in source.lines().map(str::trim_start) {
        let doc = line.strip_prefix("///").or_else(|| line.strip_prefix("//!"));
        let Some(doc) = doc else {
            inside = false;
            continue;
        };
        let Some(language) = doc.trim().strip_prefix("```") else { continue };
        if !inside && is_rust(language) {
            return true;
        }
        inside = !inside;
    }
    false
}

fn is_rust(language: &str) -> bool {
    let flags = ["rust", "no_run", "should_panic", "compile_fail"];
    language.is_empty() || language.split(',').all(|word| flags.contains(&word.trim()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fence_without_a_language_is_an_example() {
        assert!(has_example("/// ```\n/// let a = 1;\n/// ```\nfn f() {}\n"));
        assert!(has_example("//! Text.\n//! ```no_run\n//! run();\n//! ```\n"));
    }

    #[test]
    fn a_drawing_is_no_example() {
        assert!(!has_example("//! ```text\n//! a -> b\n//! ```\n"));
        assert!(!has_example("let fence = \"```\";\n"));
    }
}
