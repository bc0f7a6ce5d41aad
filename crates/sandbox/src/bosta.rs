//! The courier: Bosta's API v2, with the v1 and v0 calls that old clients still make.
//!
//! Faults, switched on by `POST /_control/faults {"fault", "times", …}` and listed by GET:
//! - on calls, `"on"` picks which (`create` unless said): `lost_answer`, `delay` (`delay_ms`),
//!   `server_error`, `rate_limited` and `rate_limited_in_200` (`retry_after`), `failed_in_200`,
//!   `refuse` (`status`, `code`, `message`);
//! - on the next deliveries made: `rto`, `exception`, `unknown_state`;
//! - on the next webhooks: `duplicate_webhook`, `reorder_webhooks`.
//!
//! The latter two kinds take a `"reference"` (unique, business, or tracking number) to wait for.
//!
//! All keys open one and the same account: a rotated key still finds what the old one made.
//! *Invariant:* a delivery, its life and the webhook of each step stand in one file; a step and its
//! webhook are one transaction.

mod account;
mod awb;
mod change;
mod control;
mod coverage;
mod create;
mod delivery;
mod gate;
mod life;
mod pickups;
mod places;
mod read;
mod refusal;
mod request;

use std::path::Path;
use std::sync::Arc;

use axum::Router;
use axum::middleware::from_fn_with_state;
use axum::routing::{delete, get, post};
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
use delivery::Delivery;

/// What every handler of the courier needs.
#[derive(Debug)]
pub(crate) struct App {
    pool: SqlitePool,
    store: Arc<Store>,
    clock: Clock,
    faults: Faults,
    outbox: Arc<Outbox>,
    /// The deliveries with a state to come. Whoever writes a delivery holds it meanwhile.
    lives: Mutex<Agenda<Delivery>>,
    life_wake: Arc<Notify>,
    own_url: String,
}

#[derive(Debug, Clone)]
pub(crate) struct Bosta(Arc<App>);

pub(crate) async fn open(
    path: &Path,
    clock: Clock,
    http: reqwest::Client,
    own_url: String,
) -> Result<Bosta, Error> {
    let store = Arc::new(Store::open(path, delivery::TABLES).await?);
    let pool = store.pool.clone();
    let faults = Faults::open(pool.clone(), gate::FAULTS, gate::CALLS).await?;
    let outbox = Arc::new(Outbox::open(Arc::clone(&store), clock, http).await?);
    let lives = Mutex::new(delivery::to_come(&store).await?);
    let life_wake = Arc::new(Notify::new());
    Ok(Bosta(Arc::new(App { pool, store, clock, faults, outbox, lives, life_wake, own_url })))
}

impl Bosta {
    pub(crate) fn run(&self, tasks: &TaskTracker, cancel: &CancellationToken) {
        let app = &self.0;
        tasks.spawn(Arc::clone(&app.outbox).run(cancel.clone()));
        tasks.spawn(Arc::clone(&app.store).keep_counters(cancel.clone()));
        tasks.spawn(server::run_turns(
            life::Lives(Arc::clone(app)),
            app.clock,
            Arc::clone(&app.life_wake),
            cancel.clone(),
        ));
    }

    pub(crate) fn router(&self, tasks: &TaskTracker) -> Router {
        Router::new()
            .nest("/api/v2", v2().merge(any_version()))
            .nest("/api/v1", v1().merge(any_version()))
            .nest("/api/v0", v0().merge(any_version()))
            .route("/shipments/track/{tracking}", get(read::public_tracking))
            .nest("/_control", control::router())
            .fallback(refusal::no_such_route)
            .method_not_allowed_fallback(refusal::no_such_route)
            .layer(from_fn_with_state(Arc::clone(&self.0), gate::gate))
            .layer(from_fn_with_state(tasks.clone(), server::carry_on))
            .with_state(Arc::clone(&self.0))
    }
}

type Routes = Router<Arc<App>>;

fn v2() -> Routes {
    Router::new()
        .route("/deliveries", post(create::v2))
        .route("/deliveries/bulk", post(create::bulk))
        .route("/deliveries/search", post(read::search))
        .route("/deliveries/mass-awb", post(awb::mass))
        .route(
            "/deliveries/business/{tracking}",
            get(read::by_tracking).put(change::update).delete(refusal::wrong_terminate),
        )
        .route("/deliveries/business/{tracking}/terminate", delete(change::terminate))
        .route("/pickup-locations", get(pickups::locations))
}

fn v1() -> Routes {
    Router::new()
        .route("/deliveries", post(create::v1).get(read::list))
        .route(
            "/deliveries/{id}",
            get(read::by_id).put(change::update_old).delete(change::cancel_old),
        )
        .route("/deliveries/{id}/tracking", get(read::tracking_by_id))
        .route("/deliveries/awb/{id}", get(awb::single))
}

fn v0() -> Routes {
    Router::new()
        .route("/deliveries", post(create::v1).get(read::list))
        .route(
            "/deliveries/{key}",
            get(read::by_tracking_old)
                .put(change::update_old)
                .patch(change::update_old)
                .delete(change::cancel_old),
        )
        .route("/deliveries/{key}/tracking", get(read::tracking_by_tracking))
        .route("/deliveries/awb/{id}", get(awb::single))
}

fn any_version() -> Routes {
    Router::new()
        .route("/deliveries/analytics/total-deliveries", get(account::total_deliveries))
        .route("/businesses/{key}/info", get(account::info))
        .route("/users/login", post(account::login))
        .route("/pricing/shipment/calculator", get(account::price))
        .route("/pricing/insuranceFeeEstimate", get(account::insurance))
        .route("/cities", get(places::cities))
        .route("/cities/getAllDistricts", get(places::all_districts))
        .route("/cities/{id}", get(places::city))
        .route("/cities/{id}/zones", get(places::districts))
        .route("/cities/{id}/districts", get(places::districts))
        .route("/zones", get(places::zones))
        .route("/districts", get(places::zones))
        .route("/pickups", post(pickups::request).get(pickups::list))
        .route("/pickups/{id}", get(pickups::read).delete(pickups::cancel))
}
