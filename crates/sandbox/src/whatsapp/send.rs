//! `POST /{version}/{phone_number_id}/messages`: accepts template messages; accepted is not sent.

use std::sync::Arc;

use axum::Json;
use axum::body::Bytes;
use axum::extract::{Path, State};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Map, Value, json};

use super::message::{self, Message, Record};
use super::refusal::Refusal;
use super::{App, receipts};
use crate::random;
use crate::store::Batch;

pub(super) async fn send(
    State(app): State<Arc<App>>,
    Path((_version, phone_number_id)): Path<(String, String)>,
    body: Bytes,
) -> Result<Json<Value>, Refusal> {
    let body: Map<String, Value> = serde_json::from_slice(&body)
        .map_err(|_| Refusal::invalid("the body must be a JSON object"))?;
    let wanted = parse(&app, &body)?;
    let accepted = accept(&app, phone_number_id, wanted).await?;
    app.receipts_wake.notify_one();
    Ok(Json(json!({
        "messaging_product": "whatsapp",
        "contacts": [{"input": accepted.record.to, "wa_id": accepted.record.wa_id}],
        "messages": [{"id": accepted.wamid, "message_status": "accepted"}],
    })))
}

struct Wanted {
    to: String,
    wa_id: String,
    template: String,
    language: String,
    parameters: Vec<String>,
    callback: Option<String>,
}

fn parse(app: &App, body: &Map<String, Value>) -> Result<Wanted, Refusal> {
    let text = |name: &str| body.get(name).and_then(Value::as_str);
    if text("messaging_product") != Some("whatsapp") {
        return Err(Refusal::invalid("messaging_product must be whatsapp"));
    }
    let to = text("to").ok_or_else(|| Refusal::missing("to"))?;
    let wa_id = wa_id(to).ok_or_else(|| {
        Refusal::new(131_009, "Parameter value is not valid", "to is not a valid phone number")
    })?;
    match text("type").unwrap_or("text") {
        "template" => {}
        "text" => {
            let details = "more than 24 hours have passed since the customer last wrote";
            return Err(Refusal::new(131_047, "Re-engagement message", details));
        }
        other => {
            let details = format!("message type {other} is not supported");
            return Err(Refusal::new(131_051, "Unsupported message type", details));
        }
    }
    let template = body.get("template").ok_or_else(|| Refusal::missing("template"))?;
    let name = template.get("name").and_then(Value::as_str);
    let name = name.ok_or_else(|| Refusal::missing("template.name"))?;
    let language = template.pointer("/language/code").and_then(Value::as_str);
    let language = language.ok_or_else(|| Refusal::missing("template.language.code"))?;
    let known = app.templates.approved(name, language)?;
    let parameters = known.texts(template.get("components"))?;
    let callback = match body.get("biz_opaque_callback_data") {
        None | Some(Value::Null) => None,
        Some(Value::String(data)) if data.chars().count() <= 512 => Some(data.clone()),
        Some(_) => {
            let details = "biz_opaque_callback_data must be text of at most 512 characters";
            return Err(Refusal::invalid(details));
        }
    };
    Ok(Wanted {
        to: to.to_owned(),
        wa_id,
        template: known.name,
        language: known.language,
        parameters,
        callback,
    })
}

/// Without `+` the business's own country is put in front, so a foreign number reaches a stranger.
fn wa_id(to: &str) -> Option<String> {
    if to.chars().any(|letter| !letter.is_ascii_digit() && !" +-()".contains(letter)) {
        return None;
    }
    let digits: String = to.chars().filter(char::is_ascii_digit).collect();
    let own_country = digits.starts_with("20") && digits.len() == 12;
    let full = if to.trim_start().starts_with('+') || own_country {
        digits
    } else {
        format!("20{digits}")
    };
    (8..=15).contains(&full.len()).then_some(full)
}

async fn accept(app: &App, phone_number_id: String, wanted: Wanted) -> Result<Message, Refusal> {
    let mut list = app.accepted.lock().await;
    let mut batch = Batch::default();
    let references = [wanted.callback.as_deref(), Some(wanted.to.as_str())];
    let fault = app.faults.take_named(&mut batch, receipts::FAULTS, &references);
    let fault = fault.as_ref().map(|armed| armed.fault.as_str());
    let plan = receipts::plan(fault);
    let accepted = Message {
        seq: list.next_seq(),
        wamid: wamid(&wanted.wa_id)?,
        next_ms: plan.front().map(|planned| app.clock.after(planned.after)),
        record: Record {
            phone_number_id,
            to: wanted.to,
            wa_id: wanted.wa_id,
            template: wanted.template,
            language: wanted.language,
            parameters: wanted.parameters,
            biz_opaque_callback_data: wanted.callback,
            accepted_ms: app.clock.now(),
            statuses: Vec::new(),
            plan,
            duplicated: fault == Some("duplicate_receipts"),
        },
    };
    message::insert(&mut batch, &accepted)?;
    app.store.write(batch).await?;
    list.set(accepted.seq, accepted.next_ms, accepted.clone());
    Ok(accepted)
}

fn wamid(wa_id: &str) -> Result<String, Refusal> {
    let recipient = STANDARD.encode(wa_id);
    let recipient = recipient.trim_end_matches('=');
    Ok(format!("wamid.HBgM{recipient}FQIAERgS{}A=", random::id(18)?))
}

/// Reading the number is how a client checks its token.
pub(super) async fn phone_number(
    Path((_version, phone_number_id)): Path<(String, String)>,
) -> Json<Value> {
    Json(json!({"id": phone_number_id, "display_phone_number": "+20 100 000 0000",
                "verified_name": "Sandbox shop", "quality_rating": "GREEN"}))
}

#[cfg(test)]
mod tests {
    use super::wa_id;

    #[test]
    fn a_number_without_plus_gets_the_business_country() {
        assert_eq!(wa_id("+20 106 568-5435").unwrap(), "201065685435");
        assert_eq!(wa_id("201065685435").unwrap(), "201065685435");
        assert_eq!(wa_id("01065685435").unwrap(), "2001065685435");
        assert_eq!(wa_id("+447700900123").unwrap(), "447700900123");
        assert!(wa_id("+20x").is_none());
        assert!(wa_id("+20").is_none());
    }
}
