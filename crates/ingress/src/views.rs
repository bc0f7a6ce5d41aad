//! The read model of ingress: accounts, out of the logs of their owners.

pub(crate) mod accounts;

use std::sync::{Arc, LazyLock};

use nexus_es::tasks::Tasks;
use nexus_es::views::{Database, ViewError, Views, ViewsConfig};
use nexus_es::work;
use nexus_runtime::Ports;

use crate::wire::SERVICE;

/// Grows with every change of the tables or of what is written into them.
const VERSION: u32 = 1;

// Ingress has no processes and parks nothing: the table of parked work is there for those who ask
// every service, its view is not, so that webhooks cost nothing after they are appended.
static SCHEMA: LazyLock<String> =
    LazyLock::new(|| format!("{}{}", include_str!("../migrations/0001_views.sql"), work::SCHEMA));

/// What the views are built from.
pub(crate) fn config(database: Database) -> ViewsConfig {
    ViewsConfig {
        service: SERVICE,
        version: VERSION,
        schema: SCHEMA.as_str(),
        database,
        views: vec![Arc::new(accounts::Accounts)],
    }
}

/// Opens the views and feeds them.
pub(crate) async fn start(ports: &Ports) -> Result<Arc<Views>, ViewError> {
    let config = config(ports.database.clone());
    Views::start(config, Arc::clone(&ports.log), Tasks::clone(&ports.tasks)).await
}
