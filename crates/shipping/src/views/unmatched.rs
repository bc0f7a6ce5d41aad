//! Courier updates that no AWB of ours matches, yet.
//! *Invariant:* a row goes when the update was received and recorded, whichever is read first.

use std::collections::BTreeMap;
use std::sync::Arc;

use async_trait::async_trait;
use nexus_es::Heard;
use nexus_es::seal::Vault;
use nexus_es::views::rows::{self, Value};
use nexus_es::views::{Changes, Pool, View, ViewError};
use nexus_proto::common::v1::Sealed;
use nexus_proto::ingress::v1 as ingress;
use nexus_runtime::page::Page;
use prost::Message;
use sqlx::{AnyConnection, AssertSqlSafe, Row};

use super::from_token;
use crate::courier;
use crate::domain::shipment::{Event, Shipment};
use crate::wire::SERVICE;

/// The service whose log holds the webhooks.
pub(crate) const INGRESS: &str = "ingress";
/// The event of a webhook.
pub(crate) const RECEIVED: &str = "inbox.Received";
/// The context in which ingress seals a body.
pub(crate) const BODY: &str = "inbox.Received.body";

pub(crate) struct Unmatched {
    pub(crate) vault: Arc<Vault>,
}

#[derive(Default)]
struct News {
    webhook: Option<Webhook>,
    matched: bool,
}

struct Webhook {
    account: String,
    tracking_number: String,
    delivery_id: String,
    received_ms: i64,
    position: u64,
    body: Vec<u8>,
}

#[async_trait]
impl View for Unmatched {
    fn name(&self) -> &'static str {
        "unmatched"
    }

    fn sources(&self) -> &[&'static str] {
        &[INGRESS, SERVICE]
    }

    async fn apply(
        &self,
        tx: &mut AnyConnection,
        heard: &[Heard],
        changes: &mut Changes,
    ) -> Result<(), ViewError> {
        let mut news: BTreeMap<String, News> = BTreeMap::new();
        for heard in heard {
            if let Some(webhook) = self.webhook(heard).await? {
                changes.add(format!("webhook:{}", webhook.tracking_number));
                news.entry(heard.event_id.to_string()).or_default().webhook = Some(webhook);
            } else if let Some(Event::TrackingRecorded { recorded, .. }) =
                heard.event::<Shipment>()?
                && !recorded.update.inbox_event_id.is_empty()
            {
                news.entry(recorded.update.inbox_event_id.clone()).or_default().matched = true;
            }
        }
        let told = news.keys().map(|id| id.as_str().into()).collect();
        store(tx, news).await?;
        let settled =
            "DELETE FROM unmatched WHERE received = 1 AND matched = 1 AND event_id IN (*)";
        rows::execute_in(tx, settled, &[], told).await?;
        Ok(())
    }
}

impl Unmatched {
    async fn webhook(&self, heard: &Heard) -> Result<Option<Webhook>, ViewError> {
        if heard.service() != INGRESS || heard.event_type() != RECEIVED {
            return Ok(None);
        }
        let event = received(heard).map_err(|error| ViewError::Event {
            event_type: heard.event_type().to_owned(),
            why: error.to_string(),
        })?;
        if event.kind != "courier" {
            return Ok(None);
        }
        let sealed = event.body.unwrap_or_default();
        let body = self.vault.open(&sealed, BODY).await?;
        let numbers = body.and_then(|body| courier::numbers_in(&body));
        let (tracking_number, delivery_id) = numbers.unwrap_or_default();
        Ok(Some(Webhook {
            account: event.account_id,
            tracking_number,
            delivery_id,
            received_ms: event.received_at_ms,
            position: heard.position.0,
            body: sealed.encode_to_vec(),
        }))
    }
}

/// The webhook in an event of the ingress.
pub(crate) fn received(heard: &Heard) -> Result<ingress::InboxReceived, prost::DecodeError> {
    ingress::InboxReceived::decode(heard.payload.bytes.as_slice())
}

/// Writes what was heard of each webhook: itself, and that it was matched.
async fn store(tx: &mut AnyConnection, news: BTreeMap<String, News>) -> Result<(), sqlx::Error> {
    let into = "unmatched (event_id, received, matched, account_id, tracking_number, \
        delivery_id, received_ms, position, body)";
    let (mut received, mut matched) = (Vec::new(), Vec::new());
    for (id, news) in news {
        let (unread, one) = (Value::from(0_i64), Value::from(1_i64));
        let text = || Value::from("");
        if news.matched {
            let none = Value::from(Vec::new());
            let (id, zero) = (id.as_str().into(), unread.clone());
            matched.push([
                id,
                zero.clone(),
                one.clone(),
                text(),
                text(),
                text(),
                zero.clone(),
                zero,
                none,
            ]);
        }
        if let Some(hook) = news.webhook {
            received.push([
                id.into(),
                one,
                unread,
                hook.account.into(),
                hook.tracking_number.into(),
                hook.delivery_id.into(),
                hook.received_ms.into(),
                hook.position.into(),
                hook.body.into(),
            ]);
        }
    }
    let conflict = "ON CONFLICT (event_id) DO UPDATE SET received = 1, \
        account_id = excluded.account_id, tracking_number = excluded.tracking_number, \
        delivery_id = excluded.delivery_id, received_ms = excluded.received_ms, \
        position = excluded.position, body = excluded.body";
    rows::insert(tx, into, conflict, received).await?;
    rows::insert(tx, into, "ON CONFLICT (event_id) DO UPDATE SET matched = 1", matched).await
}

/// A webhook that waits for its AWB.
pub(crate) struct Waiting {
    pub(crate) event_id: String,
    pub(crate) account: String,
    pub(crate) tracking_number: String,
    pub(crate) received_ms: i64,
    pub(crate) position: u64,
    pub(crate) body: Sealed,
}

const SELECT: &str = "SELECT event_id, account_id, tracking_number, received_ms, position, body \
                      FROM unmatched WHERE received = 1 AND matched = 0";

/// Those that name a delivery, the oldest first.
pub(crate) async fn of_delivery(
    pool: &Pool,
    account: &str,
    tracking_number: &str,
    delivery_id: &str,
) -> Result<Vec<Waiting>, sqlx::Error> {
    let statement = format!(
        "{SELECT} AND account_id = $1 AND ((tracking_number = $2 AND $2 <> '') OR \
         (delivery_id = $3 AND $3 <> '')) ORDER BY position"
    );
    let query = sqlx::query(AssertSqlSafe(statement))
        .bind(account.to_owned())
        .bind(tracking_number.to_owned())
        .bind(delivery_id.to_owned());
    query.fetch_all(pool).await?.iter().map(read).collect()
}

/// A page of them, the oldest first, and the token of the next.
pub(crate) async fn list(
    pool: &Pool,
    tracking_number: &str,
    page: &Page,
) -> Result<(Vec<Waiting>, String), sqlx::Error> {
    let after = page.after.as_deref().unwrap_or_default();
    let statement = format!(
        "{SELECT} AND ($1 = '' OR tracking_number = $1) AND (position > $2 OR (position = $2 AND \
         event_id > $3)) ORDER BY position, event_id LIMIT $4"
    );
    let query = sqlx::query(AssertSqlSafe(statement))
        .bind(tracking_number.to_owned())
        .bind(if page.after.is_some() { from_token(after.first()) } else { -1 })
        .bind(after.get(1).cloned().unwrap_or_default())
        .bind(page.limit());
    let rows = query.fetch_all(pool).await?;
    let mut waiting = rows.iter().map(read).collect::<Result<Vec<_>, _>>()?;
    let token = page
        .cut(&mut waiting, |row: &Waiting| vec![row.position.to_string(), row.event_id.clone()]);
    Ok((waiting, token))
}

fn read(row: &sqlx::any::AnyRow) -> Result<Waiting, sqlx::Error> {
    let body: Vec<u8> = row.try_get(5)?;
    Ok(Waiting {
        event_id: row.try_get(0)?,
        account: row.try_get(1)?,
        tracking_number: row.try_get(2)?,
        received_ms: row.try_get(3)?,
        position: u64::try_from(row.try_get::<i64, _>(4)?).unwrap_or_default(),
        body: Sealed::decode(body.as_slice()).map_err(|error| sqlx::Error::Decode(error.into()))?,
    })
}
