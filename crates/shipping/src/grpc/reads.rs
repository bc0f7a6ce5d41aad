//! Questions: shipments, their updates, what is unmatched, the public page.

use nexus_es::commit::sha256;
use nexus_proto::common::v1::Recipient;
use nexus_proto::shipping::v1 as proto;
use nexus_runtime::caller::Caller;
use nexus_runtime::page::Page;
use nexus_runtime::status;
use nexus_runtime::time::rfc3339;
use prost::Message;
use tonic::{Response, Status};

use super::{Shipping, database};
use crate::domain::CourierKind;
use crate::processes::apply_courier_event::RAW;
use crate::processes::create_awb::RECIPIENT;
use crate::views::shipments::{self, Wanted};
use crate::views::{accounts, awb_status_logs, unmatched};

/// Scans on the public page at most.
const PUBLIC_SCANS: u32 = 500;

impl Shipping {
    pub(super) async fn list_shipments(
        &self,
        _: &Caller,
        body: proto::ListShipmentsRequest,
    ) -> Result<Response<proto::ListShipmentsResponse>, Status> {
        let page = Page::parse(body.page_size, &body.page_token)?;
        self.wait_for(&body.min_position).await?;
        let wanted = Wanted {
            status: body.status,
            courier: body.courier,
            tracking_number: body.tracking_number,
            order_id: body.order_id,
            tracking_status: body.tracking_status,
            account: String::new(),
        };
        let listed = shipments::list(&self.parts.views.pool(), &wanted, &page).await;
        let (cards, next_page_token) = listed.map_err(database)?;
        let mut shipments = vec![];
        for card in cards {
            shipments.push(self.shipment_out(card).await?);
        }
        Ok(Response::new(proto::ListShipmentsResponse { shipments, next_page_token }))
    }

    pub(super) async fn get_shipment(
        &self,
        _: &Caller,
        body: proto::GetShipmentRequest,
    ) -> Result<Response<proto::Shipment>, Status> {
        self.wait_for(&body.min_position).await?;
        let id = &body.shipment_id;
        let card = shipments::find(&self.parts.views.pool(), id).await.map_err(database)?;
        let card = card.ok_or_else(|| status::not_found("shipment", id))?;
        self.shipment_out(card).await.map(Response::new)
    }

    pub(super) async fn list_awb_status_logs(
        &self,
        _: &Caller,
        body: proto::ListAwbStatusLogsRequest,
    ) -> Result<Response<proto::ListAwbStatusLogsResponse>, Status> {
        let page = Page::parse(body.page_size, &body.page_token)?;
        self.wait_for(&body.min_position).await?;
        let (pool, id) = (self.parts.views.pool(), &body.shipment_id);
        if shipments::find(&pool, id).await.map_err(database)?.is_none() {
            return Err(status::not_found("shipment", id));
        }
        let listed = awb_status_logs::list(&pool, id, &page).await;
        let (rows, next_page_token) = listed.map_err(database)?;
        let mut logs = vec![];
        for row in rows {
            let raw = self.raw_out(&row.raw, RAW).await?;
            logs.push(proto::AwbStatusLog { raw, ..row.log });
        }
        Ok(Response::new(proto::ListAwbStatusLogsResponse { logs, next_page_token }))
    }

    pub(super) async fn list_unmatched_courier_events(
        &self,
        _: &Caller,
        body: proto::ListUnmatchedCourierEventsRequest,
    ) -> Result<Response<proto::ListUnmatchedCourierEventsResponse>, Status> {
        let page = Page::parse(body.page_size, &body.page_token)?;
        self.wait_for(&body.min_position).await?;
        let pool = self.parts.views.pool();
        let listed = unmatched::list(&pool, &body.tracking_number, &page).await;
        let (rows, next_page_token) = listed.map_err(database)?;
        let mut events = vec![];
        for row in rows {
            let account = accounts::find(&pool, &row.account).await.map_err(database)?;
            let courier = account.and_then(|card| card.shown).map(|shown| shown.courier);
            let courier = courier.unwrap_or_default();
            if !body.courier.is_empty() && body.courier != courier {
                continue;
            }
            events.push(proto::UnmatchedCourierEvent {
                tracking_number: row.tracking_number,
                raw: self.raw_out(&row.body, unmatched::BODY).await?,
                courier,
                courier_account_id: row.account,
                received_at: rfc3339(row.received_ms),
                event_id: row.event_id,
            });
        }
        let answer = proto::ListUnmatchedCourierEventsResponse { events, next_page_token };
        Ok(Response::new(answer))
    }

    pub(super) async fn get_public_tracking(
        &self,
        _: &Caller,
        body: proto::GetPublicTrackingRequest,
    ) -> Result<Response<proto::PublicTracking>, Status> {
        let pool = self.parts.views.pool();
        let unknown = || status::not_found("tracking link", "");
        let hash = hex::encode(sha256(body.token.as_bytes()));
        let card = shipments::find_by_token(&pool, &hash).await.map_err(database)?;
        let card = card.ok_or_else(unknown)?;
        // An erased person has no page any more.
        let sealed = card.recipient.unwrap_or_default();
        let clear = self.opened(&sealed, RECIPIENT).await?.ok_or_else(unknown)?;
        let recipient = Recipient::decode(clear.as_slice());
        let recipient = recipient.map_err(|error| status::internal(&error))?;
        let shown = card.shown.unwrap_or_default();
        let page = Page::parse(PUBLIC_SCANS, "")?;
        let logs = awb_status_logs::list(&pool, &shown.shipment_id, &page).await;
        let (logs, _) = logs.map_err(database)?;
        let scans = logs.into_iter().map(|row| row.log).filter(|log| {
            log.confirmed && !log.duplicate && log.awb == shown.awb && log.status != "unrecognised"
        });
        let mut scans: Vec<_> = scans
            .map(|log| proto::PublicScan { occurred_at: log.occurred_at, status: log.status })
            .collect();
        scans.sort_by(|one, other| one.occurred_at.cmp(&other.occurred_at));
        let first_name = recipient.name.split_whitespace().next().unwrap_or_default();
        Ok(Response::new(proto::PublicTracking {
            order_number: shown.order_number,
            first_name: first_name.to_owned(),
            city: recipient.address.map(|address| address.city).unwrap_or_default(),
            courier: CourierKind::parse(&shown.courier).unwrap_or_default().name().to_owned(),
            tracking_number: shown.tracking_number,
            tracking_url: shown.tracking_url,
            tracking_status: shown.tracking_status,
            scans,
            language: card.language,
        }))
    }
}
