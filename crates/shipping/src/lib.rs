//! Shipping: courier accounts, shipments with exactly one live AWB a parcel, labels, hand-over, and
//! every update a courier sends.

mod config;
mod courier;
mod document;
mod domain;
mod grpc;
mod labels;
mod opener;
mod parts;
mod processes;
mod views;
mod wire;

use std::sync::Arc;

use nexus_es::process;
use nexus_es::seal::Vault;
use nexus_es::views::{Database, ViewError, Views, ViewsConfig};
use nexus_proto::shipping::v1::shipping_service_server::ShippingServiceServer;
use nexus_runtime::{Ports, Running};
use tonic::service::RoutesBuilder;

pub use config::Config;

use parts::Parts;

/// Why shipping does not start.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The view database cannot be opened.
    #[error("the views of shipping cannot be started")]
    Views(#[from] ViewError),
    /// The HTTP client for couriers cannot be made.
    #[error("no HTTP client for couriers can be made")]
    Http(#[from] reqwest::Error),
}

/// Starts shipping: its views, its processes, its gRPC service on `routes`.
///
/// # Errors
/// [`Error`] when the views or the client for couriers cannot be made.
pub async fn run(
    ports: Ports,
    config: Config,
    routes: &mut RoutesBuilder,
) -> Result<Running, Error> {
    let views = Views::start(
        views::config(ports.database.clone(), &ports.vault),
        Arc::clone(&ports.log),
        ports.tasks.clone(),
    );
    let views = views.await?;
    let ground = ports.ground(wire::SERVICE, &views);
    let parts = Arc::new(Parts::new(ports, config, Arc::clone(&views))?);
    for process in processes::all(&parts) {
        process::start(process, ground.clone());
    }
    routes.add_service(ShippingServiceServer::new(grpc::Shipping { parts }));
    Ok(Running { service: wire::SERVICE, views })
}

/// What its views are built from, for whoever builds them elsewhere: `nexus verify` does.
#[must_use]
pub fn views_config(database: Database, vault: &Arc<Vault>) -> ViewsConfig {
    views::config(database, vault)
}
