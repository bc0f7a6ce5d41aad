//! What each role may do at a server that knows the permission lists of this crate.

use std::time::Duration;

use bytes::Bytes;
use nexus_es::contract;
use nexus_es::log::EventLog;
use nexus_es::ports::{Blobs, Checkpoints, KeyStore, Leases, PortError, Timer, Timers, WrappedKey};
use nexus_es::{AggregateId, Position, Version};
use nexus_es_jetstream::{JetStreamStore, Options, SERVICES, provision};

use crate::server::{Server, Setup, login};
use crate::steps::{commit, load, order, read};

/// A server with everything that the roles need.
async fn provisioned() -> std::sync::Arc<Server> {
    let server = Server::start(Setup::default()).await;
    let all = Options { services: SERVICES.map(str::to_owned).to_vec(), ..server.options() };
    let durability = provision(all).await.unwrap();
    assert_eq!(durability.name, "strict (jetstream R1, sync_interval always)");
    server
}

fn key(seed: u8) -> WrappedKey {
    WrappedKey { master_id: "master".to_owned(), wrapped: vec![seed; 60] }
}

fn timer(process: &str) -> Timer {
    Timer { process: process.to_owned(), key: "ali".to_owned(), due_at_ms: 1, payload: vec![1] }
}

/// Everything that a role does with its work.
async fn work(store: &JetStreamStore) {
    let (leases, checkpoints, timers) = (store.leases(), store.checkpoints(), store.timers());
    let lease = leases.acquire("confirm_order", "me", Duration::from_secs(5)).await.unwrap();
    assert!(lease.is_some());
    leases.release("confirm_order", "me").await.unwrap();
    checkpoints.save("confirm_order", "order", Position(7)).await.unwrap();
    assert_eq!(checkpoints.load("confirm_order", "order").await.unwrap(), Position(7));
    timers.set(timer("confirm_order")).await.unwrap();
    assert_eq!(timers.due("confirm_order", 1, 9).await.unwrap(), [timer("confirm_order")]);
    timers.settle(&timer("confirm_order"), None).await.unwrap();
    assert_eq!(timers.next_due("confirm_order").await.unwrap(), None);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_role_does_all_its_work_with_no_more_than_its_permissions() {
    let server = provisioned().await;
    for role in SERVICES {
        let store = JetStreamStore::connect(server.options_of(role)).await.unwrap();
        let log = store.log();
        let ali = AggregateId::new(role, "order", "ali").unwrap();
        let append = commit(&ali, Version::NONE, role);
        let place = log.append(append.clone()).await.unwrap();
        assert_eq!(log.append(append).await.unwrap(), place);
        assert_eq!(load(&*log, &ali).await.len(), 1);
        let mut tail = log.tail(role, Position::START).await.unwrap();
        assert_eq!(read(&mut *tail, 1).await[0].position, place.position);
        assert_eq!(log.head(role).await.unwrap(), place.position);
        work(&store).await;
        if ["order", "shipping", "notification", "ingress"].contains(&role) {
            assert_eq!(store.keys().create(role, key(1)).await.unwrap(), key(1));
        }
        if !["gateway", "ingress"].contains(&role) {
            let hash = store.blobs().put(Bytes::from(vec![1; 300_000])).await.unwrap();
            assert_eq!(store.blobs().get(&hash).await.unwrap().unwrap().len(), 300_000);
        }
        store.close().await;
    }
    // The one that erases, and one that then finds nothing.
    let order = JetStreamStore::connect(server.options_of("order")).await.unwrap();
    order.keys().rewrap("shipping", key(2)).await.unwrap();
    order.keys().delete("shipping").await.unwrap();
    let shipping = JetStreamStore::connect(server.options_of("shipping")).await.unwrap();
    assert_eq!(shipping.keys().get("shipping").await.unwrap(), None);
    assert!(shipping.keys().create("shipping", key(3)).await.is_err());
    // Its tails reach into the logs of the others.
    let mut tail = shipping.log().tail("order", Position::START).await.unwrap();
    assert_eq!(read(&mut *tail, 1).await[0].bytes, "order");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_belongs_to_another_role_is_refused_by_the_server_and_changes_nothing() {
    let server = provisioned().await;
    let shipping = JetStreamStore::connect(server.options_of("shipping")).await.unwrap();
    let order_store = JetStreamStore::connect(server.options_of("order")).await.unwrap();
    order_store.timers().set(timer("confirm_order")).await.unwrap();
    order_store.keys().create("ali", key(1)).await.unwrap();

    let foreign = shipping.log().append(commit(&order("ali"), Version::NONE, "forged")).await;
    assert!(foreign.is_err(), "{foreign:?}");
    assert!(load(&*order_store.log(), &order("ali")).await.is_empty());

    let refused = |answer: Result<(), PortError>| assert!(answer.is_err());
    let lease = shipping.leases_of("order").acquire("x", "me", Duration::from_secs(5)).await;
    refused(lease.map(|_| ()));
    refused(shipping.checkpoints_of("order").save("p", "order", Position(9)).await);
    refused(shipping.timers_of("order").cancel("confirm_order", "ali").await);
    refused(shipping.keys().delete("ali").await);

    let timers = order_store.timers();
    assert_eq!(timers.due("confirm_order", 1, 9).await.unwrap(), [timer("confirm_order")]);
    assert_eq!(order_store.keys().get("ali").await.unwrap(), Some(key(1)));
    let checkpoints = order_store.checkpoints();
    assert_eq!(checkpoints.load("p", "order").await.unwrap(), Position::START);
}

#[tokio::test]
async fn a_role_makes_no_stream_and_says_which_one_is_missing() {
    let server = Server::start(Setup::default()).await;
    let options = server.options_of("order");
    let said = JetStreamStore::connect(options).await.map(|_| ()).unwrap_err().to_string();
    assert_eq!(said, "the stream ORDER does not exist, let an operator's run of Nexus make it");
    let creating = Options { create: true, ..server.options_of("order") };
    let said = JetStreamStore::connect(creating).await.map(|_| ()).unwrap_err().to_string();
    assert_eq!(said, "cannot make the stream ORDER");
    // Only the log: the buckets are missed by name too.
    let log =
        Options { services: contract::SERVICES.map(str::to_owned).to_vec(), ..server.options() };
    nexus_es_jetstream::JetStreamLog::connect(log).await.unwrap().close().await;
    let services = vec!["order".to_owned()];
    let options = Options { services, ..server.options_of("order") };
    let said = JetStreamStore::connect(options).await.map(|_| ()).unwrap_err().to_string();
    assert!(said.starts_with("the stream KV_nexus_leases does not exist"), "{said}");
}

#[tokio::test]
async fn durability_is_read_with_a_system_user_that_may_do_nothing_else() {
    let server = provisioned().await;
    let options =
        Options { monitors: vec![], system: Some(login("watcher")), ..server.options_of("order") };
    let store = JetStreamStore::connect(options).await.unwrap();
    assert!(store.log().durability().strict);
}
