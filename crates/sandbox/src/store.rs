//! One SQLite file a server: its own tables beside settings, call counters, faults and the outbox.
//! Settings and counters are read from memory: a statement costs two changes of thread.
//! *Invariant:* one connection, so batches are written one after the other; what can be read in
//! memory is in the file already, but for the counters of the last second.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use serde::Serialize;
use serde::de::DeserializeOwned;
use sqlx::query_builder::Separated;
use sqlx::sqlite::{SqliteConnectOptions, SqliteJournalMode, SqlitePoolOptions, SqliteSynchronous};
use sqlx::{QueryBuilder, Sqlite, SqlitePool};
use tokio_util::sync::CancellationToken;

use crate::failure::{Error, report};

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

const COUNTERS_EVERY: Duration = Duration::from_secs(1);

#[derive(Debug)]
pub(crate) struct Store {
    pub(crate) pool: SqlitePool,
    settings: Mutex<BTreeMap<String, String>>,
    calls: Mutex<BTreeMap<String, Counter>>,
}

#[derive(Debug, Default, Clone, Copy)]
struct Counter {
    times: i64,
    stored: i64,
}

/// Statements that become true together.
#[derive(Default)]
pub(crate) struct Batch(Vec<QueryBuilder<Sqlite>>);

impl Batch {
    pub(crate) fn add(&mut self, statement: QueryBuilder<Sqlite>) {
        self.0.push(statement);
    }

    /// One statement for all rows, with `VALUES (…), (…)` between its two parts; none for no rows.
    pub(crate) fn rows<T>(
        &mut self,
        before: &str,
        rows: impl IntoIterator<Item = T>,
        bind: impl FnMut(Separated<'_, Sqlite, &'static str>, T),
        after: &str,
    ) {
        let mut rows = rows.into_iter().peekable();
        if rows.peek().is_some() {
            let mut statement = QueryBuilder::new(before);
            statement.push_values(rows, bind).push(after);
            self.add(statement);
        }
    }
}

impl Store {
    pub(crate) async fn open(path: &Path, tables: &'static [&'static str]) -> Result<Self, Error> {
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
        let settings: Vec<(String, String)> =
            sqlx::query_as("SELECT name, value FROM setting").fetch_all(&pool).await?;
        let calls: Vec<(String, i64)> =
            sqlx::query_as("SELECT route, times FROM call").fetch_all(&pool).await?;
        let calls =
            calls.into_iter().map(|(route, times)| (route, Counter { times, stored: times }));
        Ok(Self {
            pool,
            settings: Mutex::new(settings.into_iter().collect()),
            calls: Mutex::new(calls.collect()),
        })
    }

    /// One statement is a transaction by itself.
    pub(crate) async fn write(&self, mut batch: Batch) -> Result<(), Error> {
        match batch.0.as_mut_slice() {
            [] => {}
            [only] => {
                only.build().execute(&self.pool).await?;
            }
            all => {
                let mut transaction = self.pool.begin().await?;
                for statement in all {
                    statement.build().execute(&mut *transaction).await?;
                }
                transaction.commit().await?;
            }
        }
        Ok(())
    }

    /// The greatest `seq` that one of the tables ever gave out.
    pub(crate) async fn last_seq(&self, table: &str) -> Result<i64, Error> {
        let last = sqlx::query_scalar("SELECT seq FROM sqlite_sequence WHERE name = $1");
        Ok(last.bind(table).fetch_optional(&self.pool).await?.unwrap_or(0))
    }

    pub(crate) fn setting<T: DeserializeOwned>(&self, name: &str) -> Result<Option<T>, Error> {
        let settings = locked(&self.settings);
        Ok(settings.get(name).map(|value| serde_json::from_str(value)).transpose()?)
    }

    pub(crate) async fn set_setting<T: Serialize>(
        &self,
        name: &str,
        value: &T,
    ) -> Result<(), Error> {
        let value = serde_json::to_string(value)?;
        sqlx::query(
            "INSERT INTO setting (name, value) VALUES ($1, $2) \
             ON CONFLICT (name) DO UPDATE SET value = excluded.value",
        )
        .bind(name)
        .bind(&value)
        .execute(&self.pool)
        .await?;
        locked(&self.settings).insert(name.to_owned(), value);
        Ok(())
    }

    pub(crate) fn count_call(&self, route: String) {
        locked(&self.calls).entry(route).or_default().times += 1;
    }

    /// How often each route was called; what this answers is in the file.
    pub(crate) async fn calls(&self) -> Result<Vec<(String, i64)>, Error> {
        self.store_calls().await?;
        let calls = locked(&self.calls);
        Ok(calls.iter().map(|(route, counter)| (route.clone(), counter.stored)).collect())
    }

    async fn store_calls(&self) -> Result<(), Error> {
        let news: Vec<(String, i64)> = locked(&self.calls)
            .iter()
            .filter(|(_, counter)| counter.times > counter.stored)
            .map(|(route, counter)| (route.clone(), counter.times))
            .collect();
        let mut batch = Batch::default();
        batch.rows(
            "INSERT INTO call (route, times) ",
            &news,
            |mut row, (route, times)| {
                row.push_bind(route).push_bind(times);
            },
            // Whoever counted further may have been written first.
            " ON CONFLICT (route) DO UPDATE SET times = MAX(times, excluded.times)",
        );
        self.write(batch).await?;
        let mut calls = locked(&self.calls);
        for (route, times) in news {
            let counter = calls.entry(route).or_default();
            counter.stored = counter.stored.max(times);
        }
        Ok(())
    }

    /// Writes the counters now and then, and a last time at the end.
    pub(crate) async fn keep_counters(self: Arc<Self>, cancel: CancellationToken) {
        loop {
            let ends = tokio::time::timeout(COUNTERS_EVERY, cancel.cancelled()).await.is_ok();
            if let Err(error) = self.store_calls().await {
                report(&error, "call counters wait");
            }
            if ends {
                return;
            }
        }
    }
}

pub(crate) fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
pub(crate) mod tests {
    use std::path::Path;
    use std::sync::Arc;

    use sqlx::QueryBuilder;

    use super::{Batch, Store};

    pub(crate) async fn store_in(folder: &Path) -> Arc<Store> {
        Arc::new(Store::open(&folder.join("own.db"), &[]).await.unwrap())
    }

    fn names(batch: &mut Batch, names: &[&str]) {
        batch.rows(
            "INSERT INTO setting (name, value) ",
            names,
            |mut row, name| {
                row.push_bind(*name).push_bind("1");
            },
            "",
        );
    }

    #[tokio::test]
    async fn a_batch_is_written_whole_or_not_at_all() {
        let folder = tempfile::tempdir().unwrap();
        let store = store_in(folder.path()).await;
        let mut batch = Batch::default();
        names(&mut batch, &[]);
        store.write(batch).await.unwrap();

        let mut batch = Batch::default();
        names(&mut batch, &["first", "second"]);
        batch.add(QueryBuilder::new("INSERT INTO call (route, times) VALUES ('GET /', NULL)"));
        assert!(store.write(batch).await.is_err());
        let mut batch = Batch::default();
        names(&mut batch, &["third", "fourth"]);
        batch.add(QueryBuilder::new("INSERT INTO call (route, times) VALUES ('GET /', 7)"));
        store.write(batch).await.unwrap();

        let reopened = store_in(folder.path()).await;
        assert_eq!(reopened.setting::<i64>("first").unwrap(), None);
        assert_eq!(reopened.setting::<i64>("fourth").unwrap(), Some(1));
        assert_eq!(reopened.calls().await.unwrap(), [("GET /".to_owned(), 7)]);
    }

    #[tokio::test]
    async fn settings_and_counters_that_were_told_are_in_the_file() {
        let folder = tempfile::tempdir().unwrap();
        let store = store_in(folder.path()).await;
        for value in ["old", "new"] {
            store.set_setting("colour", &value).await.unwrap();
        }
        for route in ["GET /a", "GET /b", "GET /a"] {
            store.count_call(route.to_owned());
        }
        let told = store.calls().await.unwrap();
        assert_eq!(told, [("GET /a".to_owned(), 2), ("GET /b".to_owned(), 1)]);
        store.count_call("GET /b".to_owned());
        let reopened = store_in(folder.path()).await;
        assert_eq!(reopened.calls().await.unwrap(), told);
        assert_eq!(reopened.setting::<String>("colour").unwrap().unwrap(), "new");
        assert_eq!(store.calls().await.unwrap().last().unwrap().1, 2);
    }
}
