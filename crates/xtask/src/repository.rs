//! Where this repository and its target folder lie.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, ensure};

/// The root of the workspace.
pub(crate) fn root() -> anyhow::Result<PathBuf> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).ancestors().nth(2);
    Ok(root.context("xtask lies outside of a workspace")?.to_owned())
}

/// The folder that cargo builds into, wherever settings or the environment put it.
pub(crate) fn target_dir(root: &Path) -> anyhow::Result<PathBuf> {
    let answer = Command::new("cargo")
        .args(["metadata", "--no-deps", "--format-version", "1"])
        .current_dir(root)
        .output()
        .context("cannot start cargo metadata")?;
    ensure!(
        answer.status.success(),
        "cargo metadata failed: {}",
        String::from_utf8_lossy(&answer.stderr).trim()
    );
    let metadata: serde_json::Value = serde_json::from_slice(&answer.stdout)?;
    let target = metadata.get("target_directory").and_then(|value| value.as_str());
    Ok(PathBuf::from(target.context("cargo metadata names no target directory")?))
}
