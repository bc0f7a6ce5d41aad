//! `/_control`: what the real channel has elsewhere or not at all. Faults, templates, the webhook
//! subscription, customers who write, and the ledger of all that was accepted.

use std::sync::Arc;

use axum::body::Bytes;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Json, Router};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

use super::App;
use super::handshake::{Subscription, subscribe, subscription};
use super::message::{self, Message};
use super::receipts;
use super::refusal::Refusal;
use super::templates::Template;
use crate::clock::rfc3339;
use crate::store::Batch;
use crate::{outbox, random};

pub(super) fn router() -> Router<Arc<App>> {
    Router::new()
        .route("/faults", get(faults).post(switch).delete(clear))
        .route("/messages", get(messages))
        .route("/templates", get(list_templates).post(put_template))
        .route("/webhook", post(set_webhook))
        .route("/webhooks", get(webhooks))
        .route("/inbound", post(inbound))
        .route("/calls", get(calls))
}

/// Control calls fail in plain words, not in Graph's error body.
fn problem(text: &str) -> Response {
    (StatusCode::BAD_REQUEST, Json(json!({"success": false, "message": text}))).into_response()
}

async fn faults(State(app): State<Arc<App>>) -> Json<Value> {
    Json(app.faults.list())
}

async fn switch(State(app): State<Arc<App>>, body: Bytes) -> Result<Response, Refusal> {
    let wanted = match parsed(&body) {
        Ok(wanted) => wanted,
        Err(text) => return Ok(problem(&text)),
    };
    match app.faults.arm(wanted).await? {
        Ok(()) => Ok(Json(app.faults.list()).into_response()),
        Err(text) => Ok(problem(&text)),
    }
}

async fn clear(State(app): State<Arc<App>>) -> Result<Json<Value>, Refusal> {
    app.faults.clear().await?;
    Ok(Json(app.faults.list()))
}

async fn messages(State(app): State<Arc<App>>) -> Result<Json<Value>, Refusal> {
    let rows: Vec<_> = message::all(&app.pool).await?.iter().map(ledger_row).collect();
    Ok(Json(json!({"messages": rows})))
}

fn ledger_row(accepted: &Message) -> Value {
    let record = &accepted.record;
    let statuses: Vec<_> = record
        .statuses
        .iter()
        .map(|receipt| json!({"status": receipt.status, "at": rfc3339(receipt.at_ms)}))
        .collect();
    json!({
        "wamid": accepted.wamid,
        "phone_number_id": record.phone_number_id,
        "to": record.to,
        "wa_id": record.wa_id,
        "template": record.template,
        "language": record.language,
        "parameters": record.parameters,
        "biz_opaque_callback_data": record.biz_opaque_callback_data,
        "accepted": rfc3339(record.accepted_ms),
        "statuses": statuses,
    })
}

async fn list_templates(State(app): State<Arc<App>>) -> Json<Value> {
    Json(json!({"templates": app.templates.all()}))
}

async fn put_template(State(app): State<Arc<App>>, body: Bytes) -> Result<Response, Refusal> {
    let wanted: Template = match parsed(&body) {
        Ok(wanted) => wanted,
        Err(text) => return Ok(problem(&text)),
    };
    if !(0..=100).contains(&wanted.body_variables) {
        return Ok(problem("body_variables must be 0 to 100"));
    }
    if !["APPROVED", "PAUSED", "DISABLED"].contains(&wanted.status.as_str()) {
        return Ok(problem("status must be APPROVED, PAUSED or DISABLED"));
    }
    app.templates.put(&app.store, wanted).await?;
    Ok(Json(json!({"templates": app.templates.all()})).into_response())
}

async fn set_webhook(State(app): State<Arc<App>>, body: Bytes) -> Result<Response, Refusal> {
    let wanted: Subscription = match parsed(&body) {
        Ok(wanted) => wanted,
        Err(text) => return Ok(problem(&text)),
    };
    match subscribe(&app, &wanted).await? {
        Ok(()) => Ok(Json(json!({"success": true, "url": wanted.url})).into_response()),
        Err(text) => Ok(problem(&text)),
    }
}

async fn webhooks(State(app): State<Arc<App>>) -> Result<Json<Value>, Refusal> {
    Ok(Json(json!({"webhooks": outbox::list(&app.pool).await?})))
}

#[derive(Debug, Deserialize)]
struct Inbound {
    from: String,
    name: String,
    text: String,
    #[serde(default = "some_number")]
    phone_number_id: String,
}

fn some_number() -> String {
    "106540352242922".into()
}

/// A customer writes to the shop.
async fn inbound(State(app): State<Arc<App>>, body: Bytes) -> Result<Response, Refusal> {
    let wrote: Inbound = match parsed(&body) {
        Ok(wrote) => wrote,
        Err(text) => return Ok(problem(&text)),
    };
    let id = format!("wamid.{}", random::id(30)?);
    let from: String = wrote.from.chars().filter(char::is_ascii_digit).collect();
    let value = json!({
        "contacts": [{"profile": {"name": wrote.name}, "wa_id": from}],
        "messages": [{"from": from, "id": id, "type": "text", "text": {"body": wrote.text},
                      "timestamp": (app.clock.now() / 1_000).to_string()}],
    });
    let Some(subscribed) = subscription(&app.store, &wrote.phone_number_id)? else {
        return Ok(problem("no webhook is subscribed"));
    };
    let body = receipts::envelope(&wrote.phone_number_id, value);
    let webhook = receipts::webhook(&subscribed, &id, &body);
    app.outbox.write(Batch::default(), vec![webhook]).await?;
    Ok(Json(json!({"success": true, "id": id})).into_response())
}

async fn calls(State(app): State<Arc<App>>) -> Result<Json<Value>, Refusal> {
    let calls: serde_json::Map<_, _> =
        app.store.calls().await?.into_iter().map(|(route, times)| (route, times.into())).collect();
    Ok(Json(json!({"calls": calls})))
}

fn parsed<T: DeserializeOwned>(body: &[u8]) -> Result<T, String> {
    serde_json::from_slice(body).map_err(|error| error.to_string())
}
