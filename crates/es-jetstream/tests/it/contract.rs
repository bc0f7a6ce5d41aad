//! The suite that every event log passes, on a server that is killed for each reopen.

use std::sync::Arc;

use nexus_es::contract::{self, Rig};
use nexus_es::log::EventLog;

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
