//! Rows as they come, and what they are taken for.

use super::*;

fn invoice(number: &str, units: &[i64]) -> Invoice {
    let line = |units: &i64| Line {
        row: 2,
        code: "85123A".to_owned(),
        description: "HEART".to_owned(),
        units: *units,
        price: 25_500,
    };
    Invoice {
        number: number.to_owned(),
        row: 2,
        first_ts: "2010-12-01T08:26".to_owned(),
        customer: String::new(),
        country: "United Kingdom".to_owned(),
        lines: units.iter().map(line).collect(),
    }
}

fn books(orders: &str, lines: &str) -> Books {
    let directory = tempfile::tempdir().unwrap();
    let orders = format!("invoice_no,first_ts,last_ts,customer_id,country,lines\n{orders}");
    let lines = format!("invoice_no,line_no,stock_code,description,quantity,unit_price\n{lines}");
    std::fs::write(directory.path().join(ORDERS), orders).unwrap();
    std::fs::write(directory.path().join(LINES), lines).unwrap();
    read(directory.path()).unwrap()
}

fn reasons(books: &Books) -> Vec<(&str, u64, &str)> {
    books.refused.iter().map(|row| (row.file.as_str(), row.row, row.reason.as_str())).collect()
}

#[test]
fn an_invoice_is_told_by_its_number_and_its_quantities() {
    assert_eq!(invoice("536365", &[6, 2]).kind(), Kind::Sale);
    assert_eq!(invoice("C536379", &[-1]).kind(), Kind::Cancel);
    assert_eq!(invoice("536589", &[-10, -4]).kind(), Kind::WriteOff);
    assert_eq!(invoice("A563185", &[1]).kind(), Kind::Adjustment);
    // One line back among others is still a sale, with a line that is refused.
    assert_eq!(invoice("536365", &[6, -1]).kind(), Kind::Sale);
}

#[test]
fn what_cannot_be_ordered_is_refused_with_its_reason() {
    let reason = |units, price, code: &str| {
        let line = Line { row: 2, code: code.to_owned(), description: String::new(), units, price };
        line.refusal().map(|(reason, _)| reason)
    };
    assert_eq!(reason(1, 0, "A"), None);
    assert_eq!(reason(74_215, 10, "A"), None);
    assert_eq!(reason(-1, 10, "A"), Some("NOT_POSITIVE_UNITS"));
    assert_eq!(reason(0, 10, "A"), Some("NOT_POSITIVE_UNITS"));
    assert_eq!(reason(1, -10, "A"), Some("NEGATIVE_PRICE"));
    assert_eq!(reason(1, 10, " "), Some("NO_STOCK_CODE"));
    assert_eq!(reason(5_000_000_000, 10, "A"), Some("TOO_MANY_UNITS"));
}

#[test]
fn codes_that_are_no_goods_are_told_by_case_too() {
    for code in ["POST", "DOT", "C2", "M", "m", "BANK CHARGES", "gift_0001_20"] {
        assert!(!is_goods(code), "{code}");
    }
    for code in ["85036B", "85036b", "DCGS0003", "post"] {
        assert!(is_goods(code), "{code}");
    }
}

#[test]
fn rows_are_read_as_they_stand() {
    let books = books(
        "1,2010-12-01T08:26,2010-12-01T08:26,17850,EIRE,2\n",
        "1,1,85036b,\" a, \"\"b\"\" \",3,0.001\n1,2,POST,,1,18\n",
    );
    assert!(books.refused.is_empty());
    let invoice = &books.invoices[0];
    assert_eq!((invoice.customer.as_str(), invoice.country.as_str()), ("17850", "EIRE"));
    let line = &invoice.lines[0];
    assert_eq!((line.code.as_str(), line.description.as_str()), ("85036b", " a, \"b\" "));
    assert_eq!((line.units, line.price, line.value(), line.row), (3, 10, 30, 2));
    assert_eq!(invoice.lines[1].value(), 180_000);
}

#[test]
fn nonsense_is_refused_row_by_row() {
    let books = books(
        "1,t,t,,X,1\n1,t,t,,X,1\n,t,t,,X,1\n2,t,t,,X,1\n3,t,t,,X,many\n4,t,t,,X,2\n",
        "1,1,A,x,1,1\n9,1,A,x,1,1\n2,1,A,x,six,1\n4,1,A,x,1,1.23456\n4,2,A,x,1,1\n4,3\n",
    );
    assert_eq!(
        reasons(&books),
        [
            (ORDERS, 3, "TWICE"),
            (ORDERS, 4, "NO_NUMBER"),
            (ORDERS, 6, "UNREADABLE"),
            (LINES, 3, "NO_INVOICE"),
            (LINES, 4, "BAD_QUANTITY"),
            (LINES, 5, "BAD_PRICE"),
            (LINES, 7, "UNREADABLE"),
            (ORDERS, 5, "NO_LINES"),
            (ORDERS, 7, "LINES_MISSING"),
        ]
    );
    let numbers: Vec<_> = books.invoices.iter().map(|one| one.number.as_str()).collect();
    assert_eq!(numbers, ["1", "4"]);
}
