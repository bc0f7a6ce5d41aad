//! What each role may do at the server: its user's permissions, to be written into the server's
//! configuration.
//! *Invariant:* a role publishes commits of its own service only, and changes leases, checkpoints
//! and timers of its own only; making, changing, purging and deleting streams is nobody's but the
//! one user's that provisions.

use std::fmt;

use crate::bucket::stream_of;
use crate::buckets::{BLOBS, CHECKPOINTS, ERASED, KEYS, LEASES, TIMERS, blobs_stream};
use crate::options::{ALL, SERVICES};
use crate::subject;

/// What faces the internet reads its own log and those that name its accounts.
const LOGS_OF_INGRESS: [&str; 3] = ["ingress", "shipping", "notification"];
/// Who seals or opens personal data and credentials.
const USE_KEYS: [&str; 5] = ["order", "fulfillment", "shipping", "notification", "ingress"];
/// Who makes data keys.
const MAKE_KEYS: [&str; 4] = ["order", "shipping", "notification", "ingress"];
/// Who erases: contacts are the order service's.
const ERASE_KEYS: [&str; 1] = ["order"];
/// Who stores labels, manifests or snapshots.
const USE_BLOBS: [&str; 5] = ["order", "inventory", "fulfillment", "shipping", "notification"];

/// The subjects that a user may publish to and subscribe to; it may do nothing else.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Permissions {
    /// For `publish: { allow: … }`.
    pub publish: Vec<String>,
    /// For `subscribe: { allow: … }`.
    pub subscribe: Vec<String>,
}

impl Permissions {
    /// The permissions of the user of `role`, one of [`SERVICES`].
    #[must_use]
    pub fn of(role: &str) -> Self {
        let mut publish = vec![format!("evt.{role}.>")];
        for log in logs_of(role) {
            publish.extend(follow(&subject::stream_of(log)));
        }
        for bucket in [LEASES, CHECKPOINTS, TIMERS] {
            publish.extend(read(&stream_of(bucket)));
            publish.push(format!("$KV.{bucket}.{}.>", subject::token(role)));
        }
        if uses_keys(role) {
            publish.extend([KEYS, ERASED].into_iter().flat_map(|name| read(&stream_of(name))));
        }
        if MAKE_KEYS.contains(&role) {
            publish.push(format!("$KV.{KEYS}.>"));
        }
        if erases_keys(role) {
            publish.push(format!("$KV.{ERASED}.>"));
            publish.push(format!("$JS.API.STREAM.MSG.DELETE.{}", stream_of(KEYS)));
        }
        if uses_blobs(role) {
            publish.extend(read(&blobs_stream()));
            publish.push(format!("$O.{BLOBS}.>"));
        }
        Self { publish, subscribe: vec![format!("{}.>", inbox_of(role))] }
    }

    /// The permissions of the user of the system account through which durability is read. It
    /// answers into the inbox of whichever role asks.
    #[must_use]
    pub fn of_watcher() -> Self {
        let inboxes = SERVICES.iter().chain([&ALL]).map(|role| format!("{}.>", inbox_of(role)));
        Self { publish: vec![crate::durable::ASK_ALL.to_owned()], subscribe: inboxes.collect() }
    }
}

/// As the server's configuration writes them, after `permissions:`.
impl fmt::Display for Permissions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { publish, subscribe } = self;
        write!(f, "{{ publish: {{ allow: {publish:?} }}, ")?;
        write!(f, "subscribe: {{ allow: {subscribe:?} }} }}")
    }
}

/// Where the answers of a role come in.
pub(crate) fn inbox_of(role: &str) -> String {
    format!("_INBOX_{role}")
}

/// The logs that a role reads.
pub(crate) fn logs_of(role: &str) -> &'static [&'static str] {
    if role == "ingress" { &LOGS_OF_INGRESS } else { &SERVICES }
}

pub(crate) fn uses_keys(role: &str) -> bool {
    role == ALL || USE_KEYS.contains(&role)
}

pub(crate) fn erases_keys(role: &str) -> bool {
    role == ALL || ERASE_KEYS.contains(&role)
}

pub(crate) fn uses_blobs(role: &str) -> bool {
    role == ALL || USE_BLOBS.contains(&role)
}

/// Reading single messages and pages of a stream.
fn read(stream: &str) -> Vec<String> {
    let asks = ["STREAM.INFO", "STREAM.MSG.GET", "DIRECT.GET"];
    asks.map(|ask| format!("$JS.API.{ask}.{stream}")).to_vec()
}

/// Reading a stream, and following it by a consumer. The bare `CONSUMER.CREATE` is that of unnamed
/// consumers, `$JS.FC` is how the client answers flow control.
fn follow(stream: &str) -> Vec<String> {
    let mut all = read(stream);
    all.push(format!("$JS.API.CONSUMER.CREATE.{stream}"));
    all.push(format!("$JS.API.CONSUMER.CREATE.{stream}.>"));
    all.push(format!("$JS.API.CONSUMER.DELETE.{stream}.>"));
    all.push(format!("$JS.FC.{stream}.>"));
    all
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_role_publishes_to_its_own_subjects_and_changes_no_stream() {
        for role in SERVICES {
            let all = Permissions::of(role);
            let commits: Vec<_> = all.publish.iter().filter(|s| s.starts_with("evt.")).collect();
            assert_eq!(commits, [&format!("evt.{role}.>")]);
            for never in ["STREAM.CREATE", "STREAM.UPDATE", "STREAM.DELETE", "STREAM.PURGE", "$SYS"]
            {
                assert!(!all.publish.iter().any(|subject| subject.contains(never)), "{role}");
            }
            assert_eq!(all.subscribe, [format!("_INBOX_{role}.>")]);
        }
        let of = |role| Permissions::of(role).publish;
        assert!(!of("inventory").iter().any(|subject| subject.contains(KEYS)));
        assert!(!of("ingress").iter().any(|subject| subject.contains("INFO.ORDER")));
        assert!(!of("shipping").iter().any(|subject| subject.contains("MSG.DELETE")));
    }
}
