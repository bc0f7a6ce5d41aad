//! The programs of PostgreSQL on this machine.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use crate::StartError;

const OLDEST: u32 = 15;

/// The folder with the newest `initdb`, `postgres` and `createdb` that will do.
pub(crate) fn folder() -> Result<PathBuf, StartError> {
    let mut folders = on_path();
    // Debian keeps them off the path.
    if let Ok(versions) = std::fs::read_dir("/usr/lib/postgresql") {
        folders.extend(versions.flatten().map(|version| version.path().join("bin")));
    }
    let found = folders.into_iter().filter_map(|folder| {
        let postgres = folder.join("postgres").canonicalize().ok()?;
        let real = postgres.parent()?.to_owned();
        let whole = ["initdb", "createdb"].iter().all(|program| real.join(program).is_file());
        let version = whole.then(|| version(&postgres)).flatten()?;
        (version >= OLDEST).then_some((version, real))
    });
    found.max().map(|(_, folder)| folder).ok_or(StartError::Missing)
}

fn on_path() -> Vec<PathBuf> {
    std::env::var_os("PATH").map(|path| std::env::split_paths(&path).collect()).unwrap_or_default()
}

fn version(postgres: &Path) -> Option<u32> {
    let said = Command::new(postgres).arg("--version").stdin(Stdio::null()).output().ok()?;
    parsed(&String::from_utf8_lossy(&said.stdout))
}

/// Reads `postgres (PostgreSQL) 15.14 (Debian 15.14-0+deb12u1)`.
fn parsed(said: &str) -> Option<u32> {
    let number = said.strip_prefix("postgres (PostgreSQL) ")?;
    number.split(|c: char| !c.is_ascii_digit()).next()?.parse().ok()
}

/// Runs a program to its end.
pub(crate) fn run(command: &mut Command) -> Result<(), StartError> {
    let done = command.stdin(Stdio::null()).output()?;
    if done.status.success() {
        return Ok(());
    }
    let program = command.get_program().to_string_lossy().into_owned();
    Err(StartError::Failed { program, said: String::from_utf8_lossy(&done.stderr).into_owned() })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_are_read_as_postgresql_says_them() {
        assert_eq!(parsed("postgres (PostgreSQL) 15.14 (Debian 15.14-0+deb12u1)\n"), Some(15));
        assert_eq!(parsed("postgres (PostgreSQL) 18beta1\n"), Some(18));
        assert_eq!(parsed("mysqld 8"), None);
    }
}
