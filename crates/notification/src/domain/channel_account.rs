//! An account from which messages go out; its secrets can be written, never read.

use nexus_es::Decider;

use super::{ChannelKind, Mode, SealedValue};

pub(crate) enum Command {
    Open(Opening),
    Amend(Amendment),
    RotateCredentials(Credentials, RotationGrace),
}

#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) enum Event {
    Opened(Opening),
    Amended(Amendment),
    CredentialsRotated(Credentials, RotationGrace),
}

#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Opening {
    pub(crate) channel: ChannelKind,
    pub(crate) name: String,
    pub(crate) mode: Mode,
    pub(crate) credentials: Credentials,
    pub(crate) webhook_token_sha256: Vec<u8>,
    pub(crate) webhook_token: SealedValue,
}

/// The secrets, sealed, and what may be shown of them.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Credentials {
    pub(crate) sealed: SealedValue,
    pub(crate) last4: String,
    pub(crate) phone_number_id: String,
}

#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub(crate) struct Amendment {
    pub(crate) name: Option<String>,
    pub(crate) mode: Option<Mode>,
    pub(crate) enabled: Option<bool>,
}

/// Until when the secret before stays good for webhooks, unix milliseconds.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct RotationGrace {
    pub(crate) previous_until_ms: i64,
}

#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) enum Refusal {
    NotOpened,
}

#[derive(Default)]
pub(crate) struct ChannelAccount {
    account: Option<Account>,
}

/// An open account.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Account {
    pub(crate) name: String,
    pub(crate) mode: Mode,
    pub(crate) enabled: bool,
    pub(crate) credentials: Credentials,
    /// Times the secrets were replaced: they are sealed as part of another event from then on.
    pub(crate) rotations: u32,
}

impl Decider for ChannelAccount {
    const CATEGORY: &'static str = "channel_account";
    type Command = Command;
    type Event = Event;
    type Refusal = Refusal;

    fn decide(&self, command: &Command) -> Result<Vec<Event>, Refusal> {
        match (&self.account, command) {
            (Some(_), Command::Open(_)) => Ok(vec![]),
            (None, Command::Open(opening)) => Ok(vec![Event::Opened(opening.clone())]),
            (None, Command::Amend(_) | Command::RotateCredentials(..)) => Err(Refusal::NotOpened),
            (Some(account), Command::Amend(amendment)) => {
                let news = account.news_in(amendment);
                let none = news == Amendment::default();
                Ok(if none { vec![] } else { vec![Event::Amended(news)] })
            }
            (Some(_), Command::RotateCredentials(credentials, grace)) => {
                Ok(vec![Event::CredentialsRotated(credentials.clone(), *grace)])
            }
        }
    }

    fn evolve(mut self, event: &Event) -> Self {
        match (event, &mut self.account) {
            (Event::Opened(opening), account) => {
                *account = Some(Account {
                    name: opening.name.clone(),
                    mode: opening.mode,
                    enabled: true,
                    credentials: opening.credentials.clone(),
                    rotations: 0,
                });
            }
            (Event::Amended(amendment), Some(account)) => account.amend(amendment),
            (Event::CredentialsRotated(credentials, _), Some(account)) => {
                account.credentials = credentials.clone();
                account.rotations += 1;
            }
            (Event::Amended(_) | Event::CredentialsRotated(..), None) => {}
        }
        self
    }
}

impl ChannelAccount {
    pub(crate) fn account(&self) -> Option<&Account> {
        self.account.as_ref()
    }
}

impl Account {
    fn news_in(&self, amendment: &Amendment) -> Amendment {
        Amendment {
            name: amendment.name.clone().filter(|name| *name != self.name),
            mode: amendment.mode.filter(|mode| *mode != self.mode),
            enabled: amendment.enabled.filter(|enabled| *enabled != self.enabled),
        }
    }

    fn amend(&mut self, amendment: &Amendment) {
        if let Some(name) = &amendment.name {
            self.name.clone_from(name);
        }
        self.mode = amendment.mode.unwrap_or(self.mode);
        self.enabled = amendment.enabled.unwrap_or(self.enabled);
    }
}

#[cfg(test)]
mod tests {
    use nexus_es::kit::given;

    use super::*;

    fn credentials(last4: &str) -> Credentials {
        Credentials {
            sealed: SealedValue::default(),
            last4: last4.to_owned(),
            phone_number_id: "106540352242922".to_owned(),
        }
    }

    fn opening() -> Opening {
        Opening {
            channel: ChannelKind::WhatsApp,
            name: "Shop".to_owned(),
            mode: Mode::Sandbox,
            credentials: credentials("abcd"),
            webhook_token_sha256: vec![1],
            webhook_token: SealedValue::default(),
        }
    }

    #[test]
    fn an_account_is_opened_once() {
        given::<ChannelAccount>([])
            .when(&Command::Open(opening()))
            .then([Event::Opened(opening())])
            .when(&Command::Open(opening()))
            .then_no_news();
    }

    #[test]
    fn only_what_differs_is_amended() {
        let amend = Amendment {
            name: Some("Shop".to_owned()),
            mode: Some(Mode::Live),
            enabled: Some(true),
        };
        let news = Amendment { mode: Some(Mode::Live), ..Amendment::default() };
        given::<ChannelAccount>([Event::Opened(opening())])
            .when(&Command::Amend(amend.clone()))
            .then([Event::Amended(news)])
            .when(&Command::Amend(amend))
            .then_no_news();
    }

    #[test]
    fn an_account_that_is_not_there_has_no_secrets_to_replace() {
        let grace = RotationGrace { previous_until_ms: 5 };
        given::<ChannelAccount>([])
            .when(&Command::RotateCredentials(credentials("wxyz"), grace))
            .then_refused(Refusal::NotOpened);
        given::<ChannelAccount>([Event::Opened(opening())])
            .when(&Command::RotateCredentials(credentials("wxyz"), grace))
            .then([Event::CredentialsRotated(credentials("wxyz"), grace)]);
    }
}
