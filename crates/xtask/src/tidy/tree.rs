//! The files of a checkout, without what git ignores in its root.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use anyhow::Context;

/// A checkout as it was read: paths use `/` and start at the root.
pub(crate) struct Tree {
    root_entries: Vec<String>,
    files: BTreeMap<String, String>,
}

/// One file that holds text. Files that hold no UTF-8 are known by their path, with no text.
#[derive(Clone, Copy)]
pub(crate) struct File<'t> {
    path: &'t str,
    text: &'t str,
}

impl<'t> File<'t> {
    pub(crate) fn path(self) -> &'t str {
        self.path
    }

    pub(crate) fn text(self) -> &'t str {
        self.text
    }

    pub(crate) fn is_rust(self) -> bool {
        self.has_extension(&["rs"])
    }

    pub(crate) fn has_extension(self, extensions: &[&str]) -> bool {
        let extension = Path::new(self.path).extension().and_then(|extension| extension.to_str());
        extension.is_some_and(|extension| extensions.contains(&extension))
    }
}

impl Tree {
    /// Reads all files under `root`.
    pub(crate) fn read(root: &Path) -> anyhow::Result<Self> {
        let ignored = ignored_in_root(root);
        let mut tree = Self { root_entries: vec![], files: BTreeMap::new() };
        for name in names_in(root)? {
            if name == ".git" || ignored.contains(&name) {
                continue;
            }
            tree.add(&root.join(&name), &name)?;
            tree.root_entries.push(name);
        }
        Ok(tree)
    }

    pub(crate) fn files(&self) -> impl Iterator<Item = File<'_>> {
        self.files.iter().map(|(path, text)| File { path, text })
    }

    pub(crate) fn rust_files(&self) -> impl Iterator<Item = File<'_>> {
        self.files().filter(|file| file.is_rust())
    }

    pub(crate) fn text(&self, path: &str) -> Option<&str> {
        self.files.get(path).map(String::as_str)
    }

    /// What lies in the root itself: names of files and folders.
    pub(crate) fn root_entries(&self) -> impl Iterator<Item = &str> {
        self.root_entries.iter().map(String::as_str)
    }

    fn add(&mut self, place: &Path, path: &str) -> anyhow::Result<()> {
        // A link may lead out of the checkout, or in a circle.
        if place.is_symlink() {
            return Ok(());
        }
        if place.is_dir() {
            for name in names_in(place)? {
                self.add(&place.join(&name), &format!("{path}/{name}"))?;
            }
            return Ok(());
        }
        let bytes = fs::read(place).with_context(|| format!("cannot read {path}"))?;
        self.files.insert(path.to_owned(), String::from_utf8(bytes).unwrap_or_default());
        Ok(())
    }
}

fn names_in(folder: &Path) -> anyhow::Result<Vec<String>> {
    let entries = fs::read_dir(folder);
    let entries = entries.with_context(|| format!("cannot list {}", folder.display()))?;
    let mut names = vec![];
    for entry in entries {
        names.push(entry?.file_name().to_string_lossy().into_owned());
    }
    names.sort();
    Ok(names)
}

/// Lines of `.gitignore` such as `/target`; our root needs no other kind.
fn ignored_in_root(root: &Path) -> Vec<String> {
    let lines = fs::read_to_string(root.join(".gitignore")).unwrap_or_default();
    let names = lines.lines().filter_map(|line| line.trim().strip_prefix('/'));
    names.map(|name| name.trim_end_matches('/').to_owned()).collect()
}
