//! Figures that somebody else worked out, held against ours.

use std::path::Path;

use anyhow::Context;
use nexus_runtime::money::parse_amount;
use serde_json::Value;

use super::figures::{Figures, Share, decimal};
use super::retail::Kind;

const FILE: &str = "expected.json";

/// A figure on which two sides do not agree.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Difference {
    pub(crate) figure: String,
    pub(crate) expected: String,
    pub(crate) found: String,
}

/// What a comparison brought.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Comparison {
    pub(crate) compared: usize,
    pub(crate) differences: Vec<Difference>,
}

/// The expected figures beside the books, if there are any.
pub(crate) fn beside(directory: &Path) -> anyhow::Result<Option<Value>> {
    let file = directory.join(FILE);
    if !file.exists() {
        return Ok(None);
    }
    let text = std::fs::read_to_string(&file)
        .with_context(|| format!("cannot read {}", file.display()))?;
    let value = serde_json::from_str(&text);
    value.map(Some).with_context(|| format!("{} is not JSON", file.display()))
}

/// Compares every figure that both sides have.
pub(crate) fn compare(expected: &Value, figures: &Figures) -> Comparison {
    let mut comparison = Comparison::default();
    let net_units: i64 = figures.net_units.values().sum();
    let totals = [
        ("invoices", figures.invoices().to_string()),
        ("lines", figures.lines().to_string()),
        ("first_ts", spelled(&figures.first_ts)),
        ("last_ts", spelled(&figures.last_ts)),
        ("stock_codes", figures.net_units.len().to_string()),
        ("net_value_gbp", decimal(figures.net_value())),
        ("net_units", net_units.to_string()),
        ("net_units_by_stock_code_sha256", figures.net_units_sha256()),
    ];
    for (name, found) in totals {
        comparison.figure(name, expected.get(name), found);
    }
    let counts = expected.get("counts");
    for (name, found) in counted(figures) {
        let wanted = counts.and_then(|counts| counts.get(&name));
        comparison.figure(&name, wanted, found.to_string());
    }
    comparison
}

fn counted(figures: &Figures) -> Vec<(String, u64)> {
    let kinds = [
        (Kind::Sale, "sale"),
        (Kind::Cancel, "cancel"),
        (Kind::WriteOff, "stock_write_off"),
        (Kind::Adjustment, "adjust"),
    ];
    let mut counted = Vec::new();
    for (kind, name) in kinds {
        let Share { invoices, lines, .. } = figures.share(kind);
        counted.push((name.to_owned(), invoices));
        counted.push((format!("lines_{name}"), lines));
    }
    let others = [
        ("invoices_no_customer", figures.no_customer),
        ("invoices_repeating_a_stock_code", figures.repeating_a_code),
        ("max_lines_in_one_invoice", figures.most_lines),
        ("lines_price_zero", figures.price_zero),
        ("lines_price_negative", figures.price_negative),
        ("lines_description_empty", figures.no_description),
        ("lines_code_not_a_product", figures.no_product_code),
    ];
    counted.extend(others.map(|(name, count)| (name.to_owned(), count)));
    counted
}

impl Comparison {
    fn figure(&mut self, name: &str, expected: Option<&Value>, found: String) {
        let expected = match expected {
            None => return,
            Some(Value::String(text)) => text.clone(),
            Some(other) => other.to_string(),
        };
        self.compared += 1;
        let same = expected == found
            || matches!((parse_amount(&expected), parse_amount(&found)), (Ok(a), Ok(b)) if a == b);
        if !same {
            self.differences.push(Difference { figure: name.to_owned(), expected, found });
        }
    }
}

/// `2010-12-01T08:26` as `2010-12-01 08:26:00`.
fn spelled(timestamp: &str) -> String {
    let text = timestamp.replace('T', " ");
    if text.len() == 16 { format!("{text}:00") } else { text }
}

#[cfg(test)]
mod tests {
    use super::super::retail;
    use super::*;
    use serde_json::json;

    #[test]
    fn a_difference_names_both_numbers() {
        let figures = Figures::default();
        let expected =
            json!({"invoices": 1, "net_value_gbp": "0.0", "counts": {"sale": 0, "cancel": 2}});
        let comparison = compare(&expected, &figures);
        assert_eq!(comparison.compared, 4);
        let named: Vec<_> = comparison.differences.iter().map(|d| d.figure.as_str()).collect();
        assert_eq!(named, ["invoices", "cancel"]);
        assert_eq!(comparison.differences[0].expected, "1");
        assert_eq!(comparison.differences[0].found, "0");
    }

    #[test]
    #[expect(clippy::disallowed_methods, reason = "names the folder of the real rows")]
    fn the_real_rows_give_exactly_the_expected_figures() {
        // The rows are no part of the repository; the lane that has them names their folder.
        let Ok(folder) = std::env::var("NEXUS_TEST_DATA") else { return };
        let folder = Path::new(&folder).join("online-retail");
        let books = retail::read(&folder).unwrap();
        assert!(books.refused.is_empty());
        let expected = beside(&folder).unwrap().unwrap();
        let comparison = compare(&expected, &Figures::of(&books.invoices));
        assert_eq!(comparison.differences, []);
        assert_eq!(comparison.compared, 21);
    }
}
