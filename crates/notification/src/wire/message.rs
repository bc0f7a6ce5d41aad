//! Events of `message`.

use nexus_es::{Aggregate, BadEvent, Payload};
use nexus_proto::notification::v1 as proto;

use super::{SERVICE, payload, read, sealed_from_proto, sealed_to_proto, unknown, word};
use crate::domain::message::{Event, Message, No, Request};
use crate::domain::{ChannelKind, Language, Milestone};

impl Aggregate for Message {
    const SERVICE: &'static str = SERVICE;

    fn encode(event: &Event) -> Payload {
        match event {
            Event::Requested(request) => payload("message.Requested", &request_to_proto(request)),
            Event::Attempted { attempt, callback_data, account } => {
                let message = proto::MessageAttempted {
                    attempt: *attempt,
                    callback_data: callback_data.clone(),
                    channel_account_id: account.clone(),
                };
                payload("message.Attempted", &message)
            }
            Event::Sent { attempt, provider_id, at_ms, receipt } => {
                let message = proto::MessageSent {
                    attempt: *attempt,
                    provider_id: provider_id.clone(),
                    at_ms: *at_ms,
                    receipt: receipt.clone(),
                };
                payload("message.Sent", &message)
            }
            Event::SendUnknown { attempt, reason, resend_at_ms } => {
                let message = proto::MessageSendUnknown {
                    attempt: *attempt,
                    reason: reason.clone(),
                    resend_at_ms: *resend_at_ms,
                };
                payload("message.SendUnknown", &message)
            }
            Event::AttemptFailed { attempt, code, reason, retry_at_ms } => {
                let message = proto::MessageAttemptFailed {
                    attempt: *attempt,
                    code: code.clone(),
                    reason: reason.clone(),
                    retry_at_ms: *retry_at_ms,
                };
                payload("message.AttemptFailed", &message)
            }
            Event::Delivered { at_ms, receipt } => {
                let message = proto::MessageDelivered { at_ms: *at_ms, receipt: receipt.clone() };
                payload("message.Delivered", &message)
            }
            Event::Read { at_ms, receipt } => {
                let message = proto::MessageRead { at_ms: *at_ms, receipt: receipt.clone() };
                payload("message.Read", &message)
            }
            Event::Failed { no, receipt } => payload("message.Failed", &failed(no, receipt)),
            Event::Suppressed { reason, detail } => {
                let message =
                    proto::MessageSuppressed { reason: reason.clone(), detail: detail.clone() };
                payload("message.Suppressed", &message)
            }
        }
    }

    fn decode(payload: &Payload) -> Result<Event, BadEvent> {
        match (payload.event_type.as_str(), payload.schema) {
            ("message.Requested", 1) => requested(payload).map(Event::Requested),
            ("message.Attempted", 1) => {
                let m: proto::MessageAttempted = read(payload)?;
                let (attempt, callback_data) = (m.attempt, m.callback_data);
                Ok(Event::Attempted { attempt, callback_data, account: m.channel_account_id })
            }
            ("message.Sent", 1) => {
                let m: proto::MessageSent = read(payload)?;
                let (attempt, provider_id) = (m.attempt, m.provider_id);
                Ok(Event::Sent { attempt, provider_id, at_ms: m.at_ms, receipt: m.receipt })
            }
            ("message.SendUnknown", 1) => {
                let m: proto::MessageSendUnknown = read(payload)?;
                let (attempt, reason) = (m.attempt, m.reason);
                Ok(Event::SendUnknown { attempt, reason, resend_at_ms: m.resend_at_ms })
            }
            ("message.AttemptFailed", 1) => {
                let m: proto::MessageAttemptFailed = read(payload)?;
                let (attempt, code, reason) = (m.attempt, m.code, m.reason);
                Ok(Event::AttemptFailed { attempt, code, reason, retry_at_ms: m.retry_at_ms })
            }
            ("message.Delivered", 1) => {
                let m: proto::MessageDelivered = read(payload)?;
                Ok(Event::Delivered { at_ms: m.at_ms, receipt: m.receipt })
            }
            ("message.Read", 1) => {
                let m: proto::MessageRead = read(payload)?;
                Ok(Event::Read { at_ms: m.at_ms, receipt: m.receipt })
            }
            ("message.Failed", 1) => {
                let m: proto::MessageFailed = read(payload)?;
                let no = No { code: m.code, reason: m.reason, detail: m.detail };
                Ok(Event::Failed { no, receipt: m.receipt })
            }
            ("message.Suppressed", 1) => {
                let m: proto::MessageSuppressed = read(payload)?;
                Ok(Event::Suppressed { reason: m.reason, detail: m.detail })
            }
            _ => Err(unknown(payload)),
        }
    }
}

fn failed(no: &No, receipt: &str) -> proto::MessageFailed {
    proto::MessageFailed {
        code: no.code.clone(),
        reason: no.reason.clone(),
        detail: no.detail.clone(),
        receipt: receipt.to_owned(),
    }
}

fn request_to_proto(request: &Request) -> proto::MessageRequested {
    proto::MessageRequested {
        order_id: request.order.clone(),
        shipment_id: request.shipment.clone(),
        contact_id: request.contact.clone(),
        milestone: request.milestone.as_str().to_owned(),
        channel: request.channel.as_str().to_owned(),
        language: request.language.as_str().to_owned(),
        channel_account_id: request.account.clone(),
        provider_template: request.provider_template.clone(),
        provider_language: request.provider_language.clone(),
        content: request.content.as_ref().map(sealed_to_proto),
        cause: request.cause.clone(),
        milestone_at_ms: request.milestone_at_ms,
    }
}

fn requested(payload: &Payload) -> Result<Request, BadEvent> {
    let m: proto::MessageRequested = read(payload)?;
    Ok(Request {
        milestone: word(payload, "milestone", Milestone::parse(&m.milestone))?,
        channel: word(payload, "channel", ChannelKind::parse(&m.channel))?,
        language: word(payload, "language", Language::parse(&m.language))?,
        order: m.order_id,
        shipment: m.shipment_id,
        contact: m.contact_id,
        account: m.channel_account_id,
        provider_template: m.provider_template,
        provider_language: m.provider_language,
        content: m.content.map(sealed_from_proto),
        cause: m.cause,
        milestone_at_ms: m.milestone_at_ms,
    })
}
