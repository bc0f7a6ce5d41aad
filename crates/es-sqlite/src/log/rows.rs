//! The table of commits, and every statement on it.
//! *Invariant:* no two commits of an aggregate stand on the same version: the unique index is the
//! guard that `append` promises, whoever writes the file.

use bytes::Bytes;
use futures::TryStreamExt;
use nexus_es::commit::Stored;
use nexus_es::log::{Append, Appended};
use nexus_es::{AggregateId, Position, Version};
use sqlx::sqlite::{SqliteConnection, SqlitePool, SqliteRow};
use sqlx::{AssertSqlSafe, Row};
use uuid::Uuid;

use crate::database::Tables;

/// Most rows in one statement.
pub(super) const MAX_ROWS: usize = 128;

/// Largest page of a tail, in commits and in bytes.
const PAGE_COMMITS: usize = 1_024;
const PAGE_BYTES: usize = 4 * 1024 * 1024;

/// The aggregate's id leads the index, so that new aggregates, whose ids grow with time, share its
/// last page whatever their category. `commits_by_service` serves the tails and heads.
pub(super) const TABLES: Tables = &["
    CREATE TABLE commits (
        position INTEGER PRIMARY KEY,
        service TEXT NOT NULL,
        category TEXT NOT NULL,
        id TEXT NOT NULL,
        previous INTEGER NOT NULL,
        commit_id BLOB NOT NULL,
        bytes BLOB NOT NULL
    ) STRICT;
    CREATE UNIQUE INDEX commits_by_aggregate ON commits (id, category, service, previous);
    CREATE INDEX commits_by_service ON commits (service);
"];

/// A number as `SQLite` holds it. Positions never come near the limit.
fn signed(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}

fn position_of(row: &SqliteRow, column: &str) -> Result<Position, sqlx::Error> {
    Ok(Position(row.try_get::<i64, _>(column)?.unsigned_abs()))
}

/// `width` placeholders in brackets, `rows` times; `rows` is rounded up so that only a few
/// different statements exist, and those are kept prepared. What is not bound is NULL.
fn values(width: usize, rows: usize) -> String {
    let row = format!("({})", vec!["?"; width].join(","));
    vec![row; rows.next_power_of_two()].join(",")
}

/// A commit that is to stand at a position.
pub(super) struct Placed<'a> {
    pub(super) append: &'a Append,
    pub(super) position: Position,
}

/// Stores the commits in one statement, which is its own transaction: one hop to `SQLite`'s thread,
/// one sync. Those whose version is taken are left out; answers how many were stored.
pub(super) async fn insert(
    connection: &mut SqliteConnection,
    placed: &[Placed<'_>],
) -> Result<u64, sqlx::Error> {
    let sql = format!(
        "INSERT INTO commits (position, service, category, id, previous, commit_id, bytes)
         SELECT * FROM (VALUES {}) WHERE column1 IS NOT NULL ON CONFLICT DO NOTHING",
        values(7, placed.len()),
    );
    let mut insert = sqlx::query(AssertSqlSafe(sql));
    for Placed { append, position } in placed {
        let aggregate = &append.aggregate;
        insert = insert
            .bind(signed(position.0))
            .bind(aggregate.service.as_str())
            .bind(aggregate.category.as_str())
            .bind(aggregate.id.as_str())
            .bind(signed(append.expected.0))
            .bind(append.commit_id.as_bytes().as_slice())
            .bind(append.bytes.as_ref());
    }
    Ok(insert.execute(connection).await?.rows_affected())
}

/// The positions that are taken, from `from` on.
pub(super) async fn taken(
    connection: &mut SqliteConnection,
    from: Position,
) -> Result<Vec<Position>, sqlx::Error> {
    let taken: Vec<i64> = sqlx::query_scalar("SELECT position FROM commits WHERE position >= ?1")
        .bind(signed(from.0))
        .fetch_all(connection)
        .await?;
    Ok(taken.into_iter().map(|position| Position(position.unsigned_abs())).collect())
}

/// The versions of the aggregates, in their order.
pub(super) async fn versions(
    connection: &mut SqliteConnection,
    aggregates: &[&AggregateId],
) -> Result<Vec<Version>, sqlx::Error> {
    let sql = format!(
        "SELECT (SELECT position FROM commits
                 WHERE id = column2 AND category = column3 AND service = column4
                 ORDER BY previous DESC LIMIT 1)
         FROM (VALUES {}) WHERE column1 IS NOT NULL ORDER BY column1",
        values(4, aggregates.len()),
    );
    let mut select = sqlx::query_scalar(AssertSqlSafe(sql));
    for (number, aggregate) in (0_i64..).zip(aggregates) {
        select = select
            .bind(number)
            .bind(aggregate.id.as_str())
            .bind(aggregate.category.as_str())
            .bind(aggregate.service.as_str());
    }
    let versions: Vec<Option<i64>> = select.fetch_all(connection).await?;
    Ok(versions.into_iter().map(|head| Version(head.map_or(0, i64::unsigned_abs))).collect())
}

/// The services that have commits, each with its last position. Jumps from service to service
/// along the index.
pub(super) async fn heads(
    connection: &mut SqliteConnection,
) -> Result<Vec<(String, Position)>, sqlx::Error> {
    let heads: Vec<(String, i64)> = sqlx::query_as(
        "WITH RECURSIVE services (service) AS (
             SELECT min(service) FROM commits
             UNION ALL
             SELECT (SELECT min(service) FROM commits WHERE service > services.service)
             FROM services WHERE services.service IS NOT NULL
         )
         SELECT service, (SELECT max(position) FROM commits WHERE service = services.service)
         FROM services WHERE service IS NOT NULL",
    )
    .fetch_all(connection)
    .await?;
    let head = |(service, position): (String, i64)| (service, Position(position.unsigned_abs()));
    Ok(heads.into_iter().map(head).collect())
}

/// The last position of one service.
pub(super) async fn head(readers: &SqlitePool, service: &str) -> Result<Position, sqlx::Error> {
    let head: Option<i64> =
        sqlx::query_scalar("SELECT max(position) FROM commits WHERE service = ?1")
            .bind(service)
            .fetch_one(readers)
            .await?;
    Ok(Position(head.map_or(0, i64::unsigned_abs)))
}

/// The commit that was appended on `expected`: its place, id and bytes.
pub(super) async fn appended_on(
    readers: &SqlitePool,
    aggregate: &AggregateId,
    expected: Version,
) -> Result<Option<(Appended, Uuid, Bytes)>, sqlx::Error> {
    let row = sqlx::query(
        "SELECT position, commit_id, bytes FROM commits
         WHERE id = ?1 AND category = ?2 AND service = ?3 AND previous = ?4",
    )
    .bind(aggregate.id.as_str())
    .bind(aggregate.category.as_str())
    .bind(aggregate.service.as_str())
    .bind(signed(expected.0))
    .fetch_optional(readers)
    .await?;
    let Some(row) = row else { return Ok(None) };
    let position = position_of(&row, "position")?;
    let place = Appended { version: Version(position.0), position };
    // An id of another length is nobody's: it equals no resent commit's.
    let commit_id = Uuid::from_slice(row.try_get("commit_id")?).unwrap_or_default();
    Ok(Some((place, commit_id, bytes_of(&row)?)))
}

fn bytes_of(row: &SqliteRow) -> Result<Bytes, sqlx::Error> {
    Ok(Bytes::from(row.try_get::<Vec<u8>, _>("bytes")?))
}

/// The aggregate's commits after `after`, each with the version it was appended on. The index leads
/// straight to them: commits after a version stand on it or on a later one.
pub(super) async fn load(
    readers: &SqlitePool,
    aggregate: &AggregateId,
    after: Version,
) -> Result<Vec<(Version, Stored)>, sqlx::Error> {
    let rows = sqlx::query(
        "SELECT previous, position, bytes FROM commits
         WHERE id = ?1 AND category = ?2 AND service = ?3 AND previous >= ?4 ORDER BY previous",
    )
    .bind(aggregate.id.as_str())
    .bind(aggregate.category.as_str())
    .bind(aggregate.service.as_str())
    .bind(signed(after.0))
    .fetch_all(readers)
    .await?;
    let stored = |row: SqliteRow| {
        let position = position_of(&row, "position")?;
        let stored = Stored {
            aggregate: aggregate.clone(),
            version: Version(position.0),
            position,
            bytes: bytes_of(&row)?,
        };
        Ok((Version(position_of(&row, "previous")?.0), stored))
    };
    rows.into_iter().map(stored).collect()
}

/// The next commits of `service` after `after`, at most `max` and about [`PAGE_BYTES`].
pub(super) async fn page(
    readers: &SqlitePool,
    service: &str,
    after: Position,
    max: usize,
) -> Result<Vec<Stored>, sqlx::Error> {
    let mut rows = sqlx::query(
        "SELECT position, category, id, bytes FROM commits INDEXED BY commits_by_service
         WHERE service = ?1 AND position > ?2 ORDER BY position LIMIT ?3",
    )
    .bind(service)
    .bind(signed(after.0))
    .bind(i64::try_from(max.min(PAGE_COMMITS)).unwrap_or(i64::MAX))
    .fetch(readers);
    let (mut page, mut size) = (Vec::new(), 0);
    while size < PAGE_BYTES
        && let Some(row) = rows.try_next().await?
    {
        let position = position_of(&row, "position")?;
        let bytes = bytes_of(&row)?;
        size += bytes.len();
        let aggregate = AggregateId {
            service: service.to_owned(),
            category: row.try_get("category")?,
            id: row.try_get("id")?,
        };
        page.push(Stored { aggregate, version: Version(position.0), position, bytes });
    }
    Ok(page)
}
