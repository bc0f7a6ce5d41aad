//! Files as people, spreadsheets and bad luck write them.

use super::*;

const COLUMNS: Columns = &[("sku", true), ("name", false), ("units", false)];

fn parse(text: impl AsRef<[u8]>) -> anyhow::Result<CsvFile> {
    CsvFile::parse("file.csv", text.as_ref(), "things", COLUMNS)
}

fn names(text: impl AsRef<[u8]>) -> Vec<(u64, String)> {
    let file = parse(text).unwrap();
    file.rows().map(|fields| (fields.row, fields.get("name").to_owned())).collect()
}

fn no(text: impl AsRef<[u8]>) -> String {
    parse(text).err().map(|error| format!("{error:#}")).unwrap_or_default()
}

fn refused(text: &str) -> Vec<(u64, String)> {
    parse(text).unwrap().refused().map(|row| (row.row, row.reason)).collect()
}

#[test]
fn quotes_hold_commas_quotes_and_lines() {
    let text = "sku,name\nA,\"Mug, blue\"\nB,\"5\"\" pipe\"\nC,\"two\nlines\"\nD,5\" pipe\n";
    let expected = [(2, "Mug, blue"), (3, "5\" pipe"), (4, "two\nlines"), (6, "5\" pipe")];
    assert_eq!(names(text), expected.map(|(row, name)| (row, name.to_owned())));
}

#[test]
fn the_mark_of_excel_and_its_line_ends_are_taken() {
    let expected = [(2, "قميص".to_owned())];
    assert_eq!(names("\u{FEFF}SKU , Name\r\nA, قميص \r\n"), expected);
    assert_eq!(names("sku,name\nA,قميص"), expected);
}

#[test]
fn a_row_is_the_line_that_an_editor_shows() {
    for end in ["\n", "\r\n", "\r"] {
        let text = ["sku,name", "", "A,x", "B,\"two", "lines\"", "C,y", ""].join(end);
        let rows: Vec<_> = names(&text).into_iter().map(|(row, _)| row).collect();
        assert_eq!(rows, [3, 4, 6], "{end:?}");
    }
}

#[test]
fn another_encoding_is_named_with_its_line_and_what_to_do() {
    let latin = no(b"sku,name\nA,ok\nB,caf\xE9\n");
    assert_eq!(
        latin,
        "file.csv is not UTF-8: there is a byte 0xE9 in line 3; save it as \"CSV UTF-8\""
    );
    assert!(no(b"\xFF\xFEs\0k\0u\0").contains("UTF-16"));
    assert!(no(b"\xFE\xFF\0s\0k\0u").contains("UTF-16"));
    assert!(no("s\0k\0u\0\n").contains("NUL in line 1"));
}

#[test]
fn a_quote_that_is_never_closed_is_named_with_its_line() {
    for text in ["sku,name\nA,x\nB,\"open\nC,y\n", "sku,name\nA,x\nB,\"open", "sku\nA\n\"B\"\"\n"] {
        assert!(no(text).contains("opened in line 3"), "{text:?}: {}", no(text));
    }
    assert!(no("sku,\"name\nA,x\n").contains("first line"));
    assert_eq!(names("sku,name\nA,\"closed\n\"").len(), 1);
}

#[test]
fn columns_are_refused_by_name_with_the_ones_there_are() {
    assert_eq!(
        no("sku,colour\n"),
        "file.csv has a column \"colour\", which things do not have: sku, name, units"
    );
    assert!(no("name\nA\n").contains("needs a column \"sku\""));
    assert!(no("sku,name,SKU\n").contains("\"sku\" twice"));
    assert!(no("sku;name\nA;x\n").contains("parts its columns by ';'"));
    assert!(no("").contains("is empty"));
    assert!(no("\n\n").contains("is empty"));
}

#[test]
fn a_row_of_another_shape_is_refused_alone() {
    let long = "x".repeat(MAX_ROW);
    let text = format!("sku,name\nA,x,y\nB\nC,{long}\nD,fine\n");
    let expected = [(2, "UNREADABLE"), (3, "UNREADABLE"), (4, "TOO_LONG")];
    assert_eq!(refused(&text), expected.map(|(row, reason)| (row, reason.to_owned())));
    assert_eq!(names(&text), [(5, "fine".to_owned())]);
}

#[test]
fn refused_rows_make_a_file_that_is_read_again() {
    let text = "sku,name\nA,\"Mug, blue\"\nB,x\nC,y\n";
    let only = parse(text).unwrap().only(&[2, 4].into()).unwrap();
    assert_eq!(String::from_utf8(only).unwrap(), "sku,name\nA,\"Mug, blue\"\nC,y\n");
}

#[test]
fn a_field_says_what_is_wrong_with_it_and_what_to_do() {
    let file = parse("sku,name,units\n,six,-1\n").unwrap();
    let mut fields = file.rows().next().unwrap();
    fields.required("sku");
    assert_eq!(fields.units("units", 1), None);
    assert_eq!(fields.amount("name"), None);
    assert_eq!(fields.flag("name"), None);
    let reasons: Vec<_> = fields.wrong.iter().map(|wrong| wrong.reason.as_str()).collect();
    assert_eq!(reasons, ["MISSING", "BAD_NUMBER", "BAD_AMOUNT", "BAD_FLAG"]);
    assert!(fields.wrong.iter().all(|wrong| !wrong.advice.is_empty()));
}
