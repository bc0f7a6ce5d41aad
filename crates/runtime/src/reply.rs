//! Answers that say whether they were replayed.

use nexus_es::Receipt;
use tonic::Response;
use tonic::metadata::MetadataValue;

/// Metadata of an answer to a request that had been carried out before.
pub const REPLAYED: &str = "idempotent-replayed";

/// Wraps `message`, marked when `receipt` was replayed.
#[must_use]
pub fn reply<M>(receipt: &Receipt, message: M) -> Response<M> {
    replayed_if(receipt.replayed, message)
}

/// Wraps `message`, marked when `replayed`.
#[must_use]
pub fn replayed_if<M>(replayed: bool, message: M) -> Response<M> {
    let mut response = Response::new(message);
    if replayed {
        response.metadata_mut().insert(REPLAYED, MetadataValue::from_static("true"));
    }
    response
}
