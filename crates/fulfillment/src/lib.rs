//! Fulfilment: which goods to fetch for which orders, what was scanned, what lies in which parcel.

mod config;
mod domain;
mod floor;
mod grpc;
mod processes;
mod views;
mod wire;

use std::sync::Arc;

use nexus_es::process::{Process, start};
use nexus_es::views::{Database, ViewError, Views, ViewsConfig};
use nexus_proto::fulfillment::v1::fulfillment_service_server::FulfillmentServiceServer;
use nexus_runtime::channels::MAX_MESSAGE;
use nexus_runtime::{Ports, Running};
use tonic::service::RoutesBuilder;

pub use config::Config;

use floor::Floor;
use processes::follow_shipments::FollowShipments;
use processes::list_fulfillments::ListFulfillments;
use processes::open_fulfillment::OpenFulfillment;
use processes::record_picks::RecordPicks;
use processes::withdraw_cancelled::WithdrawCancelled;

/// The service's name, and its log's.
pub const SERVICE: &str = "fulfillment";

/// Why the service does not start.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Its read models cannot be opened.
    #[error("the views of fulfillment cannot be opened")]
    Views(#[from] ViewError),
}

/// Starts the service on `ports` and adds its rpcs to `routes`.
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
    let floor = Floor::new(Arc::clone(&ports.log), Arc::clone(&views), ports.channels.clone());
    let processes: [Arc<dyn Process>; 5] = [
        Arc::new(OpenFulfillment(floor.clone())),
        Arc::new(ListFulfillments(floor.clone())),
        Arc::new(RecordPicks(floor.clone())),
        Arc::new(WithdrawCancelled(floor.clone())),
        Arc::new(FollowShipments(floor.clone())),
    ];
    for process in processes {
        start(process, ports.ground(SERVICE, &views));
    }
    let api = FulfillmentServiceServer::new(grpc::Api { floor, settle: config.settle });
    routes.add_service(api.max_decoding_message_size(MAX_MESSAGE));
    Ok(Running { service: SERVICE, views })
}

/// What its views are built from, for whoever builds them elsewhere: `nexus verify` does.
#[must_use]
pub fn views_config(database: Database) -> ViewsConfig {
    views::config(database)
}
