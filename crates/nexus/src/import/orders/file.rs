//! A CSV file of orders: read, held against what is there, sent, and answered row by row.
//! *Invariant:* a reference is one order; whoever made it, it is not made again.

use std::process::ExitCode;

use serde_json::{Value, json};

use super::super::csv_file::{CsvFile, Wrong};
use super::super::problem::{advice, column_of, wrong_of};
use super::super::report::{Outcome, Report, Row};
use super::super::tables;
use super::rows::{self, Wish, incomplete};
use super::send::{Reply, asked, confirmation, confirmed, each};
use crate::cli::ImportOrdersArgs;
use crate::client::{Answer, CallError, Client, Problem, encoded, number, rows as list, text};

pub(super) async fn run(args: &ImportOrdersArgs) -> anyhow::Result<ExitCode> {
    let file = CsvFile::read(&args.file, "orders", rows::COLUMNS)?;
    let mut report = Report::default();
    let mut wishes = rows::wishes(&file, &mut report);
    let client = match super::super::reach_unless_dry(&args.reach, args.dry_run).await {
        Ok(client) => client,
        Err(code) => return Ok(code),
    };
    wishes.truncate(args.limit.unwrap_or(usize::MAX));
    let sent = if file.refused().next().is_some() {
        println!("nothing is sent: a row that cannot be read may belong to any order");
        wait(&file, &wishes, &mut report);
        Ok(())
    } else {
        match &client {
            Some(client) => bring(client, &file, wishes, args, &mut report).await,
            None => {
                report.extend(wishes.iter().flat_map(|wish| told(&file, wish, Outcome::Planned)));
                Ok(())
            }
        }
    };
    super::super::end(&mut report, &file, &args.reach.data, sent)
}

fn wait(file: &CsvFile, wishes: &[Wish], report: &mut Report) {
    let rows = wishes.iter().flat_map(|wish| told(file, wish, Outcome::Planned));
    let sentence = "not sent, since other rows cannot be read: mend them first";
    report.extend(rows.map(|row| row.because("WAITS", sentence)));
}

/// A row of the report for each row of an order.
fn told(file: &CsvFile, wish: &Wish, outcome: Outcome) -> impl Iterator<Item = Row> {
    let row = move |row: &u64| Row::new(&file.name, *row, &wish.reference, outcome);
    wish.rows.iter().map(row)
}

async fn bring(
    client: &Client,
    file: &CsvFile,
    wishes: Vec<Wish>,
    args: &ImportOrdersArgs,
    report: &mut Report,
) -> Result<(), CallError> {
    let products = tables::products(client).await?;
    let mut ready = Vec::with_capacity(wishes.len());
    for wish in wishes {
        let unknown = list(&wish.body, "lines").iter().zip(&wish.rows);
        let unknown = unknown.filter(|(line, _)| !products.contains_key(text(line, "sku")));
        let unknown: Vec<_> = unknown.map(|(line, row)| (*row, text(line, "sku"))).collect();
        if unknown.is_empty() {
            ready.push(wish);
            continue;
        }
        for (row, sku) in unknown {
            let detail = format!("there is no sku \"{sku}\"");
            let advice = "bring the product in first: nexus import products";
            let wrong = Wrong::new("UNKNOWN", "sku", detail, advice);
            report.add(wrong.at(&file.name, row, &wish.reference));
        }
        report.extend(incomplete(file, &wish.reference, &wish.rows, &report.refused_rows()));
    }
    let call = |wish: Wish| one(client, wish, args.dry_run, args.confirm);
    each("orders", ready.into_iter(), call, |(wish, became)| {
        report.extend(answer(file, &wish, &became));
    })
    .await
}

/// What became of an order.
enum Became {
    Planned,
    Refused(Problem),
    /// It is there now; whether it was before, and what asking for its stock brought.
    There {
        order: Value,
        before: bool,
        confirmed: Option<Reply>,
    },
}

async fn one(
    client: &Client,
    wish: Wish,
    dry: bool,
    confirm: bool,
) -> Result<(Wish, Became), CallError> {
    let found = found(client, &wish.reference).await?;
    let made = match found {
        Some(body) => Ok(Answer { body, replayed: true }),
        None if dry => return Ok((wish, Became::Planned)),
        None => {
            let key = format!("import-order-{}", encoded(&wish.reference));
            asked(client, "/v1/orders", &key, &wish.body).await?
        }
    };
    let made = match made {
        Ok(made) => made,
        Err(problem) => return Ok((wish, Became::Refused(problem))),
    };
    let confirmed = match confirm && !dry {
        true => Some(confirmed(client, &made).await?),
        false => None,
    };
    let there = Became::There { order: made.body, before: made.replayed, confirmed };
    Ok((wish, there))
}

/// The order that has this reference, whoever made it.
async fn found(client: &Client, reference: &str) -> Result<Option<Value>, CallError> {
    let mut token = String::new();
    loop {
        let query = json!({"query": reference, "page_size": 500, "page_token": token});
        let key = nexus_es::new_id().to_string();
        let page = match asked(client, "/v1/orders:search", &key, &query).await? {
            Ok(page) => page.body,
            // A reference that is no query names no order; the create says what is wrong with it.
            Err(_) => return Ok(None),
        };
        let same = |order: &&Value| text(order, "external_reference") == reference;
        if let Some(order) = list(&page, "orders").iter().find(same) {
            return Ok(Some(order.clone()));
        }
        text(&page, "next_page_token").clone_into(&mut token);
        if token.is_empty() {
            return Ok(None);
        }
    }
}

/// The rows of the report for an order.
fn answer(file: &CsvFile, wish: &Wish, became: &Became) -> Vec<Row> {
    let (order, before, confirmed) = match became {
        Became::Planned => return told(file, wish, Outcome::Planned).collect(),
        Became::Refused(problem) => return refused(file, wish, problem),
        Became::There { order, before, confirmed } => (order, *before, confirmed),
    };
    let outcome = if before { Outcome::Existing } else { Outcome::Created };
    let mut rows: Vec<_> = told(file, wish, outcome).collect();
    let Some(first) = rows.first_mut() else { return rows };
    let amount = order.pointer("/totals/total/amount").and_then(Value::as_str);
    let row = first.clone().with_id(text(order, "order_id"));
    let row = Row { amount: amount.unwrap_or_default().to_owned(), ..row };
    *first = match confirmed {
        Some(Ok(answer)) => confirmation(row, &answer.body),
        Some(Err(problem)) => row.because(&problem.reason, problem.sentence()),
        None if before && !same_lines(order, &wish.body) => {
            let sentence = "the order that is there has other lines: amend it through the API";
            row.because("DIFFERS", sentence)
        }
        None => row,
    };
    rows
}

fn same_lines(there: &Value, wanted: &Value) -> bool {
    let lines = |order: &Value| -> Vec<(String, u64)> {
        let lines = list(order, "lines").iter();
        lines.map(|line| (text(line, "sku").to_owned(), number(line, "units"))).collect()
    };
    lines(there) == lines(wanted)
}

/// Each mistake at the row that it is about; the order's other rows wait for it.
fn refused(file: &CsvFile, wish: &Wish, problem: &Problem) -> Vec<Row> {
    let mut rows = Vec::new();
    let at = |line: Option<usize>| wish.rows.get(line.unwrap_or_default()).or(wish.rows.first());
    for violation in &problem.violations {
        let Some((field, description)) = violation.split_once(' ') else { continue };
        let (line, column) = column_of(field);
        let detail = format!("{column} {description}");
        let wrong = Wrong::new(&problem.reason, column, detail, advice(problem, column));
        rows.extend(at(line).map(|row| wrong.at(&file.name, *row, &wish.reference)));
    }
    if rows.is_empty() {
        rows.extend(at(None).map(|row| wrong_of(problem).at(&file.name, *row, &wish.reference)));
    }
    let refused = rows.iter().map(|row| row.row).collect();
    rows.extend(incomplete(file, &wish.reference, &wish.rows, &refused));
    rows
}

#[cfg(test)]
mod tests;
