//! `SQLite`: a file a generation, of one process.

use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use sqlx::any::AnyPoolOptions;
use sqlx::{Connection, Executor, Row};
use tracing::{info, warn};

use super::super::{Pool, ViewError, ViewsConfig};
use super::{Generation, Home, digest, make_tables};

const READERS: u32 = 4;
const BUSY_TIMEOUT: &str = "PRAGMA busy_timeout = 5000";

/// The newest complete file of this version, else the newest begun one, else a new one. Files
/// of other versions and older generations go.
pub(super) async fn open_newest(
    config: &ViewsConfig,
    directory: &Path,
) -> Result<Generation, ViewError> {
    // Views hold names and addresses in clear: they are their owner's only.
    let mut builder = std::fs::DirBuilder::new();
    builder.recursive(true).mode(0o700).create(directory).map_err(sqlx::Error::Io)?;
    let mut found = generations(config, directory).map_err(sqlx::Error::Io)?;
    found.sort_by_key(|(number, _)| std::cmp::Reverse(*number));
    let mut begun = None;
    for (_, path) in &found {
        match open(path, false).await {
            Ok(generation) if !has_schema(&generation, config).await => {
                info!("view database {} has another schema", path.display());
            }
            Ok(generation) if is_complete(&generation).await => {
                keep_only(config, directory, path);
                return Ok(generation);
            }
            Ok(generation) => begun = begun.or(Some((path, generation))),
            Err(error) => warn!("view database {} is unusable: {error}", path.display()),
        }
    }
    let (path, generation) = if let Some((path, generation)) = begun {
        (path.clone(), generation)
    } else {
        let next = found.first().map_or(1, |(number, _)| number + 1);
        (file(config, directory, next), create(config, directory, next).await?)
    };
    generation.mark_complete().await?;
    keep_only(config, directory, &path);
    Ok(generation)
}

pub(super) async fn create_next(
    config: &ViewsConfig,
    directory: &Path,
    highest: &mut u64,
) -> Result<Generation, ViewError> {
    let found = generations(config, directory).map_err(sqlx::Error::Io)?;
    let found = found.iter().map(|(number, _)| *number).max().unwrap_or_default();
    *highest = found.max(*highest) + 1;
    create(config, directory, *highest).await
}

async fn create(
    config: &ViewsConfig,
    directory: &Path,
    number: u64,
) -> Result<Generation, ViewError> {
    let path = file(config, directory, number);
    remove_files(&path);
    let generation = open(&path, true).await?;
    let mut writer = generation.writer.acquire().await?;
    let mut tx = writer.begin().await?;
    make_tables(&mut tx, config, str::to_owned).await?;
    tx.commit().await?;
    writer.done();
    info!("new view database {}", path.display());
    Ok(generation)
}

async fn open(path: &Path, create: bool) -> Result<Generation, ViewError> {
    let mode = if create { "rwc" } else { "rw" };
    let url = format!("sqlite://{}?mode={mode}", path.display());
    let writer = pool(&url, 1, "PRAGMA cache_size = -6000").await?;
    let pool = pool(&url, READERS, "PRAGMA cache_size = -1000").await?;
    let generation = Generation { home: Home::File(path.to_owned()), pool, writer };
    if !create {
        generation.positions().await?;
    }
    Ok(generation)
}

/// Moves all of the write-ahead log into the file and cuts it to nothing. False when a reader
/// is in the way.
pub(super) async fn truncate_log(writer: &Pool) -> Result<bool, sqlx::Error> {
    let mut writer = writer.acquire().await?;
    // Batches must not wait long for a slow reader.
    writer.execute("PRAGMA busy_timeout = 100").await?;
    let done = writer.fetch_one("PRAGMA wal_checkpoint(TRUNCATE)").await;
    writer.execute(BUSY_TIMEOUT).await?;
    let busy: i64 = done?.try_get(0)?;
    writer.done();
    Ok(busy == 0)
}

async fn is_complete(generation: &Generation) -> bool {
    meta(generation, "complete").await.is_some()
}

async fn has_schema(generation: &Generation, config: &ViewsConfig) -> bool {
    meta(generation, "schema").await.is_some_and(|found| found == digest(config))
}

async fn meta(generation: &Generation, name: &str) -> Option<String> {
    let found = sqlx::query("SELECT value FROM view_meta WHERE name = $1").bind(name.to_owned());
    found.fetch_optional(&generation.pool).await.ok()??.try_get(0).ok()
}

fn keep_only(config: &ViewsConfig, directory: &Path, kept: &Path) {
    for (_, path) in all_files(config, directory).unwrap_or_default() {
        if path != kept {
            remove_files(&path);
        }
    }
}

pub(super) async fn remove(path: &Path, pool: &Pool, writer: &Pool) {
    // Closing waits for readers that hold a connection; they are short.
    drop(tokio::time::timeout(Duration::from_secs(5), pool.close()).await);
    drop(tokio::time::timeout(Duration::from_secs(5), writer.close()).await);
    remove_files(path);
}

/// Removes the file of a rebuild that ends before its time: it holds persons, and nobody feeds it
/// the news that they were erased.
pub(in crate::views) struct Unfinished(Option<PathBuf>);

impl Unfinished {
    pub(in crate::views) fn new(generation: &Generation) -> Self {
        match &generation.home {
            Home::File(path) => Self(Some(path.clone())),
            // A schema that nobody feeds is dropped by who feeds the live one.
            Home::Schema(_) => Self(None),
        }
    }

    pub(in crate::views) fn finished(mut self) {
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
async fn pool(url: &str, connections: u32, cache: &'static str) -> Result<Pool, ViewError> {
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
    Ok(Pool::to_file(options.connect(url).await?))
}

fn file(config: &ViewsConfig, directory: &Path, number: u64) -> PathBuf {
    directory.join(format!("{}-v{}-{number}.db", config.service, config.version))
}

/// Files of this service and version, with their generation.
fn generations(config: &ViewsConfig, directory: &Path) -> std::io::Result<Vec<(u64, PathBuf)>> {
    let prefix = format!("{}-v{}-", config.service, config.version);
    let files = all_files(config, directory)?.into_iter();
    Ok(files
        .filter(|(name, _)| name.starts_with(&prefix))
        .filter_map(|(name, path)| {
            let number = name.strip_prefix(&prefix)?.strip_suffix(".db")?.parse().ok()?;
            Some((number, path))
        })
        .collect())
}

/// Database files of this service, of any version.
fn all_files(config: &ViewsConfig, directory: &Path) -> std::io::Result<Vec<(String, PathBuf)>> {
    let prefix = format!("{}-v", config.service);
    let mut files = Vec::new();
    for entry in std::fs::read_dir(directory)? {
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
