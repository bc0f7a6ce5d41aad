//! An order: what was agreed, whether its stock is held, what its parts report.
//! *Invariant:* lifecycle moves pending → confirming → confirmed → closed, with cancelled reachable
//! until goods are worked on; the headline is computed from what is here and never stored.

pub(crate) mod headline;
pub(crate) mod parts;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;

use nexus_es::Decider;

use super::pricing::{Line, Payment, Totals};
use super::{Allocation, Note, Region, SealedValue, Shortage};
use headline::{Headline, Standing};
use parts::{Fact, Kind, Parts, Stage};

/// An order as it was placed.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Placed {
    pub(crate) number: String,
    pub(crate) contact_id: String,
    /// Name, phone, e-mail, address.
    pub(crate) recipient: SealedValue,
    pub(crate) region: Region,
    pub(crate) language: String,
    pub(crate) lines: Vec<Line>,
    pub(crate) currency: String,
    pub(crate) prices_include_tax: bool,
    pub(crate) totals: Totals,
    pub(crate) payment: Payment,
    pub(crate) notes: Vec<Note>,
    pub(crate) external_reference: String,
}

impl Placed {
    /// The order after an amendment.
    pub(crate) fn amend(&mut self, amendment: &Amendment) {
        if !amendment.lines.is_empty() {
            self.lines.clone_from(&amendment.lines);
        }
        if let Some(recipient) = &amendment.recipient {
            self.recipient = recipient.clone();
        }
        if let Some(region) = &amendment.region {
            self.region = region.clone();
        }
        if let Some(payment) = amendment.payment {
            self.payment = payment;
        }
        self.totals = amendment.totals;
        self.notes.extend(amendment.notes.iter().cloned());
    }
}

/// What changes of an order; what is `None` or empty stays as it is.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Amendment {
    pub(crate) reason: String,
    /// All lines anew; empty = unchanged.
    pub(crate) lines: Vec<Line>,
    pub(crate) recipient: Option<SealedValue>,
    pub(crate) region: Option<Region>,
    pub(crate) payment: Option<Payment>,
    /// The sums after the change.
    pub(crate) totals: Totals,
    /// Further notes.
    pub(crate) notes: Vec<Note>,
}

impl Amendment {
    /// True when it changes what is ordered or what it costs.
    fn touches_money(&self, before: &Placed) -> bool {
        !self.lines.is_empty() || self.payment.is_some() || self.totals != before.totals
    }
}

/// A named stop.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Hold {
    pub(crate) name: String,
    pub(crate) reason: String,
    /// Unix milliseconds; 0 = when released.
    pub(crate) until_ms: i64,
}

#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Command {
    Create(Box<Placed>),
    /// Asks for what an earlier call with the same key left; it is never decided anew.
    Recall,
    RequestConfirmation,
    Confirm {
        attempt: u32,
        allocation: Vec<Allocation>,
        unstocked_line_ids: Vec<String>,
    },
    RefuseConfirmation {
        attempt: u32,
        reason: String,
        lines: Vec<Shortage>,
    },
    Hold(Hold),
    Release {
        name: String,
        lapsed: bool,
    },
    Progress(Box<Fact>),
    Cancel {
        reason: String,
    },
    /// Nothing is held or worked on any more.
    FinishCancel,
    AddNote(Note),
    /// `base`: how many amendments the asker knew of; its sums rest on them.
    Amend {
        amendment: Box<Amendment>,
        base: u32,
    },
}

#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Event {
    Created(Box<Placed>),
    ConfirmationRequested { attempt: u32 },
    Confirmed { attempt: u32, allocation: Vec<Allocation>, unstocked_line_ids: Vec<String> },
    ConfirmationRefused { attempt: u32, reason: String, lines: Vec<Shortage> },
    Held(Hold),
    Released { name: String, lapsed: bool },
    PartProgressed(Box<Fact>),
    CancelRequested { reason: String },
    Cancelled { reason: String },
    Closed { outcome: String },
    NoteAdded(Note),
    Amended(Box<Amendment>),
}

#[derive(Debug, PartialEq, thiserror::Error)]
pub(crate) enum Refusal {
    #[error("the order does not exist")]
    Unknown,
    #[error("the order exists already")]
    Exists,
    #[error("the order is {status}, it cannot be confirmed")]
    NotConfirmable { status: &'static str },
    #[error("the order is on hold")]
    OnHold { names: Vec<String> },
    #[error("attempt {attempt} is not the one that is waited for")]
    NotAsked { attempt: u32 },
    #[error("the order is to be cancelled")]
    CancelRequested,
    #[error("the order is {status}, it cannot be cancelled")]
    NotCancellable { status: &'static str },
    #[error("the order is {status}, it cannot be held")]
    NotHoldable { status: &'static str },
    #[error("somebody else amended the order meanwhile")]
    AmendedMeanwhile,
    #[error("the order is {status}, {what} cannot be amended")]
    NotAmendable { status: &'static str, what: &'static str },
    #[error("no hold has the name {name}")]
    NoSuchHold { name: String },
    #[error("no call had this key before")]
    NothingToRecall,
}

/// The order's own state.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) enum Lifecycle {
    #[default]
    Pending,
    Confirming,
    Confirmed,
    /// To be cancelled; `confirming`: an answer about stock is still to come.
    CancelPending {
        reason: String,
        confirming: bool,
    },
    Cancelled,
    Closed,
}

impl Lifecycle {
    pub(crate) fn word(&self) -> &'static str {
        match self {
            Self::Pending => "pending",
            Self::Confirming => "confirming",
            Self::Confirmed => "confirmed",
            Self::CancelPending { .. } => "cancel_pending",
            Self::Cancelled => "cancelled",
            Self::Closed => "closed",
        }
    }
}

#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Order {
    pub(crate) placed: Option<Box<Placed>>,
    pub(crate) lifecycle: Lifecycle,
    /// The newest attempt to confirm; names the reservation `<order_id>/<attempt>`.
    pub(crate) attempt: u32,
    pub(crate) allocation: Vec<Allocation>,
    pub(crate) holds: BTreeMap<String, Hold>,
    pub(crate) amendments: u32,
    pub(crate) parts: Parts,
}

impl Order {
    pub(crate) fn standing(&self) -> Standing<'_> {
        Standing {
            confirmed: self.is_confirmed(),
            cancelled: self.lifecycle == Lifecycle::Cancelled,
            cancelling: matches!(self.lifecycle, Lifecycle::CancelPending { .. }),
            on_hold: !self.holds.is_empty(),
            warehouses: self.allocation.iter().map(|part| part.warehouse.as_str()).collect(),
            parts: &self.parts,
        }
    }

    pub(crate) fn headline(&self) -> Headline {
        self.standing().headline()
    }

    fn is_confirmed(&self) -> bool {
        match &self.lifecycle {
            Lifecycle::Confirmed | Lifecycle::Closed => true,
            Lifecycle::CancelPending { confirming, .. } => !confirming,
            Lifecycle::Pending | Lifecycle::Confirming | Lifecycle::Cancelled => false,
        }
    }

    fn request_confirmation(&self) -> Result<Vec<Event>, Refusal> {
        match self.lifecycle {
            Lifecycle::Pending if !self.holds.is_empty() => {
                Err(Refusal::OnHold { names: self.holds.keys().cloned().collect() })
            }
            Lifecycle::Pending => {
                Ok(vec![Event::ConfirmationRequested { attempt: self.attempt + 1 }])
            }
            Lifecycle::Confirming | Lifecycle::Confirmed | Lifecycle::Closed => Ok(vec![]),
            Lifecycle::CancelPending { .. } => {
                Err(Refusal::NotConfirmable { status: "cancel_pending" })
            }
            Lifecycle::Cancelled => Err(Refusal::NotConfirmable { status: "cancelled" }),
        }
    }

    /// Answers whether the outcome of `attempt` is still waited for.
    fn awaits(&self, attempt: u32) -> Result<bool, Refusal> {
        match &self.lifecycle {
            Lifecycle::Confirming if attempt == self.attempt => Ok(true),
            Lifecycle::CancelPending { confirming: true, .. } => Err(Refusal::CancelRequested),
            Lifecycle::Confirmed | Lifecycle::Closed if attempt == self.attempt => Ok(false),
            Lifecycle::Pending if attempt == self.attempt && attempt > 0 => Ok(false),
            Lifecycle::Pending
            | Lifecycle::Confirming
            | Lifecycle::Confirmed
            | Lifecycle::Closed
            | Lifecycle::CancelPending { .. }
            | Lifecycle::Cancelled => Err(Refusal::NotAsked { attempt }),
        }
    }

    fn confirm(
        &self,
        attempt: u32,
        allocation: &[Allocation],
        unstocked_line_ids: &[String],
    ) -> Result<Vec<Event>, Refusal> {
        let asked = self.awaits(attempt)?;
        if asked {
            return Ok(vec![Event::Confirmed {
                attempt,
                allocation: allocation.to_vec(),
                unstocked_line_ids: unstocked_line_ids.to_vec(),
            }]);
        }
        // Refused before: what was reserved since must be given back.
        if self.lifecycle == Lifecycle::Pending {
            Err(Refusal::NotAsked { attempt })
        } else {
            Ok(vec![])
        }
    }

    fn refuse(
        &self,
        attempt: u32,
        reason: &str,
        lines: &[Shortage],
    ) -> Result<Vec<Event>, Refusal> {
        let asked = self.awaits(attempt)?;
        if asked {
            let (reason, lines) = (reason.to_owned(), lines.to_vec());
            return Ok(vec![Event::ConfirmationRefused { attempt, reason, lines }]);
        }
        if self.lifecycle == Lifecycle::Pending {
            Ok(vec![])
        } else {
            Err(Refusal::NotAsked { attempt })
        }
    }

    fn cancel(&self, reason: &str) -> Result<Vec<Event>, Refusal> {
        let reason = reason.to_owned();
        match &self.lifecycle {
            Lifecycle::Pending => Ok(vec![Event::Cancelled { reason }]),
            Lifecycle::Confirming => Ok(vec![Event::CancelRequested { reason }]),
            Lifecycle::CancelPending { .. } | Lifecycle::Cancelled => Ok(vec![]),
            Lifecycle::Confirmed | Lifecycle::Closed => {
                let least = self.standing().least();
                let untouched = least == Headline::At(Stage::Confirmed);
                if untouched && self.lifecycle == Lifecycle::Confirmed {
                    return Ok(vec![Event::CancelRequested { reason }]);
                }
                Err(Refusal::NotCancellable { status: least.word() })
            }
        }
    }

    /// Everything while it is pending; where to and how much to collect until a shipment knows
    /// them; notes always. Lines that hold stock are not changed here.
    fn amend(&self, amendment: &Amendment, placed: &Placed) -> Result<Vec<Event>, Refusal> {
        let status = match &self.lifecycle {
            Lifecycle::Pending => return Ok(vec![Event::Amended(Box::new(amendment.clone()))]),
            Lifecycle::Confirmed => self.standing().least().word(),
            Lifecycle::Confirming
            | Lifecycle::CancelPending { .. }
            | Lifecycle::Cancelled
            | Lifecycle::Closed => self.lifecycle.word(),
        };
        let refused = |what| Err(Refusal::NotAmendable { status, what });
        if !amendment.lines.is_empty() {
            return refused("lines");
        }
        let shipped = self.parts.of_kind(Kind::Shipment).any(|(_, part)| !part.is_cancelled());
        let open = self.lifecycle == Lifecycle::Confirmed && !shipped;
        if amendment.recipient.is_some() && !open {
            return refused("shipping_address");
        }
        if amendment.touches_money(placed) && !open {
            return refused("payment");
        }
        Ok(vec![Event::Amended(Box::new(amendment.clone()))])
    }

    fn hold(&self, hold: &Hold) -> Result<Vec<Event>, Refusal> {
        if self.holds.get(&hold.name) == Some(hold) {
            return Ok(vec![]);
        }
        let least = self.standing().least();
        let left = matches!(least, Headline::At(stage) if stage >= Stage::Shipped);
        match self.lifecycle {
            Lifecycle::CancelPending { .. } | Lifecycle::Cancelled | Lifecycle::Closed => {
                Err(Refusal::NotHoldable { status: self.lifecycle.word() })
            }
            _ if left => Err(Refusal::NotHoldable { status: least.word() }),
            Lifecycle::Pending | Lifecycle::Confirming | Lifecycle::Confirmed => {
                Ok(vec![Event::Held(hold.clone())])
            }
        }
    }

    fn release(&self, name: &str, lapsed: bool) -> Result<Vec<Event>, Refusal> {
        match self.holds.get(name) {
            Some(_) => Ok(vec![Event::Released { name: name.to_owned(), lapsed }]),
            // Its time ran out and somebody was faster.
            None if lapsed => Ok(vec![]),
            None => Err(Refusal::NoSuchHold { name: name.to_owned() }),
        }
    }

    fn progress(&self, fact: &Fact) -> Vec<Event> {
        if !self.parts.is_news(fact) {
            return vec![];
        }
        let mut events = vec![Event::PartProgressed(Box::new(fact.clone()))];
        if self.lifecycle == Lifecycle::Confirmed {
            let mut parts = self.parts.clone();
            parts.hear(fact);
            let after = Standing { parts: &parts, ..self.standing() };
            if let Some(outcome) = after.outcome() {
                events.push(Event::Closed { outcome: outcome.to_owned() });
            }
        }
        events
    }
}

impl Decider for Order {
    const CATEGORY: &'static str = "order";
    type Command = Command;
    type Event = Event;
    type Refusal = Refusal;

    fn decide(&self, command: &Command) -> Result<Vec<Event>, Refusal> {
        match command {
            Command::Recall => Err(Refusal::NothingToRecall),
            Command::Create(placed) if self.placed.is_none() => {
                Ok(vec![Event::Created(placed.clone())])
            }
            Command::Create(_) => Err(Refusal::Exists),
            Command::Amend { base, .. } if self.placed.is_some() && *base != self.amendments => {
                Err(Refusal::AmendedMeanwhile)
            }
            Command::Amend { amendment, .. } => match &self.placed {
                Some(placed) => self.amend(amendment, placed),
                None => Err(Refusal::Unknown),
            },
            _ if self.placed.is_none() => Err(Refusal::Unknown),
            Command::RequestConfirmation => self.request_confirmation(),
            Command::Confirm { attempt, allocation, unstocked_line_ids } => {
                self.confirm(*attempt, allocation, unstocked_line_ids)
            }
            Command::RefuseConfirmation { attempt, reason, lines } => {
                self.refuse(*attempt, reason, lines)
            }
            Command::Hold(hold) => self.hold(hold),
            Command::Release { name, lapsed } => self.release(name, *lapsed),
            Command::Progress(fact) => Ok(self.progress(fact)),
            Command::Cancel { reason } => self.cancel(reason),
            Command::FinishCancel => match &self.lifecycle {
                Lifecycle::CancelPending { reason, .. } => {
                    Ok(vec![Event::Cancelled { reason: reason.clone() }])
                }
                Lifecycle::Pending
                | Lifecycle::Confirming
                | Lifecycle::Confirmed
                | Lifecycle::Cancelled
                | Lifecycle::Closed => Ok(vec![]),
            },
            Command::AddNote(note) => Ok(vec![Event::NoteAdded(note.clone())]),
        }
    }

    fn evolve(mut self, event: &Event) -> Self {
        match event {
            Event::Created(placed) => self.placed = Some(placed.clone()),
            Event::ConfirmationRequested { attempt } => {
                self.attempt = *attempt;
                self.lifecycle = Lifecycle::Confirming;
            }
            Event::Confirmed { allocation, .. } => {
                self.allocation.clone_from(allocation);
                self.lifecycle = Lifecycle::Confirmed;
            }
            Event::ConfirmationRefused { .. } => self.lifecycle = Lifecycle::Pending,
            Event::Held(hold) => {
                self.holds.insert(hold.name.clone(), hold.clone());
            }
            Event::Released { name, .. } => {
                self.holds.remove(name);
            }
            Event::PartProgressed(fact) => self.parts.hear(fact),
            Event::CancelRequested { reason } => {
                let confirming = self.lifecycle == Lifecycle::Confirming;
                self.lifecycle = Lifecycle::CancelPending { reason: reason.clone(), confirming };
            }
            Event::Cancelled { .. } => self.lifecycle = Lifecycle::Cancelled,
            Event::Closed { .. } => self.lifecycle = Lifecycle::Closed,
            Event::Amended(amendment) => {
                self.amendments += 1;
                if let Some(placed) = &mut self.placed {
                    placed.amend(amendment);
                }
            }
            Event::NoteAdded(note) => {
                if let Some(placed) = &mut self.placed {
                    placed.notes.push(note.clone());
                }
            }
        }
        self
    }
}

/// The fulfilments that stand for the warehouses of an allocation.
pub(crate) fn all_opened(allocation: &[Allocation], parts: &Parts) -> bool {
    allocation.iter().all(|part| {
        let mut opened = parts.of_kind(Kind::Fulfillment);
        opened.any(|(_, fulfillment)| fulfillment.warehouse == part.warehouse)
    })
}
