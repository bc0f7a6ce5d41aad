//! What becomes of an accepted message: sent, delivered, read, each told by a signed webhook.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use serde_json::{Value, json};

use super::handshake::{Subscription, subscription};
use super::message::{self, Message, Planned, Receipt, Status};
use super::{App, signature};
use crate::failure::Error;
use crate::outbox::Webhook;
use crate::server::Turn;
use crate::store::Batch;

pub(super) const FAULTS: &[&str] =
    &["undeliverable", "reorder_receipts", "duplicate_receipts", "no_read"];

/// Milliseconds at speed 1.
const SENT_AFTER: u64 = 1_000;
const DELIVERED_AFTER: u64 = 1_500;
const READ_AFTER: u64 = 4_000;
const DUPLICATE_AFTER: u64 = 500;
const AT_ONCE: usize = 64;
const ERROR_CODES: &str =
    "https://developers.facebook.com/docs/whatsapp/cloud-api/support/error-codes/";

pub(super) fn plan(fault: Option<&str>) -> VecDeque<Planned> {
    let planned = |after, status, held_back| Planned { after, status, held_back };
    let usual = |sent_back, delivered_back| {
        [
            planned(SENT_AFTER, Status::Sent, sent_back),
            planned(DELIVERED_AFTER, Status::Delivered, delivered_back),
        ]
    };
    let read = planned(READ_AFTER, Status::Read, 0);
    match fault {
        Some("undeliverable") => [planned(SENT_AFTER, Status::Failed, 0)].into(),
        Some("no_read") => usual(0, 0).into(),
        // Held back beyond the next status each, so that they arrive last one first.
        Some("reorder_receipts") => {
            let [sent, delivered] = usual(3 * READ_AFTER, 2 * READ_AFTER);
            [sent, delivered, read].into()
        }
        _ => {
            let [sent, delivered] = usual(0, 0);
            [sent, delivered, read].into()
        }
    }
}

/// Moves every message whose next status is due.
pub(super) struct Receipts(pub(super) Arc<App>);

impl Turn for Receipts {
    async fn turn(&self) -> Result<Option<i64>, Error> {
        let app = &self.0;
        let mut accepted = app.accepted.lock().await;
        let mut moved = accepted.due(app.clock.now(), AT_ONCE);
        let mut webhooks = Vec::new();
        for message in &mut moved {
            if let Some(planned) = message.record.plan.pop_front() {
                webhooks.extend(happen(app, message, &planned)?);
            }
            let next = message.record.plan.front();
            message.next_ms = next.map(|planned| app.clock.after(planned.after));
        }
        let mut batch = Batch::default();
        message::save(&mut batch, &moved)?;
        app.outbox.write(batch, webhooks).await?;
        for message in moved {
            accepted.set(message.seq, message.next_ms, message);
        }
        Ok(accepted.next_after(i64::MIN))
    }
}

/// Enters a status and gives the webhooks that tell it.
fn happen(app: &App, message: &mut Message, planned: &Planned) -> Result<Vec<Webhook>, Error> {
    let receipt = Receipt { status: planned.status, at_ms: app.clock.now() };
    message.record.statuses.push(receipt.clone());
    let phone_number_id = &message.record.phone_number_id;
    let Some(subscribed) = subscription(&app.store, phone_number_id)? else {
        return Ok(Vec::new());
    };
    let value = json!({"statuses": [status(message, &receipt)]});
    let body = envelope(phone_number_id, value);
    let due_ms = app.clock.held_back(planned.held_back);
    let first = Webhook { due_ms, ..webhook(&subscribed, &message.wamid, &body) };
    if !message.record.duplicated {
        return Ok(vec![first]);
    }
    let due_ms = app.clock.after(planned.held_back + DUPLICATE_AFTER);
    let second = Webhook { due_ms, ..first.clone() };
    Ok(vec![first, second])
}

/// Signed as it is sent; due at once.
pub(super) fn webhook(subscribed: &Subscription, subject: &str, body: &Value) -> Webhook {
    let body = signature::escaped(body);
    let signed = signature::sign(&subscribed.app_secret, body.as_bytes());
    Webhook {
        subject: subject.to_owned(),
        url: subscribed.url.clone(),
        headers: BTreeMap::from([("X-Hub-Signature-256".to_owned(), signed)]),
        body,
        due_ms: 0,
    }
}

/// What every webhook of the channel is wrapped in.
pub(super) fn envelope(phone_number_id: &str, mut value: Value) -> Value {
    if let Some(fields) = value.as_object_mut() {
        fields.insert("messaging_product".into(), "whatsapp".into());
        let metadata = json!({"display_phone_number": "201000000000",
                              "phone_number_id": phone_number_id});
        fields.insert("metadata".into(), metadata);
    }
    json!({"object": "whatsapp_business_account", "entry": [{"id": "102290129340398",
           "changes": [{"field": "messages", "value": value}]}]})
}

fn status(message: &Message, receipt: &Receipt) -> Value {
    let mut told = json!({
        "id": message.wamid,
        "status": receipt.status,
        "timestamp": (receipt.at_ms / 1_000).to_string(),
        "recipient_id": message.record.wa_id,
    });
    let Some(fields) = told.as_object_mut() else { return told };
    if let Some(data) = &message.record.biz_opaque_callback_data {
        fields.insert("biz_opaque_callback_data".into(), data.clone().into());
    }
    match receipt.status {
        Status::Sent | Status::Delivered => {
            let pricing = json!({"billable": true, "pricing_model": "PMP", "type": "regular",
                                 "category": "utility"});
            fields.insert("pricing".into(), pricing);
        }
        Status::Failed => {
            let errors = json!([{
                "code": 131_026, "title": "Message undeliverable",
                "message": "Message undeliverable",
                "error_data": {"details": "Message undeliverable."},
                "href": ERROR_CODES,
            }]);
            fields.insert("errors".into(), errors);
        }
        Status::Read => {}
    }
    told
}
