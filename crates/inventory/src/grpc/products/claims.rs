//! Barcodes on their way to and from a product. The claim comes first and the product's event after
//! it, so that two products never say the same; what a refused command has claimed, it gives back.

use nexus_es::{Cause, HandleError};
use nexus_runtime::status;
use tonic::Status;
use tracing::warn;

use super::{claim_id, input, step};
use crate::domain::Sku;
use crate::domain::barcode::Barcode;
use crate::domain::barcode_claim::{Command, Refusal};
use crate::domain::product::{Details, Pack};
use crate::grpc::Inventory;

impl Inventory {
    /// The SKU that a barcode names.
    pub(super) async fn claimed_by(&self, barcode: &Barcode) -> Result<Option<Sku>, Status> {
        let Some(id) = claim_id(barcode) else { return Ok(None) };
        let read = self.claims.read(&id, |claim| claim.sku().cloned()).await;
        read.map(|(_, sku)| sku)
            .map_err(|error| status::of(error, |_| status::not_found("barcode", barcode.as_str())))
    }

    /// Claims the barcodes of `packs` for `sku`; answers those that it did not have before.
    pub(super) async fn claim(
        &self,
        sku: &Sku,
        packs: &[Pack],
        cause: &Cause,
    ) -> Result<Vec<Barcode>, Status> {
        if let Ok(own) = Barcode::parse(sku.as_str())
            && let Some(by) = self.claimed_by(&own).await?.filter(|by| by != sku)
        {
            return Err(taken(&own, &by, "is the SKU you register"));
        }
        let codes: Vec<_> = packs.iter().map(|pack| pack.code.clone()).collect();
        let mut claimed = Vec::new();
        for barcode in input::normal(&codes) {
            match self.claim_one(sku, &barcode, cause).await {
                Ok(true) => claimed.push(barcode),
                Ok(false) => {}
                Err(refused) => {
                    self.give_back(sku, &claimed, cause).await;
                    return Err(refused);
                }
            }
        }
        Ok(claimed)
    }

    async fn claim_one(&self, sku: &Sku, barcode: &Barcode, cause: &Cause) -> Result<bool, Status> {
        let text = barcode.as_str();
        let is_sku = text != sku.as_str() && self.product(text, |_| ()).await?.is_some();
        if is_sku {
            return Err(taken(barcode, &text.into(), "is itself a SKU"));
        }
        let Some(id) = claim_id(barcode) else {
            return Err(status::invalid_field("barcodes", format!("\"{text}\" is too long")));
        };
        let command = Command::Claim { sku: sku.clone() };
        let fresh = |_: &_, events: &[_]| !events.is_empty();
        let done = self.claims.execute_then(&id, command, step(cause), fresh).await;
        done.map(|(_, fresh)| fresh).map_err(|error| {
            status::of(error, |Refusal::Taken { by }| taken(barcode, &by, "names another SKU"))
        })
    }

    /// Gives back those of `barcodes` that the product does not say it has. What cannot be given
    /// back now stays with the SKU, which may have it again at any time.
    pub(super) async fn give_back(&self, sku: &Sku, barcodes: &[Barcode], cause: &Cause) {
        if barcodes.is_empty() {
            return;
        }
        let codes = |details: &Details| -> Vec<String> {
            details.barcodes.iter().map(|pack| pack.code.clone()).collect()
        };
        let Ok(has) = self.product(sku.as_str(), codes).await else { return };
        let has = input::normal(&has.unwrap_or_default());
        for barcode in barcodes.iter().filter(|barcode| !has.contains(barcode)) {
            let Some(id) = claim_id(barcode) else { continue };
            let command = Command::Release { sku: sku.clone() };
            let done = self.claims.execute(&id, command, step(cause)).await;
            if let Err(HandleError::Unavailable(error) | HandleError::Unknown(error)) = done {
                warn!("barcode {barcode} stays claimed by {sku}: {}", status::chain(&*error));
            }
        }
    }
}

fn taken(barcode: &Barcode, by: &Sku, why: &str) -> Status {
    status::refused(
        "BARCODE_TAKEN",
        format!(
            "barcode \"{barcode}\" {why} (\"{by}\") and a code names one SKU: take it off that \
             product, or leave it out here"
        ),
        &[("barcode", barcode.as_str()), ("sku", by.as_str())],
    )
}
