//! `/_control`: what no real courier has. Faults, the account's webhook, and the ledger of all that
//! was made, for tests and for playing.

use std::sync::Arc;

use axum::body::Bytes;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Json, Router};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

use super::App;
use super::delivery::{self, Delivery, Key, Step};
use super::life::{self, ACCOUNT_WEBHOOK, AccountWebhook};
use super::refusal::Refusal;
use crate::clock::rfc3339;
use crate::outbox;
use crate::store::Batch;

pub(super) fn router() -> Router<Arc<App>> {
    Router::new()
        .route("/faults", get(faults).post(switch).delete(clear))
        .route("/deliveries", get(deliveries))
        .route("/deliveries/{tracking}/state", post(enter_state))
        .route("/calls", get(calls))
        .route("/webhook", get(webhook).post(set_webhook))
        .route("/webhooks", get(webhooks))
}

async fn faults(State(app): State<Arc<App>>) -> Json<Value> {
    Json(app.faults.list())
}

async fn switch(State(app): State<Arc<App>>, body: Bytes) -> Result<Response, Refusal> {
    if let Err(problem) = app.faults.arm(parsed(&body)?).await? {
        return Err(Refusal::plain(StatusCode::BAD_REQUEST, problem));
    }
    Ok(Json(app.faults.list()).into_response())
}

async fn clear(State(app): State<Arc<App>>) -> Result<Json<Value>, Refusal> {
    app.faults.clear().await?;
    Ok(Json(app.faults.list()))
}

async fn deliveries(State(app): State<Arc<App>>) -> Result<Json<Value>, Refusal> {
    let all = delivery::all(&app.pool).await?;
    let rows: Vec<_> = all.iter().map(ledger_row).collect();
    Ok(Json(json!({"deliveries": rows})))
}

fn ledger_row(made: &Delivery) -> Value {
    let states: Vec<_> = made.record.history.iter().map(|past| past.state).collect();
    json!({
        "tracking_number": made.tracking,
        "_id": made.id,
        "unique_business_reference": made.field("uniqueBusinessReference"),
        "business_reference": made.field("businessReference"),
        "state": made.record.state,
        "states": states,
        "type": made.record.kind,
        "returning": made.record.returning,
        "cod": made.field("cod"),
        "created": rfc3339(made.record.created_ms),
        "alive": made.alive,
        "create_calls": made.create_calls,
    })
}

#[derive(Debug, Deserialize)]
struct Entered {
    state: i64,
    #[serde(default)]
    returning: bool,
    exception: Option<i64>,
    /// The states planned are given up unless this is set.
    #[serde(default)]
    then_go_on: bool,
}

/// Puts a delivery into any state at once, with its webhook.
async fn enter_state(
    State(app): State<Arc<App>>,
    Path(tracking): Path<String>,
    body: Bytes,
) -> Result<Json<Value>, Refusal> {
    let Entered { state, returning, exception, then_go_on } = parsed(&body)?;
    let account: Option<AccountWebhook> = app.store.setting(ACCOUNT_WEBHOOK)?;
    let mut lives = app.lives.lock().await;
    let mut found = delivery::alive(&app.pool, Key::Tracking(&tracking))
        .await?
        .ok_or_else(Refusal::delivery_not_found)?;
    if !then_go_on {
        found.record.plan.clear();
        found.next_ms = None;
    }
    let step = Step { after: 0, state, returning, exception };
    let mut batch = Batch::default();
    let webhooks = life::take_step(&app, &mut batch, &mut found, &step, account.as_ref())?;
    delivery::save(&mut batch, std::slice::from_ref(&found))?;
    app.outbox.write(batch, webhooks).await?;
    let row = ledger_row(&found);
    lives.set(found.seq, found.next_ms, found);
    Ok(Json(row))
}

async fn calls(State(app): State<Arc<App>>) -> Result<Json<Value>, Refusal> {
    let calls: serde_json::Map<_, _> =
        app.store.calls().await?.into_iter().map(|(route, times)| (route, times.into())).collect();
    Ok(Json(json!({"calls": calls})))
}

async fn webhook(State(app): State<Arc<App>>) -> Result<Json<Value>, Refusal> {
    let account: Option<AccountWebhook> = app.store.setting(ACCOUNT_WEBHOOK)?;
    let shown = account.map(|account| json!({"url": account.url, "header": account.header}));
    Ok(Json(json!({"webhook": shown})))
}

async fn set_webhook(State(app): State<Arc<App>>, body: Bytes) -> Result<Json<Value>, Refusal> {
    let account: AccountWebhook = parsed(&body)?;
    if reqwest::Url::parse(&account.url).is_err() {
        return Err(Refusal::plain(StatusCode::BAD_REQUEST, "url is not an address"));
    }
    app.store.set_setting(ACCOUNT_WEBHOOK, &account).await?;
    Ok(Json(json!({"webhook": {"url": account.url, "header": account.header}})))
}

async fn webhooks(State(app): State<Arc<App>>) -> Result<Json<Value>, Refusal> {
    Ok(Json(json!({"webhooks": outbox::list(&app.pool).await?})))
}

fn parsed<T: DeserializeOwned>(body: &[u8]) -> Result<T, Refusal> {
    serde_json::from_slice(body)
        .map_err(|error| Refusal::plain(StatusCode::BAD_REQUEST, error.to_string()))
}
