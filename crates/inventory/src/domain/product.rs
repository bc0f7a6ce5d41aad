//! Something that is sold: its SKU is the aggregate's id.
//! *Invariant:* a SKU is registered once; what it is called and weighs may change, what it is
//! (goods that are stocked, or not) may not.

use nexus_es::Decider;

use super::{Dimensions, Price};

/// A barcode on the product and the units that one scan of it counts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pack {
    /// What is printed, as it was entered; its [`super::barcode::Barcode`] is what is claimed.
    pub code: String,
    /// What it counts, at least 1.
    pub units: u32,
}

/// What is known of a product.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Details {
    /// Its name.
    pub name: String,
    /// What a scanner may read on it, beside its SKU.
    pub barcodes: Vec<Pack>,
    /// Weight of one unit.
    pub weight_grams: Option<u32>,
    /// Measures of one unit.
    pub dimensions: Option<Dimensions>,
    /// False: postage, services; never reserved, never picked.
    pub stocked: bool,
    /// List price.
    pub price: Option<Price>,
}

/// What is to change; what is `None` stays.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Amendment {
    /// Another name.
    pub name: Option<String>,
    /// All barcodes anew.
    pub barcodes: Option<Vec<Pack>>,
    /// Another weight.
    pub weight_grams: Option<u32>,
    /// Other measures.
    pub dimensions: Option<Dimensions>,
    /// Another price.
    pub price: Option<Price>,
}

/// What is asked of a product.
#[derive(Clone, Debug)]
pub enum Command {
    /// Make it known.
    Register(Details),
    /// Change it.
    Amend(Amendment),
    /// Let it no longer be ordered.
    Discontinue {
        /// Why.
        reason: String,
    },
}

/// What happened to it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// It is known.
    Registered(Details),
    /// It is as stated from now on.
    Amended(Amendment),
    /// It can no longer be ordered.
    Discontinued {
        /// Why.
        reason: String,
    },
}

/// Why not.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// The SKU is registered with other content.
    OtherContent,
    /// Nobody registered it.
    Unknown,
}

/// A product.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Product {
    details: Option<Details>,
    discontinued: bool,
}

impl Product {
    /// What is known of it; `None` before it is registered.
    #[must_use]
    pub fn details(&self) -> Option<&Details> {
        self.details.as_ref()
    }

    /// True once it can no longer be ordered.
    #[must_use]
    pub fn discontinued(&self) -> bool {
        self.discontinued
    }
}

impl Details {
    /// These details with `amendment` made.
    #[must_use]
    pub fn amended(mut self, amendment: &Amendment) -> Self {
        let Amendment { name, barcodes, weight_grams, dimensions, price } = amendment;
        if let Some(name) = name {
            self.name.clone_from(name);
        }
        if let Some(barcodes) = barcodes {
            self.barcodes.clone_from(barcodes);
        }
        self.weight_grams = weight_grams.or(self.weight_grams);
        self.dimensions = dimensions.or(self.dimensions);
        if price.is_some() {
            self.price.clone_from(price);
        }
        self
    }
}

impl Decider for Product {
    const CATEGORY: &'static str = "product";
    type Command = Command;
    type Event = Event;
    type Refusal = Refusal;

    fn decide(&self, command: &Command) -> Result<Vec<Event>, Refusal> {
        match (command, &self.details) {
            (Command::Register(details), None) => Ok(vec![Event::Registered(details.clone())]),
            (Command::Register(details), Some(known)) if details == known => Ok(vec![]),
            (Command::Register(_), Some(_)) => Err(Refusal::OtherContent),
            (Command::Amend(_) | Command::Discontinue { .. }, None) => Err(Refusal::Unknown),
            (Command::Amend(amendment), Some(known)) => {
                if known.clone().amended(amendment) == *known {
                    return Ok(vec![]);
                }
                Ok(vec![Event::Amended(amendment.clone())])
            }
            (Command::Discontinue { .. }, Some(_)) if self.discontinued => Ok(vec![]),
            (Command::Discontinue { reason }, Some(_)) => {
                Ok(vec![Event::Discontinued { reason: reason.clone() }])
            }
        }
    }

    fn evolve(mut self, event: &Event) -> Self {
        match event {
            Event::Registered(details) => self.details = Some(details.clone()),
            Event::Amended(amendment) => {
                self.details = Some(self.details.unwrap_or_default().amended(amendment));
            }
            Event::Discontinued { .. } => self.discontinued = true,
        }
        self
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use nexus_es::kit::given;

    fn mug() -> Details {
        Details { name: "Mug".into(), stocked: true, weight_grams: Some(300), ..Details::default() }
    }

    #[test]
    fn registering_the_same_again_is_no_news_and_another_content_is_refused() {
        given::<Product>([])
            .when(&Command::Register(mug()))
            .then([Event::Registered(mug())])
            .when(&Command::Register(mug()))
            .then_no_news()
            .when(&Command::Register(Details { name: "Cup".into(), ..mug() }))
            .then_refused(Refusal::OtherContent);
    }

    #[test]
    fn an_amendment_changes_what_it_names_and_nothing_else() {
        let amendment = Amendment { name: Some("Big mug".into()), ..Amendment::default() };
        let amended = given::<Product>([Event::Registered(mug())])
            .when(&Command::Amend(amendment.clone()))
            .then([Event::Amended(amendment.clone())]);
        amended.when(&Command::Amend(amendment.clone())).then_no_news();
        let details = mug().amended(&amendment);
        assert_eq!((details.name.as_str(), details.weight_grams), ("Big mug", Some(300)));
    }

    #[test]
    fn an_unknown_product_can_be_neither_amended_nor_discontinued() {
        given::<Product>([])
            .when(&Command::Amend(Amendment::default()))
            .then_refused(Refusal::Unknown);
        given::<Product>([])
            .when(&Command::Discontinue { reason: "sold out".into() })
            .then_refused(Refusal::Unknown);
    }

    #[test]
    fn it_is_discontinued_once() {
        let discontinue = Command::Discontinue { reason: "no supplier".into() };
        given::<Product>([Event::Registered(mug())])
            .when(&discontinue)
            .then([Event::Discontinued { reason: "no supplier".into() }])
            .when(&discontinue)
            .then_no_news();
    }
}
