//! The only doors from outside that couriers and channels have. Order of checks: known token, size,
//! proof, JSON; then sealed, appended, 200.

mod courier;
mod whatsapp;

use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::Router;
use axum::body::Body;
use axum::http::header::{CONTENT_TYPE, RETRY_AFTER};
use axum::http::{HeaderMap, Method, StatusCode};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use http_body_util::BodyExt;
use jiff::Timestamp;
use nexus_es::commit::sha256;
use nexus_es::log::EventLog;
use nexus_es::seal::{SealError, Vault};
use nexus_es::views::Views;
use nexus_es::{Actor, ActorKind, Cause, Handler, Positions, clock, new_id};
use nexus_runtime::{metrics, telemetry};
use serde::de::IgnoredAny;
use tokio::sync::{Semaphore, SemaphorePermit};
use tracing::field::Empty;
use tracing::{Instrument, info, info_span, warn};

use crate::config::Config;
use crate::domain::inbox::{Command, Inbox, Kind, Proof, Received};
use crate::views::accounts::{self, Account, NOTIFICATION, SHIPPING};
use crate::wire::{BODY, from_proto};

/// Largest body, in bytes.
const MAX_BODY: usize = 64 * 1024;
/// A larger body is read and thrown away up to here, so that its sender reads the answer.
const MAX_DRAIN: usize = 1024 * 1024;

/// What a webhook meets.
pub(crate) struct Door {
    pub(crate) config: Config,
    pub(crate) views: Arc<Views>,
    pub(crate) log: Arc<dyn EventLog>,
    pub(crate) vault: Arc<Vault>,
    pub(crate) inbox: Handler<Inbox>,
    pub(crate) places: Semaphore,
}

/// A webhook that is not taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum No {
    UnknownToken,
    TooLarge,
    TooSlow,
    NotAuthentic,
    Forbidden,
    NotJson,
    ComeAgain,
}

impl No {
    /// Its name as a label.
    fn name(self) -> &'static str {
        match self {
            Self::UnknownToken => "unknown_token",
            Self::TooLarge => "too_large",
            Self::TooSlow => "too_slow",
            Self::NotAuthentic => "not_authentic",
            Self::Forbidden => "forbidden",
            Self::NotJson => "not_json",
            Self::ComeAgain => "come_again",
        }
    }
}

/// Answers a webhook in a span of its own, and counts it. Who sends it is a stranger: the trace
/// begins here.
async fn served(
    kind: &'static str,
    route: &'static str,
    taking: impl Future<Output = Result<Response, No>>,
) -> Response {
    let began = Instant::now();
    let span = info_span!(
        "webhook",
        otel.kind = "server",
        otel.name = format!("POST {route}"),
        otel.status_code = Empty,
        error.type = Empty,
        http.request.method = "POST",
        http.route = route,
        http.response.status_code = Empty,
        nexus.story = "",
    );
    let taken = taking.instrument(span.clone()).await;
    let outcome = taken.as_ref().map_or_else(|no| no.name(), |_| "kept");
    let response = taken.into_response();
    let status = response.status();
    span.record("http.response.status_code", status.as_u16());
    if status.is_server_error() {
        span.record("otel.status_code", "ERROR").record("error.type", outcome);
    }
    metrics::webhook(kind, outcome);
    metrics::http_served(&Method::POST, route, status, began.elapsed());
    response
}

impl IntoResponse for No {
    fn into_response(self) -> Response {
        let (status, text) = match self {
            Self::UnknownToken => (StatusCode::NOT_FOUND, "no account has this token"),
            Self::TooLarge => (StatusCode::PAYLOAD_TOO_LARGE, "a body has at most 64 KB"),
            Self::TooSlow => (StatusCode::REQUEST_TIMEOUT, "the body did not arrive"),
            Self::NotAuthentic => (StatusCode::UNAUTHORIZED, "the secret or signature is wrong"),
            Self::Forbidden => (StatusCode::FORBIDDEN, "the verify token is wrong"),
            Self::NotJson => (StatusCode::BAD_REQUEST, "the body is not JSON"),
            Self::ComeAgain => (StatusCode::SERVICE_UNAVAILABLE, "not now, send it again"),
        };
        let mut response = (status, [(CONTENT_TYPE, "text/plain")], text).into_response();
        if self == Self::ComeAgain {
            response.headers_mut().insert(RETRY_AFTER, 5.into());
        }
        response
    }
}

/// The doors, and nothing else.
pub(crate) fn router(door: Arc<Door>) -> Router {
    Router::new()
        .route(courier::ROUTE, post(courier::post))
        .route(whatsapp::ROUTE, get(whatsapp::get).post(whatsapp::post))
        .with_state(door)
}

/// An authentic webhook.
struct Authentic {
    kind: Kind,
    account: String,
    token_sha256: Vec<u8>,
    body: Vec<u8>,
    headers: Option<nexus_proto::common::v1::Sealed>,
    proof: Proof,
}

impl Door {
    fn place(&self) -> Result<SemaphorePermit<'_>, No> {
        self.places.try_acquire().map_err(|_| No::ComeAgain)
    }

    /// The account of a token. One that is not known is looked for again once everything that stood
    /// in the owners' logs has been read: an account of a moment ago is not unknown.
    async fn account(&self, kind: Kind, token_sha256: &[u8]) -> Result<Account, No> {
        if let Some(account) = self.look_up(kind, token_sha256).await? {
            return Ok(account);
        }
        let mut heads = Positions::default();
        for service in [SHIPPING, NOTIFICATION] {
            let head = self.log.head(service).await.map_err(|error| {
                warn!("the log of {service} does not answer: {error}");
                No::ComeAgain
            })?;
            heads.advance(service, head);
        }
        if self.views.wait_for(&heads, self.config.view_limit).await.is_err() {
            return Err(No::ComeAgain);
        }
        self.look_up(kind, token_sha256).await?.ok_or(No::UnknownToken)
    }

    async fn look_up(&self, kind: Kind, token_sha256: &[u8]) -> Result<Option<Account>, No> {
        let found = accounts::by_token(&self.views, kind, token_sha256).await;
        found.map_err(|error| {
            warn!("the accounts cannot be read: {error}");
            No::ComeAgain
        })
    }

    /// Seals and appends an authentic webhook; whatever it says, it is kept.
    async fn keep(&self, webhook: Authentic) -> Result<Response, No> {
        let body = webhook.body;
        if serde_json::from_slice::<IgnoredAny>(&body).is_err() {
            return Err(No::NotJson);
        }
        let now_ms = clock::now_ms();
        let sealed = self.vault.seal(&month_key(now_ms), BODY, &body).await;
        let received = Received {
            kind: webhook.kind,
            account: webhook.account.clone(),
            account_token_sha256: webhook.token_sha256,
            received_at_ms: now_ms,
            body: from_proto(sealed.map_err(|error| vault_is_away(&error))?),
            body_sha256: sha256(&body),
            body_bytes: u32::try_from(body.len()).unwrap_or(u32::MAX),
            headers: webhook.headers.map(from_proto),
            proof: webhook.proof,
        };
        let id = format!("{}-{}", webhook.account, day(now_ms));
        let cause = cause(webhook.kind, &webhook.account, now_ms);
        match self.inbox.execute(&id, Command::Receive(received), cause).await {
            Ok(_) => {
                let (kind, account) = (webhook.kind.as_str(), webhook.account);
                info!(account.id = account, "a webhook of {kind} account {account} is kept");
                Ok((StatusCode::OK, [(CONTENT_TYPE, "application/json")], r#"{"received":true}"#)
                    .into_response())
            }
            // Perhaps it is stored: sent again it is a repeat, and those are told apart later.
            Err(error) => {
                warn!("a webhook could not be appended: {error}");
                Err(No::ComeAgain)
            }
        }
    }
}

/// The key of the month, UTC.
fn month_key(now_ms: i64) -> String {
    format!("inbox-{}", at(now_ms).strftime("%Y-%m"))
}

fn day(now_ms: i64) -> String {
    at(now_ms).strftime("%Y%m%d").to_string()
}

fn at(now_ms: i64) -> Timestamp {
    Timestamp::from_millisecond(now_ms).unwrap_or_default()
}

fn vault_is_away(error: &SealError) -> No {
    warn!("the vault does not answer: {error}");
    No::ComeAgain
}

fn cause(kind: Kind, account: &str, now_ms: i64) -> Cause {
    let command_id = new_id();
    let kind = match kind {
        Kind::Courier => ActorKind::Courier,
        Kind::Channel => ActorKind::Channel,
    };
    let actor = Actor { kind, id: account.to_owned(), roles: Vec::new(), warehouse: String::new() };
    Cause {
        occurred_at_ms: now_ms,
        learned_at_ms: now_ms,
        command_id,
        request_hash: Vec::new(),
        story: command_id.to_string(),
        causation_id: None,
        actor,
        traceparent: telemetry::current_traceparent(),
    }
}

/// Reads a body of at most [`MAX_BODY`] bytes that arrives in time.
async fn read_body(headers: &HeaderMap, body: Body, limit: Duration) -> Result<Vec<u8>, No> {
    let announced = headers.get(axum::http::header::CONTENT_LENGTH);
    let announced = announced.and_then(|value| value.to_str().ok()?.parse::<usize>().ok());
    if announced.is_some_and(|bytes| bytes > MAX_DRAIN) {
        return Err(No::TooLarge);
    }
    let reading = tokio::time::timeout(limit, take(body));
    reading.await.unwrap_or(Err(No::TooSlow))
}

async fn take(mut body: Body) -> Result<Vec<u8>, No> {
    let mut taken = Vec::new();
    let mut seen = 0;
    while let Some(frame) = body.frame().await {
        let Ok(frame) = frame else { return Err(No::TooSlow) };
        let Ok(data) = frame.into_data() else { continue };
        seen += data.len();
        if seen > MAX_DRAIN {
            break;
        }
        if seen <= MAX_BODY {
            taken.extend_from_slice(&data);
        }
    }
    if seen > MAX_BODY { Err(No::TooLarge) } else { Ok(taken) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn inboxes_and_keys_change_with_the_day_and_the_month_in_utc() {
        let last = 1_796_083_199_999;
        assert_eq!((day(last), month_key(last)), ("20261130".into(), "inbox-2026-11".into()));
        assert_eq!(
            (day(last + 1), month_key(last + 1)),
            ("20261201".into(), "inbox-2026-12".into())
        );
    }
}
