//! Three servers, each commit on all of them, and a leader that is killed.

use std::net::TcpListener;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use nexus_es::contract::{self, Rig};
use nexus_es::log::{AppendError, Appended, EventLog};
use nexus_es::ports::{Blobs, Checkpoints, KeyStore, Leases, Timer, Timers, WrappedKey};
use nexus_es::{Position, Version};
use nexus_es_jetstream::{JetStreamLog, JetStreamStore, Options};
use serde_json::{Value, json};
use tokio::task::JoinSet;
use tokio::time::timeout;

use crate::server::{Server, Setup, login};
use crate::steps::{Waiting, commit, load, order, read, settle};

/// Three servers that know each other.
async fn start() -> Vec<Arc<Server>> {
    // Route ports must be known to all before the first starts; held together they differ.
    let held: Vec<_> = (0..3).map(|_| TcpListener::bind("127.0.0.1:0").unwrap()).collect();
    let ports: Vec<_> = held.iter().map(|held| held.local_addr().unwrap().port()).collect();
    drop(held);
    let mut servers = Vec::new();
    for (own, name) in ports.iter().zip(["n-1", "n-2", "n-3"]) {
        let cluster = Some((name.to_owned(), *own, ports.clone()));
        servers.push(Server::start(Setup { cluster, ..Setup::default() }).await);
    }
    servers
}

/// Options for a log on all `servers`, reached through some of them.
fn options(servers: &[Arc<Server>], through: &[Arc<Server>]) -> Options {
    Options {
        urls: through.iter().map(|server| server.url()).collect(),
        monitors: vec![],
        system: Some(login("watcher")),
        replicas: 3,
        request_timeout: Duration::from_secs(4),
        ..servers[0].options()
    }
}

async fn connect(servers: &[Arc<Server>]) -> Arc<JetStreamLog> {
    // A cluster that has just started elects its leaders first.
    let waiting = Waiting::until("the cluster has a leader");
    loop {
        match JetStreamLog::connect(options(servers, servers)).await {
            Ok(log) => return Arc::new(log),
            Err(_) => waiting.on().await,
        }
    }
}

/// The number of the server that leads the stream of orders.
async fn leader(servers: &[Arc<Server>]) -> usize {
    leader_of(servers, "ORDER").await
}

/// The number of the server that leads `stream`.
async fn leader_of(servers: &[Arc<Server>], stream: &str) -> usize {
    let context = servers[0].context().await;
    let info: Value = context.request(format!("STREAM.INFO.{stream}"), &json!({})).await.unwrap();
    let name = info["cluster"]["leader"].as_str().unwrap();
    ["n-1", "n-2", "n-3"].iter().position(|known| *known == name).unwrap()
}

/// Six writers on one version: answers the place of the one that won.
async fn race(log: &Arc<JetStreamLog>, id: &str, version: Version) -> Appended {
    let mut rivals = JoinSet::new();
    for rival in 0..6 {
        let (log, append) = (log.clone(), commit(&order(id), version, &format!("{rival}")));
        rivals.spawn(async move {
            let answer = settle(&*log, &append).await;
            (append, answer)
        });
    }
    let mut winners = Vec::new();
    while let Some(rival) = rivals.join_next().await {
        match rival.unwrap() {
            (append, Ok(place)) => winners.push((append, place)),
            (_, Err(AppendError::Conflict)) => {}
            (_, Err(error)) => panic!("{error:?}"),
        }
    }
    assert_eq!(winners.len(), 1, "on {version:?}: {winners:?}");
    let (append, place) = winners.remove(0);
    assert_eq!(settle(&**log, &append).await.unwrap(), place, "resent");
    place
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn on_three_servers_one_writer_wins_and_every_read_shows_what_was_acked() {
    let servers = start().await;
    let log = connect(&servers).await;
    assert_eq!(log.durability().name, "strict (jetstream R3, sync_interval always)");
    let mut tail = log.tail("order", Position::START).await.unwrap();
    let mut versions = Vec::new();
    for round in 0..40 {
        let version = versions.last().copied().unwrap_or(Version::NONE);
        versions.push(race(&log, "mona", version).await.version);
        let loaded: Vec<_> =
            load(&*log, &order("mona")).await.iter().map(|stored| stored.version).collect();
        assert_eq!(loaded, versions, "round {round}");
        if round == 20 {
            servers[leader(&servers).await].kill();
        }
    }
    let met: Vec<_> = read(&mut *tail, 40).await.iter().map(|met| met.version).collect();
    assert_eq!(met, versions);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_lags_behind_its_leader_shows_what_was_acked() {
    let servers = start().await;
    drop(connect(&servers).await);
    let leader = leader(&servers).await;
    let follower = (leader + 1) % servers.len();
    let through = async |server: usize| {
        let options = options(&servers, &servers[server..=server]);
        JetStreamLog::connect(options).await.unwrap()
    };
    let (writer, reader) = (through(leader).await, through(follower).await);
    let mona = order("mona");
    let mut version = Version::NONE;
    for round in 0..40 {
        // The two others acknowledge; the follower finds the question as soon as the commit.
        servers[follower].pause();
        let append = commit(&mona, version, &format!("{round}"));
        let acked = settle(&writer, &append).await.unwrap().version;
        let mut newer = pin!(reader.load(&mona, version));
        let early = timeout(Duration::from_millis(100), &mut newer).await;
        servers[follower].go_on();
        let newer = if let Ok(early) = early { early } else { newer.await };
        let newer: Vec<_> = newer.unwrap().iter().map(|stored| stored.version).collect();
        assert_eq!(newer, [acked], "round {round}");
        version = acked;
    }
}

/// Forgets all that is in the log of `service`.
async fn forget(servers: &[Arc<Server>], service: &str) {
    let context = servers[0].context().await;
    let waiting = Waiting::until("the stream is gone");
    while context.get_stream(service.to_uppercase()).await.is_ok() {
        context.delete_stream(service.to_uppercase()).await.ok();
        waiting.on().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_log_on_three_servers_keeps_every_promise() {
    let servers = start().await;
    let make = async || {
        // The first of all waits for the cluster, before anything is forgotten.
        drop(connect(&servers).await);
        for service in contract::SERVICES {
            forget(&servers, service).await;
        }
        let log: Arc<dyn EventLog> = connect(&servers).await;
        let servers = servers.clone();
        Rig::new(log, move || {
            let servers = servers.clone();
            async move {
                let log: Arc<dyn EventLog> = connect(&servers).await;
                log
            }
        })
    };
    assert_eq!(contract::event_log(make).await, []);
}

async fn connect_store(servers: &[Arc<Server>], through: &[Arc<Server>]) -> JetStreamStore {
    let waiting = Waiting::until("the cluster has its leaders");
    loop {
        match JetStreamStore::connect(options(servers, through)).await {
            Ok(store) => return store,
            Err(_) => waiting.on().await,
        }
    }
}

fn timer(key: &str) -> Timer {
    let process = "confirm".to_owned();
    Timer { process, key: key.to_owned(), due_at_ms: 1, payload: vec![7] }
}

/// Reads through `two` what was written through `one` right before.
async fn write_and_read(one: &JetStreamStore, two: &JetStreamStore, round: u64) {
    let key = WrappedKey { master_id: format!("m-{round}"), wrapped: vec![7; 60] };
    let name = format!("{round}");
    one.keys().create(&name, key.clone()).await.unwrap();
    assert_eq!(two.keys().get(&name).await.unwrap(), Some(key), "round {round}");
    one.keys().delete(&name).await.unwrap();
    assert_eq!(two.keys().get(&name).await.unwrap(), None, "round {round}");
    one.checkpoints().save("confirm", "order", Position(round)).await.unwrap();
    let stands = two.checkpoints().load("confirm", "order").await.unwrap();
    assert_eq!(stands, Position(round));
    one.timers().set(timer(&name)).await.unwrap();
    assert_eq!(two.timers().due("confirm", 1, 9).await.unwrap(), [timer(&name)]);
    two.timers().settle(&timer(&name), None).await.unwrap();
    assert_eq!(one.timers().next_due("confirm").await.unwrap(), None);
    let bytes = bytes::Bytes::from(vec![u8::try_from(round).unwrap(); 400_000]);
    let hash = one.blobs().put(bytes.clone()).await.unwrap();
    assert!(two.blobs().get(&hash).await.unwrap() == Some(bytes), "round {round}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn on_three_servers_every_port_shows_at_once_what_was_acked_through_another_one() {
    let servers = start().await;
    let one = connect_store(&servers, &servers[..1]).await;
    let two = connect_store(&servers, &servers[1..2]).await;
    for round in 0..30 {
        write_and_read(&one, &two, round).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_lease_and_a_timer_outlive_the_leader_of_their_bucket() {
    const LONG: Duration = Duration::from_secs(600);
    let servers = start().await;
    let store = connect_store(&servers, &servers).await;
    let leases = store.leases();
    let lease = leases.acquire("confirm", "one", LONG).await.unwrap().unwrap();
    store.timers().set(timer("ali")).await.unwrap();
    let gone = leader_of(&servers, "KV_nexus_leases").await;
    servers[gone].kill();
    let waiting = Waiting::until("another server leads");
    let other = loop {
        match leases.acquire("confirm", "other", LONG).await {
            Ok(other) => break other,
            Err(_) => waiting.on().await,
        }
    };
    assert_eq!(other, None);
    assert_eq!(leases.acquire("confirm", "one", LONG).await.unwrap(), Some(lease));
    let waiting = Waiting::until("another server leads the timers");
    let due = loop {
        match store.timers().due("confirm", 1, 9).await {
            Ok(due) => break due,
            Err(_) => waiting.on().await,
        }
    };
    assert_eq!(due, [timer("ali")]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_role_starts_while_one_of_three_servers_is_down_and_not_while_two_are() {
    let servers = start().await;
    drop(connect(&servers).await);
    servers[(leader(&servers).await + 1) % servers.len()].kill();
    let up: Vec<_> = servers.iter().filter(|server| server.is_up()).cloned().collect();
    let waiting = Waiting::until("a log starts on two servers");
    let log = loop {
        match JetStreamLog::connect(options(&servers, &up)).await {
            Ok(log) => break log,
            Err(error) => assert!(error.may_pass(), "{error}"),
        }
        waiting.on().await;
    };
    let durability = log.durability();
    assert!(durability.strict && durability.name.contains("did not say"), "{}", durability.name);
    settle(&log, &commit(&order("ali"), Version::NONE, "first")).await.unwrap();
    up[0].kill();
    let refused = JetStreamLog::connect(options(&servers, &up)).await.map(|_| ());
    assert!(refused.unwrap_err().may_pass());
}
