//! A digest of a database's rows that does not depend on their order.

use sqlx::{AnyPool, AssertSqlSafe, Row};

use crate::commit::sha256;

pub(super) async fn content_hash(pool: &AnyPool) -> Result<String, sqlx::Error> {
    let tables = sqlx::query(
        "SELECT name FROM sqlite_master WHERE type = 'table' \
         AND name NOT LIKE 'view\\_%' ESCAPE '\\' \
         AND name NOT LIKE 'sqlite\\_%' ESCAPE '\\' ORDER BY name",
    )
    .fetch_all(pool)
    .await?;
    let mut whole = String::new();
    for table in tables {
        let table: String = table.try_get(0)?;
        let columns = columns(pool, &table).await?;
        // Each row as one text: quote() writes every SQLite value without loss.
        let row_text = columns
            .iter()
            .map(|column| format!("quote(\"{column}\")"))
            .collect::<Vec<_>>()
            .join(" || ',' || ");
        let rows = sqlx::query(AssertSqlSafe(format!("SELECT {row_text} FROM \"{table}\"")))
            .fetch_all(pool)
            .await?;
        let mut digests = rows
            .iter()
            .map(|row| Ok(sha256(row.try_get::<String, _>(0)?.as_bytes())))
            .collect::<Result<Vec<_>, sqlx::Error>>()?;
        digests.sort();
        whole.push_str(&format!(
            "{table} {} {}\n",
            digests.len(),
            hex::encode(sha256(&digests.concat()))
        ));
    }
    Ok(hex::encode(sha256(whole.as_bytes())))
}

async fn columns(pool: &AnyPool, table: &str) -> Result<Vec<String>, sqlx::Error> {
    let rows = sqlx::query("SELECT name FROM pragma_table_info($1) ORDER BY name")
        .bind(table.to_owned())
        .fetch_all(pool)
        .await?;
    rows.iter().map(|row| row.try_get(0)).collect()
}
