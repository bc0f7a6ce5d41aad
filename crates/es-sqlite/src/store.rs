//! One directory with everything that an embedded Nexus keeps.
//! *Invariant:* the lock is held from before the first file is opened until the last one is closed.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use nexus_es::tasks::Tasks;

use crate::directory::{self, Lock};
use crate::{FileBlobs, SqliteCheckpoints, SqliteKeyStore, SqliteLeases, SqliteLog, SqliteTimers};

/// How long closing waits for appends that are still on their way to the disk.
const PATIENCE: Duration = Duration::from_secs(30);

/// Why a directory cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Another process has it open for writing.
    #[error("{} is in use by another nexus: stop it, or choose another directory", dir.display())]
    InUse {
        /// The directory.
        dir: PathBuf,
    },
    /// The operating system refuses.
    #[error("cannot prepare {}", path.display())]
    Directory {
        /// The file or directory.
        path: PathBuf,
        /// What the system says.
        #[source]
        source: std::io::Error,
    },
    /// There is nothing to read yet.
    #[error("{} holds no log of nexus", dir.display())]
    Missing {
        /// The directory.
        dir: PathBuf,
    },
    /// The file is no database, or one of another program.
    #[error("{} is not a database of nexus", file.display())]
    Foreign {
        /// The file.
        file: PathBuf,
    },
    /// The file was ours, and is broken.
    #[error("{} is damaged: restore it from a backup", file.display())]
    Damaged {
        /// The file.
        file: PathBuf,
        /// What `SQLite` says.
        #[source]
        source: sqlx::Error,
    },
    /// A newer program has changed the file's tables.
    #[error("{} was written by a newer nexus: its tables are version {found}, and {known} is known",
        file.display())]
    Newer {
        /// The file.
        file: PathBuf,
        /// The version found.
        found: i64,
        /// The newest version that this program knows.
        known: i64,
    },
    /// The file cannot be opened or read.
    #[error("cannot open {}", file.display())]
    Database {
        /// The file.
        file: PathBuf,
        /// What `SQLite` says.
        #[source]
        source: sqlx::Error,
    },
}

/// All ports of one embedded Nexus, in one directory.
#[derive(Debug)]
pub struct SqliteStore {
    log: Arc<SqliteLog>,
    leases: Arc<SqliteLeases>,
    checkpoints: Arc<SqliteCheckpoints>,
    timers: Arc<SqliteTimers>,
    keys: Arc<SqliteKeyStore>,
    blobs: Arc<FileBlobs>,
    tasks: Tasks,
    lock: Arc<Lock>,
}

impl SqliteStore {
    /// Opens `dir` for this process alone, and makes it and its files when they are not there.
    ///
    /// # Errors
    /// [`Error::InUse`] while another process has it; the others when it cannot be used at all.
    pub async fn open(dir: &Path) -> Result<Self, Error> {
        directory::create(dir)?;
        let lock = Arc::new(Lock::take(dir)?);
        let tasks = Tasks::default();
        let log = SqliteLog::open(dir, &tasks, lock.clone()).await?;
        let timers = SqliteTimers::open(dir).await?;
        let leases = SqliteLeases::over(timers.pool(), dir).await?;
        Ok(Self {
            log: Arc::new(log),
            leases: Arc::new(leases),
            checkpoints: Arc::new(SqliteCheckpoints::open(dir).await?),
            timers: Arc::new(timers),
            keys: Arc::new(SqliteKeyStore::open(dir).await?),
            blobs: Arc::new(FileBlobs::open(dir)?),
            tasks,
            lock,
        })
    }

    /// Opens the log in `dir` for reading, whether or not a process has it open for writing.
    /// Nothing in `dir` is changed.
    ///
    /// # Errors
    /// [`Error::Missing`] when there is no log; the others when it cannot be read.
    pub async fn open_read_only(dir: &Path) -> Result<Arc<SqliteLog>, Error> {
        Ok(Arc::new(SqliteLog::open_read_only(dir).await?))
    }

    /// Opens the wrapped keys in `dir` for reading, whether or not a process has them open.
    ///
    /// # Errors
    /// [`Error::Missing`] when there are none; the others when they cannot be read.
    pub async fn open_keys_read_only(dir: &Path) -> Result<Arc<SqliteKeyStore>, Error> {
        Ok(Arc::new(SqliteKeyStore::open_read_only(dir).await?))
    }

    /// The log of all services.
    #[must_use]
    pub fn log(&self) -> Arc<SqliteLog> {
        self.log.clone()
    }

    /// The leases.
    #[must_use]
    pub fn leases(&self) -> Arc<SqliteLeases> {
        self.leases.clone()
    }

    /// The checkpoints.
    #[must_use]
    pub fn checkpoints(&self) -> Arc<SqliteCheckpoints> {
        self.checkpoints.clone()
    }

    /// The timers.
    #[must_use]
    pub fn timers(&self) -> Arc<SqliteTimers> {
        self.timers.clone()
    }

    /// The wrapped keys.
    #[must_use]
    pub fn keys(&self) -> Arc<SqliteKeyStore> {
        self.keys.clone()
    }

    /// The blobs.
    #[must_use]
    pub fn blobs(&self) -> Arc<FileBlobs> {
        self.blobs.clone()
    }

    /// Writes what is on its way, closes all files and frees the directory. From then on the ports
    /// answer that they cannot be reached.
    pub async fn close(&self) {
        if !self.tasks.shut_down(PATIENCE).await {
            tracing::error!("the log did not finish writing within {PATIENCE:?}");
        }
        self.log.close().await;
        self.timers.pool().close().await;
        self.checkpoints.close().await;
        self.keys.close().await;
        self.lock.free();
    }
}
