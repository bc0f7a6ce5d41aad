//! The port to a message channel.
//! *Invariant:* an outcome is `Accepted` or `Refused` only when the channel said so; everything
//! else is `Unknown`, because the channel knows no idempotency key and a blind repeat sends twice.

pub(crate) mod whatsapp;

use async_trait::async_trait;
use nexus_proto::notification::v1::{MessageContent, SealedChannelCredentials};

use crate::domain::Mode;
use crate::domain::message::No;

/// A message on its way out.
pub(crate) struct Outgoing {
    pub(crate) mode: Mode,
    pub(crate) credentials: SealedChannelCredentials,
    pub(crate) provider_template: String,
    pub(crate) provider_language: String,
    pub(crate) content: MessageContent,
    pub(crate) callback_data: String,
}

/// What the channel did.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Outcome {
    /// It took the message; accepted is not yet sent.
    Accepted { provider_id: String },
    /// It said no.
    Refused(Refused),
    /// Nobody knows.
    Unknown { reason: &'static str },
}

/// A no, and what it means for us.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Refused {
    pub(crate) no: No,
    pub(crate) verdict: Verdict,
}

/// What follows from a no.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// Try this message again with growing waits, so many times in all.
    Retry { attempts: u32 },
    /// Try again, and slow all messages of the account down.
    SlowDown,
    /// Too many to this one customer: wait 4^n seconds.
    Pair,
    /// The template cannot be used now: keep the message, tell the operator.
    StopTemplate,
    /// The account cannot send: stop it, keep the queue, tell the operator.
    StopChannel,
    /// It will never work.
    Final,
}

/// What a test of an account found.
pub(crate) enum Check {
    Works { account: Option<String> },
    Fails { problem: String, hint: String },
}

/// A way to reach customers. Stateless.
#[async_trait]
pub(crate) trait Channel: Send + Sync + 'static {
    /// Sends one template message.
    async fn send(&self, outgoing: &Outgoing) -> Outcome;

    /// Asks whether the credentials work; sends nothing.
    async fn test_connection(&self, mode: Mode, credentials: &SealedChannelCredentials) -> Check;
}
