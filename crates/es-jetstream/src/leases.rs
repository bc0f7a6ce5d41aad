//! Leases in a bucket: one key a name, written only by revision.
//! *Invariant:* no two machines' clocks are compared. Another owner's lease has run out once its
//! key has stood unchanged for the lease's whole time, measured by the clock of who wants it, from
//! when it saw that revision; and a fencing number is a revision, which never comes back.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use nexus_es::ports::{Lease, Leases, PortError};
use serde_json::{Value, json};
use tokio::time::Instant;

use crate::bucket::{Bucket, Put, Write};
use crate::buckets::LEASES;
use crate::wire::{Held, Wire};

/// So often another write may come between before the name counts as taken.
const ATTEMPTS: usize = 4;

/// Leases of one scope: a service.
#[derive(Debug)]
pub struct JetStreamLeases {
    bucket: Bucket,
    scope: String,
    /// Revisions of other owners' leases, and since when they have been seen.
    seen: Mutex<HashMap<String, (u64, Instant)>>,
}

/// A lease as it is stored.
struct Stored {
    /// Empty once released.
    owner: String,
    ttl: Duration,
    /// The revision at which this owner took it; that of the message itself when it is zero.
    since: u64,
}

impl Stored {
    /// None for what is no lease: nobody owns that.
    fn read(payload: &[u8]) -> Option<Self> {
        let value: Value = serde_json::from_slice(payload).ok()?;
        let number = |field: &str| value.get(field)?.as_u64();
        Some(Self {
            owner: value.get("owner")?.as_str()?.to_owned(),
            ttl: Duration::from_millis(number("ttl_ms")?),
            since: number("since")?,
        })
    }

    fn bytes(&self) -> Bytes {
        let ttl_ms = u64::try_from(self.ttl.as_millis()).unwrap_or(u64::MAX);
        let value = json!({ "owner": self.owner, "ttl_ms": ttl_ms, "since": self.since });
        Bytes::from(value.to_string())
    }
}

impl JetStreamLeases {
    pub(crate) fn new(wire: &Arc<Wire>, scope: &str) -> Self {
        let bucket = Bucket::new(wire, "leases", LEASES);
        Self { bucket, scope: scope.to_owned(), seen: Mutex::default() }
    }

    /// Since when `owner` has the lease, zero when it may be taken anew, none while another has it.
    fn since(&self, name: &str, owner: &str, held: Option<&Held>) -> Option<u64> {
        let Some((sequence, lease)) = owned(held) else { return Some(0) };
        if lease.owner == owner {
            return Some(if lease.since == 0 { sequence } else { lease.since });
        }
        self.ran_out(name, sequence, lease.ttl).then_some(0)
    }

    /// Whether the key of another owner's lease stands unchanged since its whole time.
    fn ran_out(&self, name: &str, sequence: u64, ttl: Duration) -> bool {
        let now = Instant::now();
        let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        let first = seen.entry(name.to_owned()).or_insert((sequence, now));
        if first.0 != sequence {
            *first = (sequence, now);
        }
        now.duration_since(first.1) >= ttl
    }

    fn forget(&self, name: &str) {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner).remove(name);
    }
}

/// A lease that somebody has, and the revision at which it stands.
fn owned(held: Option<&Held>) -> Option<(u64, Stored)> {
    let held = held?;
    let lease = Stored::read(&held.payload)?;
    (!lease.owner.is_empty()).then_some((held.sequence, lease))
}

#[async_trait]
impl Leases for JetStreamLeases {
    async fn acquire(
        &self,
        name: &str,
        owner: &str,
        ttl: Duration,
    ) -> Result<Option<Lease>, PortError> {
        let subject = self.bucket.subject(&[&self.scope, name]);
        for _ in 0..ATTEMPTS {
            let held = self.bucket.last(&subject).await?;
            let Some(since) = self.since(name, owner, held.as_ref()) else { return Ok(None) };
            let expected = Some(held.map_or(0, |held| held.sequence));
            let payload = Stored { owner: owner.to_owned(), ttl, since }.bytes();
            let write = Write { expected, payload, gone_after: None };
            if let Put::Stored(sequence) = self.bucket.put(&subject, write).await? {
                self.forget(name);
                return Ok(Some(Lease { fencing: if since == 0 { sequence } else { since } }));
            }
        }
        Ok(None)
    }

    async fn holder(&self, name: &str) -> Result<Option<String>, PortError> {
        let held = self.bucket.last(&self.bucket.subject(&[&self.scope, name])).await?;
        let Some((sequence, lease)) = owned(held.as_ref()) else { return Ok(None) };
        Ok((!self.ran_out(name, sequence, lease.ttl)).then_some(lease.owner))
    }

    async fn release(&self, name: &str, owner: &str) -> Result<(), PortError> {
        let subject = self.bucket.subject(&[&self.scope, name]);
        let give_up = |held: Option<&Held>| {
            let lease = Stored::read(&held?.payload)?;
            let free = Stored { owner: String::new(), ttl: Duration::ZERO, since: 0 };
            let write = Write { payload: free.bytes(), ..Write::default() };
            (lease.owner == owner).then_some(write)
        };
        self.bucket.change(&subject, give_up).await
    }
}
