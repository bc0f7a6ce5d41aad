//! A person or shop that orders. What tells who it is stands sealed; orders keep their own
//! snapshot, so that amending a contact never rewrites history.

use std::collections::BTreeMap;

use nexus_es::Decider;

use super::{Consent, SealedValue};

/// What is known of a contact.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Card {
    /// Keyed hash of the phone; empty without one.
    pub(crate) phone_hmac: Vec<u8>,
    /// Name, phone, e-mail, addresses.
    pub(crate) profile: SealedValue,
    pub(crate) external_reference: String,
    pub(crate) language: String,
}

#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Command {
    /// Asks for what an earlier call with the same key left; it is never decided anew.
    Recall,
    Register {
        card: Card,
        consents: Vec<Consent>,
    },
    Amend {
        card: Card,
    },
    RecordConsent(Consent),
    Erase {
        reason: String,
    },
}

#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Event {
    Registered { card: Card, consents: Vec<Consent> },
    Amended { card: Card, previous_phone_hmac: Vec<u8> },
    ConsentRecorded(Consent),
    Erased { reason: String, phone_hmac: Vec<u8> },
}

#[derive(Debug, PartialEq, thiserror::Error)]
pub(crate) enum Refusal {
    #[error("the contact is not registered")]
    Unknown,
    #[error("the contact was erased")]
    Erased,
    #[error("no call had this key before")]
    NothingToRecall,
}

#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Contact {
    pub(crate) card: Option<Card>,
    /// Channel → the latest word about it.
    pub(crate) consents: BTreeMap<String, Consent>,
    pub(crate) erased: bool,
}

impl Contact {
    fn known(&self) -> Result<&Card, Refusal> {
        match &self.card {
            _ if self.erased => Err(Refusal::Erased),
            Some(card) => Ok(card),
            None => Err(Refusal::Unknown),
        }
    }
}

impl Decider for Contact {
    const CATEGORY: &'static str = "contact";
    type Command = Command;
    type Event = Event;
    type Refusal = Refusal;

    fn decide(&self, command: &Command) -> Result<Vec<Event>, Refusal> {
        match command {
            Command::Recall => Err(Refusal::NothingToRecall),
            Command::Register { .. } if self.erased => Err(Refusal::Erased),
            // Its phone found it: what is known of it stays as it is.
            Command::Register { .. } if self.card.is_some() => Ok(vec![]),
            Command::Register { card, consents } => {
                Ok(vec![Event::Registered { card: card.clone(), consents: consents.clone() }])
            }
            Command::Amend { card } => {
                let before = self.known()?;
                if before == card {
                    return Ok(vec![]);
                }
                let moved = before.phone_hmac != card.phone_hmac;
                let previous = if moved { before.phone_hmac.clone() } else { Vec::new() };
                Ok(vec![Event::Amended { card: card.clone(), previous_phone_hmac: previous }])
            }
            Command::Erase { .. } if self.erased => Ok(vec![]),
            Command::Erase { reason } => {
                let phone_hmac = self.known()?.phone_hmac.clone();
                Ok(vec![Event::Erased { reason: reason.clone(), phone_hmac }])
            }
            Command::RecordConsent(consent) => {
                self.known()?;
                let said = self.consents.get(&consent.channel);
                match said {
                    Some(said) if said == consent => Ok(vec![]),
                    _ => Ok(vec![Event::ConsentRecorded(consent.clone())]),
                }
            }
        }
    }

    fn evolve(mut self, event: &Event) -> Self {
        match event {
            Event::Registered { card, consents } => {
                self.card = Some(card.clone());
                self.consents
                    .extend(consents.iter().map(|said| (said.channel.clone(), said.clone())));
            }
            Event::Amended { card, .. } => self.card = Some(card.clone()),
            Event::ConsentRecorded(said) => {
                self.consents.insert(said.channel.clone(), said.clone());
            }
            Event::Erased { .. } => {
                self.erased = true;
                self.consents.clear();
            }
        }
        self
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use nexus_es::kit::given;

    fn card(phone: &[u8]) -> Card {
        Card { phone_hmac: phone.to_vec(), language: "ar".to_owned(), ..Card::default() }
    }

    fn registered() -> Event {
        Event::Registered { card: card(b"old"), consents: vec![] }
    }

    fn whatsapp(granted: bool) -> Consent {
        Consent { channel: "whatsapp".to_owned(), granted, source: "checkout".to_owned() }
    }

    #[test]
    fn registering_a_known_contact_leaves_it_as_it_is() {
        given::<Contact>([registered()])
            .when(&Command::Register { card: card(b"new"), consents: vec![] })
            .then_no_news();
    }

    #[test]
    fn a_new_phone_names_the_one_to_be_released() {
        given::<Contact>([registered()])
            .when(&Command::Amend { card: card(b"new") })
            .then([Event::Amended { card: card(b"new"), previous_phone_hmac: b"old".to_vec() }]);
        given::<Contact>([registered()])
            .when(&Command::Amend { card: card(b"old") })
            .then_no_news();
    }

    #[test]
    fn consent_is_recorded_when_it_changes() {
        given::<Contact>([registered()])
            .when(&Command::RecordConsent(whatsapp(true)))
            .then([Event::ConsentRecorded(whatsapp(true))])
            .when(&Command::RecordConsent(whatsapp(true)))
            .then_no_news()
            .when(&Command::RecordConsent(whatsapp(false)))
            .then([Event::ConsentRecorded(whatsapp(false))]);
    }

    #[test]
    fn a_contact_is_erased_once_and_names_the_phone_that_is_free() {
        let erase = Command::Erase { reason: "asked".to_owned() };
        let erased = Event::Erased { reason: "asked".to_owned(), phone_hmac: b"old".to_vec() };
        given::<Contact>([registered()]).when(&erase).then([erased]).when(&erase).then_no_news();
        given::<Contact>([]).when(&erase).then_refused(Refusal::Unknown);
    }

    #[test]
    fn nothing_is_recorded_about_an_unknown_or_erased_contact() {
        let ask = Command::RecordConsent(whatsapp(true));
        given::<Contact>([]).when(&ask).then_refused(Refusal::Unknown);
        let erased = Event::Erased { reason: "asked".to_owned(), phone_hmac: vec![] };
        given::<Contact>([registered(), erased]).when(&ask).then_refused(Refusal::Erased);
    }
}
