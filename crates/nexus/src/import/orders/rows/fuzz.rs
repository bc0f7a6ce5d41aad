//! Orders as rows of any content.

use proptest::prelude::*;

use super::super::super::report::Outcome;
use super::tests::HEADER;
use super::*;

type Row = (String, String, String, String, String);

proptest! {
    /// Each row of a file is in exactly one order or refused, whatever stands in it.
    #[test]
    fn every_row_is_answered(rows in prop::collection::vec(
        ("[WX]-[12]|", "[a-z]{0,3}", "[A-Z]{0,2}", "[0-9x-]{0,3}", "[0-9.]{0,4}"), 0..9,
    )) {
        let line = |(reference, name, sku, units, price): &Row| {
            let place = "01001234567,EG,Cairo,12 Nile St,EGP,cod";
            format!("{reference},{name},{place},{sku},{units},{price},,\n")
        };
        let text: String = rows.iter().map(line).collect();
        let file = CsvFile::parse("o.csv", format!("{HEADER}{text}").as_bytes(), "orders", COLUMNS);
        let mut report = Report::default();
        let wishes = wishes(&file.unwrap(), &mut report);
        let mut answered = report.refused_rows();
        for row in wishes.iter().flat_map(|wish| &wish.rows) {
            prop_assert!(answered.insert(*row), "row {} is refused and in an order", row);
        }
        prop_assert_eq!(answered.len(), rows.len());
        prop_assert_eq!(report.rows_of(Outcome::Refused), report.refused().count());
        for wish in &wishes {
            prop_assert_eq!(wish.body["lines"].as_array().unwrap().len(), wish.rows.len());
        }
    }
}
