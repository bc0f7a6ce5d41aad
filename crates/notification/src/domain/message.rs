//! One message: one milestone of one shipment on one channel.
//! *Invariant:* it is requested once; the channel is asked only for an attempt that was recorded
//! before; after a lost answer it is asked once more at most; a receipt never moves it backwards.

use std::fmt;

use nexus_es::Decider;

use super::{ChannelKind, Language, Milestone, SealedValue, callback_data, message_id};

/// Tries after which a message that the channel keeps refusing is given up.
pub(crate) const MAX_ATTEMPTS: u32 = 8;
/// Lost answers after which it is not sent again: one more could only be a third copy.
const MAX_LOST: u32 = 2;

pub(crate) enum Command {
    /// The customer shall be told.
    Request(Request),
    /// The customer shall not be told, and why; stands in the list all the same.
    Suppress { request: Option<Request>, reason: String, detail: String },
    /// The channel is about to be asked.
    Attempt { account: String },
    /// The channel took it.
    Accept { attempt: u32, provider_id: String, at_ms: i64 },
    /// The channel did not answer.
    LoseAnswer { attempt: u32, reason: String, resend_at_ms: i64 },
    /// The channel said no, and trying again may help; at most `limit` attempts, if there is one.
    RefuseAttempt { attempt: u32, no: No, retry_at_ms: i64, limit: Option<u32> },
    /// The channel said no for good.
    Fail { attempt: u32, no: No },
    /// A receipt came.
    Receive(Receipt),
}

#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) enum Event {
    Requested(Request),
    Attempted { attempt: u32, callback_data: String, account: String },
    Sent { attempt: u32, provider_id: String, at_ms: i64, receipt: String },
    SendUnknown { attempt: u32, reason: String, resend_at_ms: i64 },
    AttemptFailed { attempt: u32, code: String, reason: String, retry_at_ms: i64 },
    Delivered { at_ms: i64, receipt: String },
    Read { at_ms: i64, receipt: String },
    Failed { no: No, receipt: String },
    Suppressed { reason: String, detail: String },
}

/// What a message is about, and its words.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Request {
    pub(crate) order: String,
    pub(crate) shipment: String,
    pub(crate) contact: String,
    pub(crate) milestone: Milestone,
    pub(crate) channel: ChannelKind,
    pub(crate) language: Language,
    pub(crate) account: String,
    pub(crate) provider_template: String,
    pub(crate) provider_language: String,
    /// Phone, variables and body; none when it is suppressed before they are known.
    pub(crate) content: Option<SealedValue>,
    pub(crate) cause: String,
    pub(crate) milestone_at_ms: i64,
}

/// A no of the channel, without personal data.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub(crate) struct No {
    pub(crate) code: String,
    pub(crate) reason: String,
    pub(crate) detail: String,
}

/// A receipt of the channel. Attempt 0: it did not say which.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Receipt {
    pub(crate) id: String,
    pub(crate) attempt: u32,
    pub(crate) provider_id: String,
    pub(crate) at_ms: i64,
    pub(crate) news: News,
}

#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) enum News {
    Sent,
    Delivered,
    Read,
    /// With `retry_at_ms` trying again may help, at most `limit` attempts in all.
    Failed {
        no: No,
        retry_at_ms: Option<i64>,
        limit: Option<u32>,
    },
}

#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) enum Refusal {
    NotRequested,
    /// It stands where the channel must not be asked (again).
    NotOpen(Phase),
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotRequested => write!(f, "nobody asked for this message"),
            Self::NotOpen(phase) => write!(f, "the message is not open, it is {phase:?}"),
        }
    }
}

/// Where a message stands. Ordered: a receipt only moves it from `Lost` upwards.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Default)]
pub(crate) enum Phase {
    #[default]
    New,
    Queued,
    /// The channel was asked, its answer is not recorded yet.
    Trying,
    Waiting {
        retry_at_ms: i64,
    },
    Lost {
        resend_at_ms: i64,
    },
    Sent,
    Delivered,
    Read,
    Failed,
    Suppressed,
}

#[derive(Default)]
pub(crate) struct Message {
    request: Option<Request>,
    attempts: u32,
    lost: u32,
    phase: Phase,
}

/// What the sender has to do next.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Step {
    /// Nothing is open.
    Nothing,
    /// Nothing before this time.
    Wait { until_ms: i64 },
    /// An attempt was cut off: its answer is lost.
    Interrupted { attempt: u32 },
    /// A later milestone is told anyway: this one is out of date.
    Supersede,
    /// It waited too long to be news.
    Expire,
    /// Ask the channel.
    Send,
}

/// How old a milestone may be and still be told.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Ages {
    /// While it waits for its first try and a later milestone is told.
    pub(crate) stale_ms: i64,
    /// In any case.
    pub(crate) max_ms: i64,
}

impl Decider for Message {
    const CATEGORY: &'static str = "message";
    type Command = Command;
    type Event = Event;
    type Refusal = Refusal;

    fn decide(&self, command: &Command) -> Result<Vec<Event>, Refusal> {
        match command {
            Command::Request(_) if self.request.is_some() => Ok(vec![]),
            Command::Request(request) => Ok(vec![Event::Requested(request.clone())]),
            Command::Suppress { request, reason, detail } => self.suppress(request, reason, detail),
            Command::Attempt { account } => self.attempt(account),
            Command::Accept { attempt, provider_id, at_ms } => {
                let receipt = String::new();
                Ok(self.sent(*attempt, provider_id, *at_ms, &receipt).into_iter().collect())
            }
            Command::LoseAnswer { attempt, reason, resend_at_ms } => {
                Ok(self.lose_answer(*attempt, reason, *resend_at_ms))
            }
            Command::RefuseAttempt { attempt, no, retry_at_ms, limit } => {
                Ok(self.refused(*attempt, no, Some(*retry_at_ms), *limit, ""))
            }
            Command::Fail { attempt, no } => Ok(self.refused(*attempt, no, None, None, "")),
            Command::Receive(_) if self.attempts == 0 => Err(Refusal::NotRequested),
            Command::Receive(receipt) => Ok(self.receive(receipt)),
        }
    }

    fn evolve(mut self, event: &Event) -> Self {
        match event {
            Event::Requested(request) => {
                self.request = Some(request.clone());
                self.phase = Phase::Queued;
            }
            Event::Attempted { attempt, .. } => {
                self.attempts = *attempt;
                self.phase = Phase::Trying;
            }
            Event::SendUnknown { resend_at_ms, .. } => {
                self.lost += 1;
                self.phase = Phase::Lost { resend_at_ms: *resend_at_ms };
            }
            Event::AttemptFailed { retry_at_ms, .. } => {
                self.phase = Phase::Waiting { retry_at_ms: *retry_at_ms };
            }
            Event::Sent { .. } => self.phase = Phase::Sent,
            Event::Delivered { .. } => self.phase = Phase::Delivered,
            Event::Read { .. } => self.phase = Phase::Read,
            Event::Failed { .. } => self.phase = Phase::Failed,
            Event::Suppressed { .. } => self.phase = Phase::Suppressed,
        }
        self
    }
}

impl Message {
    pub(crate) fn request(&self) -> Option<&Request> {
        self.request.as_ref()
    }

    pub(crate) fn attempts(&self) -> u32 {
        self.attempts
    }

    /// True when the customer was told or is still to be told of this milestone.
    pub(crate) fn is_told(&self) -> bool {
        !matches!(self.phase, Phase::New | Phase::Suppressed)
    }

    /// What to do now. `later_told`: a later milestone of the same shipment is told.
    pub(crate) fn step(&self, now_ms: i64, later_told: bool, ages: Ages) -> Step {
        let at_ms = self.request.as_ref().map_or(now_ms, |request| request.milestone_at_ms);
        let too_old = now_ms.saturating_sub(at_ms) > ages.max_ms;
        let stale = now_ms.saturating_sub(at_ms) > ages.stale_ms;
        match self.phase {
            Phase::Queued | Phase::Waiting { .. } if too_old => Step::Expire,
            Phase::Lost { .. } if too_old => Step::Nothing,
            Phase::Queued if later_told && stale => Step::Supersede,
            Phase::Queued => Step::Send,
            Phase::Trying => Step::Interrupted { attempt: self.attempts },
            Phase::Waiting { .. } if later_told => Step::Supersede,
            // Perhaps the customer has it already; the later milestone says more.
            Phase::Lost { .. } if later_told || self.lost >= MAX_LOST => Step::Nothing,
            Phase::Waiting { retry_at_ms: until_ms } | Phase::Lost { resend_at_ms: until_ms } => {
                if now_ms < until_ms {
                    Step::Wait { until_ms }
                } else {
                    Step::Send
                }
            }
            Phase::New
            | Phase::Sent
            | Phase::Delivered
            | Phase::Read
            | Phase::Failed
            | Phase::Suppressed => Step::Nothing,
        }
    }

    fn suppress(
        &self,
        request: &Option<Request>,
        reason: &str,
        detail: &str,
    ) -> Result<Vec<Event>, Refusal> {
        let suppressed = Event::Suppressed { reason: reason.to_owned(), detail: detail.to_owned() };
        match (self.phase, request) {
            (Phase::New, Some(request)) => Ok(vec![Event::Requested(request.clone()), suppressed]),
            (Phase::New, None) => Err(Refusal::NotRequested),
            // Only what was certainly not sent can be taken back.
            (Phase::Queued | Phase::Waiting { .. }, None) => Ok(vec![suppressed]),
            (Phase::Suppressed, _) | (_, Some(_)) => Ok(vec![]),
            (phase, None) => Err(Refusal::NotOpen(phase)),
        }
    }

    fn attempt(&self, account: &str) -> Result<Vec<Event>, Refusal> {
        let Some(request) = &self.request else { return Err(Refusal::NotRequested) };
        match self.phase {
            Phase::Lost { .. } if self.lost >= MAX_LOST => Err(Refusal::NotOpen(self.phase)),
            Phase::Queued | Phase::Waiting { .. } | Phase::Lost { .. } => {
                let attempt = self.attempts + 1;
                let id = message_id(&request.shipment, request.milestone, request.channel);
                let callback_data = callback_data(&id, attempt);
                Ok(vec![Event::Attempted { attempt, callback_data, account: account.to_owned() }])
            }
            phase @ (Phase::New
            | Phase::Trying
            | Phase::Sent
            | Phase::Delivered
            | Phase::Read
            | Phase::Failed
            | Phase::Suppressed) => Err(Refusal::NotOpen(phase)),
        }
    }

    fn lose_answer(&self, attempt: u32, reason: &str, resend_at_ms: i64) -> Vec<Event> {
        // A receipt may have been faster than the timeout.
        if self.phase != Phase::Trying || attempt != self.attempts {
            return vec![];
        }
        vec![Event::SendUnknown { attempt, reason: reason.to_owned(), resend_at_ms }]
    }

    /// A no to the current attempt; one to an older attempt, or after better news, is no news.
    fn refused(
        &self,
        attempt: u32,
        no: &No,
        retry_at_ms: Option<i64>,
        limit: Option<u32>,
        receipt: &str,
    ) -> Vec<Event> {
        let current = attempt == 0 || attempt >= self.attempts;
        if !current || !matches!(self.phase, Phase::Trying | Phase::Lost { .. } | Phase::Sent) {
            return vec![];
        }
        let attempt = self.attempts;
        let again = limit.is_none_or(|limit| self.attempts < limit);
        match retry_at_ms {
            Some(retry_at_ms) if again => {
                let (code, reason) = (no.code.clone(), no.reason.clone());
                vec![Event::AttemptFailed { attempt, code, reason, retry_at_ms }]
            }
            _ => vec![Event::Failed { no: no.clone(), receipt: receipt.to_owned() }],
        }
    }

    /// `Sent`, unless that or more is known already.
    fn sent(&self, attempt: u32, provider_id: &str, at_ms: i64, receipt: &str) -> Option<Event> {
        let attempt = if attempt == 0 { self.attempts } else { attempt };
        self.is_unsent().then(|| Event::Sent {
            attempt,
            provider_id: provider_id.to_owned(),
            at_ms,
            receipt: receipt.to_owned(),
        })
    }

    fn is_unsent(&self) -> bool {
        matches!(self.phase, Phase::Trying | Phase::Waiting { .. } | Phase::Lost { .. })
    }

    fn receive(&self, receipt: &Receipt) -> Vec<Event> {
        let Receipt { id, attempt, provider_id, at_ms, news } = receipt;
        let unfinished = self.is_unsent() || self.phase == Phase::Sent;
        let sent = || self.sent(*attempt, provider_id, *at_ms, id).into_iter();
        match news {
            News::Sent => sent().collect(),
            News::Delivered if unfinished => {
                let delivered = Event::Delivered { at_ms: *at_ms, receipt: id.clone() };
                sent().chain([delivered]).collect()
            }
            News::Read if unfinished || self.phase == Phase::Delivered => {
                sent().chain([Event::Read { at_ms: *at_ms, receipt: id.clone() }]).collect()
            }
            News::Delivered | News::Read => vec![],
            News::Failed { no, retry_at_ms, limit } => {
                self.refused(*attempt, no, *retry_at_ms, *limit, id)
            }
        }
    }
}

#[cfg(test)]
mod tests;
