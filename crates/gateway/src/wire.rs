//! Domain events of the gateway as stored.

use nexus_es::{Aggregate, BadEvent, Payload};
use nexus_proto::gateway::v1 as proto;
use prost::Message;

use crate::domain::api_key::{ApiKey, Event, Issue};

/// The service's name, and the name of its log.
pub(crate) const SERVICE: &str = "gateway";

const ISSUED: &str = "api_key.Issued";
const REVOKED: &str = "api_key.Revoked";

impl Aggregate for ApiKey {
    const SERVICE: &'static str = SERVICE;

    fn encode(event: &Event) -> Payload {
        let (name, bytes) = match event {
            Event::Issued(issue) => {
                let issued = proto::ApiKeyIssued {
                    prefix: issue.prefix.clone(),
                    digest: issue.digest.clone(),
                    name: issue.name.clone(),
                    roles: issue.roles.clone(),
                    expires_at_ms: issue.expires_at_ms,
                };
                (ISSUED, issued.encode_to_vec())
            }
            Event::Revoked { reason } => {
                (REVOKED, proto::ApiKeyRevoked { reason: reason.clone() }.encode_to_vec())
            }
        };
        Payload { event_type: name.to_owned(), schema: 1, bytes }
    }

    fn decode(payload: &Payload) -> Result<Event, BadEvent> {
        let malformed = |error: prost::DecodeError| BadEvent::Malformed {
            event_type: payload.event_type.clone(),
            why: error.to_string(),
        };
        match (payload.event_type.as_str(), payload.schema) {
            (ISSUED, 1) => {
                let issued =
                    proto::ApiKeyIssued::decode(payload.bytes.as_slice()).map_err(malformed)?;
                Ok(Event::Issued(Issue {
                    prefix: issued.prefix,
                    digest: issued.digest,
                    name: issued.name,
                    roles: issued.roles,
                    expires_at_ms: issued.expires_at_ms,
                }))
            }
            (REVOKED, 1) => {
                let revoked =
                    proto::ApiKeyRevoked::decode(payload.bytes.as_slice()).map_err(malformed)?;
                Ok(Event::Revoked { reason: revoked.reason })
            }
            _ => Err(BadEvent::Unknown {
                event_type: payload.event_type.clone(),
                schema: payload.schema,
            }),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stored_events_still_read_as_they_did() {
        let issued = Event::Issued(Issue {
            prefix: "nx_ab".to_owned(),
            digest: vec![7, 8],
            name: "till".to_owned(),
            roles: vec!["clerk".to_owned()],
            expires_at_ms: Some(5),
        });
        let golden = [
            (issued, ISSUED, "0a056e785f6162120207081a0474696c6c2205636c65726b2805"),
            (Event::Revoked { reason: "lost".to_owned() }, REVOKED, "0a046c6f7374"),
        ];
        for (event, event_type, hex) in golden {
            let bytes = hex::decode(hex).unwrap();
            let stored = Payload { event_type: event_type.to_owned(), schema: 1, bytes };
            assert_eq!(ApiKey::encode(&event), stored);
            assert_eq!(ApiKey::decode(&stored).unwrap(), event);
        }
    }
}
