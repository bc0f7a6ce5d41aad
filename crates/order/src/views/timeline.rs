//! All that happened to an order, in all services.
//! *Invariant:* a row an event, keyed by its place in its log: between logs nothing depends on who
//! was heard first. Payloads are kept as stored; what is sealed in them stays sealed.

mod payload;
mod sorting;

use std::collections::BTreeSet;

use async_trait::async_trait;
use nexus_es::views::rows::{self, Value};
use nexus_es::views::{Changes, Pool, View, ViewError};
use nexus_es::{ActorKind, Heard};
use nexus_proto::fulfillment::v1::PickListGenerated;
use nexus_proto::order::v1::{ErasedEvent, TimelineActor, TimelineEntry};
use nexus_runtime::time::rfc3339;
use prost::Message;
use sqlx::any::AnyRow;
use sqlx::{AnyConnection, AssertSqlSafe, Row};

const COLUMNS: &str = "service, position, event_index, event_id, aggregate, event_type, \
    occurred_at_ms, learned_at_ms, actor_kind, actor_id, causation_id, trace_id, payload";

const SOURCES: &[&str] = &["order", "inventory", "fulfillment", "shipping", "notification"];

pub(crate) struct TimelineView;

/// What a row is found by: the order's id, or the pick list that serves several orders. `None` for
/// what belongs to no order.
fn subject(heard: &Heard) -> Option<String> {
    let aggregate = &heard.aggregate;
    match aggregate.category.as_str() {
        "order" => Some(aggregate.id.clone()),
        "pick_list" => Some(format!("pick_list:{}", aggregate.id)),
        "stock_ledger" => payload::order_of(heard),
        "fulfillment" | "shipment" | "message" => {
            payload::order_of(heard).or_else(|| Some(heard.cause.story.clone()))
        }
        _ => None,
    }
}

fn row(heard: &Heard, subject: String) -> [Value; 14] {
    let cause = &heard.cause;
    let actor_kind: i32 = cause.actor.kind.into();
    let trace_id = cause.traceparent.split('-').nth(1).unwrap_or_default();
    [
        heard.service().into(),
        heard.position.0.into(),
        heard.index.into(),
        subject.into(),
        heard.event_id.to_string().into(),
        format!("{}-{}", heard.aggregate.category, heard.aggregate.id).into(),
        heard.event_type().into(),
        cause.occurred_at_ms.into(),
        cause.learned_at_ms.into(),
        i64::from(actor_kind).into(),
        cause.actor.id.clone().into(),
        cause.causation_id.map(|id| id.to_string()).unwrap_or_default().into(),
        trace_id.into(),
        heard.payload.bytes.clone().into(),
    ]
}

/// The orders that a new pick list serves.
fn served(heard: &Heard) -> Vec<String> {
    if heard.event_type() != "pick_list.Generated" {
        return Vec::new();
    }
    let list = PickListGenerated::decode(heard.payload.bytes.as_slice()).unwrap_or_default();
    let orders: BTreeSet<_> = list.parts.into_iter().map(|part| part.order_id).collect();
    orders.into_iter().collect()
}

#[async_trait]
impl View for TimelineView {
    fn name(&self) -> &'static str {
        "timeline"
    }

    fn sources(&self) -> &[&'static str] {
        SOURCES
    }

    async fn apply(
        &self,
        tx: &mut AnyConnection,
        heard: &[Heard],
        _changes: &mut Changes,
    ) -> Result<(), ViewError> {
        let (mut rows, mut links) = (Vec::new(), Vec::new());
        for heard in heard {
            let Some(subject) = subject(heard) else { continue };
            let list = || Value::from(format!("pick_list:{}", heard.aggregate.id));
            links.extend(served(heard).into_iter().map(|order| [order.into(), list()]));
            rows.push(row(heard, subject));
        }
        let into = "timeline (service, position, event_index, subject, event_id, aggregate, \
            event_type, occurred_at_ms, learned_at_ms, actor_kind, actor_id, causation_id, \
            trace_id, payload)";
        let nothing = "ON CONFLICT (service, position, event_index) DO NOTHING";
        rows::insert(tx, into, nothing, rows).await?;
        let nothing = "ON CONFLICT (order_id, subject) DO NOTHING";
        rows::insert(tx, "timeline_lists (order_id, subject)", nothing, links).await?;
        Ok(())
    }
}

/// One row, as it is sorted and shown.
pub(crate) struct Fact {
    service: String,
    position: i64,
    index: i64,
    event_id: String,
    aggregate: String,
    event_type: String,
    occurred_at_ms: i64,
    learned_at_ms: i64,
    actor_kind: i64,
    actor_id: String,
    causation_id: String,
    trace_id: String,
    payload: Vec<u8>,
}

fn fact(row: &AnyRow) -> Result<Fact, sqlx::Error> {
    Ok(Fact {
        service: row.try_get(0)?,
        position: row.try_get(1)?,
        index: row.try_get(2)?,
        event_id: row.try_get(3)?,
        aggregate: row.try_get(4)?,
        event_type: row.try_get(5)?,
        occurred_at_ms: row.try_get(6)?,
        learned_at_ms: row.try_get(7)?,
        actor_kind: row.try_get(8)?,
        actor_id: row.try_get(9)?,
        causation_id: row.try_get(10)?,
        trace_id: row.try_get(11)?,
        payload: row.try_get(12)?,
    })
}

/// The timeline of an order: causes before effects, then by time.
pub(crate) async fn of_order(
    pool: &Pool,
    order_id: &str,
) -> Result<Vec<TimelineEntry>, sqlx::Error> {
    let text = format!(
        "SELECT {COLUMNS} FROM timeline WHERE subject = $1 \
         OR subject IN (SELECT subject FROM timeline_lists WHERE order_id = $1)"
    );
    let rows = sqlx::query(AssertSqlSafe(text)).bind(order_id.to_owned()).fetch_all(pool).await?;
    let facts = rows.iter().map(fact).collect::<Result<Vec<_>, _>>()?;
    Ok(sorting::causes_first(facts).into_iter().map(entry).collect())
}

/// The events about a contact's orders that hold something sealed with the key `key_id`. The key's
/// id stands in clear beside what it sealed, and nowhere else.
pub(crate) async fn sealed_with(
    pool: &Pool,
    contact_id: &str,
    key_id: &str,
) -> Result<Vec<ErasedEvent>, sqlx::Error> {
    let text = format!(
        "SELECT {COLUMNS} FROM timeline \
         WHERE subject IN (SELECT order_id FROM orders WHERE contact_id = $1)"
    );
    let rows = sqlx::query(AssertSqlSafe(text)).bind(contact_id.to_owned()).fetch_all(pool).await?;
    let facts = rows.iter().map(fact).collect::<Result<Vec<_>, _>>()?;
    let sealed = facts.into_iter().filter(|fact| names_key(&fact.payload, key_id));
    let erased = sealed.map(|fact| ErasedEvent {
        event_id: fact.event_id,
        position: format!("{}:{}", fact.service, fact.position),
        service: fact.service,
        r#type: fact.event_type,
        occurred_at: rfc3339(fact.occurred_at_ms),
    });
    Ok(erased.collect())
}

/// Whether a payload holds something sealed with the key `key_id`.
pub(crate) fn names_key(payload: &[u8], key_id: &str) -> bool {
    payload.windows(key_id.len()).any(|window| window == key_id.as_bytes())
}

fn entry(fact: Fact) -> TimelineEntry {
    TimelineEntry {
        title: title(&fact.event_type),
        data: payload::shown(&fact.service, &fact.event_type, &fact.payload),
        event_id: fact.event_id,
        occurred_at: rfc3339(fact.occurred_at_ms),
        learned_at: rfc3339(fact.learned_at_ms),
        position: format!("{}:{}", fact.service, fact.position),
        service: fact.service,
        r#type: fact.event_type,
        actor: Some(TimelineActor { kind: actor(fact.actor_kind).to_owned(), id: fact.actor_id }),
        causation_id: fact.causation_id,
        trace_id: fact.trace_id,
    }
}

fn actor(kind: i64) -> &'static str {
    let kind = i32::try_from(kind).ok().and_then(|kind| ActorKind::try_from(kind).ok());
    actor_word(kind.unwrap_or(ActorKind::Unspecified))
}

/// The kind of an actor, as it is shown.
pub(crate) fn actor_word(kind: ActorKind) -> &'static str {
    match kind {
        ActorKind::Unspecified => "unknown",
        ActorKind::Person => "person",
        ActorKind::Key => "key",
        ActorKind::Service => "service",
        ActorKind::Courier => "courier",
        ActorKind::Channel => "channel",
        ActorKind::Timer => "timer",
    }
}

/// `order.ConfirmationRequested` → `Order: confirmation requested`.
fn title(event_type: &str) -> String {
    let (aggregate, event) = event_type.split_once('.').unwrap_or(("", event_type));
    let mut title = String::new();
    for (nth, letter) in aggregate.replace('_', " ").chars().enumerate() {
        if nth == 0 { title.extend(letter.to_uppercase()) } else { title.push(letter) }
    }
    title.push(':');
    for letter in event.chars() {
        if letter.is_uppercase() {
            title.push(' ');
        }
        title.extend(letter.to_lowercase());
    }
    title
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_title_is_the_event_in_words() {
        assert_eq!(title("order.ConfirmationRequested"), "Order: confirmation requested");
        assert_eq!(title("stock_ledger.Reserved"), "Stock ledger: reserved");
    }
}
