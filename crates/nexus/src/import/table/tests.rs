//! Files as people write them.

use super::super::tables::{Bins, Products};
use super::*;
use serde_json::json;

fn rows(text: &str, table: &impl Table) -> (Vec<Entry>, Vec<(u64, String)>) {
    let mut report = Report::default();
    let entries = read(text.as_bytes(), "file.csv", table, &mut report).unwrap();
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
            (2, "MISSING"),
            (3, "MISSING"),
            (4, "BAD_BARCODE"),
            (5, "BAD_FLAG"),
            (7, "TWICE"),
            (8, "UNREADABLE"),
        ]
    );
}

#[test]
fn a_header_with_a_wrong_or_missing_column_is_refused_by_name() {
    let refused = |text: &str| {
        let read = read(text.as_bytes(), "file.csv", &Bins, &mut Report::default());
        read.unwrap_err().to_string()
    };
    assert!(refused("warehouse,bin,colour\n").contains("\"colour\""));
    assert!(refused("warehouse,zone\n").contains("\"bin\""));
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
