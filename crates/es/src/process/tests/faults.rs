//! Panics, and leases that go to another replica: the runner goes on, or makes way.

use async_trait::async_trait;

use super::*;
use crate::Position;
use crate::ports::{Lease, PortError};

#[tokio::test]
async fn an_event_whose_key_makes_it_panic_is_parked_and_others_go_on() {
    let world = World::new().await;
    world.append_event("a", CURSED).await;
    world.append("b").await;
    world.start();
    world.until("b is told", async |w| w.target.seen() == ["b1"]).await;
    world.until("it is parked", async |w| w.parked().await.len() == 1).await;
    let parked = world.parked().await.remove(0);
    assert_eq!((parked.key.as_str(), parked.attempts), ("a", 1));
    assert!(parked.cause.contains("made to panic"), "{}", parked.cause);
    world.decide(&parked.id, Command::Retry).await;
    world.until("it is told", async |w| w.target.seen() == ["b1", "a1"]).await;
    world.until("nothing is parked", async |w| w.parked().await.is_empty()).await;
}

/// Panics the first time that it is asked.
#[derive(Default)]
struct PanicsOnce {
    kept: MemoryCheckpoints,
    loads: AtomicU32,
}

#[async_trait]
impl Checkpoints for PanicsOnce {
    async fn load(&self, process: &str, service: &str) -> Result<Position, PortError> {
        assert_ne!(self.loads.fetch_add(1, Ordering::SeqCst), 0, "made to panic");
        self.kept.load(process, service).await
    }

    async fn save(
        &self,
        process: &str,
        service: &str,
        position: Position,
    ) -> Result<(), PortError> {
        self.kept.save(process, service, position).await
    }
}

#[tokio::test]
async fn a_runner_that_panics_begins_again() {
    let mut world = World::new().await;
    world.ground.checkpoints = Arc::new(PanicsOnce::default());
    world.append("a").await;
    world.start();
    world.until("it is told", async |w| w.target.seen() == ["a1"]).await;
}

/// Gives the lease once, and then to another replica.
#[derive(Default)]
struct LostAtOnce(AtomicU32);

#[async_trait]
impl Leases for LostAtOnce {
    async fn acquire(&self, _: &str, _: &str, _: Duration) -> Result<Option<Lease>, PortError> {
        let asked = self.0.fetch_add(1, Ordering::SeqCst);
        Ok((asked == 0).then_some(Lease { fencing: 1 }))
    }

    async fn holder(&self, _: &str) -> Result<Option<String>, PortError> {
        Ok(None)
    }

    async fn release(&self, _: &str, _: &str) -> Result<(), PortError> {
        Ok(())
    }
}

#[tokio::test]
async fn a_lease_that_was_lost_while_it_got_ready_ends_the_term_before_it_acts() {
    let mut world = World::new().await;
    let leases = Arc::new(LostAtOnce::default());
    world.ground.leases = leases.clone();
    world.append("a").await;
    world.start();
    world.until("it asks a third time", async |_| leases.0.load(Ordering::SeqCst) > 2).await;
    assert!(world.target.seen().is_empty());
}

/// The leases as a replica has them that will be killed: it gives none up.
struct Unreleased(MemoryLeases);

#[async_trait]
impl Leases for Unreleased {
    async fn acquire(
        &self,
        name: &str,
        owner: &str,
        ttl: Duration,
    ) -> Result<Option<Lease>, PortError> {
        self.0.acquire(name, owner, ttl).await
    }

    async fn holder(&self, name: &str) -> Result<Option<String>, PortError> {
        self.0.holder(name).await
    }

    async fn release(&self, _: &str, _: &str) -> Result<(), PortError> {
        Ok(())
    }
}

#[tokio::test]
async fn when_the_active_replica_is_killed_another_goes_on_within_five_seconds() {
    let mut world = World::new().await;
    let leases = MemoryLeases::default();
    world.ground.leases = Arc::new(Unreleased(leases.clone()));
    world.start();
    world.append("a").await;
    world.until("a is told", async |w| w.target.seen() == ["a1"]).await;
    let mut other = world.restarted().await;
    let killed = tokio::time::Instant::now();
    other.ground.leases = Arc::new(leases);
    other.start();
    other.append("b").await;
    other.until("b is told", async |w| w.target.seen() == ["a1", "b1"]).await;
    assert!(killed.elapsed() < Duration::from_secs(5), "{:?}", killed.elapsed());
    assert_eq!(other.target.terms.load(Ordering::SeqCst), 2);
}
