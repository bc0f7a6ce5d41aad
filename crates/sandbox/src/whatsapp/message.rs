//! An accepted message as it is stored, with the receipts still to come.

use std::collections::VecDeque;

use serde::{Deserialize, Serialize};
use sqlx::{Sqlite, SqliteExecutor, Transaction};

use crate::failure::Error;

pub(super) const TABLES: &[&str] = &[
    "CREATE TABLE IF NOT EXISTS message (seq INTEGER PRIMARY KEY AUTOINCREMENT, \
     wamid TEXT NOT NULL UNIQUE, next_ms INTEGER, record TEXT NOT NULL)",
    "CREATE INDEX IF NOT EXISTS message_next ON message (next_ms) WHERE next_ms IS NOT NULL",
    "CREATE TABLE IF NOT EXISTS template (name TEXT NOT NULL, language TEXT NOT NULL, \
     body_variables INTEGER NOT NULL, status TEXT NOT NULL, PRIMARY KEY (name, language))",
];

#[derive(Debug)]
pub(super) struct Message {
    pub(super) wamid: String,
    pub(super) next_ms: Option<i64>,
    pub(super) record: Record,
}

#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Record {
    pub(super) phone_number_id: String,
    /// As the caller wrote it.
    pub(super) to: String,
    /// Digits only, as receipts name it.
    pub(super) wa_id: String,
    pub(super) template: String,
    pub(super) language: String,
    pub(super) parameters: Vec<String>,
    pub(super) biz_opaque_callback_data: Option<String>,
    pub(super) accepted_ms: i64,
    pub(super) statuses: Vec<Receipt>,
    pub(super) plan: VecDeque<Planned>,
    pub(super) duplicated: bool,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct Receipt {
    pub(super) status: Status,
    pub(super) at_ms: i64,
}

/// A receipt to come.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct Planned {
    /// The wait after the one before, in milliseconds at speed 1.
    pub(super) after: u64,
    pub(super) status: Status,
    /// How much later its webhook goes out than the status happened.
    pub(super) held_back: u64,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Status {
    Sent,
    Delivered,
    Read,
    Failed,
}

type Row = (String, Option<i64>, String);

impl TryFrom<Row> for Message {
    type Error = Error;

    fn try_from((wamid, next_ms, record): Row) -> Result<Self, Error> {
        Ok(Self { wamid, next_ms, record: serde_json::from_str(&record)? })
    }
}

pub(super) async fn insert(
    transaction: &mut Transaction<'_, Sqlite>,
    message: &Message,
) -> Result<(), Error> {
    sqlx::query("INSERT INTO message (wamid, next_ms, record) VALUES ($1, $2, $3)")
        .bind(&message.wamid)
        .bind(message.next_ms)
        .bind(serde_json::to_string(&message.record)?)
        .execute(&mut **transaction)
        .await?;
    Ok(())
}

pub(super) async fn save(
    transaction: &mut Transaction<'_, Sqlite>,
    message: &Message,
) -> Result<(), Error> {
    sqlx::query("UPDATE message SET next_ms = $2, record = $3 WHERE wamid = $1")
        .bind(&message.wamid)
        .bind(message.next_ms)
        .bind(serde_json::to_string(&message.record)?)
        .execute(&mut **transaction)
        .await?;
    Ok(())
}

pub(super) async fn due(
    executor: impl SqliteExecutor<'_>,
    now: i64,
    limit: i64,
) -> Result<Vec<Message>, Error> {
    let rows: Vec<Row> = sqlx::query_as(
        "SELECT wamid, next_ms, record FROM message \
         WHERE next_ms IS NOT NULL AND next_ms <= $1 ORDER BY next_ms LIMIT $2",
    )
    .bind(now)
    .bind(limit)
    .fetch_all(executor)
    .await?;
    rows.into_iter().map(Message::try_from).collect()
}

/// Oldest first.
pub(super) async fn all(executor: impl SqliteExecutor<'_>) -> Result<Vec<Message>, Error> {
    let rows: Vec<Row> = sqlx::query_as("SELECT wamid, next_ms, record FROM message ORDER BY seq")
        .fetch_all(executor)
        .await?;
    rows.into_iter().map(Message::try_from).collect()
}
