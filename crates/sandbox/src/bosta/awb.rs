//! Labels: the PDF of one delivery or of many, in base64 as the courier gives it.

use std::sync::Arc;

use axum::body::Bytes;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::response::Response;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::Value;

use super::App;
use super::delivery::{self, Delivery, Key};
use super::life::{DELIVERED, RETURNED};
use super::refusal::{Refusal, done};
use super::request::{self, CASH_COLLECTION, RETURN_PICKUP, text};
use crate::failure::Error;
use crate::label::{self, Label, Paper};

/// Up to here the PDF comes with the answer, beyond by mail.
const IN_ANSWER_MAX: usize = 50;
const MAX: usize = 1_000;

pub(super) async fn mass(State(app): State<Arc<App>>, body: Bytes) -> Result<Response, Refusal> {
    let body = request::object(&body)?;
    let paper = match body.get("requestedAwbType") {
        None | Some(Value::Null) => Paper::A4,
        Some(Value::String(kind)) if kind == "A4" => Paper::A4,
        Some(Value::String(kind)) if kind == "A6" => Paper::A6,
        Some(_) => return Err(Refusal::invalid("requestedAwbType must be one of A4, A6")),
    };
    let by_tracking = body.contains_key("trackingNumbers");
    let field = if by_tracking { "trackingNumbers" } else { "ids" };
    let Some(keys) = text(&body, field) else {
        return Err(Refusal::invalid(format!("{field} must be a comma separated string")));
    };
    let keys: Vec<_> = keys.split(',').map(str::trim).filter(|key| !key.is_empty()).collect();
    if keys.len() > MAX {
        return Err(Refusal::invalid(format!("at most {MAX} shipments can be printed")));
    }
    let mut found = Vec::with_capacity(keys.len());
    for key in &keys {
        let key = if by_tracking { Key::Tracking(key) } else { Key::Id(key) };
        found.push(printable(&app, key).await?);
    }
    if found.len() > IN_ANSWER_MAX {
        let message = "Your AWBs are being prepared and will be sent to your email";
        return Ok(done(StatusCode::OK, message, Value::Null));
    }
    let pdf = draw(found, paper).await?;
    Ok(done(StatusCode::OK, "Done successfully.", STANDARD.encode(pdf).into()))
}

pub(super) async fn single(
    State(app): State<Arc<App>>,
    Path(id): Path<String>,
) -> Result<Response, Refusal> {
    let pdf = draw(vec![printable(&app, Key::Id(&id)).await?], Paper::A6).await?;
    Ok(done(StatusCode::OK, "Done successfully.", STANDARD.encode(pdf).into()))
}

async fn printable(app: &App, key: Key<'_>) -> Result<Delivery, Refusal> {
    let found = delivery::alive(&app.pool, key).await?.ok_or_else(Refusal::delivery_not_found)?;
    let finished = matches!(found.record.state, DELIVERED | RETURNED | 48 | 49 | 60 | 100..=104);
    if finished || matches!(found.record.kind, CASH_COLLECTION | RETURN_PICKUP) {
        let message = format!("AWB of {} is not printable", found.tracking);
        return Err(Refusal::plain(StatusCode::BAD_REQUEST, message));
    }
    Ok(found)
}

async fn draw(found: Vec<Delivery>, paper: Paper) -> Result<Vec<u8>, Refusal> {
    let labels: Vec<_> = found.iter().map(label_of).collect();
    let drawn = tokio::task::spawn_blocking(move || label::draw(&labels, paper)).await;
    match drawn {
        Ok(pdf) => Ok(pdf.map_err(Error::from)?),
        Err(_) => Err(Refusal::plain(StatusCode::INTERNAL_SERVER_ERROR, "the label broke")),
    }
}

fn label_of(found: &Delivery) -> Label {
    let receiver = found.field("receiver");
    let address = found.customer_address();
    let part = |value: &Value, at: &str| {
        value.pointer(at).and_then(Value::as_str).unwrap_or_default().to_owned()
    };
    let building = [("/buildingNumber", "Building"), ("/floor", "Floor"), ("/apartment", "Apt")]
        .iter()
        .map(|(at, word)| (word, part(&address, at)))
        .filter(|(_, value)| !value.is_empty())
        .map(|(word, value)| format!("{word} {value}"))
        .collect::<Vec<_>>()
        .join(", ");
    let place = [part(&address, "/district/name"), part(&address, "/city/name")];
    let place = place.iter().filter(|name| !name.is_empty()).cloned().collect::<Vec<_>>();
    let lines =
        [part(&address, "/firstLine"), part(&address, "/secondLine"), building, place.join(", ")];
    let cod = found.field("cod");
    Label {
        courier: "Bosta (sandbox)".into(),
        tracking: found.tracking.clone(),
        recipient: part(&receiver, "/fullName"),
        phone: part(&receiver, "/phone"),
        address: lines.into_iter().filter(|line| !line.trim().is_empty()).collect(),
        cod: match cod.as_f64() {
            Some(amount) if amount != 0.0 => Some(format!("{amount:.2} EGP")),
            _ => None,
        },
        reference: found.text("businessReference").map(Into::into),
        contents: part(&found.field("specs"), "/packageDetails/description"),
        notes: found.text("notes").unwrap_or_default().to_owned(),
    }
}
