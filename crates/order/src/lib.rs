//! Orders and contacts: the commercial side, from created to delivered.
//!
//! Owns what was agreed with a customer and who the customer is. Asks inventory to hold stock, and
//! follows what fulfillment and shipping report, so that an order always shows how far it is.

mod config;
mod domain;
mod grpc;
mod history;
mod numbers;
mod personal;
mod phone;
mod processes;
mod views;
mod wire;

use std::sync::Arc;

use nexus_es::process::Process;
use nexus_es::seal::Vault;
use nexus_es::views::{Database, ViewError, Views, ViewsConfig};
use nexus_es::{Handler, process};
use nexus_proto::order::v1::order_service_server::OrderServiceServer;
use nexus_runtime::channels::MAX_MESSAGE;
use nexus_runtime::{Ports, Running};
use tonic::service::RoutesBuilder;

pub use config::Config;

use grpc::{Api, Rules};
use history::History;
use numbers::Numbers;
use processes::cancel_order::CancelOrder;
use processes::confirm_order::ConfirmOrder;
use processes::erase_contact::EraseContact;
use processes::follow_order::FollowOrder;
use processes::lapse_holds::LapseHolds;
use wire::SERVICE;

/// Why the service cannot run.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The read models cannot be opened.
    #[error("the views of order cannot be opened")]
    Views(#[from] ViewError),
    /// No phone can be read with this setting.
    #[error("\"{0}\" is no country")]
    Country(String),
}

/// Starts views and processes, and adds the gRPC service to `routes`.
///
/// # Errors
/// [`Error`] when the views cannot be opened or a setting is wrong.
pub async fn run(
    ports: Ports,
    config: Config,
    routes: &mut RoutesBuilder,
) -> Result<Running, Error> {
    let country = config.country.parse().map_err(|_| Error::Country(config.country.clone()))?;
    let views_config = views::config(ports.database.clone(), &ports.vault);
    let views = Views::start(views_config, Arc::clone(&ports.log), ports.tasks.clone()).await?;

    // The first phone that is read loads the numbering plans of all countries: no caller waits for
    // that.
    ports.tasks.spawn("phone plans", async move {
        drop(tokio::task::spawn_blocking(move || phone::parse("+201001234567", country)).await);
    });
    let orders = Handler::new(Arc::clone(&ports.log));
    let confirm =
        ConfirmOrder::new(orders.clone(), ports.channels.clone(), config.confirm_deadline_ms);
    let cancel = CancelOrder::new(orders.clone(), ports.channels.clone());
    let follow = FollowOrder::new(orders.clone());
    let lapse = LapseHolds::new(orders.clone(), Arc::clone(&ports.timers));
    let claims = Handler::new(Arc::clone(&ports.log));
    let erase = EraseContact::new(Arc::clone(&ports.vault), claims.clone());
    let processes: [Arc<dyn Process>; 5] =
        [Arc::new(confirm), Arc::new(cancel), Arc::new(follow), Arc::new(lapse), Arc::new(erase)];
    for process in processes {
        process::start(process, ports.ground(SERVICE, &views));
    }

    let series = Handler::new(Arc::clone(&ports.log));
    let api = Api {
        orders,
        contacts: Handler::new(Arc::clone(&ports.log)),
        claims,
        numbers: Numbers::new(series, config.number_prefix, config.number_block),
        views: Arc::clone(&views),
        vault: Arc::clone(&ports.vault),
        history: History { log: Arc::clone(&ports.log), vault: Arc::clone(&ports.vault) },
        channels: ports.channels.clone(),
        rules: Rules { country, country_code: config.country, language: config.language },
        phone_key: ports.secrets.key("phone claim"),
        claiming: (0..256).map(|_| tokio::sync::Mutex::default()).collect(),
    };
    routes.add_service(OrderServiceServer::new(api).max_decoding_message_size(MAX_MESSAGE));
    Ok(Running { service: SERVICE, views })
}

/// What its views are built from, for whoever builds them elsewhere: `nexus verify` does.
#[must_use]
pub fn views_config(database: Database, vault: &Arc<Vault>) -> ViewsConfig {
    views::config(database, vault)
}
