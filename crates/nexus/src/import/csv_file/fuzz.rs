//! Files of any bytes.

use proptest::prelude::*;

use super::*;

const COLUMNS: Columns = &[("sku", true), ("name", false), ("units", false)];

fn parse(text: impl AsRef<[u8]>) -> anyhow::Result<CsvFile> {
    CsvFile::parse("file.csv", text.as_ref(), "things", COLUMNS)
}

proptest! {
    /// Whatever the bytes, they are taken apart or refused with a sentence.
    #[test]
    fn no_bytes_bring_it_down(bytes in prop::collection::vec(any::<u8>(), 0..400)) {
        if let Err(error) = parse(&bytes) {
            prop_assert!(error.to_string().starts_with("file.csv"), "{error:#}");
        }
    }

    /// What almost is a file of ours is read to its last row: each is there or refused.
    #[test]
    fn every_line_is_answered(text in "(sku,name,units\n)([a-z\",;é\r ]{0,12}\n){0,8}") {
        if let Ok(file) = parse(&text) {
            let answered = file.rows().count() + file.refused().count();
            prop_assert_eq!(answered, file.records.len());
            let all = file.records.iter().map(|record| record.row).collect();
            let again = file.only(&all).unwrap();
            let again = parse(&again).unwrap();
            prop_assert_eq!(again.records.len(), file.records.len());
        }
    }

    /// What a writer of CSV wrote comes back letter by letter, spaces at the ends apart.
    #[test]
    fn what_was_written_is_read(fields in prop::collection::vec("[^\0]{0,20}", 2..=2)) {
        let mut writer = csv::Writer::from_writer(Vec::new());
        writer.write_record(["sku", "name"]).unwrap();
        writer.write_record(&fields).unwrap();
        let bytes = writer.into_inner().unwrap();
        let file = parse(&bytes).unwrap();
        let read = file.rows().next().unwrap();
        prop_assert_eq!(read.get("sku"), fields[0].trim());
        prop_assert_eq!(read.get("name"), fields[1].trim());
    }
}
