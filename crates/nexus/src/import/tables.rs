//! The files that `import` takes beside orders: products, bins, stock.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};

use anyhow::Context;
use serde_json::{Value, json};

use super::csv_file::{Columns, Fields};
use super::digest;
use super::table::{Change, Entry, Known, Need, Table};
use crate::cli::ImportStockArgs;
use crate::client::{CallError, Client, encoded, rows, text};

/// `sku,name,barcodes,weight_grams,stocked`; barcodes as `code*units;code`.
pub(crate) struct Products;

/// `warehouse,bin,pick_sequence,zone`.
pub(crate) struct Bins;

/// `warehouse,sku,bin,lot,units,receipt`; every row is a receipt of its own.
pub(crate) struct Stock {
    /// The delivery, where a row does not name one.
    receipt: String,
    /// How often each row stood in the file so far: two of the same are two.
    times: RefCell<BTreeMap<String, u32>>,
}

impl Stock {
    /// The delivery's name is the content of the file, unless it is given.
    pub(crate) fn of(args: &ImportStockArgs) -> anyhow::Result<Self> {
        let receipt = match &args.receipt {
            Some(name) => name.clone(),
            None => {
                let file = &args.file.file;
                let bytes = std::fs::read(file)
                    .with_context(|| format!("cannot read {}", file.display()))?;
                format!("import-{}", digest(&[&String::from_utf8_lossy(&bytes)]))
            }
        };
        Ok(Self::named(&receipt))
    }

    /// One delivery.
    pub(crate) fn named(receipt: &str) -> Self {
        Self { receipt: receipt.to_owned(), times: RefCell::default() }
    }

    /// The same for the same row of the same delivery, wherever in the file it stands.
    fn receipt_of(&self, delivery: &str, place: [&str; 4]) -> String {
        let place = digest(&place);
        let mut times = self.times.borrow_mut();
        let nth = times.entry(format!("{delivery}-{place}")).or_default();
        *nth += 1;
        format!("{delivery}-{place}-{nth}")
    }
}

impl Table for Products {
    fn what(&self) -> &'static str {
        "products"
    }

    fn columns(&self) -> Columns {
        &[
            ("sku", true),
            ("name", true),
            ("barcodes", false),
            ("weight_grams", false),
            ("stocked", false),
        ]
    }

    fn entry(&self, fields: &mut Fields<'_>) -> Entry {
        let sku = fields.required("sku");
        let mut body = json!({"sku": sku, "name": fields.required("name")});
        let barcodes = barcodes(fields);
        let weight = fields.units("weight_grams", 0);
        let stocked = fields.flag("stocked").unwrap_or(true);
        if let Some(body) = body.as_object_mut() {
            if !barcodes.is_empty() {
                body.insert("barcodes".to_owned(), barcodes.into());
            }
            if let Some(weight) = weight {
                body.insert("weight_grams".to_owned(), weight.into());
            }
        }
        // Whether it is stocked is settled when it is registered.
        let says = body.clone();
        let change = Change::Patch {
            path: format!("/v1/products/{}", encoded(sku)),
            body: without(&body, "sku"),
        };
        if let Some(body) = body.as_object_mut() {
            body.insert("stocked".to_owned(), stocked.into());
        }
        Entry {
            row: fields.row,
            name: sku.to_owned(),
            path: "/v1/products".to_owned(),
            body,
            says,
            change,
            once: true,
            key: None,
            needs: Vec::new(),
        }
    }

    fn all_or_nothing(&self) -> bool {
        false
    }

    async fn known(&self, client: &Client, _entries: &[Entry]) -> Result<Known, CallError> {
        products(client).await
    }
}

impl Table for Bins {
    fn what(&self) -> &'static str {
        "bins"
    }

    fn columns(&self) -> Columns {
        &[("warehouse", true), ("bin", true), ("pick_sequence", false), ("zone", false)]
    }

    fn entry(&self, fields: &mut Fields<'_>) -> Entry {
        let (warehouse, code) = (fields.required("warehouse"), fields.required("bin"));
        let sequence = fields.units("pick_sequence", 0);
        let mut bin = json!({"code": code});
        if let Some(bin) = bin.as_object_mut() {
            if let Some(sequence) = sequence {
                bin.insert("pick_sequence".to_owned(), sequence.into());
            }
            if !fields.get("zone").is_empty() {
                bin.insert("zone".to_owned(), fields.get("zone").into());
            }
        }
        Entry {
            row: fields.row,
            name: place(warehouse, code),
            path: format!("/v1/warehouses/{}:define-bins", encoded(warehouse)),
            body: json!({"bins": [bin]}),
            says: bin,
            change: Change::Again,
            once: true,
            key: None,
            needs: vec![needs_house(warehouse)],
        }
    }

    fn all_or_nothing(&self) -> bool {
        false
    }

    async fn known(&self, client: &Client, entries: &[Entry]) -> Result<Known, CallError> {
        bins(client, entries).await
    }
}

impl Table for Stock {
    fn what(&self) -> &'static str {
        "stock"
    }

    fn columns(&self) -> Columns {
        &[
            ("warehouse", true),
            ("sku", true),
            ("bin", true),
            ("lot", false),
            ("units", true),
            ("receipt", false),
        ]
    }

    fn entry(&self, fields: &mut Fields<'_>) -> Entry {
        let (warehouse, sku) = (fields.required("warehouse"), fields.required("sku"));
        let (bin, lot) = (fields.required("bin"), fields.get("lot"));
        fields.required("units");
        let units = fields.units("units", 1).unwrap_or_default();
        let delivery = match fields.get("receipt") {
            "" => &self.receipt,
            named => named,
        };
        let receipt = self.receipt_of(delivery, [warehouse, sku, bin, lot]);
        let line = json!({"sku": sku, "bin": bin, "lot": lot, "units": units});
        Entry {
            row: fields.row,
            name: format!("{}/{sku}", place(warehouse, bin)),
            path: format!("/v1/warehouses/{}:receive-stock", encoded(warehouse)),
            body: json!({"receipt": receipt, "lines": [line]}),
            says: Value::Null,
            change: Change::Again,
            once: false,
            key: Some(encoded(&receipt)),
            needs: vec![
                needs_house(warehouse),
                Need {
                    name: place(warehouse, bin),
                    column: "bin",
                    said: bin.to_owned(),
                    advice: "bring the bin in first: nexus import bins",
                },
                Need {
                    name: article(sku),
                    column: "sku",
                    said: sku.to_owned(),
                    advice: "bring the product in first: nexus import products",
                },
            ],
        }
    }

    fn all_or_nothing(&self) -> bool {
        true
    }

    async fn known(&self, client: &Client, entries: &[Entry]) -> Result<Known, CallError> {
        let mut known = bins(client, entries).await?;
        let products = products(client).await?;
        known.extend(products.into_iter().map(|(sku, product)| (article(&sku), product)));
        Ok(known)
    }
}

/// A bin among what is known.
fn place(warehouse: &str, bin: &str) -> String {
    format!("{warehouse}/{bin}")
}

/// A warehouse among what is known.
fn house(warehouse: &str) -> String {
    format!("{warehouse}/")
}

fn needs_house(warehouse: &str) -> Need {
    Need {
        name: house(warehouse),
        column: "warehouse",
        said: warehouse.to_owned(),
        advice: "open it first: POST /v1/warehouses",
    }
}

/// A product among what stock needs; no warehouse has a space in its code.
fn article(sku: &str) -> String {
    format!("sku {sku}")
}

/// Products by SKU.
pub(crate) async fn products(client: &Client) -> Result<Known, CallError> {
    let products = pages(client, "/v1/products?", "products").await?;
    Ok(products.into_iter().map(|one| (text(&one, "sku").to_owned(), one)).collect())
}

/// Bins of the warehouses that entries name, and those warehouses.
async fn bins(client: &Client, entries: &[Entry]) -> Result<Known, CallError> {
    let named = entries.iter().filter_map(|entry| entry.name.split_once('/'));
    let warehouses: BTreeSet<_> = named.map(|(warehouse, _)| warehouse).collect();
    let mut known = Known::new();
    for warehouse in warehouses {
        let path = format!("/v1/warehouses/{}/bins?", encoded(warehouse));
        let bins = match pages(client, &path, "bins").await {
            Ok(bins) => bins,
            // No such warehouse: its rows will say so.
            Err(error) => {
                error.refusal()?;
                continue;
            }
        };
        known.insert(house(warehouse), Value::Null);
        for bin in bins {
            known.insert(place(warehouse, text(&bin, "code")), bin);
        }
    }
    Ok(known)
}

/// All rows of a list; `path` ends where parameters go on.
async fn pages(client: &Client, path: &str, field: &str) -> Result<Vec<Value>, CallError> {
    let (mut all, mut token) = (Vec::new(), String::new());
    loop {
        let page = client.get(&format!("{path}page_size=500&page_token={token}")).await?;
        all.extend_from_slice(rows(&page, field));
        token = encoded(text(&page, "next_page_token"));
        if token.is_empty() {
            return Ok(all);
        }
    }
}

fn without(body: &Value, field: &str) -> Value {
    let mut body = body.clone();
    if let Some(body) = body.as_object_mut() {
        body.remove(field);
    }
    body
}

/// `6221000000010;16221000000017*10`: codes, and the units of a pack.
fn barcodes(fields: &mut Fields<'_>) -> Vec<Value> {
    let codes = fields.get("barcodes").split(';').map(str::trim).filter(|code| !code.is_empty());
    let mut read = Vec::new();
    for one in codes {
        let (code, units) = one.rsplit_once('*').unwrap_or((one, "1"));
        match units.trim().parse::<u32>() {
            Ok(units) if units > 0 && !code.trim().is_empty() => {
                read.push(json!({"code": code.trim(), "units": units}));
            }
            _ => {
                let detail = format!("\"{one}\" is not written like code*units");
                let advice = "part codes by ; and write a pack of ten as code*10";
                fields.complain("BAD_BARCODE", "barcodes", detail, advice);
            }
        }
    }
    read
}
