//! Labels: fetched from the courier, sealed with the contact's key, kept by content hash.
//! *Invariant:* fetching a label makes nothing at the courier, and the first one stored is the one
//! that every print gives.

use bytes::Bytes;
use nexus_es::Cause;
use nexus_es::commit::sha256;
use nexus_es::process::Trouble;

use crate::courier::CallError;
use crate::domain::LabelFormat;
use crate::domain::shipment::{Command, Label, Shipment};
use crate::opener::OpenError;
use crate::parts::Parts;

const CONTEXT: &str = "shipment.LabelStored.label";

/// Why there is no label.
#[derive(Debug, thiserror::Error)]
pub(crate) enum LabelError {
    #[error("the shipment has no live AWB")]
    NoAwb,
    #[error(transparent)]
    Account(#[from] OpenError),
    #[error(transparent)]
    Courier(#[from] CallError),
    #[error("the label cannot be kept: {0}")]
    Store(String),
    #[error("the label cannot be recorded")]
    Record(Trouble),
    #[error("the contact was erased, and the label with it")]
    Erased,
}

/// Fetches the label from the courier and keeps it.
pub(crate) async fn fetch(
    parts: &Parts,
    shipment_id: &str,
    state: &Shipment,
    format: LabelFormat,
    cause: Cause,
) -> Result<(), LabelError> {
    let (Some(plan), Some(awb)) = (state.plan(), state.awb()) else {
        return Err(LabelError::NoAwb);
    };
    let opened = parts.accounts.open(&plan.account).await?;
    let courier = parts.couriers.of(opened.courier);
    let pdf = courier.print_awb(&opened.account, awb, format).await?;
    let store = |error: String| LabelError::Store(error);
    let key_id = plan.recipient.key_id.as_str();
    let sealed = parts.ports.vault.seal(key_id, CONTEXT, &pdf).await;
    let sealed = sealed.map_err(|error| store(error.to_string()))?;
    let blob = parts.ports.blobs.put(Bytes::from(sealed.ciphertext)).await;
    let blob = blob.map_err(|error| store(error.to_string()))?;
    let label = Label {
        format,
        blob_sha256: hex::decode(blob).map_err(|error| store(error.to_string()))?,
        label_sha256: sha256(&pdf),
        size_bytes: u32::try_from(pdf.len()).unwrap_or(u32::MAX),
        own: false,
        key_id: sealed.key_id,
        nonce: sealed.nonce,
    };
    let stored = parts.record(shipment_id, Command::StoreLabel(label), cause).await;
    stored.map(|_| ()).map_err(LabelError::Record)
}

/// The bytes of a stored label.
pub(crate) async fn read(parts: &Parts, label: &Label) -> Result<Vec<u8>, LabelError> {
    let store = |error: String| LabelError::Store(error);
    let blob = parts.ports.blobs.get(&hex::encode(&label.blob_sha256)).await;
    let blob = blob.map_err(|error| store(error.to_string()))?;
    let sealed = nexus_proto::common::v1::Sealed {
        key_id: label.key_id.clone(),
        nonce: label.nonce.clone(),
        ciphertext: blob.ok_or_else(|| store("the blob is gone".to_owned()))?.to_vec(),
    };
    let clear = parts.ports.vault.open(&sealed, CONTEXT).await;
    let clear = clear.map_err(|error| store(error.to_string()))?.ok_or(LabelError::Erased)?;
    if sha256(&clear) != label.label_sha256 {
        return Err(store("the stored label is another one".to_owned()));
    }
    Ok(clear.to_vec())
}
