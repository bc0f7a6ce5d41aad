//! Stock by SKU and warehouse, and where it lies: the sums of all postings.

use std::collections::BTreeMap;

use async_trait::async_trait;
use nexus_es::Decider;
use nexus_es::heard::Heard;
use nexus_es::views::rows::{self, Value};
use nexus_es::views::{Changes, Pool, View, ViewError};
use nexus_proto::inventory::v1 as proto;
use nexus_runtime::page::Page;
use sqlx::any::AnyRow;
use sqlx::{AnyConnection, Row};

use super::{count, movements};
use crate::SERVICE;
use crate::domain::stock_ledger::{Account, Posting, StockLedger, postings};

/// The tables `stock`, `piles` and `movements`.
pub(crate) struct Stock;

/// What a batch adds to each row.
#[derive(Default)]
struct Sums {
    /// By SKU and warehouse: in bins, held, picked.
    stock: BTreeMap<(String, String), [i64; 3]>,
    /// By warehouse, SKU, bin and lot: units, allocated.
    piles: BTreeMap<[String; 4], [i64; 2]>,
}

#[async_trait]
impl View for Stock {
    fn name(&self) -> &'static str {
        "stock"
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
        let mut sums = Sums::default();
        let mut rows = Vec::new();
        for heard in heard.iter().filter(|heard| heard.aggregate.category == StockLedger::CATEGORY)
        {
            let Some(event) = heard.event::<StockLedger>()? else { continue };
            for posting in postings(&event) {
                sums.add(&heard.aggregate.id, &posting);
            }
            rows.extend(movements::of(heard, &event));
        }
        for (sku, _) in sums.stock.keys() {
            changes.add(format!("stock:{sku}"));
        }
        sums.write(tx).await?;
        movements::write(tx, rows).await?;
        Ok(())
    }
}

impl Sums {
    fn add(&mut self, warehouse: &str, posting: &Posting) {
        let [mut in_bins, mut held, mut picked, mut allocated] = [0; 4];
        match posting.account {
            Account::Bin => in_bins = posting.delta,
            Account::Held => held = posting.delta,
            Account::Picked => picked = posting.delta,
            Account::Allocated => allocated = posting.delta,
            Account::Supplier | Account::Customer | Account::Difference => return,
        }
        let key = (posting.sku.to_string(), warehouse.to_owned());
        let sums = self.stock.entry(key).or_default();
        add(sums, [in_bins, held, picked]);
        if matches!(posting.account, Account::Bin | Account::Allocated) {
            let (sku, bin, lot) = (&posting.sku, &posting.bin, &posting.lot);
            let key = [warehouse.to_owned(), sku.to_string(), bin.to_string(), lot.to_string()];
            add(self.piles.entry(key).or_default(), [in_bins, allocated]);
        }
    }

    async fn write(self, tx: &mut AnyConnection) -> Result<(), sqlx::Error> {
        let row = |((sku, warehouse), sums): ((String, String), [i64; 3])| {
            let [in_bins, held, picked] = sums.map(Value::from);
            [sku.into(), warehouse.into(), in_bins, held, picked]
        };
        let conflict = "ON CONFLICT (sku, warehouse) DO UPDATE SET \
            in_bins = stock.in_bins + excluded.in_bins, held = stock.held + excluded.held, \
            picked = stock.picked + excluded.picked";
        let into = "stock (sku, warehouse, in_bins, held, picked)";
        rows::insert(tx, into, conflict, self.stock.into_iter().map(row).collect()).await?;
        let row = |(key, sums): ([String; 4], [i64; 2])| {
            let ([warehouse, sku, bin, lot], [units, allocated]) =
                (key.map(Value::from), sums.map(Value::from));
            [warehouse, sku, bin, lot, units, allocated]
        };
        let conflict = "ON CONFLICT (warehouse, sku, bin, lot) DO UPDATE SET \
            units = piles.units + excluded.units, \
            allocated = piles.allocated + excluded.allocated";
        let into = "piles (warehouse, sku, bin, lot, units, allocated)";
        rows::insert(tx, into, conflict, self.piles.into_iter().map(row).collect()).await
    }
}

fn add<const N: usize>(sums: &mut [i64; N], more: [i64; N]) {
    for (sum, more) in sums.iter_mut().zip(more) {
        *sum = sum.saturating_add(more);
    }
}

/// A page of stock by SKU and warehouse; of one of either when said.
pub(crate) async fn list(
    pool: &Pool,
    (sku, warehouse): (&str, &str),
    page: &Page,
) -> Result<(Vec<proto::StockItem>, String), sqlx::Error> {
    let mut after = page.after.iter().flatten().cloned();
    let rows = sqlx::query(
        "SELECT sku, warehouse, in_bins, held, picked FROM stock \
         WHERE (sku > $1 OR (sku = $1 AND warehouse > $2)) \
         AND ($3 = '' OR sku = $3) AND ($4 = '' OR warehouse = $4) \
         ORDER BY sku, warehouse LIMIT $5",
    )
    .bind(after.next().unwrap_or_default())
    .bind(after.next().unwrap_or_default())
    .bind(sku.to_owned())
    .bind(warehouse.to_owned())
    .bind(page.limit())
    .fetch_all(pool)
    .await?;
    let mut items = rows.iter().map(item).collect::<Result<Vec<_>, _>>()?;
    let token = page.cut(&mut items, |last| vec![last.sku.clone(), last.warehouse.clone()]);
    fill(pool, &mut items).await?;
    Ok((items, token))
}

fn item(row: &AnyRow) -> Result<proto::StockItem, sqlx::Error> {
    let number = |column: usize| row.try_get::<i64, _>(column);
    let (in_bins, held, picked) = (number(2)?, number(3)?, number(4)?);
    Ok(proto::StockItem {
        sku: row.try_get(0)?,
        warehouse: row.try_get(1)?,
        on_hand: count(in_bins.saturating_add(picked)),
        reserved: count(held),
        available: count(in_bins.saturating_sub(held)),
        picked: count(picked),
        bins: Vec::new(),
    })
}

/// Adds to `items` where they lie.
async fn fill(pool: &Pool, items: &mut [proto::StockItem]) -> Result<(), sqlx::Error> {
    if items.is_empty() {
        return Ok(());
    }
    let mut skus: BTreeMap<&str, Vec<Value>> = BTreeMap::new();
    for item in items.iter() {
        skus.entry(&item.warehouse).or_default().push(item.sku.as_str().into());
    }
    let select = "SELECT sku, warehouse, bin, lot, units, allocated FROM piles \
        WHERE warehouse = ? AND sku IN (*) AND units > 0 ORDER BY sku, bin, lot";
    let mut rows = Vec::new();
    let mut database = pool.acquire().await?;
    for (warehouse, skus) in skus {
        rows.extend(rows::fetch_in(&mut database, select, &[warehouse.into()], skus).await?);
    }
    database.done();
    let mut piles: BTreeMap<(String, String), Vec<proto::BinStock>> = BTreeMap::new();
    for row in rows {
        let pile = proto::BinStock {
            bin: row.try_get(2)?,
            lot: row.try_get(3)?,
            on_hand: count(row.try_get(4)?),
            allocated: count(row.try_get(5)?),
        };
        piles.entry((row.try_get(0)?, row.try_get(1)?)).or_default().push(pile);
    }
    for item in items {
        let key = (item.sku.clone(), item.warehouse.clone());
        item.bins = piles.remove(&key).unwrap_or_default();
    }
    Ok(())
}
