//! What every call passes first: the counter, the key, the armed faults.

use std::sync::Arc;
use std::time::Duration;

use axum::Json;
use axum::extract::{MatchedPath, Request, State};
use axum::http::{HeaderMap, Method, StatusCode, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use serde_json::{Value, json};

use super::App;
use super::refusal::Refusal;
use crate::clock::millis;
use crate::fault::{Armed, Known};
use crate::server;

pub(super) const FAULTS: &[Known] = &[
    Known { name: "lost_answer", on_call: true, about: "does the work, then drops the connection" },
    Known { name: "delay", on_call: true, about: "does the work, then answers after delay_ms" },
    Known { name: "server_error", on_call: true, about: "500 without a code, nothing done" },
    Known { name: "rate_limited", on_call: true, about: "429 with retryAfter, nothing done" },
    Known { name: "rate_limited_in_200", on_call: true, about: "the same inside an HTTP 200" },
    Known { name: "failed_in_200", on_call: true, about: "success false in a 200, nothing done" },
    Known { name: "refuse", on_call: true, about: "a 4xx: status, code, message; nothing done" },
    Known { name: "rto", on_call: false, about: "the next delivery fails and returns to origin" },
    Known {
        name: "exception",
        on_call: false,
        about: "the next delivery fails once, then arrives",
    },
    Known { name: "unknown_state", on_call: false, about: "the next one reports state 999 midway" },
    Known { name: "duplicate_webhook", on_call: false, about: "the next webhook is sent twice" },
    Known { name: "reorder_webhooks", on_call: false, about: "the next webhook is overtaken" },
];

pub(super) const CALLS: &[&str] =
    &["create", "read", "search", "update", "terminate", "label", "tracking", "other"];

/// At speed 1, in milliseconds and in seconds.
const DELAY: u64 = 20_000;
const RETRY_AFTER: u64 = 30;

pub(super) async fn gate(
    State(app): State<Arc<App>>,
    request: Request,
    next: Next,
) -> Result<Response, Refusal> {
    let route = request
        .extensions()
        .get::<MatchedPath>()
        .map_or_else(|| "unknown".to_owned(), |path| path.as_str().to_owned());
    if route.starts_with("/_control") {
        return Ok(next.run(request).await);
    }
    app.store.count_call(format!("{} {route}", request.method()));
    if !is_open(&route) {
        check_key(request.headers())?;
    }
    match app.faults.take_for_call(call_of(request.method(), &route)).await? {
        None => Ok(next.run(request).await),
        Some(armed) => Ok(play(&app, &armed, request, next).await),
    }
}

async fn play(app: &App, armed: &Armed, request: Request, next: Next) -> Response {
    tracing::info!(fault = armed.fault, "the sandbox courier plays {}", armed.fault);
    match armed.fault.as_str() {
        "lost_answer" => {
            next.run(request).await;
            server::dropped_connection()
        }
        "delay" => {
            let answer = next.run(request).await;
            let delay = armed.number("delay_ms").map(Duration::from_millis);
            tokio::time::sleep(delay.unwrap_or_else(|| app.clock.wait(DELAY))).await;
            answer
        }
        "rate_limited" => rate_limited(app, armed, StatusCode::TOO_MANY_REQUESTS),
        "rate_limited_in_200" => rate_limited(app, armed, StatusCode::OK),
        "failed_in_200" => Refusal::plain(StatusCode::OK, "Something went wrong").into_response(),
        "refuse" => refuse(armed).into_response(),
        _ => Refusal::plain(StatusCode::INTERNAL_SERVER_ERROR, "Internal server error")
            .into_response(),
    }
}

fn rate_limited(app: &App, armed: &Armed, status: StatusCode) -> Response {
    let seconds = armed.number("retry_after").unwrap_or_else(|| {
        let wait = millis(app.clock.wait(RETRY_AFTER * 1_000)).unsigned_abs();
        wait.div_ceil(1_000)
    });
    let body = json!({"success": false, "errorCode": 429, "retryAfter": seconds});
    (status, Json(body)).into_response()
}

fn refuse(armed: &Armed) -> Refusal {
    let status = armed
        .number("status")
        .and_then(|status| u16::try_from(status).ok())
        .and_then(|status| StatusCode::from_u16(status).ok())
        .filter(StatusCode::is_client_error)
        .unwrap_or(StatusCode::BAD_REQUEST);
    let code = match armed.options.get("code") {
        Some(Value::String(code)) => code.clone(),
        Some(code) => code.to_string(),
        None => "3003".into(),
    };
    let message = armed.text("message").unwrap_or("District not found");
    Refusal::coded(&code, message).with_status(status)
}

/// The raw key opens everything; `Bearer` only what `users/login` gave.
fn check_key(headers: &HeaderMap) -> Result<(), Refusal> {
    let given = headers
        .get(header::AUTHORIZATION)
        .and_then(|value| value.to_str().ok())
        .map(str::trim)
        .filter(|value| !value.is_empty());
    match given {
        None => {
            Err(Refusal::coded("1007", "You are not authorized")
                .with_status(StatusCode::UNAUTHORIZED))
        }
        Some(key) if is_good_key(key) => Ok(()),
        Some(_) => Err(bad_key()),
    }
}

pub(super) fn is_good_key(key: &str) -> bool {
    match key.strip_prefix("Bearer") {
        Some(token) => token.trim_start().starts_with(LOGIN_TOKEN),
        None => !key.starts_with("bad"),
    }
}

pub(super) const LOGIN_TOKEN: &str = "sandbox-login-";

pub(super) fn bad_key() -> Refusal {
    Refusal::coded("1028", "Invalid token or API key").with_status(StatusCode::UNAUTHORIZED)
}

fn is_open(route: &str) -> bool {
    let below_version = below_version(route);
    ["/cities", "/zones", "/districts", "/users/login", "/businesses", "/shipments/track"]
        .iter()
        .any(|open| below_version.starts_with(open))
}

fn below_version(route: &str) -> &str {
    ["/api/v2", "/api/v1", "/api/v0"]
        .iter()
        .find_map(|version| route.strip_prefix(version))
        .unwrap_or(route)
}

fn call_of(method: &Method, route: &str) -> &'static str {
    let path = below_version(route);
    if path.ends_with("/tracking") || path.starts_with("/shipments/track") {
        return "tracking";
    }
    if !path.starts_with("/deliveries") || path.starts_with("/deliveries/analytics") {
        return "other";
    }
    match (method, path) {
        (_, "/deliveries/mass-awb" | "/deliveries/awb/{id}") => "label",
        (&Method::POST, "/deliveries/search") | (&Method::GET, "/deliveries") => "search",
        (&Method::POST, _) => "create",
        (&Method::PUT | &Method::PATCH, _) => "update",
        (&Method::DELETE, _) => "terminate",
        _ => "read",
    }
}
