//! Leases in `work.db`.
//! *Invariant:* a fencing number never comes back, not even after a restart.

use std::path::Path;
use std::time::Duration;

use async_trait::async_trait;
use nexus_es::clock;
use nexus_es::ports::{Lease, Leases, PortError};
use sqlx::sqlite::SqlitePool;

use crate::database::{explain, failed};
use crate::store::Error;

/// Leases in a table.
#[derive(Debug)]
pub struct SqliteLeases {
    work: SqlitePool,
}

impl SqliteLeases {
    /// The leases in `work.db`, all free: whoever had one is gone, since the directory is ours.
    pub(crate) async fn over(work: SqlitePool, dir: &Path) -> Result<Self, Error> {
        sqlx::query("UPDATE leases SET owner = NULL, until_ms = 0 WHERE owner IS NOT NULL")
            .execute(&work)
            .await
            .map_err(|source| explain(&dir.join("work.db"), source))?;
        Ok(Self { work })
    }
}

#[async_trait]
impl Leases for SqliteLeases {
    async fn acquire(
        &self,
        name: &str,
        owner: &str,
        ttl: Duration,
    ) -> Result<Option<Lease>, PortError> {
        let now_ms = clock::now_ms();
        let ttl_ms = i64::try_from(ttl.as_millis()).unwrap_or(i64::MAX);
        let fencing: Option<i64> = sqlx::query_scalar(
            "INSERT INTO leases (name, owner, last_owner, until_ms, fencing)
             VALUES (?1, ?2, ?2, ?3, 1)
             ON CONFLICT (name) DO UPDATE SET
                 owner = excluded.owner,
                 last_owner = excluded.owner,
                 until_ms = excluded.until_ms,
                 fencing = fencing + (last_owner <> excluded.owner)
             WHERE owner IS NULL OR owner = excluded.owner OR until_ms <= ?4
             RETURNING fencing",
        )
        .bind(name)
        .bind(owner)
        .bind(now_ms.saturating_add(ttl_ms))
        .bind(now_ms)
        .fetch_optional(&self.work)
        .await
        .map_err(failed("leases"))?;
        Ok(fencing.map(|fencing| Lease { fencing: fencing.unsigned_abs() }))
    }

    async fn holder(&self, name: &str) -> Result<Option<String>, PortError> {
        sqlx::query_scalar(
            "SELECT owner FROM leases WHERE name = ?1 AND owner IS NOT NULL AND until_ms > ?2",
        )
        .bind(name)
        .bind(clock::now_ms())
        .fetch_optional(&self.work)
        .await
        .map_err(failed("leases"))
    }

    async fn release(&self, name: &str, owner: &str) -> Result<(), PortError> {
        sqlx::query("UPDATE leases SET owner = NULL, until_ms = 0 WHERE name = ?1 AND owner = ?2")
            .bind(name)
            .bind(owner)
            .execute(&self.work)
            .await
            .map_err(failed("leases"))?;
        Ok(())
    }
}
