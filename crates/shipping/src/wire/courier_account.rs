//! Events of courier accounts as stored.

use nexus_es::{Aggregate, BadEvent, Payload};
use nexus_proto::shipping::v1 as proto;

use super::{SERVICE, courier, malformed, read, sealed_in, sealed_out, stored, unknown};
use crate::domain::courier_account::{
    Amendment, CourierAccount, Credentials, Event, Mode, Opening, Webhook,
};

impl Aggregate for CourierAccount {
    const SERVICE: &'static str = SERVICE;

    fn encode(event: &Event) -> Payload {
        match event {
            Event::Opened(opening) => stored("courier_account.Opened", &opened(opening)),
            Event::Amended(amendment) => {
                let message = proto::CourierAccountAmended {
                    name: amendment.name.clone(),
                    mode: amendment.mode.map(|mode| mode.name().to_owned()),
                    pickup_location: amendment.pickup_location.clone(),
                    webhook_header: amendment.webhook_header.clone(),
                };
                stored("courier_account.Amended", &message)
            }
            Event::CredentialsRotated(credentials) => {
                let message = proto::CourierAccountCredentialsRotated {
                    credentials: credentials.sealed.as_ref().map(sealed_out),
                    credentials_last4: credentials.last4.clone(),
                };
                stored("courier_account.CredentialsRotated", &message)
            }
        }
    }

    fn decode(payload: &Payload) -> Result<Event, BadEvent> {
        match (payload.event_type.as_str(), payload.schema) {
            ("courier_account.Opened", 1) => {
                opening(payload).map(|opening| Event::Opened(Box::new(opening)))
            }
            ("courier_account.Amended", 1) => amendment(payload).map(Event::Amended),
            ("courier_account.CredentialsRotated", 1) => {
                let message: proto::CourierAccountCredentialsRotated = read(payload)?;
                Ok(Event::CredentialsRotated(Credentials {
                    sealed: message.credentials.map(sealed_in),
                    last4: message.credentials_last4,
                }))
            }
            _ => Err(unknown(payload)),
        }
    }
}

fn opened(opening: &Opening) -> proto::CourierAccountOpened {
    let webhook = &opening.webhook;
    proto::CourierAccountOpened {
        courier: opening.courier.name().to_owned(),
        name: opening.name.clone(),
        mode: opening.mode.name().to_owned(),
        credentials: opening.credentials.sealed.as_ref().map(sealed_out),
        credentials_last4: opening.credentials.last4.clone(),
        webhook_token_sha256: webhook.token_sha256.clone(),
        webhook_token: Some(sealed_out(&webhook.token)),
        webhook_secret_sha256: webhook.secret_sha256.clone(),
        webhook_header: webhook.header.clone(),
        pickup_location: opening.pickup_location.clone(),
        webhook_secret: webhook.secret.as_ref().map(sealed_out),
    }
}

fn opening(payload: &Payload) -> Result<Opening, BadEvent> {
    let message: proto::CourierAccountOpened = read(payload)?;
    Ok(Opening {
        courier: courier(payload, &message.courier)?,
        name: message.name,
        mode: mode(payload, &message.mode)?,
        credentials: Credentials {
            sealed: message.credentials.map(sealed_in),
            last4: message.credentials_last4,
        },
        webhook: Webhook {
            token_sha256: message.webhook_token_sha256,
            token: message.webhook_token.map(sealed_in).unwrap_or_default(),
            secret_sha256: message.webhook_secret_sha256,
            secret: message.webhook_secret.map(sealed_in),
            header: message.webhook_header,
        },
        pickup_location: message.pickup_location,
    })
}

fn amendment(payload: &Payload) -> Result<Amendment, BadEvent> {
    let message: proto::CourierAccountAmended = read(payload)?;
    Ok(Amendment {
        name: message.name,
        mode: message.mode.map(|name| mode(payload, &name)).transpose()?,
        pickup_location: message.pickup_location,
        webhook_header: message.webhook_header,
    })
}

fn mode(payload: &Payload, name: &str) -> Result<Mode, BadEvent> {
    Mode::parse(name).ok_or_else(|| malformed(payload, format!("no mode \"{name}\"")))
}
