//! Liveness: what was begun comes to an end, or waits for something that has a name.

use serde_json::Value;

use super::{Findings, Violation};
use crate::harness::evidence::{Ledger, Told};
use crate::harness::look::Look;

/// The courier's state of a parcel that went back.
const RETURNED: i64 = 46;

/// I15: at rest every order was delivered, or returned where the courier's own ledger says so, and
/// nothing stands parked.
#[must_use]
pub fn check_i15(told: &Told, parked: &[Value], ledger: &Ledger) -> Vec<Violation> {
    let mut findings = Findings::of("I15");
    for order in &told.orders {
        let (id, number, status) =
            (order.text("order_id"), order.text("number"), order.text("status"));
        let parcels: Vec<_> = ledger
            .deliveries
            .iter()
            .filter(|delivery| delivery.text("business_reference") == number)
            .filter(|delivery| delivery.is("alive"))
            .collect();
        // Of several parcels the one that arrived leads the headline.
        let went_back = !parcels.is_empty()
            && parcels.iter().all(|delivery| delivery.number("state") == RETURNED);
        let expected = if went_back { "returned" } else { "delivered" };
        findings.unless(status == expected, || {
            format!("order {number} ({id}) is {status} and should be {expected}")
        });
    }
    for work in parked {
        let (process, cause) = (work.text("process"), work.text("cause"));
        findings
            .unless(work.text("status") != "parked", || format!("{process} is parked: {cause}"));
    }
    findings.found
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::checks::names;

    fn found(status: &str, state: i64, parked: &[Value]) -> Vec<Violation> {
        let order = json!({"order_id": "o-1", "number": "1001", "status": status});
        let delivery = json!({"business_reference": "1001", "state": state, "alive": true});
        let told = Told { orders: vec![order], ..Told::default() };
        check_i15(&told, parked, &Ledger { deliveries: vec![delivery], ..Ledger::default() })
    }

    #[test]
    fn i15_names_an_order_that_never_ends_or_ends_wrong() {
        assert_eq!(found("delivered", 45, &[]), []);
        assert_eq!(found("returned", 46, &[]), []);
        assert_eq!(names(&found("shipped", 45, &[])), ["I15"]);
        assert_eq!(names(&found("delivered", 46, &[])), ["I15"]);
    }

    #[test]
    fn i15_names_parked_work() {
        let parked = [json!({"process": "create_awb", "status": "parked", "cause": "none"})];
        assert_eq!(names(&found("delivered", 45, &parked)), ["I15"]);
    }
}
