//! Opening a SQLite file of ours: its mark, its tables, its settings.
//! *Invariant:* a file that carries another mark, or tables of a newer version, is left as it is.

use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::time::Duration;

use sqlx::sqlite::{
    SqliteConnectOptions, SqliteConnection, SqliteError, SqliteJournalMode, SqlitePool,
    SqlitePoolOptions, SqliteSynchronous,
};
use sqlx::{ConnectOptions, Connection};

use nexus_es::ports::PortError;

use crate::directory;
use crate::store::Error;

/// `Nexu`, in the header of each of our files.
const MARK: i64 = 0x4e65_7875;

/// The tables of one file: one text a version, applied in order.
pub(crate) type Tables = &'static [&'static str];

/// Settings of every connection.
pub(crate) fn options(file: &Path, synchronous: SqliteSynchronous) -> SqliteConnectOptions {
    SqliteConnectOptions::new()
        .filename(file)
        .create_if_missing(false)
        .journal_mode(SqliteJournalMode::Wal)
        .synchronous(synchronous)
        .busy_timeout(Duration::from_secs(5))
        .pragma("temp_store", "MEMORY")
        .disable_statement_logging()
}

/// A pool whose connections stay as they are: nothing that was set on one is lost.
pub(crate) fn pool(connections: u32) -> SqlitePoolOptions {
    SqlitePoolOptions::new()
        .max_connections(connections)
        .test_before_acquire(false)
        .idle_timeout(None)
        .max_lifetime(None)
        .acquire_timeout(Duration::from_secs(30))
}

/// Makes the file and brings its tables to the newest version.
pub(crate) async fn prepare(
    file: &Path,
    options: &SqliteConnectOptions,
    tables: Tables,
) -> Result<(), Error> {
    directory::create_file(file)?;
    let failed = |source| explain(file, source);
    // Looked at before the journal mode is set, which would change a file that is not ours.
    let look = SqliteConnectOptions::new().filename(file).read_only(true);
    let mut connection = look.connect().await.map_err(failed)?;
    let found = version(file, &mut connection, tables).await?;
    connection.close().await.map_err(failed)?;
    let mut connection = options.clone().connect().await.map_err(failed)?;
    let known = i64::try_from(tables.len()).unwrap_or(i64::MAX);
    if found < known {
        migrate(&mut connection, found, tables).await.map_err(failed)?;
    }
    connection.close().await.map_err(failed)
}

/// The version of the file's tables; 0 for a new file.
pub(crate) async fn version(
    file: &Path,
    connection: &mut SqliteConnection,
    tables: Tables,
) -> Result<i64, Error> {
    let sql = "SELECT (SELECT count(*) FROM sqlite_schema), application_id, user_version
               FROM pragma_application_id, pragma_user_version";
    let (count, mark, found): (i64, i64, i64) =
        sqlx::query_as(sql).fetch_one(connection).await.map_err(|source| explain(file, source))?;
    let known = i64::try_from(tables.len()).unwrap_or(i64::MAX);
    let new = count == 0 && mark == 0 && found == 0;
    if !new && mark != MARK {
        return Err(Error::Foreign { file: file.to_owned() });
    }
    if found > known {
        return Err(Error::Newer { file: file.to_owned(), found, known });
    }
    Ok(found)
}

async fn migrate(
    connection: &mut SqliteConnection,
    found: i64,
    tables: Tables,
) -> Result<(), sqlx::Error> {
    let mut change = connection.begin_with("BEGIN IMMEDIATE").await?;
    let done = usize::try_from(found).unwrap_or(usize::MAX);
    for step in tables.iter().skip(done) {
        sqlx::raw_sql(*step).execute(&mut *change).await?;
    }
    let mark = format!("PRAGMA application_id = {MARK}; PRAGMA user_version = {}", tables.len());
    sqlx::raw_sql(sqlx::AssertSqlSafe(mark)).execute(&mut *change).await?;
    change.commit().await
}

/// A file of ours with one connection, which writes.
pub(crate) async fn open_single(
    file: &Path,
    options: SqliteConnectOptions,
    tables: Tables,
) -> Result<SqlitePool, Error> {
    prepare(file, &options, tables).await?;
    pool(1).connect_with(options).await.map_err(|source| explain(file, source))
}

/// Whether the file reaches to the last page that its header counts. `SQLite` itself notices only
/// when it comes to a page that is missing.
pub(crate) fn check_length(file: &Path) -> Result<(), Error> {
    let unreadable = |source| Error::Directory { path: file.to_owned(), source };
    let opened = File::open(file).map_err(unreadable)?;
    let (mut page, mut count) = ([0; 2], [0; 4]);
    opened.read_exact_at(&mut page, 16).map_err(unreadable)?;
    opened.read_exact_at(&mut count, 28).map_err(unreadable)?;
    let page = match u16::from_be_bytes(page) {
        1 => 65_536, // which does not fit
        size => u64::from(size),
    };
    let counted = u64::from(u32::from_be_bytes(count)) * page;
    if opened.metadata().map_err(unreadable)?.len() >= counted {
        return Ok(());
    }
    let source = sqlx::Error::Protocol("the file ends before its last page".to_owned());
    Err(Error::Damaged { file: file.to_owned(), source })
}

/// The primary result code of `SQLite`.
pub(crate) fn code(error: &sqlx::Error) -> Option<i32> {
    let database = error.as_database_error()?;
    let code = database.try_downcast_ref::<SqliteError>()?;
    let code: i32 = sqlx::error::DatabaseError::code(code)?.parse().ok()?;
    Some(code & 0xff)
}

pub(crate) const SQLITE_BUSY: i32 = 5;
pub(crate) const SQLITE_LOCKED: i32 = 6;
pub(crate) const SQLITE_CORRUPT: i32 = 11;
pub(crate) const SQLITE_FULL: i32 = 13;
const SQLITE_NOTADB: i32 = 26;

/// What `SQLite` said about `file`, as what to do about it.
pub(crate) fn explain(file: &Path, source: sqlx::Error) -> Error {
    let file = file.to_owned();
    match code(&source) {
        Some(SQLITE_NOTADB) => Error::Foreign { file },
        Some(SQLITE_CORRUPT) => Error::Damaged { file, source },
        _ => Error::Database { file, source },
    }
}

/// The error of `port`.
pub(crate) fn failed(port: &'static str) -> impl Fn(sqlx::Error) -> PortError {
    move |source| PortError { port, source: Box::new(source) }
}
