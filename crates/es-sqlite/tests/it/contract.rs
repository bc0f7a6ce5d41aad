//! The adapters keep every promise of their ports, across closing and opening the directory.

use std::sync::Arc;

use nexus_es::contract::{self, Rig};
use nexus_es::log::EventLog;
use nexus_es::ports::{Blobs, Checkpoints, KeyStore, Leases, Timers};
use nexus_es_sqlite::SqliteStore;
use tempfile::TempDir;
use tokio::sync::Mutex;

/// A port of a store in a directory of its own, and how to open the store again.
async fn rig<P: ?Sized + 'static>(port: fn(&SqliteStore) -> Arc<P>) -> Rig<P> {
    let dir = TempDir::new().unwrap();
    let store = SqliteStore::open(dir.path()).await.unwrap();
    let first = port(&store);
    let open = Arc::new((Mutex::new(store), dir));
    Rig::new(first, move || {
        let open = open.clone();
        async move {
            let (store, dir) = &*open;
            let mut store = store.lock().await;
            store.close().await;
            *store = SqliteStore::open(dir.path()).await.unwrap();
            port(&store)
        }
    })
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_log_keeps_every_promise() {
    assert_eq!(contract::event_log(|| rig::<dyn EventLog>(|store| store.log())).await, []);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_leases_keep_every_promise() {
    assert_eq!(contract::leases(|| rig::<dyn Leases>(|store| store.leases())).await, []);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_checkpoints_keep_every_promise() {
    let make = || rig::<dyn Checkpoints>(|store| store.checkpoints());
    assert_eq!(contract::checkpoints(make).await, []);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_timers_keep_every_promise() {
    assert_eq!(contract::timers(|| rig::<dyn Timers>(|store| store.timers())).await, []);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_key_store_keeps_every_promise() {
    assert_eq!(contract::key_store(|| rig::<dyn KeyStore>(|store| store.keys())).await, []);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_blobs_keep_every_promise() {
    assert_eq!(contract::blobs(|| rig::<dyn Blobs>(|store| store.blobs())).await, []);
}
