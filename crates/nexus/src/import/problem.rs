//! The API's no as a mistake of a row: which column it is about, and what to do.

use super::csv_file::Wrong;
use crate::client::Problem;

/// A refusal of the API about one row.
pub(crate) fn wrong_of(problem: &Problem) -> Wrong {
    let field = problem.violations.first().and_then(|one| one.split_once(' '));
    let field = field.map_or("", |(field, _)| column_of(field).1);
    Wrong::new(&problem.reason, field, problem.sentence(), advice(problem, field))
}

/// The line of an order and the column that a field of a request is made from:
/// `lines[2].unit_price.amount` is `unit_price` of the third.
pub(crate) fn column_of(field: &str) -> (Option<usize>, &str) {
    let (line, rest) = match field.strip_prefix("lines[").and_then(|rest| rest.split_once(']')) {
        Some((number, rest)) => (number.parse().ok(), rest.trim_start_matches('.')),
        None => (None, field),
    };
    let mut parts = rest.rsplit('.').filter(|part| !matches!(*part, "amount" | "currency"));
    let column = parts.next().unwrap_or(rest);
    let column = match (line, column) {
        (None, "method") => "payment",
        (None, "discount") => "order_discount",
        (None, "external_reference") => "reference",
        (_, column) => column,
    };
    (line, column)
}

/// What a person does about it.
pub(crate) fn advice(problem: &Problem, field: &str) -> &'static str {
    match (problem.reason.as_str(), field) {
        ("IDEMPOTENCY_KEY_REUSED", _) => {
            "it was brought in with other contents: change what is there through the API"
        }
        (_, "sku") => "bring the product in first: nexus import products",
        (_, "bin") => "bring the bin in first: nexus import bins",
        ("NOT_FOUND", _) => "open the warehouse first: POST /v1/warehouses",
        _ => "mend the row and bring it in again",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_field_of_a_request_is_a_column_of_the_file() {
        assert_eq!(column_of("lines[2].unit_price.amount"), (Some(2), "unit_price"));
        assert_eq!(column_of("lines[0].sku"), (Some(0), "sku"));
        assert_eq!(column_of("shipping_address.country"), (None, "country"));
        assert_eq!(column_of("contact.phone"), (None, "phone"));
        assert_eq!(column_of("payment.method"), (None, "payment"));
        assert_eq!(column_of("discount.amount"), (None, "order_discount"));
        assert_eq!(column_of("currency"), (None, "currency"));
    }

    #[test]
    fn a_product_that_is_not_there_is_advised_to_be_brought_in() {
        let violations = vec!["lines[0].sku \"NO\" is no registered product".to_owned()];
        let reason = "INVALID_ARGUMENT".to_owned();
        let wrong = wrong_of(&Problem { status: 400, reason, violations, ..Problem::default() });
        assert_eq!(wrong.field, "sku");
        assert_eq!(wrong.advice, "bring the product in first: nexus import products");
    }
}
