//! `nexus import orders`: one order for each sale of a shop's books, and an answer for every row.
//! A file of our own columns goes through `orders/file.rs`.
//! *Invariant:* an invoice is one idempotency key, so that a second run finds what the first made.

mod file;
mod plan;
mod rows;
mod send;

use std::process::ExitCode;

use anyhow::Context;
use nexus_runtime::money::parse_amount;
use serde_json::Value;

use super::expected::{self, Comparison, Difference};
use super::figures::{CURRENCY, Figures, Share, decimal};
use super::report::{Outcome, Report};
use super::retail::{self, Kind};
use crate::cli::ImportOrdersArgs;
use plan::Plan;
use send::Sent;

/// Reasons that are shown with an example each.
const EXAMPLES: usize = 5;

pub(crate) async fn run(args: &ImportOrdersArgs) -> anyhow::Result<ExitCode> {
    if !retail::are_books(&args.file) {
        return file::run(args).await;
    }
    let books = retail::read(&args.file)?;
    let expected = expected::beside(&books.directory)?;
    let figures = Figures::of(&books.invoices);
    println!("{}", summary(&figures));
    let mut report = Report::default();
    report.extend(books.refused);
    let plan = Plan::of(&books.invoices, args.limit, &mut report);
    let sent = if args.dry_run {
        plan.announce(&mut report);
        Ok(None)
    } else {
        let client = match super::reach(&args.reach).await {
            Ok(client) => client,
            Err(code) => return Ok(code),
        };
        send::send(&plan, &client, args.confirm, &mut report).await.map(Some)
    };
    let path = report.write(&args.reach.data)?;
    tell(&report);
    println!("report: {}", path.display());
    let sent = sent.context("the import stopped: run it again, it goes on from here")?;
    let mut comparison = Comparison::default();
    if let Some(expected) = &expected {
        comparison = expected::compare(expected, &figures);
    }
    if let Some(sent) = &sent {
        let whole = args.limit.is_none();
        let expected = expected.as_ref().filter(|_| whole);
        answered(&mut comparison, expected, &figures, &plan, sent);
    }
    Ok(verdict(&comparison))
}

fn summary(figures: &Figures) -> String {
    let line = |name: &str, kind: Kind| {
        let Share { invoices, lines, value } = figures.share(kind);
        format!("  {name:<14}{invoices:>8} {lines:>10} {:>16}", decimal(value))
    };
    let total = decimal(figures.net_value());
    [
        format!("  {:<14}{:>8} {:>10} {:>16}", "", "invoices", "lines", "GBP"),
        line("sales", Kind::Sale),
        line("cancellations", Kind::Cancel),
        line("write-offs", Kind::WriteOff),
        line("adjustments", Kind::Adjustment),
        format!("  {:<14}{:>8} {:>10} {total:>16}", "all", figures.invoices(), figures.lines()),
    ]
    .join("\n")
}

/// What became of the rows, and some of what was refused.
fn tell(report: &Report) {
    println!("rows:");
    for ((outcome, reason), count) in report.counts() {
        println!("  {count:>8}  {outcome} {reason}");
    }
    for row in report.refused().take(EXAMPLES) {
        println!("  {}:{} {}: {}", row.file, row.row, row.record, row.detail);
    }
    let existing = report.rows_of(Outcome::Existing);
    if existing > 0 && report.rows_of(Outcome::Created) == 0 {
        println!("nothing was added: all {existing} orders were there already");
    }
}

/// Holds what the API answered against the books.
fn answered(
    comparison: &mut Comparison,
    expected: Option<&Value>,
    figures: &Figures,
    plan: &Plan<'_>,
    sent: &Sent,
) {
    let planned = plan.total();
    let rounding = plan.exactly() - planned;
    if rounding != 0 {
        println!("rounding line by line leaves {} {CURRENCY} out of the orders", decimal(rounding));
    }
    comparison.hold("sales as the API answered them", planned, sent.total);
    comparison.same("orders the API has", &plan.orders.len(), &sent.orders);
    let net = expected.and_then(|expected| expected.get("net_value_gbp")?.as_str());
    if let Some(net) = net.and_then(|text| parse_amount(text).ok()) {
        // Cancellations and write-offs are no orders: their share comes from the books.
        let others = figures.net_value() - planned;
        let name = "net_value_gbp with the API's sales";
        comparison.hold(name, i128::from(net), sent.total + others);
    }
}

impl Comparison {
    fn hold(&mut self, figure: &str, expected: i128, found: i128) {
        self.same(figure, &decimal(expected), &decimal(found));
    }

    fn same<T: ToString + PartialEq>(&mut self, figure: &str, expected: &T, found: &T) {
        self.compared += 1;
        if expected != found {
            self.differences.push(Difference {
                figure: figure.to_owned(),
                expected: expected.to_string(),
                found: found.to_string(),
            });
        }
    }
}

fn verdict(comparison: &Comparison) -> ExitCode {
    for Difference { figure, expected, found } in &comparison.differences {
        println!("differs: {figure}: expected {expected}, found {found}");
    }
    if !comparison.differences.is_empty() {
        return ExitCode::FAILURE;
    }
    println!("{} figures agree", comparison.compared);
    ExitCode::SUCCESS
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_api_answered_is_held_against_the_books() {
        let (figures, mut report) = (Figures::default(), Report::default());
        let plan = Plan::of(&[], None, &mut report);
        let sent = Sent { orders: 1, total: 20_000 };
        let mut comparison = Comparison::default();
        answered(&mut comparison, None, &figures, &plan, &sent);
        let told: Vec<_> =
            comparison.differences.iter().map(|d| (&*d.expected, &*d.found)).collect();
        assert_eq!(told, [("0.00", "2.00"), ("0", "1")]);
    }

    #[test]
    fn the_summary_is_a_table_by_kind() {
        let text = summary(&Figures::default());
        assert_eq!(text.lines().count(), 6);
        assert!(text.contains("cancellations        0          0             0.00"), "{text}");
    }
}
