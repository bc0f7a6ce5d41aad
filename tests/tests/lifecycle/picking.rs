//! Scans: each has exactly one of nine results.

use nexus_tests::harness::shop::{CAIRO, LAMP, MUG, SCARF, Shop};
use nexus_tests::harness::{Life, Look, Nexus, Options, Rest, Wish};
use serde_json::{Value, json};

const TEA: &str = "TEA-LOT";
const TEA_GTIN: &str = "06221000000041";
const TEA_BIN: &str = "C-01-01-1-01";

struct Picker<'a> {
    rest: &'a Rest,
    list: String,
}

impl Picker<'_> {
    async fn scan(&self, scan: &Value) -> anyhow::Result<Value> {
        let path = format!("/v1/pick-lists/{}:scan", self.list);
        let answer = self.rest.post(&path, scan).await?;
        assert!(!answer.text("message").is_empty(), "{answer}");
        Ok(answer)
    }

    async fn result(&self, scan: &Value) -> anyhow::Result<String> {
        Ok(self.scan(scan).await?.text("result").to_owned())
    }
}

async fn listed(shop: &Shop, wish: Wish) -> anyhow::Result<Life> {
    let mut life = Life::begin(shop, wish).await?;
    life.confirm().await?;
    life.list().await?;
    Ok(life)
}

#[tokio::test]
async fn a_scan_of_the_right_or_the_wrong_thing_says_so() -> anyhow::Result<()> {
    let (_nexus, shop) = Nexus::with_shop(Options::default(), 50).await?;
    let life = listed(&shop, Wish::of(1, &[(MUG, 8), (LAMP, 1)])).await?;
    let picker = Picker { rest: &shop.rest, list: life.pick_lists.concat() };
    let at = |bin: &str, barcode: &str| json!({"bin": bin, "barcode": barcode});

    assert_eq!(picker.result(&at(MUG.bin, "0000")).await?, "UNKNOWN_BARCODE");
    assert_eq!(picker.result(&at(SCARF.bin, SCARF.barcode)).await?, "WRONG_ITEM");
    let wrong_bin = picker.scan(&at(LAMP.bin, MUG.barcode)).await?;
    assert_eq!(wrong_bin.text("result"), "WRONG_BIN");
    assert_eq!(wrong_bin.text("expected/bin"), MUG.bin);

    let case = picker.scan(&at(MUG.bin, MUG.case)).await?;
    assert_eq!(case.text("result"), "ACCEPTED");
    assert_eq!((case.number("picked"), case.number("units")), (6, 8));
    assert_eq!(picker.result(&at(MUG.bin, MUG.case)).await?, "LINE_COMPLETE");
    let once = json!({"bin": MUG.bin, "barcode": MUG.barcode, "scan_id": "gun-1-77"});
    for _ in 0..3 {
        let scan = picker.scan(&once).await?;
        assert_eq!((scan.text("result"), scan.number("picked")), ("ACCEPTED", 7));
    }
    assert_eq!(picker.result(&at(MUG.bin, MUG.barcode)).await?, "ACCEPTED");
    assert_eq!(picker.result(&at(MUG.bin, MUG.barcode)).await?, "LINE_COMPLETE");
    assert_eq!(picker.result(&json!({"barcode": LAMP.barcode})).await?, "ACCEPTED");

    shop.rest.post(&format!("/v1/pick-lists/{}:complete", picker.list), &json!({})).await?;
    assert_eq!(picker.result(&at(MUG.bin, MUG.barcode)).await?, "STALE_LIST");
    let stock = shop.stock(MUG.sku, CAIRO).await?;
    assert_eq!((stock.on_hand, stock.picked, stock.available), (50, 8, 42));
    Ok(())
}

#[tokio::test]
async fn a_wrong_lot_and_a_serial_read_twice_say_so() -> anyhow::Result<()> {
    let (_nexus, shop) = Nexus::with_shop(Options::default(), 50).await?;
    let rest = &shop.rest;
    let tea = json!({"sku": TEA, "name": "Tea", "barcodes": [{"code": TEA_GTIN, "units": 1}]});
    rest.post("/v1/products", &tea).await?;
    let bins = json!({"bins": [{"code": TEA_BIN}]});
    rest.post(&format!("/v1/warehouses/{CAIRO}:define-bins"), &bins).await?;
    let line = json!({"sku": TEA, "bin": TEA_BIN, "lot": "L1", "units": 9});
    let receipt = json!({"receipt": "tea", "lines": [line]});
    rest.post(&format!("/v1/warehouses/{CAIRO}:receive-stock"), &receipt).await?;

    let mut wish = Wish::of(1, &[]).body();
    wish["lines"] =
        json!([{"sku": TEA, "units": 3, "unit_price": {"amount": "20", "currency": "EGP"}}]);
    let order = rest.post("/v1/orders", &wish).await?;
    let id = order.text("order_id");
    rest.post(&format!("/v1/orders/{id}:confirm"), &json!({})).await?;
    let lists = rest.post("/v1/pick-lists", &json!({"order_ids": [id]})).await?;
    let list = lists.text("pick_lists/0/pick_list_id").to_owned();
    assert_eq!(lists.text("pick_lists/0/lines/0/lot"), "L1");
    rest.post(&format!("/v1/pick-lists/{list}:assign"), &json!({"picker": "Hassan"})).await?;
    let picker = Picker { rest, list };
    let read = |lot: &str, serial: &str| {
        let barcode = format!("(01){TEA_GTIN}(10){lot}(21){serial}");
        json!({"bin": TEA_BIN, "barcode": barcode})
    };
    assert_eq!(picker.result(&read("L2", "S1")).await?, "WRONG_LOT");
    assert_eq!(picker.result(&read("L1", "S1")).await?, "ACCEPTED");
    assert_eq!(picker.result(&read("L1", "S1")).await?, "DUPLICATE_SERIAL");
    let second = picker.scan(&read("L1", "S2")).await?;
    assert_eq!((second.text("result"), second.number("picked")), ("ACCEPTED", 2));
    Ok(())
}

#[tokio::test]
async fn a_line_in_another_pickers_hands_says_whose() -> anyhow::Result<()> {
    let (_nexus, shop) = Nexus::with_shop(Options::default(), 50).await?;
    let life = listed(&shop, Wish::of(1, &[(MUG, 2), (LAMP, 1)])).await?;
    let picker = Picker { rest: &shop.rest, list: life.pick_lists.concat() };
    let mug = json!({"bin": MUG.bin, "barcode": MUG.barcode});
    assert_eq!(picker.result(&mug).await?, "ACCEPTED");
    // A supervisor gives the list to somebody else; the line begun stays Hassan's for a while.
    let path = format!("/v1/pick-lists/{}:assign", picker.list);
    shop.rest.post(&path, &json!({"picker": "Salma"})).await?;
    let taken = picker.scan(&mug).await?;
    assert_eq!(taken.text("result"), "TAKEN_BY");
    assert!(taken.text("message").contains("Hassan"), "{taken}");
    let lamp = json!({"bin": LAMP.bin, "barcode": LAMP.barcode});
    assert_eq!(picker.result(&lamp).await?, "ACCEPTED");
    Ok(())
}

#[tokio::test]
async fn a_pick_list_leads_through_the_bins_in_walking_order_for_all_its_orders()
-> anyhow::Result<()> {
    let (_nexus, shop) = Nexus::with_shop(Options::default(), 50).await?;
    let mut orders = Vec::new();
    for (number, lines) in [(1, [(SCARF, 1), (MUG, 2)]), (2, [(LAMP, 3), (MUG, 1)])] {
        let mut life = Life::begin(&shop, Wish::of(number, &lines)).await?;
        life.confirm().await?;
        orders.push(life.order_id);
    }
    let made = shop.rest.post("/v1/pick-lists", &json!({"order_ids": orders})).await?;
    let lists = made.list("pick_lists");
    assert_eq!(lists.len(), 1, "{made}");
    let lines = made.list("pick_lists/0/lines");
    let walk: Vec<_> = lines.iter().map(|line| (line.text("sku"), line.number("units"))).collect();
    assert_eq!(walk, [(MUG.sku, 3), (LAMP.sku, 3), (SCARF.sku, 1)]);
    assert_eq!(made.list("pick_lists/0/lines/0/split").len(), 2);
    Ok(())
}
