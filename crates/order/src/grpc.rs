//! Requests → commands → replies; refusals → statuses.

mod amend;
mod answers;
mod contacts;
mod create;
mod erasure;
mod inner;
mod parse;
mod refusals;
mod steps;

use std::sync::Arc;
use std::time::Duration;

use aws_lc_rs::hmac;
use nexus_es::Handler;
use nexus_es::seal::Vault;
use nexus_es::views::Views;
use nexus_proto::order::v1 as proto;
use nexus_proto::order::v1::order_service_server::OrderService;
use nexus_runtime::Channels;
use tonic::{Request, Response, Status};

use crate::domain::contact::Contact;
use crate::domain::order::Order;
use crate::domain::phone_claim::PhoneClaim;
use crate::history::History;
use crate::numbers::Numbers;
use crate::phone::Country;

/// How long a call waits for its consequences, and a read for its position.
const PATIENCE: Duration = Duration::from_secs(2);

/// How requests are read.
#[derive(Clone)]
pub(crate) struct Rules {
    /// Whose national phone spellings are understood.
    pub(crate) country: Country,
    pub(crate) country_code: String,
    /// The language of contacts that named none.
    pub(crate) language: String,
}

/// The order service.
pub(crate) struct Api {
    pub(crate) orders: Handler<Order>,
    pub(crate) contacts: Handler<Contact>,
    pub(crate) claims: Handler<PhoneClaim>,
    pub(crate) numbers: Numbers,
    pub(crate) views: Arc<Views>,
    pub(crate) vault: Arc<Vault>,
    pub(crate) history: History,
    pub(crate) channels: Channels,
    pub(crate) rules: Rules,
    pub(crate) phone_key: hmac::Key,
    /// One at a time looks a phone up and claims it, so that a rush makes one contact.
    pub(crate) claiming: Vec<tokio::sync::Mutex<()>>,
}

type Answer<M> = Result<Response<M>, Status>;

#[tonic::async_trait]
impl OrderService for Api {
    async fn create_contact(
        &self,
        request: Request<proto::CreateContactRequest>,
    ) -> Answer<proto::Contact> {
        contacts::create(self, request).await
    }

    async fn get_contact(
        &self,
        request: Request<proto::GetContactRequest>,
    ) -> Answer<proto::Contact> {
        contacts::get(self, request).await
    }

    async fn find_contact(
        &self,
        request: Request<proto::FindContactRequest>,
    ) -> Answer<proto::Contact> {
        contacts::find(self, request).await
    }

    async fn amend_contact(
        &self,
        request: Request<proto::AmendContactRequest>,
    ) -> Answer<proto::Contact> {
        contacts::amend(self, request).await
    }

    async fn erase_contact(
        &self,
        request: Request<proto::EraseContactRequest>,
    ) -> Answer<proto::Contact> {
        contacts::erase(self, request).await
    }

    async fn get_erasure_certificate(
        &self,
        request: Request<proto::GetErasureCertificateRequest>,
    ) -> Answer<proto::ErasureCertificate> {
        erasure::certificate(self, request).await
    }

    async fn record_consent(
        &self,
        request: Request<proto::RecordConsentRequest>,
    ) -> Answer<proto::Contact> {
        contacts::record_consent(self, request).await
    }

    async fn create_order(
        &self,
        request: Request<proto::CreateOrderRequest>,
    ) -> Answer<proto::Order> {
        create::create(self, request).await
    }

    async fn get_order(&self, request: Request<proto::GetOrderRequest>) -> Answer<proto::Order> {
        answers::get(self, request).await
    }

    async fn list_orders(
        &self,
        request: Request<proto::ListOrdersRequest>,
    ) -> Answer<proto::ListOrdersResponse> {
        answers::list(self, request).await
    }

    async fn search_orders(
        &self,
        request: Request<proto::SearchOrdersRequest>,
    ) -> Answer<proto::ListOrdersResponse> {
        answers::search(self, request).await
    }

    async fn amend_order(
        &self,
        request: Request<proto::AmendOrderRequest>,
    ) -> Answer<proto::Order> {
        amend::amend(self, request).await
    }

    async fn confirm_order(
        &self,
        request: Request<proto::ConfirmOrderRequest>,
    ) -> Answer<proto::Order> {
        steps::confirm(self, request).await
    }

    async fn cancel_order(
        &self,
        request: Request<proto::CancelOrderRequest>,
    ) -> Answer<proto::Order> {
        steps::cancel(self, request).await
    }

    async fn hold_order(&self, request: Request<proto::HoldOrderRequest>) -> Answer<proto::Order> {
        steps::hold(self, request).await
    }

    async fn release_order(
        &self,
        request: Request<proto::ReleaseOrderRequest>,
    ) -> Answer<proto::Order> {
        steps::release(self, request).await
    }

    async fn add_note(&self, request: Request<proto::AddNoteRequest>) -> Answer<proto::Order> {
        steps::add_note(self, request).await
    }

    async fn get_timeline(
        &self,
        request: Request<proto::GetTimelineRequest>,
    ) -> Answer<proto::GetTimelineResponse> {
        answers::timeline(self, request).await
    }

    async fn await_order(
        &self,
        request: Request<proto::AwaitOrderRequest>,
    ) -> Answer<proto::AwaitOrderResponse> {
        inner::await_order(self, request).await
    }

    async fn get_recipient(
        &self,
        request: Request<proto::GetRecipientRequest>,
    ) -> Answer<proto::GetRecipientResponse> {
        inner::get_recipient(self, request).await
    }

    async fn get_order_for_fulfillment(
        &self,
        request: Request<proto::GetOrderForFulfillmentRequest>,
    ) -> Answer<proto::OrderForFulfillment> {
        inner::get_order_for_fulfillment(self, request).await
    }
}
