//! Invoices as a shop's books hold them: read, and told apart by what they mean.
//! *Invariant:* every row of the files ends up in an invoice or among the refused rows.

use std::collections::HashMap;
use std::io::{BufRead, BufReader, Read};
use std::path::{Path, PathBuf};

use anyhow::{Context, bail};
use nexus_runtime::money::parse_amount;
use serde::Deserialize;

use super::report::{Outcome, Row};

pub(crate) const ORDERS: &str = "orders.csv";
pub(crate) const LINES: &str = "lines.csv";
const MAX_HEADER: u64 = 64 * 1024;

/// What an invoice means.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Kind {
    /// An order.
    Sale,
    /// Takes back earlier lines: number with a C.
    Cancel,
    /// Shrinkage in the books: a plain number, every quantity negative.
    WriteOff,
    /// Bad debt and the like, no goods: number with an A.
    Adjustment,
}

/// One invoice with its lines, in the order of the file.
#[derive(Clone, Debug)]
pub(crate) struct Invoice {
    pub(crate) number: String,
    /// Line of the file that holds it.
    pub(crate) row: u64,
    pub(crate) first_ts: String,
    pub(crate) customer: String,
    pub(crate) country: String,
    pub(crate) lines: Vec<Line>,
}

/// One line of an invoice.
#[derive(Clone, Debug)]
pub(crate) struct Line {
    /// Line of the file that holds it.
    pub(crate) row: u64,
    pub(crate) code: String,
    pub(crate) description: String,
    pub(crate) units: i64,
    /// Ten-thousandths.
    pub(crate) price: i64,
}

/// All that the files say.
pub(crate) struct Books {
    pub(crate) invoices: Vec<Invoice>,
    /// Rows that nobody can make sense of.
    pub(crate) refused: Vec<Row>,
    /// Where they were read from.
    pub(crate) directory: PathBuf,
}

#[derive(Deserialize)]
struct OrderRecord {
    invoice_no: String,
    first_ts: String,
    customer_id: String,
    country: String,
    lines: usize,
}

#[derive(Deserialize)]
struct LineRecord {
    invoice_no: String,
    stock_code: String,
    description: String,
    quantity: String,
    unit_price: String,
}

impl Invoice {
    pub(crate) fn kind(&self) -> Kind {
        match self.number.chars().next() {
            Some('C' | 'c') => Kind::Cancel,
            Some('A' | 'a') => Kind::Adjustment,
            _ if !self.lines.is_empty() && self.lines.iter().all(|line| line.units < 0) => {
                Kind::WriteOff
            }
            _ => Kind::Sale,
        }
    }
}

impl Line {
    /// Units times price, exactly, in ten-thousandths.
    pub(crate) fn value(&self) -> i128 {
        i128::from(self.units) * i128::from(self.price)
    }

    /// Why this line of a sale cannot be ordered: a reason and a sentence.
    pub(crate) fn refusal(&self) -> Option<(&'static str, String)> {
        if self.code.trim().is_empty() {
            return Some(("NO_STOCK_CODE", "a line needs a stock code".to_owned()));
        }
        if self.price < 0 {
            return Some(("NEGATIVE_PRICE", "a price cannot be below 0".to_owned()));
        }
        if self.units < 1 {
            let sentence = format!("a sale cannot have {} units of {}", self.units, self.code);
            return Some(("NOT_POSITIVE_UNITS", sentence));
        }
        if u32::try_from(self.units).is_err() {
            return Some(("TOO_MANY_UNITS", format!("{} units are too many", self.units)));
        }
        None
    }
}

/// Whether a code names something that lies on a shelf; the others are postage, fees, discounts
/// and vouchers.
pub(crate) fn is_goods(code: &str) -> bool {
    let no_goods = ["POST", "DOT", "C2", "M", "m", "D", "S", "BANK CHARGES", "AMAZONFEE"];
    !no_goods.contains(&code) && !code.starts_with("gift_0001_")
}

/// Whether a path names a shop's books: a directory, or a file whose first line says so.
pub(crate) fn are_books(path: &Path) -> bool {
    let first_line = || {
        let file = std::fs::File::open(path).ok()?;
        let mut line = String::new();
        // As much of it as a header can have; what is no text is no header of ours.
        BufReader::new(file.take(MAX_HEADER)).read_line(&mut line).ok()?;
        Some(line)
    };
    path.is_dir() || first_line().is_some_and(|line| line.contains("invoice_no"))
}

/// Reads `orders.csv` and `lines.csv` of a directory; a file stands for its directory.
pub(crate) fn read(path: &Path) -> anyhow::Result<Books> {
    let directory = if path.is_dir() {
        path.to_path_buf()
    } else {
        path.parent().map(Path::to_path_buf).unwrap_or_default()
    };
    if !path.exists() {
        bail!("there is no {}", path.display());
    }
    let mut refused = Vec::new();
    let orders = open(&directory.join(ORDERS))?;
    let lines = open(&directory.join(LINES))?;
    let mut invoices = read_orders(orders, &mut refused)?;
    read_lines(lines, &mut invoices, &mut refused)?;
    let invoices = invoices.finish(&mut refused);
    Ok(Books { invoices, refused, directory })
}

fn open(file: &Path) -> anyhow::Result<csv::Reader<std::fs::File>> {
    // A row that is too short is refused like any other, not the whole file.
    let reader = csv::ReaderBuilder::new().flexible(true).from_path(file);
    reader.with_context(|| format!("cannot read {}", file.display()))
}

/// The next row as text; one that is no text is refused.
fn readable(
    file: &'static str,
    record: Result<csv::StringRecord, csv::Error>,
    refused: &mut Vec<Row>,
) -> anyhow::Result<Option<csv::StringRecord>> {
    let error = match record {
        Ok(record) => return Ok(Some(record)),
        Err(error) => error,
    };
    let csv::ErrorKind::Utf8 { pos, .. } = error.kind() else { return Err(error.into()) };
    let row = pos.as_ref().map(csv::Position::line).unwrap_or_default();
    let refusal = Row::new(file, row, "", Outcome::Refused);
    refused.push(refusal.because("UNREADABLE", "this row is not UTF-8"));
    Ok(None)
}

/// Invoices by number, in the order of the file, each with the number of lines it should have.
struct Invoices {
    rows: Vec<(Invoice, usize)>,
    index: HashMap<String, usize>,
}

impl Invoices {
    fn finish(self, refused: &mut Vec<Row>) -> Vec<Invoice> {
        let mut invoices = Vec::with_capacity(self.rows.len());
        for (invoice, promised) in self.rows {
            let found = invoice.lines.len();
            let row = |reason, sentence| {
                let row = Row::new(ORDERS, invoice.row, &invoice.number, Outcome::Refused);
                row.because(reason, sentence)
            };
            if found == 0 {
                refused.push(row("NO_LINES", "no line of this invoice could be read".to_owned()));
                continue;
            }
            if found != promised {
                let sentence = format!("{found} of its {promised} lines could be read");
                refused.push(row("LINES_MISSING", sentence));
            }
            invoices.push(invoice);
        }
        invoices
    }
}

fn read_orders<R: Read>(
    mut reader: csv::Reader<R>,
    refused: &mut Vec<Row>,
) -> anyhow::Result<Invoices> {
    let mut invoices = Invoices { rows: Vec::new(), index: HashMap::new() };
    let headers = reader.headers()?.clone();
    for record in reader.into_records() {
        let Some(record) = readable(ORDERS, record, refused)? else { continue };
        let row = line_of(&record);
        let no = |reason, sentence: String| {
            let number = record.get(0).unwrap_or_default();
            Row::new(ORDERS, row, number, Outcome::Refused).because(reason, sentence)
        };
        let read: OrderRecord = match record.deserialize(Some(&headers)) {
            Ok(read) => read,
            Err(error) => {
                refused.push(no("UNREADABLE", error.to_string()));
                continue;
            }
        };
        if read.invoice_no.trim().is_empty() {
            refused.push(no("NO_NUMBER", "an invoice needs a number".to_owned()));
            continue;
        }
        if invoices.index.contains_key(&read.invoice_no) {
            refused.push(no("TWICE", "this invoice stands in an earlier row".to_owned()));
            continue;
        }
        invoices.index.insert(read.invoice_no.clone(), invoices.rows.len());
        let invoice = Invoice {
            number: read.invoice_no,
            row,
            first_ts: read.first_ts,
            customer: read.customer_id.trim().to_owned(),
            country: read.country,
            lines: Vec::new(),
        };
        invoices.rows.push((invoice, read.lines));
    }
    Ok(invoices)
}

fn read_lines<R: Read>(
    mut reader: csv::Reader<R>,
    invoices: &mut Invoices,
    refused: &mut Vec<Row>,
) -> anyhow::Result<()> {
    let headers = reader.headers()?.clone();
    for record in reader.into_records() {
        let Some(record) = readable(LINES, record, refused)? else { continue };
        let row = line_of(&record);
        let no = |reason, sentence: String| {
            let name = record.iter().take(2).collect::<Vec<_>>().join("/");
            Row::new(LINES, row, &name, Outcome::Refused).because(reason, sentence)
        };
        let read: LineRecord = match record.deserialize(Some(&headers)) {
            Ok(read) => read,
            Err(error) => {
                refused.push(no("UNREADABLE", error.to_string()));
                continue;
            }
        };
        let position = invoices.index.get(&read.invoice_no);
        let invoice = position.and_then(|position| invoices.rows.get_mut(*position));
        let Some((invoice, _)) = invoice else {
            let sentence = format!("{ORDERS} has no invoice {}", read.invoice_no);
            refused.push(no("NO_INVOICE", sentence));
            continue;
        };
        match line(read, row) {
            Ok(line) => invoice.lines.push(line),
            Err((reason, sentence)) => refused.push(no(reason, sentence)),
        }
    }
    Ok(())
}

fn line(read: LineRecord, row: u64) -> Result<Line, (&'static str, String)> {
    let quantity = read.quantity.trim();
    let units = quantity
        .parse()
        .map_err(|_| ("BAD_QUANTITY", format!("quantity \"{quantity}\" is no whole number")))?;
    let price = parse_amount(read.unit_price.trim());
    let price = price.map_err(|error| ("BAD_PRICE", format!("unit_price {error}")))?;
    Ok(Line { row, code: read.stock_code, description: read.description, units, price })
}

fn line_of(record: &csv::StringRecord) -> u64 {
    record.position().map(csv::Position::line).unwrap_or_default()
}

#[cfg(test)]
mod tests;
