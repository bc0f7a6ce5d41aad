//! What every call passes first: the counter, the token, the armed faults.

use std::sync::Arc;
use std::time::Duration;

use axum::extract::{MatchedPath, Request, State};
use axum::http::{HeaderMap, HeaderValue, Method, StatusCode, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};

use super::App;
use super::refusal::Refusal;
use crate::fault::{Armed, Known};
use crate::{random, server};

pub(super) const FAULTS: &[Known] = &[
    Known { name: "lost_answer", on_call: true, about: "accepts, then drops the connection" },
    Known { name: "delay", on_call: true, about: "accepts, then answers after delay_ms" },
    Known { name: "rate_limit", on_call: true, about: "429 with code 130429, nothing done" },
    Known { name: "server_error", on_call: true, about: "500 with code 131000, nothing done" },
    Known { name: "refuse", on_call: true, about: "a 4xx: status, code, message; nothing done" },
    Known { name: "undeliverable", on_call: false, about: "the next message fails with 131026" },
    Known { name: "reorder_receipts", on_call: false, about: "its receipts come last one first" },
    Known { name: "duplicate_receipts", on_call: false, about: "its receipts come twice" },
    Known { name: "no_read", on_call: false, about: "it is delivered and never read" },
];

pub(super) const CALLS: &[&str] = &["send", "other"];

/// At speed 1, in milliseconds.
const DELAY: u64 = 20_000;

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
    check_token(request.headers())?;
    let sends = request.method() == Method::POST && route.ends_with("/messages");
    let armed = app.faults.take_for_call(if sends { "send" } else { "other" }).await?;
    let mut answer = match armed {
        None => next.run(request).await,
        Some(armed) => play(&app, &armed, request, next).await,
    };
    if let Ok(trace) = HeaderValue::from_str(&random::id(11)?) {
        answer.headers_mut().insert("x-fb-trace-id", trace);
    }
    Ok(answer)
}

async fn play(app: &App, armed: &Armed, request: Request, next: Next) -> Response {
    tracing::info!(fault = armed.fault, "the sandbox channel plays {}", armed.fault);
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
        "rate_limit" => {
            Refusal::new(130_429, "Rate limit hit", "too many messages from this number")
                .with_status(StatusCode::TOO_MANY_REQUESTS)
                .into_response()
        }
        "refuse" => refuse(armed).into_response(),
        _ => Refusal::new(131_000, "Something went wrong", "unknown error")
            .with_status(StatusCode::INTERNAL_SERVER_ERROR)
            .into_response(),
    }
}

fn refuse(armed: &Armed) -> Refusal {
    let status = armed
        .number("status")
        .and_then(|status| u16::try_from(status).ok())
        .and_then(|status| StatusCode::from_u16(status).ok())
        .filter(StatusCode::is_client_error)
        .unwrap_or(StatusCode::BAD_REQUEST);
    let message = armed.text("message").unwrap_or("refused by the sandbox");
    Refusal::new(armed.number("code").unwrap_or(131_008), message, message).with_status(status)
}

/// Any bearer token but those that begin with `bad`.
fn check_token(headers: &HeaderMap) -> Result<(), Refusal> {
    let token = headers
        .get(header::AUTHORIZATION)
        .and_then(|value| value.to_str().ok())
        .and_then(|value| value.strip_prefix("Bearer "))
        .map(str::trim)
        .filter(|token| !token.is_empty() && !token.starts_with("bad"));
    match token {
        Some(_) => Ok(()),
        None => Err(Refusal::new(190, "Invalid OAuth access token", "cannot parse access token")
            .with_status(StatusCode::UNAUTHORIZED)),
    }
}
