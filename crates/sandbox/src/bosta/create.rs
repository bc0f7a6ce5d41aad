//! Making deliveries: one or many, by the new contract or the old.

use std::collections::HashSet;
use std::sync::Arc;

use axum::body::Bytes;
use axum::extract::{Query, State};
use axum::http::StatusCode;
use axum::response::Response;
use serde::Deserialize;
use serde_json::{Map, Value, json};

use super::delivery::{self, Delivery, Key, Past, Record};
use super::refusal::{Refusal, done};
use super::request::{self, CASH_COLLECTION, Rules, Wanted};
use super::{App, life};
use crate::agenda::Agenda;
use crate::failure::Error;
use crate::random;
use crate::store::Batch;

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
    let mut lives = app.lives.lock().await;
    let mut batch = Batch::default();
    let mut made = Vec::with_capacity(bodies.len());
    let mut references = HashSet::new();
    for body in &bodies {
        let wanted = request::parse(body, contract.rules())?;
        if let Some(reference) = request::text(&wanted.fields, "uniqueBusinessReference") {
            let stored = delivery::alive(&app.pool, Key::Unique(reference)).await?.is_some();
            if stored || !references.insert(reference.to_owned()) {
                return Err(duplicate());
            }
        }
        made.push(delivery_of(&app, lives.next_seq(), &mut batch, wanted)?);
    }
    let ids: Vec<_> = made.iter().map(|made| made.id.clone()).collect();
    write(&app, &mut lives, batch, made).await?;
    Ok(done(StatusCode::OK, "Done successfully.", json!(ids)))
}

async fn one(app: &App, body: &Map<String, Value>, rules: Rules) -> Result<Delivery, Refusal> {
    let wanted = request::parse(body, rules)?;
    let mut lives = app.lives.lock().await;
    // Counted, so that a test can see how often one parcel was asked for.
    if let Some(reference) = request::text(&wanted.fields, "uniqueBusinessReference")
        && delivery::count_repeat(&app.pool, reference).await?
    {
        return Err(duplicate());
    }
    let mut batch = Batch::default();
    let made = delivery_of(app, lives.next_seq(), &mut batch, wanted)?;
    write(app, &mut lives, batch, vec![made.clone()]).await?;
    Ok(made)
}

async fn write(
    app: &App,
    lives: &mut Agenda<Delivery>,
    mut batch: Batch,
    made: Vec<Delivery>,
) -> Result<(), Error> {
    delivery::insert(&mut batch, &made)?;
    app.store.write(batch).await?;
    for made in made {
        lives.set(made.seq, made.next_ms, made);
    }
    app.life_wake.notify_one();
    Ok(())
}

/// What is to be made. A fault that meets it is taken with the batch.
fn delivery_of(app: &App, seq: i64, batch: &mut Batch, wanted: Wanted) -> Result<Delivery, Error> {
    let text = |name| request::text(&wanted.fields, name);
    let references = [text("uniqueBusinessReference"), text("businessReference")];
    let fault = app.faults.take_named(batch, life::LIFE_FAULTS, &references);
    let fault = fault.as_ref().map(|armed| armed.fault.as_str());
    let plan = life::plan(wanted.kind, fault, wanted.out_of_coverage);
    let now = app.clock.now();
    let state = if wanted.kind == CASH_COLLECTION { 11 } else { 10 };
    Ok(Delivery {
        seq,
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
    })
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
