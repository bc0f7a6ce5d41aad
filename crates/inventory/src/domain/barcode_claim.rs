//! One barcode, and the one SKU that it names.
//! *Invariant:* a barcode names at most one SKU at any time.
//!
//! A claim is made before its product says that it has the barcode. A claim whose product never
//! came to be (a crash in between) stays with that SKU: the same request, sent again, completes it.

use nexus_es::Decider;

use super::Sku;

/// What is asked of a barcode.
#[derive(Clone, Debug)]
pub enum Command {
    /// Let it name `sku`.
    Claim {
        /// Who wants it.
        sku: Sku,
    },
    /// Let it name nothing, if it names `sku`.
    Release {
        /// Who gives it back.
        sku: Sku,
    },
}

/// What became of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// It names this SKU.
    Claimed {
        /// Whose it is.
        sku: Sku,
    },
    /// It is free.
    Released {
        /// Whose it was.
        sku: Sku,
    },
}

/// Why it cannot be had.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// Another SKU has it.
    Taken {
        /// Which.
        by: Sku,
    },
}

/// A barcode.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct BarcodeClaim {
    sku: Option<Sku>,
}

impl BarcodeClaim {
    /// The SKU that it names.
    #[must_use]
    pub fn sku(&self) -> Option<&Sku> {
        self.sku.as_ref()
    }
}

impl Decider for BarcodeClaim {
    const CATEGORY: &'static str = "barcode_claim";
    type Command = Command;
    type Event = Event;
    type Refusal = Refusal;

    fn decide(&self, command: &Command) -> Result<Vec<Event>, Refusal> {
        match (command, &self.sku) {
            (Command::Claim { sku }, None) => Ok(vec![Event::Claimed { sku: sku.clone() }]),
            (Command::Claim { sku }, Some(by)) if sku == by => Ok(vec![]),
            (Command::Claim { .. }, Some(by)) => Err(Refusal::Taken { by: by.clone() }),
            (Command::Release { sku }, Some(by)) if sku == by => {
                Ok(vec![Event::Released { sku: sku.clone() }])
            }
            (Command::Release { .. }, _) => Ok(vec![]),
        }
    }

    fn evolve(self, event: &Event) -> Self {
        match event {
            Event::Claimed { sku } => Self { sku: Some(sku.clone()) },
            Event::Released { .. } => Self { sku: None },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use nexus_es::kit::given;

    fn claimed(sku: &str) -> Event {
        Event::Claimed { sku: sku.into() }
    }

    #[test]
    fn a_barcode_names_one_sku_until_that_gives_it_back() {
        given::<BarcodeClaim>([])
            .when(&Command::Claim { sku: "MUG".into() })
            .then([claimed("MUG")])
            .when(&Command::Claim { sku: "MUG".into() })
            .then_no_news()
            .when(&Command::Release { sku: "CUP".into() })
            .then_no_news()
            .when(&Command::Release { sku: "MUG".into() })
            .then([Event::Released { sku: "MUG".into() }])
            .when(&Command::Claim { sku: "CUP".into() })
            .then([claimed("CUP")])
            .when(&Command::Claim { sku: "MUG".into() })
            .then_refused(Refusal::Taken { by: "CUP".into() });
    }
}
