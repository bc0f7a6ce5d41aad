//! Messages as listed; their words stand in `person_message` and go when the contact is erased.
//! *Invariant:* words of an erased contact are not kept, whichever log tells it first.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use async_trait::async_trait;
use nexus_es::seal::Vault;
use nexus_es::views::rows::{self, Value};
use nexus_es::views::{Changes, Pool, View, ViewError};
use nexus_es::{Decider, Heard};
use nexus_proto::notification::v1::MessageContent;
use prost::Message as _;
use sqlx::any::AnyRow;
use sqlx::{AnyConnection, Row as _};

use crate::channel::whatsapp::codes::meaning;
use crate::domain::SealedValue;
use crate::domain::message::{Event, Message, Request};
use crate::wire::{SERVICE, sealed_to_proto};

/// What the content of a message is sealed as.
pub(crate) const CONTENT: &str = "message.Requested.content";
/// Reason of a message whose answer was lost and that no receipt has settled. Sent again it becomes
/// [`MAYBE_SENT_TWICE`] and stays that.
pub(crate) const SEND_UNKNOWN: &str = "SEND_UNKNOWN";
const MAYBE_SENT_TWICE: &str = "MAYBE_SENT_TWICE";
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
        let mut batch = Batch { rows: known(tx, heard).await?, ..Batch::default() };
        for heard in heard {
            if let Some(event) = heard.event::<Message>()? {
                self.take_in(&mut batch, heard, event).await?;
                changes.add(format!("message:{}", heard.aggregate.id));
            } else if heard.service() == ORDER && heard.event_type() == "contact.Erased" {
                batch.erased.insert(heard.aggregate.id.clone());
                changes.forget();
            }
        }
        batch.write(tx).await?;
        Ok(())
    }
}

/// What a batch changes.
#[derive(Default)]
struct Batch {
    rows: BTreeMap<String, Row>,
    /// Contact and words, by message.
    bodies: BTreeMap<String, (String, String)>,
    erased: BTreeSet<String>,
}

/// The messages in `heard` that were requested before this batch.
async fn known(
    tx: &mut AnyConnection,
    heard: &[Heard],
) -> Result<BTreeMap<String, Row>, sqlx::Error> {
    let later = heard.iter().filter(|heard| heard.aggregate.category == Message::CATEGORY);
    let later = later.filter(|heard| heard.number > 1);
    let ids: BTreeSet<_> = later.map(|heard| heard.aggregate.id.as_str()).collect();
    let ids = ids.into_iter().map(Value::from).collect();
    let select = format!("{SELECT} WHERE m.message_id IN (*)");
    let rows = rows::fetch_in(tx, &select, &[], ids).await?;
    let rows = rows.iter().map(|found| row(found).map(|row| (row.id.clone(), row)));
    rows.collect()
}

impl Messages {
    async fn take_in(
        &self,
        batch: &mut Batch,
        heard: &Heard,
        event: Event,
    ) -> Result<(), ViewError> {
        let id = heard.aggregate.id.as_str();
        if let Event::Requested(request) = event {
            if let Some(body) = self.body(request.content.as_ref()).await? {
                batch.bodies.insert(id.to_owned(), (request.contact.clone(), body));
            }
            let new = Row::requested(id, heard.cause.occurred_at_ms, &request);
            batch.rows.entry(id.to_owned()).or_insert(new);
        } else if let Some(row) = batch.rows.get_mut(id) {
            row.take_in(event);
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

impl Batch {
    async fn write(self, tx: &mut AnyConnection) -> Result<(), sqlx::Error> {
        let rows = self.rows.into_values().map(Row::values).collect();
        let into = "message (message_id, order_id, shipment_id, milestone, channel, language, \
            account_id, status, reason, detail, provider_id, attempts, created_at_ms, \
            sent_at_ms, delivered_at_ms, read_at_ms)";
        let conflict = "ON CONFLICT (message_id) DO UPDATE SET account_id = excluded.account_id, \
            status = excluded.status, reason = excluded.reason, detail = excluded.detail, \
            provider_id = excluded.provider_id, attempts = excluded.attempts, \
            sent_at_ms = excluded.sent_at_ms, delivered_at_ms = excluded.delivered_at_ms, \
            read_at_ms = excluded.read_at_ms";
        rows::insert(tx, into, conflict, rows).await?;
        let erased: Vec<_> = self.erased.into_iter().map(Value::from).collect();
        let remembered = erased.iter().cloned().map(|contact| [contact]).collect();
        let nothing = "ON CONFLICT (contact_id) DO NOTHING";
        rows::insert(tx, "erased_contact (contact_id)", nothing, remembered).await?;
        write_bodies(tx, self.bodies).await?;
        let delete = "DELETE FROM person_message WHERE contact_id IN (*)";
        rows::execute_in(tx, delete, &[], erased).await
    }
}

/// Keeps the words of those contacts that are not erased.
async fn write_bodies(
    tx: &mut AnyConnection,
    bodies: BTreeMap<String, (String, String)>,
) -> Result<(), sqlx::Error> {
    let contacts: BTreeSet<_> = bodies.values().map(|(contact, _)| contact.as_str()).collect();
    let contacts = contacts.into_iter().map(Value::from).collect();
    let select = "SELECT contact_id FROM erased_contact WHERE contact_id IN (*)";
    let mut erased = BTreeSet::new();
    for row in rows::fetch_in(tx, select, &[], contacts).await? {
        erased.insert(row.try_get::<String, _>(0)?);
    }
    let kept = bodies.into_iter().filter(|(_, (contact, _))| !erased.contains(contact));
    let rows = kept.map(|(id, (contact, body))| [id.into(), contact.into(), body.into()]);
    let nothing = "ON CONFLICT (message_id) DO NOTHING";
    let into = "person_message (message_id, contact_id, body)";
    rows::insert(tx, into, nothing, rows.collect()).await
}

impl Row {
    fn requested(id: &str, at_ms: i64, request: &Request) -> Self {
        Self {
            id: id.to_owned(),
            order_id: request.order.clone(),
            shipment_id: request.shipment.clone(),
            milestone: request.milestone.as_str().to_owned(),
            channel: request.channel.as_str().to_owned(),
            language: request.language.as_str().to_owned(),
            account: request.account.clone(),
            status: "requested".to_owned(),
            created_at_ms: at_ms,
            ..Self::default()
        }
    }

    fn take_in(&mut self, event: Event) {
        match event {
            // A message is requested once: what came of it since stays.
            Event::Requested(_) => {}
            Event::Attempted { attempt, account, .. } => {
                self.attempts = attempt.into();
                self.account = account;
                if self.reason.as_deref() == Some(SEND_UNKNOWN) {
                    self.reason = Some(MAYBE_SENT_TWICE.to_owned());
                }
            }
            Event::Sent { provider_id, at_ms, .. } => {
                "sent".clone_into(&mut self.status);
                self.provider_id = Some(provider_id);
                self.sent_at_ms = Some(at_ms);
                self.reason = self.reason.take().filter(|reason| reason == MAYBE_SENT_TWICE);
                let lost = "an answer of the channel was lost, so it was sent once more";
                self.detail = self.reason.as_ref().map(|_| lost.to_owned());
            }
            Event::SendUnknown { reason, .. } => {
                let detail =
                    format!("the channel did not answer ({reason}); waiting for a receipt");
                self.stand("requested", SEND_UNKNOWN, detail);
            }
            Event::AttemptFailed { code, reason, .. } => {
                let advice = meaning(code.parse().unwrap_or(UNREADABLE_CODE)).1;
                let detail = format!("the channel answered {code}: {advice}");
                self.stand("requested", &reason, detail);
            }
            Event::Failed { no, .. } => self.stand("failed", &no.reason, no.detail),
            Event::Suppressed { reason, detail } => self.stand("suppressed", &reason, detail),
            Event::Delivered { at_ms, .. } => {
                "delivered".clone_into(&mut self.status);
                self.delivered_at_ms = Some(at_ms);
            }
            Event::Read { at_ms, .. } => {
                "read".clone_into(&mut self.status);
                self.read_at_ms = Some(at_ms);
                // Who has read it has received it.
                self.delivered_at_ms = self.delivered_at_ms.or(Some(at_ms));
            }
        }
    }

    fn stand(&mut self, status: &str, reason: &str, detail: String) {
        status.clone_into(&mut self.status);
        self.reason = Some(reason.to_owned());
        self.detail = Some(detail);
    }

    fn values(self) -> [Value; 16] {
        [
            self.id.into(),
            self.order_id.into(),
            self.shipment_id.into(),
            self.milestone.into(),
            self.channel.into(),
            self.language.into(),
            self.account.into(),
            self.status.into(),
            self.reason.into(),
            self.detail.into(),
            self.provider_id.into(),
            self.attempts.into(),
            self.created_at_ms.into(),
            self.sent_at_ms.into(),
            self.delivered_at_ms.into(),
            self.read_at_ms.into(),
        ]
    }
}

/// One message as listed.
#[derive(Clone, Debug, Default)]
pub(crate) struct Row {
    pub(crate) id: String,
    pub(crate) order_id: String,
    pub(crate) shipment_id: String,
    pub(crate) milestone: String,
    pub(crate) channel: String,
    pub(crate) language: String,
    account: String,
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
                      m.attempts, m.created_at_ms, m.sent_at_ms, m.delivered_at_ms, m.read_at_ms, \
                      m.account_id \
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
        account: row.try_get(16)?,
    })
}

/// One message.
pub(crate) async fn get(pool: &Pool, id: &str) -> Result<Option<Row>, sqlx::Error> {
    let query = format!("{SELECT} WHERE m.message_id = $1");
    let query = sqlx::query(sqlx::AssertSqlSafe(query)).bind(id.to_owned());
    query.fetch_optional(pool).await?.as_ref().map(row).transpose()
}

/// Messages after `after` (time and id), oldest first, of one order and status when not empty.
pub(crate) async fn list(
    pool: &Pool,
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
    pool: &Pool,
    provider_id: &str,
) -> Result<Option<String>, sqlx::Error> {
    let query = "SELECT message_id FROM message WHERE provider_id = $1 LIMIT 1";
    let found = sqlx::query(query).bind(provider_id.to_owned()).fetch_optional(pool).await?;
    found.map(|row| row.try_get(0)).transpose()
}
