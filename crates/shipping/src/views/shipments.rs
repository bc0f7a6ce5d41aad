//! Shipments: a card each, folded from its events, and the AWBs by which updates find them.

use std::collections::BTreeMap;

use async_trait::async_trait;
use nexus_es::Heard;
use nexus_es::views::{Changes, View, ViewError};
use nexus_runtime::page::Page;
use prost::Message;
use sqlx::{AnyConnection, AnyPool, AssertSqlSafe, Row};

use super::sql;
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
        let ids: Vec<&str> = news.iter().map(|(heard, _)| heard.aggregate.id.as_str()).collect();
        let mut cards = cards_of(tx, &ids).await?;
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
        store_cards(tx, &cards).await?;
        store_awbs(tx, &awbs).await
    }
}

struct Known {
    account: String,
    tracking_number: String,
    delivery_id: String,
}

async fn cards_of(
    tx: &mut AnyConnection,
    ids: &[&str],
) -> Result<BTreeMap<String, Card>, ViewError> {
    let mut cards = BTreeMap::new();
    for ids in ids.chunks(sql::ROWS) {
        let statement = format!(
            "SELECT shipment_id, card FROM shipments WHERE shipment_id IN {}",
            sql::values(1, ids.len())
        );
        let mut query = sqlx::query(AssertSqlSafe(statement));
        for id in ids {
            query = query.bind((*id).to_owned());
        }
        for row in query.fetch_all(&mut *tx).await? {
            cards.insert(row.try_get(0)?, decoded(&row, 1)?);
        }
    }
    Ok(cards)
}

fn decoded(row: &sqlx::any::AnyRow, column: usize) -> Result<Card, sqlx::Error> {
    let bytes: Vec<u8> = row.try_get(column)?;
    Card::decode(bytes.as_slice()).map_err(|error| sqlx::Error::Decode(error.into()))
}

const COLUMNS: &str = "shipment_id, order_id, fulfillment_id, account_id, courier, status, \
                       tracking_status, tracking_number, cod, public_token, created_ms, card";

async fn store_cards(
    tx: &mut AnyConnection,
    cards: &BTreeMap<String, Card>,
) -> Result<(), ViewError> {
    let all: Vec<_> = cards.iter().collect();
    for cards in all.chunks(sql::ROWS) {
        let statement = format!(
            "INSERT INTO shipments ({COLUMNS}) VALUES {} ON CONFLICT (shipment_id) DO UPDATE SET \
             account_id = excluded.account_id, courier = excluded.courier, \
             status = excluded.status, tracking_status = excluded.tracking_status, \
             tracking_number = excluded.tracking_number, cod = excluded.cod, \
             public_token = excluded.public_token, card = excluded.card",
            sql::values(cards.len(), 12)
        );
        let mut query = sqlx::query(AssertSqlSafe(statement));
        for (id, card) in cards {
            let shown = card.shown.clone().unwrap_or_default();
            query = query
                .bind((*id).clone())
                .bind(shown.order_id)
                .bind(shown.fulfillment_id)
                .bind(shown.courier_account_id)
                .bind(shown.courier)
                .bind(shown.status)
                .bind(shown.tracking_status)
                .bind(shown.tracking_number)
                .bind(card.cod)
                .bind(card.public_token_sha256.clone())
                .bind(card.created_ms)
                .bind(card.encode_to_vec());
        }
        query.execute(&mut *tx).await?;
    }
    Ok(())
}

async fn store_awbs(
    tx: &mut AnyConnection,
    awbs: &BTreeMap<(String, String), Known>,
) -> Result<(), ViewError> {
    let all: Vec<_> = awbs.iter().collect();
    for awbs in all.chunks(sql::ROWS) {
        let statement = format!(
            "INSERT INTO awbs (shipment_id, awb, account_id, tracking_number, delivery_id) \
             VALUES {} ON CONFLICT (shipment_id, awb) DO NOTHING",
            sql::values(awbs.len(), 5)
        );
        let mut query = sqlx::query(AssertSqlSafe(statement));
        for ((shipment, awb), known) in awbs {
            query = query
                .bind(shipment.clone())
                .bind(awb.clone())
                .bind(known.account.clone())
                .bind(known.tracking_number.clone())
                .bind(known.delivery_id.clone());
        }
        query.execute(&mut *tx).await?;
    }
    Ok(())
}

/// One shipment.
pub(crate) async fn find(pool: &AnyPool, id: &str) -> Result<Option<Card>, sqlx::Error> {
    let query =
        sqlx::query("SELECT card FROM shipments WHERE shipment_id = $1").bind(id.to_owned());
    query.fetch_optional(pool).await?.map(|row| decoded(&row, 0)).transpose()
}

/// The shipment behind a public tracking link.
pub(crate) async fn find_by_token(
    pool: &AnyPool,
    token_sha256: &str,
) -> Result<Option<Card>, sqlx::Error> {
    let query = sqlx::query("SELECT card FROM shipments WHERE public_token = $1")
        .bind(token_sha256.to_owned());
    query.fetch_optional(pool).await?.map(|row| decoded(&row, 0)).transpose()
}

/// The shipment and AWB of an account that an update names.
pub(crate) async fn find_by_number(
    pool: &AnyPool,
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
pub(crate) async fn of_order(pool: &AnyPool, order_id: &str) -> Result<Vec<Card>, sqlx::Error> {
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
    pool: &AnyPool,
    wanted: &Wanted,
    page: &Page,
) -> Result<(Vec<Card>, String), sqlx::Error> {
    let after = page.after.as_deref().unwrap_or_default();
    let created = if page.after.is_some() { sql::from_token(after.first()) } else { i64::MAX };
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
