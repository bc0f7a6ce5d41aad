//! Read models of fulfilments and pick lists.
//! *Invariant:* every row follows from this service's own log alone, so that a rebuilt database
//! equals the live one.

pub(crate) mod fulfillments;
pub(crate) mod pick_lists;
mod rows;

use std::collections::BTreeSet;
use std::sync::Arc;

use nexus_es::commands::{self, CommandsView};
use nexus_es::log::EventLog;
use nexus_es::views::rows::Value;
use nexus_es::views::{Database, ViewError, ViewsConfig};
use nexus_es::work::ParkedView;
use nexus_es::{Aggregate, AggregateId, Heard, LogError, Version};
use prost::Message;

use crate::SERVICE;

const VERSION: u32 = 2;
const OWN_SCHEMA: &str = "
CREATE TABLE fulfillments (fulfillment_id TEXT PRIMARY KEY, order_id TEXT NOT NULL,
    order_number TEXT NOT NULL, warehouse TEXT NOT NULL, status TEXT NOT NULL,
    pick_list_id TEXT NOT NULL, opened_at_ms BIGINT NOT NULL, body BLOB NOT NULL);
CREATE INDEX fulfillments_by_order ON fulfillments (order_id);
CREATE INDEX fulfillments_by_status ON fulfillments (status, opened_at_ms, fulfillment_id);
CREATE INDEX fulfillments_by_pick_list ON fulfillments (pick_list_id);
CREATE TABLE pick_lists (pick_list_id TEXT PRIMARY KEY, warehouse TEXT NOT NULL,
    status TEXT NOT NULL, picker TEXT NOT NULL, created_at_ms BIGINT NOT NULL,
    command_id TEXT NOT NULL, request_hash TEXT NOT NULL, body BLOB NOT NULL);
CREATE INDEX pick_lists_by_status ON pick_lists (status, created_at_ms, pick_list_id);
CREATE INDEX pick_lists_by_command ON pick_lists (command_id);
CREATE TABLE pick_lines (pick_list_id TEXT NOT NULL, line_id TEXT NOT NULL,
    line_no BIGINT NOT NULL, body BLOB NOT NULL, PRIMARY KEY (pick_list_id, line_id));
";

/// What the views of this service are made of.
pub(crate) fn config(database: Database) -> ViewsConfig {
    ViewsConfig {
        service: SERVICE,
        version: VERSION,
        schema: const_schema(),
        database,
        views: vec![
            Arc::new(fulfillments::FulfillmentsView),
            Arc::new(pick_lists::PickListsView),
            Arc::new(CommandsView::new(SERVICE)),
            Arc::new(ParkedView::new(SERVICE)),
        ],
    }
}

fn const_schema() -> &'static str {
    static WHOLE: std::sync::LazyLock<String> = std::sync::LazyLock::new(|| {
        format!("{OWN_SCHEMA}{}{}", commands::SCHEMA, nexus_es::work::SCHEMA)
    });
    &WHOLE
}

/// The aggregates in `heard` that began before it: only of these a row can be there.
fn begun<A: Aggregate>(heard: &[Heard]) -> Vec<Value> {
    let ours = || heard.iter().filter(|heard| heard.aggregate.category == A::CATEGORY);
    let new: BTreeSet<_> =
        ours().filter(|heard| heard.number == 1).map(|heard| &heard.aggregate.id).collect();
    let all: BTreeSet<_> = ours().map(|heard| &heard.aggregate.id).collect();
    all.difference(&new).map(|id| Value::from(id.as_str())).collect()
}

fn stored<M: Message + Default>(body: &[u8]) -> Result<M, ViewError> {
    M::decode(body)
        .map_err(|error| ViewError::Damaged(format!("a stored row does not decode: {error}")))
}

/// Why a resource cannot be read.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ReadError {
    #[error("the view database failed")]
    Database(#[from] sqlx::Error),
    #[error("a row of the view does not decode")]
    Row(#[from] prost::DecodeError),
    #[error(transparent)]
    Log(#[from] LogError),
    #[error("a stored commit does not decode")]
    Commit(#[from] nexus_es::commit::BadCommit),
    #[error(transparent)]
    Event(#[from] ViewError),
}

/// What happened to an aggregate up to a version: for answers to repeated requests.
async fn history<A: Aggregate>(
    log: &Arc<dyn EventLog>,
    id: &str,
    until: Version,
) -> Result<Vec<(A::Event, i64)>, ReadError> {
    // The id named an aggregate before; one that cannot has no history.
    let Ok(aggregate) = AggregateId::new(SERVICE, A::CATEGORY, id) else { return Ok(vec![]) };
    let mut events = vec![];
    for stored in log.load(&aggregate, Version::NONE).await? {
        if stored.version > until {
            break;
        }
        for heard in Heard::of(&stored)? {
            let at_ms = heard.cause.occurred_at_ms;
            events.extend(heard.event::<A>()?.map(|event| (event, at_ms)));
        }
    }
    Ok(events)
}
