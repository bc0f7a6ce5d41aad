//! Messages to customers: never out of order, never to who has not agreed.

use std::collections::HashMap;

use nexus_proto::notification::v1::MessageRequested;

use crate::facts::{Fact, Place};
use crate::orders::{Life, Orders};
use crate::report::{Invariant, Report};

/// Two replicas' clocks, and a consent that was read just before it was withdrawn.
const TOLERANCE_MS: i64 = 60_000;

struct Message {
    order: String,
    contact: String,
    channel: String,
    milestone: u8,
    shipment: String,
}

/// One call of a channel.
struct Call {
    place: Place,
    order: String,
    contact: String,
    channel: String,
    at_ms: i64,
}

#[derive(Default)]
pub(crate) struct Messages {
    all: HashMap<String, Message>,
    /// By shipment and channel: the furthest milestone that the customer was told.
    told: HashMap<(String, String), u8>,
    calls: Vec<Call>,
}

impl Messages {
    pub(crate) fn hear(&mut self, fact: &Fact<'_>, report: &mut Report) {
        match fact.kind() {
            "message.Requested" => {
                if let Some(requested) = fact.read::<MessageRequested>(report) {
                    self.all.insert(fact.of().to_owned(), Message::from(requested));
                }
            }
            "message.Attempted" => self.attempted(fact, report),
            "message.Sent" | "message.Delivered" | "message.Read" => {
                if let Some(message) = self.all.get(fact.of()) {
                    let key = (message.shipment.clone(), message.channel.clone());
                    let told = self.told.entry(key).or_default();
                    *told = message.milestone.max(*told);
                }
            }
            _ => {}
        }
    }

    fn attempted(&mut self, fact: &Fact<'_>, report: &mut Report) {
        let Some(message) = self.all.get(fact.of()) else {
            let what = "a message goes out that nobody asked for";
            return report.violated(Invariant::I28, fact.place, what);
        };
        let key = (message.shipment.clone(), message.channel.clone());
        let told = self.told.get(&key).copied().unwrap_or_default();
        report.expect(Invariant::I27, told <= message.milestone, fact.place, || {
            let (now, before) = (milestone(message.milestone), milestone(told));
            format!("\"{now}\" goes out for shipment {}, told \"{before}\"", message.shipment)
        });
        self.calls.push(Call {
            place: fact.place.clone(),
            order: message.order.clone(),
            contact: message.contact.clone(),
            channel: message.channel.clone(),
            at_ms: fact.cause.occurred_at_ms,
        });
    }

    /// Judges each call once all contacts are known.
    pub(crate) fn end(&self, orders: &Orders, report: &mut Report) {
        for call in &self.calls {
            report.count(Invariant::I28);
            let Some(order) = orders.all.get(&call.order) else {
                // The order came after the end of what was read of its log.
                report.in_flight(Invariant::I28);
                continue;
            };
            if order.life == Life::Cancelled {
                let what =
                    format!("a message goes out for order {}, which is cancelled", call.order);
                report.violated(Invariant::I28, &call.place, what);
                continue;
            }
            let objection = match orders.contact(&call.contact) {
                Some(contact) => contact.objection(&call.channel, call.at_ms, TOLERANCE_MS),
                None => Some("the contact is not known"),
            };
            if let Some(objection) = objection {
                let what = format!("a message goes out by {}, but {objection}", call.channel);
                report.violated(Invariant::I28, &call.place, what);
            }
        }
    }
}

impl From<MessageRequested> for Message {
    fn from(requested: MessageRequested) -> Self {
        Self {
            order: requested.order_id,
            contact: requested.contact_id,
            channel: requested.channel,
            milestone: MILESTONES
                .iter()
                .zip(1..)
                .find_map(|(name, rank)| (*name == requested.milestone).then_some(rank))
                .unwrap_or_default(),
            shipment: requested.shipment_id,
        }
    }
}

const MILESTONES: [&str; 3] = ["shipped", "out_for_delivery", "delivered"];

fn milestone(rank: u8) -> &'static str {
    let index = usize::from(rank).checked_sub(1);
    index.and_then(|index| MILESTONES.get(index)).copied().unwrap_or("another milestone")
}
