//! Making directories and files so that they are there after a power loss, and for us alone.
//! *Invariant:* a new name is acknowledged only after its directory is on disk.

use std::fs::{DirBuilder, File, OpenOptions, TryLockError};
use std::io;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::Path;
use std::sync::{Mutex, PoisonError};

use crate::store::Error;

/// Makes `dir`, readable by its owner only, with its parents.
pub(crate) fn create(dir: &Path) -> Result<(), Error> {
    make(dir).map_err(|source| Error::Directory { path: dir.to_owned(), source })
}

fn make(dir: &Path) -> io::Result<()> {
    if dir.is_dir() {
        return Ok(());
    }
    let parent = match dir.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    };
    make(parent)?;
    match DirBuilder::new().mode(0o700).create(dir) {
        Err(error) if error.kind() != io::ErrorKind::AlreadyExists => return Err(error),
        _ => {}
    }
    sync(parent)
}

/// Brings the names in `dir` to the disk.
pub(crate) fn sync(dir: &Path) -> io::Result<()> {
    File::open(dir)?.sync_all()
}

/// Makes an empty `file`, readable by its owner only, unless there is one. `SQLite` gives the files
/// that it puts beside a database the same mode.
pub(crate) fn create_file(file: &Path) -> Result<(), Error> {
    let made = || -> io::Result<()> {
        let new = OpenOptions::new().write(true).create_new(true).mode(0o600).open(file);
        match new {
            Ok(new) => new.sync_all()?,
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => return Ok(()),
            Err(error) => return Err(error),
        }
        file.parent().map_or(Ok(()), sync)
    };
    made().map_err(|source| Error::Directory { path: file.to_owned(), source })
}

/// The right to write a directory, as long as it is held or the process lives.
#[derive(Debug)]
pub(crate) struct Lock(Mutex<Option<File>>);

impl Lock {
    /// Takes the lock of `dir`.
    pub(crate) fn take(dir: &Path) -> Result<Self, Error> {
        let path = dir.join("lock");
        let failed = |source| Error::Directory { path: path.clone(), source };
        create_file(&path)?;
        let file = OpenOptions::new().write(true).open(&path).map_err(failed)?;
        match file.try_lock() {
            Ok(()) => Ok(Self(Mutex::new(Some(file)))),
            Err(TryLockError::WouldBlock) => Err(Error::InUse { dir: dir.to_owned() }),
            Err(TryLockError::Error(source)) => Err(failed(source)),
        }
    }

    /// Gives the directory to others.
    pub(crate) fn free(&self) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).take();
    }
}
