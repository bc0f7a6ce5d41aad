//! Making deliveries: one or many, by the new contract or the old.

use std::sync::Arc;

use axum::body::Bytes;
use axum::extract::{Query, State};
use axum::http::StatusCode;
use axum::response::Response;
use serde::Deserialize;
use serde_json::{Map, Value, json};
use sqlx::{Sqlite, Transaction};

use super::delivery::{self, Delivery, Key, Past, Record};
use super::refusal::{Refusal, done};
use super::request::{self, CASH_COLLECTION, Rules, Wanted};
use super::{App, life};
use crate::random;

#[derive(Debug, Deserialize)]
pub(super) struct Contract {
    #[serde(rename = "apiVersion")]
    api_version: Option<String>,
}

impl Contract {
    fn rules(&self) -> Rules {
        if self.api_version.as_deref() == Some("1") { Rules::Documented } else { Rules::Loose }
    }
}

pub(super) async fn v2(
    State(app): State<Arc<App>>,
    Query(contract): Query<Contract>,
    body: Bytes,
) -> Result<Response, Refusal> {
    let made = one(&app, &request::object(&body)?, contract.rules()).await?;
    Ok(done(StatusCode::CREATED, "Done successfully.", answer(&made)))
}

pub(super) async fn v1(State(app): State<Arc<App>>, body: Bytes) -> Result<Response, Refusal> {
    let made = one(&app, &request::object(&body)?, Rules::Old).await?;
    Ok(done(StatusCode::OK, "Delivery created successfully!", answer(&made)))
}

/// All or nothing; the answer holds ids only, as the real one's does.
pub(super) async fn bulk(
    State(app): State<Arc<App>>,
    Query(contract): Query<Contract>,
    body: Bytes,
) -> Result<Response, Refusal> {
    let bodies: Vec<Map<String, Value>> = serde_json::from_slice(&body)
        .map_err(|_| Refusal::invalid("the body must be an array of deliveries"))?;
    let mut ids = Vec::with_capacity(bodies.len());
    let mut transaction = app.pool.begin().await?;
    for body in &bodies {
        let wanted = request::parse(body, contract.rules())?;
        ids.push(insert(&app, &mut transaction, wanted).await?.id);
    }
    transaction.commit().await?;
    app.life_wake.notify_one();
    Ok(done(StatusCode::OK, "Done successfully.", json!(ids)))
}

async fn one(app: &App, body: &Map<String, Value>, rules: Rules) -> Result<Delivery, Refusal> {
    let wanted = request::parse(body, rules)?;
    let mut transaction = app.pool.begin().await?;
    let reference = request::text(&wanted.fields, "uniqueBusinessReference");
    if let Some(reference) = reference
        && let Some(mut first) = delivery::alive(&mut *transaction, Key::Unique(reference)).await?
    {
        // Counted, so that a test can see how often one parcel was asked for.
        first.create_calls += 1;
        delivery::save(&mut transaction, &first).await?;
        transaction.commit().await?;
        return Err(duplicate());
    }
    let made = insert(app, &mut transaction, wanted).await?;
    transaction.commit().await?;
    app.life_wake.notify_one();
    Ok(made)
}

async fn insert(
    app: &App,
    transaction: &mut Transaction<'_, Sqlite>,
    wanted: Wanted,
) -> Result<Delivery, Refusal> {
    if let Some(reference) = request::text(&wanted.fields, "uniqueBusinessReference")
        && delivery::alive(&mut **transaction, Key::Unique(reference)).await?.is_some()
    {
        return Err(duplicate());
    }
    let text = |name| request::text(&wanted.fields, name);
    let references = [text("uniqueBusinessReference"), text("businessReference")];
    let fault = app.faults.take_named(transaction, life::LIFE_FAULTS, &references).await?;
    let fault = fault.as_ref().map(|armed| armed.fault.as_str());
    let plan = life::plan(wanted.kind, fault, wanted.out_of_coverage);
    let now = app.clock.now();
    let state = if wanted.kind == CASH_COLLECTION { 11 } else { 10 };
    let made = Delivery {
        seq: 0,
        id: random::id(21)?,
        tracking: random::ten_digits()?,
        alive: true,
        create_calls: 1,
        next_ms: plan.front().map(|step| app.clock.after(step.after)),
        record: Record {
            kind: wanted.kind,
            returning: false,
            state,
            fields: wanted.fields,
            created_ms: now,
            stamp_ms: now,
            attempts: 0,
            exception: None,
            history: vec![Past { state, at_ms: now }],
            plan,
        },
    };
    delivery::insert(transaction, &made).await?;
    Ok(made)
}

fn duplicate() -> Refusal {
    Refusal::coded("11000", "duplicate uniqueBusinessReference")
}

fn answer(made: &Delivery) -> Value {
    json!({
        "_id": made.id,
        "trackingNumber": made.tracking,
        "businessReference": made.field("businessReference"),
        "uniqueBusinessReference": made.field("uniqueBusinessReference"),
        "sender": {"_id": "sandbox-business", "phone": "+201000000000",
                   "name": "Sandbox business", "type": "BUSINESS_ACCOUNT"},
        "message": "Delivery created successfully!",
        "state": {"code": made.record.state, "value": life::state_name(made.record.state)},
        "creationSrc": "API",
    })
}
