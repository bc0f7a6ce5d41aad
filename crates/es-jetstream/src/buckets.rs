//! The buckets beside the logs, and every setting they need.

use serde_json::{Value, json};

use crate::bucket::stream_of;
use crate::options::Options;
use crate::permissions;
use crate::streams::MAX_MESSAGE_BYTES;

/// One owner a name.
pub(crate) const LEASES: &str = "nexus_leases";
/// Where processes stand.
pub(crate) const CHECKPOINTS: &str = "nexus_checkpoints";
/// Wake-ups.
pub(crate) const TIMERS: &str = "nexus_timers";
/// Wrapped data keys.
pub(crate) const KEYS: &str = "nexus_keys";
/// Ids of erased keys; never replaced by a restore.
pub(crate) const ERASED: &str = "nexus_erased";
/// Labels, manifests, snapshots.
pub(crate) const BLOBS: &str = "nexus_blobs";

const MIB: u64 = 1024 * 1024;
/// The server knows a message id for so long; buckets use none.
const DUPLICATE_WINDOW_NS: u64 = 120_000_000_000;

/// The stream of the blobs.
pub(crate) fn blobs_stream() -> String {
    format!("OBJ_{BLOBS}")
}

/// The settings of all buckets that `options.role` uses.
pub(crate) fn wanted(options: &Options) -> Vec<Value> {
    let work = |name: &str, max_bytes: u64| bucket(options, name, max_bytes);
    let mut timers = work(TIMERS, 512 * MIB);
    // The end of a timer is a message too, which the server forgets after a while.
    set(&mut timers, "allow_msg_ttl", json!(true));
    let mut all = vec![work(LEASES, 64 * MIB), work(CHECKPOINTS, 64 * MIB), timers];
    if permissions::uses_keys(&options.role) {
        let mut keys = work(KEYS, 512 * MIB);
        // Deleting overwrites. A new wrapping lies beside the old one until that is overwritten.
        set(&mut keys, "deny_delete", json!(false));
        set(&mut keys, "max_msgs_per_subject", json!(64));
        let mut erased = work(ERASED, 128 * MIB);
        set(&mut erased, "deny_purge", json!(true));
        all.extend([keys, erased]);
    }
    if permissions::uses_blobs(&options.role) {
        let mut blobs = work(BLOBS, options.blobs_max_bytes);
        set(&mut blobs, "name", json!(blobs_stream()));
        set(&mut blobs, "subjects", json!([format!("$O.{BLOBS}.C.>"), format!("$O.{BLOBS}.M.>")]));
        // The chunks of a blob share a subject; a damaged blob is replaced.
        set(&mut blobs, "max_msgs_per_subject", json!(-1));
        set(&mut blobs, "allow_rollup_hdrs", json!(true));
        all.push(blobs);
    }
    all
}

fn bucket(options: &Options, name: &str, max_bytes: u64) -> Value {
    json!({
        "name": stream_of(name),
        "subjects": [format!("$KV.{name}.>")],
        "storage": "file",
        "retention": "limits",
        "discard": "new",
        "num_replicas": options.replicas,
        "max_bytes": max_bytes,
        "max_age": 0,
        "max_msgs": -1,
        "max_msgs_per_subject": 1,
        "max_consumers": -1,
        "max_msg_size": MAX_MESSAGE_BYTES,
        "deny_delete": true,
        "deny_purge": false,
        "allow_direct": true,
        "allow_atomic": false,
        "allow_rollup_hdrs": false,
        "allow_msg_ttl": false,
        "compression": "none",
        "duplicate_window": DUPLICATE_WINDOW_NS,
    })
}

fn set(settings: &mut Value, name: &str, value: Value) {
    if let Some(settings) = settings.as_object_mut() {
        settings.insert(name.to_owned(), value);
    }
}
