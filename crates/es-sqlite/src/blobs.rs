//! Blobs as files that are named by their content.
//! *Invariant:* a name stands for whole bytes or for nothing: files are written aside, synced, and
//! then renamed.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use async_trait::async_trait;
use bytes::Bytes;
use nexus_es::commit::sha256;
use nexus_es::ports::{Blobs, PortError};

use crate::directory;
use crate::store::Error;

/// Blobs in `blobs/`, spread over 256 directories by the first byte of their hash.
#[derive(Clone, Debug)]
pub struct FileBlobs {
    dir: PathBuf,
}

/// The bytes under a hash are not those that were stored.
#[derive(Debug, thiserror::Error)]
#[error("the blob {0} does not match its hash")]
struct Changed(String);

impl FileBlobs {
    pub(crate) fn open(dir: &Path) -> Result<Self, Error> {
        let dir = dir.join("blobs");
        let aside = dir.join("new");
        directory::create(&aside)?;
        // What was not renamed before a crash was never acknowledged.
        let emptied = fs::read_dir(&aside)
            .and_then(|mut left| left.try_for_each(|file| fs::remove_file(file?.path())));
        emptied.map_err(|source| Error::Directory { path: aside, source })?;
        Ok(Self { dir })
    }

    fn place(&self, hash: &str) -> Option<PathBuf> {
        // Only a hash: anything else could be a path out of the store.
        let digits = hash.bytes().all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b));
        let first = hash.get(..2).filter(|_| digits && hash.len() == 64)?;
        Some(self.dir.join(first).join(hash))
    }

    fn write(&self, hash: &str, bytes: &[u8]) -> io::Result<()> {
        let place = self.place(hash).ok_or(io::ErrorKind::InvalidInput)?;
        let shelf = place.parent().ok_or(io::ErrorKind::InvalidInput)?;
        directory::create(shelf).map_err(io::Error::other)?;
        // A blob that is there but damaged is made good.
        if !fs::read(&place).is_ok_and(|kept| kept == bytes) {
            let aside = self.dir.join("new").join(uuid::Uuid::now_v7().to_string());
            let mut file = new_file(&aside)?;
            file.write_all(bytes)?;
            file.sync_all()?;
            fs::rename(&aside, &place)?;
        }
        // Also for one that was there: who renamed it may not have come to this line.
        directory::sync(shelf)
    }

    fn read(&self, hash: &str) -> io::Result<Option<Bytes>> {
        let Some(place) = self.place(hash) else { return Ok(None) };
        match fs::read(place) {
            Ok(bytes) if hex::encode(sha256(&bytes)) == hash => Ok(Some(Bytes::from(bytes))),
            Ok(_) => Err(io::Error::other(Changed(hash.to_owned()))),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error),
        }
    }
}

fn new_file(path: &Path) -> io::Result<File> {
    OpenOptions::new().write(true).create_new(true).mode(0o600).open(path)
}

/// Runs `work` where waiting for the disk holds up nobody.
async fn aside<T: Send + 'static>(
    work: impl FnOnce() -> io::Result<T> + Send + 'static,
) -> Result<T, PortError> {
    let failed = |source: io::Error| PortError { port: "blobs", source: Box::new(source) };
    let done = tokio::task::spawn_blocking(work).await;
    done.map_err(|stopped| failed(io::Error::other(stopped)))?.map_err(failed)
}

#[async_trait]
impl Blobs for FileBlobs {
    async fn put(&self, bytes: Bytes) -> Result<String, PortError> {
        let store = self.clone();
        aside(move || {
            let hash = hex::encode(sha256(&bytes));
            store.write(&hash, &bytes)?;
            Ok(hash)
        })
        .await
    }

    async fn get(&self, hash: &str) -> Result<Option<Bytes>, PortError> {
        let (store, hash) = (self.clone(), hash.to_owned());
        aside(move || store.read(&hash)).await
    }
}
