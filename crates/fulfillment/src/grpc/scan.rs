//! One scan: the barcode is looked up, the list decides, the picker reads the result. Always an
//! answer, never an error, as long as there is such a list.

use nexus_proto::fulfillment::v1 as proto;
use nexus_proto::inventory::v1 as inventory;
use nexus_runtime::caller::Caller;
use nexus_runtime::{Violations, reply, status};
use tonic::{Code, Response, Status};

use super::barcode::{self, Read};
use super::messages::message;
use super::pick_lists::picker_of;
use super::{Api, refusals};
use crate::SERVICE;
use crate::domain::pick_list::{Command, Expected, Item, Outcome, PickList, Scan};

const LONGEST_BARCODE: usize = 200;

impl Api {
    pub(super) async fn scan(
        &self,
        caller: &Caller,
        asked: proto::ScanRequest,
    ) -> Result<Response<proto::ScanResponse>, Status> {
        let mut wrong = Violations::default();
        // Separators of GS1 elements are control characters and belong to the code.
        let printable = asked.barcode.replace('\u{1d}', "");
        wrong.text("barcode", &printable, LONGEST_BARCODE);
        let bin = asked.bin.as_deref().unwrap_or_default();
        let bin = wrong.optional_text("bin", bin, 100);
        let scan_id = asked.scan_id.as_deref().unwrap_or_default();
        let scan_id = wrong.optional_text("scan_id", scan_id, 100);
        wrong.done()?;
        let id = asked.pick_list_id.as_str();
        let cause = self.cause(caller, "Scan", id, &asked).await?;
        let scan_id = if scan_id.is_empty() { caller.new_id("Scan") } else { scan_id };
        let scan = Scan {
            scan_id: scan_id.clone(),
            bin,
            item: self.look_up(id, &asked.barcode, &cause.story).await?,
            barcode: asked.barcode.trim().to_owned(),
            picker: picker_of(caller),
            now_ms: cause.occurred_at_ms,
        };
        let read = move |list: &PickList, _: &[_]| answer(list, &scan_id);
        let scanned =
            self.floor.pick_lists.execute_then(id, Command::Scan(scan), cause, read).await;
        let (receipt, answer) = scanned
            .map_err(|error| status::of(error, |no| refusals::of_pick_list(id, "scan", &no)))?;
        self.see(&receipt).await;
        let mut answer = answer.ok_or_else(|| status::not_found("pick list", id))?;
        answer.position = self.position();
        Ok(reply::reply(&receipt, answer))
    }

    /// What the barcode names: by the list's own codes, else as inventory knows it, else a SKU of
    /// the list that was typed or printed as it is. Nobody knows it: none.
    async fn look_up(&self, id: &str, text: &str, story: &str) -> Result<Option<Item>, Status> {
        let read = barcode::read(text);
        let unreadable = |error| status::of(error, |no| refusals::of_pick_list(id, "scan", &no));
        let code = read.code.clone();
        let by_code = move |list: &PickList| on_list(list, &code).0;
        let known = self.floor.pick_lists.find(id, by_code).await.map_err(unreadable)?;
        if let Some(article) = known {
            return Ok(Some(item(article, read)));
        }
        let code = read.code.clone();
        let by_sku = move |list: &PickList| on_list(list, &code).1;
        let by_sku = self.floor.pick_lists.find(id, by_sku).await.map_err(unreadable)?;
        let asked = inventory::ResolveBarcodeRequest { code: read.code.clone() };
        let request = self.floor.channels.question(asked, SERVICE, story);
        match self.floor.channels.inventory().resolve_barcode(request).await {
            Ok(found) => {
                let found = found.into_inner();
                Ok(Some(item((found.sku, found.units.max(1)), read)))
            }
            Err(no) if matches!(no.code(), Code::NotFound | Code::InvalidArgument) => {
                Ok(by_sku.map(|sku| item((sku, 1), read)))
            }
            Err(no) => {
                tracing::warn!("inventory cannot be asked for a barcode: {:?}", no.code());
                Err(status::unavailable("the barcode cannot be looked up now, scan it again"))
            }
        }
    }
}

fn item((sku, units): (String, u32), read: Read) -> Item {
    Item { sku, units, lot: read.lot, serial: read.serial }
}

type Article = (String, u32);

/// The article that a code names on the list, and the SKU that the code is.
fn on_list(list: &PickList, code: &str) -> (Option<Article>, Option<String>) {
    let mut by_sku = None;
    for line in &list.lines {
        let sku = &line.line.place.sku;
        for (known, units) in &line.line.barcodes {
            if barcode::same(known, code) {
                return (Some((sku.clone(), (*units).max(1))), None);
            }
        }
        if sku == code {
            by_sku = Some(sku.clone());
        }
    }
    (None, by_sku)
}

fn answer(list: &PickList, scan_id: &str) -> Option<proto::ScanResponse> {
    let outcome = list.outcome(scan_id)?;
    let Outcome { result, line_id, picked, units, expected, .. } = outcome;
    Some(proto::ScanResponse {
        result: result.name().to_owned(),
        line_id: Some(line_id.clone()).filter(|id| !id.is_empty()),
        picked: *picked,
        units: *units,
        expected: expected.as_ref().map(|expected| shown(list, line_id, expected)),
        message: message(list, outcome),
        position: String::new(),
    })
}

fn shown(list: &PickList, line_id: &str, expected: &Expected) -> proto::ScanExpected {
    let name = list.line(line_id).map(|line| line.line.name.clone()).unwrap_or_default();
    proto::ScanExpected {
        bin: expected.bin.clone(),
        sku: expected.sku.clone(),
        name,
        lot: Some(expected.lot.clone()).filter(|lot| !lot.is_empty()),
    }
}
