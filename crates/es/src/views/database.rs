//! A view database: one SQLite file a generation.

use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use sqlx::any::{AnyPoolOptions, install_default_drivers};
use sqlx::{AnyPool, AssertSqlSafe, Executor, Row};
use tracing::{info, warn};

use super::{ViewError, ViewsConfig};
use crate::commit::sha256;
use crate::heard::Positions;
use crate::ids::Position;

const READERS: u32 = 4;
const BUSY_TIMEOUT: &str = "PRAGMA busy_timeout = 5000";

/// What every view database has beside the service's own tables.
const OWN_TABLES: &str = "
CREATE TABLE view_checkpoints (service TEXT PRIMARY KEY, position BIGINT NOT NULL);
CREATE TABLE view_meta (name TEXT PRIMARY KEY, value TEXT NOT NULL);
CREATE TABLE view_poison (service TEXT NOT NULL, position BIGINT NOT NULL, cause TEXT NOT NULL,
    PRIMARY KEY (service, position));
";

#[derive(Clone)]
pub(super) struct Generation {
    path: PathBuf,
    pub(super) pool: AnyPool,
    /// One connection of its own: SQLite has one writer.
    pub(super) writer: AnyPool,
}

impl Generation {
    /// The newest complete file of this version, else the newest begun one, else a new one. Files
    /// of other versions and older generations go.
    pub(super) async fn open_newest(config: &ViewsConfig) -> Result<Self, ViewError> {
        install_default_drivers();
        // Views hold names and addresses in clear: they are their owner's only.
        let mut directory = std::fs::DirBuilder::new();
        directory.recursive(true).mode(0o700).create(&config.directory).map_err(sqlx::Error::Io)?;
        let mut found = generations(config).map_err(sqlx::Error::Io)?;
        found.sort_by_key(|(number, _)| std::cmp::Reverse(*number));
        let mut begun = None;
        for (_, path) in &found {
            match Self::open(path.clone(), false).await {
                // Part of the schema is not the service's own (parked work), and may have changed
                // under the same version.
                Ok(generation) if !generation.has_schema(config).await => {
                    info!("view database {} has another schema", path.display());
                }
                Ok(generation) if generation.is_complete().await => {
                    return Ok(generation.keep_only(config).await);
                }
                Ok(generation) => begun = begun.or(Some(generation)),
                Err(error) => warn!("view database {} is unusable: {error}", path.display()),
            }
        }
        if let Some(generation) = begun {
            generation.mark_complete().await?;
            return Ok(generation.keep_only(config).await);
        }
        let next = found.first().map_or(1, |(number, _)| number + 1);
        let generation = Self::create(config, next).await?;
        generation.mark_complete().await?;
        Ok(generation.keep_only(config).await)
    }

    /// A new file above every one that is there and above `highest`, the last one begun: a feeder
    /// that was told to stop may still hold the file of a rebuild that was given up.
    pub(super) async fn create_next(
        config: &ViewsConfig,
        highest: &mut u64,
    ) -> Result<Self, ViewError> {
        let found = generations(config).map_err(sqlx::Error::Io)?;
        let found = found.iter().map(|(number, _)| *number).max().unwrap_or_default();
        *highest = found.max(*highest) + 1;
        Self::create(config, *highest).await
    }

    async fn create(config: &ViewsConfig, number: u64) -> Result<Self, ViewError> {
        let path = file(config, number);
        remove_files(&path);
        let generation = Self::open(path, true).await?;
        let mut tx = generation.writer.begin().await?;
        for statement in OWN_TABLES.split(';').chain(config.schema.split(';')) {
            if !statement.trim().is_empty() {
                tx.execute(AssertSqlSafe(statement.to_owned())).await?;
            }
        }
        sqlx::query("INSERT INTO view_meta (name, value) VALUES ('schema', $1)")
            .bind(digest(config))
            .execute(&mut *tx)
            .await?;
        tx.commit().await?;
        info!("new view database {}", generation.path.display());
        Ok(generation)
    }

    async fn open(path: PathBuf, create: bool) -> Result<Self, ViewError> {
        let mode = if create { "rwc" } else { "rw" };
        let url = format!("sqlite://{}?mode={mode}", path.display());
        let writer = pool(&url, 1, "PRAGMA cache_size = -6000").await?;
        let pool = pool(&url, READERS, "PRAGMA cache_size = -1000").await?;
        let generation = Self { path, pool, writer };
        if !create {
            generation.positions().await?;
        }
        Ok(generation)
    }

    pub(super) async fn positions(&self) -> Result<Positions, ViewError> {
        let rows = sqlx::query("SELECT service, position FROM view_checkpoints")
            .fetch_all(&self.pool)
            .await?;
        let mut positions = Positions::default();
        for row in rows {
            let position: i64 = row.try_get(1)?;
            let service: String = row.try_get(0)?;
            positions.advance(&service, Position(u64::try_from(position).unwrap_or_default()));
        }
        Ok(positions)
    }

    /// Moves all of the write-ahead log into the file and cuts it to nothing. False when a reader
    /// is in the way.
    pub(super) async fn truncate_log(&self) -> Result<bool, sqlx::Error> {
        let mut writer = self.writer.acquire().await?;
        // Batches must not wait long for a slow reader.
        writer.execute("PRAGMA busy_timeout = 100").await?;
        let done = writer.fetch_one("PRAGMA wal_checkpoint(TRUNCATE)").await;
        writer.execute(BUSY_TIMEOUT).await?;
        let busy: i64 = done?.try_get(0)?;
        Ok(busy == 0)
    }

    pub(super) async fn mark_complete(&self) -> Result<(), ViewError> {
        sqlx::query(
            "INSERT INTO view_meta (name, value) VALUES ('complete', 'yes') \
             ON CONFLICT (name) DO NOTHING",
        )
        .execute(&self.writer)
        .await?;
        Ok(())
    }

    async fn is_complete(&self) -> bool {
        self.meta("complete").await.is_some()
    }

    async fn has_schema(&self, config: &ViewsConfig) -> bool {
        self.meta("schema").await.is_some_and(|found| found == digest(config))
    }

    async fn meta(&self, name: &str) -> Option<String> {
        let found =
            sqlx::query("SELECT value FROM view_meta WHERE name = $1").bind(name.to_owned());
        found.fetch_optional(&self.pool).await.ok()??.try_get(0).ok()
    }

    async fn keep_only(self, config: &ViewsConfig) -> Self {
        for (_, path) in all_files(config).unwrap_or_default() {
            if path != self.path {
                remove_files(&path);
            }
        }
        self
    }

    pub(super) async fn remove(&self) {
        // Closing waits for readers that hold a connection; they are short.
        drop(tokio::time::timeout(Duration::from_secs(5), self.pool.close()).await);
        drop(tokio::time::timeout(Duration::from_secs(5), self.writer.close()).await);
        remove_files(&self.path);
    }
}

/// Removes the file of a rebuild that ends before its time: it holds persons, and nobody feeds it
/// the news that they were erased.
pub(super) struct Unfinished(Option<PathBuf>);

impl Unfinished {
    pub(super) fn new(generation: &Generation) -> Self {
        Self(Some(generation.path.clone()))
    }

    pub(super) fn finished(mut self) {
        self.0 = None;
    }
}

impl Drop for Unfinished {
    fn drop(&mut self) {
        if let Some(path) = &self.0 {
            remove_files(path);
        }
    }
}

/// A pool whose connections keep so many KiB of pages each: with seven services they add up, and
/// the system's own cache holds the same pages once more.
async fn pool(url: &str, connections: u32, cache: &'static str) -> Result<AnyPool, ViewError> {
    let options = AnyPoolOptions::new()
        .max_connections(connections)
        .acquire_timeout(Duration::from_secs(10))
        // A ping before each use is a trip to the driver's thread; a file does not go away.
        .test_before_acquire(false)
        .idle_timeout(None)
        .max_lifetime(None)
        .after_connect(move |connection, _| {
            Box::pin(async move {
                for pragma in [
                    "PRAGMA journal_mode = WAL",
                    "PRAGMA synchronous = NORMAL",
                    BUSY_TIMEOUT,
                    "PRAGMA temp_store = MEMORY",
                    cache,
                    "PRAGMA secure_delete = ON",
                    "PRAGMA wal_autocheckpoint = 4000",
                ] {
                    connection.execute(pragma).await?;
                }
                Ok(())
            })
        });
    Ok(options.connect(url).await?)
}

fn digest(config: &ViewsConfig) -> String {
    hex::encode(sha256(config.schema.as_bytes()))
}

fn file(config: &ViewsConfig, number: u64) -> PathBuf {
    config.directory.join(format!("{}-v{}-{number}.db", config.service, config.version))
}

/// Files of this service and version, with their generation.
fn generations(config: &ViewsConfig) -> std::io::Result<Vec<(u64, PathBuf)>> {
    let prefix = format!("{}-v{}-", config.service, config.version);
    let files = all_files(config)?.into_iter();
    Ok(files
        .filter(|(name, _)| name.starts_with(&prefix))
        .filter_map(|(name, path)| {
            let number = name.strip_prefix(&prefix)?.strip_suffix(".db")?.parse().ok()?;
            Some((number, path))
        })
        .collect())
}

/// Database files of this service, of any version.
fn all_files(config: &ViewsConfig) -> std::io::Result<Vec<(String, PathBuf)>> {
    let prefix = format!("{}-v", config.service);
    let mut files = Vec::new();
    for entry in std::fs::read_dir(&config.directory)? {
        let path = entry?.path();
        let name = path.file_name().map(|name| name.to_string_lossy().into_owned());
        let ours = name.filter(|name| name.starts_with(&prefix) && name.ends_with(".db"));
        files.extend(ours.map(|name| (name, path)));
    }
    Ok(files)
}

fn remove_files(path: &Path) {
    for suffix in ["", "-wal", "-shm"] {
        let mut name = path.as_os_str().to_owned();
        name.push(suffix);
        match std::fs::remove_file(&name) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                warn!("cannot remove {}: {error}", name.to_string_lossy());
            }
            _ => {}
        }
    }
}
