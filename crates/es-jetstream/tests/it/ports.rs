//! What the ports beside the log do that no suite of one adapter can see: several processes at one
//! store, restores, and what lies on the server.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use nexus_es::Position;
use nexus_es::commit::sha256;
use nexus_es::ports::{Blobs, Checkpoints, KeyStore, Leases, Timer, Timers, WrappedKey};
use tokio::io::AsyncReadExt;
use tokio::task::JoinSet;
use tokio::time::Instant;

use crate::server::{Server, Setup};
use crate::steps::Waiting;

const TTL: Duration = Duration::from_secs(2);

fn timer(key: &str, due_at_ms: i64) -> Timer {
    let (process, payload) = ("confirm".to_owned(), key.as_bytes().to_vec());
    Timer { process, key: key.to_owned(), due_at_ms, payload }
}

fn key(seed: u8) -> WrappedKey {
    WrappedKey { master_id: format!("m-{seed}"), wrapped: vec![seed; 60] }
}

fn noise(size: usize) -> Bytes {
    let bytes = (0_u32..).map(|n| n.wrapping_mul(2_654_435_761).to_be_bytes()[0]);
    bytes.take(size).collect::<Vec<_>>().into()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_many_processes_at_one_server_one_has_a_name() {
    let server = Server::start(Setup::default()).await;
    let mut rivals = JoinSet::new();
    for rival in 0..6 {
        let store = server.store().await;
        rivals.spawn(async move {
            let leases = store.leases_of("order");
            let lease = leases.acquire("confirm", &format!("{rival}"), TTL * 100).await.unwrap();
            store.close().await;
            lease
        });
    }
    let winners = rivals.join_all().await.into_iter().flatten().count();
    assert_eq!(winners, 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_lease_is_kept_while_it_is_renewed_and_taken_over_in_time_after_the_last_renewal() {
    let server = Server::start(Setup::default()).await;
    let (one, other) = (server.store().await, server.store().await);
    let (one, other) = (one.leases(), other.leases());
    let first = one.acquire("confirm", "one", TTL).await.unwrap().unwrap();
    let began = Instant::now();
    let mut renewed = began;
    let waiting = Waiting::until("the lease was renewed over three of its times");
    while began.elapsed() < TTL * 3 {
        if renewed.elapsed() > TTL / 4 {
            renewed = Instant::now();
            assert_eq!(one.acquire("confirm", "one", TTL).await.unwrap(), Some(first));
        }
        assert_eq!(other.acquire("confirm", "other", TTL).await.unwrap(), None);
        waiting.on().await;
    }
    renewed = Instant::now();
    assert_eq!(one.acquire("confirm", "one", TTL).await.unwrap(), Some(first));
    let waiting = Waiting::until("the other one takes over");
    let next = loop {
        if let Some(lease) = other.acquire("confirm", "other", TTL).await.unwrap() {
            break lease;
        }
        waiting.on().await;
    };
    let taken = renewed.elapsed();
    assert!(taken >= TTL && taken < TTL * 2, "taken over after {taken:?}");
    assert!(next.fencing > first.fencing);
    assert_eq!(one.acquire("confirm", "one", TTL).await.unwrap(), None);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_one_process_does_with_a_timer_another_one_sees_at_once() {
    let server = Server::start(Setup::default()).await;
    let (one, other) = (server.store().await, server.store().await);
    let (one, other) = (one.timers_of("order"), other.timers_of("order"));
    for round in 0..50 {
        let (ali, mona) = (timer("ali", 10 + round), timer("mona", 20 + round));
        one.set(ali.clone()).await.unwrap();
        assert_eq!(other.due("confirm", 99, 1).await.unwrap().first(), Some(&ali));
        other.set(mona.clone()).await.unwrap();
        assert_eq!(one.due("confirm", 99, 9).await.unwrap(), [ali.clone(), mona]);
        one.settle(&ali, None).await.unwrap();
        assert_eq!(other.next_due("confirm").await.unwrap(), Some(20 + round));
        other.cancel("confirm", "mona").await.unwrap();
        assert_eq!(one.next_due("confirm").await.unwrap(), None);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn thousands_of_timers_are_told_in_order_by_a_process_that_just_started() {
    const MANY: i64 = 2_500;
    let server = Server::start(Setup::default()).await;
    let store = Arc::new(server.store().await);
    let mut writers = JoinSet::new();
    for writer in 0..16 {
        let timers = store.timers();
        writers.spawn(async move {
            for due in (writer..MANY).step_by(16) {
                timers.set(timer(&format!("{due}"), due)).await.unwrap();
            }
        });
    }
    writers.join_all().await;
    let fresh = server.store().await.timers();
    let due = fresh.due("confirm", MANY / 2, usize::MAX).await.unwrap();
    let due: Vec<_> = due.into_iter().map(|timer| timer.due_at_ms).collect();
    assert_eq!(due, Vec::from_iter(0..=MANY / 2));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_end_of_a_timer_is_forgotten_by_the_server_in_time() {
    let server = Server::start(Setup::default()).await;
    let timers = server.store().await.timers();
    timers.set(timer("ali", 1)).await.unwrap();
    timers.cancel("confirm", "ali").await.unwrap();
    let stream = server.context().await.get_stream("KV_nexus_timers").await.unwrap();
    let subject = "$KV.nexus_timers.nexus.confirm.ali";
    let end = stream.get_last_raw_message_by_subject(subject).await.unwrap();
    assert!(end.payload.is_empty());
    assert_eq!(end.headers.get("Nats-TTL").unwrap().as_str(), "3600s");
}

/// All bytes of a stream's files on the server's disk.
fn on_disk(server: &Server, stream: &str) -> Vec<u8> {
    let mut all = Vec::new();
    let mut folders = vec![server.store_of(stream)];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else {
                all.extend(std::fs::read(path).unwrap());
            }
        }
    }
    all
}

fn holds(haystack: &[u8], needle: &str) -> bool {
    haystack.windows(needle.len()).any(|window| window == needle.as_bytes())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_deleted_key_and_a_replaced_wrapping_are_no_longer_on_the_disk_of_the_server() {
    let server = Server::start(Setup::default()).await;
    let keys = server.store().await.keys();
    for (id, seed) in [("ali", 0xa1), ("mona", 0xb1), ("omar", 0xc1)] {
        keys.create(id, key(seed)).await.unwrap();
    }
    keys.rewrap("mona", key(0xb2)).await.unwrap();
    keys.delete("ali").await.unwrap();
    let waiting = Waiting::until("the server has written what is overwritten");
    let (ali, mona, mona_now) = ("a1".repeat(60), "b1".repeat(60), "b2".repeat(60));
    loop {
        let disk = on_disk(&server, "KV_nexus_keys");
        assert!(holds(&disk, &mona_now));
        if !holds(&disk, &ali) && !holds(&disk, &mona) {
            break;
        }
        waiting.on().await;
    }
    server.kill_and_restart().await;
    let disk = on_disk(&server, "KV_nexus_keys");
    assert!(!holds(&disk, &ali) && !holds(&disk, &mona));
    let keys = server.store().await.keys();
    assert_eq!(keys.list().await.unwrap(), ["mona", "omar"]);
    assert_eq!(keys.get("mona").await.unwrap(), Some(key(0xb2)));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_restored_bucket_of_keys_brings_no_erased_key_back() {
    let server = Server::start(Setup::default()).await;
    let store = server.store().await;
    let keys = store.keys();
    keys.create("ali", key(1)).await.unwrap();
    keys.create("mona", key(2)).await.unwrap();
    let context = server.context().await;
    let stream = context.get_stream("KV_nexus_keys").await.unwrap();
    let backup = stream.get_last_raw_message_by_subject("$KV.nexus_keys.ali").await.unwrap();
    keys.delete("ali").await.unwrap();
    // The backup is put back beside a ledger that it knows nothing of.
    context.publish(backup.subject, backup.payload).await.unwrap().await.unwrap();
    assert_eq!(keys.get("ali").await.unwrap(), None);
    assert_eq!(keys.list().await.unwrap(), ["mona"]);
    assert!(keys.create("ali", key(3)).await.is_err());
    assert_eq!(stream.get_info().await.unwrap().state.messages, 2);
    store.close().await;
    // The next start deletes it again.
    let keys = server.store().await.keys();
    assert_eq!(stream.get_info().await.unwrap().state.messages, 1);
    assert_eq!(keys.get("ali").await.unwrap(), None);
    assert_eq!(keys.get("mona").await.unwrap(), Some(key(2)));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_key_that_is_made_and_erased_at_once_by_two_processes_is_erased() {
    let server = Server::start(Setup::default()).await;
    let (one, other) = (server.store().await, server.store().await);
    for round in 0..40 {
        let id = format!("ali-{round}");
        let (making, erasing) = (one.keys(), other.keys());
        let (made, erased) = tokio::join!(making.create(&id, key(1)), erasing.delete(&id));
        erased.unwrap();
        drop(made);
        for keys in [one.keys(), other.keys()] {
            assert_eq!(keys.get(&id).await.unwrap(), None);
            assert!(keys.create(&id, key(2)).await.is_err());
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_large_blob_comes_back_whole_and_a_tool_of_nats_reads_it_too() {
    let server = Server::start(Setup::default()).await;
    let store = server.store().await;
    let bytes = noise(40 * 1024 * 1024 + 17);
    let hash = store.blobs().put(bytes.clone()).await.unwrap();
    assert_eq!(hash.len(), 64);
    let read = server.store().await.blobs().get(&hash).await.unwrap().unwrap();
    assert!(read == bytes, "{} bytes came back as {}", bytes.len(), read.len());
    let messages = async || {
        let stream = server.context().await.get_stream("OBJ_nexus_blobs").await.unwrap();
        stream.get_info().await.unwrap().state.messages
    };
    let before = messages().await;
    assert_eq!(store.blobs().put(bytes.clone()).await.unwrap(), hash);
    assert_eq!(messages().await, before, "stored again");
    let objects = server.context().await.get_object_store("nexus_blobs").await.unwrap();
    let mut object = objects.get(hash.as_str()).await.unwrap();
    assert_eq!(object.info().size, bytes.len());
    let mut read = Vec::new();
    object.read_to_end(&mut read).await.unwrap();
    assert!(read == bytes);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_damaged_blob_is_an_error_until_the_same_bytes_are_put_again() {
    let server = Server::start(Setup::default()).await;
    let blobs = server.store().await.blobs();
    let bytes = noise(300_000);
    let hash = blobs.put(bytes.clone()).await.unwrap();
    let context = server.context().await;
    let stream = context.get_stream("OBJ_nexus_blobs").await.unwrap();
    // Another chunk than was stored: one too many.
    let chunk = stream.get_raw_message(1).await.unwrap();
    context.publish(chunk.subject, "stray".into()).await.unwrap().await.unwrap();
    let read = blobs.get(&hash).await;
    let said = read.map(|_| ()).unwrap_err();
    assert!(format!("{said:?}").contains(&hash), "{said:?}");
    assert_eq!(blobs.put(bytes.clone()).await.unwrap(), hash);
    assert_eq!(blobs.get(&hash).await.unwrap(), Some(bytes));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn many_who_put_the_same_blob_at_once_store_one() {
    let server = Server::start(Setup::default()).await;
    let bytes = noise(500_000);
    let mut writers = JoinSet::new();
    for _ in 0..6 {
        let (blobs, bytes) = (server.store().await.blobs(), bytes.clone());
        writers.spawn(async move { blobs.put(bytes).await.unwrap() });
    }
    let hash = hex::encode(sha256(&bytes));
    assert!(writers.join_all().await.iter().all(|other| *other == hash));
    assert_eq!(server.store().await.blobs().get(&hash).await.unwrap(), Some(bytes));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_services_of_one_server_keep_their_work_apart() {
    let server = Server::start(Setup::default()).await;
    let store = server.store().await;
    let (order, shipping) = (store.leases_of("order"), store.leases_of("shipping"));
    assert!(order.acquire("confirm", "a", TTL).await.unwrap().is_some());
    assert!(shipping.acquire("confirm", "b", TTL).await.unwrap().is_some());
    store.timers_of("order").set(timer("ali", 5)).await.unwrap();
    assert_eq!(store.timers_of("shipping").next_due("confirm").await.unwrap(), None);
    store.checkpoints_of("order").save("confirm", "order", Position(3)).await.unwrap();
    let other = store.checkpoints_of("shipping");
    assert_eq!(other.load("confirm", "order").await.unwrap(), Position::START);
}
