//! Where the sandbox posts receipts: the webhook becomes an event of ingress, as ingress would
//! write it. Whether it is authentic is ingress's business, and tested there.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};

use axum::Router;
use axum::body::Bytes;
use axum::extract::{Path, Query, State};
use axum::http::StatusCode;
use axum::routing::get;
use nexus_es::memory::MemoryLog;
use nexus_es::seal::Vault;
use nexus_es::{clock, new_id};
use nexus_proto::ingress::v1::InboxReceived;

use crate::world::append;

#[derive(Clone)]
pub(crate) struct Door {
    pub(crate) log: MemoryLog,
    pub(crate) vault: Arc<Vault>,
    /// The account whose webhook this is.
    pub(crate) account: Arc<Mutex<String>>,
}

impl Door {
    pub(crate) fn router(self) -> Router {
        Router::new().route("/whatsapp-webhook/{token}", get(echo).post(keep)).with_state(self)
    }
}

async fn echo(Query(handshake): Query<HashMap<String, String>>) -> String {
    handshake["hub.challenge"].clone()
}

async fn keep(State(door): State<Door>, Path(_): Path<String>, body: Bytes) -> StatusCode {
    let sealed = door.vault.seal("inbox-2026-11", "inbox.Received.body", &body).await.unwrap();
    let received = InboxReceived {
        kind: "channel".to_owned(),
        account_id: door.account.lock().unwrap().clone(),
        received_at_ms: clock::now_ms(),
        body: Some(sealed),
        ..InboxReceived::default()
    };
    // An inbox of its own for each, so that none conflicts with another.
    append(&door.log, ["ingress", "inbox", &new_id().to_string(), "Received"], &received).await;
    StatusCode::OK
}
