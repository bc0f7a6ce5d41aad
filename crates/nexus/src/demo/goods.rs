//! What the demo sells and where it lies.

use serde_json::{Value, json};

use super::guide::Guide;
use crate::client::{CallError, encoded, number, rows, text};

pub(crate) const WAREHOUSE: &str = "CAI1";

/// Something the demo sells.
pub(crate) struct Article {
    pub(crate) sku: &'static str,
    name: &'static str,
    bin: &'static str,
    pub(crate) barcode: &'static str,
    /// What a box of twelve says.
    case: &'static str,
    weight_grams: u32,
}

pub(crate) const TEE: Article = Article {
    sku: "TEE-BLK-M",
    name: "Cotton T-shirt, black, M",
    bin: "A-01-01-1-1",
    barcode: "6221000000010",
    case: "TEE-BLK-M-12",
    weight_grams: 180,
};
pub(crate) const MUG: Article = Article {
    sku: "MUG-BLU",
    name: "Mug, blue",
    bin: "A-01-02-1-1",
    barcode: "6221000000027",
    case: "MUG-BLU-12",
    weight_grams: 340,
};
/// Nobody orders it: it is there to be scanned by mistake.
pub(crate) const CAP: Article = Article {
    sku: "CAP-RED",
    name: "Cap, red",
    bin: "B-01-01-1-1",
    barcode: "6221000000034",
    case: "CAP-RED-12",
    weight_grams: 90,
};
const ARTICLES: [&Article; 3] = [&TEE, &MUG, &CAP];
const UNITS: u32 = 20;

/// Stock of one article.
pub(crate) struct Stock {
    pub(crate) sku: &'static str,
    pub(crate) on_hand: u64,
    pub(crate) reserved: u64,
    pub(crate) picked: u64,
    pub(crate) available: u64,
}

/// Makes sure that products, warehouse and bins are there, and receives stock.
pub(crate) async fn on_the_shelf(guide: &mut Guide) -> anyhow::Result<Vec<Stock>> {
    guide.step("Goods come in: products with barcodes, a warehouse, bins, stock");
    for article in ARTICLES {
        guide.make("/v1/products", &product(article)).await?;
    }
    let warehouse = json!({"warehouse": WAREHOUSE, "name": "Cairo", "priority": 1});
    guide.make("/v1/warehouses", &warehouse).await?;
    let bins = ARTICLES.map(|article| json!({"code": article.bin}));
    let path = format!("/v1/warehouses/{WAREHOUSE}:define-bins");
    guide.post(&path, &json!({"bins": bins})).await?;
    let lines =
        ARTICLES.map(|article| json!({"sku": article.sku, "bin": article.bin, "units": UNITS}));
    let path = format!("/v1/warehouses/{WAREHOUSE}:receive-stock");
    let receipt = format!("demo-{}", guide.run);
    let received = guide.post(&path, &json!({"receipt": receipt, "lines": lines})).await?;
    guide.tell(&format!("received {UNITS} of each, at {}", text(&received, "position")));
    let stock = stock(guide).await?;
    guide.end().await?;
    Ok(stock)
}

fn product(article: &Article) -> Value {
    json!({
        "sku": article.sku,
        "name": article.name,
        "weight_grams": article.weight_grams,
        "barcodes": [
            {"code": article.barcode, "units": 1},
            {"code": article.case, "units": 12},
        ],
    })
}

/// What is there of every article that is ordered, told as it is.
pub(crate) async fn stock(guide: &Guide) -> Result<Vec<Stock>, CallError> {
    let mut stock = Vec::new();
    for sku in [TEE.sku, MUG.sku] {
        let path = format!("/v1/stock?sku={}&warehouse={WAREHOUSE}", encoded(sku));
        let answer = guide.client.get(&path).await?;
        let none = Value::Null;
        let item = rows(&answer, "items").first().unwrap_or(&none);
        stock.push(Stock {
            sku,
            on_hand: number(item, "on_hand"),
            reserved: number(item, "reserved"),
            picked: number(item, "picked"),
            available: number(item, "available"),
        });
    }
    Ok(stock)
}

/// Shows what is there of every article that is ordered.
pub(crate) async fn tell_stock(guide: &Guide) -> anyhow::Result<()> {
    for Stock { sku, on_hand, reserved, picked, available } in stock(guide).await? {
        guide.tell(&format!(
            "{sku}: {on_hand} on hand, {reserved} reserved, {picked} picked, {available} available"
        ));
    }
    Ok(())
}
