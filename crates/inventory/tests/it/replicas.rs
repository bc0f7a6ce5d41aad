//! Two replicas over one log: one owns the ledger of a warehouse, the other forwards.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::time::{Duration, Instant};

use async_trait::async_trait;
use futures::future::join_all;
use nexus_es::log::{Append, AppendError, Appended, Durability, EventLog, LogError, Tail};
use nexus_es::memory::{MemoryLeases, MemoryLog};
use nexus_es::ports::{Lease, Leases, PortError};
use nexus_es::{AggregateId, Position, Stored, Version, new_id};
use nexus_proto::inventory::v1 as proto;
use nexus_runtime::caller::FORWARDED;
use tonic::Code;

use crate::harness::{Inventory, delivery, units};

const LEDGER: &str = "stock_ledger.MAIN";
const LONG: Duration = Duration::from_secs(600);

/// A log that counts conflicts about ledgers.
#[derive(Default)]
struct Counting {
    log: MemoryLog,
    conflicts: AtomicU32,
}

#[async_trait]
impl EventLog for Counting {
    async fn append(&self, append: Append) -> Result<Appended, AppendError> {
        let is_ledger = append.aggregate.category == "stock_ledger";
        let answer = self.log.append(append).await;
        if is_ledger && matches!(answer, Err(AppendError::Conflict)) {
            self.conflicts.fetch_add(1, Ordering::SeqCst);
        }
        answer
    }

    async fn load(&self, aggregate: &AggregateId, after: Version) -> Result<Vec<Stored>, LogError> {
        self.log.load(aggregate, after).await
    }

    async fn tail(&self, service: &str, after: Position) -> Result<Box<dyn Tail>, LogError> {
        self.log.tail(service, after).await
    }

    async fn head(&self, service: &str) -> Result<Position, LogError> {
        self.log.head(service).await
    }

    fn durability(&self) -> Durability {
        self.log.durability()
    }
}

/// The leases as one replica has them. A killed one neither renews nor gives up.
#[derive(Default)]
struct Mortal {
    leases: MemoryLeases,
    killed: AtomicBool,
}

impl Mortal {
    fn lives(&self) -> Result<(), PortError> {
        if self.killed.load(Ordering::SeqCst) {
            return Err(PortError { port: "leases", source: "killed".into() });
        }
        Ok(())
    }
}

#[async_trait]
impl Leases for Mortal {
    async fn acquire(
        &self,
        name: &str,
        owner: &str,
        ttl: Duration,
    ) -> Result<Option<Lease>, PortError> {
        self.lives()?;
        self.leases.acquire(name, owner, ttl).await
    }

    async fn holder(&self, name: &str) -> Result<Option<String>, PortError> {
        self.lives()?;
        self.leases.holder(name).await
    }

    async fn release(&self, name: &str, owner: &str) -> Result<(), PortError> {
        self.lives()?;
        self.leases.release(name, owner).await
    }
}

/// Two replicas. MAIN has ten mugs, received at the first, which owns the ledger since.
struct Pair {
    log: Arc<Counting>,
    leases: MemoryLeases,
    first_leases: Arc<Mortal>,
    first: Inventory,
    second: Inventory,
}

impl Pair {
    async fn start() -> Self {
        let log = Arc::new(Counting::default());
        let leases = MemoryLeases::default();
        let first_leases = Arc::new(Mortal { leases: leases.clone(), ..Mortal::default() });
        let first = Inventory::replica(log.clone(), first_leases.clone()).await;
        let second = Inventory::replica(log.clone(), Arc::new(leases.clone())).await;
        first.furnish().await;
        first.receive("MAIN", &[("MUG", "A", 10)]).await.unwrap();
        let pair = Self { log, leases, first_leases, first, second };
        assert!(pair.owner().await.starts_with(&pair.first.address));
        pair
    }

    /// The name of who owns the ledger, its address first.
    async fn owner(&self) -> String {
        self.leases.holder(LEDGER).await.unwrap().unwrap_or_default()
    }

    async fn kill_the_first(&self) {
        self.first_leases.killed.store(true, Ordering::SeqCst);
        self.first.stop().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn forty_buyers_at_two_replicas_get_ten_units_and_the_replicas_never_meet_a_conflict() {
    let pair = Pair::start().await;
    let buyers = join_all((0..40).map(|n| {
        let replica = if n % 2 == 0 { &pair.first } else { &pair.second };
        async move { replica.reserve(&format!("o{n}/1"), &[("MUG", 1)]).await.unwrap().reserved }
    }));
    assert_eq!(buyers.await.into_iter().filter(|reserved| *reserved).count(), 10);
    assert_eq!(pair.log.conflicts.load(Ordering::SeqCst), 0);
    for replica in [&pair.first, &pair.second] {
        let stock = replica.stock("MUG").await;
        assert_eq!((stock.reserved, stock.available), (10, 0));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_that_comes_to_both_replicas_is_done_once_and_the_position_of_one_counts_at_both() {
    let pair = Pair::start().await;
    let key = new_id();
    let mut told = Vec::new();
    for replica in [&pair.second, &pair.first, &pair.second] {
        let asked = replica.ask_as(delivery("MAIN", "D2", &[("MUG", "A", 5)]), key);
        let answer = replica.client().receive_stock(asked).await.unwrap();
        let replayed = answer.metadata().get("idempotent-replayed").is_some();
        told.push((replayed, answer.into_inner().position));
    }
    assert_eq!(told.iter().map(|(replayed, _)| *replayed).collect::<Vec<_>>(), [false, true, true]);
    let wanted = proto::ListStockRequest {
        sku: "MUG".into(),
        warehouse: "MAIN".into(),
        min_position: told[0].1.clone(),
        ..Default::default()
    };
    let asked = pair.second.ask(wanted);
    let shown = pair.second.client().list_stock(asked).await.unwrap().into_inner();
    assert_eq!(shown.items[0].on_hand, 15);
    let no = pair.second.receive("MAIN", &[("NONE", "A", 1)]).await.unwrap_err();
    assert_eq!(no.code(), Code::InvalidArgument, "{no:?}");
    assert!(!no.details().is_empty(), "what the owner says comes back whole");
}

#[tokio::test(flavor = "multi_thread")]
async fn when_the_owner_is_killed_the_other_serves_at_once_and_owns_within_five_seconds() {
    let pair = Pair::start().await;
    assert!(pair.second.reserve("o1/1", &[("MUG", 1)]).await.unwrap().reserved);
    pair.kill_the_first().await;
    let killed = Instant::now();
    let mut pause = tokio::time::interval(Duration::from_millis(50));
    let mut n = 2;
    while !pair.owner().await.starts_with(&pair.second.address) {
        assert!(killed.elapsed() < Duration::from_secs(5), "{} owns it", pair.owner().await);
        let asked = Instant::now();
        let reserved = pair.second.reserve(&format!("o{n}/1"), &[("MUG", 1)]).await.unwrap();
        assert_eq!(reserved.reserved, n <= 10, "{n}");
        assert!(asked.elapsed() < Duration::from_secs(2), "{:?}", asked.elapsed());
        n += 1;
        pause.tick().await;
    }
    assert_eq!(pair.second.stock("MUG").await.reserved, 10);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_one_replica_opens_and_defines_is_there_for_the_other() {
    let pair = Pair::start().await;
    let missing = pair.second.receive("MAIN", &[("MUG", "NEW", 1)]).await.unwrap_err();
    assert_eq!(missing.code(), Code::InvalidArgument);
    pair.first.define("MAIN", &["NEW"]).await;
    pair.second.receive("MAIN", &[("MUG", "NEW", 1)]).await.unwrap();
    let nowhere = pair.second.receive("NORTH", &[("MUG", "A", 1)]).await.unwrap_err();
    assert_eq!(nowhere.code(), Code::NotFound);
    pair.first.open("NORTH", 2).await;
    pair.first.define("NORTH", &["A"]).await;
    pair.second.receive("NORTH", &[("MUG", "A", 1)]).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_call_goes_from_one_replica_to_another_and_no_further() {
    let log = Arc::new(Counting::default());
    let leases = MemoryLeases::default();
    let first = Inventory::replica(log.clone(), Arc::new(leases.clone())).await;
    let second = Inventory::replica(log.clone(), Arc::new(leases.clone())).await;
    first.furnish().await;
    // An owner of an earlier start at the same address: both replicas call the second.
    let earlier = format!("{}#earlier", second.address);
    leases.acquire(LEDGER, &earlier, LONG).await.unwrap().unwrap();
    first.receive("MAIN", &[("MUG", "A", 10)]).await.unwrap();
    second.receive("MAIN", &[("MUG", "A", 10)]).await.unwrap();
    let mut marked = first.ask(proto::ReserveRequest {
        warehouse: "MAIN".into(),
        reservation: "o1/1".into(),
        order_id: "o1".into(),
        lines: units(&[("MUG", 20)]),
    });
    marked.metadata_mut().insert(FORWARDED, "1".parse().unwrap());
    assert!(first.client().reserve(marked).await.unwrap().into_inner().reserved);
    assert_eq!(second.stock("MUG").await.reserved, 20);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_replica_with_an_empty_disk_reads_the_logs_and_shows_what_the_others_show() {
    let pair = Pair::start().await;
    pair.second.reserve("o1/1", &[("MUG", 3)]).await.unwrap();
    assert_eq!(pair.first.stock("MUG").await.reserved, 3);
    let third = Inventory::replica(pair.log.clone(), Arc::new(pair.leases.clone())).await;
    assert_eq!(third.stock("MUG").await, pair.first.stock("MUG").await);
    let hashes = (third.views.content_hash().await, pair.first.views.content_hash().await);
    assert_eq!(hashes.0.unwrap(), hashes.1.unwrap());
    assert!(third.reserve("o2/1", &[("MUG", 7)]).await.unwrap().reserved);
}
