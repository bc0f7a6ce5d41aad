//! Certificates of erasure, made anew at each call from the logs and the key store.

use nexus_es::Heard;
use nexus_es::commit::sha256;
use nexus_proto::order::v1 as proto;
use nexus_runtime::caller::Caller;
use nexus_runtime::{status, time::rfc3339};
use tonic::{Request, Response, Status};

use super::{Answer, Api, answers, contacts};
use crate::domain::contact::Event;
use crate::personal;
use crate::views::{orders, timeline};

pub(super) async fn certificate(
    api: &Api,
    request: Request<proto::GetErasureCertificateRequest>,
) -> Answer<proto::ErasureCertificate> {
    Caller::of(&request)?;
    let asked = request.into_inner();
    answers::reach(api, &asked.min_position).await?;
    let id = asked.contact_id.as_str();
    let key_id = personal::key_id(id);
    let past = api.history.of_contact(id).await.map_err(answers::unreadable)?;
    if past.is_empty() {
        return Err(status::not_found("contact", id));
    }
    let erased = past.iter().find_map(|(heard, event)| match event {
        Event::Erased { reason, .. } => Some((heard, reason)),
        _ => None,
    });
    let (erasure, reason) = erased.ok_or_else(not_erased)?;
    let pool = api.views.pool();
    let position = api.views.positions().to_string();
    let mut events: Vec<_> = past
        .iter()
        .filter(|(heard, _)| timeline::names_key(&heard.payload.bytes, &key_id))
        .map(|(heard, _)| erased_event(heard))
        .collect();
    let about_orders = timeline::sealed_with(&pool, id, &key_id).await;
    events.extend(about_orders.map_err(answers::unreadable)?);
    events.sort_by(|a, b| {
        (&a.occurred_at, &a.position, &a.event_id).cmp(&(&b.occurred_at, &b.position, &b.event_id))
    });
    let actor = &erasure.cause.actor;
    let certificate = proto::ErasureCertificate {
        contact_id: id.to_owned(),
        erased_at: rfc3339(erasure.cause.occurred_at_ms),
        reason: reason.clone(),
        erased_by: Some(proto::TimelineActor {
            kind: timeline::actor_word(actor.kind).to_owned(),
            id: actor.id.clone(),
        }),
        key_destroyed: !api.vault.has_key(&key_id).await.map_err(contacts::unsealed)?,
        key_id,
        order_ids: orders::of_contact(&pool, id).await.map_err(answers::unreadable)?,
        events,
        digest: String::new(),
        position,
    };
    Ok(Response::new(proto::ErasureCertificate { digest: digest(&certificate), ..certificate }))
}

fn not_erased() -> Status {
    let way = "POST /v1/contacts/{contact_id}:erase first";
    let sentence = format!("the contact is not erased, there is nothing to certify: {way}");
    let facts = [("status", "registered"), ("wish", "certificate"), ("way_forward", way)];
    status::refused("NOT_ERASED", sentence, &facts)
}

fn erased_event(heard: &Heard) -> proto::ErasedEvent {
    proto::ErasedEvent {
        event_id: heard.event_id.to_string(),
        service: heard.service().to_owned(),
        r#type: heard.event_type().to_owned(),
        occurred_at: rfc3339(heard.cause.occurred_at_ms),
        position: format!("{}:{}", heard.service(), heard.position.0),
    }
}

fn digest(certificate: &proto::ErasureCertificate) -> String {
    let about = [
        certificate.contact_id.clone(),
        certificate.key_id.clone(),
        certificate.erased_at.clone(),
        certificate.reason.clone(),
    ];
    let events = certificate.events.iter();
    let events = events.map(|it| format!("{} {} {}", it.position, it.event_id, it.r#type));
    let text: String = about.into_iter().chain(events).map(|line| line + "\n").collect();
    hex::encode(sha256(text.as_bytes()))
}
