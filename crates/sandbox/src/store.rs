//! One SQLite file a server: its own tables beside settings, call counters, faults and the outbox.
//! *Invariant:* one connection, so transactions happen one after the other and a read inside one is
//! still true when it commits.

use std::path::Path;

use serde::Serialize;
use serde::de::DeserializeOwned;
use sqlx::SqlitePool;
use sqlx::sqlite::{SqliteConnectOptions, SqliteJournalMode, SqlitePoolOptions, SqliteSynchronous};

use crate::failure::Error;

const SHARED_TABLES: &[&str] = &[
    "CREATE TABLE IF NOT EXISTS setting (name TEXT PRIMARY KEY, value TEXT NOT NULL)",
    "CREATE TABLE IF NOT EXISTS call (route TEXT PRIMARY KEY, times INTEGER NOT NULL)",
    "CREATE TABLE IF NOT EXISTS fault (seq INTEGER PRIMARY KEY AUTOINCREMENT, \
     fault TEXT NOT NULL, times INTEGER NOT NULL, options TEXT NOT NULL)",
    "CREATE TABLE IF NOT EXISTS outbox (seq INTEGER PRIMARY KEY AUTOINCREMENT, \
     subject TEXT NOT NULL, url TEXT NOT NULL, headers TEXT NOT NULL, body TEXT NOT NULL, \
     due_ms INTEGER NOT NULL, attempts INTEGER NOT NULL DEFAULT 0, \
     last_answer TEXT, done INTEGER NOT NULL DEFAULT 0)",
    "CREATE INDEX IF NOT EXISTS outbox_due ON outbox (due_ms) WHERE done = 0",
];

pub(crate) async fn open(
    path: &Path,
    tables: &'static [&'static str],
) -> Result<SqlitePool, Error> {
    // WAL with NORMAL keeps every commit through a killed process, which is what is promised.
    let options = SqliteConnectOptions::new()
        .filename(path)
        .create_if_missing(true)
        .journal_mode(SqliteJournalMode::Wal)
        .synchronous(SqliteSynchronous::Normal);
    let failed = |source| Error::Open { path: path.to_owned(), source };
    let pool = SqlitePoolOptions::new()
        .max_connections(1)
        .test_before_acquire(false)
        .idle_timeout(None)
        .max_lifetime(None)
        .connect_with(options)
        .await
        .map_err(failed)?;
    for table in SHARED_TABLES.iter().chain(tables) {
        sqlx::query(*table).execute(&pool).await.map_err(failed)?;
    }
    Ok(pool)
}

pub(crate) async fn setting<T: DeserializeOwned>(
    pool: &SqlitePool,
    name: &str,
) -> Result<Option<T>, Error> {
    let found: Option<String> = sqlx::query_scalar("SELECT value FROM setting WHERE name = $1")
        .bind(name)
        .fetch_optional(pool)
        .await?;
    Ok(found.map(|value| serde_json::from_str(&value)).transpose()?)
}

pub(crate) async fn set_setting<T: Serialize>(
    pool: &SqlitePool,
    name: &str,
    value: &T,
) -> Result<(), Error> {
    sqlx::query(
        "INSERT INTO setting (name, value) VALUES ($1, $2) \
         ON CONFLICT (name) DO UPDATE SET value = excluded.value",
    )
    .bind(name)
    .bind(serde_json::to_string(value)?)
    .execute(pool)
    .await?;
    Ok(())
}

pub(crate) async fn count_call(pool: &SqlitePool, route: &str) -> Result<(), Error> {
    sqlx::query(
        "INSERT INTO call (route, times) VALUES ($1, 1) \
         ON CONFLICT (route) DO UPDATE SET times = times + 1",
    )
    .bind(route)
    .execute(pool)
    .await?;
    Ok(())
}

pub(crate) async fn calls(pool: &SqlitePool) -> Result<Vec<(String, i64)>, Error> {
    Ok(sqlx::query_as("SELECT route, times FROM call ORDER BY route").fetch_all(pool).await?)
}
