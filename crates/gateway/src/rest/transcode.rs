//! JSON and query strings to protobuf messages and back.

use nexus_runtime::status;
use prost_reflect::{
    DeserializeOptions, DynamicMessage, FieldDescriptor, Kind, ReflectMessage, SerializeOptions,
    Value,
};

use super::problem::Problem;
use super::routes::{BodyRule, Route};

/// The rpc's request message out of body, path and query.
pub(crate) fn request(
    route: &Route,
    parameters: &[(String, String)],
    query: &str,
    body: &[u8],
) -> Result<DynamicMessage, Problem> {
    let descriptor = route.rpc.input();
    let mut message = match &route.body {
        BodyRule::None if !body.is_empty() => {
            return Err(Problem::of(&status::invalid_field("body", "this call takes no body")));
        }
        BodyRule::None => DynamicMessage::new(descriptor),
        BodyRule::Whole => from_json(descriptor, body)?,
        BodyRule::Field(name) => {
            let mut message = DynamicMessage::new(descriptor.clone());
            let field = descriptor.get_field_by_name(name);
            if let Some(inner) = field.as_ref().and_then(message_of) {
                message.set_field_by_name(name, Value::Message(from_json(inner, body)?));
            }
            message
        }
    };
    for (name, value) in parameters {
        set(&mut message, name, value)?;
    }
    if route.body != BodyRule::Whole {
        for (name, value) in form_urlencoded::parse(query.as_bytes()) {
            set(&mut message, &name, &value)?;
        }
    } else if !query.is_empty() {
        return Err(Problem::of(&status::invalid_field("query", "this call takes no query")));
    }
    Ok(message)
}

/// A message as JSON with the contracts' own field names; numbers are numbers, empty lists are
/// there.
pub(crate) fn to_json(message: &DynamicMessage) -> Result<Vec<u8>, Problem> {
    let options = SerializeOptions::new()
        .use_proto_field_name(true)
        .skip_default_fields(false)
        .stringify_64_bit_integers(false);
    let mut json = Vec::with_capacity(512);
    let mut serializer = serde_json::Serializer::new(&mut json);
    message
        .serialize_with_options(&mut serializer, &options)
        .map_err(|error| Problem::of(&status::internal(&error)))?;
    Ok(with_whole_numbers(&json))
}

/// A number inside of a `Struct` is a double on the wire, and would be shown as `48089608.0`: the
/// contracts have no other floats. Texts stay as they are.
fn with_whole_numbers(json: &[u8]) -> Vec<u8> {
    let mut shown = Vec::with_capacity(json.len());
    let (mut in_text, mut escaped) = (false, false);
    let mut rest = json;
    while let [byte, after @ ..] = rest {
        if !in_text && matches!(rest, [b'.', b'0', b',' | b'}' | b']', ..]) {
            rest = rest.get(2..).unwrap_or_default();
            continue;
        }
        in_text ^= *byte == b'"' && !escaped;
        escaped = in_text && *byte == b'\\' && !escaped;
        shown.push(*byte);
        rest = after;
    }
    shown
}

fn message_of(field: &FieldDescriptor) -> Option<prost_reflect::MessageDescriptor> {
    match field.kind() {
        Kind::Message(message) => Some(message),
        _ => None,
    }
}

fn from_json(
    descriptor: prost_reflect::MessageDescriptor,
    body: &[u8],
) -> Result<DynamicMessage, Problem> {
    let body = if body.is_empty() { b"{}" } else { body };
    let options = DeserializeOptions::new().deny_unknown_fields(true);
    let mut json = serde_json::Deserializer::from_slice(body);
    let read = DynamicMessage::deserialize_with_options(descriptor, &mut json, &options)
        .and_then(|message| json.end().map(|()| message));
    read.map_err(|error| Problem::of(&status::invalid_field("body", explain(&error))))
}

/// Where it broke, and why, in words for whoever wrote the body.
fn explain(error: &serde_json::Error) -> String {
    format!("is not what this call takes: {error}")
}

fn set(message: &mut DynamicMessage, path: &str, text: &str) -> Result<(), Problem> {
    let bad = |why: &str| Problem::of(&status::invalid_field(path, why));
    let (name, rest) = match path.split_once('.') {
        Some((name, rest)) => (name, Some(rest)),
        None => (path, None),
    };
    let Some(field) = message.descriptor().get_field_by_name(name) else {
        return Err(bad("is not a parameter of this call"));
    };
    if let Some(rest) = rest {
        return match message.get_field_mut(&field) {
            Value::Message(inner) => set(inner, rest, text),
            _ => Err(bad("has no fields inside")),
        };
    }
    let value = parse(&field.kind(), text).ok_or_else(|| bad("has a value of the wrong kind"))?;
    if field.is_list() {
        if let Value::List(list) = message.get_field_mut(&field) {
            list.push(value);
        }
    } else {
        message.set_field(&field, value);
    }
    Ok(())
}

fn parse(kind: &Kind, text: &str) -> Option<Value> {
    Some(match kind {
        Kind::String => Value::String(text.to_owned()),
        Kind::Bool => Value::Bool(text.parse().ok()?),
        Kind::Int32 | Kind::Sint32 | Kind::Sfixed32 => Value::I32(text.parse().ok()?),
        Kind::Uint32 | Kind::Fixed32 => Value::U32(text.parse().ok()?),
        Kind::Int64 | Kind::Sint64 | Kind::Sfixed64 => Value::I64(text.parse().ok()?),
        Kind::Uint64 | Kind::Fixed64 => Value::U64(text.parse().ok()?),
        Kind::Double => Value::F64(text.parse().ok()?),
        Kind::Float => Value::F32(text.parse().ok()?),
        Kind::Enum(descriptor) => {
            Value::EnumNumber(descriptor.get_value_by_name(text).map(|value| value.number())?)
        }
        Kind::Bytes | Kind::Message(_) => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whole_numbers_of_a_raw_body_are_shown_whole_and_texts_stay() {
        let json =
            r#"{"raw":{"n":48089608.0,"cod":1.5,"note":"a \"2.0, or\\","m":10.0},"l":[1.0]}"#;
        let shown = String::from_utf8(with_whole_numbers(json.as_bytes())).unwrap();
        let whole = r#"{"raw":{"n":48089608,"cod":1.5,"note":"a \"2.0, or\\","m":10},"l":[1]}"#;
        assert_eq!(shown, whole);
    }
}
