//! Prints events as JSON lines, with payloads decoded by the contracts.
//! *Invariant:* what is sealed is shown as `"sealed"`, whatever key is at hand.

use std::io::{self, Write};

use nexus_es::{EventLog, Position};
use nexus_proto::common::v1 as proto;
use prost::Message;
use prost_reflect::{
    DescriptorPool, DynamicMessage, FieldDescriptor, Kind, MapKey, ReflectMessage, Value,
};
use serde_json::{Map, Value as Json, json};

use crate::run::{VerifyError, each};

const SEALED: &str = "nexus.common.v1.Sealed";

/// Which events are printed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Filter {
    /// A category (`order`), an id, `order-<id>` or `order/order-<id>`; empty: all.
    pub aggregate: String,
}

impl Filter {
    /// Events of one aggregate, or of all.
    #[must_use]
    pub fn of(aggregate: Option<&str>) -> Self {
        Self { aggregate: aggregate.unwrap_or_default().to_owned() }
    }

    fn takes(&self, aggregate: &nexus_es::AggregateId) -> bool {
        let wanted = self.aggregate.as_str();
        let short = || format!("{}-{}", aggregate.category, aggregate.id);
        wanted.is_empty()
            || wanted == aggregate.category
            || wanted == aggregate.id
            || wanted == short()
            || wanted == aggregate.to_string()
    }
}

/// Why printing stopped.
#[derive(Debug, thiserror::Error)]
pub enum PrintError {
    /// The log cannot be read.
    #[error(transparent)]
    Log(#[from] VerifyError),
    /// The contracts that are built in cannot be read.
    #[error("cannot read the contracts")]
    Contracts(#[from] prost_reflect::DescriptorError),
    /// Nobody takes the lines any more.
    #[error("cannot write the events")]
    Write(#[from] io::Error),
}

/// Prints the events of `services` up to now, log by log. A reader that closes early is no error.
///
/// # Errors
/// [`PrintError`] when the log cannot be read or `out` fails.
pub async fn print_events(
    log: &dyn EventLog,
    services: &[&str],
    filter: &Filter,
    out: &mut (dyn Write + Send),
) -> Result<(), PrintError> {
    let contracts = DescriptorPool::decode(nexus_proto::FILE_DESCRIPTOR_SET)?;
    for service in services {
        let mut written = Ok(());
        each(log, service, Position::START, |stored| {
            if written.is_ok() && filter.takes(&stored.aggregate) {
                written = print(&contracts, stored, out);
            }
        })
        .await?;
        match written {
            Err(error) if error.kind() == io::ErrorKind::BrokenPipe => return Ok(()),
            written => written?,
        }
    }
    match out.flush() {
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
        flushed => Ok(flushed?),
    }
}

fn print(
    contracts: &DescriptorPool,
    stored: &nexus_es::Stored,
    out: &mut (dyn Write + Send),
) -> io::Result<()> {
    let Ok(commit) = proto::Commit::decode(&*stored.bytes) else {
        let line = json!({
            "aggregate": stored.aggregate.to_string(),
            "position": stored.position.0,
            "unreadable": hex::encode(&stored.bytes),
        });
        return writeln!(out, "{line}");
    };
    for entry in &commit.entries {
        let cause = entry.cause.clone().unwrap_or_default();
        for event in &entry.events {
            writeln!(out, "{}", line(contracts, stored, &commit, &cause, event))?;
        }
    }
    Ok(())
}

fn line(
    contracts: &DescriptorPool,
    stored: &nexus_es::Stored,
    commit: &proto::Commit,
    cause: &proto::Cause,
    event: &proto::Event,
) -> Json {
    let actor = cause.actor.clone().unwrap_or_default();
    // Nothing is said where both are the same.
    let learned_at_ms = match cause.learned_at_ms {
        0 => cause.occurred_at_ms,
        learned_at_ms => learned_at_ms,
    };
    json!({
        "type": event.r#type,
        "aggregate": stored.aggregate.to_string(),
        "position": stored.position.0,
        "number": commit.number,
        "event_id": uuid_text(&event.event_id),
        "time": time(cause.occurred_at_ms),
        "learned": time(learned_at_ms),
        "story": cause.story,
        "causation": uuid_text(&cause.causation_id),
        "actor": { "kind": actor.kind().as_str_name().to_lowercase(), "id": actor.id },
        "schema": event.schema,
        "payload": payload(contracts, &commit.service, event),
    })
}

fn time(ms: i64) -> String {
    jiff::Timestamp::from_millisecond(ms).map_or_else(|_| ms.to_string(), |at| at.to_string())
}

/// Sixteen bytes in the usual form; none as null.
fn uuid_text(bytes: &[u8]) -> Json {
    let digits = hex::encode(bytes);
    let cut = |from: usize, to: usize| digits.get(from..to).unwrap_or_default();
    match digits.len() {
        0 => Json::Null,
        32 => json!([cut(0, 8), cut(8, 12), cut(12, 16), cut(16, 20), cut(20, 32)].join("-")),
        _ => json!(digits),
    }
}

/// The payload by its contract; bytes that have none are shown as they are.
fn payload(contracts: &DescriptorPool, service: &str, event: &proto::Event) -> Json {
    let decoded = message_name(service, &event.r#type)
        .and_then(|name| contracts.get_message_by_name(&name))
        .and_then(|contract| DynamicMessage::decode(contract, event.payload.as_slice()).ok());
    match decoded {
        Some(message) => message_json(&message),
        None => json!({ "undecoded": hex::encode(&event.payload) }),
    }
}

/// `order.Created` of order is `nexus.order.v1.OrderCreated`; parked work is the same everywhere.
fn message_name(service: &str, event_type: &str) -> Option<String> {
    let (aggregate, event) = event_type.split_once('.')?;
    let package = if aggregate == "work" { aggregate } else { service };
    let mut name = String::new();
    for word in aggregate.split('_') {
        let mut letters = word.chars();
        name.extend(letters.next().map(|first| first.to_ascii_uppercase()));
        name.push_str(letters.as_str());
    }
    Some(format!("nexus.{package}.v1.{name}{event}"))
}

fn message_json(message: &DynamicMessage) -> Json {
    if message.descriptor().full_name() == SEALED {
        return json!("sealed");
    }
    let mut fields = Map::new();
    for field in message.descriptor().fields() {
        if field.supports_presence() && !message.has_field(&field) {
            continue;
        }
        fields.insert(field.name().to_owned(), value_json(&message.get_field(&field), &field));
    }
    Json::Object(fields)
}

fn value_json(value: &Value, field: &FieldDescriptor) -> Json {
    match value {
        Value::Bool(it) => json!(it),
        Value::I32(it) => json!(it),
        Value::I64(it) => json!(it),
        Value::U32(it) => json!(it),
        Value::U64(it) => json!(it),
        Value::F32(it) => json!(it),
        Value::F64(it) => json!(it),
        Value::String(it) => json!(it),
        Value::Bytes(it) if it.len() == 16 => uuid_text(it),
        Value::Bytes(it) => json!(hex::encode(it)),
        Value::EnumNumber(it) => match field.kind() {
            Kind::Enum(known) => {
                known.get_value(*it).map_or(json!(it), |known| json!(known.name()))
            }
            _ => json!(it),
        },
        Value::Message(it) => message_json(it),
        Value::List(all) => all.iter().map(|it| value_json(it, field)).collect(),
        Value::Map(all) => {
            let entries = all.iter().map(|(key, it)| (key_text(key), value_json(it, field)));
            Json::Object(entries.collect())
        }
    }
}

fn key_text(key: &MapKey) -> String {
    match key {
        MapKey::Bool(it) => it.to_string(),
        MapKey::I32(it) => it.to_string(),
        MapKey::I64(it) => it.to_string(),
        MapKey::U32(it) => it.to_string(),
        MapKey::U64(it) => it.to_string(),
        MapKey::String(it) => it.clone(),
    }
}
