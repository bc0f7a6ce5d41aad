//! What an outage may never do: lose a commit, store one twice, or let two writers win.

use std::collections::BTreeMap;
use std::sync::Arc;

use nexus_es::log::{AppendError, EventLog, LogError};
use nexus_es::{Position, Version};
use nexus_es_jetstream::{JetStreamLog, Options};
use tokio::sync::mpsc;
use tokio::task::JoinSet;

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
