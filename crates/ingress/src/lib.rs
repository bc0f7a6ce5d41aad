//! Ingress: couriers' and channels' webhooks come in here and nowhere else; each is authenticated,
//! sealed, appended as it came, and answered.
//! *Invariant:* answered 200 means on the log; a webhook that is not authentic leaves nothing; no
//! other service has to be up.

mod config;
mod domain;
mod http;
mod signature;
mod views;
mod wire;

use std::sync::Arc;

use axum::Router;
use nexus_es::Handler;
use nexus_es::views::{Database, ViewError, ViewsConfig};
use nexus_runtime::{Ports, Running};
use tokio::sync::Semaphore;

use http::Door;
use wire::SERVICE;

pub use config::Config;

/// Why ingress does not start.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Its view of accounts cannot be opened.
    #[error("the accounts of ingress cannot be opened")]
    Views(#[from] ViewError),
}

/// Starts ingress; the router is to be served on a port of its own.
///
/// # Errors
/// [`Error::Views`] when the view of accounts cannot be opened.
pub async fn run(ports: Ports, config: Config) -> Result<(Router, Running), Error> {
    let views = views::start(&ports).await?;
    let door = Door {
        inbox: Handler::new(Arc::clone(&ports.log)),
        log: Arc::clone(&ports.log),
        vault: Arc::clone(&ports.vault),
        views: Arc::clone(&views),
        places: Semaphore::new(config.max_in_flight),
        config,
    };
    Ok((http::router(Arc::new(door)), Running { service: SERVICE, views }))
}

/// What its views are built from, for whoever builds them elsewhere: `nexus verify` does.
#[must_use]
pub fn views_config(database: Database) -> ViewsConfig {
    views::config(database)
}
