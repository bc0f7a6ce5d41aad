//! The read models of the order service, all in one database.
//! *Invariant:* personal data stands in `…person…` tables only.

pub(crate) mod contacts;
pub(crate) mod document;
pub(crate) mod orders;
pub(crate) mod terms;
pub(crate) mod timeline;

use std::sync::Arc;

use nexus_es::commands::{self, CommandsView};
use nexus_es::seal::Vault;
use nexus_es::views::{Database, ViewsConfig};
use nexus_es::work::{self, ParkedView};

use crate::wire::SERVICE;

/// Grows with every change of the tables or of what is written into them.
const VERSION: u32 = 3;

const SCHEMA: &str = "
CREATE TABLE orders (order_id TEXT PRIMARY KEY, number TEXT NOT NULL, number_value BIGINT NOT NULL,
    status TEXT NOT NULL, contact_id TEXT NOT NULL, created_at_ms BIGINT NOT NULL,
    document BLOB NOT NULL);
CREATE INDEX orders_by_number ON orders (number);
CREATE INDEX orders_by_number_value ON orders (number_value);
CREATE INDEX orders_by_time ON orders (created_at_ms, order_id);
CREATE INDEX orders_by_status ON orders (status, created_at_ms, order_id);
CREATE INDEX orders_by_contact ON orders (contact_id, created_at_ms, order_id);
CREATE TABLE order_terms (term TEXT NOT NULL, order_id TEXT NOT NULL, PRIMARY KEY (term, order_id));
CREATE TABLE order_persons (order_id TEXT PRIMARY KEY, contact_id TEXT NOT NULL,
    person BLOB NOT NULL);
CREATE INDEX order_persons_by_contact ON order_persons (contact_id);
CREATE TABLE person_terms (term TEXT NOT NULL, order_id TEXT NOT NULL, contact_id TEXT NOT NULL,
    PRIMARY KEY (term, order_id));
CREATE INDEX person_terms_by_contact ON person_terms (contact_id);
CREATE TABLE contacts (contact_id TEXT PRIMARY KEY, document BLOB NOT NULL);
CREATE TABLE contact_persons (contact_id TEXT PRIMARY KEY, person BLOB NOT NULL);
CREATE TABLE timeline (service TEXT NOT NULL, position BIGINT NOT NULL, event_index BIGINT NOT NULL,
    subject TEXT NOT NULL, event_id TEXT NOT NULL, aggregate TEXT NOT NULL,
    event_type TEXT NOT NULL, occurred_at_ms BIGINT NOT NULL, learned_at_ms BIGINT NOT NULL,
    actor_kind BIGINT NOT NULL, actor_id TEXT NOT NULL, causation_id TEXT NOT NULL,
    trace_id TEXT NOT NULL, payload BLOB NOT NULL,
    PRIMARY KEY (service, position, event_index));
CREATE INDEX timeline_by_subject ON timeline (subject);
CREATE TABLE timeline_lists (order_id TEXT NOT NULL, subject TEXT NOT NULL,
    PRIMARY KEY (order_id, subject));
";

/// Everything the service reads from.
pub(crate) fn config(database: Database, vault: &Arc<Vault>) -> ViewsConfig {
    ViewsConfig {
        service: SERVICE,
        version: VERSION,
        schema: schema(),
        database,
        views: vec![
            Arc::new(orders::OrdersView::new(Arc::clone(vault))),
            Arc::new(contacts::ContactsView::new(Arc::clone(vault))),
            Arc::new(timeline::TimelineView),
            Arc::new(CommandsView::new(SERVICE)),
            Arc::new(ParkedView::new(SERVICE)),
        ],
    }
}

fn schema() -> &'static str {
    static WHOLE: std::sync::LazyLock<String> =
        std::sync::LazyLock::new(|| format!("{SCHEMA}{}{}", commands::SCHEMA, work::SCHEMA));
    &WHOLE
}
