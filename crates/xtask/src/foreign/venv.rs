//! A Python of the checks' own in the target folder, with the packages that they name.
//!
//! *Invariant:* what is installed is what the list says: another list makes another venv, and a
//! venv that was not finished is made anew.
#![expect(clippy::print_stdout, reason = "a chore talks to the person who started it")]

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, ensure};

/// The parts that Debian keeps in a package of their own, and the oldest Python that the packages
/// run on.
const NEEDED: &str = "import ensurepip, sys, venv; sys.exit(sys.version_info < (3, 10))";
const PYTHON: &str = "python3";

pub(super) fn can_be_made() -> bool {
    let asked = Command::new(PYTHON).args(["-c", NEEDED]).stdin(Stdio::null()).output();
    asked.is_ok_and(|answer| answer.status.success())
}

/// The Python of a venv with all that `requirements` lists.
pub(super) fn ensure(target: &Path, requirements: &Path) -> anyhow::Result<PathBuf> {
    let wanted = fs::read_to_string(requirements)
        .with_context(|| format!("cannot read {}", requirements.display()))?;
    let folder = target.join("tools").join("foreign-venv");
    let installed = folder.join("installed.txt");
    let python = folder.join("bin").join("python");
    if is_complete(&python, &installed, &wanted) {
        println!("xtask: the packages of {} are there", requirements.display());
        return Ok(python);
    }
    let mut make = Command::new(PYTHON);
    make.args(["-m", "venv", "--clear"]).arg(&folder);
    run(&mut make)?;
    let mut install = Command::new(&python);
    install.args(["-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--no-input"]);
    // Nothing that would need a compiler here.
    install.args(["--only-binary", ":all:", "--requirement"]).arg(requirements);
    run(&mut install)?;
    fs::write(&installed, wanted)
        .with_context(|| format!("cannot write {}", installed.display()))?;
    Ok(python)
}

/// Whether that list was installed, for a Python that is still there.
fn is_complete(python: &Path, installed: &Path, wanted: &str) -> bool {
    let same = fs::read_to_string(installed).is_ok_and(|installed| installed == wanted);
    same && super::answers(&python.to_string_lossy(), "--version")
}

fn run(command: &mut Command) -> anyhow::Result<()> {
    let words = crate::run_tests::in_words(command);
    println!("xtask: {words}");
    let status = command.stdin(Stdio::null()).status();
    let status = status.with_context(|| format!("cannot start {words}"))?;
    ensure!(status.success(), "`{words}` ended with {status}");
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_venv_is_kept_for_the_same_list_alone() {
        let folder = tempfile::tempdir().unwrap();
        let installed = folder.path().join("installed.txt");
        let python = Path::new("true");
        assert!(!is_complete(python, &installed, "grpcio==1"));
        fs::write(&installed, "grpcio==1").unwrap();
        assert!(is_complete(python, &installed, "grpcio==1"));
        assert!(!is_complete(python, &installed, "grpcio==2"));
        assert!(!is_complete(&folder.path().join("python"), &installed, "grpcio==1"));
    }
}
