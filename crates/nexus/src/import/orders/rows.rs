//! Orders as rows: each row one line of an order, the rows of one order under one reference.
//! *Invariant:* an order is wished for with all of its rows or not at all.

use std::collections::HashMap;

use serde_json::{Map, Value, json};

use super::super::csv_file::{Columns, CsvFile, Fields, Wrong};
use super::super::report::Report;

pub(super) const COLUMNS: Columns = &[
    ("reference", true),
    ("name", true),
    ("phone", false),
    ("email", false),
    ("language", false),
    ("contact_reference", false),
    ("country", true),
    ("governorate", false),
    ("city", true),
    ("district", false),
    ("line1", true),
    ("line2", false),
    ("building", false),
    ("floor", false),
    ("apartment", false),
    ("postal_code", false),
    ("currency", true),
    ("payment", true),
    ("paid", false),
    ("shipping_fee", false),
    ("order_discount", false),
    ("prices_include_tax", false),
    ("notes", false),
    ("sku", true),
    ("units", true),
    ("unit_price", true),
    ("discount", false),
    ("tax_rate", false),
];
/// Columns that say something of one line; all others are of the order.
const OF_LINE: [&str; 5] = ["sku", "units", "unit_price", "discount", "tax_rate"];
const REFERENCE: &str = "reference";
const ADDRESS: [&str; 10] = [
    "country",
    "governorate",
    "city",
    "district",
    "line1",
    "line2",
    "building",
    "floor",
    "apartment",
    "postal_code",
];
/// What the order service takes.
const MOST_LINES: usize = 2_000;

/// An order that is asked for.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Wish {
    pub(super) reference: String,
    /// Lines of the file, in the order of its lines.
    pub(super) rows: Vec<u64>,
    pub(super) body: Value,
}

/// An order while its rows are read.
struct Draft<'a> {
    /// What its first row says of the order, by column.
    first: Vec<(&'static str, &'a str)>,
    first_row: u64,
    head: Map<String, Value>,
    currency: &'a str,
    lines: Vec<Value>,
    rows: Vec<u64>,
    broken: bool,
}

/// The orders of a file; rows that belong to none are answered in the report.
pub(super) fn wishes(file: &CsvFile, report: &mut Report) -> Vec<Wish> {
    report.extend(file.refused());
    let mut drafts: Vec<(&str, Draft<'_>)> = Vec::new();
    let mut places: HashMap<&str, usize> = HashMap::new();
    for mut fields in file.rows() {
        let reference = fields.required(REFERENCE);
        if !fields.wrong.is_empty() {
            tell(file, fields, reference, report);
            continue;
        }
        let place = *places.entry(reference).or_insert(drafts.len());
        if place == drafts.len() {
            drafts.push((reference, Draft::begin(&mut fields)));
        }
        let Some((_, draft)) = drafts.get_mut(place) else { continue };
        draft.same_order(&mut fields);
        let line = line(&mut fields, draft.currency);
        draft.lines.push(line);
        draft.rows.push(fields.row);
        if !fields.wrong.is_empty() {
            draft.broken = true;
            tell(file, fields, reference, report);
        }
    }
    drafts.into_iter().filter_map(|(reference, draft)| draft.end(file, reference, report)).collect()
}

fn tell(file: &CsvFile, fields: Fields<'_>, reference: &str, report: &mut Report) {
    let row = fields.row;
    report.extend(fields.wrong.into_iter().map(|wrong| wrong.at(&file.name, row, reference)));
}

impl<'a> Draft<'a> {
    fn begin(fields: &mut Fields<'a>) -> Self {
        let of_order = COLUMNS.iter().map(|(column, _)| *column);
        let of_order = of_order.filter(|column| !OF_LINE.contains(column));
        let first = of_order.map(|column| (column, fields.get(column))).collect();
        for (column, required) in COLUMNS {
            if *required && *column != REFERENCE && !OF_LINE.contains(column) {
                fields.required(column);
            }
        }
        let currency = fields.get("currency");
        Self {
            first,
            first_row: fields.row,
            head: head(fields, currency),
            currency,
            lines: Vec::new(),
            rows: Vec::new(),
            broken: false,
        }
    }

    /// A later row says of the order what the first one said, or nothing.
    fn same_order(&self, fields: &mut Fields<'_>) {
        for (column, first) in &self.first {
            let here = fields.get(column);
            if !here.is_empty() && here != *first {
                let row = self.first_row;
                let detail = format!("{column} is \"{here}\", and \"{first}\" in row {row}");
                let advice = "say it in the first row of an order only";
                fields.complain("DIFFERS", column, detail, advice);
            }
        }
    }

    fn end(self, file: &CsvFile, reference: &str, report: &mut Report) -> Option<Wish> {
        if self.broken {
            report.extend(incomplete(file, reference, &self.rows, &report.refused_rows()));
            return None;
        }
        let lines = self.lines.len();
        if lines > MOST_LINES {
            let detail = format!("{lines} lines are more than the {MOST_LINES} of one order");
            let wrong = Wrong::new("TOO_MANY_LINES", REFERENCE, detail, "make it several orders");
            report.add(wrong.at(&file.name, self.first_row, reference));
            report.extend(incomplete(file, reference, &self.rows, &report.refused_rows()));
            return None;
        }
        let mut body = self.head;
        body.insert("lines".to_owned(), self.lines.into());
        body.insert("external_reference".to_owned(), reference.into());
        Some(Wish { reference: reference.to_owned(), rows: self.rows, body: body.into() })
    }
}

/// Rows that are right, of an order that has another row that is not.
pub(super) fn incomplete(
    file: &CsvFile,
    reference: &str,
    rows: &[u64],
    refused: &std::collections::BTreeSet<u64>,
) -> Vec<super::super::report::Row> {
    let others = rows.iter().filter(|row| !refused.contains(row));
    others
        .map(|row| {
            let detail = "another row of this order is refused".to_owned();
            let advice = "mend that one; an order is made whole or not at all";
            Wrong::new("ORDER_INCOMPLETE", "", detail, advice).at(&file.name, *row, reference)
        })
        .collect()
}

/// What the first row says of the order.
fn head(fields: &mut Fields<'_>, currency: &str) -> Map<String, Value> {
    let texts = |fields: &Fields<'_>, columns: &[(&str, &str)]| -> Map<String, Value> {
        let said = columns.iter().map(|(name, column)| (*name, fields.get(column)));
        let said = said.filter(|(_, text)| !text.is_empty());
        said.map(|(name, text)| (name.to_owned(), text.into())).collect()
    };
    let contact = texts(
        fields,
        &[
            ("name", "name"),
            ("phone", "phone"),
            ("email", "email"),
            ("language", "language"),
            ("external_reference", "contact_reference"),
        ],
    );
    let address = texts(fields, &ADDRESS.map(|column| (column, column)));
    let mut payment = texts(fields, &[("method", "payment")]);
    if let Some(paid) = fields.amount("paid") {
        payment.insert("paid".to_owned(), money(paid, currency));
    }
    let mut head = Map::new();
    head.insert("contact".to_owned(), contact.into());
    head.insert("shipping_address".to_owned(), address.into());
    head.insert("currency".to_owned(), currency.into());
    head.insert("payment".to_owned(), payment.into());
    for (name, column) in [("shipping_fee", "shipping_fee"), ("discount", "order_discount")] {
        if let Some(amount) = fields.amount(column) {
            head.insert(name.to_owned(), money(amount, currency));
        }
    }
    if let Some(include) = fields.flag("prices_include_tax") {
        head.insert("prices_include_tax".to_owned(), include.into());
    }
    let notes = fields.get("notes");
    if !notes.is_empty() {
        head.insert("notes".to_owned(), json!([notes]));
    }
    head
}

fn line(fields: &mut Fields<'_>, currency: &str) -> Value {
    let mut line = json!({"sku": fields.required("sku")});
    for column in ["units", "unit_price"] {
        fields.required(column);
    }
    let units = fields.units("units", 1);
    let amounts = ["unit_price", "discount"].map(|column| (column, fields.amount(column)));
    let tax = fields.amount("tax_rate");
    if let Some(line) = line.as_object_mut() {
        line.insert("units".to_owned(), units.into());
        for (column, amount) in amounts {
            if let Some(amount) = amount {
                line.insert(column.to_owned(), money(amount, currency));
            }
        }
        if let Some(tax) = tax {
            line.insert("tax_rate".to_owned(), tax.into());
        }
    }
    line
}

fn money(amount: &str, currency: &str) -> Value {
    json!({"amount": amount, "currency": currency})
}

#[cfg(test)]
mod fuzz;
#[cfg(test)]
mod tests;
