//! Between the logs: what is reserved, shipped and fulfilled must fit what orders say. What follows
//! from a fact that stands behind the end of what was read, or is still being worked on, is counted
//! as in flight and judged another time.

use std::collections::HashSet;

use crate::chain::Chain;
use crate::facts::{Id, Place};
use crate::fulfillments::{Fulfillments, Stage};
use crate::orders::{Life, Order, Orders};
use crate::report::{Invariant, Report};
use crate::shipments::Shipments;
use crate::stock::{Name, Promise, Stock};

pub(crate) struct Between<'a> {
    pub(crate) chain: &'a Chain,
    pub(crate) orders: &'a Orders,
    pub(crate) stock: &'a Stock,
    pub(crate) fulfillments: &'a Fulfillments,
    pub(crate) shipments: &'a Shipments,
    /// Orders and aggregates whose work waits for a person.
    pub(crate) blocked: HashSet<&'a str>,
}

impl Between<'_> {
    pub(crate) fn judge(&self, report: &mut Report) {
        for (id, order) in &self.orders.all {
            match order.life {
                Life::Confirmed => self.is_backed(id, order, report),
                Life::Cancelled => report.count(Invariant::I16),
                Life::Confirming | Life::CancelPending => report.in_flight(Invariant::I20),
                Life::Pending | Life::Closed => {}
            }
        }
        for (name, promise) in &self.stock.promises {
            if promise.open() != (0, 0) {
                self.is_wanted(name, promise, report);
            }
        }
        self.nothing_goes_on(report);
    }

    /// What led to it came after the end of what was read.
    fn is_ahead(&self, causation: Option<Id>) -> bool {
        causation.is_some_and(|cause| !self.chain.has(cause))
    }

    /// A confirmed order has in each of its warehouses what it says.
    fn is_backed(&self, id: &str, order: &Order, report: &mut Report) {
        let name = format!("{id}/{}", order.attempt);
        for (warehouse, units) in &order.allocation {
            if units.values().all(|units| *units == 0) {
                continue;
            }
            report.count(Invariant::I20);
            let Some(promise) = self.stock.promises.get(&(warehouse.clone(), name.clone())) else {
                let what = format!("confirmed, but {name} was never reserved in {warehouse}");
                report.violated(Invariant::I20, &order.place, what);
                continue;
            };
            if promise.asked != *units {
                let asked = &promise.asked;
                let what =
                    format!("confirmed with {units:?} from {warehouse}, reserved: {asked:?}");
                report.violated(Invariant::I20, &order.place, what);
            }
            match &promise.released {
                Some((_, causation)) if self.is_ahead(*causation) => {
                    report.in_flight(Invariant::I20);
                }
                Some((place, _)) => {
                    let what = format!("{name} is given back, but its order is confirmed");
                    report.violated(Invariant::I20, place, what);
                }
                None => {}
            }
        }
    }

    /// A reservation that holds something belongs to an order that wants it.
    fn is_wanted(&self, name: &Name, promise: &Promise, report: &mut Report) {
        let (warehouse, name) = name;
        let (held, picked) = promise.open();
        let Some(order) = self.orders.all.get(&promise.order_id) else {
            if self.is_ahead(promise.causation) {
                return report.in_flight(Invariant::I20);
            }
            let what = format!("{name} holds {held} units for an order that does not exist");
            return report.violated(Invariant::I20, &promise.place, what);
        };
        let attempt = name.rsplit_once('/').and_then(|(_, attempt)| attempt.parse().ok());
        let attempt: u32 = attempt.unwrap_or_default();
        // Nobody answered in time, or the newest facts are still to be read: it is swept yet.
        let ahead = attempt > order.attempt || order.timed_out.contains(&attempt);
        match order.life {
            Life::Cancelled if !self.blocked.contains(promise.order_id.as_str()) => {
                let what =
                    format!("the order is cancelled, {name} has {held} held and {picked} picked");
                report.violated(Invariant::I16, &promise.place, what);
            }
            Life::Confirming if attempt == order.attempt => report.in_flight(Invariant::I20),
            Life::Confirmed | Life::Closed if promise.ended && held > 0 => {
                let what = format!("{name} holds {held} units, but its pick is over");
                report.violated(Invariant::I20, &promise.place, what);
            }
            // All of a closed order has left the house, or was never found.
            Life::Closed if held > 0 && !self.blocked.contains(promise.order_id.as_str()) => {
                let what = format!("the order is closed, {name} still holds {held} units");
                report.violated(Invariant::I20, &promise.place, what);
            }
            // The floor is done; the ledger was told behind the end of what was read of it.
            Life::Confirmed if held > 0 && self.is_picked(warehouse, name) => {
                report.in_flight(Invariant::I20);
            }
            Life::Confirmed if attempt == order.attempt => {
                report.expect(
                    Invariant::I20,
                    order.allocation.contains_key(warehouse),
                    &promise.place,
                    || format!("{name} holds {held} in {warehouse}, which serves nothing of it"),
                );
            }
            Life::Pending | Life::Confirming | Life::Confirmed if ahead => {
                report.in_flight(Invariant::I20);
            }
            Life::Pending | Life::Confirming | Life::Confirmed => {
                let what = format!("{name} holds {held} units, but attempt {attempt} is over");
                report.violated(Invariant::I20, &promise.place, what);
            }
            // What is to be cancelled is still being given back.
            Life::Closed | Life::CancelPending | Life::Cancelled => {}
        }
    }

    /// The fulfilment of this reservation is picked, or ended because nothing was found.
    fn is_picked(&self, warehouse: &str, name: &str) -> bool {
        self.fulfillments.all.values().any(|fulfillment| {
            let (of, reservation) = &fulfillment.promise;
            let over = !matches!(fulfillment.stage, Stage::New | Stage::Ready | Stage::Listed);
            over && of == warehouse && reservation == name
        })
    }

    /// A cancelled order has no live AWB, and its goods go nowhere.
    fn nothing_goes_on(&self, report: &mut Report) {
        let mut broken = |order_id: &str, place: &Place, what: &str| {
            report.violated(
                Invariant::I16,
                place,
                format!("order {order_id} is cancelled, {what}"),
            );
        };
        for shipment in self.shipments.all.values().filter(|shipment| shipment.may_live()) {
            if self.is_cancelled(&shipment.order_id) {
                broken(&shipment.order_id, &shipment.place, "its AWB is alive or may be");
            }
        }
        for fulfillment in self.fulfillments.all.values() {
            let goes_on =
                matches!(fulfillment.stage, Stage::Picked | Stage::Packed | Stage::HandedOver);
            if goes_on && self.is_cancelled(&fulfillment.order_id) {
                broken(&fulfillment.order_id, &fulfillment.place, "its goods go on");
            }
        }
    }

    fn is_cancelled(&self, order_id: &str) -> bool {
        let order = self.orders.all.get(order_id);
        order.is_some_and(|order| order.life == Life::Cancelled) && !self.blocked.contains(order_id)
    }
}
