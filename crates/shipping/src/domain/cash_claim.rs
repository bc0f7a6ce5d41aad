//! Which parcel of an order carries the cash. The aggregate's id is the order's.
//! *Invariant:* one parcel at most, whichever replica plans it: the cash is collected once.

use nexus_es::Decider;

#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Command {
    Claim { parcel_id: String },
}

#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Event {
    Claimed { parcel_id: String },
}

#[derive(Debug, PartialEq, thiserror::Error)]
pub(crate) enum Refusal {
    #[error("parcel {by} carries the cash")]
    Taken { by: String },
}

#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct CashClaim {
    parcel_id: Option<String>,
}

impl Decider for CashClaim {
    const CATEGORY: &'static str = "cash_claim";
    type Command = Command;
    type Event = Event;
    type Refusal = Refusal;

    fn decide(&self, command: &Command) -> Result<Vec<Event>, Refusal> {
        match (command, &self.parcel_id) {
            (Command::Claim { parcel_id }, Some(by)) if by == parcel_id => Ok(vec![]),
            (Command::Claim { .. }, Some(by)) => Err(Refusal::Taken { by: by.clone() }),
            (Command::Claim { parcel_id }, None) => {
                Ok(vec![Event::Claimed { parcel_id: parcel_id.clone() }])
            }
        }
    }

    fn evolve(self, event: &Event) -> Self {
        match event {
            Event::Claimed { parcel_id } => Self { parcel_id: Some(parcel_id.clone()) },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use nexus_es::kit::given;

    fn claim(parcel: &str) -> Command {
        Command::Claim { parcel_id: parcel.to_owned() }
    }

    fn claimed(parcel: &str) -> Event {
        Event::Claimed { parcel_id: parcel.to_owned() }
    }

    #[test]
    fn the_first_parcel_gets_the_cash_and_no_other_ever_does() {
        given::<CashClaim>([]).when(&claim("p1")).then([claimed("p1")]);
        given::<CashClaim>([claimed("p1")]).when(&claim("p1")).then([]);
        given::<CashClaim>([claimed("p1")])
            .when(&claim("p2"))
            .then_refused(Refusal::Taken { by: "p1".to_owned() });
    }
}
