//! Keys derived from the deployment's root secret, one a purpose.
//! *Invariant:* a key of one purpose says nothing about a key of another.

use aws_lc_rs::hmac;
use nexus_es::Actor;
use nexus_proto::common::v1 as proto;
use prost::Message;
use zeroize::Zeroizing;

/// How long a signed actor is believed.
const ACTOR_LIFE_MS: i64 = 5 * 60 * 1000;

/// The deployment's secrets.
pub struct Secrets {
    root: Zeroizing<Vec<u8>>,
    actor: hmac::Key,
    request: hmac::Key,
}

/// An actor with the proof that the gateway or a service vouches for it.
#[derive(Clone, Debug)]
pub struct SignedActor {
    /// Expiry and the encoded actor.
    pub claim: Vec<u8>,
    /// HMAC of `claim`.
    pub signature: Vec<u8>,
}

impl Secrets {
    /// Derives all keys from `root`, at least 32 random bytes.
    #[must_use]
    pub fn new(root: Zeroizing<Vec<u8>>) -> Self {
        let actor = derive(&root, "signed actor");
        let request = derive(&root, "request hash");
        Self { root, actor, request }
    }

    /// The key for `purpose`, for example `phone claim`.
    #[must_use]
    pub fn key(&self, purpose: &str) -> hmac::Key {
        derive(&self.root, purpose)
    }

    /// Keyed hash of a request body: tells whether two requests with one key are the same.
    #[must_use]
    pub fn request_hash(&self, body: &[u8]) -> Vec<u8> {
        let tag = hmac::sign(&self.request, body);
        tag.as_ref().iter().copied().take(16).collect()
    }

    /// Vouches for `actor`.
    #[must_use]
    pub fn sign(&self, actor: &Actor, now_ms: i64) -> SignedActor {
        let message = proto::Actor {
            kind: actor.kind.into(),
            id: actor.id.clone(),
            roles: actor.roles.clone(),
            warehouse: actor.warehouse.clone(),
        };
        let mut claim = (now_ms + ACTOR_LIFE_MS).to_be_bytes().to_vec();
        claim.extend(message.encode_to_vec());
        let signature = hmac::sign(&self.actor, &claim).as_ref().to_vec();
        SignedActor { claim, signature }
    }

    /// The actor somebody vouched for; `None` when the proof is wrong or too old.
    #[must_use]
    pub fn verify(&self, signed: &SignedActor, now_ms: i64) -> Option<Actor> {
        hmac::verify(&self.actor, &signed.claim, &signed.signature).ok()?;
        let (expires, actor) = signed.claim.split_first_chunk::<8>()?;
        if i64::from_be_bytes(*expires) < now_ms {
            return None;
        }
        let actor = proto::Actor::decode(actor).ok()?;
        let kind = nexus_es::ActorKind::try_from(actor.kind).ok()?;
        Some(Actor { kind, id: actor.id, roles: actor.roles, warehouse: actor.warehouse })
    }
}

fn derive(root: &[u8], purpose: &str) -> hmac::Key {
    let derived = hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, root), purpose.as_bytes());
    hmac::Key::new(hmac::HMAC_SHA256, derived.as_ref())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn secrets(byte: u8) -> Secrets {
        Secrets::new(Zeroizing::new(vec![byte; 32]))
    }

    #[test]
    fn a_signed_actor_is_believed_until_it_expires() {
        let signed = secrets(1).sign(&Actor::service("order"), 1_000);
        assert_eq!(secrets(1).verify(&signed, 2_000), Some(Actor::service("order")));
        assert_eq!(secrets(1).verify(&signed, 1_001 + ACTOR_LIFE_MS), None);
    }

    #[test]
    fn a_forged_actor_is_not_believed() {
        let mut signed = secrets(2).sign(&Actor::service("order"), 1_000);
        assert_eq!(secrets(1).verify(&signed, 1_000), None);
        signed = secrets(1).sign(&Actor::service("order"), 1_000);
        signed.claim.push(0);
        assert_eq!(secrets(1).verify(&signed, 1_000), None);
    }
}
