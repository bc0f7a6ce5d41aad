//! Reads: one order, lists, searches, the timeline; and the answer to a call that changed an order.

use std::time::Duration;

use nexus_es::{Positions, Receipt};
use nexus_proto::order::v1 as proto;
use nexus_runtime::caller::Caller;
use nexus_runtime::page::Page;
use nexus_runtime::{Violations, reads, status, time};
use tonic::{Request, Response, Status};
use uuid::Uuid;

use super::{Answer, Api, PATIENCE};
use crate::domain::order::headline::Headline;
use crate::views::document::{OrderDocument, PersonDocument};
use crate::views::orders::{self, Found, Wanted};
use crate::views::{terms, timeline};
use crate::wire::SERVICE;

/// An order that is not in the view may have been made a moment ago by another replica: whoever was
/// told its id need not know that there are two.
const MADE_ELSEWHERE: Duration = Duration::from_millis(250);

pub(super) fn unreadable(error: impl std::fmt::Display) -> Status {
    status::broken("the order view cannot be read", error)
}

/// Waits until the view has seen `min_position`.
pub(super) async fn reach(api: &Api, min_position: &str) -> Result<(), Status> {
    if min_position.is_empty() {
        return Ok(());
    }
    let wanted = reads::min_position(min_position)?;
    let behind = |_| status::unavailable("the order view is not at min_position yet, try again");
    api.views.wait_for(&wanted, PATIENCE).await.map_err(behind)
}

/// The id of the order that `name` means: an id, or a number with or without prefix and `#`.
pub(super) async fn resolve(api: &Api, name: &str) -> Result<String, Status> {
    if let Ok(id) = name.parse::<Uuid>() {
        return Ok(id.to_string());
    }
    if let Some(found) = orders::resolve(&api.views.pool(), name).await.map_err(unreadable)? {
        return Ok(found);
    }
    api.views.wait_for_latest(MADE_ELSEWHERE).await;
    let found = orders::resolve(&api.views.pool(), name).await.map_err(unreadable)?;
    found.ok_or_else(|| status::not_found("order", name))
}

pub(super) async fn find(api: &Api, order_id: &str) -> Result<Found, Status> {
    if let Some(found) = orders::by_id(&api.views, order_id).await.map_err(unreadable)? {
        return Ok(found);
    }
    api.views.wait_for_latest(MADE_ELSEWHERE).await;
    let found = orders::by_id(&api.views, order_id).await.map_err(unreadable)?;
    found.ok_or_else(|| status::not_found("order", order_id))
}

/// The order after a call: as the view shows it, or as it was when the call was first carried out.
pub(super) async fn after(
    api: &Api,
    order_id: &str,
    receipt: &Receipt,
) -> Result<proto::Order, Status> {
    let position = Positions::one(SERVICE, receipt.position);
    if !receipt.replayed && api.views.wait_for(&position, PATIENCE).await.is_ok() {
        let found = find(api, order_id).await?;
        return Ok(found.document.resource(found.person, position.to_string()));
    }
    let (document, person) = as_it_was(api, order_id, receipt, |_| true).await?;
    Ok(document.resource(person, position.to_string()))
}

pub(super) async fn as_it_was(
    api: &Api,
    order_id: &str,
    receipt: &Receipt,
    enough: impl Fn(&OrderDocument) -> bool + Send,
) -> Result<(OrderDocument, Option<PersonDocument>), Status> {
    let past = api.history.order(order_id, receipt.version, enough).await;
    past.map_err(|error| status::broken("the order's history cannot be read", error))
}

pub(super) async fn get(
    api: &Api,
    request: Request<proto::GetOrderRequest>,
) -> Answer<proto::Order> {
    Caller::of(&request)?;
    let asked = request.into_inner();
    reach(api, &asked.min_position).await?;
    let order_id = resolve(api, &asked.order_id).await?;
    let position = api.views.positions().to_string();
    let found = find(api, &order_id).await?;
    Ok(Response::new(found.document.resource(found.person, position)))
}

fn moment(wrong: &mut Violations, field: &str, text: &str) -> Option<i64> {
    if text.is_empty() {
        return None;
    }
    let parsed = time::parse_rfc3339(text);
    if parsed.is_none() {
        wrong.add(field, format!("is \"{text}\", write it like 2026-11-25T09:00:00Z"));
    }
    parsed
}

pub(super) async fn list(
    api: &Api,
    request: Request<proto::ListOrdersRequest>,
) -> Answer<proto::ListOrdersResponse> {
    Caller::of(&request)?;
    let asked = request.into_inner();
    let page = Page::parse(asked.page_size, &asked.page_token)?;
    let mut wrong = Violations::default();
    let after = moment(&mut wrong, "created_after", &asked.created_after);
    let before = moment(&mut wrong, "created_before", &asked.created_before);
    check_status(&mut wrong, &asked.status);
    wrong.done()?;
    reach(api, &asked.min_position).await?;
    let wanted = Wanted {
        status: asked.status,
        warehouse: asked.warehouse,
        contact_id: asked.contact_id,
        created_after_ms: after,
        created_before_ms: before,
        terms: None,
    };
    page_of(api, wanted, &page).await
}

pub(super) async fn search(
    api: &Api,
    request: Request<proto::SearchOrdersRequest>,
) -> Answer<proto::ListOrdersResponse> {
    Caller::of(&request)?;
    let asked = request.into_inner();
    let page = Page::parse(asked.page_size, &asked.page_token)?;
    let mut wrong = Violations::default();
    let query = wrong.text("query", &asked.query, 200);
    let after = moment(&mut wrong, "created_after", &asked.created_after);
    let before = moment(&mut wrong, "created_before", &asked.created_before);
    check_status(&mut wrong, &asked.status);
    wrong.done()?;
    reach(api, &asked.min_position).await?;
    let wanted = Wanted {
        status: asked.status,
        warehouse: asked.warehouse,
        contact_id: asked.contact_id,
        created_after_ms: after,
        created_before_ms: before,
        terms: Some(terms::ranges(&query, api.rules.country)),
    };
    page_of(api, wanted, &page).await
}

fn check_status(wrong: &mut Violations, status: &str) {
    if !status.is_empty() && !Headline::is_word(status) {
        let words = "pending, confirmed, processing, picked, packed, shipped, delivered, on_hold, \
            exception, returning, returned, cancelled";
        wrong.add("status", format!("is \"{status}\", allowed are: {words}"));
    }
}

async fn page_of(api: &Api, wanted: Wanted, page: &Page) -> Answer<proto::ListOrdersResponse> {
    let position = api.views.positions().to_string();
    let listed = orders::list(&api.views.pool(), wanted, page).await;
    let (rows, next_page_token) = listed.map_err(unreadable)?;
    let rows = rows.into_iter().map(|row| row.document.resource(row.person, position.clone()));
    Ok(Response::new(proto::ListOrdersResponse { orders: rows.collect(), next_page_token }))
}

pub(super) async fn timeline(
    api: &Api,
    request: Request<proto::GetTimelineRequest>,
) -> Answer<proto::GetTimelineResponse> {
    Caller::of(&request)?;
    let asked = request.into_inner();
    reach(api, &asked.min_position).await?;
    let order_id = resolve(api, &asked.order_id).await?;
    find(api, &order_id).await?;
    let entries = timeline::of_order(&api.views.pool(), &order_id).await.map_err(unreadable)?;
    Ok(Response::new(proto::GetTimelineResponse { entries }))
}
