//! Events of `channel_account`.

use nexus_es::{Aggregate, BadEvent, Payload};
use nexus_proto::common::v1::Sealed;
use nexus_proto::notification::v1 as proto;

use super::{SERVICE, malformed, payload, read, sealed_from_proto, sealed_to_proto, unknown, word};
use crate::domain::channel_account::{
    Amendment, ChannelAccount, Credentials, Event, Opening, RotationGrace,
};
use crate::domain::{ChannelKind, Mode, SealedValue};

impl Aggregate for ChannelAccount {
    const SERVICE: &'static str = SERVICE;

    fn encode(event: &Event) -> Payload {
        match event {
            Event::Opened(opening) => payload("channel_account.Opened", &opened(opening)),
            Event::Amended(amendment) => {
                let message = proto::ChannelAccountAmended {
                    name: amendment.name.clone(),
                    mode: amendment.mode.map(|mode| mode.as_str().to_owned()),
                    enabled: amendment.enabled,
                };
                payload("channel_account.Amended", &message)
            }
            Event::CredentialsRotated(credentials, grace) => {
                let message = proto::ChannelAccountCredentialsRotated {
                    credentials: Some(sealed_to_proto(&credentials.sealed)),
                    credentials_last4: credentials.last4.clone(),
                    phone_number_id: credentials.phone_number_id.clone(),
                    previous_until_ms: grace.previous_until_ms,
                };
                payload("channel_account.CredentialsRotated", &message)
            }
        }
    }

    fn decode(payload: &Payload) -> Result<Event, BadEvent> {
        match (payload.event_type.as_str(), payload.schema) {
            ("channel_account.Opened", 1) => {
                let m: proto::ChannelAccountOpened = read(payload)?;
                Ok(Event::Opened(Opening {
                    channel: word(payload, "channel", ChannelKind::parse(&m.channel))?,
                    mode: word(payload, "mode", Mode::parse(&m.mode))?,
                    name: m.name,
                    credentials: Credentials {
                        sealed: present(payload, "credentials", m.credentials)?,
                        last4: m.credentials_last4,
                        phone_number_id: m.phone_number_id,
                    },
                    webhook_token_sha256: m.webhook_token_sha256,
                    webhook_token: present(payload, "webhook_token", m.webhook_token)?,
                }))
            }
            ("channel_account.Amended", 1) => {
                let m: proto::ChannelAccountAmended = read(payload)?;
                let mode = m.mode.map(|mode| word(payload, "mode", Mode::parse(&mode)));
                let mode = mode.transpose()?;
                Ok(Event::Amended(Amendment { name: m.name, mode, enabled: m.enabled }))
            }
            ("channel_account.CredentialsRotated", 1) => {
                let m: proto::ChannelAccountCredentialsRotated = read(payload)?;
                let credentials = Credentials {
                    sealed: present(payload, "credentials", m.credentials)?,
                    last4: m.credentials_last4,
                    phone_number_id: m.phone_number_id,
                };
                let grace = RotationGrace { previous_until_ms: m.previous_until_ms };
                Ok(Event::CredentialsRotated(credentials, grace))
            }
            _ => Err(unknown(payload)),
        }
    }
}

fn opened(opening: &Opening) -> proto::ChannelAccountOpened {
    proto::ChannelAccountOpened {
        channel: opening.channel.as_str().to_owned(),
        name: opening.name.clone(),
        mode: opening.mode.as_str().to_owned(),
        credentials: Some(sealed_to_proto(&opening.credentials.sealed)),
        credentials_last4: opening.credentials.last4.clone(),
        webhook_token_sha256: opening.webhook_token_sha256.clone(),
        webhook_token: Some(sealed_to_proto(&opening.webhook_token)),
        phone_number_id: opening.credentials.phone_number_id.clone(),
    }
}

fn present(
    payload: &Payload,
    field: &str,
    sealed: Option<Sealed>,
) -> Result<SealedValue, BadEvent> {
    let sealed = sealed.ok_or_else(|| malformed(payload, &format!("{field} is missing")))?;
    Ok(sealed_from_proto(sealed))
}
