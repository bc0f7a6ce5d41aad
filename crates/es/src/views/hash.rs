//! A digest of a database's rows that depends neither on their order nor on the database.

use futures::TryStreamExt;
use sqlx::any::{AnyRow, AnyTypeInfoKind};
use sqlx::{AnyConnection, AssertSqlSafe, Row, ValueRef};

use super::Pool;
use crate::commit::sha256;

/// The service's own tables with their columns, both in the order of their names.
const TABLES: &str = "SELECT name FROM sqlite_master WHERE type = 'table' \
    AND name NOT LIKE 'sqlite\\_%' ESCAPE '\\'";
const COLUMNS: &str = "SELECT name FROM pragma_table_info($1)";
const POSTGRES_TABLES: &str = "SELECT CAST(table_name AS TEXT) FROM information_schema.tables \
    WHERE table_schema = current_schema()";
const POSTGRES_COLUMNS: &str = "SELECT CAST(column_name AS TEXT) FROM information_schema.columns \
    WHERE table_schema = current_schema() AND table_name = $1";

pub(super) async fn content_hash(pool: &Pool) -> Result<String, sqlx::Error> {
    let mut connection = pool.acquire().await?;
    let tables = tables(&mut connection).await?;
    let mut whole = String::new();
    for table in tables.iter().filter(|table| !table.starts_with("view_")) {
        let columns = columns(&mut connection, table).await?;
        let query = format!("SELECT {} FROM \"{table}\"", columns.join(", "));
        let mut rows = sqlx::query(AssertSqlSafe(query)).fetch(&mut *connection);
        let mut digests = Vec::new();
        while let Some(row) = rows.try_next().await? {
            digests.push(sha256(&written(&row)?));
        }
        digests.sort();
        whole.push_str(&format!(
            "{table} {} {}\n",
            digests.len(),
            hex::encode(sha256(&digests.concat()))
        ));
    }
    Ok(hex::encode(sha256(whole.as_bytes())))
}

/// All tables of the database.
pub(super) async fn tables(connection: &mut AnyConnection) -> Result<Vec<String>, sqlx::Error> {
    let query = if is_postgres(connection) { POSTGRES_TABLES } else { TABLES };
    names(&sqlx::query(query).fetch_all(connection).await?)
}

/// The columns of a table, quoted.
pub(super) async fn columns(
    connection: &mut AnyConnection,
    table: &str,
) -> Result<Vec<String>, sqlx::Error> {
    let query = if is_postgres(connection) { POSTGRES_COLUMNS } else { COLUMNS };
    let rows = sqlx::query(query).bind(table.to_owned()).fetch_all(connection).await?;
    Ok(names(&rows)?.iter().map(|name| format!("\"{name}\"")).collect())
}

fn is_postgres(connection: &AnyConnection) -> bool {
    connection.backend_name() == "PostgreSQL"
}

fn names(rows: &[AnyRow]) -> Result<Vec<String>, sqlx::Error> {
    let names = rows.iter().map(|row| row.try_get(0));
    let mut names = names.collect::<Result<Vec<String>, _>>()?;
    names.sort();
    Ok(names)
}

/// The values of a row so that different ones are written differently.
fn written(row: &AnyRow) -> Result<Vec<u8>, sqlx::Error> {
    let mut text = Vec::new();
    for column in 0..row.len() {
        let value = row.try_get_raw(column)?;
        if value.is_null() {
            text.push(b'n');
            continue;
        }
        let (kind, bytes): (u8, Vec<u8>) = match value.type_info().kind() {
            AnyTypeInfoKind::Text => (b't', row.try_get::<String, _>(column)?.into_bytes()),
            AnyTypeInfoKind::Blob => (b'b', row.try_get(column)?),
            _ => (b'i', row.try_get::<i64, _>(column)?.to_be_bytes().into()),
        };
        text.push(kind);
        text.extend(bytes.len().to_be_bytes());
        text.extend(bytes);
    }
    Ok(text)
}
