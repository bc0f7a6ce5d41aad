//! Checkpoints in `checkpoints.db`, a file of its own: it is written often and need not be on disk
//! at once, so it must not cost the log a sync.

use std::path::Path;

use async_trait::async_trait;
use nexus_es::Position;
use nexus_es::ports::{Checkpoints, PortError};
use sqlx::sqlite::{SqlitePool, SqliteSynchronous};

use crate::database::{self, Tables, failed};
use crate::store::Error;

const TABLES: Tables = &["
    CREATE TABLE checkpoints (
        process TEXT NOT NULL,
        service TEXT NOT NULL,
        position INTEGER NOT NULL,
        PRIMARY KEY (process, service)
    ) STRICT, WITHOUT ROWID;
"];

/// Checkpoints in a table.
#[derive(Debug)]
pub struct SqliteCheckpoints {
    pool: SqlitePool,
}

impl SqliteCheckpoints {
    pub(crate) async fn open(dir: &Path) -> Result<Self, Error> {
        let file = dir.join("checkpoints.db");
        let options = database::options(&file, SqliteSynchronous::Normal);
        Ok(Self { pool: database::open_single(&file, options, TABLES).await? })
    }

    pub(crate) async fn close(&self) {
        self.pool.close().await;
    }
}

#[async_trait]
impl Checkpoints for SqliteCheckpoints {
    async fn load(&self, process: &str, service: &str) -> Result<Position, PortError> {
        let position: Option<i64> = sqlx::query_scalar(
            "SELECT position FROM checkpoints WHERE process = ?1 AND service = ?2",
        )
        .bind(process)
        .bind(service)
        .fetch_optional(&self.pool)
        .await
        .map_err(failed("checkpoints"))?;
        Ok(Position(position.map_or(0, i64::unsigned_abs)))
    }

    async fn save(
        &self,
        process: &str,
        service: &str,
        position: Position,
    ) -> Result<(), PortError> {
        sqlx::query(
            "INSERT INTO checkpoints (process, service, position) VALUES (?1, ?2, ?3)
             ON CONFLICT (process, service) DO UPDATE SET position = excluded.position",
        )
        .bind(process)
        .bind(service)
        .bind(i64::try_from(position.0).unwrap_or(i64::MAX))
        .execute(&self.pool)
        .await
        .map_err(failed("checkpoints"))?;
        Ok(())
    }
}
