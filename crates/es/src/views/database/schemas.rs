//! PostgreSQL: a schema a generation, shared by all replicas of a service.
//! *Invariant:* who writes into a schema holds its lock on the very connection that writes, and
//! that connection is never replaced by another; a schema is dropped by who holds its lock.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use sqlx::any::AnyPoolOptions;
use sqlx::{AnyConnection, AssertSqlSafe, Connection, Executor, Row};
use tokio_util::sync::CancellationToken;
use tracing::info;

use super::super::{Pool, ViewError, ViewsConfig};
use super::shown::Shown;
use super::{Generation, Home, PostgresUrl, digest, make_tables, mark_complete};
use crate::commit::sha256;

/// Seven services with two replicas each stay below the hundred connections that a server takes.
const READERS: u32 = 4;
/// A reader that gets no connection in this time is told so: callers have two seconds.
const PATIENCE: Duration = Duration::from_millis(1500);
/// A connection that lay about for longer may have ended.
const DOUBTFUL: Duration = Duration::from_secs(1);
/// What a writer's connection is set to. A commit that a crash of the server takes back comes from
/// the log again, and a server must notice soon that a replica is gone: its lock waits for that.
const WRITING: &str = "SET synchronous_commit TO off; SET tcp_keepalives_idle TO 2; \
    SET tcp_keepalives_interval TO 1; SET tcp_keepalives_count TO 3; \
    SET idle_in_transaction_session_timeout TO '30s'";

/// A generation's schema.
#[derive(Clone)]
pub(in crate::views) struct Schema {
    url: PostgresUrl,
    name: String,
    number: u64,
    /// One connection for looking at what stands here, whatever readers wait for.
    unheld: Pool,
    /// What readers have read here.
    shown: Shown,
    /// Of who may write: ends when the connection that holds the lock does.
    lost: Option<CancellationToken>,
}

impl Schema {
    pub(super) fn unheld(&self) -> &Pool {
        &self.unheld
    }

    pub(super) fn shown(&self) -> &Shown {
        &self.shown
    }
}

/// What stands beside a schema.
pub(in crate::views) enum Seen {
    /// It is the newest.
    Newest,
    /// A newer one is complete.
    Newer(Generation),
    /// It is not there any more.
    Gone,
}

/// The newest complete schema of this version, else a new one. Those that nobody feeds go.
pub(super) async fn open_newest(
    config: &ViewsConfig,
    url: &PostgresUrl,
) -> Result<Generation, ViewError> {
    let mut connection = AnyConnection::connect(url.as_str()).await?;
    // Ends with the connection. Two replicas that start at once make one schema.
    lock(&mut connection, config.service).await?;
    let numbers = numbers(&list(&mut connection, config).await?, config);
    let newest = newest_complete(&mut connection, config, &numbers).await?;
    let number = if let Some(number) = newest {
        number
    } else {
        let next = numbers.iter().max().map_or(1, |number| number + 1);
        let mut tx = connection.begin().await?;
        create(&mut tx, config, next).await?;
        mark_complete(&mut tx).await?;
        tx.commit().await?;
        next
    };
    drop_unfed(&mut connection, config, number).await?;
    connection.close().await?;
    open(config, url, number).await
}

/// The name of the newest complete schema of this version, if there is one.
pub(super) async fn newest(
    connection: &mut AnyConnection,
    config: &ViewsConfig,
) -> Result<Option<String>, sqlx::Error> {
    let numbers = numbers(&list(connection, config).await?, config);
    let newest = newest_complete(connection, config, &numbers).await?;
    Ok(newest.map(|number| name(config, number)))
}

async fn newest_complete(
    connection: &mut AnyConnection,
    config: &ViewsConfig,
    numbers: &[u64],
) -> Result<Option<u64>, sqlx::Error> {
    let mut newest = None;
    for number in numbers {
        if is_complete(connection, config, *number).await? {
            newest = newest.max(Some(*number));
        }
    }
    Ok(newest)
}

/// A new schema, already held, that no reader knows of.
pub(super) async fn create_next(
    config: &ViewsConfig,
    url: &PostgresUrl,
) -> Result<Generation, ViewError> {
    let mut connection = AnyConnection::connect(url.as_str()).await?;
    lock(&mut connection, config.service).await?;
    let numbers = numbers(&list(&mut connection, config).await?, config);
    let mut next = numbers.iter().max().map_or(1, |number| number + 1);
    // The lock comes first: a schema that nobody holds may be dropped. One that is held and not
    // there belongs to a replica that ends just now.
    let (writer, lost) = loop {
        if let Some(held) = hold(url, &name(config, next)).await? {
            break held;
        }
        next += 1;
    };
    let mut tx = connection.begin().await?;
    create(&mut tx, config, next).await?;
    tx.commit().await?;
    connection.close().await?;
    let generation = open(config, url, next).await?;
    Ok(held(generation, writer, lost))
}

async fn create(
    tx: &mut AnyConnection,
    config: &ViewsConfig,
    number: u64,
) -> Result<(), sqlx::Error> {
    let name = name(config, number);
    tx.execute(AssertSqlSafe(format!("CREATE SCHEMA {name}"))).await?;
    tx.execute(AssertSqlSafe(format!("SET LOCAL search_path TO {name}"))).await?;
    make_tables(tx, config, translated).await?;
    info!("new view schema {name}");
    Ok(())
}

/// A statement that makes a table or an index, in PostgreSQL's words. Texts compare byte by byte,
/// as they do in `SQLite`: pages and ranges of terms depend on it.
fn translated(statement: &str) -> String {
    statement.replace(" BLOB", " BYTEA").replace(" TEXT", " TEXT COLLATE \"C\"")
}

async fn open(
    config: &ViewsConfig,
    url: &PostgresUrl,
    number: u64,
) -> Result<Generation, ViewError> {
    let name = name(config, number);
    let shown = Shown::default();
    let pool = reading(READERS, url, &name, Some(shown.clone())).await?;
    let unheld = reading(1, url, &name, None).await?;
    let home = Home::Schema(Schema { url: url.clone(), name, number, unheld, shown, lost: None });
    Ok(Generation { home, writer: pool.clone(), pool })
}

/// Connections that read in the schema; with `shown` none that would show less than was shown.
async fn reading(
    connections: u32,
    url: &PostgresUrl,
    name: &str,
    shown: Option<Shown>,
) -> Result<Pool, sqlx::Error> {
    let set = format!("SET search_path TO {name}");
    let falls = shown.clone();
    let options = options(connections).before_acquire(move |connection, meta| {
        let fell = falls.as_ref().is_some_and(|shown| shown.fell_within(meta.idle_for));
        Box::pin(async move {
            if fell || meta.idle_for > DOUBTFUL {
                connection.ping().await?;
            }
            Ok(true)
        })
    });
    let options = options.after_connect(move |connection, _| {
        let (set, shown) = (set.clone(), shown.clone());
        Box::pin(async move {
            connection.execute(AssertSqlSafe(set)).await?;
            match shown {
                Some(shown) => shown.wait_on(connection).await,
                None => Ok(()),
            }
        })
    });
    Ok(Pool::to_server(options.connect(url.as_str()).await?))
}

fn options(connections: u32) -> AnyPoolOptions {
    AnyPoolOptions::new()
        .max_connections(connections)
        .acquire_timeout(PATIENCE)
        .test_before_acquire(false)
        .max_lifetime(None)
}

/// Takes the place of who may write into the generation; `None` while another one has it.
pub(in crate::views) async fn take(
    generation: &Generation,
) -> Result<Option<Generation>, ViewError> {
    let Home::Schema(schema) = &generation.home else { return Ok(None) };
    if !is_free(&mut *schema.unheld.acquire().await?, &schema.name).await? {
        return Ok(None);
    }
    let Some((writer, lost)) = hold(&schema.url, &schema.name).await? else { return Ok(None) };
    let held = held(generation.clone(), writer, lost);
    Ok(Some(held))
}

fn held(generation: Generation, writer: Pool, lost: CancellationToken) -> Generation {
    let home = match generation.home {
        Home::Schema(schema) => Home::Schema(Schema { lost: Some(lost), ..schema }),
        file @ Home::File(_) => file,
    };
    Generation { home, writer, ..generation }
}

/// Ends when the generation must not be written any more; `None` when it never may.
pub(in crate::views) fn lost(generation: &Generation) -> Option<CancellationToken> {
    match &generation.home {
        Home::Schema(schema) => schema.lost.clone(),
        Home::File(_) => None,
    }
}

/// A pool of one connection that holds the schema's lock. It is never opened again: whoever got
/// the lock in between may have written, and went on from another checkpoint.
async fn hold(
    url: &PostgresUrl,
    name: &str,
) -> Result<Option<(Pool, CancellationToken)>, sqlx::Error> {
    let lost = CancellationToken::new();
    let (ended, opened) = (lost.clone(), Arc::new(AtomicBool::new(false)));
    let set = format!("SET search_path TO {name}; {WRITING}");
    let options = options(1).idle_timeout(None).after_connect(move |connection, _| {
        let (set, ended, opened) = (set.clone(), ended.clone(), Arc::clone(&opened));
        Box::pin(async move {
            if opened.swap(true, Ordering::SeqCst) {
                ended.cancel();
                // Whoever asks gets none: the pool is closed next.
                std::future::pending::<()>().await;
            }
            connection.execute(AssertSqlSafe(set)).await.map(drop)
        })
    });
    let pool = Pool::to_server(options.connect(url.as_str()).await?);
    let mut connection = pool.acquire().await?;
    let row = sqlx::query("SELECT pg_try_advisory_lock($1)").bind(key(name));
    let held: bool = row.fetch_one(&mut *connection).await?.try_get(0)?;
    drop(connection);
    if held {
        return Ok(Some((pool, lost)));
    }
    pool.close().await;
    Ok(None)
}

/// What there is beside the generation.
pub(in crate::views) async fn look(
    config: &ViewsConfig,
    generation: &Generation,
) -> Result<Seen, ViewError> {
    let Home::Schema(schema) = &generation.home else { return Ok(Seen::Newest) };
    let mut connection = schema.unheld.acquire().await?;
    let mut numbers = numbers(&list(&mut connection, config).await?, config);
    if !numbers.contains(&schema.number) {
        return Ok(Seen::Gone);
    }
    numbers.sort_unstable();
    while let Some(number) = numbers.pop().filter(|number| *number > schema.number) {
        if is_complete(&mut connection, config, number).await? {
            return Ok(Seen::Newer(open(config, &schema.url, number).await?));
        }
    }
    Ok(Seen::Newest)
}

/// Drops the schemas of the service that nobody feeds: older than this one, of other versions, and
/// those of rebuilds that ended before their time.
pub(in crate::views) async fn clean(
    config: &ViewsConfig,
    generation: &Generation,
) -> Result<(), ViewError> {
    let Home::Schema(schema) = &generation.home else { return Ok(()) };
    drop_unfed(&mut *schema.unheld.acquire().await?, config, schema.number).await?;
    Ok(())
}

async fn drop_unfed(
    connection: &mut AnyConnection,
    config: &ViewsConfig,
    kept: u64,
) -> Result<(), sqlx::Error> {
    for other in list(connection, config).await? {
        let number = number_of(&other, config);
        if number == Some(kept) {
            continue;
        }
        // A complete one above is about to be read from.
        if let Some(above) = number.filter(|number| *number > kept)
            && is_complete(connection, config, above).await?
        {
            continue;
        }
        let mut tx = connection.begin().await?;
        if is_free(&mut tx, &other).await? {
            let drop = format!("DROP SCHEMA IF EXISTS {other} CASCADE");
            tx.execute(AssertSqlSafe(drop)).await?;
            info!("view schema {other} is dropped");
        }
        tx.commit().await?;
    }
    Ok(())
}

/// Ends what reads and writes here; the schema stays for others.
pub(super) async fn leave(generation: &Generation) {
    let Home::Schema(schema) = &generation.home else { return };
    let closing = async { tokio::join!(generation.pool.close(), schema.unheld.close()) };
    drop(tokio::time::timeout(Duration::from_secs(5), closing).await);
}

/// Takes deleted rows out of the tables of persons and their indexes: a page that loses one is
/// packed anew. The server's own log and what lies free in a page are not reached from here.
pub(super) async fn vacuum_persons(writer: &Pool) -> Result<bool, sqlx::Error> {
    let tables = sqlx::query(
        "SELECT CAST(table_name AS TEXT) FROM information_schema.tables \
         WHERE table_schema = current_schema() AND table_name LIKE '%person%'",
    )
    .fetch_all(writer)
    .await?;
    for table in tables {
        let table: String = table.try_get(0)?;
        // Without a word about indexes it leaves few entries in them.
        let vacuum = format!("VACUUM (INDEX_CLEANUP ON) {table}");
        writer.execute(AssertSqlSafe(vacuum)).await?;
    }
    Ok(true)
}

/// True when this schema is complete and has the tables of this program. A schema that goes just
/// now is not.
async fn is_complete(
    connection: &mut AnyConnection,
    config: &ViewsConfig,
    number: u64,
) -> Result<bool, sqlx::Error> {
    let name = name(config, number);
    let query = format!(
        "SELECT made.value FROM {name}.view_meta made \
         JOIN {name}.view_meta complete ON complete.name = 'complete' WHERE made.name = 'schema'"
    );
    let found = sqlx::query(AssertSqlSafe(query)).fetch_optional(connection).await;
    match found {
        Ok(Some(row)) => Ok(row.try_get::<String, _>(0)? == digest(config)),
        Ok(None) => Ok(false),
        Err(sqlx::Error::Database(error)) if error.code().as_deref() == Some("42P01") => Ok(false),
        Err(error) => Err(error),
    }
}

/// The schemas of the service, of all versions.
async fn list(
    connection: &mut AnyConnection,
    config: &ViewsConfig,
) -> Result<Vec<String>, sqlx::Error> {
    let prefix = format!("{}_v", config.service);
    let rows =
        sqlx::query("SELECT CAST(nspname AS TEXT) FROM pg_namespace").fetch_all(connection).await?;
    let names = rows.iter().map(|row| row.try_get::<String, _>(0));
    let names = names.collect::<Result<Vec<_>, _>>()?.into_iter();
    Ok(names.filter(|name| name.starts_with(&prefix)).collect())
}

fn numbers(names: &[String], config: &ViewsConfig) -> Vec<u64> {
    names.iter().filter_map(|name| number_of(name, config)).collect()
}

fn number_of(name: &str, config: &ViewsConfig) -> Option<u64> {
    name.strip_prefix(&format!("{}_v{}_", config.service, config.version))?.parse().ok()
}

fn name(config: &ViewsConfig, number: u64) -> String {
    format!("{}_v{}_{number}", config.service, config.version)
}

/// The number that PostgreSQL locks for a name.
fn key(name: &str) -> i64 {
    let digest = sha256(format!("nexus views {name}").as_bytes());
    digest.iter().take(8).fold(0, |key, byte| (key << 8) | i64::from(*byte))
}

/// Waits for the lock of `name` and keeps it as long as the connection lives.
async fn lock(connection: &mut AnyConnection, name: &str) -> Result<(), sqlx::Error> {
    // It answers nothing, which is no type that crosses the driver.
    let query = sqlx::query("SELECT CAST(pg_advisory_lock($1) AS TEXT)").bind(key(name));
    query.execute(connection).await.map(drop)
}

/// Whether nobody holds the lock of `name`; within a transaction it is held from now on.
async fn is_free(connection: &mut AnyConnection, name: &str) -> Result<bool, sqlx::Error> {
    let query = sqlx::query("SELECT pg_try_advisory_xact_lock($1)").bind(key(name));
    query.fetch_one(connection).await?.try_get(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_text_of_tables_serves_both_databases() {
        let table = "CREATE TABLE t (id TEXT PRIMARY KEY, body BLOB NOT NULL, at_ms BIGINT)";
        assert_eq!(
            translated(table),
            "CREATE TABLE t (id TEXT COLLATE \"C\" PRIMARY KEY, body BYTEA NOT NULL, at_ms BIGINT)"
        );
    }
}
