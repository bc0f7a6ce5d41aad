//! The read models: messages, templates, channel accounts, and tracking numbers out of shipping.

pub(crate) mod accounts;
pub(crate) mod messages;
pub(crate) mod shipments;
pub(crate) mod templates;

use std::sync::{Arc, LazyLock};

use nexus_es::Heard;
use nexus_es::seal::Vault;
use nexus_es::tasks::Tasks;
use nexus_es::views::{Database, ViewError, Views, ViewsConfig};
use nexus_es::work::{self, ParkedView};
use nexus_runtime::Ports;

use crate::wire::SERVICE;

/// Grows with every change of the tables or of what is written into them.
const VERSION: u32 = 1;

static SCHEMA: LazyLock<String> =
    LazyLock::new(|| format!("{}{}", include_str!("../migrations/0001_views.sql"), work::SCHEMA));

/// Opens the views and feeds them.
pub(crate) async fn start(ports: &Ports) -> Result<Arc<Views>, ViewError> {
    let config = config(ports.database.clone(), Arc::clone(&ports.vault));
    Views::start(config, Arc::clone(&ports.log), Tasks::clone(&ports.tasks)).await
}

pub(crate) fn config(database: Database, vault: Arc<Vault>) -> ViewsConfig {
    ViewsConfig {
        service: SERVICE,
        version: VERSION,
        schema: SCHEMA.as_str(),
        database,
        views: vec![
            Arc::new(messages::Messages { vault }),
            Arc::new(templates::Templates),
            Arc::new(accounts::Accounts),
            Arc::new(shipments::Shipments),
            Arc::new(ParkedView::new(SERVICE)),
        ],
    }
}

/// The payload of another service's event.
fn message<M: prost::Message + Default>(heard: &Heard) -> Result<M, ViewError> {
    M::decode(heard.payload.bytes.as_slice()).map_err(|error| ViewError::Event {
        event_type: heard.event_type().to_owned(),
        why: error.to_string(),
    })
}
