//! A CSV file as people and spreadsheets write it: its text, its columns, its rows.
//! *Invariant:* every row is either among the rows or among the refused; a file that is refused as
//! a whole names what is wrong and how to save it.

use std::collections::BTreeSet;
use std::path::Path;

use anyhow::{Context, bail};
use nexus_runtime::money::parse_amount;

use super::report::{Outcome, Row};

/// Bytes of a file; it is read whole.
const MAX_FILE: u64 = 256 * 1024 * 1024;
/// Bytes of one row; no row of ours comes near it, but a lost quote makes one of a whole file.
const MAX_ROW: usize = 64 * 1024;
/// Stands behind the last row while it is read: where it is not found again, a quote is open. No
/// file holds it, since none may hold a NUL.
const END: &str = "\u{0}end";
const MARK: &[u8] = b"\xEF\xBB\xBF";

/// Columns that may stand in the first line, and whether they must.
pub(crate) type Columns = &'static [(&'static str, bool)];

/// All that a file says.
pub(crate) struct CsvFile {
    pub(crate) name: String,
    columns: Vec<String>,
    records: Vec<Record>,
}

struct Record {
    /// Line of the file, the header being 1.
    row: u64,
    fields: csv::StringRecord,
    /// Why it cannot be read, if so.
    unreadable: Option<Wrong>,
}

/// What is wrong with a field, and what to do about it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Wrong {
    /// Stable, UPPER_SNAKE.
    pub(crate) reason: String,
    /// The column; empty where it is the row.
    pub(crate) field: String,
    /// A sentence.
    pub(crate) detail: String,
    /// What to do.
    pub(crate) advice: String,
}

impl Wrong {
    pub(crate) fn new(reason: &str, field: &str, detail: String, advice: &str) -> Self {
        let (reason, field, advice) = (reason.to_owned(), field.to_owned(), advice.to_owned());
        Self { reason, field, detail, advice }
    }

    /// Its row of the report.
    pub(crate) fn at(self, file: &str, row: u64, record: &str) -> Row {
        let Self { reason, field, detail, advice } = self;
        let row = Row::new(file, row, record, Outcome::Refused).because(&reason, detail);
        Row { field, advice, ..row }
    }
}

/// The fields of one row by column, and what was found wrong with them.
pub(crate) struct Fields<'a> {
    columns: &'a [String],
    record: &'a csv::StringRecord,
    pub(crate) row: u64,
    pub(crate) wrong: Vec<Wrong>,
}

impl<'a> Fields<'a> {
    /// A field without spaces at its ends; empty when there is no such column.
    pub(crate) fn get(&self, column: &str) -> &'a str {
        let place = self.columns.iter().position(|name| name == column);
        place.and_then(|place| self.record.get(place)).unwrap_or_default().trim()
    }

    /// The first field as a name for the row.
    pub(crate) fn name(&self) -> &'a str {
        self.record.get(0).unwrap_or_default().trim()
    }

    pub(crate) fn complain(&mut self, reason: &str, field: &str, detail: String, advice: &str) {
        self.wrong.push(Wrong::new(reason, field, detail, advice));
    }

    /// A field that must not be empty.
    pub(crate) fn required(&mut self, column: &str) -> &'a str {
        let text = self.get(column);
        if text.is_empty() {
            self.complain("MISSING", column, format!("{column} is empty"), "fill it in");
        }
        text
    }

    /// A whole number from `least`; `None` for an empty field.
    pub(crate) fn units(&mut self, column: &str, least: u32) -> Option<u32> {
        let text = self.get(column);
        if text.is_empty() {
            return None;
        }
        let number = text.parse().ok().filter(|number| *number >= least);
        if number.is_none() {
            let detail = format!("{column} \"{text}\" is no whole number from {least}");
            self.complain("BAD_NUMBER", column, detail, "write digits only, like 12");
        }
        number
    }

    /// An amount of money as it is written, not below 0; `None` for an empty field.
    pub(crate) fn amount(&mut self, column: &str) -> Option<&'a str> {
        let text = self.get(column);
        if text.is_empty() {
            return None;
        }
        let problem = match parse_amount(text) {
            Ok(amount) if amount >= 0 => return Some(text),
            Ok(_) => format!("{column} \"{text}\" is below 0"),
            Err(error) => format!("{column} {error}"),
        };
        self.complain("BAD_AMOUNT", column, problem, "write it like 149.90, without a currency");
        None
    }

    /// Yes or no; `None` for an empty field.
    pub(crate) fn flag(&mut self, column: &str) -> Option<bool> {
        let text = self.get(column);
        match text.to_lowercase().as_str() {
            "" => None,
            "true" | "yes" | "1" => Some(true),
            "false" | "no" | "0" => Some(false),
            _ => {
                let detail = format!("{column} \"{text}\" is neither yes nor no");
                self.complain("BAD_FLAG", column, detail, "write yes or no");
                None
            }
        }
    }
}

impl CsvFile {
    /// Reads a file of `what`.
    pub(crate) fn read(path: &Path, what: &str, columns: Columns) -> anyhow::Result<Self> {
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let cannot = || format!("cannot read {}", path.display());
        let size = std::fs::metadata(path).with_context(cannot)?.len();
        if size > MAX_FILE {
            let most = MAX_FILE / 1024 / 1024;
            bail!("{name} is larger than {most} MiB: split it, each part with the first line");
        }
        let bytes = std::fs::read(path).with_context(cannot)?;
        Self::parse(&name, &bytes, what, columns)
    }

    /// Takes the bytes of a file apart.
    pub(crate) fn parse(
        name: &str,
        bytes: &[u8],
        what: &str,
        known: Columns,
    ) -> anyhow::Result<Self> {
        let text = text_of(name, bytes)?;
        let ended = format!("{text}\n{END}\n");
        let mut reader = csv::ReaderBuilder::new()
            .flexible(true)
            .has_headers(false)
            .from_reader(ended.as_bytes());
        let mut records: Vec<csv::StringRecord> =
            reader.records().collect::<Result<_, _>>().with_context(|| format!("{name}: CSV"))?;
        let is_end = |record: &csv::StringRecord| record.get(0) == Some(END) && record.len() == 1;
        let closed = records.pop_if(|last| is_end(last)).is_some();
        let mut records = records.into_iter();
        let columns = match records.next() {
            Some(first) if closed || records.len() > 0 => first,
            Some(_) => bail!("{name}: a quote in the first line is never closed"),
            None => bail!("{name} is empty: its first line names columns: {}", names(known)),
        };
        let columns: Vec<_> = columns.iter().map(|column| column.trim().to_lowercase()).collect();
        check(name, what, &columns, known)?;
        let mut lines = Lines { text: &ended, read: 0, line: 1 };
        let record = |fields: csv::StringRecord| {
            let row = lines.of(fields.position().map_or(0, csv::Position::byte));
            Record::of(fields, row, columns.len())
        };
        let records: Vec<_> = records.map(record).collect();
        if let Some(last) = records.last().filter(|_| !closed) {
            // All rows below are in it: what they say is lost, so nothing of the file is taken.
            bail!(
                "{name}: the quote that is opened in line {} is never closed: close it, or double \
                 a quote that belongs to the text",
                last.row
            );
        }
        Ok(Self { name: name.to_owned(), columns, records })
    }

    /// Each row that can be read.
    pub(crate) fn rows(&self) -> impl Iterator<Item = Fields<'_>> {
        let readable = self.records.iter().filter(|record| record.unreadable.is_none());
        readable.map(|record| Fields {
            columns: &self.columns,
            record: &record.fields,
            row: record.row,
            wrong: Vec::new(),
        })
    }

    /// Rows that cannot, as rows of the report.
    pub(crate) fn refused(&self) -> impl Iterator<Item = Row> {
        self.records.iter().filter_map(|record| {
            let name: String = record.fields.get(0).unwrap_or_default().chars().take(80).collect();
            Some(record.unreadable.clone()?.at(&self.name, record.row, &name))
        })
    }

    /// Some rows as a file of their own, under the same columns.
    pub(crate) fn only(&self, rows: &BTreeSet<u64>) -> anyhow::Result<Vec<u8>> {
        let mut writer = csv::WriterBuilder::new().flexible(true).from_writer(Vec::new());
        writer.write_record(&self.columns)?;
        for record in self.records.iter().filter(|record| rows.contains(&record.row)) {
            writer.write_record(&record.fields)?;
        }
        writer.into_inner().map_err(|error| error.into_error().into())
    }
}

impl Record {
    fn of(fields: csv::StringRecord, row: u64, columns: usize) -> Self {
        let length = fields.as_slice().len();
        let unreadable = if length > MAX_ROW {
            let detail = format!("the row has {length} bytes, the most is {MAX_ROW}");
            Some(Wrong::new("TOO_LONG", "", detail, "look for a quote that is opened by mistake"))
        } else if fields.len() != columns {
            let detail = format!("{} fields where {columns} columns are named", fields.len());
            let advice = "put quotes around a field that has a comma in it";
            Some(Wrong::new("UNREADABLE", "", detail, advice))
        } else {
            None
        };
        Self { row, fields, unreadable }
    }
}

/// Counts lines as an editor does, whatever ends them. What the reader counts is one less where
/// lines end with CR and LF: to it, a row begins before the LF.
struct Lines<'a> {
    text: &'a str,
    read: usize,
    line: u64,
}

impl Lines<'_> {
    /// The line of the row that the reader found at this byte; rows are asked for in their order.
    fn of(&mut self, byte: u64) -> u64 {
        let found = usize::try_from(byte).unwrap_or(usize::MAX);
        let rest = self.text.as_bytes().get(found..).unwrap_or_default();
        let ends = rest.iter().take_while(|byte| matches!(**byte, b'\r' | b'\n')).count();
        let begins = found.saturating_add(ends);
        let skipped = self.text.as_bytes().get(self.read..begins).unwrap_or_default();
        let mut previous = 0;
        for byte in skipped {
            if *byte == b'\r' || *byte == b'\n' && previous != b'\r' {
                self.line += 1;
            }
            previous = *byte;
        }
        self.read = begins;
        self.line
    }
}

/// The text of a file in UTF-8, without the mark that Excel puts before it.
fn text_of<'a>(name: &str, bytes: &'a [u8]) -> anyhow::Result<&'a str> {
    let bytes = bytes.strip_prefix(MARK).unwrap_or(bytes);
    if bytes.starts_with(b"\xFE\xFF") || bytes.starts_with(b"\xFF\xFE") {
        bail!("{name} is UTF-16, which is not read: save it as \"CSV UTF-8\"");
    }
    let line_at = |end: usize| {
        let before = bytes.get(..end).unwrap_or_default();
        before.iter().filter(|byte| **byte == b'\n').count() + 1
    };
    let text = std::str::from_utf8(bytes).map_err(|error| {
        let at = error.valid_up_to();
        let byte = bytes.get(at).copied().unwrap_or_default();
        anyhow::anyhow!(
            "{name} is not UTF-8: there is a byte 0x{byte:02X} in line {}; save it as \
             \"CSV UTF-8\"",
            line_at(at)
        )
    })?;
    if let Some(at) = text.find('\0') {
        bail!("{name} has a NUL in line {}: save it as \"CSV UTF-8\"", line_at(at));
    }
    Ok(text)
}

fn names(known: Columns) -> String {
    known.iter().map(|(name, _)| *name).collect::<Vec<_>>().join(", ")
}

fn check(name: &str, what: &str, columns: &[String], known: Columns) -> anyhow::Result<()> {
    if let [only] = columns
        && let Some(other) = only.chars().find(|letter| matches!(letter, ';' | '\t'))
    {
        bail!("{name} parts its columns by {other:?}: save it with commas between them");
    }
    let mut seen = BTreeSet::new();
    for column in columns {
        if !known.iter().any(|(name, _)| name == column) {
            bail!("{name} has a column \"{column}\", which {what} do not have: {}", names(known));
        }
        if !seen.insert(column) {
            bail!("{name} names the column \"{column}\" twice: leave one of them out");
        }
    }
    for (column, required) in known {
        if *required && !columns.iter().any(|name| name == column) {
            bail!("{name} needs a column \"{column}\"; its first line names the columns");
        }
    }
    Ok(())
}

#[cfg(test)]
mod fuzz;
#[cfg(test)]
mod tests;
