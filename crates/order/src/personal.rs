//! What the vault seals for orders and contacts, and how it opens again.
//! *Invariant:* one data key a contact; without it nothing of the person opens.

use nexus_es::seal::{SealError, Vault};
use nexus_proto::common::v1::Recipient;
use nexus_proto::order::v1::ContactProfile;
use prost::Message;

use crate::domain::SealedValue;
use crate::wire::{sealed_from, sealed_to};

const RECIPIENT: &str = "order.Created.recipient";
const NOTE: &str = "order.note";
const PROFILE: &str = "contact.profile";

/// The id of the data key of a contact.
pub(crate) fn key_id(contact_id: &str) -> String {
    format!("contact-{contact_id}")
}

async fn seal(
    vault: &Vault,
    contact_id: &str,
    context: &str,
    plain: &[u8],
) -> Result<SealedValue, SealError> {
    vault.seal(&key_id(contact_id), context, plain).await.map(sealed_from)
}

pub(crate) async fn seal_recipient(
    vault: &Vault,
    contact_id: &str,
    recipient: &Recipient,
) -> Result<SealedValue, SealError> {
    seal(vault, contact_id, RECIPIENT, &recipient.encode_to_vec()).await
}

pub(crate) async fn seal_note(
    vault: &Vault,
    contact_id: &str,
    text: &str,
) -> Result<SealedValue, SealError> {
    seal(vault, contact_id, NOTE, text.as_bytes()).await
}

pub(crate) async fn seal_profile(
    vault: &Vault,
    contact_id: &str,
    profile: &ContactProfile,
) -> Result<SealedValue, SealError> {
    seal(vault, contact_id, PROFILE, &profile.encode_to_vec()).await
}

async fn open<M: Message + Default>(
    vault: &Vault,
    sealed: &SealedValue,
    context: &str,
) -> Result<Option<M>, SealError> {
    let Some(plain) = vault.open(&sealed_to(sealed), context).await? else { return Ok(None) };
    let broken = |_| SealError::Broken { key_id: sealed.key_id.clone() };
    M::decode(plain.as_slice()).map(Some).map_err(broken)
}

/// `None` when the contact was erased.
pub(crate) async fn open_recipient(
    vault: &Vault,
    sealed: &SealedValue,
) -> Result<Option<Recipient>, SealError> {
    open(vault, sealed, RECIPIENT).await
}

/// `None` when the contact was erased.
pub(crate) async fn open_profile(
    vault: &Vault,
    sealed: &SealedValue,
) -> Result<Option<ContactProfile>, SealError> {
    open(vault, sealed, PROFILE).await
}

/// `None` when the contact was erased.
pub(crate) async fn open_note(
    vault: &Vault,
    sealed: &SealedValue,
) -> Result<Option<String>, SealError> {
    let plain = vault.open(&sealed_to(sealed), NOTE).await?;
    Ok(plain.map(|plain| String::from_utf8_lossy(&plain).into_owned()))
}
