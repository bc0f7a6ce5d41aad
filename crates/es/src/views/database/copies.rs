//! A copy of the views in PostgreSQL as a `SQLite` file, for whoever wants to look closely at them.
//! *Invariant:* where they lie nothing is changed, held or waited for; the copy is of one moment.

use std::path::Path;

use futures::TryStreamExt;
use sqlx::any::{AnyRow, AnyTypeInfoKind};
use sqlx::{AnyConnection, AssertSqlSafe, Connection, Executor, Row, ValueRef};

use super::super::{ViewError, ViewsConfig, hash};
use super::{PostgresUrl, files, schemas};

/// One statement each: what is read stays as it was at the first of them.
const ONE_MOMENT: &str = "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY";

/// Copies the newest complete views of the service at `url` into a new file in `directory`, as
/// [`super::Database::Directory`] keeps them. False when there are none yet.
///
/// # Errors
/// [`ViewError::Database`] when one of the two databases fails.
pub async fn copy_of(
    url: &PostgresUrl,
    config: &ViewsConfig,
    directory: &Path,
) -> Result<bool, ViewError> {
    sqlx::any::install_default_drivers();
    let mut from = AnyConnection::connect(url.as_str()).await?;
    let Some(schema) = schemas::newest(&mut from, config).await? else { return Ok(false) };
    from.execute(ONE_MOMENT).await?;
    from.execute(AssertSqlSafe(format!("SET LOCAL search_path TO {schema}"))).await?;
    std::fs::create_dir_all(directory).map_err(sqlx::Error::Io)?;
    let copy = files::create_next(config, directory, &mut 0).await?;
    let mut writer = copy.writer.acquire().await?;
    let mut into = writer.begin().await?;
    for table in hash::tables(&mut from).await? {
        copy_table(&mut from, &table, &mut into).await?;
    }
    into.commit().await?;
    writer.done();
    copy.pool.close().await;
    copy.writer.close().await;
    from.execute("COMMIT").await?;
    from.close().await?;
    Ok(true)
}

async fn copy_table(
    from: &mut AnyConnection,
    table: &str,
    into: &mut AnyConnection,
) -> Result<(), sqlx::Error> {
    let columns = hash::columns(from, table).await?;
    let places: Vec<_> = (1..=columns.len()).map(|nth| format!("${nth}")).collect();
    let columns = columns.join(", ");
    let read = format!("SELECT {columns} FROM \"{table}\"");
    // What the file was made with stands there already.
    let write =
        format!("INSERT OR REPLACE INTO \"{table}\" ({columns}) VALUES ({})", places.join(", "));
    let mut rows = sqlx::query(AssertSqlSafe(read)).fetch(from);
    while let Some(row) = rows.try_next().await? {
        write_row(&row, &write, into).await?;
    }
    Ok(())
}

async fn write_row(
    row: &AnyRow,
    statement: &str,
    into: &mut AnyConnection,
) -> Result<(), sqlx::Error> {
    let mut query = sqlx::query(AssertSqlSafe(statement.to_owned()));
    for column in 0..row.len() {
        let value = row.try_get_raw(column)?;
        query = match value.type_info().kind() {
            _ if value.is_null() => query.bind(None::<String>),
            AnyTypeInfoKind::Text => query.bind(row.try_get::<String, _>(column)?),
            AnyTypeInfoKind::Blob => query.bind(row.try_get::<Vec<u8>, _>(column)?),
            _ => query.bind(row.try_get::<i64, _>(column)?),
        };
    }
    query.execute(into).await.map(drop)
}
