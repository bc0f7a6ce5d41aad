//! Files as people write them.

use super::super::tables::{Bins, Products, Stock};
use super::*;
use serde_json::json;

fn rows(text: &str, table: &impl Table) -> (Vec<Entry>, Vec<(u64, String)>) {
    let file = CsvFile::parse("file.csv", text.as_bytes(), table.what(), table.columns()).unwrap();
    let mut report = Report::default();
    let entries = entries(&file, table, &mut report);
    let refused = report.refused().map(|row| (row.row, row.reason.clone())).collect();
    (entries, refused)
}

#[test]
fn products_are_read_with_their_barcodes() {
    let (entries, refused) = rows(
        "sku,name,barcodes,weight_grams,stocked\n\
         TEE,Cotton T-shirt,6221000000010;16221000000017*10,180,\n\
         POST,Postage,,,no\n",
        &Products,
    );
    assert_eq!(refused, []);
    assert_eq!(
        entries[0].body,
        json!({
            "sku": "TEE", "name": "Cotton T-shirt", "weight_grams": 180, "stocked": true,
            "barcodes": [
                {"code": "6221000000010", "units": 1}, {"code": "16221000000017", "units": 10},
            ],
        })
    );
    assert_eq!(entries[1].body, json!({"sku": "POST", "name": "Postage", "stocked": false}));
}

#[test]
fn a_row_that_asks_for_nothing_is_refused_with_its_reason() {
    let (entries, refused) = rows(
        "sku,name,barcodes,stocked\n,x,,\nA,,,\nB,x,1*many,\nC,x,,maybe\nD,x,,\nD,y,,\nE\n",
        &Products,
    );
    assert_eq!(entries.len(), 1);
    let reasons: Vec<_> = refused.iter().map(|(row, reason)| (*row, reason.as_str())).collect();
    assert_eq!(
        reasons,
        [
            (8, "UNREADABLE"),
            (2, "MISSING"),
            (3, "MISSING"),
            (4, "BAD_BARCODE"),
            (5, "BAD_FLAG"),
            (7, "TWICE"),
        ]
    );
}

#[test]
fn bins_say_only_what_the_row_says() {
    let (entries, _) = rows("warehouse,bin,pick_sequence,zone\nCAI1,A-01,,\n", &Bins);
    assert_eq!(entries[0].path, "/v1/warehouses/CAI1:define-bins");
    assert_eq!(entries[0].body, json!({"bins": [{"code": "A-01"}]}));
    assert!(says(&json!({"code": "A-01", "pick_sequence": 7, "zone": "A"}), &entries[0].says));
}

#[test]
fn what_is_there_is_compared_as_far_as_the_row_says() {
    let there = json!({"sku": "TEE", "barcodes": [{"code": "06221000000010", "units": 1}]});
    assert!(says(&there, &json!({"barcodes": [{"code": "6221000000010", "units": 1}]})));
    assert!(says(&there, &json!({"stocked": false, "name": ""})));
    assert!(!says(&there, &json!({"barcodes": []})));
    assert!(!says(&there, &json!({"stocked": true})));
}

#[test]
fn a_delivery_counts_each_of_its_rows_wherever_they_stand() {
    let receipts = |text: &str| {
        let text = format!("warehouse,sku,bin,units,receipt\n{text}");
        let (entries, refused) = rows(&text, &Stock::named("D-1"));
        assert_eq!(refused, []);
        let receipt = |entry: &Entry| entry.body["receipt"].as_str().unwrap().to_owned();
        entries.iter().map(receipt).collect::<Vec<_>>()
    };
    let first = receipts("CAI1,TEE,A,5,\nCAI1,TEE,A,5,\nCAI1,MUG,B,1,\n");
    let moved = receipts("CAI1,MUG,B,1,\nCAI1,TEE,A,5,\nCAI1,TEE,A,5,\n");
    assert_eq!(moved, [first[2].clone(), first[0].clone(), first[1].clone()]);
    assert_ne!(first[0], first[1]);
    assert_ne!(receipts("CAI1,TEE,A,5,D-2\n"), first[..1]);
}

#[test]
fn units_of_none_are_refused() {
    let (entries, refused) = rows("warehouse,sku,bin,units\nCAI1,TEE,A,0\n", &Stock::named("D"));
    assert_eq!((entries.len(), refused), (0, vec![(2, "BAD_NUMBER".to_owned())]));
}

#[test]
fn a_dry_run_tells_new_changed_and_same_apart() {
    let (entries, _) = rows("sku,name\nTEE,Shirt\nMUG,Mug\nCAP,Cap\n", &Products);
    let known = [("TEE", "Shirt"), ("MUG", "Cup")];
    let known: Known =
        known.map(|(sku, name)| (sku.to_owned(), json!({"sku": sku, "name": name}))).into();
    let planned: Vec<_> = entries.iter().map(|entry| planned("f", entry, &known)).collect();
    let told: Vec<_> = planned.iter().map(|row| (row.outcome, row.reason.as_str())).collect();
    assert_eq!(
        told,
        [(Outcome::Existing, ""), (Outcome::Planned, "UPDATE"), (Outcome::Planned, "")]
    );
}
