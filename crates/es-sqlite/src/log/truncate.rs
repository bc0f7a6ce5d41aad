//! Moves pages from the write-ahead log into the database file, on a connection of its own, so that
//! commits do not wait for it.
//! *Invariant:* a failed sync here stops the log too: the pages it was about may be lost, and the
//! write-ahead log that still has them must not be reused.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use nexus_es::tasks::Tasks;
use sqlx::sqlite::{SqliteConnectOptions, SqliteConnection};
use sqlx::{ConnectOptions, Connection};
use tokio::sync::mpsc;

use super::Stopped;
use crate::database::{SQLITE_BUSY, SQLITE_FULL, SQLITE_LOCKED, code};

/// New bytes after which pages are moved.
const EVERY_BYTES: usize = 4 * 1024 * 1024;

/// Pages of write-ahead log from which on the writer helps to come to its end (16 MiB).
const LONG: i64 = 4_096;

/// The writer's end of it.
#[derive(Debug)]
pub(super) struct Truncation {
    wake: mpsc::Sender<()>,
    /// The write-ahead log is long. Only the writer, between two commits, can move the last of it.
    long: Arc<AtomicBool>,
    written: usize,
}

impl Truncation {
    pub(super) async fn start(
        options: &SqliteConnectOptions,
        tasks: &Tasks,
        stopped: &Stopped,
    ) -> Result<Self, sqlx::Error> {
        let mut connection = options.clone().connect().await?;
        let (wake, mut woken) = mpsc::channel(1);
        let long = Arc::new(AtomicBool::new(false));
        let (told, stopped) = (long.clone(), stopped.clone());
        // Ends when the writer does, which drops `wake`.
        tasks.spawn("truncate the write-ahead log", async move {
            while woken.recv().await.is_some() && stopped.unavailable().is_none() {
                if let Some(pages) = pass(&mut connection, &stopped).await {
                    told.store(pages > LONG, Ordering::Relaxed);
                }
            }
            end(connection, &stopped).await;
        });
        Ok(Self { wake, long, written: 0 })
    }

    /// Told by the writer after each group; `connection` is its own, and idle.
    pub(super) async fn wrote(
        &mut self,
        bytes: usize,
        connection: &mut SqliteConnection,
        stopped: &Stopped,
    ) {
        self.written += bytes;
        if self.written < EVERY_BYTES {
            return;
        }
        self.written = 0;
        if self.long.swap(false, Ordering::Relaxed) {
            // The other connection has moved nearly all: what came since is little, and when none
            // is left the next commit begins the write-ahead log anew.
            pass(connection, stopped).await;
        }
        // One that is already on its way will do.
        self.wake.try_send(()).ok();
    }
}

/// Moves what can be moved without waiting for anybody; answers how long the log is, in pages.
async fn pass(connection: &mut SqliteConnection, stopped: &Stopped) -> Option<i64> {
    // Its row: whether it was kept from working, the log's pages, how many of them are moved.
    let moved: Result<(i64, i64, i64), _> =
        sqlx::query_as("PRAGMA wal_checkpoint(PASSIVE)").fetch_one(connection).await;
    match moved {
        Ok((_, pages, _)) => Some(pages),
        Err(error) if matches!(code(&error), Some(SQLITE_BUSY | SQLITE_LOCKED | SQLITE_FULL)) => {
            tracing::warn!("cannot shorten the log's write-ahead log now: {error}");
            None
        }
        Err(error) => {
            stopped.stop(&error);
            None
        }
    }
}

/// Moves everything, when nobody else is there yet.
pub(super) async fn all(connection: &mut SqliteConnection) -> Result<(), sqlx::Error> {
    sqlx::query("PRAGMA wal_checkpoint(TRUNCATE)").fetch_one(connection).await?;
    Ok(())
}

/// Closes a connection that writes. The last one to close syncs the files: after a failed sync that
/// could make lost pages look kept, so then it is left as if the process had been killed.
pub(super) async fn end(connection: SqliteConnection, stopped: &Stopped) {
    if stopped.unavailable().is_some() {
        std::mem::forget(connection);
    } else if let Err(error) = connection.close().await {
        tracing::warn!("closing the log: {error}");
    }
}
