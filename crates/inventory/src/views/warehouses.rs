//! Warehouses by priority, their bins in walking order, and which SKU belongs in which bin.

use std::collections::BTreeMap;
use std::sync::Arc;

use async_trait::async_trait;
use nexus_es::Decider;
use nexus_es::heard::Heard;
use nexus_es::views::rows::{self, Value};
use nexus_es::views::{Changes, Pool, View, ViewError, Views};
use nexus_proto::inventory::v1 as proto;
use nexus_runtime::page::Page;
use nexus_runtime::time;
use prost::Message;
use sqlx::any::AnyRow;
use sqlx::{AnyConnection, Row};

use super::count;
use crate::SERVICE;
use crate::domain::warehouse::{DefinedBin, Event, Warehouse};
use crate::wire::address_message;

/// The key of what is known of all warehouses together.
const ALL: &str = "warehouses";

/// The tables `warehouses`, `bins` and `homes`.
pub(crate) struct Warehouses;

#[derive(Default)]
struct Batch {
    details: BTreeMap<String, Vec<(Event, i64)>>,
    bins: BTreeMap<(String, String), DefinedBin>,
    homes: BTreeMap<(String, String), String>,
}

#[async_trait]
impl View for Warehouses {
    fn name(&self) -> &'static str {
        "warehouses"
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
        let mut batch = Batch::default();
        for heard in heard.iter().filter(|heard| heard.aggregate.category == Warehouse::CATEGORY) {
            let Some(event) = heard.event::<Warehouse>()? else { continue };
            let code = heard.aggregate.id.clone();
            changes.add(format!("warehouse:{code}"));
            match &event {
                Event::Opened(_) => changes.add(ALL),
                Event::BinsDefined { bins } => {
                    for bin in bins {
                        batch.bins.insert((code.clone(), bin.code.to_string()), bin.clone());
                    }
                }
                Event::BinAssigned { sku, bin } => {
                    batch.homes.insert((code.clone(), sku.to_string()), bin.to_string());
                }
            }
            let at_ms = heard.cause.occurred_at_ms;
            batch.details.entry(code).or_default().push((event, at_ms));
        }
        write_details(tx, batch.details).await?;
        let row = |((warehouse, code), bin): ((String, String), DefinedBin)| {
            [warehouse.into(), code.into(), bin.pick_sequence.into(), bin.zone.into()]
        };
        let rows = batch.bins.into_iter().map(row).collect();
        let conflict = "ON CONFLICT (warehouse, bin) DO UPDATE SET \
            pick_sequence = excluded.pick_sequence, zone = excluded.zone";
        rows::insert(tx, "bins (warehouse, bin, pick_sequence, zone)", conflict, rows).await?;
        let row = |((warehouse, sku), bin): ((String, String), String)| {
            [warehouse.into(), sku.into(), bin.into()]
        };
        let rows = batch.homes.into_iter().map(row).collect();
        let conflict = "ON CONFLICT (warehouse, sku) DO UPDATE SET bin = excluded.bin";
        rows::insert(tx, "homes (warehouse, sku, bin)", conflict, rows).await?;
        Ok(())
    }
}

/// The warehouse after an event, its bins not counted: the view folds with it, and so does the
/// answer to a repeated call.
pub(crate) fn after(
    mut warehouse: proto::Warehouse,
    code: &str,
    event: &Event,
    at_ms: i64,
) -> proto::Warehouse {
    if let Event::Opened(details) = event {
        warehouse = proto::Warehouse {
            warehouse: code.to_owned(),
            name: details.name.clone(),
            priority: details.priority,
            address: details.address.as_deref().map(address_message),
            created_at: time::rfc3339(at_ms),
            ..proto::Warehouse::default()
        };
    }
    warehouse.updated_at = time::rfc3339(at_ms);
    warehouse
}

async fn write_details(
    tx: &mut AnyConnection,
    details: BTreeMap<String, Vec<(Event, i64)>>,
) -> Result<(), ViewError> {
    let codes = details.keys().map(|code| code.as_str().into()).collect();
    let select = "SELECT details, warehouse FROM warehouses WHERE warehouse IN (*)";
    let mut known = BTreeMap::new();
    for row in rows::fetch_in(tx, select, &[], codes).await? {
        known.insert(row.try_get::<String, _>(1)?, decoded(&row, 0)?);
    }
    let row = |(code, events): (String, Vec<(Event, i64)>)| {
        let before = known.remove(&code).unwrap_or_default();
        let warehouse =
            events.iter().fold(before, |known, (event, at)| after(known, &code, event, *at));
        [code.into(), warehouse.priority.into(), warehouse.encode_to_vec().into()]
    };
    let rows = details.into_iter().map(row).collect();
    let conflict = "ON CONFLICT (warehouse) DO UPDATE SET priority = excluded.priority, \
        details = excluded.details";
    rows::insert(tx, "warehouses (warehouse, priority, details)", conflict, rows).await?;
    Ok(())
}

fn decoded(row: &AnyRow, column: usize) -> Result<proto::Warehouse, sqlx::Error> {
    let bytes: Vec<u8> = row.try_get(column)?;
    proto::Warehouse::decode(bytes.as_slice()).map_err(|error| sqlx::Error::Decode(error.into()))
}

/// One warehouse with its bins counted.
pub(crate) async fn get(pool: &Pool, code: &str) -> Result<Option<proto::Warehouse>, sqlx::Error> {
    let row = sqlx::query(
        "SELECT details, (SELECT COUNT(*) FROM bins WHERE bins.warehouse = warehouses.warehouse) \
         FROM warehouses WHERE warehouse = $1",
    )
    .bind(code.to_owned())
    .fetch_optional(pool)
    .await?;
    row.as_ref().map(counted).transpose()
}

/// A page of warehouses, the one that is asked first at the top.
pub(crate) async fn list(
    pool: &Pool,
    page: &Page,
) -> Result<(Vec<proto::Warehouse>, String), sqlx::Error> {
    let mut after = page.after.iter().flatten();
    let priority = after.next().and_then(|text| text.parse().ok()).unwrap_or(-1_i64);
    let code = after.next().cloned().unwrap_or_default();
    let rows = sqlx::query(
        "SELECT details, (SELECT COUNT(*) FROM bins WHERE bins.warehouse = warehouses.warehouse) \
         FROM warehouses WHERE priority > $1 OR (priority = $1 AND warehouse > $2) \
         ORDER BY priority, warehouse LIMIT $3",
    )
    .bind(priority)
    .bind(code)
    .bind(page.limit())
    .fetch_all(pool)
    .await?;
    let mut warehouses = rows.iter().map(counted).collect::<Result<Vec<_>, _>>()?;
    let token =
        page.cut(&mut warehouses, |last| vec![last.priority.to_string(), last.warehouse.clone()]);
    Ok((warehouses, token))
}

fn counted(row: &AnyRow) -> Result<proto::Warehouse, sqlx::Error> {
    let bins: i64 = row.try_get(1)?;
    Ok(proto::Warehouse { bin_count: count(bins), ..decoded(row, 0)? })
}

/// The codes of all warehouses in order of priority.
pub(crate) async fn by_priority(views: &Views) -> Result<Arc<Vec<String>>, sqlx::Error> {
    let pool = views.pool();
    let read = async {
        let rows = sqlx::query("SELECT warehouse FROM warehouses ORDER BY priority, warehouse")
            .fetch_all(&pool)
            .await?;
        rows.iter().map(|row| row.try_get(0)).collect()
    };
    views.cached(ALL, read).await
}

/// A page of bins in walking order; of one zone, or that one SKU belongs to or lies in, when said.
pub(crate) async fn bins(
    pool: &Pool,
    (warehouse, zone, sku): (&str, &str, &str),
    page: &Page,
) -> Result<(Vec<proto::Bin>, String), sqlx::Error> {
    let mut after = page.after.iter().flatten();
    let sequence = after.next().and_then(|text| text.parse().ok()).unwrap_or(-1_i64);
    let code = after.next().cloned().unwrap_or_default();
    let rows = sqlx::query(
        "SELECT bin, pick_sequence, zone FROM bins WHERE warehouse = $1 \
         AND (pick_sequence > $2 OR (pick_sequence = $2 AND bin > $3)) \
         AND ($4 = '' OR zone = $4) \
         AND ($5 = '' OR bin IN (SELECT bin FROM homes WHERE warehouse = $1 AND sku = $5) \
              OR bin IN (SELECT bin FROM piles WHERE warehouse = $1 AND sku = $5 AND units > 0)) \
         ORDER BY pick_sequence, bin LIMIT $6",
    )
    .bind(warehouse.to_owned())
    .bind(sequence)
    .bind(code)
    .bind(zone.to_owned())
    .bind(sku.to_owned())
    .bind(page.limit())
    .fetch_all(pool)
    .await?;
    let bin = |row: &AnyRow| {
        Ok::<_, sqlx::Error>(proto::Bin {
            code: row.try_get(0)?,
            pick_sequence: count(row.try_get(1)?),
            zone: row.try_get(2)?,
            ..proto::Bin::default()
        })
    };
    let mut bins = rows.iter().map(bin).collect::<Result<Vec<_>, _>>()?;
    let token = page.cut(&mut bins, |last| vec![last.pick_sequence.to_string(), last.code.clone()]);
    fill(pool, warehouse, &mut bins).await?;
    Ok((bins, token))
}

/// Adds to `bins` of one warehouse what belongs and lies in them.
pub(crate) async fn fill(
    pool: &Pool,
    warehouse: &str,
    bins: &mut [proto::Bin],
) -> Result<(), sqlx::Error> {
    if bins.is_empty() {
        return Ok(());
    }
    let mut database = pool.acquire().await?;
    let codes: Vec<Value> = bins.iter().map(|bin| bin.code.as_str().into()).collect();
    let homes = "SELECT bin, sku FROM homes WHERE warehouse = ? AND bin IN (*) ORDER BY sku";
    let mut skus: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for row in rows::fetch_in(&mut database, homes, &[warehouse.into()], codes.clone()).await? {
        skus.entry(row.try_get(0)?).or_default().push(row.try_get(1)?);
    }
    let piles = "SELECT bin, CAST(SUM(units) AS BIGINT) FROM piles \
        WHERE warehouse = ? AND bin IN (*) GROUP BY bin";
    let mut units: BTreeMap<String, u32> = BTreeMap::new();
    for row in rows::fetch_in(&mut database, piles, &[warehouse.into()], codes).await? {
        units.insert(row.try_get(0)?, count(row.try_get(1)?));
    }
    database.done();
    for bin in bins {
        bin.skus = skus.remove(&bin.code).unwrap_or_default();
        bin.on_hand = units.get(&bin.code).copied().unwrap_or_default();
    }
    Ok(())
}
