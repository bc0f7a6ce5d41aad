//! Timers in `work.db`.

use std::path::Path;

use async_trait::async_trait;
use nexus_es::ports::{PortError, Timer, Timers};
use sqlx::sqlite::{SqlitePool, SqliteSynchronous};

use crate::database::{self, Tables, failed};
use crate::store::Error;

const TABLES: Tables = &["
    CREATE TABLE timers (
        process TEXT NOT NULL,
        key TEXT NOT NULL,
        due_at_ms INTEGER NOT NULL,
        payload BLOB NOT NULL,
        PRIMARY KEY (process, key)
    ) STRICT, WITHOUT ROWID;
    CREATE INDEX timers_by_due ON timers (process, due_at_ms, key);
    CREATE TABLE leases (
        name TEXT PRIMARY KEY,
        owner TEXT,
        last_owner TEXT NOT NULL,
        until_ms INTEGER NOT NULL,
        fencing INTEGER NOT NULL
    ) STRICT, WITHOUT ROWID;
"];

/// Timers in a table.
#[derive(Debug)]
pub struct SqliteTimers {
    work: SqlitePool,
}

impl SqliteTimers {
    pub(crate) async fn open(dir: &Path) -> Result<Self, Error> {
        let file = dir.join("work.db");
        let options = database::options(&file, SqliteSynchronous::Full);
        Ok(Self { work: database::open_single(&file, options, TABLES).await? })
    }

    /// The file's one connection.
    pub(crate) fn pool(&self) -> SqlitePool {
        self.work.clone()
    }
}

#[async_trait]
impl Timers for SqliteTimers {
    async fn set(&self, timer: Timer) -> Result<(), PortError> {
        sqlx::query(
            "INSERT INTO timers (process, key, due_at_ms, payload) VALUES (?1, ?2, ?3, ?4)
             ON CONFLICT (process, key) DO UPDATE
             SET due_at_ms = excluded.due_at_ms, payload = excluded.payload",
        )
        .bind(timer.process)
        .bind(timer.key)
        .bind(timer.due_at_ms)
        .bind(timer.payload)
        .execute(&self.work)
        .await
        .map_err(failed("timers"))?;
        Ok(())
    }

    async fn cancel(&self, process: &str, key: &str) -> Result<(), PortError> {
        sqlx::query("DELETE FROM timers WHERE process = ?1 AND key = ?2")
            .bind(process)
            .bind(key)
            .execute(&self.work)
            .await
            .map_err(failed("timers"))?;
        Ok(())
    }

    async fn settle(&self, fired: &Timer, next: Option<i64>) -> Result<(), PortError> {
        let settled = match next {
            Some(due_at_ms) => sqlx::query(
                "UPDATE timers SET due_at_ms = ?4 WHERE process = ?1 AND key = ?2 \
                 AND due_at_ms = ?3",
            )
            .bind(&fired.process)
            .bind(&fired.key)
            .bind(fired.due_at_ms)
            .bind(due_at_ms),
            None => {
                sqlx::query("DELETE FROM timers WHERE process = ?1 AND key = ?2 AND due_at_ms = ?3")
                    .bind(&fired.process)
                    .bind(&fired.key)
                    .bind(fired.due_at_ms)
            }
        };
        settled.execute(&self.work).await.map_err(failed("timers"))?;
        Ok(())
    }

    async fn due(&self, process: &str, now_ms: i64, max: usize) -> Result<Vec<Timer>, PortError> {
        let due: Vec<(String, i64, Vec<u8>)> = sqlx::query_as(
            "SELECT key, due_at_ms, payload FROM timers
             WHERE process = ?1 AND due_at_ms <= ?2 ORDER BY due_at_ms, key LIMIT ?3",
        )
        .bind(process)
        .bind(now_ms)
        .bind(i64::try_from(max).unwrap_or(i64::MAX))
        .fetch_all(&self.work)
        .await
        .map_err(failed("timers"))?;
        let timer = |(key, due_at_ms, payload)| Timer {
            process: process.to_owned(),
            key,
            due_at_ms,
            payload,
        };
        Ok(due.into_iter().map(timer).collect())
    }

    async fn next_due(&self, process: &str) -> Result<Option<i64>, PortError> {
        sqlx::query_scalar("SELECT min(due_at_ms) FROM timers WHERE process = ?1")
            .bind(process)
            .fetch_one(&self.work)
            .await
            .map_err(failed("timers"))
    }
}
