//! Which orders, products and contacts the books ask for; all else is answered with a reason.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Value, json};

use super::super::countries;
use super::super::figures::{CURRENCY, total_of_order};
use super::super::report::{Outcome, Report, Row};
use super::super::retail::{Invoice, Kind, LINES, Line, ORDERS, is_goods};

/// What the order service takes.
const MOST_LINES: usize = 2_000;

/// What is to be sent.
#[derive(Default)]
pub(crate) struct Plan<'a> {
    pub(crate) orders: Vec<&'a Invoice>,
    /// Every stock code of these orders, with where it stands first and its name.
    pub(crate) products: BTreeMap<&'a str, Named<'a>>,
    pub(crate) customers: BTreeSet<&'a str>,
}

/// How the books call a product.
#[derive(Clone, Copy)]
pub(crate) struct Named<'a> {
    pub(crate) row: u64,
    pub(crate) name: &'a str,
}

impl<'a> Plan<'a> {
    /// Takes the sales, at most `limit` of them, and answers the other rows.
    pub(crate) fn of(invoices: &'a [Invoice], limit: Option<usize>, report: &mut Report) -> Self {
        let mut plan = Self::default();
        for invoice in invoices {
            if limit.is_some_and(|limit| plan.orders.len() >= limit) {
                break;
            }
            match invoice.kind() {
                Kind::Sale => plan.sale(invoice, report),
                Kind::Cancel => report.add(set_aside(
                    invoice,
                    "CANCELLATION",
                    "takes back lines of earlier orders; it is no order of its own",
                )),
                Kind::WriteOff => report.add(set_aside(
                    invoice,
                    "STOCK_WRITE_OFF",
                    "goods that were lost or broken: a correction of stock, no order",
                )),
                Kind::Adjustment => report.add(set_aside(
                    invoice,
                    "ADJUSTMENT",
                    "a correction of the books, no goods",
                )),
            }
        }
        plan
    }

    fn sale(&mut self, invoice: &'a Invoice, report: &mut Report) {
        for line in &invoice.lines {
            if let Some((reason, sentence)) = line.refusal() {
                let name = format!("{}/{}", invoice.number, line.code);
                let row = Row::new(LINES, line.row, &name, Outcome::Refused);
                report.add(row.because(reason, sentence));
            }
        }
        if let Some((reason, sentence)) = refusal(invoice) {
            let row = Row::new(ORDERS, invoice.row, &invoice.number, Outcome::Refused);
            report.add(row.because(reason, sentence));
            return;
        }
        for line in taken(invoice) {
            let name = line.description.trim();
            let first = Named { row: line.row, name };
            let known = self.products.entry(line.code.as_str()).or_insert(first);
            if known.name.is_empty() {
                known.name = name;
            }
        }
        if !invoice.customer.is_empty() {
            self.customers.insert(&invoice.customer);
        }
        self.orders.push(invoice);
    }

    /// What all orders together should cost.
    pub(crate) fn total(&self) -> i128 {
        self.orders.iter().map(|invoice| total_of_order(invoice)).sum()
    }

    /// The same with nothing rounded.
    pub(crate) fn exactly(&self) -> i128 {
        self.orders.iter().flat_map(|invoice| taken(invoice)).map(Line::value).sum()
    }

    /// For a dry run: what would be sent.
    pub(crate) fn announce(&self, report: &mut Report) {
        report.extend(self.orders.iter().map(|invoice| {
            let row = Row::new(ORDERS, invoice.row, &invoice.number, Outcome::Planned);
            Row { amount: super::decimal(total_of_order(invoice)), ..row }
        }));
        println!(
            "dry run: {} orders, {} products and {} known customers would be sent",
            self.orders.len(),
            self.products.len(),
            self.customers.len()
        );
    }
}

fn set_aside(invoice: &Invoice, reason: &str, sentence: &str) -> Row {
    let row = Row::new(ORDERS, invoice.row, &invoice.number, Outcome::SetAside);
    row.because(reason, sentence)
}

/// The lines of a sale that can be ordered.
fn taken(invoice: &Invoice) -> impl Iterator<Item = &Line> {
    invoice.lines.iter().filter(|line| line.refusal().is_none())
}

fn refusal(invoice: &Invoice) -> Option<(&'static str, String)> {
    let lines = taken(invoice).count();
    if lines == 0 {
        return Some(("NO_LINES_LEFT", "none of its lines can be ordered".to_owned()));
    }
    if lines > MOST_LINES {
        let sentence = format!("{lines} lines are more than the {MOST_LINES} of one order");
        return Some(("TOO_MANY_LINES", sentence));
    }
    if countries::code_of(&invoice.country).is_none() {
        let sentence = format!("\"{}\" is no country that we know", invoice.country);
        return Some(("UNKNOWN_COUNTRY", sentence));
    }
    None
}

/// The product of a stock code.
pub(crate) fn product(code: &str, named: Named<'_>) -> Value {
    let name = if named.name.is_empty() { code } else { named.name };
    json!({"sku": code, "name": name, "stocked": is_goods(code)})
}

/// The order of a sale.
pub(crate) fn order(invoice: &Invoice, contact_id: &str) -> Value {
    let lines: Vec<_> = taken(invoice)
        .map(|line| {
            let amount = super::decimal(i128::from(line.price));
            let price = json!({"amount": amount, "currency": CURRENCY});
            json!({"sku": line.code, "units": line.units, "unit_price": price})
        })
        .collect();
    let country = invoice.country.trim();
    json!({
        "contact_id": contact_id,
        "external_reference": invoice.number,
        "currency": CURRENCY,
        "payment": {"method": "prepaid"},
        // The books know the country only.
        "shipping_address": {
            "country": countries::code_of(country).unwrap_or_default(),
            "city": country,
            "line1": "not stated in the imported file",
        },
        "lines": lines,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(code: &str, description: &str, units: i64) -> Line {
        let (code, description) = (code.to_owned(), description.to_owned());
        Line { row: 2, code, description, units, price: 25_500 }
    }

    fn invoice(number: &str, country: &str, lines: Vec<Line>) -> Invoice {
        Invoice {
            number: number.to_owned(),
            row: 2,
            first_ts: String::new(),
            customer: "17850".to_owned(),
            country: country.to_owned(),
            lines,
        }
    }

    fn reasons(report: &Report) -> Vec<(Outcome, String)> {
        let counts = report.counts();
        counts.keys().map(|(outcome, reason)| (*outcome, (*reason).to_owned())).collect()
    }

    #[test]
    fn sales_are_planned_and_everything_else_is_answered() {
        let invoices = [
            invoice("1", "EIRE", vec![line("A", "  a name ", 1), line("B", "", -1)]),
            invoice("C2", "EIRE", vec![line("A", "", -1)]),
            invoice("3", "EIRE", vec![line("A", "", -1)]),
            invoice("4", "EIRE", vec![line("A", "", 0)]),
            invoice("5", "Unspecified", vec![line("A", "", 1)]),
            invoice("6", "EIRE", vec![line("A", "", 1); 2_001]),
        ];
        let mut report = Report::default();
        let plan = Plan::of(&invoices, None, &mut report);
        assert_eq!(plan.orders.len(), 1);
        assert_eq!(plan.products.keys().collect::<Vec<_>>(), [&"A"]);
        let refused = |reason: &str| (Outcome::Refused, reason.to_owned());
        assert_eq!(
            reasons(&report),
            [
                (Outcome::SetAside, "CANCELLATION".to_owned()),
                (Outcome::SetAside, "STOCK_WRITE_OFF".to_owned()),
                refused("NOT_POSITIVE_UNITS"),
                refused("NO_LINES_LEFT"),
                refused("TOO_MANY_LINES"),
                refused("UNKNOWN_COUNTRY"),
            ]
        );
    }

    #[test]
    fn a_limit_counts_orders() {
        let sale = |number| invoice(number, "EIRE", vec![line("A", "", 1)]);
        let invoices = [sale("1"), sale("C2"), sale("3"), sale("4")];
        let plan = Plan::of(&invoices, Some(2), &mut Report::default());
        let numbers: Vec<_> = plan.orders.iter().map(|one| one.number.as_str()).collect();
        assert_eq!(numbers, ["1", "3"]);
    }

    #[test]
    fn a_product_without_a_description_is_called_by_its_code() {
        let invoices = [
            invoice("1", "EIRE", vec![line("A", "", 1), line("POST", "POSTAGE", 1)]),
            invoice("2", "EIRE", vec![line("A", " CUP ", 1), line("B", " ", 1)]),
        ];
        let plan = Plan::of(&invoices, None, &mut Report::default());
        let made: Vec<_> =
            plan.products.iter().map(|(code, named)| product(code, *named)).collect();
        assert_eq!(
            made,
            [
                json!({"sku": "A", "name": "CUP", "stocked": true}),
                json!({"sku": "B", "name": "B", "stocked": true}),
                json!({"sku": "POST", "name": "POSTAGE", "stocked": false}),
            ]
        );
    }

    #[test]
    fn an_order_takes_prices_as_found_and_leaves_refused_lines_out() {
        let mut cheap = line("A", "", 3);
        cheap.price = 10;
        let body = order(&invoice("1", "EIRE", vec![cheap, line("B", "", -1)]), "c-1");
        let price = json!({"amount": "0.001", "currency": "GBP"});
        assert_eq!(body["lines"], json!([{"sku": "A", "units": 3, "unit_price": price}]));
        assert_eq!(body["shipping_address"]["country"], "IE");
        assert_eq!(body["external_reference"], "1");
    }
}
