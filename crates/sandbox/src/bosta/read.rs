//! Reading deliveries back: one, many, by search, and their tracking.

use std::sync::Arc;

use axum::Json;
use axum::body::Bytes;
use axum::extract::{Path, Query, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use serde::Deserialize;
use serde_json::{Map, Value, json};

use super::delivery::{self, Delivery, Filter, Key};
use super::refusal::{Refusal, done};
use super::request::{self, CASH_COLLECTION, EXCHANGE, RETURN_PICKUP, SIGN_AND_RETURN};
use super::{App, life, pickups};
use crate::clock::rfc3339;

/// Picked up from the business.
const PICKED_UP: i64 = 21;

pub(super) async fn by_tracking(
    State(app): State<Arc<App>>,
    Path(tracking): Path<String>,
) -> Result<Response, Refusal> {
    let found = found(&app, Key::Tracking(&tracking)).await?;
    Ok(done(StatusCode::OK, "Done successfully.", view(&found)))
}

pub(super) async fn by_id(
    State(app): State<Arc<App>>,
    Path(id): Path<String>,
) -> Result<Response, Refusal> {
    let found = found(&app, Key::Id(&id)).await?;
    let mut data = view(&found);
    if let Some(fields) = data.as_object_mut() {
        // The packages of that time read these without asking whether they are there.
        let picked_up = found.record.history.iter().any(|past| past.state == PICKED_UP);
        let holder = if picked_up { "Sandbox courier" } else { "Sandbox business" };
        fields.insert("holder".into(), json!({"name": holder}));
        fields.insert("creationTimestamp".into(), found.record.created_ms.into());
        fields.entry("pickupAddress").or_insert_with(pickups::location_address);
    }
    Ok(done(StatusCode::OK, "Done successfully.", data))
}

/// v0 read by tracking number, and named state 24 in its own way.
pub(super) async fn by_tracking_old(
    State(app): State<Arc<App>>,
    Path(tracking): Path<String>,
) -> Result<Response, Refusal> {
    let found = found(&app, Key::Tracking(&tracking)).await?;
    let mut data = view(&found);
    if found.record.state == 24
        && let Some(value) = data.pointer_mut("/state/value")
    {
        *value = "Processing".into();
    }
    Ok(Json(json!({"data": data})).into_response())
}

async fn found(app: &App, key: Key<'_>) -> Result<Delivery, Refusal> {
    delivery::alive(&app.pool, key).await?.ok_or_else(Refusal::delivery_not_found)
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Paging {
    page: Option<i64>,
    page_number: Option<i64>,
    limit: Option<i64>,
    page_limit: Option<i64>,
    page_size: Option<i64>,
    per_page: Option<i64>,
}

impl Paging {
    fn page(&self) -> i64 {
        self.page.or(self.page_number).unwrap_or(1).max(1)
    }

    fn limit(&self) -> i64 {
        let asked = self.limit.or(self.page_limit).or(self.page_size).or(self.per_page);
        asked.unwrap_or(50).clamp(1, 50)
    }
}

pub(super) async fn list(
    State(app): State<Arc<App>>,
    Query(paging): Query<Paging>,
) -> Result<Response, Refusal> {
    answer_search(&app, &Filter::default(), &paging).await
}

pub(super) async fn search(
    State(app): State<Arc<App>>,
    Query(paging): Query<Paging>,
    body: Bytes,
) -> Result<Response, Refusal> {
    let body = if body.is_empty() { Map::new() } else { request::object(&body)? };
    let filter = Filter {
        // Exactly as it was given at creation, whatever stands in it.
        business_reference: body.get("businessReference").and_then(Value::as_str).map(Into::into),
        trackings: texts(&body, "trackingNumbers"),
        phones: texts(&body, "mobilePhones")
            .map(|phones| phones.iter().map(|phone| delivery::phone_key(phone)).collect()),
        states: body
            .get("stateCodes")
            .and_then(Value::as_array)
            .map(|codes| codes.iter().filter_map(Value::as_i64).collect()),
    };
    answer_search(&app, &filter, &paging).await
}

fn texts(body: &Map<String, Value>, name: &str) -> Option<Vec<String>> {
    let list = body.get(name)?.as_array()?;
    Some(
        list.iter()
            .map(|value| value.as_str().map_or_else(|| value.to_string(), str::to_owned))
            .collect(),
    )
}

async fn answer_search(app: &App, filter: &Filter, paging: &Paging) -> Result<Response, Refusal> {
    let (page, limit) = (paging.page(), paging.limit());
    let mut transaction = app.pool.begin().await?;
    let (found, count) = delivery::search(&mut transaction, filter, page, limit).await?;
    transaction.commit().await?;
    let deliveries: Vec<_> = found.iter().map(view).collect();
    let data = json!({"deliveries": deliveries, "count": count, "page": page, "limit": limit});
    Ok(done(StatusCode::OK, "Done successfully.", data))
}

pub(super) async fn tracking_by_id(
    State(app): State<Arc<App>>,
    Path(id): Path<String>,
) -> Result<Response, Refusal> {
    let found = found(&app, Key::Id(&id)).await?;
    Ok(done(StatusCode::OK, "Done successfully.", transit(&app, &found)))
}

pub(super) async fn tracking_by_tracking(
    State(app): State<Arc<App>>,
    Path(tracking): Path<String>,
) -> Result<Response, Refusal> {
    let found = found(&app, Key::Tracking(&tracking)).await?;
    Ok(done(StatusCode::OK, "Done successfully.", transit(&app, &found)))
}

/// The page customers look at, as JSON and without a key.
pub(super) async fn public_tracking(
    State(app): State<Arc<App>>,
    Path(tracking): Path<String>,
) -> Result<Response, Refusal> {
    let found = delivery::alive(&app.pool, Key::Tracking(&tracking))
        .await?
        .ok_or_else(|| Refusal::delivery_not_found().with_status(StatusCode::NOT_FOUND))?;
    let mut data = transit(&app, &found);
    if let Some(fields) = data.as_object_mut() {
        fields.insert("provider".into(), "bosta".into());
    }
    Ok(Json(data).into_response())
}

fn transit(app: &App, found: &Delivery) -> Value {
    let event = |state: i64, at_ms: i64| {
        let name = life::state_name(state);
        json!({"state": name, "code": state, "timestamp": rfc3339(at_ms)})
    };
    let record = &found.record;
    let events: Vec<_> = record.history.iter().map(|past| event(past.state, past.at_ms)).collect();
    json!({
        "CurrentStatus": event(record.state, record.stamp_ms),
        "PromisedDate": rfc3339(life::promised_ms(found)),
        "TrackingNumber": found.tracking,
        "TrackingURL": format!("{}/shipments/track/{}", app.own_url, found.tracking),
        "TransitEvents": events,
    })
}

/// A delivery as v2 shows it.
pub(super) fn view(found: &Delivery) -> Value {
    let record = &found.record;
    let name = life::state_name(record.state);
    let mut data = json!({
        "_id": found.id,
        "trackingNumber": found.tracking,
        "type": type_in_reads(record.kind, record.returning),
        "state": {"code": record.state, "value": name},
        "maskedState": name,
        "cod": record.fields.get("cod").cloned().unwrap_or_else(|| json!(0)),
        "numberOfAttempts": record.attempts,
        "attemptsCount": record.attempts,
        "exceptionCode": record.exception,
        "exceptionReason": record.exception.map(life::exception_reason),
        "timeline": timeline(found),
        "history": history(found),
        "star": {"name": "Sandbox courier", "phone": "+201000000001"},
        "createdAt": rfc3339(record.created_ms),
        "updatedAt": updated_at(found),
        "creationSrc": "API",
    });
    let Some(fields) = data.as_object_mut() else { return data };
    for (name, value) in &record.fields {
        // Webhook settings are write-only.
        if !fields.contains_key(name) && !name.starts_with("webhook") {
            fields.insert(name.clone(), value.clone());
        }
    }
    for reference in ["businessReference", "uniqueBusinessReference"] {
        fields.entry(reference).or_insert(Value::Null);
    }
    data
}

fn type_in_reads(kind: i64, returning: bool) -> Value {
    let (code, value) = match (returning, kind) {
        (true, _) => (20, "Return to Origin"),
        (_, CASH_COLLECTION) => (kind, "Cash Collection"),
        (_, RETURN_PICKUP) => (kind, "Customer Return Pickup"),
        (_, EXCHANGE) => (kind, "Exchange"),
        (_, SIGN_AND_RETURN) => (kind, "Sign and Return"),
        _ => (kind, "Send"),
    };
    json!({"code": code, "value": value})
}

fn timeline(found: &Delivery) -> Vec<Value> {
    let past = found.record.history.iter().map(|past| {
        json!({"value": life::state_name(past.state), "done": true, "date": rfc3339(past.at_ms)})
    });
    let to_come = found
        .record
        .plan
        .iter()
        .filter(|step| step.exception.is_none())
        .map(|step| json!({"value": life::state_name(step.state), "done": false}));
    past.chain(to_come).collect()
}

fn history(found: &Delivery) -> Vec<Value> {
    let entries = found.record.history.iter();
    entries
        .map(|past| {
            let title = life::state_name(past.state);
            json!({"title": title, "date": rfc3339(past.at_ms), "subs": []})
        })
        .collect()
}

/// Live reads mix ISO times with JavaScript's own date text.
fn updated_at(found: &Delivery) -> String {
    let at = found.record.stamp_ms;
    if found.seq % 2 == 0 {
        return rfc3339(at);
    }
    let time = jiff::Timestamp::from_millisecond(at).unwrap_or_default();
    time.strftime("%a %b %d %Y %H:%M:%S GMT+0000 (Coordinated Universal Time)").to_string()
}
