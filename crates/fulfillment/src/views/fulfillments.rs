//! Fulfilments as they are listed: table `fulfillments`, a row each.

use std::collections::BTreeMap;
use std::sync::Arc;

use async_trait::async_trait;
use nexus_es::log::EventLog;
use nexus_es::views::rows;
use nexus_es::views::{Changes, Pool, View, ViewError};
use nexus_es::{Heard, Version};
use nexus_proto::fulfillment::v1 as proto;
use nexus_runtime::page::Page;
use nexus_runtime::time;
use prost::Message;
use sqlx::{AnyConnection, Row};

use super::rows::Rows;
use super::{ReadError, history};
use crate::SERVICE;
use crate::domain::fulfillment::{Event, Fulfillment, Opened, Parcel, PickedLine};
use crate::wire;

pub(crate) struct FulfillmentsView;

/// The key that wakes those who wait for a fulfilment.
pub(crate) fn key(fulfillment_id: &str) -> String {
    format!("fulfillment:{fulfillment_id}")
}

#[async_trait]
impl View for FulfillmentsView {
    fn name(&self) -> &'static str {
        "fulfillments"
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
        let mut touched = known(tx, heard).await?;
        for heard in heard {
            let Some(event) = heard.event::<Fulfillment>()? else { continue };
            let id = heard.aggregate.id.as_str();
            let at_ms = heard.cause.occurred_at_ms;
            let (row, _) = touched.entry(id.to_owned()).or_insert_with(|| {
                let fulfillment_id = id.to_owned();
                (proto::Fulfillment { fulfillment_id, ..Default::default() }, at_ms)
            });
            // Those who wait for a list to be taken in or left learn of it too.
            changes.add(super::pick_lists::key(row.pick_list_id()));
            fold(row, &event, at_ms);
            changes.add(super::pick_lists::key(row.pick_list_id()));
            changes.add(key(id));
        }
        save(tx, touched).await?;
        Ok(())
    }
}

/// The resource after `event`.
fn fold(row: &mut proto::Fulfillment, event: &Event, at_ms: i64) {
    row.updated_at = time::rfc3339(at_ms);
    match event {
        Event::Opened(opened) => open(row, opened, at_ms),
        Event::Listed { pick_list_id, .. } => {
            "listed".clone_into(&mut row.status);
            row.pick_list_id = Some(pick_list_id.clone());
        }
        Event::Unlisted { .. } => {
            "ready".clone_into(&mut row.status);
            row.pick_list_id = None;
        }
        Event::Picked { lines, .. } => {
            "picked".clone_into(&mut row.status);
            row.dispute = None;
            count(row, lines);
        }
        Event::PickDisputed { reason, .. } => row.dispute = Some(reason.clone()),
        Event::Packed { parcels, .. } => {
            "packed".clone_into(&mut row.status);
            row.parcels = parcels.iter().map(parcel).collect();
        }
        Event::HandedOver { last: true, .. } => "handed_over".clone_into(&mut row.status),
        Event::HandedOver { last: false, .. } => {}
        Event::Withdrawn { order_id, .. } => {
            "withdrawn".clone_into(&mut row.status);
            row.order_id.clone_from(order_id);
            row.dispute = None;
            if row.created_at.is_empty() {
                row.created_at = time::rfc3339(at_ms);
            }
        }
    }
}

fn open(row: &mut proto::Fulfillment, opened: &Opened, at_ms: i64) {
    "ready".clone_into(&mut row.status);
    row.order_id.clone_from(&opened.order_id);
    row.order_number.clone_from(&opened.order_number);
    row.warehouse.clone_from(&opened.warehouse);
    row.reservation.clone_from(&opened.reservation);
    row.created_at = time::rfc3339(at_ms);
    let lines = opened.lines.iter().map(|line| proto::FulfillmentLine {
        line_id: line.line_id.clone(),
        sku: line.sku.clone(),
        name: line.name.clone(),
        units: line.units,
        picked: 0,
        short: 0,
    });
    row.lines = lines.collect();
}

fn count(row: &mut proto::Fulfillment, picked: &[PickedLine]) {
    // Both stand in the order of the opening.
    for (line, picked) in row.lines.iter_mut().zip(picked) {
        line.picked = picked.picked;
        line.short = picked.short;
    }
}

fn parcel(parcel: &Parcel) -> proto::Parcel {
    proto::Parcel {
        parcel_id: parcel.parcel_id.clone(),
        r#box: Some(parcel.box_type.clone()).filter(|name| !name.is_empty()),
        weight_grams: parcel.weight_grams,
        dimensions_mm: parcel.dimensions.map(wire::dimensions_to_proto),
        contents: parcel.contents.iter().map(wire::units_to_proto).collect(),
    }
}

/// The fulfilments in `heard` that began before this batch, each with the time of its opening.
async fn known(
    tx: &mut AnyConnection,
    heard: &[Heard],
) -> Result<BTreeMap<String, (proto::Fulfillment, i64)>, ViewError> {
    let select = "SELECT fulfillment_id, body, opened_at_ms FROM fulfillments \
        WHERE fulfillment_id IN (*)";
    let mut found = BTreeMap::new();
    for row in rows::fetch_in(tx, select, &[], super::begun::<Fulfillment>(heard)).await? {
        let body: Vec<u8> = row.try_get(1)?;
        let body = super::stored(&body)?;
        found.insert(row.try_get(0)?, (body, row.try_get(2)?));
    }
    Ok(found)
}

async fn save(
    tx: &mut AnyConnection,
    touched: BTreeMap<String, (proto::Fulfillment, i64)>,
) -> Result<(), sqlx::Error> {
    let row = |(id, (row, opened_at_ms)): (String, (proto::Fulfillment, i64))| {
        let (body, list) = (row.encode_to_vec(), row.pick_list_id.unwrap_or_default());
        [
            id.into(),
            row.order_id.into(),
            row.order_number.into(),
            row.warehouse.into(),
            row.status.into(),
            list.into(),
            opened_at_ms.into(),
            body.into(),
        ]
    };
    let into = "fulfillments (fulfillment_id, order_id, order_number, warehouse, status, \
        pick_list_id, opened_at_ms, body)";
    let conflict = "ON CONFLICT (fulfillment_id) DO UPDATE SET order_id = excluded.order_id, \
        order_number = excluded.order_number, warehouse = excluded.warehouse, \
        status = excluded.status, pick_list_id = excluded.pick_list_id, body = excluded.body";
    rows::insert(tx, into, conflict, touched.into_iter().map(row).collect()).await
}

/// One fulfilment.
pub(crate) async fn get(pool: &Pool, id: &str) -> Result<Option<proto::Fulfillment>, ReadError> {
    let found = sqlx::query("SELECT body FROM fulfillments WHERE fulfillment_id = $1")
        .bind(id.to_owned())
        .fetch_optional(pool)
        .await?;
    let Some(row) = found else { return Ok(None) };
    let body: Vec<u8> = row.try_get(0)?;
    Ok(Some(proto::Fulfillment::decode(body.as_slice())?))
}

/// A fulfilment as it was at a version.
pub(crate) async fn past(
    log: &Arc<dyn EventLog>,
    id: &str,
    version: Version,
) -> Result<proto::Fulfillment, ReadError> {
    let mut row = proto::Fulfillment { fulfillment_id: id.to_owned(), ..Default::default() };
    for (event, at_ms) in history::<Fulfillment>(log, id, version).await? {
        fold(&mut row, &event, at_ms);
    }
    Ok(row)
}

/// A page of fulfilments, the oldest first, and the token of the next page.
pub(crate) async fn list(
    pool: &Pool,
    asked: &proto::ListFulfillmentsRequest,
    page: &Page,
) -> Result<(Vec<proto::Fulfillment>, String), ReadError> {
    let rows = Rows::new("SELECT body, opened_at_ms, fulfillment_id FROM fulfillments")
        .filter("status", &asked.status)
        .filter("warehouse", &asked.warehouse)
        .filter("order_id", &asked.order_id)
        .after(page.after.as_deref(), ("opened_at_ms", "fulfillment_id"), ">")
        .fetch(pool, "opened_at_ms, fulfillment_id", page.limit())
        .await?;
    let mut found = vec![];
    for row in rows {
        let body: Vec<u8> = row.try_get(0)?;
        let opened_at_ms: i64 = row.try_get(1)?;
        found.push((opened_at_ms, proto::Fulfillment::decode(body.as_slice())?));
    }
    let next = page.cut(&mut found, |(at, row)| vec![at.to_string(), row.fulfillment_id.clone()]);
    Ok((found.into_iter().map(|(_, row)| row).collect(), next))
}

/// The order that has this number, with or without its prefix, if anything was opened for it.
pub(crate) async fn order_of_number(
    pool: &Pool,
    number: &str,
) -> Result<Option<String>, ReadError> {
    let found = sqlx::query(
        "SELECT order_id FROM fulfillments WHERE order_number = $1 OR order_number LIKE $2 LIMIT 1",
    )
    .bind(number.to_owned())
    .bind(format!("%-{}", number.replace(['%', '_'], "")))
    .fetch_optional(pool)
    .await?;
    Ok(found.map(|row| row.try_get(0)).transpose()?)
}

/// The ids of an order's fulfilments.
pub(crate) async fn of_order(pool: &Pool, order_id: &str) -> Result<Vec<String>, sqlx::Error> {
    let rows = sqlx::query("SELECT fulfillment_id FROM fulfillments WHERE order_id = $1")
        .bind(order_id.to_owned())
        .fetch_all(pool)
        .await?;
    rows.iter().map(|row| row.try_get(0)).collect()
}

/// How many fulfilments stand on a pick list.
pub(crate) async fn listed_on(pool: &Pool, pick_list_id: &str) -> Result<usize, sqlx::Error> {
    let row = sqlx::query(
        "SELECT COUNT(*) FROM fulfillments WHERE pick_list_id = $1 AND status <> 'withdrawn'",
    )
    .bind(pick_list_id.to_owned())
    .fetch_one(pool)
    .await?;
    let count: i64 = row.try_get(0)?;
    Ok(usize::try_from(count).unwrap_or_default())
}
