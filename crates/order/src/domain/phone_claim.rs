//! A phone belongs to at most one contact. The aggregate's id is a keyed hash of the number, so
//! that the log names no phone.

use nexus_es::Decider;

#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Command {
    Claim { contact_id: String },
    Release { contact_id: String, reason: &'static str },
}

#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Event {
    Claimed { contact_id: String },
    Released { contact_id: String, reason: String },
}

#[derive(Debug, PartialEq, thiserror::Error)]
pub(crate) enum Refusal {
    #[error("the phone belongs to contact {by}")]
    Taken { by: String },
}

#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct PhoneClaim {
    pub(crate) contact_id: Option<String>,
}

impl Decider for PhoneClaim {
    const CATEGORY: &'static str = "phone_claim";
    type Command = Command;
    type Event = Event;
    type Refusal = Refusal;

    fn decide(&self, command: &Command) -> Result<Vec<Event>, Refusal> {
        match (command, &self.contact_id) {
            (Command::Claim { contact_id }, Some(owner)) if owner == contact_id => Ok(vec![]),
            (Command::Claim { .. }, Some(owner)) => Err(Refusal::Taken { by: owner.clone() }),
            (Command::Claim { contact_id }, None) => {
                Ok(vec![Event::Claimed { contact_id: contact_id.clone() }])
            }
            (Command::Release { contact_id, reason }, Some(owner)) if owner == contact_id => {
                let reason = (*reason).to_owned();
                Ok(vec![Event::Released { contact_id: contact_id.clone(), reason }])
            }
            // Free, or already somebody else's: there is nothing of ours to give back.
            (Command::Release { .. }, _) => Ok(vec![]),
        }
    }

    fn evolve(self, event: &Event) -> Self {
        match event {
            Event::Claimed { contact_id } => Self { contact_id: Some(contact_id.clone()) },
            Event::Released { .. } => Self { contact_id: None },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use nexus_es::kit::given;

    fn claimed(by: &str) -> Event {
        Event::Claimed { contact_id: by.to_owned() }
    }

    fn claim(by: &str) -> Command {
        Command::Claim { contact_id: by.to_owned() }
    }

    fn release(by: &str) -> Command {
        Command::Release { contact_id: by.to_owned(), reason: "amended" }
    }

    #[test]
    fn a_phone_goes_to_the_first_who_claims_it() {
        given::<PhoneClaim>([]).when(&claim("mona")).then([claimed("mona")]);
        given::<PhoneClaim>([claimed("mona")]).when(&claim("mona")).then_no_news();
        given::<PhoneClaim>([claimed("mona")])
            .when(&claim("ali"))
            .then_refused(Refusal::Taken { by: "mona".to_owned() });
    }

    #[test]
    fn a_released_phone_can_be_claimed_and_only_its_owner_releases_it() {
        given::<PhoneClaim>([claimed("mona")]).when(&release("ali")).then_no_news();
        let released =
            Event::Released { contact_id: "mona".to_owned(), reason: "amended".to_owned() };
        given::<PhoneClaim>([claimed("mona")])
            .when(&release("mona"))
            .then([released])
            .when(&claim("ali"))
            .then([claimed("ali")]);
    }
}
