//! Events of `template`.

use nexus_es::{Aggregate, BadEvent, Payload};
use nexus_proto::notification::v1 as proto;

use super::{SERVICE, payload, read, unknown, word};
use crate::domain::template::{Event, Template, Words};
use crate::domain::{ChannelKind, Language, Milestone};

impl Aggregate for Template {
    const SERVICE: &'static str = SERVICE;

    fn encode(event: &Event) -> Payload {
        let Event::Put(words) = event;
        let message = proto::TemplatePut {
            milestone: words.milestone.as_str().to_owned(),
            language: words.language.as_str().to_owned(),
            channel: words.channel.as_str().to_owned(),
            provider_template: words.provider_template.clone(),
            provider_language: words.provider_language.clone(),
            body: words.body.clone(),
            variables: words.variables.clone(),
            enabled: words.enabled,
        };
        payload("template.Put", &message)
    }

    fn decode(payload: &Payload) -> Result<Event, BadEvent> {
        let ("template.Put", 1) = (payload.event_type.as_str(), payload.schema) else {
            return Err(unknown(payload));
        };
        let m: proto::TemplatePut = read(payload)?;
        Ok(Event::Put(Words {
            milestone: word(payload, "milestone", Milestone::parse(&m.milestone))?,
            language: word(payload, "language", Language::parse(&m.language))?,
            channel: word(payload, "channel", ChannelKind::parse(&m.channel))?,
            provider_template: m.provider_template,
            provider_language: m.provider_language,
            body: m.body,
            variables: m.variables,
            enabled: m.enabled,
        }))
    }
}
