//! An account at a courier: its mode, its sealed credentials, its webhook's token and secret.
//! *Invariant:* credentials, token and secret stand here sealed only; what is compared with them is
//! a hash.

use nexus_es::Decider;

use super::{CourierKind, Sealed};

/// Which of the courier's systems is meant; the addresses are configuration.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub(crate) enum Mode {
    #[default]
    Sandbox,
    Live,
}

impl Mode {
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Sandbox => "sandbox",
            Self::Live => "live",
        }
    }

    pub(crate) fn parse(name: &str) -> Option<Self> {
        [Self::Sandbox, Self::Live].into_iter().find(|mode| mode.name() == name)
    }
}

/// Sealed credentials and what may be shown of them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Credentials {
    pub(crate) sealed: Option<Sealed>,
    pub(crate) last4: String,
}

/// How the courier reaches us.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Webhook {
    pub(crate) token_sha256: Vec<u8>,
    pub(crate) token: Sealed,
    pub(crate) secret_sha256: Vec<u8>,
    /// Absent in accounts that were opened before it was kept.
    pub(crate) secret: Option<Sealed>,
    pub(crate) header: String,
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Opening {
    pub(crate) courier: CourierKind,
    pub(crate) name: String,
    pub(crate) mode: Mode,
    pub(crate) credentials: Credentials,
    pub(crate) webhook: Webhook,
    pub(crate) pickup_location: String,
}

/// What changes; what is `None` stays.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Amendment {
    pub(crate) name: Option<String>,
    pub(crate) mode: Option<Mode>,
    pub(crate) pickup_location: Option<String>,
    pub(crate) webhook_header: Option<String>,
}

#[derive(Clone, Debug)]
pub(crate) enum Command {
    Open(Box<Opening>),
    Amend(Amendment),
    RotateCredentials(Credentials),
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Event {
    Opened(Box<Opening>),
    Amended(Amendment),
    CredentialsRotated(Credentials),
}

#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Refusal {
    #[error("there is no such courier account")]
    NotFound,
    #[error("a manual account has no credentials")]
    TakesNoCredentials,
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct CourierAccount {
    opened: Option<Opening>,
    /// The credentials are those of the opening.
    original_credentials: bool,
}

impl Decider for CourierAccount {
    const CATEGORY: &'static str = "courier_account";
    type Command = Command;
    type Event = Event;
    type Refusal = Refusal;

    fn decide(&self, command: &Command) -> Result<Vec<Event>, Refusal> {
        match (command, &self.opened) {
            // Its id is derived from the request: who opens it again asks for the same account.
            (Command::Open(_), Some(_)) => Ok(vec![]),
            (Command::Open(opening), None) => Ok(vec![Event::Opened(opening.clone())]),
            (_, None) => Err(Refusal::NotFound),
            (Command::Amend(amendment), Some(now)) => {
                let news = amendment.without_repeats(now);
                Ok(if news == Amendment::default() { vec![] } else { vec![Event::Amended(news)] })
            }
            (Command::RotateCredentials(_), Some(now)) if now.courier == CourierKind::Manual => {
                Err(Refusal::TakesNoCredentials)
            }
            (Command::RotateCredentials(credentials), Some(_)) => {
                Ok(vec![Event::CredentialsRotated(credentials.clone())])
            }
        }
    }

    fn evolve(mut self, event: &Event) -> Self {
        match (event, &mut self.opened) {
            (Event::Opened(opening), _) => {
                return Self { opened: Some((**opening).clone()), original_credentials: true };
            }
            (Event::Amended(amendment), Some(now)) => amendment.clone().apply(now),
            (Event::CredentialsRotated(credentials), Some(now)) => {
                now.credentials = credentials.clone();
                self.original_credentials = false;
            }
            (Event::Amended(_) | Event::CredentialsRotated(_), None) => {}
        }
        self
    }
}

impl CourierAccount {
    /// The account as it is now, if it was opened.
    pub(crate) const fn now(&self) -> Option<&Opening> {
        self.opened.as_ref()
    }

    /// True until the credentials are rotated: they were sealed as part of the opening.
    pub(crate) const fn has_original_credentials(&self) -> bool {
        self.original_credentials
    }
}

impl Amendment {
    fn without_repeats(&self, now: &Opening) -> Self {
        let changed = |new: &Option<String>, old: &String| new.clone().filter(|new| new != old);
        Self {
            name: changed(&self.name, &now.name),
            mode: self.mode.filter(|mode| *mode != now.mode),
            pickup_location: changed(&self.pickup_location, &now.pickup_location),
            webhook_header: changed(&self.webhook_header, &now.webhook.header),
        }
    }

    fn apply(self, now: &mut Opening) {
        if let Some(name) = self.name {
            now.name = name;
        }
        if let Some(mode) = self.mode {
            now.mode = mode;
        }
        if let Some(pickup_location) = self.pickup_location {
            now.pickup_location = pickup_location;
        }
        if let Some(header) = self.webhook_header {
            now.webhook.header = header;
        }
    }
}

#[cfg(test)]
mod tests {
    use nexus_es::kit::given;

    use super::*;

    fn opening(courier: CourierKind) -> Opening {
        Opening { courier, name: "Main".to_owned(), ..Opening::default() }
    }

    fn opened(courier: CourierKind) -> Event {
        Event::Opened(Box::new(opening(courier)))
    }

    #[test]
    fn opening_it_again_is_no_news() {
        given::<CourierAccount>([opened(CourierKind::Bosta)])
            .when(&Command::Open(Box::new(opening(CourierKind::Manual))))
            .then_no_news();
    }

    #[test]
    fn an_amendment_keeps_only_what_is_new() {
        let amendment = Amendment {
            name: Some("Main".to_owned()),
            mode: Some(Mode::Live),
            ..Amendment::default()
        };
        let news = Amendment { mode: Some(Mode::Live), ..Amendment::default() };
        given::<CourierAccount>([opened(CourierKind::Bosta)])
            .when(&Command::Amend(amendment.clone()))
            .then([Event::Amended(news)])
            .when(&Command::Amend(amendment))
            .then_no_news();
    }

    #[test]
    fn an_account_that_was_never_opened_takes_no_change() {
        given::<CourierAccount>([])
            .when(&Command::Amend(Amendment::default()))
            .then_refused(Refusal::NotFound);
    }

    #[test]
    fn a_manual_account_has_no_credentials_to_rotate() {
        given::<CourierAccount>([opened(CourierKind::Manual)])
            .when(&Command::RotateCredentials(Credentials::default()))
            .then_refused(Refusal::TakesNoCredentials);
    }
}
