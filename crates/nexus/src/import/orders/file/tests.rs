//! What the report says of an order's rows.

use super::*;

fn file() -> CsvFile {
    let text = "reference,name,country,city,line1,currency,payment,sku,units,unit_price\n";
    CsvFile::parse("o.csv", text.as_bytes(), "orders", rows::COLUMNS).unwrap()
}

fn wish() -> Wish {
    let lines = json!([{"sku": "TEE", "units": 2}, {"sku": "MUG", "units": 1}]);
    Wish { reference: "W-1".to_owned(), rows: vec![2, 5], body: json!({"lines": lines}) }
}

fn told(became: &Became) -> Vec<(u64, Outcome, String, String)> {
    let rows = answer(&file(), &wish(), became).into_iter();
    rows.map(|row| (row.row, row.outcome, row.reason, row.field)).collect()
}

fn there(units: u64, before: bool) -> Became {
    let lines = json!([{"sku": "TEE", "units": units}, {"sku": "MUG", "units": 1}]);
    Became::There { order: json!({"order_id": "o-1", "lines": lines}), before, confirmed: None }
}

#[test]
fn each_row_of_an_order_is_answered() {
    let plain = |outcome| [2, 5].map(|row| (row, outcome, String::new(), String::new()));
    assert_eq!(told(&Became::Planned), plain(Outcome::Planned));
    assert_eq!(told(&there(2, false)), plain(Outcome::Created));
    assert_eq!(told(&there(2, true)), plain(Outcome::Existing));
    assert_eq!(told(&there(3, true))[0].2, "DIFFERS");
}

#[test]
fn what_the_api_refuses_stands_at_the_row_and_column_it_is_about() {
    let violations = ["contact.phone is no phone", "lines[1].unit_price.amount is too large"];
    let problem = Problem {
        status: 400,
        reason: "INVALID_ARGUMENT".to_owned(),
        violations: violations.map(str::to_owned).into(),
        ..Problem::default()
    };
    let row =
        |row, field: &str| (row, Outcome::Refused, "INVALID_ARGUMENT".to_owned(), field.to_owned());
    assert_eq!(told(&Became::Refused(problem)), [row(2, "phone"), row(5, "unit_price")]);
    let problem = Problem { status: 409, reason: "NO".to_owned(), ..Problem::default() };
    let reasons: Vec<_> = told(&Became::Refused(problem)).into_iter().map(|row| row.2).collect();
    assert_eq!(reasons, ["NO", "ORDER_INCOMPLETE"]);
}
