//! Messages as listed; their words stand in `person_message` and go when the contact is erased.
//! *Invariant:* words of an erased contact are not kept, whichever log tells it first.

use std::sync::Arc;

use async_trait::async_trait;
use nexus_es::Heard;
use nexus_es::seal::Vault;
use nexus_es::views::{Changes, View, ViewError};
use nexus_proto::notification::v1::MessageContent;
use prost::Message as _;
use sqlx::any::AnyRow;
use sqlx::{AnyConnection, AnyPool, Row as _};

use crate::channel::whatsapp::codes::meaning;
use crate::domain::SealedValue;
use crate::domain::message::{Event, Message, Request};
use crate::wire::{SERVICE, sealed_to_proto};

/// What the content of a message is sealed as.
pub(crate) const CONTENT: &str = "message.Requested.content";
/// Reason of a message whose answer was lost and that no receipt has settled. Sent again it becomes
/// `MAYBE_SENT_TWICE` and stays that.
pub(crate) const SEND_UNKNOWN: &str = "SEND_UNKNOWN";
const ORDER: &str = "order";
/// Stands for an answer that was none of the channel's own.
const UNREADABLE_CODE: i64 = 2;

pub(crate) struct Messages {
    pub(crate) vault: Arc<Vault>,
}

#[async_trait]
impl View for Messages {
    fn name(&self) -> &'static str {
        "messages"
    }

    fn sources(&self) -> &[&'static str] {
        &[SERVICE, ORDER]
    }

    async fn apply(
        &self,
        tx: &mut AnyConnection,
        heard: &[Heard],
        changes: &mut Changes,
    ) -> Result<(), ViewError> {
        for heard in heard {
            if let Some(event) = heard.event::<Message>()? {
                self.take_in(tx, heard, event).await?;
                changes.add(format!("message:{}", heard.aggregate.id));
            } else if heard.service() == ORDER && heard.event_type() == "contact.Erased" {
                forget(tx, &heard.aggregate.id).await?;
                changes.forget();
            }
        }
        Ok(())
    }
}

impl Messages {
    async fn take_in(
        &self,
        tx: &mut AnyConnection,
        heard: &Heard,
        event: Event,
    ) -> Result<(), ViewError> {
        let id = heard.aggregate.id.as_str();
        match event {
            Event::Requested(request) => {
                insert(tx, id, heard.cause.occurred_at_ms, &request).await?;
                if let Some(body) = self.body(request.content.as_ref()).await? {
                    insert_body(tx, id, &request.contact, body).await?;
                }
            }
            Event::Attempted { attempt, account, .. } => {
                attempted(tx, id, attempt, account).await?;
            }
            Event::Sent { provider_id, at_ms, .. } => sent(tx, id, provider_id, at_ms).await?,
            Event::SendUnknown { reason, .. } => {
                let detail =
                    format!("the channel did not answer ({reason}); waiting for a receipt");
                standing(tx, id, "requested", SEND_UNKNOWN, detail).await?;
            }
            Event::AttemptFailed { code, reason, .. } => {
                let advice = meaning(code.parse().unwrap_or(UNREADABLE_CODE)).1;
                let detail = format!("the channel answered {code}: {advice}");
                standing(tx, id, "requested", &reason, detail).await?;
            }
            Event::Failed { no, .. } => {
                standing(tx, id, "failed", &no.reason, no.detail).await?;
            }
            Event::Suppressed { reason, detail } => {
                standing(tx, id, "suppressed", &reason, detail).await?;
            }
            Event::Delivered { at_ms, .. } => {
                let query = "UPDATE message SET status = 'delivered', delivered_at_ms = $2 \
                             WHERE message_id = $1";
                run(tx, sqlx::query(query).bind(id.to_owned()).bind(at_ms)).await?;
            }
            Event::Read { at_ms, .. } => {
                // Who has read it has received it.
                let query = "UPDATE message SET status = 'read', read_at_ms = $2, \
                             delivered_at_ms = COALESCE(delivered_at_ms, $2) \
                             WHERE message_id = $1";
                run(tx, sqlx::query(query).bind(id.to_owned()).bind(at_ms)).await?;
            }
        }
        Ok(())
    }

    async fn body(&self, content: Option<&SealedValue>) -> Result<Option<String>, ViewError> {
        let Some(content) = content else { return Ok(None) };
        let clear = self.vault.open(&sealed_to_proto(content), CONTENT).await?;
        let content = clear.map(|clear| MessageContent::decode(clear.as_slice()));
        Ok(content.map(|content| content.unwrap_or_default().body))
    }
}

type Query<'q> = sqlx::query::Query<'q, sqlx::Any, sqlx::any::AnyArguments>;

async fn run(tx: &mut AnyConnection, query: Query<'_>) -> Result<(), sqlx::Error> {
    query.execute(tx).await.map(drop)
}

async fn insert(
    tx: &mut AnyConnection,
    id: &str,
    at_ms: i64,
    request: &Request,
) -> Result<(), sqlx::Error> {
    let query = sqlx::query(
        "INSERT INTO message (message_id, order_id, shipment_id, milestone, channel, language, \
         account_id, status, attempts, created_at_ms) \
         VALUES ($1, $2, $3, $4, $5, $6, $7, 'requested', 0, $8) \
         ON CONFLICT (message_id) DO NOTHING",
    )
    .bind(id.to_owned())
    .bind(request.order.clone())
    .bind(request.shipment.clone())
    .bind(request.milestone.as_str().to_owned())
    .bind(request.channel.as_str().to_owned())
    .bind(request.language.as_str().to_owned())
    .bind(request.account.clone())
    .bind(at_ms);
    run(tx, query).await
}

async fn insert_body(
    tx: &mut AnyConnection,
    id: &str,
    contact: &str,
    body: String,
) -> Result<(), sqlx::Error> {
    let query = sqlx::query(
        "INSERT INTO person_message (message_id, contact_id, body) SELECT $1, $2, $3 \
         WHERE NOT EXISTS (SELECT 1 FROM erased_contact WHERE contact_id = $2) \
         ON CONFLICT (message_id) DO NOTHING",
    )
    .bind(id.to_owned())
    .bind(contact.to_owned())
    .bind(body);
    run(tx, query).await
}

async fn attempted(
    tx: &mut AnyConnection,
    id: &str,
    attempt: u32,
    account: String,
) -> Result<(), sqlx::Error> {
    let query = sqlx::query(
        "UPDATE message SET attempts = $2, account_id = $3, reason = CASE WHEN reason IN \
         ('SEND_UNKNOWN', 'MAYBE_SENT_TWICE') THEN 'MAYBE_SENT_TWICE' ELSE reason END \
         WHERE message_id = $1",
    )
    .bind(id.to_owned())
    .bind(i64::from(attempt))
    .bind(account);
    run(tx, query).await
}

async fn sent(
    tx: &mut AnyConnection,
    id: &str,
    provider_id: String,
    at_ms: i64,
) -> Result<(), sqlx::Error> {
    let query = sqlx::query(
        "UPDATE message SET status = 'sent', provider_id = $2, sent_at_ms = $3, \
         detail = CASE WHEN reason = 'MAYBE_SENT_TWICE' THEN \
         'an answer of the channel was lost, so it was sent once more' END, \
         reason = CASE WHEN reason = 'MAYBE_SENT_TWICE' THEN reason END WHERE message_id = $1",
    )
    .bind(id.to_owned())
    .bind(provider_id)
    .bind(at_ms);
    run(tx, query).await
}

async fn standing(
    tx: &mut AnyConnection,
    id: &str,
    status: &str,
    reason: &str,
    detail: String,
) -> Result<(), sqlx::Error> {
    let query = "UPDATE message SET status = $2, reason = $3, detail = $4 WHERE message_id = $1";
    let query = sqlx::query(query)
        .bind(id.to_owned())
        .bind(status.to_owned())
        .bind(reason.to_owned())
        .bind(detail);
    run(tx, query).await
}

async fn forget(tx: &mut AnyConnection, contact: &str) -> Result<(), sqlx::Error> {
    let remember =
        "INSERT INTO erased_contact (contact_id) VALUES ($1) ON CONFLICT (contact_id) DO NOTHING";
    run(tx, sqlx::query(remember).bind(contact.to_owned())).await?;
    let delete = "DELETE FROM person_message WHERE contact_id = $1";
    run(tx, sqlx::query(delete).bind(contact.to_owned())).await
}

/// One message as listed.
#[derive(Clone, Debug)]
pub(crate) struct Row {
    pub(crate) id: String,
    pub(crate) order_id: String,
    pub(crate) shipment_id: String,
    pub(crate) milestone: String,
    pub(crate) channel: String,
    pub(crate) language: String,
    pub(crate) status: String,
    pub(crate) reason: Option<String>,
    pub(crate) detail: Option<String>,
    pub(crate) body: Option<String>,
    pub(crate) provider_id: Option<String>,
    pub(crate) attempts: i64,
    pub(crate) created_at_ms: i64,
    pub(crate) sent_at_ms: Option<i64>,
    pub(crate) delivered_at_ms: Option<i64>,
    pub(crate) read_at_ms: Option<i64>,
}

const SELECT: &str = "SELECT m.message_id, m.order_id, m.shipment_id, m.milestone, m.channel, \
                      m.language, m.status, m.reason, m.detail, p.body, m.provider_id, \
                      m.attempts, m.created_at_ms, m.sent_at_ms, m.delivered_at_ms, m.read_at_ms \
                      FROM message m LEFT JOIN person_message p ON p.message_id = m.message_id";

fn row(row: &AnyRow) -> Result<Row, sqlx::Error> {
    Ok(Row {
        id: row.try_get(0)?,
        order_id: row.try_get(1)?,
        shipment_id: row.try_get(2)?,
        milestone: row.try_get(3)?,
        channel: row.try_get(4)?,
        language: row.try_get(5)?,
        status: row.try_get(6)?,
        reason: row.try_get(7)?,
        detail: row.try_get(8)?,
        body: row.try_get(9)?,
        provider_id: row.try_get(10)?,
        attempts: row.try_get(11)?,
        created_at_ms: row.try_get(12)?,
        sent_at_ms: row.try_get(13)?,
        delivered_at_ms: row.try_get(14)?,
        read_at_ms: row.try_get(15)?,
    })
}

/// One message.
pub(crate) async fn get(pool: &AnyPool, id: &str) -> Result<Option<Row>, sqlx::Error> {
    let query = format!("{SELECT} WHERE m.message_id = $1");
    let query = sqlx::query(sqlx::AssertSqlSafe(query)).bind(id.to_owned());
    query.fetch_optional(pool).await?.as_ref().map(row).transpose()
}

/// Messages after `after` (time and id), oldest first, of one order and status when not empty.
pub(crate) async fn list(
    pool: &AnyPool,
    order_id: &str,
    status: &str,
    after: (i64, &str),
    limit: i64,
) -> Result<Vec<Row>, sqlx::Error> {
    // Two texts, so that a list of one order goes by its index.
    let of_order = if order_id.is_empty() { "$1 = ''" } else { "m.order_id = $1" };
    let query = format!(
        "{SELECT} WHERE {of_order} AND ($2 = '' OR m.status = $2) \
         AND (m.created_at_ms > $3 OR (m.created_at_ms = $3 AND m.message_id > $4)) \
         ORDER BY m.created_at_ms, m.message_id LIMIT $5"
    );
    let query = sqlx::query(sqlx::AssertSqlSafe(query))
        .bind(order_id.to_owned())
        .bind(status.to_owned())
        .bind(after.0)
        .bind(after.1.to_owned())
        .bind(limit);
    query.fetch_all(pool).await?.iter().map(row).collect()
}

/// The message that the channel knows by `provider_id`.
pub(crate) async fn by_provider_id(
    pool: &AnyPool,
    provider_id: &str,
) -> Result<Option<String>, sqlx::Error> {
    let query = "SELECT message_id FROM message WHERE provider_id = $1 LIMIT 1";
    let found = sqlx::query(query).bind(provider_id.to_owned()).fetch_optional(pool).await?;
    found.map(|row| row.try_get(0)).transpose()
}
