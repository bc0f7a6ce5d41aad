//! Read models of the gateway.

pub(crate) mod api_keys;

use std::sync::Arc;

use nexus_es::views::{Database, ViewsConfig};
use nexus_es::work::{self, ParkedView};

use crate::wire::SERVICE;

/// Grows with each change of the tables or of what the views write.
const VERSION: u32 = 1;

const SCHEMA: &str = const_format::concatcp!(api_keys::SCHEMA, work::SCHEMA);

pub(crate) fn config(database: Database) -> ViewsConfig {
    ViewsConfig {
        service: SERVICE,
        version: VERSION,
        schema: SCHEMA,
        database,
        views: vec![Arc::new(api_keys::ApiKeys), Arc::new(ParkedView::new(SERVICE))],
    }
}
