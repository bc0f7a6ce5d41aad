//! A shop with something to sell: products, warehouses, bins and stock, made by REST.

use anyhow::Context;
use serde_json::{Value, json};

use super::look::Look;
use super::rest::Rest;

/// A product and where it lies.
#[derive(Clone, Copy, Debug)]
pub struct Article {
    /// Its SKU.
    pub sku: &'static str,
    /// Its name.
    pub name: &'static str,
    /// What a scanner reads on one unit.
    pub barcode: &'static str,
    /// What a scanner reads on a case of six.
    pub case: &'static str,
    /// Where it lies.
    pub bin: &'static str,
}

/// A mug in the first aisle.
pub const MUG: Article = Article {
    sku: "MUG-BLUE",
    name: "Blue mug",
    barcode: "6221000000010",
    case: "16221000000017",
    bin: "A-01-01-1-01",
};
/// A lamp in the next.
pub const LAMP: Article = Article {
    sku: "LAMP-S",
    name: "Small lamp",
    barcode: "6221000000027",
    case: "16221000000024",
    bin: "A-02-01-1-01",
};
/// A scarf in the second zone.
pub const SCARF: Article = Article {
    sku: "SCARF",
    name: "وشاح قطن",
    barcode: "6221000000034",
    case: "16221000000031",
    bin: "B-01-01-1-01",
};

/// The three of them.
pub const ARTICLES: [Article; 3] = [MUG, LAMP, SCARF];
/// The warehouse that is asked first.
pub const CAIRO: &str = "CAI1";
/// The one asked next.
pub const ALEX: &str = "ALX1";

/// A shop that is open.
#[derive(Clone, Debug)]
pub struct Shop {
    /// Who runs it.
    pub rest: Rest,
    /// The sandbox Bosta account that the first start made.
    pub courier_account: String,
}

impl Shop {
    /// Opens one with `units` of each of the three articles in the first warehouse.
    ///
    /// # Errors
    /// What did not work.
    pub async fn open(rest: Rest, units: u32) -> anyhow::Result<Self> {
        let shop = Self::bare(rest).await?;
        for article in ARTICLES {
            shop.register(&article).await?;
        }
        shop.warehouse(CAIRO, 1).await?;
        let lines: Vec<_> = ARTICLES.iter().map(|article| (article, units)).collect();
        shop.receive(CAIRO, "opening stock", &lines).await?;
        Ok(shop)
    }

    /// One without goods.
    ///
    /// # Errors
    /// When there is no courier account.
    pub async fn bare(rest: Rest) -> anyhow::Result<Self> {
        let accounts = rest.get("/v1/courier-accounts").await?;
        let mut accounts = accounts.list("courier_accounts").iter();
        let bosta = accounts.find(|account| account.text("courier") == "bosta");
        let bosta = bosta.context("the first start made no Bosta account")?;
        let courier_account = bosta.text("courier_account_id").to_owned();
        Ok(Self { rest, courier_account })
    }

    /// Registers a product.
    ///
    /// # Errors
    /// What did not work.
    pub async fn register(&self, article: &Article) -> anyhow::Result<Value> {
        let body = json!({
            "sku": article.sku, "name": article.name, "weight_grams": 350,
            "barcodes": [{"code": article.barcode, "units": 1}, {"code": article.case, "units": 6}],
            "price": {"amount": "149.90", "currency": "EGP"},
        });
        self.rest.post("/v1/products", &body).await
    }

    /// Opens a warehouse with the bins of the articles.
    ///
    /// # Errors
    /// What did not work.
    pub async fn warehouse(&self, code: &str, priority: u32) -> anyhow::Result<()> {
        let body = json!({"warehouse": code, "name": code, "priority": priority});
        self.rest.post("/v1/warehouses", &body).await?;
        let bins: Vec<_> = ARTICLES.iter().map(|article| json!({"code": article.bin})).collect();
        let path = format!("/v1/warehouses/{code}:define-bins");
        self.rest.post(&path, &json!({"bins": bins})).await?;
        Ok(())
    }

    /// Receives stock into the articles' bins.
    ///
    /// # Errors
    /// What did not work.
    pub async fn receive(
        &self,
        warehouse: &str,
        receipt: &str,
        lines: &[(&Article, u32)],
    ) -> anyhow::Result<Value> {
        let lines: Vec<_> = lines
            .iter()
            .map(|(article, units)| json!({"sku": article.sku, "bin": article.bin, "units": units}))
            .collect();
        let path = format!("/v1/warehouses/{warehouse}:receive-stock");
        self.rest.post(&path, &json!({"receipt": receipt, "lines": lines})).await
    }

    /// Stock of one SKU in one warehouse: on hand, reserved, available, picked.
    ///
    /// # Errors
    /// When it cannot be read.
    pub async fn stock(&self, sku: &str, warehouse: &str) -> anyhow::Result<Stock> {
        let path = format!("/v1/stock?sku={sku}&warehouse={warehouse}");
        let stock = self.rest.get(&path).await?;
        let item = stock.at("items/0");
        Ok(Stock {
            on_hand: item.number("on_hand"),
            reserved: item.number("reserved"),
            available: item.number("available"),
            picked: item.number("picked"),
        })
    }
}

/// How much there is of a SKU.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Stock {
    /// In bins or picked.
    pub on_hand: i64,
    /// Promised and not picked.
    pub reserved: i64,
    /// In bins and not promised.
    pub available: i64,
    /// Picked and not handed over.
    pub picked: i64,
}
