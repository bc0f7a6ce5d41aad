//! Orders as rows, whole and broken.

use super::*;

pub(super) const HEADER: &str = "reference,name,phone,country,city,line1,currency,payment,sku,\
                                 units,unit_price,order_discount,notes\n";

fn read(rows: &str) -> (Vec<Wish>, Vec<(u64, String, String)>) {
    let file = CsvFile::parse("o.csv", format!("{HEADER}{rows}").as_bytes(), "orders", COLUMNS);
    let mut report = Report::default();
    let wishes = wishes(&file.unwrap(), &mut report);
    let refused = report.refused().map(|row| (row.row, row.reason.clone(), row.field.clone()));
    let mut refused: Vec<_> = refused.collect();
    refused.sort();
    (wishes, refused)
}

fn told(refused: &[(u64, &str, &str)]) -> Vec<(u64, String, String)> {
    let owned = |(row, reason, field): &(u64, &str, &str)| {
        (*row, (*reason).to_owned(), (*field).to_owned())
    };
    refused.iter().map(owned).collect()
}

#[test]
fn the_rows_of_a_reference_are_one_order() {
    let (wishes, refused) = read(
        "W-1,Sara Ali,01001234567,EG,Cairo,12 Nile St,EGP,cod,TEE,2,149.90,10,\"Ring, twice\"\n\
         W-2,Omar,01001234568,EG,Giza,3 Haram St,EGP,prepaid,MUG,1,80,,\n\
         W-1,,,,,,,,MUG,1,80,,\n",
    );
    assert_eq!(refused, []);
    assert_eq!(wishes.len(), 2);
    assert_eq!((wishes[0].reference.as_str(), wishes[0].rows.as_slice()), ("W-1", &[2, 4][..]));
    assert_eq!(
        wishes[0].body,
        json!({
            "external_reference": "W-1",
            "contact": {"name": "Sara Ali", "phone": "01001234567"},
            "shipping_address": {"country": "EG", "city": "Cairo", "line1": "12 Nile St"},
            "currency": "EGP",
            "payment": {"method": "cod"},
            "discount": {"amount": "10", "currency": "EGP"},
            "notes": ["Ring, twice"],
            "lines": [
                {"sku": "TEE", "units": 2, "unit_price": {"amount": "149.90", "currency": "EGP"}},
                {"sku": "MUG", "units": 1, "unit_price": {"amount": "80", "currency": "EGP"}},
            ],
        })
    );
}

#[test]
fn one_wrong_row_keeps_its_order_back_and_no_other() {
    let (wishes, refused) = read(
        "W-1,Sara,01001234567,EG,Cairo,12 Nile St,EGP,cod,TEE,2,149.90,,\n\
         W-1,,,,,,,,MUG,none,-80,,\n\
         W-2,Omar,01001234568,EG,Giza,3 Haram St,EGP,cod,MUG,1,80,,\n",
    );
    let names: Vec<_> = wishes.iter().map(|wish| wish.reference.as_str()).collect();
    assert_eq!(names, ["W-2"]);
    assert_eq!(
        refused,
        told(&[
            (2, "ORDER_INCOMPLETE", ""),
            (3, "BAD_AMOUNT", "unit_price"),
            (3, "BAD_NUMBER", "units"),
        ])
    );
}

#[test]
fn rows_that_contradict_each_other_are_refused() {
    let (wishes, refused) = read(
        "W-1,Sara,01001234567,EG,Cairo,12 Nile St,EGP,cod,TEE,2,149.90,,\n\
         W-1,Sara,,,Giza,,,,MUG,1,80,,\n\
         ,Sara,,,,,,,MUG,1,80,,\n\
         W-3,,01001234567,EG,Cairo,12 Nile St,EGP,cod,TEE,2,149.90,,\n",
    );
    assert_eq!(wishes, []);
    assert_eq!(
        refused,
        told(&[
            (2, "ORDER_INCOMPLETE", ""),
            (3, "DIFFERS", "city"),
            (4, "MISSING", "reference"),
            (5, "MISSING", "name"),
        ])
    );
}
