//! Read models of shipping. Personal data stands in them sealed only, and is opened for an answer.
//! *Invariant:* rows are keyed so that events of different logs may come in any order.

pub(crate) mod accounts;
pub(crate) mod awb_status_logs;
pub(crate) mod manifests;
pub(crate) mod shipments;
pub(crate) mod unmatched;

use std::sync::{Arc, LazyLock};

use nexus_es::commands::{self, CommandsView};
use nexus_es::seal::Vault;
use nexus_es::views::{Database, View, ViewsConfig};
use nexus_es::work::{self, ParkedView};

use crate::wire::SERVICE;

/// Grows with every change of the tables or of what is written into them.
const VERSION: u32 = 2;

static SCHEMA: LazyLock<String> = LazyLock::new(|| {
    let own = include_str!("../migrations/0001_views.sql");
    format!("{own}{}{}", commands::SCHEMA, work::SCHEMA)
});

/// A number out of a page token; a token that was tampered with leads to an empty page.
fn from_token(text: Option<&String>) -> i64 {
    text.and_then(|text| text.parse().ok()).unwrap_or_default()
}

/// What the views of this service are built from.
pub(crate) fn config(database: Database, vault: &Arc<Vault>) -> ViewsConfig {
    ViewsConfig {
        service: SERVICE,
        version: VERSION,
        schema: &SCHEMA,
        database,
        views: views(Arc::clone(vault)),
    }
}

fn views(vault: Arc<Vault>) -> Vec<Arc<dyn View>> {
    vec![
        Arc::new(shipments::Shipments),
        Arc::new(awb_status_logs::AwbStatusLogs),
        Arc::new(unmatched::Unmatched { vault }),
        Arc::new(accounts::Accounts),
        Arc::new(manifests::Manifests),
        Arc::new(CommandsView::new(SERVICE)),
        Arc::new(ParkedView::new(SERVICE)),
    ]
}
