//! Wrapped data keys in `keys.db`, and the erase ledger in `erased.db` beside it.
//! *Invariant:* an id in the ledger has no key: not after a crash between the two files, and not
//! after an older `keys.db` was put back.

use std::path::Path;

use async_trait::async_trait;
use nexus_es::ports::{Erased, KeyStore, PortError, WrappedKey};
use sqlx::sqlite::{SqlitePool, SqliteSynchronous};

use crate::database::{self, Tables, explain, failed};
use crate::store::Error;

const KEYS: Tables = &["
    CREATE TABLE keys (
        key_id TEXT PRIMARY KEY,
        master_id TEXT NOT NULL,
        wrapped BLOB NOT NULL
    ) STRICT, WITHOUT ROWID;
"];

const LEDGER: Tables = &["
    CREATE TABLE erased (key_id TEXT PRIMARY KEY) STRICT, WITHOUT ROWID;
"];

/// Wrapped keys in a table. A deleted key is overwritten in the file and in its write-ahead log.
#[derive(Debug)]
pub struct SqliteKeyStore {
    keys: SqlitePool,
}

impl SqliteKeyStore {
    pub(crate) async fn open(dir: &Path) -> Result<Self, Error> {
        let (file, ledger) = (dir.join("keys.db"), dir.join("erased.db"));
        database::prepare(&ledger, &database::options(&ledger, SqliteSynchronous::Full), LEDGER)
            .await?;
        let options =
            database::options(&file, SqliteSynchronous::Full).pragma("secure_delete", "ON");
        database::prepare(&file, &options, KEYS).await?;
        let attached = ledger.to_string_lossy().into_owned();
        let pool = database::pool(1).after_connect(move |connection, _| {
            let attached = attached.clone();
            Box::pin(async move {
                sqlx::query("ATTACH DATABASE ?1 AS ledger")
                    .bind(attached)
                    .execute(&mut *connection)
                    .await?;
                sqlx::raw_sql("PRAGMA ledger.synchronous = FULL").execute(connection).await?;
                Ok(())
            })
        });
        let failed = |source| explain(&file, source);
        let keys = pool.connect_with(options).await.map_err(failed)?;
        let store = Self { keys };
        store.replay_ledger().await.map_err(failed)?;
        Ok(store)
    }

    /// The keys as they are, for reading only: nothing is made, deleted or replayed.
    pub(crate) async fn open_read_only(dir: &Path) -> Result<Self, Error> {
        let file = dir.join("keys.db");
        if !file.is_file() {
            return Err(Error::Missing { dir: dir.to_owned() });
        }
        let options = database::options(&file, SqliteSynchronous::Full).read_only(true);
        let keys = database::pool(1).connect_with(options).await;
        Ok(Self { keys: keys.map_err(|source| explain(&file, source))? })
    }

    /// Deletes again what was deleted before: the keys may come from a backup.
    async fn replay_ledger(&self) -> Result<(), sqlx::Error> {
        let deleted =
            sqlx::query("DELETE FROM keys WHERE key_id IN (SELECT key_id FROM ledger.erased)")
                .execute(&self.keys)
                .await?;
        if deleted.rows_affected() > 0 {
            let count = deleted.rows_affected();
            tracing::warn!(count, "{count} erased keys had come back and are deleted again");
        }
        self.forget().await
    }

    /// Empties the write-ahead log, which holds deleted keys until then.
    async fn forget(&self) -> Result<(), sqlx::Error> {
        let (busy, _, _): (i64, i64, i64) =
            sqlx::query_as("PRAGMA main.wal_checkpoint(TRUNCATE)").fetch_one(&self.keys).await?;
        if busy == 0 {
            Ok(())
        } else {
            Err(sqlx::Error::Protocol("keys.db is being read by another program".to_owned()))
        }
    }

    async fn erase(&self, key_id: &str) -> Result<(), sqlx::Error> {
        // The ledger first: a crash between the two is put right by the replay at the next start.
        sqlx::query("INSERT INTO ledger.erased (key_id) VALUES (?1) ON CONFLICT DO NOTHING")
            .bind(key_id)
            .execute(&self.keys)
            .await?;
        sqlx::query("DELETE FROM keys WHERE key_id = ?1").bind(key_id).execute(&self.keys).await?;
        self.forget().await
    }

    pub(crate) async fn close(&self) {
        self.keys.close().await;
    }
}

#[async_trait]
impl KeyStore for SqliteKeyStore {
    async fn get(&self, key_id: &str) -> Result<Option<WrappedKey>, PortError> {
        let key: Option<(String, Vec<u8>)> =
            sqlx::query_as("SELECT master_id, wrapped FROM keys WHERE key_id = ?1")
                .bind(key_id)
                .fetch_optional(&self.keys)
                .await
                .map_err(failed("key store"))?;
        Ok(key.map(|(master_id, wrapped)| WrappedKey { master_id, wrapped }))
    }

    async fn create(&self, key_id: &str, key: WrappedKey) -> Result<WrappedKey, PortError> {
        // One statement: between a look into the ledger and the insert, the id could be erased.
        sqlx::query(
            "INSERT INTO keys (key_id, master_id, wrapped) SELECT ?1, ?2, ?3
             WHERE NOT EXISTS (SELECT 1 FROM ledger.erased WHERE key_id = ?1)
             ON CONFLICT (key_id) DO NOTHING",
        )
        .bind(key_id)
        .bind(key.master_id)
        .bind(key.wrapped)
        .execute(&self.keys)
        .await
        .map_err(failed("key store"))?;
        self.get(key_id).await?.ok_or_else(Erased::refuse)
    }

    async fn rewrap(&self, key_id: &str, key: WrappedKey) -> Result<(), PortError> {
        sqlx::query("UPDATE keys SET master_id = ?2, wrapped = ?3 WHERE key_id = ?1")
            .bind(key_id)
            .bind(key.master_id)
            .bind(key.wrapped)
            .execute(&self.keys)
            .await
            .map_err(failed("key store"))?;
        Ok(())
    }

    async fn delete(&self, key_id: &str) -> Result<(), PortError> {
        self.erase(key_id).await.map_err(failed("key store"))
    }

    async fn list(&self) -> Result<Vec<String>, PortError> {
        sqlx::query_scalar("SELECT key_id FROM keys ORDER BY key_id")
            .fetch_all(&self.keys)
            .await
            .map_err(failed("key store"))
    }

    fn is_shared(&self) -> bool {
        false
    }
}
