//! A delivery as it is stored: what is searched stands in columns, the rest in one record.
//! *Invariant:* of the deliveries alive at most one has a given unique reference.

use std::collections::VecDeque;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use sqlx::{Sqlite, SqliteExecutor, Transaction};

use super::request::text;
use crate::failure::Error;

pub(super) const TABLES: &[&str] = &[
    "CREATE TABLE IF NOT EXISTS delivery (seq INTEGER PRIMARY KEY AUTOINCREMENT, \
     id TEXT NOT NULL UNIQUE, tracking TEXT NOT NULL UNIQUE, unique_reference TEXT, \
     business_reference TEXT, phone TEXT NOT NULL, state INTEGER NOT NULL, \
     alive INTEGER NOT NULL, create_calls INTEGER NOT NULL, next_ms INTEGER, \
     record TEXT NOT NULL)",
    "CREATE UNIQUE INDEX IF NOT EXISTS delivery_guard ON delivery (unique_reference) \
     WHERE alive = 1 AND unique_reference IS NOT NULL",
    "CREATE INDEX IF NOT EXISTS delivery_next ON delivery (next_ms) WHERE next_ms IS NOT NULL",
    "CREATE INDEX IF NOT EXISTS delivery_reference ON delivery (business_reference)",
    "CREATE TABLE IF NOT EXISTS pickup (seq INTEGER PRIMARY KEY AUTOINCREMENT, \
     id TEXT NOT NULL UNIQUE, location TEXT NOT NULL, date TEXT NOT NULL, \
     alive INTEGER NOT NULL, record TEXT NOT NULL)",
];

#[derive(Debug, Clone)]
pub(super) struct Delivery {
    pub(super) seq: i64,
    pub(super) id: String,
    pub(super) tracking: String,
    pub(super) alive: bool,
    pub(super) create_calls: i64,
    pub(super) next_ms: Option<i64>,
    pub(super) record: Record,
}

/// All that is not searched for.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct Record {
    pub(super) kind: i64,
    pub(super) returning: bool,
    pub(super) state: i64,
    pub(super) fields: Map<String, Value>,
    pub(super) created_ms: i64,
    pub(super) stamp_ms: i64,
    pub(super) attempts: u32,
    pub(super) exception: Option<i64>,
    pub(super) history: Vec<Past>,
    pub(super) plan: VecDeque<Step>,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct Past {
    pub(super) state: i64,
    pub(super) at_ms: i64,
}

/// A state to come.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct Step {
    /// The wait after the step before, in milliseconds at speed 1.
    pub(super) after: u64,
    pub(super) state: i64,
    /// True from the step on that turns the delivery around.
    pub(super) returning: bool,
    pub(super) exception: Option<i64>,
}

impl Delivery {
    pub(super) fn text(&self, field: &str) -> Option<&str> {
        text(&self.record.fields, field)
    }

    pub(super) fn field(&self, field: &str) -> Value {
        self.record.fields.get(field).cloned().unwrap_or_default()
    }

    pub(super) fn customer_address(&self) -> Value {
        let drop_off = self.field("dropOffAddress");
        if drop_off.is_null() { self.field("pickupAddress") } else { drop_off }
    }
}

type Row = (i64, String, String, i64, i64, Option<i64>, String);

const COLUMNS: &str = "seq, id, tracking, alive, create_calls, next_ms, record";

impl TryFrom<Row> for Delivery {
    type Error = Error;

    fn try_from(row: Row) -> Result<Self, Error> {
        let (seq, id, tracking, alive, create_calls, next_ms, record) = row;
        let record = serde_json::from_str(&record)?;
        Ok(Self { seq, id, tracking, alive: alive == 1, create_calls, next_ms, record })
    }
}

/// Which column a caller knows a delivery by.
#[derive(Debug, Clone, Copy)]
pub(super) enum Key<'a> {
    Id(&'a str),
    Tracking(&'a str),
    Unique(&'a str),
}

/// One that is not terminated.
pub(super) async fn alive(
    executor: impl SqliteExecutor<'_>,
    key: Key<'_>,
) -> Result<Option<Delivery>, Error> {
    let (column, value) = match key {
        Key::Id(value) => ("id", value),
        Key::Tracking(value) => ("tracking", value),
        Key::Unique(value) => ("unique_reference", value),
    };
    let query = format!("SELECT {COLUMNS} FROM delivery WHERE alive = 1 AND {column} = $1");
    let query = sqlx::query_as(sqlx::AssertSqlSafe(query));
    let row: Option<Row> = query.bind(value).fetch_optional(executor).await?;
    row.map(Delivery::try_from).transpose()
}

pub(super) async fn due(
    executor: impl SqliteExecutor<'_>,
    now: i64,
    limit: i64,
) -> Result<Vec<Delivery>, Error> {
    let rows: Vec<Row> = sqlx::query_as(sqlx::AssertSqlSafe(format!(
        "SELECT {COLUMNS} FROM delivery WHERE next_ms IS NOT NULL AND next_ms <= $1 \
         ORDER BY next_ms LIMIT $2"
    )))
    .bind(now)
    .bind(limit)
    .fetch_all(executor)
    .await?;
    rows.into_iter().map(Delivery::try_from).collect()
}

/// Terminated ones too, oldest first.
pub(super) async fn all(executor: impl SqliteExecutor<'_>) -> Result<Vec<Delivery>, Error> {
    let query = format!("SELECT {COLUMNS} FROM delivery ORDER BY seq");
    let rows: Vec<Row> = sqlx::query_as(sqlx::AssertSqlSafe(query)).fetch_all(executor).await?;
    rows.into_iter().map(Delivery::try_from).collect()
}

/// What a search asks for; an absent filter lets everything through.
#[derive(Debug, Default)]
pub(super) struct Filter {
    pub(super) business_reference: Option<String>,
    pub(super) trackings: Option<Vec<String>>,
    pub(super) phones: Option<Vec<String>>,
    pub(super) states: Option<Vec<i64>>,
}

const MATCHES: &str = "alive = 1 \
     AND ($1 IS NULL OR business_reference = $1) \
     AND ($2 IS NULL OR tracking IN (SELECT value FROM json_each($2))) \
     AND ($3 IS NULL OR phone IN (SELECT value FROM json_each($3))) \
     AND ($4 IS NULL OR state IN (SELECT value FROM json_each($4)))";

/// Newest first, and how many there are in all.
pub(super) async fn search(
    transaction: &mut Transaction<'_, Sqlite>,
    filter: &Filter,
    page: i64,
    limit: i64,
) -> Result<(Vec<Delivery>, i64), Error> {
    let trackings = filter.trackings.as_ref().map(serde_json::to_string).transpose()?;
    let phones = filter.phones.as_ref().map(serde_json::to_string).transpose()?;
    let states = filter.states.as_ref().map(serde_json::to_string).transpose()?;
    let count: i64 = sqlx::query_scalar(sqlx::AssertSqlSafe(format!(
        "SELECT COUNT(*) FROM delivery WHERE {MATCHES}"
    )))
    .bind(&filter.business_reference)
    .bind(&trackings)
    .bind(&phones)
    .bind(&states)
    .fetch_one(&mut **transaction)
    .await?;
    let rows: Vec<Row> = sqlx::query_as(sqlx::AssertSqlSafe(format!(
        "SELECT {COLUMNS} FROM delivery WHERE {MATCHES} ORDER BY seq DESC LIMIT $5 OFFSET $6"
    )))
    .bind(&filter.business_reference)
    .bind(&trackings)
    .bind(&phones)
    .bind(&states)
    .bind(limit)
    .bind((page - 1).saturating_mul(limit))
    .fetch_all(&mut **transaction)
    .await?;
    let found = rows.into_iter().map(Delivery::try_from).collect::<Result<_, _>>()?;
    Ok((found, count))
}

/// Ten last digits: the same in every spelling of an Egyptian number.
pub(super) fn phone_key(phone: &str) -> String {
    let digits: Vec<char> = phone.chars().filter(char::is_ascii_digit).collect();
    digits.iter().skip(digits.len().saturating_sub(10)).collect()
}

pub(super) async fn insert(
    transaction: &mut Transaction<'_, Sqlite>,
    delivery: &Delivery,
) -> Result<(), Error> {
    let phone = delivery.field("receiver");
    let phone = phone.get("phone").and_then(Value::as_str).unwrap_or_default();
    sqlx::query(
        "INSERT INTO delivery (id, tracking, unique_reference, business_reference, phone, state, \
         alive, create_calls, next_ms, record) VALUES ($1, $2, $3, $4, $5, $6, 1, 1, $7, $8)",
    )
    .bind(&delivery.id)
    .bind(&delivery.tracking)
    .bind(delivery.text("uniqueBusinessReference"))
    .bind(delivery.text("businessReference"))
    .bind(phone_key(phone))
    .bind(delivery.record.state)
    .bind(delivery.next_ms)
    .bind(serde_json::to_string(&delivery.record)?)
    .execute(&mut **transaction)
    .await?;
    Ok(())
}

/// Writes back what was read in the same transaction.
pub(super) async fn save(
    transaction: &mut Transaction<'_, Sqlite>,
    delivery: &Delivery,
) -> Result<(), Error> {
    let receiver = delivery.field("receiver");
    let phone = receiver.get("phone").and_then(Value::as_str).unwrap_or_default();
    sqlx::query(
        "UPDATE delivery SET business_reference = $2, phone = $3, state = $4, alive = $5, \
         create_calls = $6, next_ms = $7, record = $8 WHERE seq = $1",
    )
    .bind(delivery.seq)
    .bind(delivery.text("businessReference"))
    .bind(phone_key(phone))
    .bind(delivery.record.state)
    .bind(i64::from(delivery.alive))
    .bind(delivery.create_calls)
    .bind(delivery.next_ms)
    .bind(serde_json::to_string(&delivery.record)?)
    .execute(&mut **transaction)
    .await?;
    Ok(())
}
