//! The channel: WhatsApp's Cloud API as far as template messages and their receipts go, v24 style.
//!
//! Faults, switched on by `POST /_control/faults {"fault", "times", …}` and listed by GET:
//! - on the next sends: `lost_answer`, `delay` (`delay_ms`), `rate_limit`, `server_error`,
//!   `refuse` (`status`, `code`, `message`);
//! - on the next messages accepted: `undeliverable`, `reorder_receipts`, `duplicate_receipts`,
//!   `no_read`; a `"reference"` (the callback data or the number) picks one.
//!
//! *Invariant:* an accepted message, its receipts to come and their webhooks stand in one file.

mod control;
mod gate;
mod handshake;
mod message;
mod receipts;
mod refusal;
mod send;
mod signature;
mod templates;

use std::path::Path;
use std::sync::Arc;

use axum::Router;
use axum::middleware::from_fn_with_state;
use axum::routing::{get, post};
use sqlx::SqlitePool;
use tokio::sync::{Mutex, Notify};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::agenda::Agenda;
use crate::clock::Clock;
use crate::failure::Error;
use crate::fault::Faults;
use crate::outbox::Outbox;
use crate::server;
use crate::store::Store;
use message::Message;
use templates::Templates;

/// What every handler of the channel needs.
#[derive(Debug)]
pub(crate) struct App {
    pool: SqlitePool,
    store: Arc<Store>,
    clock: Clock,
    faults: Faults,
    templates: Templates,
    outbox: Arc<Outbox>,
    /// The messages with a status to come. Whoever writes a message holds it meanwhile.
    accepted: Mutex<Agenda<Message>>,
    receipts_wake: Arc<Notify>,
}

#[derive(Debug, Clone)]
pub(crate) struct Whatsapp(Arc<App>);

pub(crate) async fn open(
    path: &Path,
    clock: Clock,
    http: reqwest::Client,
) -> Result<Whatsapp, Error> {
    let store = Arc::new(Store::open(path, message::TABLES).await?);
    let pool = store.pool.clone();
    let templates = Templates::open(&store).await?;
    let faults = Faults::open(pool.clone(), gate::FAULTS, gate::CALLS).await?;
    let outbox = Arc::new(Outbox::open(Arc::clone(&store), clock, http).await?);
    let accepted = Mutex::new(message::to_come(&store).await?);
    let receipts_wake = Arc::new(Notify::new());
    Ok(Whatsapp(Arc::new(App {
        pool,
        store,
        clock,
        faults,
        templates,
        outbox,
        accepted,
        receipts_wake,
    })))
}

impl Whatsapp {
    pub(crate) fn run(&self, tasks: &TaskTracker, cancel: &CancellationToken) {
        let app = &self.0;
        tasks.spawn(Arc::clone(&app.outbox).run(cancel.clone()));
        tasks.spawn(Arc::clone(&app.store).keep_counters(cancel.clone()));
        tasks.spawn(server::run_turns(
            receipts::Receipts(Arc::clone(app)),
            app.clock,
            Arc::clone(&app.receipts_wake),
            cancel.clone(),
        ));
    }

    pub(crate) fn router(&self, tasks: &TaskTracker) -> Router {
        Router::new()
            .route("/{version}/{phone_number_id}/messages", post(send::send))
            .route("/{version}/{phone_number_id}", get(send::phone_number))
            .route("/{version}/{phone_number_id}/message_templates", get(templates::list))
            .nest("/_control", control::router())
            .fallback(refusal::unknown_path)
            .method_not_allowed_fallback(refusal::unknown_path)
            .layer(from_fn_with_state(Arc::clone(&self.0), gate::gate))
            .layer(from_fn_with_state(tasks.clone(), server::carry_on))
            .with_state(Arc::clone(&self.0))
    }
}
