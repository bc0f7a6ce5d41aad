//! Whether the warehouse, the bins and the products that a request names are there. Bins and
//! products are never taken away, so that what is found here still holds when the ledger decides.

use std::collections::{BTreeSet, HashMap};

use nexus_runtime::{Violations, status};
use tonic::Status;

use super::{Inventory, view_failed};
use crate::domain::warehouse::{Walk, Warehouse};
use crate::domain::{Bin, BinUnits, Sku, id_of};
use crate::views;

/// SKUs that one question to the view names.
const SKUS_A_QUESTION: usize = 500;

/// What must be known of a product before its units move.
#[derive(Clone, Copy, Debug)]
pub(super) struct Known {
    /// False: it has no units.
    pub(super) stocked: bool,
}

impl Inventory {
    /// The warehouse was opened; it stays open.
    pub(super) async fn opened(&self, code: &str) -> Result<(), Status> {
        let is_open = |warehouse: &Warehouse| warehouse.details().map(|_| ());
        let found = self.warehouses.find(code, is_open).await;
        let found =
            found.map_err(|error| status::of(error, |_| status::not_found("warehouse", code)))?;
        found.ok_or_else(|| status::not_found("warehouse", code))
    }

    /// Reads an open warehouse.
    pub(super) async fn warehouse<T: Send + 'static>(
        &self,
        code: &str,
        read: impl FnOnce(&Warehouse) -> T + Send + 'static,
    ) -> Result<T, Status> {
        let read = |warehouse: &Warehouse| warehouse.details().is_some().then(|| read(warehouse));
        let (_, found) = self
            .warehouses
            .read(code, read)
            .await
            .map_err(|error| status::of(error, |_| status::not_found("warehouse", code)))?;
        found.ok_or_else(|| status::not_found("warehouse", code))
    }

    /// The walk through a warehouse that has all these bins.
    pub(super) async fn walk_with(
        &self,
        code: &str,
        bins: Vec<(String, Bin)>,
    ) -> Result<Walk, Status> {
        let missing = move |warehouse: &Warehouse| {
            let missing = |(_, bin): &(String, Bin)| !warehouse.bins().contains_key(bin);
            (warehouse.walk(), bins.into_iter().filter(missing).collect::<Vec<_>>())
        };
        let (walk, missing) = self.warehouse(code, missing).await?;
        let mut violations = Violations::default();
        for (field, bin) in missing {
            violations.add(field, format!("\"{bin}\" is not a bin of {code}: define it first"));
        }
        violations.done()?;
        Ok(walk)
    }

    /// The products of `skus` that are registered: from the view, and where that knows none, from
    /// the product itself.
    pub(super) async fn known(&self, skus: &BTreeSet<Sku>) -> Result<HashMap<Sku, Known>, Status> {
        let names: Vec<String> = skus.iter().map(ToString::to_string).collect();
        let mut known = HashMap::new();
        for chunk in names.chunks(SKUS_A_QUESTION) {
            let found = views::products::by_sku(&self.views, chunk).await;
            for (sku, product) in found.map_err(view_failed)? {
                known.insert(sku.into(), Known { stocked: product.stocked });
            }
        }
        for sku in skus {
            if known.contains_key(sku) {
                continue;
            }
            let stocked = self.product(sku.as_str(), |details| details.stocked).await?;
            if let Some(stocked) = stocked {
                known.insert(sku.clone(), Known { stocked });
            }
        }
        Ok(known)
    }

    /// Reads a registered product; `None` when there is none.
    pub(super) async fn product<T: Send + 'static>(
        &self,
        sku: &str,
        read: impl FnOnce(&crate::domain::product::Details) -> T + Send + 'static,
    ) -> Result<Option<T>, Status> {
        let id = id_of(sku);
        if sku.is_empty() || id.len() > crate::domain::MAX_NAME_BYTES {
            return Ok(None);
        }
        let read = |product: &crate::domain::product::Product| product.details().map(read);
        let read = self.products.read(&id, read).await;
        read.map(|(_, found)| found)
            .map_err(|error| status::of(error, |_| status::not_found("product", sku)))
    }

    /// All these SKUs are registered and have units.
    pub(super) async fn stocked(&self, skus: &[(String, Sku)]) -> Result<(), Status> {
        let known = self.known(&skus.iter().map(|(_, sku)| sku.clone()).collect()).await?;
        let mut violations = Violations::default();
        for (field, sku) in skus.iter().filter(|(_, sku)| !known.contains_key(sku)) {
            violations
                .add(field, format!("\"{sku}\" is not a registered product: register it first"));
        }
        violations.done()?;
        let unstocked = skus.iter().find(|(_, sku)| known.get(sku).is_some_and(|it| !it.stocked));
        let Some((_, sku)) = unstocked else { return Ok(()) };
        Err(status::refused(
            "NOT_STOCKED",
            format!(
                "product \"{sku}\" is registered as not stocked, so that no units of it can lie in \
                 a bin: leave it out, or register goods under another SKU"
            ),
            &[("sku", sku.as_str())],
        ))
    }

    /// The walk through a warehouse in which all these units may be put down.
    pub(super) async fn walk_for(&self, code: &str, lines: &[BinUnits]) -> Result<Walk, Status> {
        let bins = lines.iter().enumerate();
        let bins = bins.map(|(nth, line)| (format!("lines[{nth}].bin"), line.bin.clone()));
        let walk = self.walk_with(code, bins.collect()).await?;
        let skus = lines.iter().enumerate();
        let skus = skus.map(|(nth, line)| (format!("lines[{nth}].sku"), line.sku.clone()));
        self.stocked(&skus.collect::<Vec<_>>()).await?;
        Ok(walk)
    }
}
