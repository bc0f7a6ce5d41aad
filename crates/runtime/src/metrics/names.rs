//! Names of metrics and the bounded set of label values that are known only at run time.

use std::collections::HashSet;
use std::sync::{Arc, LazyLock, PoisonError, RwLock};

pub(super) const HTTP_SERVED: &str = "http.server.request.duration";
pub(super) const HTTP_CALLED: &str = "http.client.request.duration";
pub(super) const RPC_SERVED: &str = "rpc.server.call.duration";
pub(super) const PROCESSED: &str = "messaging.process.duration";
pub(super) const APPENDED: &str = "nexus.log.append.duration";
pub(super) const CONFLICTS: &str = "nexus.log.conflicts";
pub(super) const COMMITS_PER_SYNC: &str = "nexus.log.commits_per_sync";
pub(super) const SYNCED: &str = "nexus.log.sync.duration";
pub(super) const VIEW_APPLIED: &str = "nexus.view.apply.duration";
pub(super) const VIEW_COMMITS: &str = "nexus.view.commits";
pub(super) const VIEW_BEHIND: &str = "nexus.view.behind";
pub(super) const VIEW_LAG: &str = "nexus.view.lag";
pub(super) const PROCESS_BEHIND: &str = "nexus.process.behind";
pub(super) const PROCESS_LAG: &str = "nexus.process.lag";
pub(super) const PARKED: &str = "nexus.process.parked";
pub(super) const PARKED_AGE: &str = "nexus.process.parked.age";
pub(super) const COURIER_CALLS: &str = "nexus.courier.calls";
pub(super) const CHANNEL_SENDS: &str = "nexus.channel.sends";
pub(super) const WEBHOOKS: &str = "nexus.webhooks";
pub(crate) const DROPPED: &str = "nexus.telemetry.dropped";
pub(super) const UPTIME: &str = "process.uptime";
pub(super) const MEMORY: &str = "process.memory.usage";

/// Every metric there is.
pub const NAMES: [&str; 22] = [
    HTTP_SERVED,
    HTTP_CALLED,
    RPC_SERVED,
    PROCESSED,
    APPENDED,
    CONFLICTS,
    COMMITS_PER_SYNC,
    SYNCED,
    VIEW_APPLIED,
    VIEW_COMMITS,
    VIEW_BEHIND,
    VIEW_LAG,
    PROCESS_BEHIND,
    PROCESS_LAG,
    PARKED,
    PARKED_AGE,
    COURIER_CALLS,
    CHANNEL_SENDS,
    WEBHOOKS,
    DROPPED,
    UPTIME,
    MEMORY,
];

/// What stands for every value that is not of a known set.
pub(crate) const OTHER: &str = "_OTHER";
/// Routes, rpcs, services, processes, hosts: a few hundred. More would be somebody's invention.
const MOST: usize = 1024;

static KNOWN: LazyLock<RwLock<HashSet<Arc<str>>>> = LazyLock::new(RwLock::default);

/// The name as a label value that costs nothing to copy; `_OTHER` when there are too many.
pub(crate) fn interned(name: &str) -> Arc<str> {
    interned_within(&KNOWN, MOST, name)
}

fn interned_within(known: &RwLock<HashSet<Arc<str>>>, most: usize, name: &str) -> Arc<str> {
    if let Some(found) = known.read().unwrap_or_else(PoisonError::into_inner).get(name) {
        return Arc::clone(found);
    }
    let mut known = known.write().unwrap_or_else(PoisonError::into_inner);
    if let Some(found) = known.get(name) {
        return Arc::clone(found);
    }
    if known.len() >= most {
        return Arc::from(OTHER);
    }
    let name: Arc<str> = Arc::from(name);
    known.insert(Arc::clone(&name));
    name
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_beyond_the_most_are_one() {
        let known = RwLock::default();
        for nth in 0..20 {
            let label = interned_within(&known, 8, &format!("route {nth}"));
            let expected = if nth < 8 { format!("route {nth}") } else { OTHER.to_owned() };
            assert_eq!(&*label, expected);
        }
        assert_eq!(&*interned_within(&known, 8, "route 3"), "route 3");
    }
}
