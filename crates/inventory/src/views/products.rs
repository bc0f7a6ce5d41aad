//! Products by SKU, and found by any part of SKU, name or barcode.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use async_trait::async_trait;
use nexus_es::Decider;
use nexus_es::heard::Heard;
use nexus_es::views::rows;
use nexus_es::views::{Changes, Pool, View, ViewError, Views};
use nexus_proto::common::v1 as common;
use nexus_proto::inventory::v1 as proto;
use nexus_runtime::page::Page;
use nexus_runtime::{money, time};
use prost::Message;
use sqlx::any::AnyRow;
use sqlx::{AnyConnection, Row};

use super::{anywhere, folded};
use crate::SERVICE;
use crate::domain::barcode::Barcode;
use crate::domain::product::{Amendment, Details, Event, Pack, Product};
use crate::domain::{Dimensions, Price, name_of};

/// The table `products`: each row holds the product as it is answered.
pub(crate) struct Products;

#[async_trait]
impl View for Products {
    fn name(&self) -> &'static str {
        "products"
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
        let mut events: BTreeMap<String, Vec<(Event, i64)>> = BTreeMap::new();
        for heard in heard.iter().filter(|heard| heard.aggregate.category == Product::CATEGORY) {
            let Some(event) = heard.event::<Product>()? else { continue };
            let sku = name_of(&heard.aggregate.id).unwrap_or_default();
            events.entry(sku).or_default().push((event, heard.cause.occurred_at_ms));
        }
        let mut known = BTreeMap::new();
        for product in among(tx, events.keys()).await? {
            known.insert(product.sku.clone(), product);
        }
        let after = events.into_iter().map(|(sku, events)| {
            changes.add(format!("product:{sku}"));
            let before = known.remove(&sku).unwrap_or_default();
            events.iter().fold(before, |product, (event, at)| after(product, &sku, event, *at))
        });
        let row = |product: proto::Product| {
            let (bytes, search) = (product.encode_to_vec(), search(&product));
            [product.sku.into(), search.into(), bytes.into()]
        };
        let rows = after.map(row).collect();
        let conflict = "ON CONFLICT (sku) DO UPDATE SET search = excluded.search, \
            product = excluded.product";
        rows::insert(tx, "products (sku, search, product)", conflict, rows).await?;
        Ok(())
    }
}

/// The product after an event: the view folds with it, and so does the answer to a repeated call.
pub(crate) fn after(
    mut product: proto::Product,
    sku: &str,
    event: &Event,
    at_ms: i64,
) -> proto::Product {
    match event {
        Event::Registered(details) => product = registered(sku, details, at_ms),
        Event::Amended(amendment) => amend(&mut product, amendment),
        Event::Discontinued { .. } => product.discontinued = true,
    }
    product.updated_at = time::rfc3339(at_ms);
    product
}

fn registered(sku: &str, details: &Details, at_ms: i64) -> proto::Product {
    proto::Product {
        sku: sku.to_owned(),
        name: details.name.clone(),
        barcodes: barcodes(&details.barcodes),
        weight_grams: details.weight_grams,
        dimensions_mm: details.dimensions.map(dimensions),
        stocked: details.stocked,
        price: details.price.as_ref().map(price),
        created_at: time::rfc3339(at_ms),
        ..proto::Product::default()
    }
}

fn amend(product: &mut proto::Product, amendment: &Amendment) {
    let Amendment { name, barcodes: packs, weight_grams, dimensions: measures, price: list } =
        amendment;
    if let Some(name) = name {
        product.name.clone_from(name);
    }
    if let Some(packs) = packs {
        product.barcodes = barcodes(packs);
    }
    product.weight_grams = weight_grams.or(product.weight_grams);
    product.dimensions_mm = measures.map(dimensions).or(product.dimensions_mm);
    if let Some(list) = list {
        product.price = Some(price(list));
    }
}

fn barcodes(packs: &[Pack]) -> Vec<proto::Barcode> {
    let barcode = |pack: &Pack| proto::Barcode { code: pack.code.clone(), units: pack.units };
    packs.iter().map(barcode).collect()
}

fn dimensions(Dimensions { length, width, height }: Dimensions) -> common::Dimensions {
    common::Dimensions { length, width, height }
}

fn price(price: &Price) -> common::Money {
    let currency = price.currency.clone();
    common::Money { amount: money::format_amount(price.amount, &currency), currency }
}

/// What the product is found by, one term a line.
fn search(product: &proto::Product) -> String {
    let mut terms = vec![folded(&product.sku), folded(&product.name)];
    for barcode in &product.barcodes {
        terms.push(folded(&barcode.code));
        // A GTIN is found in every spelling: padded, it contains the shorter ones.
        terms.extend(Barcode::parse(&barcode.code).map(|code| folded(code.as_str())));
    }
    terms.dedup();
    terms.join("\n")
}

/// The products of `skus` that exist.
pub(crate) async fn by_sku(
    views: &Views,
    skus: &[String],
) -> Result<HashMap<String, Arc<proto::Product>>, sqlx::Error> {
    let pool = views.pool();
    let read = |skus: Vec<String>| async move {
        let mut connection = pool.acquire().await?;
        let found = among(&mut connection, &skus).await?;
        connection.done();
        Ok(found.into_iter().map(|product| (product.sku.clone(), product)).collect())
    };
    views.cached_rows("product", skus, read).await
}

async fn among(
    database: &mut AnyConnection,
    skus: impl IntoIterator<Item = &String>,
) -> Result<Vec<proto::Product>, sqlx::Error> {
    let skus = skus.into_iter().map(|sku| sku.as_str().into()).collect();
    let select = "SELECT product FROM products WHERE sku IN (*)";
    rows::fetch_in(database, select, &[], skus).await?.iter().map(product).collect()
}

/// A page of products by SKU, those that hold `wanted` when it is not empty.
pub(crate) async fn list(
    pool: &Pool,
    wanted: &str,
    page: &Page,
) -> Result<(Vec<proto::Product>, String), sqlx::Error> {
    let after = page.after.iter().flatten().next().cloned().unwrap_or_default();
    let rows = sqlx::query(
        "SELECT product FROM products WHERE sku > $1 AND ($2 = '' OR search LIKE $3 ESCAPE '\\') \
         ORDER BY sku LIMIT $4",
    )
    .bind(after)
    .bind(wanted.to_owned())
    .bind(anywhere(wanted))
    .bind(page.limit())
    .fetch_all(pool)
    .await?;
    let mut products = rows.iter().map(product).collect::<Result<Vec<_>, _>>()?;
    let token = page.cut(&mut products, |product| vec![product.sku.clone()]);
    Ok((products, token))
}

fn product(row: &AnyRow) -> Result<proto::Product, sqlx::Error> {
    let bytes: Vec<u8> = row.try_get(0)?;
    proto::Product::decode(bytes.as_slice()).map_err(|error| sqlx::Error::Decode(error.into()))
}
