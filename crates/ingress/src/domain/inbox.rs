//! The webhooks of one account on one day.
//! *Invariant:* everything authentic is kept as it came; repeats are kept too, whoever applies them
//! tells them apart. There is no state to decide on, so that a busy day costs no memory.

use nexus_es::Decider;

use super::SealedValue;

pub(crate) enum Command {
    Receive(Received),
}

#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) enum Event {
    Received(Received),
}

/// Who may post here.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Kind {
    Courier,
    Channel,
}

impl Kind {
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Courier => "courier",
            Self::Channel => "channel",
        }
    }

    pub(crate) fn parse(text: &str) -> Option<Self> {
        [Self::Courier, Self::Channel].into_iter().find(|kind| kind.as_str() == text)
    }
}

/// How a webhook proved where it came from.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Proof {
    SecretHeader,
    Signature,
}

impl Proof {
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::SecretHeader => "secret_header",
            Self::Signature => "signature",
        }
    }

    pub(crate) fn parse(text: &str) -> Option<Self> {
        [Self::SecretHeader, Self::Signature].into_iter().find(|proof| proof.as_str() == text)
    }
}

/// One webhook.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Received {
    pub(crate) kind: Kind,
    pub(crate) account: String,
    pub(crate) account_token_sha256: Vec<u8>,
    pub(crate) received_at_ms: i64,
    pub(crate) body: SealedValue,
    pub(crate) body_sha256: Vec<u8>,
    pub(crate) body_bytes: u32,
    /// What proves the signature again, if there is one.
    pub(crate) headers: Option<SealedValue>,
    pub(crate) proof: Proof,
}

/// Nothing authentic is refused.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) enum Refusal {}

#[derive(Default)]
pub(crate) struct Inbox;

impl Decider for Inbox {
    const CATEGORY: &'static str = "inbox";
    type Command = Command;
    type Event = Event;
    type Refusal = Refusal;

    fn decide(&self, command: &Command) -> Result<Vec<Event>, Refusal> {
        let Command::Receive(received) = command;
        Ok(vec![Event::Received(received.clone())])
    }

    fn evolve(self, event: &Event) -> Self {
        let Event::Received(_) = event;
        self
    }
}

#[cfg(test)]
mod tests {
    use nexus_es::kit::given;

    use super::*;

    #[test]
    fn the_same_webhook_twice_is_kept_twice() {
        let received = Received {
            kind: Kind::Courier,
            account: "acc".to_owned(),
            account_token_sha256: vec![1],
            received_at_ms: 1,
            body: SealedValue::default(),
            body_sha256: vec![2],
            body_bytes: 3,
            headers: None,
            proof: Proof::SecretHeader,
        };
        given::<Inbox>([])
            .when(&Command::Receive(received.clone()))
            .then([Event::Received(received.clone())])
            .when(&Command::Receive(received.clone()))
            .then([Event::Received(received)]);
    }
}
