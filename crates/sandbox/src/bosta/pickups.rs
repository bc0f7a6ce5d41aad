//! Asking the courier to come: pickups, and the places it can come to.

use std::sync::Arc;

use axum::body::Bytes;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::response::Response;
use jiff::civil::{Date, Weekday};
use serde_json::{Map, Value, json};

use super::App;
use super::refusal::{Refusal, done};
use super::request;
use crate::random;

const OK: &str = "Done successfully.";
const DEFAULT_LOCATION: &str = "sandbox-location";

pub(super) async fn request(State(app): State<Arc<App>>, body: Bytes) -> Result<Response, Refusal> {
    let body = request::object(&body)?;
    let date = wanted_date(&app, &body)?.to_string();
    let contact = body.get("contactPerson").and_then(Value::as_object);
    for name in ["name", "phone"] {
        if contact.and_then(|contact| request::text(contact, name)).is_none() {
            return Err(Refusal::invalid(format!("contactPerson.{name} is required")));
        }
    }
    let location = request::text(&body, "businessLocationId").unwrap_or(DEFAULT_LOCATION);
    let mut transaction = app.pool.begin().await?;
    let taken: i64 = sqlx::query_scalar(
        "SELECT COUNT(*) FROM pickup WHERE alive = 1 AND location = $1 AND date = $2",
    )
    .bind(location)
    .bind(&date)
    .fetch_one(&mut *transaction)
    .await?;
    if taken > 0 {
        let message = "A pickup for this date and location exists already";
        return Err(Refusal::coded("1078", message));
    }
    let (id, puid) = (random::id(17)?, random::ten_digits()?);
    let mut record = body.clone();
    record.extend([
        ("_id".into(), id.clone().into()),
        ("puid".into(), puid.clone().into()),
        ("businessLocationId".into(), location.into()),
        ("state".into(), "Requested".into()),
    ]);
    sqlx::query(
        "INSERT INTO pickup (id, location, date, alive, record) VALUES ($1, $2, $3, 1, $4)",
    )
    .bind(&id)
    .bind(location)
    .bind(&date)
    .bind(serde_json::to_string(&record)?)
    .execute(&mut *transaction)
    .await?;
    transaction.commit().await?;
    Ok(done(StatusCode::OK, OK, json!({"_id": id, "puid": puid})))
}

fn wanted_date(app: &App, body: &Map<String, Value>) -> Result<Date, Refusal> {
    let text = request::text(body, "scheduledDate")
        .ok_or_else(|| Refusal::invalid("scheduledDate is required"))?;
    let date: Date = text
        .parse()
        .map_err(|_| Refusal::invalid("scheduledDate must be a date in YYYY-MM-DD format"))?;
    if date.weekday() == Weekday::Friday {
        return Err(Refusal::coded("1080", "No pickups on Fridays"));
    }
    let now = jiff::Timestamp::from_millisecond(app.clock.now()).unwrap_or_default();
    if date < jiff::tz::offset(2).to_datetime(now).date() {
        return Err(Refusal::coded("1083", "The pickup date has passed"));
    }
    Ok(date)
}

pub(super) async fn list(State(app): State<Arc<App>>) -> Result<Response, Refusal> {
    let rows: Vec<String> =
        sqlx::query_scalar("SELECT record FROM pickup WHERE alive = 1 ORDER BY seq DESC")
            .fetch_all(&app.pool)
            .await?;
    let rows =
        rows.iter().map(|row| serde_json::from_str(row)).collect::<Result<Vec<Value>, _>>()?;
    let count = rows.len();
    Ok(done(StatusCode::OK, OK, json!({"pickups": rows, "count": count})))
}

pub(super) async fn read(
    State(app): State<Arc<App>>,
    Path(id): Path<String>,
) -> Result<Response, Refusal> {
    let row: Option<String> =
        sqlx::query_scalar("SELECT record FROM pickup WHERE alive = 1 AND id = $1")
            .bind(&id)
            .fetch_optional(&app.pool)
            .await?;
    let row = row.ok_or_else(not_found)?;
    Ok(done(StatusCode::OK, OK, serde_json::from_str(&row)?))
}

pub(super) async fn cancel(
    State(app): State<Arc<App>>,
    Path(id): Path<String>,
) -> Result<Response, Refusal> {
    let ended = sqlx::query("UPDATE pickup SET alive = 0 WHERE alive = 1 AND id = $1")
        .bind(&id)
        .execute(&app.pool)
        .await?;
    if ended.rows_affected() == 0 {
        return Err(not_found());
    }
    Ok(done(StatusCode::OK, OK, json!({"_id": id})))
}

fn not_found() -> Refusal {
    Refusal::plain(StatusCode::NOT_FOUND, "Pickup not found")
}

/// One place, which is the default.
pub(super) async fn locations() -> Response {
    let location = json!({
        "_id": DEFAULT_LOCATION, "locationName": "Sandbox warehouse", "isDefault": true,
        "address": location_address(),
        "contactPerson": {"name": "Omar", "phone": "+201000000000"},
    });
    done(StatusCode::OK, OK, json!({"list": [location]}))
}

/// Where goods are picked up unless told.
pub(super) fn location_address() -> Value {
    json!({"firstLine": "1 Sandbox street", "city": {"name": "Cairo"}})
}
