//! The sums of a shop's books, exactly.

use std::collections::{BTreeMap, BTreeSet};

use nexus_runtime::money::round_to_minor_unit;

use super::retail::{Invoice, Kind};

pub(crate) const CURRENCY: &str = "GBP";

/// How much of one kind there is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Share {
    pub(crate) invoices: u64,
    pub(crate) lines: u64,
    /// Ten-thousandths, nothing rounded.
    pub(crate) value: i128,
}

/// All that is counted and summed.
#[derive(Clone, Debug, Default)]
pub(crate) struct Figures {
    pub(crate) kinds: BTreeMap<Kind, Share>,
    pub(crate) no_customer: u64,
    pub(crate) repeating_a_code: u64,
    pub(crate) most_lines: u64,
    pub(crate) price_zero: u64,
    pub(crate) price_negative: u64,
    pub(crate) no_description: u64,
    pub(crate) no_product_code: u64,
    /// Units sold less units taken back and written off, by stock code.
    pub(crate) net_units: BTreeMap<String, i64>,
    pub(crate) first_ts: String,
    pub(crate) last_ts: String,
}

impl Figures {
    pub(crate) fn of(invoices: &[Invoice]) -> Self {
        let mut figures = Self::default();
        for invoice in invoices {
            figures.add(invoice);
        }
        figures
    }

    fn add(&mut self, invoice: &Invoice) {
        let lines = u64::try_from(invoice.lines.len()).unwrap_or(u64::MAX);
        let share = self.kinds.entry(invoice.kind()).or_default();
        share.invoices += 1;
        share.lines += lines;
        self.most_lines = self.most_lines.max(lines);
        self.no_customer += u64::from(invoice.customer.is_empty());
        let codes: BTreeSet<_> = invoice.lines.iter().map(|line| &line.code).collect();
        self.repeating_a_code += u64::from(codes.len() < invoice.lines.len());
        if self.first_ts.is_empty() {
            invoice.first_ts.clone_into(&mut self.first_ts);
        }
        invoice.first_ts.clone_into(&mut self.last_ts);
        for line in &invoice.lines {
            share.value += line.value();
            self.price_zero += u64::from(line.price == 0);
            self.price_negative += u64::from(line.price < 0);
            self.no_description += u64::from(line.description.is_empty());
            self.no_product_code += u64::from(!begins_with_five_digits(&line.code));
            match self.net_units.get_mut(&line.code) {
                Some(units) => *units += line.units,
                None => drop(self.net_units.insert(line.code.clone(), line.units)),
            }
        }
    }

    pub(crate) fn share(&self, kind: Kind) -> Share {
        self.kinds.get(&kind).copied().unwrap_or_default()
    }

    pub(crate) fn invoices(&self) -> u64 {
        self.kinds.values().map(|share| share.invoices).sum()
    }

    pub(crate) fn lines(&self) -> u64 {
        self.kinds.values().map(|share| share.lines).sum()
    }

    pub(crate) fn net_value(&self) -> i128 {
        self.kinds.values().map(|share| share.value).sum()
    }

    /// SHA-256 over `CODE=UNITS`, a line each, by code.
    pub(crate) fn net_units_sha256(&self) -> String {
        let lines = self.net_units.iter().map(|(code, units)| format!("{code}={units}"));
        let text = lines.collect::<Vec<_>>().join("\n");
        hex::encode(aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, text.as_bytes()))
    }
}

/// What the API should answer as the total of a sale: line by line, rounded to the minor unit.
pub(crate) fn total_of_order(invoice: &Invoice) -> i128 {
    let lines = invoice.lines.iter().filter(|line| line.refusal().is_none());
    let rounded = |value: i128| match i64::try_from(value) {
        Ok(value) => i128::from(round_to_minor_unit(value, CURRENCY)),
        Err(_) => value,
    };
    lines.map(|line| rounded(line.value())).sum()
}

/// Ten-thousandths as a decimal text, with two decimals at least.
pub(crate) fn decimal(value: i128) -> String {
    let sign = if value < 0 { "-" } else { "" };
    let absolute = value.unsigned_abs();
    let mut fraction = format!("{:04}", absolute % 10_000);
    while fraction.len() > 2 && fraction.ends_with('0') {
        fraction.pop();
    }
    format!("{sign}{}.{fraction}", absolute / 10_000)
}

fn begins_with_five_digits(code: &str) -> bool {
    let first: Vec<char> = code.chars().take(5).collect();
    !first.is_empty() && first.iter().all(char::is_ascii_digit)
}

#[cfg(test)]
mod tests {
    use super::super::retail::Line;
    use super::*;

    fn line(code: &str, units: i64, price: i64) -> Line {
        Line { row: 2, code: code.to_owned(), description: String::new(), units, price }
    }

    fn invoice(number: &str, lines: Vec<Line>) -> Invoice {
        Invoice {
            number: number.to_owned(),
            row: 2,
            first_ts: "2010-12-01T08:26".to_owned(),
            customer: String::new(),
            country: "United Kingdom".to_owned(),
            lines,
        }
    }

    #[test]
    fn sums_are_exact_and_kept_by_kind() {
        let figures = Figures::of(&[
            invoice("1", vec![line("85036B", 3, 10), line("85036b", 74_215, 10_400)]),
            invoice("C2", vec![line("85036b", -74_215, 10_400)]),
            invoice("3", vec![line("85036B", -5, 0)]),
        ]);
        assert_eq!(decimal(figures.share(Kind::Sale).value), "77183.603");
        assert_eq!(decimal(figures.share(Kind::Cancel).value), "-77183.60");
        assert_eq!(figures.share(Kind::WriteOff).invoices, 1);
        assert_eq!(decimal(figures.net_value()), "0.003");
        assert_eq!(figures.net_units.get("85036B"), Some(&-2));
        assert_eq!(figures.net_units.get("85036b"), Some(&0));
        assert_eq!((figures.price_zero, figures.no_customer, figures.most_lines), (1, 3, 2));
    }

    #[test]
    fn the_total_of_an_order_rounds_line_by_line_and_leaves_refused_lines_out() {
        let lines = vec![line("A", 5, 10), line("A", 4, 10), line("A", -1, 10_000)];
        assert_eq!(decimal(total_of_order(&invoice("1", lines))), "0.01");
    }

    #[test]
    fn a_product_code_begins_with_five_digits() {
        for (code, is) in [("85123A", true), ("POST", false), ("DCGS0003", false), ("", false)] {
            assert_eq!(begins_with_five_digits(code), is, "{code}");
        }
    }

    #[test]
    fn amounts_have_two_decimals_at_least() {
        assert_eq!(decimal(18_482_495_600), "1848249.56");
        assert_eq!(decimal(-10), "-0.001");
        assert_eq!(decimal(0), "0.00");
    }
}
