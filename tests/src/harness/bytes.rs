//! Looking for bytes in files.

use std::path::{Path, PathBuf};

use anyhow::Context;

/// Every file below a folder, sorted, but for folders that `skip` names.
///
/// # Errors
/// When a folder cannot be listed.
pub fn files_below(folder: &Path, skip: &[&str]) -> anyhow::Result<Vec<PathBuf>> {
    let mut found = Vec::new();
    let mut folders = vec![folder.to_owned()];
    while let Some(folder) = folders.pop() {
        let listed = std::fs::read_dir(&folder);
        for entry in listed.with_context(|| format!("cannot list {}", folder.display()))? {
            let path = entry?.path();
            let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
            if !path.is_dir() {
                found.push(path);
            } else if !skip.contains(&name.as_str()) {
                folders.push(path);
            }
        }
    }
    found.sort();
    Ok(found)
}

/// Where `needle` begins in `hay`.
#[must_use]
pub fn position(hay: &[u8], needle: &[u8]) -> Option<usize> {
    let (first, rest) = needle.split_first()?;
    let mut from = 0;
    while let Some(offset) = hay.get(from..)?.iter().position(|byte| byte == first) {
        let at = from + offset;
        if hay.get(at + 1..).is_some_and(|after| after.starts_with(rest)) {
            return Some(at);
        }
        from = at + 1;
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_needle_is_found_where_it_begins() {
        assert_eq!(position(b"aab aabb", b"aabb"), Some(4));
        assert_eq!(position(b"aab", b"aabb"), None);
        assert_eq!(position(b"", b"a"), None);
    }
}
