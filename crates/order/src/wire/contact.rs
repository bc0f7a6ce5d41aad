//! Events of contacts.

use nexus_es::{Aggregate, BadEvent, Payload};
use nexus_proto::common::v1::Sealed;
use nexus_proto::order::v1 as proto;

use super::values::{consent_from, consent_to, sealed_from, sealed_to};
use super::{SERVICE, malformed, payload, read, unknown};
use crate::domain::contact::{Card, Contact, Event};

fn card(
    payload: &Payload,
    phone_hmac: Vec<u8>,
    profile: Option<Sealed>,
    external_reference: String,
    language: String,
) -> Result<Card, BadEvent> {
    let profile = profile.ok_or_else(|| malformed(payload, "profile is missing"))?;
    Ok(Card { phone_hmac, profile: sealed_from(profile), external_reference, language })
}

impl Aggregate for Contact {
    const SERVICE: &'static str = SERVICE;

    fn encode(event: &Event) -> Payload {
        match event {
            Event::Registered { card, consents } => payload(
                "contact.Registered",
                &proto::ContactRegistered {
                    phone_hmac: card.phone_hmac.clone(),
                    profile: Some(sealed_to(&card.profile)),
                    external_reference: card.external_reference.clone(),
                    language: card.language.clone(),
                    consents: consents.iter().map(consent_to).collect(),
                },
            ),
            Event::Amended { card, previous_phone_hmac } => payload(
                "contact.Amended",
                &proto::ContactAmended {
                    phone_hmac: card.phone_hmac.clone(),
                    profile: Some(sealed_to(&card.profile)),
                    external_reference: card.external_reference.clone(),
                    language: card.language.clone(),
                    previous_phone_hmac: previous_phone_hmac.clone(),
                },
            ),
            Event::ConsentRecorded(consent) => payload(
                "contact.ConsentRecorded",
                &proto::ContactConsentRecorded { consent: Some(consent_to(consent)) },
            ),
            Event::Erased { reason, phone_hmac } => payload(
                "contact.Erased",
                &proto::ContactErased { reason: reason.clone(), phone_hmac: phone_hmac.clone() },
            ),
        }
    }

    fn decode(payload: &Payload) -> Result<Event, BadEvent> {
        match (payload.event_type.as_str(), payload.schema) {
            ("contact.Registered", 1) => {
                let it: proto::ContactRegistered = read(payload)?;
                let consents = it.consents.into_iter().map(consent_from).collect();
                let reference = it.external_reference;
                let card = card(payload, it.phone_hmac, it.profile, reference, it.language)?;
                Ok(Event::Registered { card, consents })
            }
            ("contact.Amended", 1) => {
                let it: proto::ContactAmended = read(payload)?;
                let reference = it.external_reference;
                let card = card(payload, it.phone_hmac, it.profile, reference, it.language)?;
                Ok(Event::Amended { card, previous_phone_hmac: it.previous_phone_hmac })
            }
            ("contact.ConsentRecorded", 1) => {
                let it: proto::ContactConsentRecorded = read(payload)?;
                let consent = it.consent.ok_or_else(|| malformed(payload, "consent is missing"))?;
                Ok(Event::ConsentRecorded(consent_from(consent)))
            }
            ("contact.Erased", 1) => {
                let proto::ContactErased { reason, phone_hmac } = read(payload)?;
                Ok(Event::Erased { reason, phone_hmac })
            }
            _ => unknown(payload),
        }
    }
}
