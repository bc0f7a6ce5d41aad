//! An accepted message as it is stored, with the receipts still to come.

use std::collections::VecDeque;

use serde::{Deserialize, Serialize};
use sqlx::SqliteExecutor;

use crate::agenda::Agenda;
use crate::failure::Error;
use crate::store::{Batch, Store};

pub(super) const TABLES: &[&str] = &[
    "CREATE TABLE IF NOT EXISTS message (seq INTEGER PRIMARY KEY AUTOINCREMENT, \
     wamid TEXT NOT NULL UNIQUE, next_ms INTEGER, record TEXT NOT NULL)",
    "CREATE INDEX IF NOT EXISTS message_next ON message (next_ms) WHERE next_ms IS NOT NULL",
    "CREATE TABLE IF NOT EXISTS template (name TEXT NOT NULL, language TEXT NOT NULL, \
     body_variables INTEGER NOT NULL, status TEXT NOT NULL, PRIMARY KEY (name, language))",
];

#[derive(Debug, Clone)]
pub(super) struct Message {
    pub(super) seq: i64,
    pub(super) wamid: String,
    pub(super) next_ms: Option<i64>,
    pub(super) record: Record,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
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

type Row = (i64, String, Option<i64>, String);

impl TryFrom<Row> for Message {
    type Error = Error;

    fn try_from((seq, wamid, next_ms, record): Row) -> Result<Self, Error> {
        Ok(Self { seq, wamid, next_ms, record: serde_json::from_str(&record)? })
    }
}

/// Those with a status to come.
pub(super) async fn to_come(store: &Store) -> Result<Agenda<Message>, Error> {
    let query = "SELECT seq, wamid, next_ms, record FROM message WHERE next_ms IS NOT NULL";
    let rows: Vec<Row> = sqlx::query_as(query).fetch_all(&store.pool).await?;
    let mut accepted = Agenda::new(store.last_seq("message").await?);
    for row in rows {
        let message = Message::try_from(row)?;
        accepted.set(message.seq, message.next_ms, message);
    }
    Ok(accepted)
}

pub(super) fn insert(batch: &mut Batch, message: &Message) -> Result<(), Error> {
    batch.rows(
        "INSERT INTO message (seq, wamid, next_ms, record) ",
        [serde_json::to_string(&message.record)?],
        |mut row, record| {
            row.push_bind(message.seq).push_bind(&message.wamid);
            row.push_bind(message.next_ms).push_bind(record);
        },
        "",
    );
    Ok(())
}

pub(super) fn save(batch: &mut Batch, changed: &[Message]) -> Result<(), Error> {
    let records = changed.iter().map(|message| serde_json::to_string(&message.record));
    let records = records.collect::<Result<Vec<_>, _>>()?;
    batch.rows(
        "UPDATE message SET next_ms = fresh.column2, record = fresh.column3 FROM (",
        changed.iter().zip(records),
        |mut row, (message, record)| {
            row.push_bind(message.seq).push_bind(message.next_ms).push_bind(record);
        },
        ") AS fresh WHERE message.seq = fresh.column1",
    );
    Ok(())
}

/// Oldest first.
pub(super) async fn all(executor: impl SqliteExecutor<'_>) -> Result<Vec<Message>, Error> {
    let query = "SELECT seq, wamid, next_ms, record FROM message ORDER BY seq";
    let rows: Vec<Row> = sqlx::query_as(query).fetch_all(executor).await?;
    rows.into_iter().map(Message::try_from).collect()
}
