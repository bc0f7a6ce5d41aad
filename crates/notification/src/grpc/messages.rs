//! Messages, read only: what is sent follows from events, not from calls.

use nexus_proto::notification::v1 as proto;
use nexus_runtime::page::Page;
use nexus_runtime::time::rfc3339;
use nexus_runtime::{Violations, status};
use tonic::Status;

use super::{Notification, unreadable};
use crate::views::messages::{self, Row};

const STATUSES: [&str; 6] = ["requested", "sent", "delivered", "read", "failed", "suppressed"];

impl Notification {
    pub(super) async fn listed_messages(
        &self,
        request: proto::ListMessagesRequest,
    ) -> Result<proto::ListMessagesResponse, Status> {
        let page = Page::parse(request.page_size, &request.page_token)?;
        let after = place(&page)?;
        if !request.status.is_empty() {
            let mut violations = Violations::default();
            violations.one_of("status", &request.status, &STATUSES);
            violations.done()?;
        }
        self.reach(&request.min_position).await?;
        let after = (after.0, after.1.as_str());
        let (order_id, status) = (request.order_id.as_str(), request.status.as_str());
        let pool = self.0.views.pool();
        let rows = messages::list(&pool, order_id, status, after, page.limit()).await;
        let mut rows = rows.map_err(unreadable)?;
        let key = |row: &Row| vec![row.created_at_ms.to_string(), row.id.clone()];
        let next_page_token = page.cut(&mut rows, key);
        let messages = rows.into_iter().map(to_proto).collect();
        Ok(proto::ListMessagesResponse { messages, next_page_token })
    }

    pub(super) async fn read_message(
        &self,
        request: proto::GetMessageRequest,
    ) -> Result<proto::Message, Status> {
        self.reach(&request.min_position).await?;
        let row = messages::get(&self.0.views.pool(), &request.message_id).await;
        let row = row.map_err(unreadable)?;
        row.map(to_proto).ok_or_else(|| status::not_found("message", &request.message_id))
    }
}

/// Time and id of the last row of the page before.
fn place(page: &Page) -> Result<(i64, String), Status> {
    let Some(after) = &page.after else { return Ok((i64::MIN, String::new())) };
    let place = match after.as_slice() {
        [at_ms, id] => at_ms.parse().ok().map(|at_ms| (at_ms, id.clone())),
        _ => None,
    };
    let bad = || status::invalid_field("page_token", "is not one that Nexus gave out");
    place.ok_or_else(bad)
}

fn to_proto(row: Row) -> proto::Message {
    proto::Message {
        message_id: row.id,
        order_id: row.order_id,
        shipment_id: row.shipment_id,
        milestone: row.milestone,
        channel: row.channel,
        language: row.language,
        status: row.status,
        reason: row.reason,
        body: row.body.unwrap_or_default(),
        provider_id: row.provider_id,
        attempts: u32::try_from(row.attempts).unwrap_or_default(),
        created_at: rfc3339(row.created_at_ms),
        sent_at: row.sent_at_ms.map(rfc3339),
        delivered_at: row.delivered_at_ms.map(rfc3339),
        read_at: row.read_at_ms.map(rfc3339),
        detail: row.detail.filter(|detail| !detail.is_empty()),
    }
}
