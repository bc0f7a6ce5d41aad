//! What an outage may never do: lose a commit, store one twice, or let two writers win.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use nexus_es::log::{AppendError, EventLog, LogError};
use nexus_es::ports::{Blobs, Checkpoints, KeyStore, Leases, Timer, Timers, WrappedKey};
use nexus_es::{Position, Version};
use nexus_es_jetstream::{JetStreamLog, JetStreamStore, Options};
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio::time::{Instant, timeout};

use crate::proxy::Proxy;
use crate::server::{Server, Setup};
use crate::steps::{Waiting, commit, load, order, read, settle};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_killed_amid_appends_keeps_the_acked_and_the_unknown_are_stored_once() {
    const WRITERS: usize = 24;
    const EACH: usize = 40;
    let server = Server::start(Setup::default()).await;
    let log: Arc<dyn EventLog> = server.log().await;
    let (acked, mut acks) = mpsc::unbounded_channel();
    let mut writers = JoinSet::new();
    for writer in 0..WRITERS {
        let (log, acked) = (log.clone(), acked.clone());
        writers.spawn(async move {
            let aggregate = order(&format!("ali-{writer}"));
            let (mut version, mut places) = (Version::NONE, Vec::new());
            for number in 0..EACH {
                let append = commit(&aggregate, version, &format!("{writer} {number}"));
                let place = settle(&*log, &append).await.unwrap();
                acked.send(()).unwrap();
                version = place.version;
                places.push((append, place));
            }
            (aggregate, places)
        });
    }
    // Killed in the middle of the writing, as often as a third and two thirds are done.
    for _ in 0..2 {
        for _ in 0..WRITERS * EACH / 3 {
            acks.recv().await.unwrap();
        }
        server.kill_and_restart().await;
    }
    let mut by_position = BTreeMap::new();
    while let Some(writer) = writers.join_next().await {
        let (aggregate, places) = writer.unwrap();
        let stored = load(&*log, &aggregate).await;
        assert_eq!(stored.len(), places.len(), "{aggregate}");
        for ((append, place), stored) in places.iter().zip(&stored) {
            assert_eq!((place.version, &append.bytes), (stored.version, &stored.bytes));
            by_position.insert(place.position, stored.clone());
        }
    }
    let all: Vec<_> = by_position.into_values().collect();
    let mut tail = log.tail("order", Position::START).await.unwrap();
    assert_eq!(read(&mut *tail, all.len()).await, all);
    assert_eq!(log.head("order").await.unwrap(), all.last().unwrap().position);
}

/// A log whose commits can be held on the wire, and one that reaches the server directly.
async fn held_and_direct(server: &Server) -> (Proxy, JetStreamLog, Arc<JetStreamLog>) {
    let proxy = Proxy::to(server.address()).await;
    let urls = vec![format!("nats://{}", proxy.address)];
    let held = JetStreamLog::connect(Options { urls, ..server.options() }).await.unwrap();
    (proxy, held, server.log().await)
}

#[tokio::test]
async fn a_late_write_to_the_server_is_made_harmless_by_the_guard() {
    let server = Server::start(Setup::default()).await;
    let (proxy, held, direct) = held_and_direct(&server).await;
    let mona = order("mona");
    let first = direct.append(commit(&mona, Version::NONE, "first")).await.unwrap();
    proxy.hold();
    let late = commit(&mona, first.version, "late");
    let answer = held.append(late.clone()).await;
    assert!(matches!(answer, Err(AppendError::Unknown(_))), "{answer:?}");
    let faster = commit(&mona, first.version, "faster");
    direct.append(faster.clone()).await.unwrap();
    proxy.release();
    let answer = settle(&held, &late).await;
    assert!(matches!(answer, Err(AppendError::Conflict)), "{answer:?}");
    let stored = load(&*direct, &mona).await;
    assert_eq!(stored.len(), 2);
    assert_eq!(stored[1].bytes, faster.bytes);
}

#[tokio::test]
async fn a_late_write_that_reached_the_server_is_found_by_resending_it() {
    let server = Server::start(Setup::default()).await;
    let (proxy, held, direct) = held_and_direct(&server).await;
    let mona = order("mona");
    proxy.hold();
    let late = commit(&mona, Version::NONE, "late");
    let answer = held.append(late.clone()).await;
    assert!(matches!(answer, Err(AppendError::Unknown(_))), "{answer:?}");
    assert!(load(&*direct, &mona).await.is_empty());
    proxy.release();
    let waiting = Waiting::until("the late write arrives");
    let mut stored = load(&*direct, &mona).await;
    while stored.is_empty() {
        waiting.on().await;
        stored = load(&*direct, &mona).await;
    }
    let place = settle(&held, &late).await.unwrap();
    assert_eq!((place.version, &late.bytes), (stored[0].version, &stored[0].bytes));
    // Another log resends it too: it is known by what is stored, not by who sent it.
    assert_eq!(direct.append(late).await.unwrap(), place);
    assert_eq!(load(&*direct, &mona).await, stored);
}

#[tokio::test]
async fn without_a_server_nothing_is_sent_and_nothing_is_guessed() {
    let server = Server::start(Setup::default()).await;
    let log = server.log().await;
    let ali = order("ali");
    server.kill();
    let waiting = Waiting::until("the log knows that its server is gone");
    loop {
        match log.append(commit(&ali, Version::NONE, "refused")).await {
            Err(AppendError::Unavailable(_)) => break,
            Err(AppendError::Unknown(_)) => waiting.on().await,
            answer => panic!("{answer:?}"),
        }
    }
    let read = log.load(&ali, Version::NONE).await;
    assert!(matches!(read, Err(LogError::Unavailable(_))), "{read:?}");
    let head = log.head("order").await;
    assert!(matches!(head, Err(LogError::Unavailable(_))), "{head:?}");
    server.restart().await;
    // What was refused before is not in the way of what is decided now.
    let stored = load(&*log, &ali).await;
    let version = stored.last().map_or(Version::NONE, |stored| stored.version);
    settle(&*log, &commit(&ali, version, "taken")).await.unwrap();
    let bytes = load(&*log, &ali).await.last().map(|stored| stored.bytes.clone());
    assert_eq!(bytes.as_deref(), Some(&b"taken"[..]));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn tails_go_on_over_a_killed_server_without_a_gap_or_a_repeat() {
    let server = Server::start(Setup::default()).await;
    let log = server.log().await;
    let ali = order("ali");
    let (mut version, mut places) = (Version::NONE, Vec::new());
    for number in 0..30 {
        let place = settle(&*log, &commit(&ali, version, &format!("{number}"))).await.unwrap();
        version = place.version;
        places.push(place.position);
    }
    let mut from_start = log.tail("order", Position::START).await.unwrap();
    assert_eq!(read(&mut *from_start, 30).await.len(), 30);
    // This one has met nothing yet when the server goes.
    let mut from_head = log.tail("order", places[29]).await.unwrap();
    for round in 0..2 {
        server.kill_and_restart().await;
        for number in 0..10 {
            let text = format!("{round} {number}");
            let place = settle(&*log, &commit(&ali, version, &text)).await.unwrap();
            version = place.version;
            places.push(place.position);
        }
        for tail in [&mut from_start, &mut from_head] {
            let met: Vec<_> = read(&mut **tail, 10).await.iter().map(|met| met.position).collect();
            assert_eq!(met, places[places.len() - 10..]);
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_tail_that_waits_through_an_outage_asks_for_one_consumer_after_it_and_for_none_in_it() {
    let server = Server::start(Setup::default()).await;
    let log = server.log().await;
    let ali = order("ali");
    let first = log.append(commit(&ali, Version::NONE, "first")).await.unwrap();
    let mut tail = log.tail("order", first.position).await.unwrap();
    let consumers = async || {
        let mut stream = server.context().await.get_stream("ORDER").await.unwrap();
        stream.info().await.unwrap().state.consumer_count
    };
    assert_eq!(consumers().await, 1);
    // A consumer that is asked for meanwhile would be kept by the client, sent when it is
    // connected again, and stay beside the one that the tail then reads.
    let outage = async {
        server.kill();
        let (away, over) = (Instant::now(), Waiting::until("the outage is over"));
        while away.elapsed() < SOON {
            assert!(matches!(log.load(&ali, Version::NONE).await, Err(LogError::Unavailable(_))));
            over.on().await;
        }
        server.restart().await;
        settle(&*log, &commit(&ali, first.version, "second")).await.unwrap()
    };
    let (second, met) = tokio::join!(outage, read(&mut *tail, 1));
    assert_eq!(met[0].position, second.position);
    assert_eq!(consumers().await, 1);
}

/// How long the server is away, and how soon every answer comes and everything goes on.
const OUTAGE: Duration = Duration::from_secs(20);
const SOON: Duration = Duration::from_secs(2);

/// Asks every port beside the log once; true when all of them answered.
async fn ask_all(store: &JetStreamStore, round: u64) -> bool {
    let (leases, checkpoints) = (store.leases(), store.checkpoints());
    let (timers, keys, blobs) = (store.timers(), store.keys(), store.blobs());
    let key = WrappedKey { master_id: "m".to_owned(), wrapped: vec![1] };
    let timer = Timer {
        process: "confirm".to_owned(),
        key: "ali".to_owned(),
        due_at_ms: 1,
        payload: vec![],
    };
    let answers = tokio::join!(
        async { leases.acquire("confirm", "me", OUTAGE * 9).await.is_ok_and(|it| it.is_some()) },
        async { checkpoints.save("confirm", "order", Position(round)).await.is_ok() },
        async {
            timers.set(timer.clone()).await.is_ok()
                && timers.due("confirm", 1, 9).await.is_ok_and(|due| due == [timer.clone()])
        },
        async { keys.create("ali", key.clone()).await.is_ok_and(|kept| kept == key) },
        async { blobs.put("label".into()).await.is_ok() },
    );
    let (leased, saved, set, made, stored) = answers;
    leased && saved && set && made && stored
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn through_a_long_outage_each_answer_comes_soon_and_all_goes_on_soon_after_it() {
    let server = Server::start(Setup::default()).await;
    let store = server.store().await;
    let log = store.log();
    let ali = order("ali");
    let first = log.append(commit(&ali, Version::NONE, "first")).await.unwrap();
    assert!(ask_all(&store, 1).await);
    let mut tail = log.tail("order", first.position).await.unwrap();
    server.kill();
    let (away, mut unknown) = (Instant::now(), Vec::new());
    let waiting = Waiting::until("the outage is over");
    while away.elapsed() < OUTAGE {
        let asked = Instant::now();
        let append = commit(&ali, first.version, "refused");
        match log.append(append.clone()).await {
            Err(AppendError::Unavailable(_)) => {}
            // Only what was on its way when the connection broke.
            Err(AppendError::Unknown(_)) if away.elapsed() < SOON * 2 => unknown.push(append),
            answer => panic!("{answer:?}"),
        }
        let loaded = log.load(&ali, Version::NONE).await;
        assert!(matches!(loaded, Err(LogError::Unavailable(_))), "{loaded:?}");
        assert!(!ask_all(&store, 2).await);
        assert!(asked.elapsed() < SOON * 2, "four waits after another: {:?}", asked.elapsed());
        waiting.on().await;
    }
    server.restart().await;
    let back = Instant::now();
    // The client may have sent one of them late: resending tells, and all others conflict.
    let (mut version, mut expected) = (first.version, vec!["first"]);
    for append in unknown {
        match settle(&*log, &append).await {
            Ok(late) => (version, expected) = (late.version, vec!["first", "refused"]),
            Err(AppendError::Conflict) => {}
            Err(error) => panic!("{error:?}"),
        }
    }
    let place = settle(&*log, &commit(&ali, version, "second")).await.unwrap();
    expected.push("second");
    let appended = back.elapsed();
    let met = timeout(SOON, read(&mut *tail, expected.len() - 1)).await.unwrap();
    assert_eq!(met.last().unwrap().position, place.position);
    let waiting = Waiting::until("every port answers again");
    while !ask_all(&store, 3).await {
        waiting.on().await;
    }
    let all = back.elapsed();
    assert!(appended < SOON && all < SOON, "appended after {appended:?}, all after {all:?}");
    let texts: Vec<_> = load(&*log, &ali).await.into_iter().map(|stored| stored.bytes).collect();
    assert_eq!(texts, expected);
    let checkpoints = store.checkpoints();
    assert_eq!(checkpoints.load("confirm", "order").await.unwrap(), Position(3));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_frozen_server_is_answered_for_in_time() {
    let server = Server::start(Setup::default()).await;
    let store = server.store().await;
    let log = store.log();
    let ali = order("ali");
    server.pause();
    let asked = Instant::now();
    let append = commit(&ali, Version::NONE, "late");
    let (answer, loaded, others) =
        tokio::join!(log.append(append.clone()), log.load(&ali, Version::NONE), ask_all(&store, 1));
    let took = asked.elapsed();
    // Once the client has given the connection up, nobody waits any more.
    let waiting = Waiting::until("the log knows that its server is frozen");
    let other = commit(&order("mona"), Version::NONE, "refused");
    while !matches!(log.append(other.clone()).await, Err(AppendError::Unavailable(_))) {
        waiting.on().await;
    }
    let known = asked.elapsed();
    server.go_on();
    assert!(known < SOON * 3, "{known:?}");
    assert!(matches!(answer, Err(AppendError::Unknown(_))), "{answer:?}");
    assert!(matches!(loaded, Err(LogError::Unavailable(_))), "{loaded:?}");
    assert!(!others);
    assert!(took < SOON * 2, "{took:?}");
    let place = settle(&*log, &append).await.unwrap();
    let stored = load(&*log, &ali).await;
    assert_eq!((stored.len(), stored[0].version), (1, place.version));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_killed_amid_pipelined_appends_keeps_each_acked_one_once() {
    const FLIGHTS: usize = 4;
    const WIDTH: usize = 128;
    let server = Server::start(Setup::default()).await;
    let log: Arc<dyn EventLog> = server.log().await;
    let (mut acked, mut unknown) = (BTreeMap::new(), 0);
    for flight in 0..FLIGHTS {
        let mut appends = JoinSet::new();
        let (told, mut acks) = mpsc::unbounded_channel();
        for number in 0..WIDTH {
            let (log, told) = (log.clone(), told.clone());
            appends.spawn(async move {
                let append = commit(&order(&format!("{flight}-{number}")), Version::NONE, "x");
                let answer = log.append(append.clone()).await;
                told.send(()).unwrap();
                (append, answer)
            });
        }
        for _ in 0..WIDTH / 4 {
            acks.recv().await.unwrap();
        }
        server.kill();
        server.restart().await;
        while let Some(append) = appends.join_next().await {
            match append.unwrap() {
                (append, Ok(place)) => drop(acked.insert(place.position, append)),
                (append, Err(AppendError::Unknown(_) | AppendError::Unavailable(_))) => {
                    unknown += 1;
                    let place = settle(&*log, &append).await.unwrap();
                    acked.insert(place.position, append);
                }
                (_, Err(error)) => panic!("{error:?}"),
            }
        }
    }
    assert_eq!(acked.len(), FLIGHTS * WIDTH, "{unknown} were unknown at first");
    // The client may not be back yet after the last restart.
    let waiting = Waiting::until("the log can be followed");
    let mut tail = loop {
        match log.tail("order", Position::START).await {
            Ok(tail) => break tail,
            Err(_) => waiting.on().await,
        }
    };
    let met = read(&mut *tail, acked.len()).await;
    let expected: Vec<_> = acked.iter().map(|(at, append)| (*at, &append.aggregate)).collect();
    let met: Vec<_> = met.iter().map(|met| (met.position, &met.aggregate)).collect();
    assert_eq!(met, expected);
    assert_eq!(log.head("order").await.unwrap(), *acked.keys().last().unwrap());
}

#[tokio::test]
async fn a_closed_store_answers_at_once_that_it_cannot_be_reached() {
    let server = Server::start(Setup::default()).await;
    let store = server.store().await;
    let ali = order("ali");
    let place = store.log().append(commit(&ali, Version::NONE, "first")).await.unwrap();
    assert_eq!(store.written(), 1);
    let mut tail = store.log().tail("order", place.position).await.unwrap();
    store.close().await;
    let asked = Instant::now();
    let answer = store.log().append(commit(&ali, place.version, "second")).await;
    assert!(matches!(answer, Err(AppendError::Unavailable(_))), "{answer:?}");
    let read = store.log().load(&ali, Version::NONE).await;
    assert!(matches!(read, Err(LogError::Unavailable(_))), "{read:?}");
    assert!(tail.next(1).await.is_err());
    assert!(!ask_all(&store, 1).await);
    assert!(asked.elapsed() < SOON, "{:?}", asked.elapsed());
}
