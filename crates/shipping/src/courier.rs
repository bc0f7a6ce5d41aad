//! The port to couriers, and which there are. An adapter keeps nothing: it asks, and says plainly
//! what the courier answered.
//! *Invariant:* a call that may have made a delivery is never reported as refused.

mod bosta;
#[cfg(test)]
mod contract;
mod manual;

use std::time::Duration;

use async_trait::async_trait;
use nexus_es::commit::sha256;
use nexus_proto::common::v1::Recipient;
use secrecy::SecretString;
use subtle::ConstantTimeEq;

use crate::config::Config;
use crate::domain::courier_account::Mode;
use crate::domain::shipment::{Awb, Parcel, Problem};
use crate::domain::tracking::Reading;
use crate::domain::{CourierKind, LabelFormat};

/// An account, opened for one call.
pub(crate) struct Account {
    pub(crate) mode: Mode,
    pub(crate) api_key: SecretString,
    pub(crate) pickup_location: String,
    /// Where the courier shall post updates; `None` when it is told in its own settings.
    pub(crate) webhook: Option<WebhookTarget>,
}

pub(crate) struct WebhookTarget {
    pub(crate) url: String,
    pub(crate) header: String,
    pub(crate) secret: SecretString,
}

/// A parcel that shall get an AWB.
pub(crate) struct AwbRequest {
    /// Our name for it; the courier takes each only once.
    pub(crate) reference: String,
    pub(crate) order_number: String,
    pub(crate) recipient: Recipient,
    pub(crate) notes: String,
    pub(crate) parcel: Parcel,
    /// Ten-thousandths.
    pub(crate) cod: i64,
    pub(crate) currency: String,
}

/// What a courier said about a delivery.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Told {
    pub(crate) delivery_id: String,
    pub(crate) tracking_number: String,
    pub(crate) code: String,
    pub(crate) kind: String,
    pub(crate) raw_word: String,
    pub(crate) reading: Reading,
    /// By the courier's clock, if it says.
    pub(crate) occurred_at_ms: Option<i64>,
    pub(crate) exception_code: String,
    pub(crate) exception_reason: String,
    pub(crate) attempt: Option<u32>,
    pub(crate) cod_collected: Option<i64>,
}

/// What reading a delivery back gave.
pub(crate) enum Tracked {
    /// Where it is, and the answer as it came.
    At { told: Box<Told>, raw: Vec<u8> },
    /// The courier does not know it, or no longer.
    Gone,
}

/// Why a call did not work.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum CallError {
    /// A definite no: nothing was made.
    #[error("the courier refused: {}", .0.code)]
    Refused(Problem),
    /// The reference names a delivery already.
    #[error("the courier has a delivery of this reference")]
    ReferenceTaken,
    /// It knows no such delivery.
    #[error("the courier knows no such delivery")]
    NotFound,
    /// Too many calls; nothing was made.
    #[error("the courier wants to be asked later")]
    Busy { retry_after: Duration },
    /// No answer, or none that can be understood: it may have happened, or not.
    #[error("the courier gave no answer: {reason}")]
    Unanswered { reason: &'static str },
}

impl CallError {
    fn refused(code: &str, field: &str, detail: &str, hint: &str) -> Self {
        Self::Refused(Problem {
            code: code.to_owned(),
            field: field.to_owned(),
            detail: detail.to_owned(),
            hint: hint.to_owned(),
        })
    }
}

/// A body that is no update.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("the body names no delivery")]
pub(crate) struct NotUnderstood;

/// A courier.
#[async_trait]
pub(crate) trait Courier: Send + Sync + 'static {
    /// Ends that its webhooks tell can be confirmed by reading the delivery back.
    fn reads_back(&self) -> bool;

    /// Makes the delivery. A second call with the same reference makes none.
    async fn create_awb(&self, account: &Account, request: &AwbRequest) -> Result<Awb, CallError>;

    /// The live deliveries of `reference`, the oldest first.
    async fn find_by_reference(
        &self,
        account: &Account,
        reference: &str,
        order_number: &str,
    ) -> Result<Vec<Awb>, CallError>;

    /// The label as PDF. Makes nothing.
    async fn print_awb(
        &self,
        account: &Account,
        awb: &Awb,
        format: LabelFormat,
    ) -> Result<Vec<u8>, CallError>;

    /// Ends the delivery before it is picked up; one that is gone already is fine.
    async fn void(&self, account: &Account, awb: &Awb) -> Result<(), CallError>;

    /// What the courier says about the delivery now.
    async fn track(&self, account: &Account, awb: &Awb) -> Result<Tracked, CallError>;

    /// Asks the cheapest authenticated question; answers the account's name if it learns one.
    async fn test_connection(&self, account: &Account) -> Result<Option<String>, CallError>;

    /// True when `header` carries the secret with this hash; takes the same time either way.
    #[cfg_attr(
        not(test),
        expect(dead_code, reason = "the ingress compares by itself, from the account's events")
    )]
    fn authenticate_webhook(&self, secret_sha256: &[u8], header: &str) -> bool;

    /// What a webhook says. An unknown status is unrecognised, never guessed.
    fn parse_webhook(&self, body: &[u8]) -> Result<Told, NotUnderstood>;
}

/// The couriers there are.
pub(crate) struct Couriers {
    bosta: bosta::Bosta,
    manual: manual::Manual,
}

impl Couriers {
    pub(crate) fn new(config: &Config) -> Result<Self, reqwest::Error> {
        Ok(Self { bosta: bosta::Bosta::new(config)?, manual: manual::Manual })
    }

    pub(crate) fn of(&self, kind: CourierKind) -> &dyn Courier {
        match kind {
            CourierKind::Bosta => &self.bosta,
            CourierKind::Manual => &self.manual,
        }
    }
}

/// The tracking number and delivery id that a webhook of any courier names.
pub(crate) fn numbers_in(body: &[u8]) -> Option<(String, String)> {
    let told = bosta::webhook::parse(body).or_else(|_| manual::parse(body)).ok()?;
    Some((told.tracking_number, told.delivery_id))
}

/// Compares a header, with or without `Bearer`, with the hash of the secret.
fn carries_secret(secret_sha256: &[u8], header: &str) -> bool {
    let secret = header.strip_prefix("Bearer ").unwrap_or(header).trim();
    sha256(secret.as_bytes()).ct_eq(secret_sha256).into()
}
