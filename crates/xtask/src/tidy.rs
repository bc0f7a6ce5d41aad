//! The rules of this repository that neither rustc, clippy nor rustfmt know.
//!
//! *Invariant:* checking reads and never writes, and the same tree always gets the same findings.

mod code;
mod domain;
mod layout;
mod manifests;
mod texts;
mod tree;

use std::fmt;
use std::path::Path;

pub(crate) use tree::Tree;

/// One place that breaks a rule. The order is that of reading: by file, then by line.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Finding {
    file: String,
    line: usize,
    rule: &'static str,
    remedy: String,
}

impl Finding {
    fn new(file: &str, line: usize, rule: &'static str, remedy: impl Into<String>) -> Self {
        Self { file: file.to_owned(), line, rule, remedy: remedy.into() }
    }
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}: [{}] {}", self.file, self.line, self.rule, self.remedy)
    }
}

/// Everything under `root` that breaks a rule.
pub(crate) fn check(root: &Path) -> anyhow::Result<Vec<Finding>> {
    let tree = Tree::read(root)?;
    let (modules, mut findings) = code::parse(&tree);
    findings.extend(layout::check(&tree));
    findings.extend(texts::check(&tree));
    findings.extend(code::check(&modules));
    let (packages, in_manifests) = manifests::check(&tree);
    findings.extend(in_manifests);
    findings.extend(domain::check(&modules, &packages));
    findings.sort();
    findings.dedup_by(|a, b| (&a.file, a.line, a.rule) == (&b.file, b.line, b.rule));
    Ok(findings)
}

#[cfg(test)]
mod tests;
