//! Bosta over HTTP: the raw key, the envelope, and which answers are a no, which are none.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use nexus_proto::common::v1::Recipient;
use nexus_runtime::metrics;
use nexus_runtime::telemetry::outgoing;
use reqwest::{Method, StatusCode};
use secrecy::ExposeSecret;
use serde_json::Value;

use super::cities::{self, City, District, Place};
use crate::config::Config;
use crate::courier::{Account, AwbRequest, CallError};
use crate::domain::courier_account::Mode;

/// When a busy courier does not say how long to wait.
const RETRY_AFTER: Duration = Duration::from_secs(30);
const RETRY_AFTER_MAX: Duration = Duration::from_secs(600);
/// Districts change rarely; a new one is found a day later at most.
const DISTRICTS_LIVE: Duration = Duration::from_secs(24 * 60 * 60);
const DETAIL_MAX: usize = 300;

pub(super) struct Api {
    http: reqwest::Client,
    live_url: String,
    sandbox_url: String,
    districts: Mutex<HashMap<(Mode, &'static str), Known>>,
}

type Known = (Instant, Arc<Vec<District>>);

impl Api {
    pub(super) fn new(config: &Config) -> Result<Self, reqwest::Error> {
        Ok(Self {
            http: nexus_runtime::http::client(config.courier_timeout)?,
            live_url: config.bosta_live_url.clone(),
            sandbox_url: config.bosta_sandbox_url.clone(),
            districts: Mutex::default(),
        })
    }

    /// Calls v2 and answers the envelope's data.
    pub(super) async fn call(
        &self,
        account: &Account,
        method: Method,
        path: &str,
        body: Option<&Value>,
    ) -> Result<Value, CallError> {
        // The account's mode picks the address, from configuration alone.
        let base = match account.mode {
            Mode::Live => &self.live_url,
            Mode::Sandbox => &self.sandbox_url,
        };
        let mut request = self
            .http
            .request(method, format!("{base}/api/v2/{path}"))
            .header("authorization", account.api_key.expose_secret())
            .header("x-requested-by", "nexus");
        if let Some(body) = body {
            request = request.json(body);
        }
        let operation = operation(path);
        let understood = match outgoing::send(request, operation).await {
            Ok(answer) => {
                let status = answer.status();
                let bytes = answer.bytes().await.map_err(|error| unanswered(&error));
                bytes.and_then(|bytes| understand(status, &bytes))
            }
            Err(error) => Err(unanswered(&error)),
        };
        metrics::courier_called("bosta", operation, outcome(&understood));
        understood
    }

    /// Where the parcel goes, in Bosta's names.
    pub(super) async fn place(
        &self,
        account: &Account,
        request: &AwbRequest,
    ) -> Result<Place, CallError> {
        let address = request.recipient.address.clone().unwrap_or_default();
        let city = cities::city_of(&address.governorate, &address.city).ok_or_else(|| {
            CallError::refused(
                "UNKNOWN_CITY",
                "shipping_address.governorate",
                "the governorate is none that Bosta serves",
                "correct the governorate of the order's address, for example Cairo or Giza",
            )
        })?;
        let districts = self.districts(account, city).await;
        let district = cities::district_of(&districts, &[&address.district, &address.city]);
        if district.is_some_and(|district| !district.drop_off) {
            return Err(CallError::refused(
                "OUT_OF_COVERAGE",
                "shipping_address.district",
                "Bosta does not deliver to this district",
                "choose another courier account for this shipment",
            ));
        }
        Ok(Place { city, district: district.cloned() })
    }

    /// The districts of a city; none when they cannot be had, which is no reason not to ship.
    async fn districts(&self, account: &Account, city: &'static City) -> Arc<Vec<District>> {
        let key = (account.mode, city.id);
        if let Some((since, known)) = self.known().get(&key)
            && since.elapsed() < DISTRICTS_LIVE
        {
            return Arc::clone(known);
        }
        let path = format!("cities/{}/districts", city.id);
        match self.call(account, Method::GET, &path, None).await {
            Ok(rows) => {
                let districts = Arc::new(cities::districts_in(&rows));
                self.known().insert(key, (Instant::now(), Arc::clone(&districts)));
                districts
            }
            Err(error) => {
                tracing::warn!("the districts of {} cannot be read: {error}", city.name);
                Arc::default()
            }
        }
    }

    fn known(&self) -> std::sync::MutexGuard<'_, HashMap<(Mode, &'static str), Known>> {
        self.districts.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What a path asks for, without the ids in it.
fn operation(path: &str) -> &'static str {
    let path = path.split('?').next().unwrap_or_default();
    let parts: Vec<_> = path.split('/').collect();
    match parts.as_slice() {
        ["deliveries"] => "/api/v2/deliveries",
        ["deliveries", "search"] => "/api/v2/deliveries/search",
        ["deliveries", "mass-awb"] => "/api/v2/deliveries/mass-awb",
        ["deliveries", "analytics", ..] => "/api/v2/deliveries/analytics/total-deliveries",
        ["deliveries", "business", _] => "/api/v2/deliveries/business/{trackingNumber}",
        ["deliveries", "business", _, "terminate"] => {
            "/api/v2/deliveries/business/{trackingNumber}/terminate"
        }
        ["cities", _, "districts"] => "/api/v2/cities/{cityId}/districts",
        _ => "/api/v2/other",
    }
}

fn outcome(understood: &Result<Value, CallError>) -> &'static str {
    match understood {
        Ok(_) => "done",
        Err(CallError::Busy { .. }) => "busy",
        Err(CallError::NotFound) => "not_found",
        Err(CallError::ReferenceTaken) => "reference_taken",
        Err(CallError::Refused(_)) => "refused",
        Err(CallError::Unanswered { .. }) => "unanswered",
    }
}

fn unanswered(error: &reqwest::Error) -> CallError {
    let reason = if error.is_timeout() {
        "timeout"
    } else if error.is_connect() {
        "unreachable"
    } else {
        "reset"
    };
    CallError::Unanswered { reason }
}

pub(super) fn unreadable() -> CallError {
    CallError::Unanswered { reason: "unreadable" }
}

/// A field as text, whether it came as text or as number; never empty.
pub(super) fn text_of(value: &Value, field: &str) -> Option<String> {
    match value.get(field)? {
        Value::String(text) => Some(text.trim().to_owned()).filter(|text| !text.is_empty()),
        Value::Number(number) => Some(number.to_string()),
        Value::Null | Value::Bool(_) | Value::Array(_) | Value::Object(_) => None,
    }
}

pub(super) fn understand(status: StatusCode, bytes: &[u8]) -> Result<Value, CallError> {
    let body: Option<Value> = serde_json::from_slice(bytes).ok();
    let code =
        body.as_ref().and_then(|body| text_of(body, "errorCode").or_else(|| text_of(body, "code")));
    let is_busy = status == StatusCode::TOO_MANY_REQUESTS || code.as_deref() == Some("429");
    if is_busy {
        return Err(CallError::Busy { retry_after: retry_after(body.as_ref()) });
    }
    let failed = body.as_ref().is_some_and(|body| body.get("success") == Some(&Value::Bool(false)));
    match (status, body) {
        (status, Some(body)) if status.is_success() && !failed => Ok(data(body)),
        (status, None) if status.is_success() => Err(unreadable()),
        // No code and no 4xx: it did not say what it did.
        (status, _) if status.is_success() && code.is_none() => {
            Err(CallError::Unanswered { reason: "failure without a code" })
        }
        (status, body)
            if (status.is_client_error() && status != StatusCode::REQUEST_TIMEOUT)
                || status.is_success() =>
        {
            Err(refusal(status, code, &body.unwrap_or_default()))
        }
        _ => Err(CallError::Unanswered { reason: "server error" }),
    }
}

fn data(mut body: Value) -> Value {
    match body.get_mut("data") {
        Some(data) => data.take(),
        None => body,
    }
}

fn retry_after(body: Option<&Value>) -> Duration {
    let seconds = body.and_then(|body| body.get("retryAfter")).and_then(Value::as_u64);
    seconds.map_or(RETRY_AFTER, Duration::from_secs).min(RETRY_AFTER_MAX)
}

fn refusal(status: StatusCode, code: Option<String>, body: &Value) -> CallError {
    let code = code.unwrap_or_else(|| status.as_u16().to_string());
    match code.as_str() {
        "11000" => return CallError::ReferenceTaken,
        "1066" => return CallError::NotFound,
        _ => {}
    }
    let message = text_of(body, "message")
        .or_else(|| body.get(0).and_then(|first| text_of(first, "message")))
        .unwrap_or_else(|| format!("HTTP {status}"));
    let (field, hint) = advice(&code, status);
    CallError::refused(
        &code,
        &field_in(&message).unwrap_or_else(|| field.to_owned()),
        &message,
        hint,
    )
}

/// The path that a schema error begins with, such as `dropOffAddress.firstLine`.
fn field_in(message: &str) -> Option<String> {
    let first = message.split_whitespace().next()?;
    let is_path = first.contains('.') && !first.ends_with('.');
    let is_plain = first.chars().all(|letter| letter.is_ascii_alphanumeric() || letter == '.');
    (is_path && is_plain).then(|| first.to_owned())
}

/// Which of our fields it is about, and what a person can do.
fn advice(code: &str, status: StatusCode) -> (&'static str, &'static str) {
    const KEY: &str = "check the API key in Settings → Integrations → Shipping";
    match code {
        "1000" | "1007" | "1028" => ("credentials.api_key", KEY),
        "1008" => (
            "credentials.api_key",
            "the API key may not do this: make one with Full Access in Bosta's dashboard, and \
             enter it in Settings → Integrations → Shipping",
        ),
        "1010" | "1073" | "1077" => (
            "pickup_location",
            "set a default pickup location with a contact in Bosta's dashboard, or enter its id \
             in Settings → Integrations → Shipping",
        ),
        "3001" => {
            ("shipping_address.governorate", "correct the governorate of the order's address")
        }
        "3002" | "3003" | "3000" => {
            ("shipping_address.district", "correct the district of the order's address")
        }
        "3004" | "3009" => ("shipping_address", "complete the order's address"),
        "3007" => ("cod", "Bosta collects at most 30,000 EGP: have part of it paid before"),
        "8000002" => ("", "the account at Bosta needs a bundle: see Bosta's dashboard"),
        _ if status == StatusCode::UNAUTHORIZED => ("credentials.api_key", KEY),
        _ if status == StatusCode::FORBIDDEN => (
            "credentials.api_key",
            "Bosta refuses this key or this machine's address: check the key in Settings → \
             Integrations → Shipping and the list of allowed addresses in Bosta's dashboard",
        ),
        _ => ("", "correct what Bosta names, then ask for the AWB again"),
    }
}

/// Takes what belongs to the recipient out of the courier's words, which are kept for ever.
pub(super) fn without_person(error: CallError, recipient: &Recipient) -> CallError {
    let CallError::Refused(mut problem) = error else { return error };
    let address = recipient.address.clone().unwrap_or_default();
    let whole =
        [&recipient.name, &recipient.phone, &recipient.email, &address.line1, &address.line2];
    let local = recipient.phone.strip_prefix("+2").unwrap_or_default().to_owned();
    let parts = recipient.name.split_whitespace().map(str::to_owned);
    let personal = whole.into_iter().cloned().chain([local]).chain(parts);
    for value in personal.filter(|value| value.chars().count() > 2) {
        problem.detail = problem.detail.replace(&value, "…");
    }
    problem.detail = problem.detail.chars().take(DETAIL_MAX).collect();
    CallError::Refused(problem)
}
