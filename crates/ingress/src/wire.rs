//! Domain events ↔ proto messages; nothing else knows both.

use nexus_es::{Aggregate, BadEvent, Payload};
use nexus_proto::common::v1::Sealed;
use nexus_proto::ingress::v1::InboxReceived;
use prost::Message;

use crate::domain::SealedValue;
use crate::domain::inbox::{Event, Inbox, Kind, Proof, Received};

/// The service and the name of its log.
pub(crate) const SERVICE: &str = "ingress";
const RECEIVED: &str = "inbox.Received";
/// What the body is sealed as; those who apply webhooks open it with the same word.
pub(crate) const BODY: &str = "inbox.Received.body";
/// What the headers are sealed as.
pub(crate) const HEADERS: &str = "inbox.Received.headers";

impl Aggregate for Inbox {
    const SERVICE: &'static str = SERVICE;
    // Each post is a command of its own, thousands a day, and a repeat is kept too.
    const REMEMBERS_COMMANDS: bool = false;

    fn encode(event: &Event) -> Payload {
        let Event::Received(received) = event;
        let message = InboxReceived {
            kind: received.kind.as_str().to_owned(),
            account_id: received.account.clone(),
            account_token_sha256: received.account_token_sha256.clone(),
            received_at_ms: received.received_at_ms,
            body: Some(to_proto(&received.body)),
            body_hash: received.body_sha256.clone(),
            headers: received.headers.as_ref().map(to_proto),
            authenticated_by: received.proof.as_str().to_owned(),
            body_bytes: received.body_bytes,
        };
        Payload { event_type: RECEIVED.to_owned(), schema: 1, bytes: message.encode_to_vec() }
    }

    fn decode(payload: &Payload) -> Result<Event, BadEvent> {
        let event_type = payload.event_type.clone();
        let (RECEIVED, 1) = (event_type.as_str(), payload.schema) else {
            return Err(BadEvent::Unknown { event_type, schema: payload.schema });
        };
        let malformed = |why: &str| BadEvent::Malformed {
            event_type: RECEIVED.to_owned(),
            why: why.to_owned(),
        };
        let message = InboxReceived::decode(payload.bytes.as_slice())
            .map_err(|error| malformed(&error.to_string()))?;
        let kind = Kind::parse(&message.kind);
        let proof = Proof::parse(&message.authenticated_by);
        Ok(Event::Received(Received {
            kind: kind.ok_or_else(|| malformed("the kind is not known"))?,
            account: message.account_id,
            account_token_sha256: message.account_token_sha256,
            received_at_ms: message.received_at_ms,
            body: from_proto(message.body.ok_or_else(|| malformed("there is no body"))?),
            body_sha256: message.body_hash,
            body_bytes: message.body_bytes,
            headers: message.headers.map(from_proto),
            proof: proof.ok_or_else(|| malformed("the proof is not known"))?,
        }))
    }
}

fn to_proto(sealed: &SealedValue) -> Sealed {
    Sealed {
        key_id: sealed.key_id.clone(),
        nonce: sealed.nonce.clone(),
        ciphertext: sealed.ciphertext.clone(),
    }
}

/// Ciphertext for the domain.
pub(crate) fn from_proto(sealed: Sealed) -> SealedValue {
    SealedValue { key_id: sealed.key_id, nonce: sealed.nonce, ciphertext: sealed.ciphertext }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_webhook_reads_as_it_was_written() {
        let sealed = |byte| SealedValue {
            key_id: "inbox-2026-11".to_owned(),
            nonce: vec![byte],
            ciphertext: vec![byte, byte],
        };
        let event = Event::Received(Received {
            kind: Kind::Channel,
            account: "acc".to_owned(),
            account_token_sha256: vec![1],
            received_at_ms: 1_790_000_000_000,
            body: sealed(7),
            body_sha256: vec![2],
            body_bytes: 300,
            headers: Some(sealed(8)),
            proof: Proof::Signature,
        });
        let golden = "0a076368616e6e656c12036163631a01012080d8c1a28c342a160a0d696e626f782d32\
                      3032362d31311201071a0207073201023a160a0d696e626f782d323032362d31311201\
                      081a02080842097369676e617475726548ac02";
        assert_eq!(hex::encode(Inbox::encode(&event).bytes), golden);
        let bytes = hex::decode(golden).unwrap();
        let stored = Payload { event_type: RECEIVED.to_owned(), schema: 1, bytes };
        assert_eq!(Inbox::decode(&stored).unwrap(), event);
    }
}
