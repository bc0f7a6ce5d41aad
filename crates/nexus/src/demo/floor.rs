//! The steps on the warehouse floor: a pick list, scans, a parcel.

use anyhow::{Context, bail, ensure};
use serde_json::{Value, json};

use super::goods::{self, CAP, MUG, TEE};
use super::guide::Guide;
use crate::client::{nothing, number, required, rows, text};

const PICKER: &str = "hany";

/// Makes a pick list of the order; answers its id.
pub(crate) async fn a_pick_list(guide: &mut Guide) -> anyhow::Result<String> {
    guide.step("A pick list: what to fetch, in the order of the walk");
    let made = guide.post("/v1/pick-lists", &json!({"order_ids": [guide.order_id]})).await?;
    let list = rows(&made, "pick_lists").first().context("no pick list was made")?;
    let id = required(list, "pick_list_id")?.to_owned();
    for line in rows(list, "lines") {
        let (bin, units, sku) = (text(line, "bin"), number(line, "units"), text(line, "sku"));
        guide.tell(&format!("{bin}  {units} × {sku}  {}", text(line, "name")));
    }
    guide.reach("processing").await?;
    guide.end().await?;
    Ok(id)
}

/// Walks the list, with one wrong scan on the way.
pub(crate) async fn picked(guide: &mut Guide, list_id: &str) -> anyhow::Result<()> {
    guide.step("Hany walks it and scans, once the wrong thing");
    let path = |verb: &str| format!("/v1/pick-lists/{list_id}:{verb}");
    guide.post(&path("assign"), &json!({"picker": PICKER})).await?;
    let list = guide.post(&path("start"), &nothing()).await?;
    let mut mistaken = false;
    for line in rows(&list, "lines") {
        let bin = text(line, "bin");
        if !mistaken {
            let result = scan(guide, &path("scan"), bin, CAP.barcode).await?;
            ensure!(result == "WRONG_ITEM", "a red cap was scanned, and the answer was {result}");
            mistaken = true;
        }
        let barcode = unit_barcode(line)?;
        for _ in 0..number(line, "units") {
            let result = scan(guide, &path("scan"), bin, barcode).await?;
            ensure!(
                result == "ACCEPTED",
                "the right item was scanned, and the answer was {result}"
            );
        }
    }
    guide.post(&path("complete"), &nothing()).await?;
    guide.reach("picked").await?;
    goods::tell_stock(guide).await?;
    guide.end().await
}

/// What stands on one unit of a line's article.
fn unit_barcode(line: &Value) -> anyhow::Result<&str> {
    let unit = rows(line, "barcodes").iter().find(|barcode| number(barcode, "units") == 1);
    let code = unit.map(|barcode| text(barcode, "code")).unwrap_or_default();
    if code.is_empty() {
        bail!("{} has no barcode for one unit", text(line, "sku"));
    }
    Ok(code)
}

async fn scan(guide: &mut Guide, path: &str, bin: &str, barcode: &str) -> anyhow::Result<String> {
    let scanned = guide.post(path, &json!({"bin": bin, "barcode": barcode})).await?;
    let result = text(&scanned, "result");
    let shown = match result {
        "ACCEPTED" => guide.screen.good(result),
        _ => guide.screen.bad(result),
    };
    guide.tell(&format!("  {barcode} → {shown}: {}", text(&scanned, "message")));
    Ok(result.to_owned())
}

/// Packs what was picked into one parcel.
pub(crate) async fn packed(guide: &mut Guide) -> anyhow::Result<()> {
    guide.step("Everything goes into one parcel");
    let path = format!("/v1/fulfillments?order_id={}", guide.order_id);
    let listed = guide.client.get(&path).await?;
    let fulfillment = rows(&listed, "fulfillments").first().context("the order has no parcels")?;
    let parcel = json!({
        "box": "S",
        "weight_grams": 760,
        "dimensions_mm": {"length": 300, "width": 220, "height": 120},
        "contents": [{"sku": TEE.sku, "units": 2}, {"sku": MUG.sku, "units": 1}],
    });
    let path = format!("/v1/fulfillments/{}:pack", required(fulfillment, "fulfillment_id")?);
    guide.post(&path, &json!({"parcels": [parcel]})).await?;
    guide.reach("packed").await?;
    guide.end().await
}
