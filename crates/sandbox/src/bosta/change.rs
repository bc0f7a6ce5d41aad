//! Changing a delivery, and ending it before the courier has it.
//! *Invariant:* a terminated delivery vanishes from reads, frees its unique reference and sends
//! nothing more.

use std::sync::Arc;

use axum::body::Bytes;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::response::Response;
use serde_json::{Map, Value, json};

use super::App;
use super::delivery::{self, Delivery, Key};
use super::refusal::{Refusal, done};
use super::request::{self, Rules, phone_number};
use crate::agenda::Agenda;
use crate::failure::Error;
use crate::store::Batch;

const CHANGEABLE: &[i64] = &[10, 11, 20, 21, 22, 24, 30, 41, 47];
/// Nothing was picked up yet.
const TERMINABLE: &[i64] = &[10, 11, 20];

pub(super) async fn update(
    State(app): State<Arc<App>>,
    Path(tracking): Path<String>,
    body: Bytes,
) -> Result<Response, Refusal> {
    const FIELDS: &[&str] = &["cod", "allowToOpenPackage", "goodsInfo", "notes"];
    change(&app, Key::Tracking(&tracking), &request::object(&body)?, FIELDS, Rules::Loose).await
}

pub(super) async fn update_old(
    State(app): State<Arc<App>>,
    Path(id): Path<String>,
    body: Bytes,
) -> Result<Response, Refusal> {
    const FIELDS: &[&str] = &["cod", "notes", "businessReference", "webhookUrl"];
    change(&app, Key::Id(&id), &request::object(&body)?, FIELDS, Rules::Old).await
}

async fn change(
    app: &App,
    key: Key<'_>,
    body: &Map<String, Value>,
    plain_fields: &[&str],
    rules: Rules,
) -> Result<Response, Refusal> {
    request::check_cod(body.get("cod"))?;
    let mut lives = app.lives.lock().await;
    let mut found =
        delivery::alive(&app.pool, key).await?.ok_or_else(Refusal::delivery_not_found)?;
    if !CHANGEABLE.contains(&found.record.state) {
        let message = "Delivery can not be updated in its current state";
        return Err(Refusal::plain(StatusCode::BAD_REQUEST, message));
    }
    for name in plain_fields {
        if let Some(value) = body.get(*name) {
            found.record.fields.insert((*name).to_owned(), value.clone());
        }
    }
    if let Some(given) = body.get("dropOffAddress").and_then(Value::as_object) {
        let (address, _) = request::address(given, "dropOffAddress", rules)?;
        found.record.fields.insert("dropOffAddress".into(), address);
    }
    if let Some(given) = body.get("receiver").and_then(Value::as_object) {
        change_receiver(&mut found, given, rules)?;
    }
    let id = found.id.clone();
    save(app, &mut lives, found).await?;
    Ok(done(StatusCode::OK, "Done successfully.", json!({"_id": id})))
}

/// v2 takes new phones only; the old calls take names too.
fn change_receiver(
    found: &mut Delivery,
    given: &Map<String, Value>,
    rules: Rules,
) -> Result<(), Refusal> {
    let receiver = found.record.fields.get_mut("receiver").and_then(Value::as_object_mut);
    let Some(receiver) = receiver else { return Ok(()) };
    for name in ["phone", "secondPhone"] {
        if let Some(value) = request::text(given, name) {
            let invalid = || Refusal::invalid(format!("receiver.{name} is not a valid phone"));
            receiver.insert(name.into(), phone_number(value).ok_or_else(invalid)?.into());
        }
    }
    if rules == Rules::Old {
        for name in ["firstName", "lastName", "email"] {
            if let Some(value) = request::text(given, name) {
                receiver.insert(name.into(), value.into());
            }
        }
        let full =
            ["firstName", "lastName"].iter().filter_map(|name| request::text(receiver, name));
        let full = full.collect::<Vec<_>>().join(" ");
        receiver.insert("fullName".into(), full.into());
    }
    Ok(())
}

pub(super) async fn terminate(
    State(app): State<Arc<App>>,
    Path(tracking): Path<String>,
) -> Result<Response, Refusal> {
    let id = end(&app, Key::Tracking(&tracking)).await?;
    Ok(done(StatusCode::OK, "Done successfully.", json!({"_id": id})))
}

pub(super) async fn cancel_old(
    State(app): State<Arc<App>>,
    Path(id): Path<String>,
) -> Result<Response, Refusal> {
    let id = end(&app, Key::Id(&id)).await?;
    Ok(done(StatusCode::OK, "Delivery canceled successfully!", json!({"_id": id})))
}

async fn end(app: &App, key: Key<'_>) -> Result<String, Refusal> {
    let mut lives = app.lives.lock().await;
    let Some(mut found) = delivery::alive(&app.pool, key).await? else {
        return Err(Refusal::delivery_not_found().with_status(StatusCode::NOT_FOUND));
    };
    if !TERMINABLE.contains(&found.record.state) {
        let message = "Delivery can not be terminated after it was picked up";
        return Err(Refusal::plain(StatusCode::BAD_REQUEST, message));
    }
    found.alive = false;
    found.next_ms = None;
    found.record.plan.clear();
    let id = found.id.clone();
    save(app, &mut lives, found).await?;
    Ok(id)
}

async fn save(app: &App, lives: &mut Agenda<Delivery>, changed: Delivery) -> Result<(), Error> {
    let mut batch = Batch::default();
    delivery::save(&mut batch, std::slice::from_ref(&changed))?;
    app.store.write(batch).await?;
    lives.set(changed.seq, changed.next_ms, changed);
    Ok(())
}
