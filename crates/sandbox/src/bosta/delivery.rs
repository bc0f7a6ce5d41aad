//! A delivery as it is stored: what is searched stands in columns, the rest in one record.
//! *Invariant:* of the deliveries alive at most one has a given unique reference.

use std::collections::VecDeque;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use sqlx::{Sqlite, SqliteExecutor, SqlitePool, Transaction};

use super::request::text;
use crate::agenda::Agenda;
use crate::failure::Error;
use crate::store::{Batch, Store};

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

/// Those with a state to come.
pub(super) async fn to_come(store: &Store) -> Result<Agenda<Delivery>, Error> {
    let query = format!("SELECT {COLUMNS} FROM delivery WHERE next_ms IS NOT NULL");
    let query = sqlx::query_as(sqlx::AssertSqlSafe(query));
    let rows: Vec<Row> = query.fetch_all(&store.pool).await?;
    let mut lives = Agenda::new(store.last_seq("delivery").await?);
    for row in rows {
        let delivery = Delivery::try_from(row)?;
        lives.set(delivery.seq, delivery.next_ms, delivery);
    }
    Ok(lives)
}

/// Counts one more create call for a reference; false when nothing alive has it.
pub(super) async fn count_repeat(pool: &SqlitePool, reference: &str) -> Result<bool, Error> {
    let counted = sqlx::query(
        "UPDATE delivery SET create_calls = create_calls + 1 \
         WHERE alive = 1 AND unique_reference = $1",
    );
    Ok(counted.bind(reference).execute(pool).await?.rows_affected() > 0)
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

fn phone(delivery: &Delivery) -> String {
    let receiver = delivery.record.fields.get("receiver");
    let phone = receiver.and_then(|receiver| receiver.get("phone")).and_then(Value::as_str);
    phone_key(phone.unwrap_or_default())
}

fn records(deliveries: &[Delivery]) -> Result<Vec<String>, Error> {
    let records = deliveries.iter().map(|delivery| serde_json::to_string(&delivery.record));
    Ok(records.collect::<Result<_, _>>()?)
}

pub(super) fn insert(batch: &mut Batch, made: &[Delivery]) -> Result<(), Error> {
    batch.rows(
        "INSERT INTO delivery (seq, id, tracking, unique_reference, business_reference, phone, \
         state, alive, create_calls, next_ms, record) ",
        made.iter().zip(records(made)?),
        |mut row, (delivery, record)| {
            row.push_bind(delivery.seq).push_bind(&delivery.id).push_bind(&delivery.tracking);
            row.push_bind(delivery.text("uniqueBusinessReference"));
            row.push_bind(delivery.text("businessReference")).push_bind(phone(delivery));
            row.push_bind(delivery.record.state).push_bind(i64::from(delivery.alive));
            row.push_bind(delivery.create_calls).push_bind(delivery.next_ms).push_bind(record);
        },
        "",
    );
    Ok(())
}

/// Writes back what was changed, but not how often it was asked for, which is counted in the file.
pub(super) fn save(batch: &mut Batch, changed: &[Delivery]) -> Result<(), Error> {
    batch.rows(
        "UPDATE delivery SET business_reference = fresh.column2, phone = fresh.column3, \
         state = fresh.column4, alive = fresh.column5, next_ms = fresh.column6, \
         record = fresh.column7 FROM (",
        changed.iter().zip(records(changed)?),
        |mut row, (delivery, record)| {
            row.push_bind(delivery.seq).push_bind(delivery.text("businessReference"));
            row.push_bind(phone(delivery)).push_bind(delivery.record.state);
            row.push_bind(i64::from(delivery.alive)).push_bind(delivery.next_ms);
            row.push_bind(record);
        },
        ") AS fresh WHERE delivery.seq = fresh.column1",
    );
    Ok(())
}
