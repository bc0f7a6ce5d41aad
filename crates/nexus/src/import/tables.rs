//! The files that `import` takes beside orders: products, bins, stock.

use std::collections::{BTreeMap, BTreeSet};

use anyhow::Context;
use serde_json::{Value, json};

use super::digest;
use super::table::{Change, Entry, Fields, Table};
use crate::cli::ImportStockArgs;
use crate::client::{CallError, Client, encoded, rows, text};

/// `sku,name,barcodes,weight_grams,stocked`; barcodes as `code*units;code`.
pub(crate) struct Products;

/// `warehouse,bin,pick_sequence,zone`.
pub(crate) struct Bins;

/// `warehouse,sku,bin,lot,units`; every row is a receipt of its own.
pub(crate) struct Stock {
    receipt: String,
}

impl Stock {
    /// The receipt's name is the content of the file, unless it is given.
    pub(crate) fn of(args: &ImportStockArgs) -> anyhow::Result<Self> {
        let receipt = match &args.receipt {
            Some(name) => name.clone(),
            None => {
                let file = &args.file.file;
                let text = std::fs::read_to_string(file)
                    .with_context(|| format!("cannot read {}", file.display()))?;
                format!("import-{}", digest(&[&text]))
            }
        };
        Ok(Self { receipt })
    }
}

impl Table for Products {
    fn what(&self) -> &'static str {
        "products"
    }

    fn columns(&self) -> &'static [(&'static str, bool)] {
        &[
            ("sku", true),
            ("name", true),
            ("barcodes", false),
            ("weight_grams", false),
            ("stocked", false),
        ]
    }

    fn entry(&self, fields: &Fields<'_>) -> Result<Entry, (&'static str, String)> {
        let sku = fields.required("sku")?;
        let mut body = json!({"sku": sku, "name": fields.required("name")?});
        let barcodes = barcodes(fields.get("barcodes"))?;
        let weight = fields.units("weight_grams")?;
        let stocked = flag(fields.get("stocked"))?;
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
        Ok(Entry {
            row: fields.row,
            name: sku.to_owned(),
            path: "/v1/products".to_owned(),
            body,
            says,
            change,
            once: true,
            key: None,
        })
    }

    async fn known(
        &self,
        client: &Client,
        _entries: &[Entry],
    ) -> Result<BTreeMap<String, Value>, CallError> {
        let products = pages(client, "/v1/products?", "products").await?;
        Ok(products.into_iter().map(|one| (text(&one, "sku").to_owned(), one)).collect())
    }
}

impl Table for Bins {
    fn what(&self) -> &'static str {
        "bins"
    }

    fn columns(&self) -> &'static [(&'static str, bool)] {
        &[("warehouse", true), ("bin", true), ("pick_sequence", false), ("zone", false)]
    }

    fn entry(&self, fields: &Fields<'_>) -> Result<Entry, (&'static str, String)> {
        let (warehouse, code) = (fields.required("warehouse")?, fields.required("bin")?);
        let mut bin = json!({"code": code});
        if let Some(bin) = bin.as_object_mut() {
            if let Some(sequence) = fields.units("pick_sequence")? {
                bin.insert("pick_sequence".to_owned(), sequence.into());
            }
            if !fields.get("zone").is_empty() {
                bin.insert("zone".to_owned(), fields.get("zone").into());
            }
        }
        Ok(Entry {
            row: fields.row,
            name: format!("{warehouse}/{code}"),
            path: format!("/v1/warehouses/{}:define-bins", encoded(warehouse)),
            body: json!({"bins": [bin]}),
            says: bin,
            change: Change::Again,
            once: true,
            key: None,
        })
    }

    async fn known(
        &self,
        client: &Client,
        entries: &[Entry],
    ) -> Result<BTreeMap<String, Value>, CallError> {
        let warehouses: BTreeSet<_> =
            entries.iter().filter_map(|entry| entry.name.split_once('/')).collect();
        let warehouses: BTreeSet<_> =
            warehouses.into_iter().map(|(warehouse, _)| warehouse).collect();
        let mut known = BTreeMap::new();
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
            for bin in bins {
                known.insert(format!("{warehouse}/{}", text(&bin, "code")), bin);
            }
        }
        Ok(known)
    }
}

impl Table for Stock {
    fn what(&self) -> &'static str {
        "stock"
    }

    fn columns(&self) -> &'static [(&'static str, bool)] {
        &[("warehouse", true), ("sku", true), ("bin", true), ("lot", false), ("units", true)]
    }

    fn entry(&self, fields: &Fields<'_>) -> Result<Entry, (&'static str, String)> {
        let (warehouse, sku) = (fields.required("warehouse")?, fields.required("sku")?);
        let bin = fields.required("bin")?;
        fields.required("units")?;
        let units = fields.units("units")?.unwrap_or_default();
        if units == 0 {
            return Err(("NOT_POSITIVE_UNITS", "units must be at least 1".to_owned()));
        }
        let receipt = format!("{}-{}", self.receipt, fields.row);
        let line = json!({"sku": sku, "bin": bin, "lot": fields.get("lot"), "units": units});
        Ok(Entry {
            row: fields.row,
            name: format!("{warehouse}/{sku}/{bin}"),
            path: format!("/v1/warehouses/{}:receive-stock", encoded(warehouse)),
            body: json!({"receipt": receipt, "lines": [line]}),
            says: Value::Null,
            change: Change::Again,
            once: false,
            key: Some(encoded(&receipt)),
        })
    }

    async fn known(
        &self,
        _client: &Client,
        _entries: &[Entry],
    ) -> Result<BTreeMap<String, Value>, CallError> {
        Ok(BTreeMap::new())
    }
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
fn barcodes(text: &str) -> Result<Vec<Value>, (&'static str, String)> {
    let codes = text.split(';').map(str::trim).filter(|code| !code.is_empty());
    codes
        .map(|one| {
            let (code, units) = one.rsplit_once('*').unwrap_or((one, "1"));
            let bad = || ("BAD_BARCODE", format!("\"{one}\" is not written like code*units"));
            match units.trim().parse::<u32>() {
                Ok(units) if units > 0 && !code.trim().is_empty() => {
                    Ok(json!({"code": code.trim(), "units": units}))
                }
                _ => Err(bad()),
            }
        })
        .collect()
}

fn flag(text: &str) -> Result<bool, (&'static str, String)> {
    match text.to_lowercase().as_str() {
        "" | "true" | "yes" | "1" => Ok(true),
        "false" | "no" | "0" => Ok(false),
        _ => Err(("BAD_FLAG", format!("stocked \"{text}\" is neither true nor false"))),
    }
}
