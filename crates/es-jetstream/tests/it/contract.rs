//! The suites that every adapter passes, on a server that is killed for each reopen.

use std::sync::Arc;

use nexus_es::contract::{self, Rig};
use nexus_es::log::EventLog;
use nexus_es::ports::{Blobs, Checkpoints, KeyStore, Leases, Timers};
use nexus_es_jetstream::JetStreamStore;

use crate::server::{Server, Setup};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_log_on_a_server_keeps_every_promise() {
    let make = async || {
        let server = Server::start(Setup::default()).await;
        let log: Arc<dyn EventLog> = server.log().await;
        Rig::new(log, move || {
            let server = server.clone();
            async move {
                server.kill_and_restart().await;
                let log: Arc<dyn EventLog> = server.log().await;
                log
            }
        })
    };
    assert_eq!(contract::event_log(make).await, []);
}

/// A port of a store on a server of its own, and how to kill that and connect again.
async fn rig<P: ?Sized + 'static>(port: fn(&JetStreamStore) -> Arc<P>) -> Rig<P> {
    let server = Server::start(Setup::default()).await;
    let first = port(&server.store().await);
    Rig::new(first, move || {
        let server = server.clone();
        async move {
            server.kill_and_restart().await;
            port(&server.store().await)
        }
    })
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_leases_on_a_server_keep_every_promise() {
    assert_eq!(contract::leases(|| rig::<dyn Leases>(|store| store.leases())).await, []);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_checkpoints_on_a_server_keep_every_promise() {
    let make = || rig::<dyn Checkpoints>(|store| store.checkpoints());
    assert_eq!(contract::checkpoints(make).await, []);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_timers_on_a_server_keep_every_promise() {
    assert_eq!(contract::timers(|| rig::<dyn Timers>(|store| store.timers())).await, []);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_key_store_on_a_server_keeps_every_promise() {
    assert_eq!(contract::key_store(|| rig::<dyn KeyStore>(|store| store.keys())).await, []);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_blobs_on_a_server_keep_every_promise() {
    assert_eq!(contract::blobs(|| rig::<dyn Blobs>(|store| store.blobs())).await, []);
}
