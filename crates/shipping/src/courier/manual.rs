//! Any courier whose numbers are typed in. The merchant's own systems may post updates in our
//! words.

use async_trait::async_trait;
use nexus_runtime::time::parse_rfc3339;
use serde::Deserialize;

use super::{
    Account, AwbRequest, CallError, Courier, NotUnderstood, Told, Tracked, carries_secret,
};
use crate::domain::LabelFormat;
use crate::domain::shipment::Awb;
use crate::domain::tracking::{Reading, TrackingStatus};

pub(super) struct Manual;

const TYPE_IT: &str = "create the shipment with tracking_number, the number of the courier's label";

#[async_trait]
impl Courier for Manual {
    fn reads_back(&self) -> bool {
        false
    }

    async fn create_awb(&self, _: &Account, _: &AwbRequest) -> Result<Awb, CallError> {
        let detail = "the AWBs of a manual account are typed in";
        Err(CallError::refused("TYPED_NUMBER", "tracking_number", detail, TYPE_IT))
    }

    async fn find_by_reference(
        &self,
        _: &Account,
        _: &str,
        _: &str,
    ) -> Result<Vec<Awb>, CallError> {
        Ok(vec![])
    }

    async fn print_awb(&self, _: &Account, _: &Awb, _: LabelFormat) -> Result<Vec<u8>, CallError> {
        let detail = "a manual account has no label of ours";
        Err(CallError::refused("NO_LABEL", "", detail, "use the label that the courier gave you"))
    }

    async fn void(&self, _: &Account, _: &Awb) -> Result<(), CallError> {
        Ok(())
    }

    async fn track(&self, _: &Account, _: &Awb) -> Result<Tracked, CallError> {
        let detail = "a manual account cannot be asked";
        Err(CallError::refused("NO_TRACKING", "", detail, "look at the courier's own page"))
    }

    async fn test_connection(&self, _: &Account) -> Result<Option<String>, CallError> {
        Ok(None)
    }

    fn authenticate_webhook(&self, secret_sha256: &[u8], header: &str) -> bool {
        carries_secret(secret_sha256, header)
    }

    fn parse_webhook(&self, body: &[u8]) -> Result<Told, NotUnderstood> {
        parse(body)
    }
}

#[derive(Deserialize)]
struct Body {
    tracking_number: String,
    status: String,
    occurred_at: Option<String>,
    description: Option<String>,
    attempt: Option<u32>,
}

/// `{"tracking_number", "status", "occurred_at"?, "description"?, "attempt"?}`, `status` being one
/// of our own tracking statuses.
pub(super) fn parse(body: &[u8]) -> Result<Told, NotUnderstood> {
    let body: Body = serde_json::from_slice(body).map_err(|_| NotUnderstood)?;
    let status = TrackingStatus::parse(&body.status).unwrap_or(TrackingStatus::Unrecognised);
    Ok(Told {
        delivery_id: String::new(),
        tracking_number: body.tracking_number,
        code: body.status,
        kind: "MANUAL".to_owned(),
        raw_word: body.description.unwrap_or_default(),
        reading: Reading::Plain(status),
        occurred_at_ms: body.occurred_at.as_deref().and_then(parse_rfc3339),
        exception_code: String::new(),
        exception_reason: String::new(),
        attempt: body.attempt,
        cod_collected: None,
    })
}
