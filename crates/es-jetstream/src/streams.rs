//! Streams: made if missing, and every setting compared with what is needed.
//! *Invariant:* the stream of a log never forgets a message and changes none.

use std::collections::BTreeSet;
use std::time::Duration;

use async_nats::jetstream::ErrorCode;
use async_nats::jetstream::response::Response;
use serde_json::{Map, Value, json};

use crate::error::Error;
use crate::options::Options;
use crate::subject;
use crate::wire::Wire;

/// The largest message a stream takes: a commit with room for its headers.
pub(crate) const MAX_MESSAGE_BYTES: usize = 768 * 1024;

/// How long the server knows a message id. The guard is what makes resending safe at any time.
const DUPLICATE_WINDOW: Duration = Duration::from_secs(5 * 60);

/// What describes or places a stream and changes nothing in what it keeps.
const FREE: [&str; 4] = ["metadata", "placement", "description", "max_consumers"];

/// Makes sure that the stream of these settings is there as they say. Answers the names of the
/// servers that keep it.
pub(crate) async fn ensure(
    wire: &Wire,
    wanted: &Value,
    create: bool,
) -> Result<BTreeSet<String>, Error> {
    let stream = wanted.get("name").and_then(Value::as_str).unwrap_or_default().to_owned();
    let mut info = read(wire, &stream).await?;
    if info.is_none() && create {
        make(wire, &stream, wanted).await?;
        info = read(wire, &stream).await?;
    }
    let Some(info) = info else {
        return Err(Error::Missing(stream));
    };
    let differences = differences(wanted, info.get("config").unwrap_or(&Value::Null));
    if differences.is_empty() {
        Ok(keepers(&info))
    } else {
        Err(Error::Settings { stream, differences: differences.join(", ") })
    }
}

/// The last sequence of a stream, as its leader knows it.
pub(crate) fn last_sequence(info: &Value) -> Option<u64> {
    info.get("state")?.get("last_seq")?.as_u64()
}

/// What the leader of a stream says about it, nothing if there is no such stream.
pub(crate) async fn read(wire: &Wire, stream: &str) -> Result<Option<Value>, Error> {
    let failed = |source| Error::Request {
        what: format!("read the settings of the stream {stream}"),
        source,
    };
    let asked = wire.api(&format!("STREAM.INFO.{stream}"), &json!({})).await;
    match asked.map_err(failed)? {
        Response::Ok(info) => Ok(Some(info)),
        Response::Err { error } if error.error_code() == ErrorCode::STREAM_NOT_FOUND => Ok(None),
        Response::Err { error } => Err(failed(error.into())),
    }
}

async fn make(wire: &Wire, stream: &str, wanted: &Value) -> Result<(), Error> {
    let failed = |source| Error::Request { what: format!("make the stream {stream}"), source };
    let asked = wire.api(&format!("STREAM.CREATE.{stream}"), wanted).await;
    match asked.map_err(failed)? {
        Response::Ok(_) => Ok(()),
        // Another process was faster and wanted something else: the comparison tells what.
        Response::Err { error } if error.error_code() == ErrorCode::STREAM_NAME_EXIST => Ok(()),
        Response::Err { error } => Err(failed(error.into())),
    }
}

/// The settings of the log of `service`, in the server's own words, so that none is lost in a
/// client's type.
pub(crate) fn wanted(service: &str, options: &Options) -> Value {
    json!({
        "name": subject::stream_of(service),
        "subjects": [subject::all_of(service)],
        "storage": "file",
        "retention": "limits",
        "discard": "new",
        "num_replicas": options.replicas,
        "max_bytes": options.stream_max_bytes,
        "max_age": 0,
        "max_msgs": -1,
        "max_msgs_per_subject": -1,
        "max_consumers": -1,
        "max_msg_size": MAX_MESSAGE_BYTES,
        "deny_delete": true,
        "deny_purge": true,
        "allow_direct": true,
        "allow_atomic": true,
        "allow_rollup_hdrs": false,
        "allow_msg_ttl": false,
        "compression": "s2",
        "duplicate_window": u64::try_from(DUPLICATE_WINDOW.as_nanos()).unwrap_or(u64::MAX),
    })
}

/// Each setting that is not as wanted. What is not wanted at all (a mirror, a transform, a
/// counter) must be unset.
fn differences(wanted: &Value, found: &Value) -> Vec<String> {
    let none = Map::new();
    let (wanted, found) = (wanted.as_object(), found.as_object());
    let (wanted, found) = (wanted.unwrap_or(&none), found.unwrap_or(&none));
    let settings: BTreeSet<&String> = wanted.keys().chain(found.keys()).collect();
    let mut differences = Vec::new();
    for setting in settings {
        let want = wanted.get(setting).unwrap_or(&Value::Null);
        let have = found.get(setting).unwrap_or(&Value::Null);
        let free = FREE.contains(&setting.as_str())
            || setting == "persist_mode" && have == "default"
            || unset(want) && unset(have);
        if want != have && !free {
            differences.push(format!("{setting} is {have}, needed is {want}"));
        }
    }
    differences
}

fn unset(value: &Value) -> bool {
    match value {
        Value::Null | Value::Bool(false) => true,
        Value::Bool(true) => false,
        Value::Number(number) => number.as_i64() == Some(0),
        Value::String(text) => text.is_empty(),
        Value::Array(items) => items.is_empty(),
        Value::Object(fields) => fields.is_empty(),
    }
}

/// The servers that keep a stream: its leader and its replicas.
fn keepers(info: &Value) -> BTreeSet<String> {
    let cluster = info.get("cluster");
    let leader = cluster.and_then(|cluster| cluster.get("leader"));
    let replicas = cluster.and_then(|cluster| cluster.get("replicas")).and_then(Value::as_array);
    let names = replicas.into_iter().flatten().filter_map(|replica| replica.get("name"));
    leader.into_iter().chain(names).filter_map(Value::as_str).map(str::to_owned).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_setting_that_nobody_asked_for_is_a_difference() {
        let wanted = wanted("order", &Options::new(Vec::new()));
        let mut found = wanted.clone();
        found["sealed"] = json!(false);
        found["consumer_limits"] = json!({});
        found["metadata"] = json!({"_nats.ver": "2.15.1"});
        assert!(differences(&wanted, &found).is_empty());
        found["mirror"] = json!({"name": "OLD"});
        found["persist_mode"] = json!("async");
        found["max_age"] = json!(1);
        let said = differences(&wanted, &found).join(", ");
        for name in ["mirror", "persist_mode", "max_age is 1, needed is 0"] {
            assert!(said.contains(name), "{said}");
        }
    }
}
