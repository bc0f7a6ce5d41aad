//! Shipments: a card each, folded from its events, and the AWBs by which updates find them.

use std::collections::{BTreeMap, BTreeSet};

use async_trait::async_trait;
use nexus_es::Heard;
use nexus_es::views::rows::{self, Value};
use nexus_es::views::{Changes, Pool, View, ViewError};
use nexus_runtime::page::Page;
use prost::Message;
use sqlx::{AnyConnection, Row};

use super::from_token;
use crate::domain::shipment::{Event, Shipment};
use crate::wire::SERVICE;

mod card;
pub(crate) use card::Card;

pub(crate) struct Shipments;

/// The key under which `Views::until` hears of a shipment's change.
pub(crate) fn changed(shipment_id: &str) -> String {
    format!("shipment:{shipment_id}")
}

#[async_trait]
impl View for Shipments {
    fn name(&self) -> &'static str {
        "shipments"
    }

    fn sources(&self) -> &[&'static str] {
        &[SERVICE]
    }

    async fn apply(
        &self,
        tx: &mut AnyConnection,
        heard: &[Heard],
        changes: &mut Changes,
    ) -> Result<(), ViewError> {
        let mut news = vec![];
        for heard in heard {
            if let Some(event) = heard.event::<Shipment>()? {
                news.push((heard, event));
            }
        }
        let ids: BTreeSet<_> = news.iter().map(|(heard, _)| heard.aggregate.id.as_str()).collect();
        let mut cards = cards_of(tx, ids.into_iter().map(Value::from).collect()).await?;
        let mut awbs = BTreeMap::new();
        for (heard, event) in &news {
            let id = heard.aggregate.id.as_str();
            let card = cards.entry(id.to_owned()).or_default();
            card.take_in(id, heard.cause.learned_at_ms, event);
            if let Event::AwbIssued { awb, .. } = event {
                awbs.insert(
                    (id.to_owned(), awb.awb.clone()),
                    Known {
                        account: card.account().to_owned(),
                        tracking_number: awb.tracking_number.clone(),
                        delivery_id: awb.delivery_id.clone(),
                    },
                );
            }
            changes.add(changed(id));
        }
        store_cards(tx, cards).await?;
        store_awbs(tx, awbs).await?;
        Ok(())
    }
}

struct Known {
    account: String,
    tracking_number: String,
    delivery_id: String,
}

async fn cards_of(
    tx: &mut AnyConnection,
    ids: Vec<Value>,
) -> Result<BTreeMap<String, Card>, sqlx::Error> {
    let select = "SELECT shipment_id, card FROM shipments WHERE shipment_id IN (*)";
    let rows = rows::fetch_in(tx, select, &[], ids).await?;
    rows.iter().map(|row| Ok((row.try_get(0)?, decoded(row, 1)?))).collect()
}

fn decoded(row: &sqlx::any::AnyRow, column: usize) -> Result<Card, sqlx::Error> {
    let bytes: Vec<u8> = row.try_get(column)?;
    Card::decode(bytes.as_slice()).map_err(|error| sqlx::Error::Decode(error.into()))
}

async fn store_cards(
    tx: &mut AnyConnection,
    cards: BTreeMap<String, Card>,
) -> Result<(), sqlx::Error> {
    let row = |(id, card): (String, Card)| {
        let bytes = card.encode_to_vec();
        let shown = card.shown.unwrap_or_default();
        [
            id.into(),
            shown.order_id.into(),
            shown.fulfillment_id.into(),
            shown.courier_account_id.into(),
            shown.courier.into(),
            shown.status.into(),
            shown.tracking_status.into(),
            shown.tracking_number.into(),
            card.cod.into(),
            card.public_token_sha256.into(),
            card.created_ms.into(),
            bytes.into(),
        ]
    };
    let into = "shipments (shipment_id, order_id, fulfillment_id, account_id, courier, status, \
        tracking_status, tracking_number, cod, public_token, created_ms, card)";
    let conflict = "ON CONFLICT (shipment_id) DO UPDATE SET \
        account_id = excluded.account_id, courier = excluded.courier, \
        status = excluded.status, tracking_status = excluded.tracking_status, \
        tracking_number = excluded.tracking_number, cod = excluded.cod, \
        public_token = excluded.public_token, card = excluded.card";
    rows::insert(tx, into, conflict, cards.into_iter().map(row).collect()).await
}

async fn store_awbs(
    tx: &mut AnyConnection,
    awbs: BTreeMap<(String, String), Known>,
) -> Result<(), sqlx::Error> {
    let row = |((shipment, awb), known): ((String, String), Known)| {
        let Known { account, tracking_number, delivery_id } = known;
        [shipment.into(), awb.into(), account.into(), tracking_number.into(), delivery_id.into()]
    };
    let into = "awbs (shipment_id, awb, account_id, tracking_number, delivery_id)";
    let nothing = "ON CONFLICT (shipment_id, awb) DO NOTHING";
    rows::insert(tx, into, nothing, awbs.into_iter().map(row).collect()).await
}

/// One shipment.
pub(crate) async fn find(pool: &Pool, id: &str) -> Result<Option<Card>, sqlx::Error> {
    let query =
        sqlx::query("SELECT card FROM shipments WHERE shipment_id = $1").bind(id.to_owned());
    query.fetch_optional(pool).await?.map(|row| decoded(&row, 0)).transpose()
}

/// The shipment behind a public tracking link.
pub(crate) async fn find_by_token(
    pool: &Pool,
    token_sha256: &str,
) -> Result<Option<Card>, sqlx::Error> {
    let query = sqlx::query("SELECT card FROM shipments WHERE public_token = $1")
        .bind(token_sha256.to_owned());
    query.fetch_optional(pool).await?.map(|row| decoded(&row, 0)).transpose()
}

/// The shipment and AWB of an account that an update names.
pub(crate) async fn find_by_number(
    pool: &Pool,
    account: &str,
    tracking_number: &str,
    delivery_id: &str,
) -> Result<Option<(String, String)>, sqlx::Error> {
    let row = sqlx::query(
        "SELECT shipment_id, awb FROM awbs WHERE account_id = $1 AND \
         ((tracking_number = $2 AND $2 <> '') OR (delivery_id = $3 AND $3 <> '')) \
         ORDER BY shipment_id LIMIT 1",
    )
    .bind(account.to_owned())
    .bind(tracking_number.to_owned())
    .bind(delivery_id.to_owned())
    .fetch_optional(pool)
    .await?;
    row.map(|row| Ok((row.try_get(0)?, row.try_get(1)?))).transpose()
}

/// Shipments of one order, as planned.
pub(crate) async fn of_order(pool: &Pool, order_id: &str) -> Result<Vec<Card>, sqlx::Error> {
    let query = sqlx::query(
        "SELECT card FROM shipments WHERE order_id = $1 ORDER BY created_ms, shipment_id",
    )
    .bind(order_id.to_owned());
    query.fetch_all(pool).await?.iter().map(|row| decoded(row, 0)).collect()
}

/// Which rows a list wants; empty fields want all.
#[derive(Default)]
pub(crate) struct Wanted {
    pub(crate) status: String,
    pub(crate) courier: String,
    pub(crate) tracking_number: String,
    pub(crate) order_id: String,
    pub(crate) tracking_status: String,
    pub(crate) account: String,
}

/// A page of shipments, the newest first, and the token of the next.
pub(crate) async fn list(
    pool: &Pool,
    wanted: &Wanted,
    page: &Page,
) -> Result<(Vec<Card>, String), sqlx::Error> {
    let after = page.after.as_deref().unwrap_or_default();
    let created = if page.after.is_some() { from_token(after.first()) } else { i64::MAX };
    let query = sqlx::query(
        "SELECT card FROM shipments WHERE ($1 = '' OR status = $1) AND ($2 = '' OR courier = $2) \
         AND ($3 = '' OR tracking_number = $3) AND ($4 = '' OR order_id = $4) \
         AND ($5 = '' OR tracking_status = $5) AND ($6 = '' OR account_id = $6) \
         AND (created_ms < $7 OR (created_ms = $7 AND shipment_id < $8)) \
         ORDER BY created_ms DESC, shipment_id DESC LIMIT $9",
    )
    .bind(wanted.status.clone())
    .bind(wanted.courier.clone())
    .bind(wanted.tracking_number.clone())
    .bind(wanted.order_id.clone())
    .bind(wanted.tracking_status.clone())
    .bind(wanted.account.clone())
    .bind(created)
    .bind(after.get(1).cloned().unwrap_or_default())
    .bind(page.limit());
    let rows = query.fetch_all(pool).await?;
    let mut cards = rows.iter().map(|row| decoded(row, 0)).collect::<Result<Vec<_>, _>>()?;
    let token = page.cut(&mut cards, |card| {
        let id = card.shown.as_ref().map(|shown| shown.shipment_id.clone()).unwrap_or_default();
        vec![card.created_ms.to_string(), id]
    });
    Ok((cards, token))
}
