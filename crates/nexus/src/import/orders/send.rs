//! Sends a plan: products first, then contacts, then orders; eight calls in flight.

use std::collections::HashMap;
use std::future::Future;

use futures::stream::{self, StreamExt};
use nexus_runtime::money::parse_amount;
use serde_json::{Value, json};

use super::super::figures::{decimal, total_of_order};
use super::super::progress::Progress;
use super::super::report::{Outcome, Report, Row};
use super::super::retail::{Invoice, LINES, ORDERS};
use super::super::{AT_ONCE, digest};
use super::plan::{self, Named, Plan};
use crate::client::{Answer, CallError, Client, Problem, encoded, nothing, number, rows, text};

/// What the API has of a plan.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Sent {
    pub(crate) orders: usize,
    /// Sum of the totals it answered, in ten-thousandths.
    pub(crate) total: i128,
}

/// The API's yes, or its no.
pub(super) type Reply = Result<Answer, Problem>;

pub(crate) async fn send(
    plan: &Plan<'_>,
    client: &Client,
    confirm: bool,
    report: &mut Report,
) -> Result<Sent, CallError> {
    products(plan, client, report).await?;
    let contacts = contacts(plan, client, report).await?;
    let mut sent = Sent::default();
    let invoices = plan.orders.iter().copied();
    let call = |invoice| one_order(client, invoice, &contacts, confirm);
    each("orders", invoices, call, |(invoice, reply, confirmed)| {
        report.add(sent.row(invoice, &reply, confirmed.as_ref()));
    })
    .await?;
    Ok(sent)
}

/// Calls for every item, some at a time, and hands over each answer as it comes.
pub(super) async fn each<T, R, F: Future<Output = Result<R, CallError>>>(
    what: &'static str,
    items: impl ExactSizeIterator<Item = T>,
    call: impl Fn(T) -> F,
    mut take: impl FnMut(R),
) -> Result<(), CallError> {
    let mut progress = Progress::new(what, items.len());
    let mut answers = stream::iter(items).map(call).buffer_unordered(AT_ONCE);
    while let Some(answer) = answers.next().await {
        take(answer?);
        progress.step();
    }
    progress.end();
    Ok(())
}

/// The API's answer to one call; an error only when the world broke.
pub(super) async fn asked(
    client: &Client,
    path: &str,
    key: &str,
    body: &Value,
) -> Result<Reply, CallError> {
    match client.post(path, key, body).await {
        Ok(answer) => Ok(Ok(answer)),
        Err(error) => error.refusal().map(Err),
    }
}

async fn products(plan: &Plan<'_>, client: &Client, report: &mut Report) -> Result<(), CallError> {
    let (mut created, mut existing) = (0_u64, 0_u64);
    let call = |(code, named): (&str, Named<'_>)| {
        let (code, body) = (code.to_owned(), plan::product(code, named));
        async move {
            // Another name is another call: the shop may have renamed the article since.
            let key = format!("import-product-{}", digest(&[&body.to_string()]));
            let reply = asked(client, "/v1/products", &key, &body).await?;
            Ok((code, named.row, reply))
        }
    };
    let wanted: Vec<_> = plan.products.iter().map(|(code, named)| (*code, *named)).collect();
    each("products", wanted.into_iter(), call, |(code, row, reply)| match reply {
        Ok(answer) if answer.replayed => existing += 1,
        Ok(_) => created += 1,
        // Somebody else registered it.
        Err(problem) if problem.status == 409 => existing += 1,
        Err(problem) => {
            let row = Row::new(LINES, row, &code, Outcome::Refused);
            report.add(row.because(&problem.reason, problem.sentence()));
        }
    })
    .await?;
    println!("products: {created} created, {existing} there already");
    Ok(())
}

/// Contact ids by customer.
async fn contacts(
    plan: &Plan<'_>,
    client: &Client,
    report: &mut Report,
) -> Result<HashMap<String, String>, CallError> {
    let mut ids = HashMap::new();
    let call = |customer: &str| {
        let customer = customer.to_owned();
        async move {
            let name = format!("Customer {customer}");
            Ok((contact(client, &customer, &name).await?, customer))
        }
    };
    let customers = plan.customers.iter().copied().collect::<Vec<_>>();
    each("contacts", customers.into_iter(), call, |(reply, customer)| match reply {
        Ok(answer) => drop(ids.insert(customer, text(&answer.body, "contact_id").to_owned())),
        Err(problem) => {
            let row = Row::new(ORDERS, 0, &customer, Outcome::Refused);
            report.add(row.because(&problem.reason, problem.sentence()));
        }
    })
    .await?;
    Ok(ids)
}

async fn contact(client: &Client, reference: &str, name: &str) -> Result<Reply, CallError> {
    let body = json!({"name": name, "external_reference": reference, "language": "en"});
    let key = format!("import-contact-{}", encoded(reference));
    asked(client, "/v1/contacts", &key, &body).await
}

type Ordered<'a> = (&'a Invoice, Reply, Option<Reply>);

async fn one_order<'a>(
    client: &Client,
    invoice: &'a Invoice,
    contacts: &HashMap<String, String>,
    confirm: bool,
) -> Result<Ordered<'a>, CallError> {
    let contact_id = match contacts.get(&invoice.customer) {
        Some(contact_id) => contact_id.clone(),
        None => match guest(client, invoice).await? {
            Ok(answer) => text(&answer.body, "contact_id").to_owned(),
            Err(problem) => return Ok((invoice, Err(problem), None)),
        },
    };
    let key = encoded(&invoice.number);
    let body = plan::order(invoice, &contact_id);
    let reply = asked(client, "/v1/orders", &format!("import-order-{key}"), &body).await?;
    let confirmed = match &reply {
        Ok(answer) if confirm => Some(confirmed(client, answer).await?),
        _ => None,
    };
    Ok((invoice, reply, confirmed))
}

/// Confirms an order unless that was done. The key is fresh: stock that was short last time may be
/// there by now.
pub(super) async fn confirmed(client: &Client, made: &Answer) -> Result<Reply, CallError> {
    let path = format!("/v1/orders/{}", text(&made.body, "order_id"));
    if made.replayed {
        let body = client.get(&path).await?;
        if text(&body, "lifecycle") != "pending" {
            return Ok(Ok(Answer { body, replayed: true }));
        }
    }
    let key = nexus_es::new_id().to_string();
    asked(client, &format!("{path}:confirm"), &key, &nothing()).await
}

/// Somebody the books do not name: a contact of this invoice only.
async fn guest(client: &Client, invoice: &Invoice) -> Result<Reply, CallError> {
    if !invoice.customer.is_empty() {
        // The contact was refused; its row says why.
        let detail = format!("customer {} could not be entered", invoice.customer);
        let reason = "NO_CONTACT".to_owned();
        return Ok(Err(Problem { status: 400, reason, detail, ..Problem::default() }));
    }
    let name = format!("Guest of invoice {}", invoice.number);
    contact(client, &format!("guest-{}", invoice.number), &name).await
}

impl Sent {
    /// Counts one answer; its row of the report.
    fn row(&mut self, invoice: &Invoice, reply: &Reply, confirmed: Option<&Reply>) -> Row {
        let row = |outcome| Row::new(ORDERS, invoice.row, &invoice.number, outcome);
        let answer = match reply {
            Ok(answer) => answer,
            Err(problem) => {
                return row(Outcome::Refused).because(&problem.reason, problem.sentence());
            }
        };
        let outcome = if answer.replayed { Outcome::Existing } else { Outcome::Created };
        let amount = answer.body.pointer("/totals/total/amount").and_then(Value::as_str);
        let amount = amount.unwrap_or_default();
        let total = parse_amount(amount).map_or(0, i128::from);
        self.orders += 1;
        self.total += total;
        let row = row(outcome).with_id(text(&answer.body, "order_id"));
        let row = Row { amount: amount.to_owned(), ..row };
        let expected = total_of_order(invoice);
        if total != expected {
            let sentence = format!("the books say {}, the API {amount}", decimal(expected));
            return row.because("TOTAL_DIFFERS", sentence);
        }
        match confirmed {
            None => row,
            Some(Ok(answer)) => confirmation(row, &answer.body),
            Some(Err(problem)) => row.because(&problem.reason, problem.sentence()),
        }
    }
}

/// What asking for stock brought.
pub(super) fn confirmation(row: Row, order: &Value) -> Row {
    let Some(refusal) = order.get("refusal").filter(|refusal| refusal.is_object()) else {
        return row.because("", text(order, "status"));
    };
    let short = rows(refusal, "lines").iter().take(3).map(|line| {
        let (asked, available) = (number(line, "asked"), number(line, "available"));
        format!("{} {asked} asked, {available} there", text(line, "sku"))
    });
    let sentence = format!("not confirmed: {}", short.collect::<Vec<_>>().join("; "));
    row.because(text(refusal, "reason"), sentence)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn invoice() -> Invoice {
        let line = super::super::retail::Line {
            row: 2,
            code: "A".to_owned(),
            description: String::new(),
            units: 2,
            price: 25_500,
        };
        Invoice {
            number: "536365".to_owned(),
            row: 7,
            first_ts: String::new(),
            customer: String::new(),
            country: "EIRE".to_owned(),
            lines: vec![line],
        }
    }

    fn answer(amount: &str, replayed: bool) -> Reply {
        let total = json!({"total": {"amount": amount, "currency": "GBP"}});
        Ok(Answer { body: json!({"order_id": "o-1", "totals": total}), replayed })
    }

    #[test]
    fn answers_are_counted_and_summed() {
        let mut sent = Sent::default();
        let row = sent.row(&invoice(), &answer("5.10", false), None);
        assert_eq!((row.outcome, row.id.as_str(), row.row), (Outcome::Created, "o-1", 7));
        let row = sent.row(&invoice(), &answer("5.10", true), None);
        assert_eq!((row.outcome, row.reason.as_str()), (Outcome::Existing, ""));
        assert_eq!(sent, Sent { orders: 2, total: 102_000 });
    }

    #[test]
    fn a_total_that_differs_is_told_with_both_numbers() {
        let row = Sent::default().row(&invoice(), &answer("5.00", false), None);
        assert_eq!(row.reason, "TOTAL_DIFFERS");
        assert_eq!(row.detail, "the books say 5.10, the API 5.00");
    }

    #[test]
    fn a_refused_order_is_a_row_with_the_apis_words_and_no_sum() {
        let detail = "must be at least 1".to_owned();
        let reason = "INVALID_ARGUMENT".to_owned();
        let problem = Problem { status: 400, reason, detail, ..Problem::default() };
        let mut sent = Sent::default();
        let row = sent.row(&invoice(), &Err(problem), None);
        assert_eq!((row.outcome, row.detail.as_str()), (Outcome::Refused, "must be at least 1"));
        assert_eq!(sent, Sent::default());
    }

    #[test]
    fn an_order_short_of_stock_says_what_is_short() {
        let refusal = json!({
            "reason": "STOCK_SHORT", "lines": [{"sku": "A", "asked": 2, "available": 1}],
        });
        let confirmed = Ok(Answer { body: json!({"refusal": refusal}), replayed: false });
        let row = Sent::default().row(&invoice(), &answer("5.10", false), Some(&confirmed));
        assert_eq!(row.reason, "STOCK_SHORT");
        assert_eq!(row.detail, "not confirmed: A 2 asked, 1 there");
    }
}
