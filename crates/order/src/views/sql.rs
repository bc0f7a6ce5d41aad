//! Statements of many rows: each costs a hop to the database's thread, so there should be few.

use nexus_es::views::ViewError;
use sqlx::{AnyConnection, AssertSqlSafe};

/// A value to bind.
#[derive(Clone, Debug)]
pub(crate) enum Value {
    Text(String),
    Number(i64),
    Bytes(Vec<u8>),
}

/// Values that one statement binds at most; SQLite takes 32,766.
const MAX_VALUES: usize = 16_000;

/// `$1, $2, …` of `count` values after the first `before`.
pub(crate) fn places(before: usize, count: usize) -> String {
    let places: Vec<_> = (before + 1..=before + count).map(|nth| format!("${nth}")).collect();
    places.join(", ")
}

/// Inserts `rows`, each of `columns` values; `conflict` says what happens to those that are there.
pub(crate) async fn insert(
    tx: &mut AnyConnection,
    into: &str,
    columns: usize,
    conflict: &str,
    rows: Vec<Vec<Value>>,
) -> Result<(), ViewError> {
    let mut rows = rows.into_iter().peekable();
    while rows.peek().is_some() {
        let chunk: Vec<_> = rows.by_ref().take(MAX_VALUES / columns.max(1)).collect();
        let places: Vec<_> =
            (0..chunk.len()).map(|row| format!("({})", places(row * columns, columns))).collect();
        let sql = format!("INSERT INTO {into} VALUES {} {conflict}", places.join(", "));
        let mut query = sqlx::query(AssertSqlSafe(sql));
        for value in chunk.into_iter().flatten() {
            query = match value {
                Value::Text(text) => query.bind(text),
                Value::Number(number) => query.bind(number),
                Value::Bytes(bytes) => query.bind(bytes),
            };
        }
        query.execute(&mut *tx).await?;
    }
    Ok(())
}

/// A condition that grows, with its values.
#[derive(Default)]
pub(crate) struct Filter {
    conditions: Vec<String>,
    pub(crate) values: Vec<Value>,
}

impl Filter {
    /// Adds `condition`, in which each `?` stands for the next of `values`.
    pub(crate) fn and(&mut self, condition: &str, values: impl IntoIterator<Item = Value>) {
        let mut text = String::new();
        let mut values = values.into_iter();
        for (nth, piece) in condition.split('?').enumerate() {
            if nth > 0 {
                self.values.extend(values.next());
                text.push_str(&format!("${}", self.values.len()));
            }
            text.push_str(piece);
        }
        self.conditions.push(text);
    }

    /// The WHERE clause.
    pub(crate) fn clause(&self) -> String {
        if self.conditions.is_empty() {
            return String::new();
        }
        format!("WHERE {}", self.conditions.join(" AND "))
    }
}
