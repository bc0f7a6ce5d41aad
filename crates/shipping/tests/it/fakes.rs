//! Servers that answer as order, fulfilment and inventory do, as far as shipping asks them; and the
//! door at which the courier posts.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use axum::Router;
use axum::body::Bytes;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::routing::post;
use nexus_es::log::{Append, EventLog};
use nexus_es::memory::MemoryLog;
use nexus_es::seal::Vault;
use nexus_es::{Actor, AggregateId, Cause, Commit, Entry, Payload, Version, clock, new_id};
use nexus_proto::common::v1::Money;
use nexus_proto::fulfillment::v1 as fulfillment;
use nexus_proto::fulfillment::v1::fulfillment_service_server::FulfillmentService;
use nexus_proto::ingress::v1::InboxReceived;
use nexus_proto::inventory::v1 as inventory;
use nexus_proto::inventory::v1::inventory_service_server::InventoryService;
use nexus_proto::order::v1 as order;
use nexus_proto::order::v1::order_service_server::OrderService;
use nexus_runtime::status;
use prost::Message;
use tonic::{Request, Response, Status};

#[derive(Clone, Default)]
pub(crate) struct Orders {
    pub(crate) known: Arc<Mutex<BTreeMap<String, order::OrderForFulfillment>>>,
    pub(crate) people: Arc<Mutex<BTreeMap<String, order::GetRecipientResponse>>>,
}

#[tonic::async_trait]
impl OrderService for Orders {
    async fn get_order(
        &self,
        request: Request<order::GetOrderRequest>,
    ) -> Result<Response<order::Order>, Status> {
        let asked = request.into_inner().order_id;
        let known = self.known.lock().unwrap();
        let found = known.values().find(|order| order.number == asked || order.order_id == asked);
        let found = found.ok_or_else(|| status::not_found("order", &asked))?;
        let order_id = found.order_id.clone();
        Ok(Response::new(order::Order { order_id, ..Default::default() }))
    }

    async fn get_order_for_fulfillment(
        &self,
        request: Request<order::GetOrderForFulfillmentRequest>,
    ) -> Result<Response<order::OrderForFulfillment>, Status> {
        let id = request.into_inner().order_id;
        let known = self.known.lock().unwrap().get(&id).cloned();
        known.map(Response::new).ok_or_else(|| status::not_found("order", &id))
    }

    async fn get_recipient(
        &self,
        request: Request<order::GetRecipientRequest>,
    ) -> Result<Response<order::GetRecipientResponse>, Status> {
        let id = request.into_inner().order_id;
        let known = self.people.lock().unwrap().get(&id).cloned();
        known.map(Response::new).ok_or_else(|| status::not_found("order", &id))
    }

    async fn await_order(
        &self,
        request: Request<order::AwaitOrderRequest>,
    ) -> Result<Response<order::AwaitOrderResponse>, Status> {
        Ok(Response::new(order::AwaitOrderResponse {
            settled: true,
            status: request.into_inner().stage,
            position: "order:7".to_owned(),
        }))
    }
}

pub(crate) fn egp(amount: &str) -> Option<Money> {
    Some(Money { amount: amount.to_owned(), currency: "EGP".to_owned() })
}

#[derive(Clone, Default)]
pub(crate) struct Fulfillments {
    pub(crate) known: Arc<Mutex<BTreeMap<String, fulfillment::Fulfillment>>>,
}

#[tonic::async_trait]
impl FulfillmentService for Fulfillments {
    async fn get_fulfillment(
        &self,
        request: Request<fulfillment::GetFulfillmentRequest>,
    ) -> Result<Response<fulfillment::Fulfillment>, Status> {
        let id = request.into_inner().fulfillment_id;
        let known = self.known.lock().unwrap().get(&id).cloned();
        known.map(Response::new).ok_or_else(|| status::not_found("fulfillment", &id))
    }

    async fn list_fulfillments(
        &self,
        request: Request<fulfillment::ListFulfillmentsRequest>,
    ) -> Result<Response<fulfillment::ListFulfillmentsResponse>, Status> {
        let asked = request.into_inner();
        let known = self.known.lock().unwrap();
        let of_order = known.values().filter(|one| one.order_id == asked.order_id);
        Ok(Response::new(fulfillment::ListFulfillmentsResponse {
            fulfillments: of_order.cloned().collect(),
            next_page_token: String::new(),
        }))
    }
}

/// The inventory service: what it shipped, or a no to everything.
#[derive(Clone, Default)]
pub(crate) struct Inventory {
    pub(crate) shipped: Arc<Mutex<Vec<inventory::ShipRequest>>>,
    pub(crate) refusing: Arc<Mutex<bool>>,
    /// How many more times it is not there.
    pub(crate) away: Arc<Mutex<u32>>,
}

#[tonic::async_trait]
impl InventoryService for Inventory {
    async fn ship(
        &self,
        request: Request<inventory::ShipRequest>,
    ) -> Result<Response<inventory::Reservation>, Status> {
        let mut away = self.away.lock().unwrap();
        if *away > 0 {
            *away -= 1;
            return Err(status::unavailable("inventory is away"));
        }
        if *self.refusing.lock().unwrap() {
            return Err(status::refused("NOTHING_PICKED", "nothing is picked for it", &[]));
        }
        self.shipped.lock().unwrap().push(request.into_inner());
        Ok(Response::new(inventory::Reservation::default()))
    }
}

/// Where the courier posts: a webhook becomes an event of ingress, as ingress would write it.
#[derive(Clone)]
pub(crate) struct Door {
    pub(crate) log: MemoryLog,
    pub(crate) vault: Arc<Vault>,
    /// The account behind each token.
    pub(crate) accounts: Arc<Mutex<BTreeMap<String, String>>>,
    /// The courier's posts get lost.
    pub(crate) is_shut: Arc<Mutex<bool>>,
}

impl Door {
    pub(crate) fn router(self) -> Router {
        Router::new().route("/tracking-webhook/{token}", post(posted)).with_state(self)
    }

    /// Stores a webhook for an account.
    pub(crate) async fn keep(&self, account: &str, body: &[u8]) {
        let sealed = self.vault.seal("inbox-2026-11", "inbox.Received.body", body).await.unwrap();
        let received = InboxReceived {
            kind: "courier".to_owned(),
            account_id: account.to_owned(),
            received_at_ms: clock::now_ms(),
            body: Some(sealed),
            ..InboxReceived::default()
        };
        let payload = Payload {
            event_type: "inbox.Received".to_owned(),
            schema: 1,
            bytes: received.encode_to_vec(),
        };
        // An inbox of its own for each, so that none conflicts with another.
        let aggregate = AggregateId::new("ingress", "inbox", &new_id().to_string()).unwrap();
        let commit_id = new_id();
        let commit = Commit {
            commit_id,
            aggregate: aggregate.clone(),
            number: 1,
            previous_sha256: Vec::new(),
            entries: vec![Entry { cause: cause("inbox"), events: vec![(new_id(), payload)] }],
        };
        let append = Append {
            aggregate,
            expected: Version::NONE,
            commit_id,
            bytes: commit.encode(),
            traceparent: String::new(),
        };
        self.log.append(append).await.unwrap();
    }
}

async fn posted(State(door): State<Door>, Path(token): Path<String>, body: Bytes) -> StatusCode {
    if *door.is_shut.lock().unwrap() {
        return StatusCode::OK;
    }
    let account = door.accounts.lock().unwrap().get(&token).cloned();
    let Some(account) = account else { return StatusCode::NOT_FOUND };
    door.keep(&account, &body).await;
    StatusCode::OK
}

pub(crate) fn cause(story: &str) -> Cause {
    Cause {
        occurred_at_ms: clock::now_ms(),
        learned_at_ms: clock::now_ms(),
        command_id: new_id(),
        request_hash: Vec::new(),
        story: story.to_owned(),
        causation_id: None,
        actor: Actor::service("test"),
        traceparent: String::new(),
    }
}
