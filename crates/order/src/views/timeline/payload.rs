//! Payloads of any service, read by their descriptors: the order they concern, and what may be
//! shown of them.

use std::collections::BTreeMap;
use std::sync::LazyLock;

use nexus_es::Heard;
use nexus_proto::FILE_DESCRIPTOR_SET;
use prost_reflect::{DescriptorPool, DynamicMessage, FieldDescriptor, MapKey, Value};
use prost_types::value::Kind;
use prost_types::{ListValue, Struct, Value as Shown};

const SEALED: &str = "nexus.common.v1.Sealed";

static POOL: LazyLock<Option<DescriptorPool>> =
    LazyLock::new(|| DescriptorPool::decode(FILE_DESCRIPTOR_SET).ok());

/// `stock_ledger.Reserved` of inventory is `nexus.inventory.v1.StockLedgerReserved`.
fn message_name(service: &str, event_type: &str) -> String {
    let (aggregate, event) = event_type.split_once('.').unwrap_or(("", event_type));
    let words = aggregate.split('_').map(|word| {
        let mut letters = word.chars();
        let first: String = letters.next().into_iter().flat_map(char::to_uppercase).collect();
        first + letters.as_str()
    });
    format!("nexus.{service}.v1.{}{event}", words.collect::<String>())
}

fn decode(service: &str, event_type: &str, bytes: &[u8]) -> Option<DynamicMessage> {
    let descriptor = POOL.as_ref()?.get_message_by_name(&message_name(service, event_type))?;
    DynamicMessage::decode(descriptor, bytes).ok()
}

/// The order that an event concerns, by its field `order_id`.
pub(super) fn order_of(heard: &Heard) -> Option<String> {
    let pool = POOL.as_ref()?;
    let name = message_name(heard.service(), heard.event_type());
    let field = pool.get_message_by_name(&name)?.get_field_by_name("order_id")?;
    let message = decode(heard.service(), heard.event_type(), &heard.payload.bytes)?;
    match message.get_field(&field).as_ref() {
        Value::String(order_id) if !order_id.is_empty() => Some(order_id.clone()),
        _ => None,
    }
}

/// The payload without what is sealed; `None` when its type is not known here.
pub(super) fn shown(service: &str, event_type: &str, bytes: &[u8]) -> Option<Struct> {
    decode(service, event_type, bytes).map(|message| fields(&message))
}

fn is_sealed(field: &FieldDescriptor) -> bool {
    field.kind().as_message().is_some_and(|message| message.full_name() == SEALED)
}

fn fields(message: &DynamicMessage) -> Struct {
    let open = message.fields().filter(|(field, _)| !is_sealed(field));
    let fields = open.map(|(field, value)| (field.name().to_owned(), show(value)));
    Struct { fields: fields.collect() }
}

#[expect(
    clippy::as_conversions,
    clippy::cast_precision_loss,
    reason = "JSON numbers are doubles; amounts and milliseconds are far below 2^53"
)]
fn number(value: i64) -> Kind {
    Kind::NumberValue(value as f64)
}

fn show(value: &Value) -> Shown {
    let kind = match value {
        Value::Bool(flag) => Kind::BoolValue(*flag),
        Value::I32(it) | Value::EnumNumber(it) => number(i64::from(*it)),
        Value::I64(it) => number(*it),
        Value::U32(it) => number(i64::from(*it)),
        Value::U64(it) => number(i64::try_from(*it).unwrap_or(i64::MAX)),
        Value::F32(it) => Kind::NumberValue(f64::from(*it)),
        Value::F64(it) => Kind::NumberValue(*it),
        Value::String(text) => Kind::StringValue(text.clone()),
        Value::Bytes(bytes) => Kind::StringValue(hex::encode(bytes)),
        Value::Message(message) => Kind::StructValue(fields(message)),
        Value::List(list) => Kind::ListValue(ListValue { values: list.iter().map(show).collect() }),
        Value::Map(map) => {
            let entries = map.iter().map(|(key, value)| (key_text(key), show(value)));
            Kind::StructValue(Struct { fields: entries.collect::<BTreeMap<_, _>>() })
        }
    };
    Shown { kind: Some(kind) }
}

fn key_text(key: &MapKey) -> String {
    match key {
        MapKey::String(text) => text.clone(),
        MapKey::Bool(flag) => flag.to_string(),
        MapKey::I32(it) => it.to_string(),
        MapKey::I64(it) => it.to_string(),
        MapKey::U32(it) => it.to_string(),
        MapKey::U64(it) => it.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use nexus_proto::common::v1::Sealed;
    use nexus_proto::order::v1::{OrderCreated, Region};
    use prost::Message;

    #[test]
    fn every_event_type_names_its_message() {
        assert_eq!(
            message_name("inventory", "stock_ledger.PromiseBroken"),
            "nexus.inventory.v1.StockLedgerPromiseBroken"
        );
    }

    #[test]
    fn what_is_sealed_is_not_shown() {
        let sealed = Sealed { ciphertext: vec![1], ..Sealed::default() };
        let region = Region { city: "Maadi".to_owned(), ..Region::default() };
        let created = OrderCreated {
            number: "NX-1001".to_owned(),
            recipient: Some(sealed),
            region: Some(region),
            ..OrderCreated::default()
        };
        let shown = shown("order", "order.Created", &created.encode_to_vec()).unwrap();
        assert_eq!(shown.fields.keys().collect::<Vec<_>>(), ["number", "region"]);
    }
}
