//! What ingress keeps: inboxes of authentic webhooks.

#![deny(clippy::wildcard_enum_match_arm, clippy::match_wildcard_for_single_variants)]

pub(crate) mod inbox;

use std::fmt;

/// Ciphertext of the vault, carried through the domain unopened.
#[derive(Clone, PartialEq, Eq, Default)]
pub(crate) struct SealedValue {
    pub(crate) key_id: String,
    pub(crate) nonce: Vec<u8>,
    pub(crate) ciphertext: Vec<u8>,
}

impl fmt::Debug for SealedValue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SealedValue({})", self.key_id)
    }
}
