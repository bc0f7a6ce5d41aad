//! Statements over many rows: one text for both databases, written with `?`.
//! *Invariant:* a text comes in a few sizes only, so that each is prepared once a connection.
//!
//! A statement is a trip to the driver's thread or to the server, about as long as the writing of
//! twenty rows: there should be few. The driver keeps a hundred texts prepared on a connection, so
//! a text for every count of rows would be prepared each time. Hence [`SIZES`]: the last statement
//! is filled up when little is missing, else the rows are split. Filling rows hold NULL and are
//! left out by the statement itself; in a list of keys the last one is repeated.
//!
//! `SQLite` looks a parameter's name up in a list, for each parameter from its beginning; `?` has
//! none. PostgreSQL knows `$1` only.

use sqlx::any::{AnyArguments, AnyRow};
use sqlx::query::Query;
use sqlx::{Any, AnyConnection, AssertSqlSafe};

/// Rows of one statement. Doubled while batches are small, as under load; then four times as many,
/// for those who read logs from the beginning. Fourteen columns of the largest are 1,792 values;
/// `SQLite` takes 32,766.
const SIZES: [usize; 7] = [1, 2, 4, 8, 16, 32, 128];
/// So many rows of NULL cost less than one more statement.
const MOST_FILLING: usize = 8;

/// A value to bind.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Value {
    /// A TEXT.
    Text(String),
    /// A BIGINT.
    Number(i64),
    /// A BLOB.
    Bytes(Vec<u8>),
    /// No TEXT: PostgreSQL wants to know what is missing.
    NoText,
    /// No BIGINT.
    NoNumber,
    /// No BLOB.
    NoBytes,
}

impl Value {
    fn nothing(&self) -> Self {
        match self {
            Self::Text(_) | Self::NoText => Self::NoText,
            Self::Number(_) | Self::NoNumber => Self::NoNumber,
            Self::Bytes(_) | Self::NoBytes => Self::NoBytes,
        }
    }
}

impl From<String> for Value {
    fn from(text: String) -> Self {
        // PostgreSQL takes no text with it, and what was recorded must be shown all the same.
        Self::Text(if text.contains('\0') { text.replace('\0', "\u{FFFD}") } else { text })
    }
}

impl From<&str> for Value {
    fn from(text: &str) -> Self {
        text.to_owned().into()
    }
}

impl From<Option<String>> for Value {
    fn from(text: Option<String>) -> Self {
        text.map_or(Self::NoText, Self::from)
    }
}

impl From<i64> for Value {
    fn from(number: i64) -> Self {
        Self::Number(number)
    }
}

impl From<u32> for Value {
    fn from(number: u32) -> Self {
        Self::Number(number.into())
    }
}

impl From<u64> for Value {
    fn from(number: u64) -> Self {
        Self::Number(i64::try_from(number).unwrap_or(i64::MAX))
    }
}

impl From<Option<i64>> for Value {
    fn from(number: Option<i64>) -> Self {
        number.map_or(Self::NoNumber, Self::Number)
    }
}

impl From<Vec<u8>> for Value {
    fn from(bytes: Vec<u8>) -> Self {
        Self::Bytes(bytes)
    }
}

/// `query` with one more value.
pub fn bind(query: Query<'_, Any, AnyArguments>, value: Value) -> Query<'_, Any, AnyArguments> {
    match value {
        Value::Text(text) => query.bind(text),
        Value::Number(number) => query.bind(number),
        Value::Bytes(bytes) => query.bind(bytes),
        Value::NoText => query.bind(None::<String>),
        Value::NoNumber => query.bind(None::<i64>),
        Value::NoBytes => query.bind(None::<Vec<u8>>),
    }
}

/// Inserts `rows` into `into`, a table with its columns; `conflict` says what happens to those that
/// are there already. The first column must be one that is never NULL, and no two rows may be the
/// same row of the table: PostgreSQL changes none twice in one statement.
///
/// # Errors
/// What the database answers.
pub async fn insert<const N: usize>(
    tx: &mut AnyConnection,
    into: &str,
    conflict: &str,
    rows: Vec<[Value; N]>,
) -> Result<(), sqlx::Error> {
    let filling = rows.first().map(|row| row.each_ref().map(Value::nothing));
    let mut left = rows.len();
    let mut rows = rows.into_iter();
    let Some(filling) = filling else { return Ok(()) };
    while left > 0 {
        let (taken, size) = split(left);
        left -= taken;
        let mut text = Text::of(tx);
        text.push(&format!("INSERT INTO {into} SELECT * FROM (VALUES "));
        text.rows(size, N);
        text.push(&format!(") AS v WHERE column1 IS NOT NULL {conflict}"));
        let chunk = rows.by_ref().take(taken);
        let fill = std::iter::repeat_n(filling.clone(), size - taken);
        let query = sqlx::query(AssertSqlSafe(text.sql));
        chunk.chain(fill).flatten().fold(query, bind).execute(&mut *tx).await?;
    }
    Ok(())
}

/// What `select` finds: `(*)` in it stands for the list of `keys`, each `?` before that for the
/// next of `first`. Rows of one key come together and in the statement's order.
///
/// # Errors
/// What the database answers.
pub async fn fetch_in(
    tx: &mut AnyConnection,
    select: &str,
    first: &[Value],
    keys: Vec<Value>,
) -> Result<Vec<AnyRow>, sqlx::Error> {
    let mut found = Vec::new();
    for (text, values) in lists(tx, select, first, keys) {
        let query = values.into_iter().fold(sqlx::query(AssertSqlSafe(text)), bind);
        found.extend(query.fetch_all(&mut *tx).await?);
    }
    Ok(found)
}

/// Does `statement` for all `keys`, with the same marks as in [`fetch_in`].
///
/// # Errors
/// What the database answers.
pub async fn execute_in(
    tx: &mut AnyConnection,
    statement: &str,
    first: &[Value],
    keys: Vec<Value>,
) -> Result<(), sqlx::Error> {
    for (text, values) in lists(tx, statement, first, keys) {
        let query = values.into_iter().fold(sqlx::query(AssertSqlSafe(text)), bind);
        query.execute(&mut *tx).await?;
    }
    Ok(())
}

/// The statements for all `keys`, with the values of each.
fn lists(
    tx: &AnyConnection,
    statement: &str,
    first: &[Value],
    keys: Vec<Value>,
) -> Vec<(String, Vec<Value>)> {
    let (before, after) = statement.split_once("(*)").unwrap_or((statement, ""));
    let mut statements = Vec::new();
    let mut left = keys.len();
    let mut keys = keys.into_iter();
    while left > 0 {
        let (taken, size) = split(left);
        left -= taken;
        let mut text = Text::of(tx);
        text.push(before);
        text.rows(1, size);
        text.push(after);
        let mut values: Vec<_> = first.iter().cloned().chain(keys.by_ref().take(taken)).collect();
        if let Some(last) = values.last().cloned() {
            values.resize(first.len() + size, last);
        }
        statements.push((text.sql, values));
    }
    statements
}

/// Of `rows` rows, how many the next statement takes, and for how many it is written.
fn split(rows: usize) -> (usize, usize) {
    let [smallest, ..] = SIZES;
    match SIZES.into_iter().find(|size| *size >= rows) {
        Some(size) if size - rows <= MOST_FILLING => (rows, size),
        _ => {
            let size = SIZES.into_iter().rfind(|size| *size <= rows).unwrap_or(smallest);
            (size, size)
        }
    }
}

/// A statement while it is written.
struct Text {
    sql: String,
    /// How many placeholders it has so far; `None` where they need no number.
    numbered: Option<usize>,
}

impl Text {
    fn of(connection: &AnyConnection) -> Self {
        let numbered = (connection.backend_name() == "PostgreSQL").then_some(0);
        Self { sql: String::new(), numbered }
    }

    fn push(&mut self, text: &str) {
        for (nth, piece) in text.split('?').enumerate() {
            if nth > 0 {
                self.place();
            }
            self.sql.push_str(piece);
        }
    }

    fn place(&mut self) {
        match &mut self.numbered {
            None => self.sql.push('?'),
            Some(last) => {
                *last += 1;
                self.sql.push('$');
                self.sql.push_str(&last.to_string());
            }
        }
    }

    /// `(?, ?), (?, ?)` for two rows of two columns.
    fn rows(&mut self, rows: usize, columns: usize) {
        for row in 0..rows {
            self.sql.push_str(if row == 0 { "(" } else { ", (" });
            for column in 0..columns {
                if column > 0 {
                    self.sql.push_str(", ");
                }
                self.place();
            }
            self.sql.push(')');
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn placeholders_are_numbered_for_postgresql_only() {
        for (numbered, expected) in
            [(None, "a = ? AND b IN (?, ?)"), (Some(0), "a = $1 AND b IN ($2, $3)")]
        {
            let mut text = Text { sql: String::new(), numbered };
            text.push("a = ? AND b IN ");
            text.rows(1, 2);
            assert_eq!(text.sql, expected);
        }
    }

    #[test]
    fn any_count_of_rows_is_written_in_few_statements_of_known_sizes() {
        for rows in 1..1000 {
            let (mut left, mut statements, mut filled) = (rows, 0, 0);
            while left > 0 {
                let (taken, size) = split(left);
                assert!(SIZES.contains(&size) && taken <= size && taken <= left, "{rows}");
                (left, statements, filled) = (left - taken, statements + 1, filled + size - taken);
            }
            assert!(statements <= rows / 128 + 5, "{rows} rows take {statements}");
            assert!(filled <= MOST_FILLING, "{rows} rows are filled up with {filled}");
        }
        assert_eq!(
            [split(1), split(5), split(17), split(30)],
            [(1, 1), (5, 8), (16, 16), (30, 32)]
        );
    }
}
