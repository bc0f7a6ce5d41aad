//! Inventory: what is sold, where it lies, and whom it is promised to.

mod config;
pub mod domain;
mod grpc;
mod owners;
mod views;
mod wire;

use std::sync::Arc;

use nexus_es::views::{Database, ViewError, Views, ViewsConfig};
use nexus_proto::inventory::v1::inventory_service_server::InventoryServiceServer;
use nexus_runtime::channels::MAX_MESSAGE;
use nexus_runtime::{Ports, Running};
use tonic::service::RoutesBuilder;

pub use config::Config;

/// The service's name, and its log's.
pub const SERVICE: &str = "inventory";

/// Why the service does not start.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Its read models cannot be opened.
    #[error("the views of inventory cannot be opened")]
    Views(#[from] ViewError),
}

/// Starts the service on `ports` and adds its rpcs to `routes`. It has no process: others ask it,
/// and follow its events.
///
/// # Errors
/// [`Error`] when it cannot start.
pub async fn run(
    ports: Ports,
    config: Config,
    routes: &mut RoutesBuilder,
) -> Result<Running, Error> {
    let models = views::config(ports.database.clone());
    let views = Views::start(models, Arc::clone(&ports.log), ports.tasks.clone()).await?;
    let service = grpc::Inventory::new(&ports, Arc::clone(&views), &config);
    let server = InventoryServiceServer::new(service).max_decoding_message_size(MAX_MESSAGE);
    routes.add_service(server);
    Ok(Running { service: SERVICE, views })
}

/// What its views are built from, for whoever builds them elsewhere: `nexus verify` does.
#[must_use]
pub fn views_config(database: Database) -> ViewsConfig {
    views::config(database)
}
