//! Notification: tells the customer of milestones in approved words over WhatsApp, and knows what
//! became of each message.
//! *Invariant:* one message a shipment, milestone and channel; none without consent; none because a
//! log was read again.

mod channel;
mod config;
mod domain;
mod grpc;
mod parts;
mod processes;
mod views;
mod wire;

use std::sync::Arc;

use nexus_es::Handler;
use nexus_es::process::{self, Process};
use nexus_es::seal::Vault;
use nexus_es::views::{Database, ViewError, ViewsConfig};
use nexus_proto::notification::v1::notification_service_server::NotificationServiceServer;
use nexus_runtime::channels::MAX_MESSAGE;
use nexus_runtime::{Ports, Running};
use tonic::service::RoutesBuilder;

use channel::whatsapp::WhatsApp;
use parts::Parts;
use processes::apply_receipt::ApplyReceipt;
use processes::pace::Rests;
use processes::send_message::SendMessage;
use processes::tell_customer::TellCustomer;
use wire::SERVICE;

pub use config::Config;

/// Why notification does not start.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Its views cannot be opened.
    #[error("the views of notification cannot be opened")]
    Views(#[from] ViewError),
    /// The machine's certificates cannot be loaded.
    #[error("the client of the channel cannot be made")]
    Http(#[from] reqwest::Error),
}

/// Starts notification: views, processes, gRPC.
///
/// # Errors
/// [`Error`] when the views cannot be opened or no HTTP client can be made.
pub async fn run(
    ports: Ports,
    config: Config,
    routes: &mut RoutesBuilder,
) -> Result<Running, Error> {
    let views = views::start(&ports).await?;
    let http = nexus_runtime::http::client(config.call_limit)?;
    let whatsapp = WhatsApp::new(http, &config.whatsapp_live_url, &config.whatsapp_sandbox_url);
    let parts = Arc::new(Parts {
        messages: Handler::new(Arc::clone(&ports.log)),
        templates: Handler::new(Arc::clone(&ports.log)),
        accounts: Handler::new(Arc::clone(&ports.log)),
        views: Arc::clone(&views),
        channel: Arc::new(whatsapp),
        rests: Rests::default(),
        config,
        ports,
    });
    let processes: [Arc<dyn Process>; 3] = [
        Arc::new(TellCustomer(Arc::clone(&parts))),
        Arc::new(SendMessage(Arc::clone(&parts))),
        Arc::new(ApplyReceipt(Arc::clone(&parts))),
    ];
    for process in processes {
        process::start(process, parts.ports.ground(SERVICE, &views));
    }
    let service = NotificationServiceServer::new(grpc::Notification(parts));
    routes.add_service(service.max_decoding_message_size(MAX_MESSAGE));
    Ok(Running { service: SERVICE, views })
}

/// What its views are built from, for whoever builds them elsewhere: `nexus verify` does.
#[must_use]
pub fn views_config(database: Database, vault: &Arc<Vault>) -> ViewsConfig {
    views::config(database, Arc::clone(vault))
}
