//! Where the views of a service are kept: a `SQLite` file a generation, or a PostgreSQL schema.

mod copies;
mod files;
mod schemas;
mod shown;

use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;
use std::sync::Arc;

use sqlx::any::AnyConnectOptions;
use sqlx::{AnyConnection, AssertSqlSafe, Executor, Row};
use tokio::sync::watch;

use super::{Pool, ViewError, ViewsConfig};
use crate::commit::sha256;
use crate::heard::Positions;
use crate::ids::Position;

pub use copies::copy_of;
pub(super) use files::Unfinished;
pub(super) use schemas::{Schema, Seen, clean, look, lost, take};

/// What every view database has beside the service's own tables.
const OWN_TABLES: &str = "
CREATE TABLE view_checkpoints (service TEXT PRIMARY KEY, position BIGINT NOT NULL);
CREATE TABLE view_meta (name TEXT PRIMARY KEY, value TEXT NOT NULL);
CREATE TABLE view_poison (service TEXT NOT NULL, position BIGINT NOT NULL, cause TEXT NOT NULL,
    PRIMARY KEY (service, position));
";

/// Where the views of a service are kept.
#[derive(Clone, Debug)]
pub enum Database {
    /// In this folder: `SQLite`, a file a generation, one process.
    Directory(PathBuf),
    /// In PostgreSQL: a schema a generation. All replicas of the service share it.
    Postgres(PostgresUrl),
}

impl From<PathBuf> for Database {
    fn from(directory: PathBuf) -> Self {
        Self::Directory(directory)
    }
}

impl From<PostgresUrl> for Database {
    fn from(url: PostgresUrl) -> Self {
        Self::Postgres(url)
    }
}

impl FromStr for Database {
    type Err = BadUrl;

    /// An address, else a folder.
    fn from_str(text: &str) -> Result<Self, BadUrl> {
        if text.contains("://") {
            text.parse().map(Self::Postgres)
        } else {
            Ok(PathBuf::from(text).into())
        }
    }
}

/// The address of a PostgreSQL database. It may hold a password, so it is shown without one.
#[derive(Clone, PartialEq, Eq)]
pub struct PostgresUrl(Arc<str>);

/// Why an address does not name a PostgreSQL database.
#[derive(Debug, thiserror::Error)]
#[error("it must be postgres://USER:PASSWORD@HOST:PORT/DATABASE")]
pub struct BadUrl;

impl PostgresUrl {
    fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for PostgresUrl {
    type Err = BadUrl;

    fn from_str(text: &str) -> Result<Self, BadUrl> {
        let ours = text.starts_with("postgres://") || text.starts_with("postgresql://");
        match AnyConnectOptions::from_str(text) {
            Ok(_) if ours => Ok(Self(text.into())),
            _ => Err(BadUrl),
        }
    }
}

impl fmt::Display for PostgresUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Ok(options) = AnyConnectOptions::from_str(&self.0) else { return f.write_str("?") };
        let url = options.database_url;
        write!(f, "postgres://{}", url.host_str().unwrap_or_default())?;
        if let Some(port) = url.port() {
            write!(f, ":{port}")?;
        }
        f.write_str(url.path())
    }
}

impl fmt::Debug for PostgresUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// Where a generation lies.
#[derive(Clone)]
pub(super) enum Home {
    File(PathBuf),
    Schema(Schema),
}

/// One database of one service: a file or a schema.
#[derive(Clone)]
pub(super) struct Generation {
    pub(super) home: Home,
    pub(super) pool: Pool,
    /// One connection of its own, of whoever feeds the generation; else the readers' pool.
    pub(super) writer: Pool,
}

impl Generation {
    /// The newest complete one of this version, else a new one.
    pub(super) async fn open_newest(config: &ViewsConfig) -> Result<Self, ViewError> {
        sqlx::any::install_default_drivers();
        match &config.database {
            Database::Directory(directory) => files::open_newest(config, directory).await,
            Database::Postgres(url) => schemas::open_newest(config, url).await,
        }
    }

    /// A new one above every one that is there and above `highest`, the last one begun: a feeder
    /// that was told to stop may still hold the file of a rebuild that was given up.
    pub(super) async fn create_next(
        config: &ViewsConfig,
        highest: &mut u64,
    ) -> Result<Self, ViewError> {
        match &config.database {
            Database::Directory(directory) => files::create_next(config, directory, highest).await,
            Database::Postgres(url) => schemas::create_next(config, url).await,
        }
    }

    /// What stands there, be it less than what was read there before.
    pub(super) async fn positions(&self) -> Result<Positions, ViewError> {
        let pool = match &self.home {
            Home::File(_) => &self.pool,
            Home::Schema(schema) => schema.unheld(),
        };
        let mut lent = pool.acquire().await?;
        let positions = read_positions(&mut lent).await?;
        lent.done();
        Ok(positions)
    }

    /// Remembers what was read there: positions are about to change, be it back.
    pub(super) fn note_shown(&self) {
        if let Home::Schema(schema) = &self.home {
            schema.shown().most();
        }
    }

    /// The server of this database may have fallen.
    pub(super) fn note_fall(&self) {
        if let Home::Schema(schema) = &self.home {
            schema.shown().fell();
        }
    }

    /// What these positions say is read there from now on.
    pub(super) fn shows(&self, positions: &watch::Receiver<Positions>) {
        if let Home::Schema(schema) = &self.home {
            schema.shown().follow(positions.clone());
        }
    }

    /// Takes what was deleted out of the files too. False when somebody is in the way.
    pub(super) async fn truncate_log(&self) -> Result<bool, sqlx::Error> {
        match &self.home {
            Home::File(_) => files::truncate_log(&self.writer).await,
            Home::Schema(_) => schemas::vacuum_persons(&self.writer).await,
        }
    }

    pub(super) async fn mark_complete(&self) -> Result<(), ViewError> {
        mark_complete(&mut *self.writer.acquire().await?).await?;
        Ok(())
    }

    pub(super) async fn remove(&self) {
        match &self.home {
            Home::File(path) => files::remove(path, &self.pool, &self.writer).await,
            // Another replica may still read from it: who feeds the next one drops it.
            Home::Schema(_) => schemas::leave(self).await,
        }
    }
}

async fn read_positions(connection: &mut AnyConnection) -> Result<Positions, sqlx::Error> {
    let rows = sqlx::query("SELECT service, position FROM view_checkpoints");
    let mut positions = Positions::default();
    for row in rows.fetch_all(connection).await? {
        let position: i64 = row.try_get(1)?;
        let service: String = row.try_get(0)?;
        positions.advance(&service, Position(u64::try_from(position).unwrap_or_default()));
    }
    Ok(positions)
}

/// Makes the tables of a new generation.
async fn make_tables(
    connection: &mut AnyConnection,
    config: &ViewsConfig,
    translated: fn(&str) -> String,
) -> Result<(), sqlx::Error> {
    for statement in OWN_TABLES.split(';').chain(config.schema.split(';')) {
        if !statement.trim().is_empty() {
            connection.execute(AssertSqlSafe(translated(statement))).await?;
        }
    }
    sqlx::query("INSERT INTO view_meta (name, value) VALUES ('schema', $1)")
        .bind(digest(config))
        .execute(connection)
        .await?;
    Ok(())
}

async fn mark_complete(connection: &mut AnyConnection) -> Result<(), sqlx::Error> {
    sqlx::query(
        "INSERT INTO view_meta (name, value) VALUES ('complete', 'yes') \
         ON CONFLICT (name) DO NOTHING",
    )
    .execute(connection)
    .await?;
    Ok(())
}

/// What `SQLite` says when the file cannot be used now: `BUSY`, `LOCKED`, `READONLY`, `IOERR`,
/// `FULL`, `CANTOPEN`.
const PASSING_CODES: [i32; 6] = [5, 6, 8, 10, 13, 14];
/// The classes of what PostgreSQL says then: no connection, a deadlock, no room, a lock, an
/// operator, its system.
const PASSING_CLASSES: [&str; 6] = ["08", "40", "53", "55", "57", "58"];

/// Whether the same may work later: the database is away or busy. Anything else (a constraint, a
/// wrong statement) will not go away.
pub(super) fn passes(error: &sqlx::Error) -> bool {
    let code = match error {
        sqlx::Error::Io(_)
        | sqlx::Error::PoolTimedOut
        | sqlx::Error::PoolClosed
        | sqlx::Error::WorkerCrashed => return true,
        sqlx::Error::Database(error) => error.code().unwrap_or_default(),
        _ => return false,
    };
    match code.get(..2) {
        // All codes of PostgreSQL have five characters, those of `SQLite` fewer.
        Some(class) if code.len() == 5 => PASSING_CLASSES.contains(&class),
        // The primary code stands in the low byte of the extended one.
        _ => code.parse::<i32>().is_ok_and(|code| PASSING_CODES.contains(&(code & 0xff))),
    }
}

/// Of the text of all tables: part of it is not the service's own (parked work), and may have
/// changed under the same version.
fn digest(config: &ViewsConfig) -> String {
    hex::encode(sha256(config.schema.as_bytes()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_address_of_a_database_is_shown_without_who_may_enter() {
        let url: PostgresUrl = "postgres://nexus:secret@db.shop:5433/views".parse().unwrap();
        assert_eq!(format!("{url} {url:?}"), ["postgres://db.shop:5433/views"; 2].join(" "));
        for wrong in ["sqlite://x", "postgres", "mysql://a/b", ""] {
            assert!(wrong.parse::<PostgresUrl>().is_err(), "{wrong}");
        }
    }
}
