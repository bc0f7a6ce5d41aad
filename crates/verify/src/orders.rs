//! Orders and contacts: the path of each order's lifecycle, what its parts are said to have done,
//! and who agreed to be written to.

use std::collections::{BTreeMap, HashMap};

use nexus_proto::common::v1::Allocation;
use nexus_proto::order::v1::{
    ConsentFact, ContactConsentRecorded, ContactRegistered, OrderAmended, OrderConfirmationRefused,
    OrderConfirmationRequested, OrderConfirmed, OrderCreated, OrderPartProgressed,
};

use crate::facts::{Fact, Id, Place, id_of};
use crate::report::{Invariant, Report};

/// Where an order stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Life {
    Pending,
    Confirming,
    Confirmed,
    CancelPending,
    Cancelled,
    Closed,
}

impl Life {
    fn is_over(self) -> bool {
        matches!(self, Self::Cancelled | Self::Closed)
    }
}

/// Units by SKU.
pub(crate) type Units = BTreeMap<String, u64>;

pub(crate) struct Order {
    pub(crate) place: Place,
    pub(crate) life: Life,
    /// Where it goes back to when a cancel is refused.
    before_cancel: Life,
    pub(crate) attempt: u32,
    /// Attempts that ended because nobody answered in time: what they hold is swept afterwards.
    pub(crate) timed_out: Vec<u32>,
    /// What each warehouse serves.
    pub(crate) allocation: BTreeMap<String, Units>,
}

/// What a contact agreed to, in the order of the log.
#[derive(Default)]
pub(crate) struct Contact {
    consents: Vec<(i64, String, bool)>,
    erased_at_ms: Option<i64>,
}

/// A fact that an order says another service recorded.
struct Claim {
    cause_type: String,
    place: Place,
}

#[derive(Default)]
pub(crate) struct Orders {
    pub(crate) all: HashMap<String, Order>,
    contacts: HashMap<String, Contact>,
    claims: HashMap<Id, Claim>,
}

impl Orders {
    pub(crate) fn hear(&mut self, fact: &Fact<'_>, report: &mut Report) {
        if fact.kind().starts_with("contact.") {
            return self.hear_contact(fact, report);
        }
        if !fact.kind().starts_with("order.") {
            return;
        }
        let exists = self.all.contains_key(fact.of());
        let is_first = fact.kind() == "order.Created";
        report.expect(Invariant::I12, exists != is_first, fact.place, || {
            if exists {
                "the order is created a second time"
            } else {
                "the order was never created"
            }
            .to_owned()
        });
        if is_first {
            if fact.read::<OrderCreated>(report).is_some() && !exists {
                self.all.insert(fact.of().to_owned(), Order::new(fact.place));
            }
            return;
        }
        if fact.kind() == "order.PartProgressed" {
            self.claim(fact, report);
        }
        if let Some(order) = self.all.get_mut(fact.of()) {
            order.place = fact.place.clone();
            order.hear(fact, report);
        }
    }

    /// Contacts alone may be heard beyond what else is read.
    pub(crate) fn hear_contact(&mut self, fact: &Fact<'_>, report: &mut Report) {
        let contact = self.contacts.entry(fact.of().to_owned()).or_default();
        let at_ms = fact.cause.occurred_at_ms;
        match fact.kind() {
            "contact.Registered" => {
                let registered = fact.read::<ContactRegistered>(report).unwrap_or_default();
                registered.consents.into_iter().for_each(|consent| contact.agree(at_ms, consent));
            }
            "contact.ConsentRecorded" => {
                let recorded = fact.read::<ContactConsentRecorded>(report).unwrap_or_default();
                recorded.consent.into_iter().for_each(|consent| contact.agree(at_ms, consent));
            }
            "contact.Erased" => contact.erased_at_ms = Some(at_ms),
            _ => {}
        }
    }

    fn claim(&mut self, fact: &Fact<'_>, report: &mut Report) {
        let Some(progressed) = fact.read::<OrderPartProgressed>(report) else { return };
        match id_of(&progressed.cause) {
            Some(cause) => {
                let (cause_type, place) = (progressed.cause_type, fact.place.clone());
                self.claims.entry(cause).or_insert(Claim { cause_type, place });
            }
            None => report.violated(
                Invariant::I12,
                fact.place,
                format!("part {} progressed without a cause", progressed.part_id),
            ),
        }
    }

    /// Compares what orders say with the event itself.
    pub(crate) fn hear_cause(&mut self, fact: &Fact<'_>, report: &mut Report) {
        let Some(claim) = self.claims.remove(&fact.id()) else { return };
        report.expect(Invariant::I12, claim.cause_type == fact.kind(), &claim.place, || {
            format!("it names a {} as {}", fact.kind(), claim.cause_type)
        });
    }

    /// What only the end of the logs shows.
    pub(crate) fn end(&self, report: &mut Report) {
        for (cause, claim) in &self.claims {
            let what = format!(
                "it names the event {cause:032x} ({}), which stands in no log",
                claim.cause_type
            );
            report.violated(Invariant::I12, &claim.place, what);
        }
    }

    pub(crate) fn contact(&self, id: &str) -> Option<&Contact> {
        self.contacts.get(id)
    }
}

impl Contact {
    fn agree(&mut self, at_ms: i64, consent: ConsentFact) {
        self.consents.push((at_ms, consent.channel, consent.granted));
    }

    /// Why it must not be written to on `channel` at `at_ms`; clocks of two replicas, and a message
    /// on its way while the contact changes its mind, may differ by `tolerance_ms`.
    pub(crate) fn objection(
        &self,
        channel: &str,
        at_ms: i64,
        tolerance_ms: i64,
    ) -> Option<&'static str> {
        if self.erased_at_ms.is_some_and(|erased| erased.saturating_add(tolerance_ms) < at_ms) {
            return Some("the contact was erased before");
        }
        let near = |&&(at, _, granted): &&(i64, String, bool)| {
            if granted {
                at.saturating_sub(tolerance_ms) <= at_ms
            } else {
                at.saturating_add(tolerance_ms) < at_ms
            }
        };
        let mut of_channel = self.consents.iter().filter(|(_, of, _)| of == channel);
        match of_channel.rfind(near) {
            Some((_, _, true)) => None,
            Some((_, _, false)) => Some("the contact had withdrawn its consent"),
            None => Some("the contact never agreed to it"),
        }
    }
}

impl Order {
    fn new(place: &Place) -> Self {
        Self {
            place: place.clone(),
            life: Life::Pending,
            before_cancel: Life::Pending,
            attempt: 0,
            timed_out: Vec::new(),
            allocation: BTreeMap::new(),
        }
    }

    fn hear(&mut self, fact: &Fact<'_>, report: &mut Report) {
        let kind = fact.kind();
        // What is told late about a finished order changes nothing of it.
        let harmless =
            matches!(kind, "order.PartProgressed" | "order.NoteAdded" | "order.Released");
        report.count(Invariant::I13);
        if self.life.is_over() && !harmless {
            let what = format!("{kind} follows, but the order is {:?}", self.life);
            return report.violated(Invariant::I13, fact.place, what.to_lowercase());
        }
        let Some(next) = self.step(fact, report) else {
            let what = format!("{kind} cannot follow while the order is {:?}", self.life);
            return report.violated(Invariant::I12, fact.place, what);
        };
        if next == Life::CancelPending && self.life != Life::CancelPending {
            self.before_cancel = self.life;
        }
        self.life = next;
    }

    /// Where the event leads; `None` when it cannot happen here.
    fn step(&mut self, fact: &Fact<'_>, report: &mut Report) -> Option<Life> {
        use Life::{CancelPending, Cancelled, Closed, Confirmed, Confirming, Pending};
        match (fact.kind(), self.life) {
            ("order.ConfirmationRequested", Pending) => {
                let OrderConfirmationRequested { attempt } = fact.read(report)?;
                let next = self.attempt.checked_add(1) == Some(attempt);
                self.attempt = attempt;
                next.then_some(Confirming)
            }
            ("order.Confirmed", Confirming) => {
                let confirmed: OrderConfirmed = fact.read(report)?;
                self.allocation = by_warehouse(&confirmed.allocation);
                (confirmed.attempt == self.attempt).then_some(Confirmed)
            }
            ("order.ConfirmationRefused", Confirming) => {
                let refused: OrderConfirmationRefused = fact.read(report)?;
                if refused.reason == "TIMED_OUT" {
                    self.timed_out.push(refused.attempt);
                }
                (refused.attempt == self.attempt).then_some(Pending)
            }
            ("order.CancelRequested", Pending | Confirming | Confirmed) => Some(CancelPending),
            ("order.CancelRefused", CancelPending) => Some(self.before_cancel),
            ("order.Cancelled", Pending | CancelPending) => Some(Cancelled),
            ("order.Closed", Confirmed) => Some(Closed),
            ("order.Held", Pending | Confirming | Confirmed) => Some(self.life),
            ("order.Amended", life) => {
                let amended: OrderAmended = fact.read(report)?;
                if !amended.allocation.is_empty() {
                    self.allocation = by_warehouse(&amended.allocation);
                }
                Some(life)
            }
            ("order.Released" | "order.NoteAdded" | "order.PartProgressed", life) => Some(life),
            (
                "order.ConfirmationRequested"
                | "order.Confirmed"
                | "order.ConfirmationRefused"
                | "order.CancelRequested"
                | "order.CancelRefused"
                | "order.Cancelled"
                | "order.Closed"
                | "order.Held",
                _,
            ) => None,
            // A type of a newer program.
            (_, life) => Some(life),
        }
    }
}

fn by_warehouse(allocation: &[Allocation]) -> BTreeMap<String, Units> {
    let mut all: BTreeMap<String, Units> = BTreeMap::new();
    for part in allocation {
        let units = all.entry(part.warehouse.clone()).or_default();
        for line in &part.lines {
            *units.entry(line.sku.clone()).or_default() += u64::from(line.units);
        }
    }
    all
}
