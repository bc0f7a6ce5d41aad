//! What happens to a delivery by itself: its plan of states, each reported by a webhook.
//! *Invariant:* the first state after creation comes no earlier than ten seconds at speed 1, and
//! there is no webhook at creation.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::App;
use super::delivery::{self, Delivery, Past, Step};
use super::request::{CASH_COLLECTION, EXCHANGE, RETURN_PICKUP, SIGN_AND_RETURN};
use crate::clock::day_month_year;
use crate::failure::Error;
use crate::outbox::Webhook;
use crate::server::Turn;
use crate::store::Batch;

pub(super) const DELIVERED: i64 = 45;
pub(super) const RETURNED: i64 = 46;
pub(super) const EXCEPTION: i64 = 47;
const OUT_FOR_DELIVERY: i64 = 41;
/// In no table of states.
const UNKNOWN: i64 = 999;

const CUSTOMER_REFUSED: i64 = 8;
const CUSTOMER_NOT_ANSWERING: i64 = 7;
const OUT_OF_COVERAGE: i64 = 12;

const DAY_MS: i64 = 86_400_000;
/// Milliseconds at speed 1: longer than any wait between two steps, so that the next one overtakes.
const HELD_BACK: u64 = 15_000;
const AT_ONCE: usize = 64;

/// Where every update goes when a delivery brings no address of its own.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct AccountWebhook {
    pub(super) url: String,
    #[serde(default = "authorization")]
    pub(super) header: String,
    #[serde(default)]
    pub(super) secret: String,
}

fn authorization() -> String {
    "Authorization".into()
}

pub(super) const ACCOUNT_WEBHOOK: &str = "account_webhook";

/// The states to come for a fresh delivery; `fault` is the life fault that met it.
pub(super) fn plan(kind: i64, fault: Option<&str>, out_of_coverage: bool) -> VecDeque<Step> {
    let step = |after, state| Step { after, state, returning: false, exception: None };
    let failed = |after, exception| Step {
        after,
        state: EXCEPTION,
        returning: false,
        exception: Some(exception),
    };
    let back = |after, state| Step { after, state, returning: true, exception: None };
    let mut steps = match kind {
        CASH_COLLECTION => vec![step(12_000, 40), step(12_000, DELIVERED)],
        RETURN_PICKUP => vec![step(12_000, 23), step(9_000, 30), step(9_000, 41), step(10_000, 46)],
        EXCHANGE => vec![step(12_000, 21), step(9_000, 30), step(9_000, 41), step(10_000, 46)],
        SIGN_AND_RETURN => vec![
            step(12_000, 21),
            step(9_000, 30),
            step(9_000, 22),
            step(9_000, 41),
            step(10_000, 46),
        ],
        _ => vec![
            step(10_500, 20),
            step(4_500, 21),
            step(7_000, 24),
            step(8_000, 30),
            step(10_000, OUT_FOR_DELIVERY),
            step(10_000, DELIVERED),
        ],
    };
    let last = steps.pop();
    match fault {
        _ if out_of_coverage => steps.extend([
            failed(9_000, OUT_OF_COVERAGE),
            back(6_000, 24),
            back(6_000, 41),
            back(6_000, RETURNED),
        ]),
        Some("rto") => steps.extend([
            failed(9_000, CUSTOMER_REFUSED),
            back(6_000, 24),
            back(6_000, 30),
            back(6_000, 41),
            back(6_000, RETURNED),
        ]),
        Some("exception") => {
            steps.extend([failed(9_000, CUSTOMER_NOT_ANSWERING), step(9_000, OUT_FOR_DELIVERY)]);
            steps.extend(last);
        }
        Some("unknown_state") => {
            steps.push(step(5_000, UNKNOWN));
            steps.extend(last);
        }
        _ => steps.extend(last),
    }
    steps.into()
}

pub(super) const LIFE_FAULTS: &[&str] = &["rto", "exception", "unknown_state"];
const WEBHOOK_FAULTS: &[&str] = &["duplicate_webhook", "reorder_webhooks"];

/// Moves every delivery whose next state is due.
pub(super) struct Lives(pub(super) Arc<App>);

impl Turn for Lives {
    async fn turn(&self) -> Result<Option<i64>, Error> {
        let app = &self.0;
        let account: Option<AccountWebhook> = app.store.setting(ACCOUNT_WEBHOOK)?;
        let mut lives = app.lives.lock().await;
        let mut moved = lives.due(app.clock.now(), AT_ONCE);
        let mut batch = Batch::default();
        let mut webhooks = Vec::new();
        for delivery in &mut moved {
            if let Some(step) = delivery.record.plan.pop_front() {
                webhooks.extend(take_step(app, &mut batch, delivery, &step, account.as_ref())?);
            }
            let next = delivery.record.plan.front();
            delivery.next_ms = next.map(|step| app.clock.after(step.after));
        }
        delivery::save(&mut batch, &moved)?;
        app.outbox.write(batch, webhooks).await?;
        for delivery in moved {
            lives.set(delivery.seq, delivery.next_ms, delivery);
        }
        Ok(lives.next_after(i64::MIN))
    }
}

/// Enters a state and gives the webhooks that tell it, to be written with it in one batch.
pub(super) fn take_step(
    app: &App,
    batch: &mut Batch,
    delivery: &mut Delivery,
    step: &Step,
    account: Option<&AccountWebhook>,
) -> Result<Vec<Webhook>, Error> {
    let record = &mut delivery.record;
    record.state = step.state;
    record.returning |= step.returning;
    record.exception = step.exception;
    if step.state == EXCEPTION {
        record.attempts += 1;
    }
    // Two states of one delivery never carry the same courier time, however fast the clock runs.
    record.stamp_ms = app.clock.now().max(record.stamp_ms + 1);
    record.history.push(Past { state: step.state, at_ms: record.stamp_ms });

    let Some((url, headers)) = receiver(delivery, account) else { return Ok(Vec::new()) };
    let references = [
        delivery.text("uniqueBusinessReference"),
        delivery.text("businessReference"),
        Some(delivery.tracking.as_str()),
    ];
    let fault = app.faults.take_named(batch, WEBHOOK_FAULTS, &references);
    let fault = fault.as_ref().map(|armed| armed.fault.as_str());
    let due_ms = match fault {
        Some("reorder_webhooks") => app.clock.held_back(HELD_BACK),
        _ => app.clock.now(),
    };
    let webhook = Webhook {
        subject: delivery.id.clone(),
        url,
        headers,
        body: serde_json::to_string(&webhook_body(delivery))?,
        due_ms,
    };
    let times = if fault == Some("duplicate_webhook") { 2 } else { 1 };
    Ok(vec![webhook; times])
}

/// The delivery's own address goes before the account's.
fn receiver(
    delivery: &Delivery,
    account: Option<&AccountWebhook>,
) -> Option<(String, BTreeMap<String, String>)> {
    if let Some(url) = delivery.text("webhookUrl") {
        let headers = delivery.field("webhookCustomHeaders");
        let headers = headers.as_object().into_iter().flatten();
        let texts =
            headers.filter_map(|(name, value)| Some((name.clone(), value.as_str()?.into())));
        return Some((url.into(), texts.collect()));
    }
    let account = account?;
    let mut headers = BTreeMap::new();
    if !account.secret.is_empty() {
        headers.insert(account.header.clone(), account.secret.clone());
    }
    Some((account.url.clone(), headers))
}

fn webhook_body(delivery: &Delivery) -> Value {
    let record = &delivery.record;
    let odd = (delivery.seq + record.state) % 2 != 0;
    let number = delivery.tracking.parse::<u64>().ok().filter(|_| !odd);
    let tracking = number.map_or_else(|| delivery.tracking.clone().into(), Value::from);
    let mut body = json!({
        "_id": delivery.id,
        "trackingNumber": tracking,
        "state": record.state,
        "type": type_in_webhooks(record.kind, record.returning),
        "timeStamp": record.stamp_ms,
        "deliveryPromiseDate": day_month_year(promised_ms(delivery)),
        "numberOfAttempts": record.attempts,
    });
    let Some(fields) = body.as_object_mut() else { return body };
    if let Some(reference) = delivery.text("businessReference") {
        fields.insert("businessReference".into(), reference.into());
    }
    if odd {
        fields.insert("description".into(), state_name(record.state).into());
        fields.insert("eventType".into(), "STATUS_UPDATE".into());
    }
    if record.state == DELIVERED {
        let cod = delivery.record.fields.get("cod").cloned().unwrap_or_else(|| json!(0));
        fields.insert("cod".into(), cod);
        fields.insert("isConfirmedDelivery".into(), true.into());
    }
    if let Some(code) = record.exception {
        fields.insert("exceptionCode".into(), code.into());
        fields.insert("exceptionReason".into(), exception_reason(code).into());
    }
    body
}

pub(super) fn promised_ms(delivery: &Delivery) -> i64 {
    delivery.record.created_ms.saturating_add(2 * DAY_MS)
}

const fn type_in_webhooks(kind: i64, returning: bool) -> &'static str {
    match (returning, kind) {
        (true, _) => "RTO",
        (_, CASH_COLLECTION) => "CASH_COLLECTION",
        (_, RETURN_PICKUP) => "CUSTOMER_RETURN_PICKUP",
        (_, EXCHANGE) => "EXCHANGE",
        (_, SIGN_AND_RETURN) => "SIGN_AND_RETURN",
        _ => "SEND",
    }
}

pub(super) const fn state_name(state: i64) -> &'static str {
    match state {
        10 => "Pickup requested",
        11 => "Waiting for route",
        20 => "Route assigned",
        21 => "Picked up from business",
        22 => "Picking up from consignee",
        23 => "Picked up from consignee",
        24 => "Received at warehouse",
        25 => "Fulfilled",
        30 => "In transit between hubs",
        40 => "Picking up",
        41 => "Picked up",
        45 | 46 => "Delivered",
        47 => "Exception",
        48 => "Terminated",
        49 => "Canceled",
        60 => "Returned to stock",
        100 => "Lost",
        101 => "Damaged",
        102 => "Investigation",
        103 => "Awaiting your action",
        104 => "Archived",
        105 => "On hold",
        _ => "Unknown",
    }
}

pub(super) const fn exception_reason(code: i64) -> &'static str {
    match code {
        1 => "Customer is not in the address",
        3 => "Customer postponed the delivery",
        CUSTOMER_NOT_ANSWERING => "Customer is not answering",
        CUSTOMER_REFUSED => "Customer refused to receive the order",
        OUT_OF_COVERAGE => "Address is out of coverage",
        14 => "Phone number is wrong",
        100 => "Bad weather",
        _ => "Other",
    }
}
