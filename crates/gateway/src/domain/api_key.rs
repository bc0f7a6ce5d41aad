//! An API key: issued once, of use until it expires or is revoked.
//! *Invariant:* the key itself is nowhere, only its digest.

use nexus_es::Decider;

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Issue {
    pub(crate) prefix: String,
    pub(crate) digest: Vec<u8>,
    pub(crate) name: String,
    pub(crate) roles: Vec<String>,
    pub(crate) expires_at_ms: Option<i64>,
}

#[derive(Debug)]
pub(crate) enum Command {
    Issue(Issue),
    Revoke { reason: String },
}

#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Event {
    Issued(Issue),
    Revoked { reason: String },
}

#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Refusal {
    NotIssued,
}

#[derive(Default)]
pub(crate) enum ApiKey {
    #[default]
    Unknown,
    Valid,
    Revoked,
}

impl Decider for ApiKey {
    const CATEGORY: &'static str = "api_key";
    type Command = Command;
    type Event = Event;
    type Refusal = Refusal;

    fn decide(&self, command: &Command) -> Result<Vec<Event>, Refusal> {
        match (command, self) {
            (Command::Issue(issue), Self::Unknown) => Ok(vec![Event::Issued(issue.clone())]),
            (Command::Issue(_), Self::Valid | Self::Revoked) => Ok(vec![]),
            (Command::Revoke { .. }, Self::Unknown) => Err(Refusal::NotIssued),
            (Command::Revoke { .. }, Self::Revoked) => Ok(vec![]),
            (Command::Revoke { reason }, Self::Valid) => {
                Ok(vec![Event::Revoked { reason: reason.clone() }])
            }
        }
    }

    fn evolve(self, event: &Event) -> Self {
        match event {
            Event::Issued(_) => Self::Valid,
            Event::Revoked { .. } => Self::Revoked,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use nexus_es::kit::given;

    fn issue() -> Issue {
        Issue {
            prefix: "nx_live_ab".to_owned(),
            digest: vec![1; 32],
            name: "Mona's till".to_owned(),
            roles: vec!["clerk".to_owned()],
            expires_at_ms: None,
        }
    }

    #[test]
    fn a_key_is_issued_once_and_revoked_once() {
        given::<ApiKey>([])
            .when(&Command::Issue(issue()))
            .then([Event::Issued(issue())])
            .when(&Command::Issue(issue()))
            .then_no_news()
            .when(&Command::Revoke { reason: "lost".to_owned() })
            .then([Event::Revoked { reason: "lost".to_owned() }])
            .when(&Command::Revoke { reason: "lost again".to_owned() })
            .then_no_news();
    }

    #[test]
    fn what_was_never_issued_cannot_be_revoked() {
        given::<ApiKey>([])
            .when(&Command::Revoke { reason: String::new() })
            .then_refused(Refusal::NotIssued);
    }
}
