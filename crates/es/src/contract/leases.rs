//! What leases promise.

use std::sync::Arc;
use std::time::Duration;

use futures::FutureExt;
use tokio::task::JoinSet;

use crate::ports::{Lease, Leases};

use super::{Promise, Rig, Seen, ensure, failed};

pub(super) const PROMISES: &[Promise<dyn Leases>] = &[
    ("one owner has a name at a time", |rig| one_owner_at_a_time(rig).boxed()),
    ("an owner renews under the same fencing number", |rig| {
        renewing_keeps_the_fencing_number(rig).boxed()
    }),
    ("a released name is free, and only its owner releases it", |rig| {
        only_the_owner_releases(rig).boxed()
    }),
    ("a lease runs out, and not before its time", |rig| a_lease_runs_out(rig).boxed()),
    ("the fencing number grows with each change of owner", |rig| {
        fencing_grows_with_each_owner(rig).boxed()
    }),
    ("names are apart", |rig| names_are_apart(rig).boxed()),
    ("the holder of a name is who has it, and nobody once it is released or ran out", |rig| {
        the_holder_is_who_has_it(rig).boxed()
    }),
];

/// Longer than any check takes.
const LONG: Duration = Duration::from_secs(600);
const SHORT: Duration = Duration::from_millis(1_500);

async fn acquire(
    leases: &Arc<dyn Leases>,
    name: &str,
    owner: &str,
    ttl: Duration,
) -> Result<Option<Lease>, String> {
    leases.acquire(name, owner, ttl).await.map_err(failed("acquire a lease"))
}

async fn acquired(
    leases: &Arc<dyn Leases>,
    name: &str,
    owner: &str,
    ttl: Duration,
) -> Result<u64, String> {
    let lease = acquire(leases, name, owner, ttl).await?;
    lease.map(|lease| lease.fencing).ok_or_else(|| format!("{owner} did not get {name}"))
}

async fn refused(leases: &Arc<dyn Leases>, name: &str, owner: &str) -> Seen {
    let lease = acquire(leases, name, owner, LONG).await?;
    ensure(lease.is_none(), || format!("{owner} got {name}, which another one has"))
}

async fn one_owner_at_a_time(rig: &Rig<dyn Leases>) -> Seen {
    for round in 0..5 {
        let mut owners = JoinSet::new();
        for owner in 0..12 {
            let leases = rig.port.clone();
            owners.spawn(async move {
                acquire(&leases, &format!("confirm-{round}"), &format!("{owner}"), LONG).await
            });
        }
        let mut winners = 0;
        while let Some(lease) = owners.join_next().await {
            winners += usize::from(lease.map_err(failed("acquire in a task"))??.is_some());
        }
        ensure(winners == 1, || format!("{winners} of 12 owners have one name"))?;
    }
    Ok(())
}

async fn renewing_keeps_the_fencing_number(rig: &Rig<dyn Leases>) -> Seen {
    let first = acquired(&rig.port, "confirm", "a", LONG).await?;
    for _ in 0..3 {
        let again = acquired(&rig.port, "confirm", "a", LONG).await?;
        ensure(again == first, || format!("fencing was {first}, and {again} after renewing"))?;
    }
    refused(&rig.port, "confirm", "b").await
}

async fn only_the_owner_releases(rig: &Rig<dyn Leases>) -> Seen {
    let release = async |owner: &str| {
        rig.port.release("confirm", owner).await.map_err(failed("release a lease"))
    };
    release("nobody").await?;
    acquired(&rig.port, "confirm", "a", LONG).await?;
    release("b").await?;
    refused(&rig.port, "confirm", "b").await?;
    release("a").await?;
    acquired(&rig.port, "confirm", "b", LONG).await?;
    release("a").await?;
    refused(&rig.port, "confirm", "a").await
}

/// Asks until `owner` gets the lease; a deadline ends it.
async fn awaited(leases: &Arc<dyn Leases>, name: &str, owner: &str) -> Result<u64, String> {
    let asking = async {
        loop {
            if let Some(lease) = acquire(leases, name, owner, LONG).await? {
                return Ok(lease.fencing);
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    let waited = tokio::time::timeout(SHORT * 6, asking).await;
    waited.unwrap_or_else(|_| Err(format!("{name} never ran out")))
}

async fn a_lease_runs_out(rig: &Rig<dyn Leases>) -> Seen {
    let start = tokio::time::Instant::now();
    acquired(&rig.port, "confirm", "a", SHORT).await?;
    awaited(&rig.port, "confirm", "b").await?;
    let held = start.elapsed();
    // A clock of milliseconds may cut one off.
    let least = SHORT.saturating_sub(Duration::from_millis(2));
    ensure(held >= least, || format!("taken for {SHORT:?}, lost after {held:?}"))?;
    refused(&rig.port, "confirm", "a").await
}

async fn fencing_grows_with_each_owner(rig: &Rig<dyn Leases>) -> Seen {
    let mut before = 0;
    for round in 0..6 {
        let owner = if round % 2 == 0 { "a" } else { "b" };
        let fencing = acquired(&rig.port, "confirm", owner, LONG).await?;
        ensure(fencing > before, || format!("fencing {fencing} came after {before}"))?;
        before = fencing;
        rig.port.release("confirm", owner).await.map_err(failed("release a lease"))?;
    }
    acquired(&rig.port, "confirm", "a", Duration::from_millis(1)).await?;
    let fencing = awaited(&rig.port, "confirm", "c").await?;
    ensure(fencing > before, || format!("fencing {fencing} came after {before}"))
}

async fn names_are_apart(rig: &Rig<dyn Leases>) -> Seen {
    acquired(&rig.port, "order.confirm", "a", LONG).await?;
    acquired(&rig.port, "order.cancel", "b", LONG).await?;
    refused(&rig.port, "order.cancel", "a").await?;
    refused(&rig.port, "order.confirm", "b").await
}

async fn the_holder_is_who_has_it(rig: &Rig<dyn Leases>) -> Seen {
    const OWNER: &str = "https://10.0.0.7:8090#a";
    let holder = async || rig.port.holder("ledger").await.map_err(failed("ask who holds a lease"));
    let held_by = async |wanted: Option<&str>| {
        let found = holder().await?;
        ensure(found.as_deref() == wanted, || format!("{found:?} holds it, not {wanted:?}"))
    };
    held_by(None).await?;
    acquired(&rig.port, "ledger", OWNER, LONG).await?;
    refused(&rig.port, "ledger", "b").await?;
    held_by(Some(OWNER)).await?;
    rig.port.release("ledger", OWNER).await.map_err(failed("release a lease"))?;
    held_by(None).await?;
    acquired(&rig.port, "ledger", "b", SHORT).await?;
    held_by(Some("b")).await?;
    let running_out = async {
        while holder().await?.is_some() {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        Ok(())
    };
    let waited = tokio::time::timeout(SHORT * 6, running_out).await;
    waited.unwrap_or_else(|_| Err("the lease never ran out".to_owned()))
}
