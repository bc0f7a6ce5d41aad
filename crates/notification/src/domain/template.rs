//! The words of a milestone in a language, and the words that are there from the start.
//! *Invariant:* a text with a variable that has no value is never made.

use std::collections::BTreeMap;

use nexus_es::Decider;

use super::{ChannelKind, Language, Milestone};

/// What a text may speak of.
pub(crate) const VARIABLES: [&str; 5] =
    ["first_name", "name", "order_number", "tracking_number", "tracking_url"];

pub(crate) enum Command {
    Put(Words),
}

#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) enum Event {
    Put(Words),
}

/// A template at the provider, and what it says.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Words {
    pub(crate) milestone: Milestone,
    pub(crate) language: Language,
    pub(crate) channel: ChannelKind,
    pub(crate) provider_template: String,
    pub(crate) provider_language: String,
    pub(crate) body: String,
    pub(crate) variables: Vec<String>,
    pub(crate) enabled: bool,
}

/// Nothing about words can be refused once they are well formed.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) enum Refusal {}

#[derive(Default)]
pub(crate) struct Template {
    words: Option<Words>,
}

impl Decider for Template {
    const CATEGORY: &'static str = "template";
    type Command = Command;
    type Event = Event;
    type Refusal = Refusal;

    fn decide(&self, command: &Command) -> Result<Vec<Event>, Refusal> {
        let Command::Put(words) = command;
        match &self.words {
            Some(present) if present == words => Ok(vec![]),
            _ => Ok(vec![Event::Put(words.clone())]),
        }
    }

    fn evolve(self, event: &Event) -> Self {
        let Event::Put(words) = event;
        Self { words: Some(words.clone()) }
    }
}

impl Template {
    pub(crate) fn words(&self) -> Option<&Words> {
        self.words.as_ref()
    }
}

/// A text with its variables filled.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Filled {
    /// Name and value, in the provider's order.
    pub(crate) variables: Vec<(String, String)>,
    pub(crate) body: String,
}

impl Words {
    /// The words of the start: order number and tracking number after a greeting.
    pub(crate) fn built_in(milestone: Milestone, language: Language) -> Self {
        let (provider_template, ar, en) = match milestone {
            Milestone::Shipped => (
                "order_shipped",
                "مرحبا {{first_name}}، تم شحن طلبك رقم {{order_number}}. \
                 رقم التتبع: {{tracking_number}}.",
                "Hello {{first_name}}, your order {{order_number}} is on its way. \
                 Tracking number: {{tracking_number}}.",
            ),
            Milestone::OutForDelivery => (
                "order_out_for_delivery",
                "مرحبا {{first_name}}، طلبك رقم {{order_number}} مع المندوب ويصلك اليوم. \
                 رقم التتبع: {{tracking_number}}.",
                "Hello {{first_name}}, your order {{order_number}} is out for delivery today. \
                 Tracking number: {{tracking_number}}.",
            ),
            Milestone::Delivered => (
                "order_delivered",
                "مرحبا {{first_name}}، تم تسليم طلبك رقم {{order_number}}. \
                 رقم التتبع: {{tracking_number}}. شكرا لك.",
                "Hello {{first_name}}, your order {{order_number}} has been delivered. \
                 Tracking number: {{tracking_number}}. Thank you.",
            ),
        };
        let body = match language {
            Language::Ar => ar,
            Language::En => en,
        };
        Self {
            milestone,
            language,
            channel: ChannelKind::WhatsApp,
            provider_template: provider_template.to_owned(),
            provider_language: language.as_str().to_owned(),
            body: body.to_owned(),
            variables: marks(body),
            enabled: true,
        }
    }

    /// Fills the text; the name of the first variable that has no value when there is one.
    pub(crate) fn fill(&self, values: &BTreeMap<&str, String>) -> Result<Filled, String> {
        let mut variables = Vec::with_capacity(self.variables.len());
        for name in self.variables.iter().chain(&marks(&self.body)) {
            let value = values.get(name.as_str()).map(|value| value.trim()).unwrap_or_default();
            if value.is_empty() {
                return Err(name.clone());
            }
            if variables.len() < self.variables.len() {
                variables.push((name.clone(), value.to_owned()));
            }
        }
        Ok(Filled { variables, body: filled_body(&self.body, values) })
    }
}

/// The variables of a text in the order in which they first stand in it.
pub(crate) fn marks(body: &str) -> Vec<String> {
    let mut found: Vec<String> = Vec::new();
    for piece in body.split("{{").skip(1) {
        let Some((name, _)) = piece.split_once("}}") else { continue };
        let name = name.trim().to_owned();
        if !found.contains(&name) {
            found.push(name);
        }
    }
    found
}

/// True when each opening mark of a text has its closing one.
pub(crate) fn is_well_formed(body: &str) -> bool {
    let mut pieces = body.split("{{");
    let head_is_clean = pieces.next().is_some_and(|head| !head.contains("}}"));
    head_is_clean && pieces.all(|piece| piece.matches("}}").count() == 1)
}

fn filled_body(body: &str, values: &BTreeMap<&str, String>) -> String {
    let mut pieces = body.split("{{");
    let mut filled = pieces.next().unwrap_or_default().to_owned();
    for piece in pieces {
        let (name, rest) = piece.split_once("}}").unwrap_or(("", piece));
        filled.push_str(values.get(name.trim()).map(|value| value.trim()).unwrap_or_default());
        filled.push_str(rest);
    }
    filled
}

#[cfg(test)]
mod tests {
    use nexus_es::kit::given;

    use super::*;

    fn values() -> BTreeMap<&'static str, String> {
        BTreeMap::from([
            ("first_name", "سارة".to_owned()),
            ("order_number", "ORD-1001".to_owned()),
            ("tracking_number", "5108002".to_owned()),
        ])
    }

    #[test]
    fn the_words_of_the_start_take_first_name_order_and_tracking_number() {
        for milestone in Milestone::ALL {
            for language in Language::ALL {
                let words = Words::built_in(milestone, language);
                let filled = words.fill(&values()).unwrap();
                let sent: Vec<_> =
                    filled.variables.iter().map(|(_, value)| value.as_str()).collect();
                assert_eq!(sent, ["سارة", "ORD-1001", "5108002"]);
                assert!(filled.body.contains("سارة") && !filled.body.contains("{{"));
            }
        }
    }

    #[test]
    fn a_missing_variable_stops_the_text_and_is_named() {
        let words = Words::built_in(Milestone::Shipped, Language::En);
        let mut values = values();
        values.insert("tracking_number", "  ".to_owned());
        assert_eq!(words.fill(&values), Err("tracking_number".to_owned()));
    }

    #[test]
    fn a_mark_in_the_body_that_the_provider_does_not_take_must_have_a_value_too() {
        let mut words = Words::built_in(Milestone::Shipped, Language::En);
        words.variables.clear();
        assert_eq!(words.fill(&BTreeMap::new()), Err("first_name".to_owned()));
    }

    #[test]
    fn a_half_mark_is_not_well_formed() {
        assert!(is_well_formed("Hi {{first_name}}!") && is_well_formed("Hi"));
        for bad in ["Hi {{first_name", "Hi first_name}}", "{{a {{b}}", "{{a}} }}"] {
            assert!(!is_well_formed(bad), "{bad}");
        }
    }

    #[test]
    fn putting_the_same_words_again_is_no_news() {
        let words = Words::built_in(Milestone::Shipped, Language::En);
        let other = Words { enabled: false, ..words.clone() };
        given::<Template>([])
            .when(&Command::Put(words.clone()))
            .then([Event::Put(words.clone())])
            .when(&Command::Put(words))
            .then_no_news()
            .when(&Command::Put(other.clone()))
            .then([Event::Put(other)]);
    }
}
