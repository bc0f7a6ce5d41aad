//! One running service with its neighbours, and the steps that tests share.

use std::collections::BTreeMap;
use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use nexus_es::commit::sha256;
use nexus_es::log::{Append, EventLog};
use nexus_es::memory::{
    MemoryBlobs, MemoryCheckpoints, MemoryKeyStore, MemoryLeases, MemoryLog, MemoryTimers,
};
use nexus_es::seal::{MasterKeys, Vault};
use nexus_es::tasks::Tasks;
use nexus_es::views::Views;
use nexus_es::{
    Actor, ActorKind, AggregateId, Cause, Commit, Entry, Payload, Version, clock, new_id,
};
use nexus_proto::common::v1::{AllocatedLine, Allocation, SkuUnits};
use nexus_proto::fulfillment::v1 as proto;
use nexus_proto::fulfillment::v1::fulfillment_service_client::FulfillmentServiceClient;
use nexus_proto::inventory::v1 as inventory;
use nexus_proto::inventory::v1::inventory_service_server::InventoryServiceServer;
use nexus_proto::order::v1 as order;
use nexus_proto::order::v1::order_service_server::OrderServiceServer;
use nexus_runtime::rpc::{KeyCheck, RpcLayer};
use nexus_runtime::{Channels, Ports, Running, Secrets};
use nexus_test_postgres::Place;
use prost::Message;
use tokio::net::TcpListener;
use tokio_stream::wrappers::TcpListenerStream;
use tonic::metadata::MetadataValue;
use tonic::service::RoutesBuilder;
use tonic::transport::{Channel, Server};
use tonic::{Code, Request, Response, Status};

use crate::fakes::{Inventory, Orders};

const PATIENCE: Duration = Duration::from_secs(20);

struct AnyKey;

impl KeyCheck for AnyKey {
    fn check(&self, key: &str) -> Option<Actor> {
        let (id, warehouse) = key.split_once('@').unwrap_or((key, ""));
        Some(Actor {
            kind: ActorKind::Key,
            id: id.to_owned(),
            roles: vec![],
            warehouse: warehouse.to_owned(),
        })
    }
}

/// An aggregate's version, its last commit's number and digest.
type Last = (Version, u64, Vec<u8>);

pub(crate) struct Shop {
    pub(crate) log: MemoryLog,
    pub(crate) orders: Orders,
    pub(crate) inventory: Inventory,
    pub(crate) running: Running,
    pub(crate) tasks: Tasks,
    client: FulfillmentServiceClient<Channel>,
    told: std::sync::Mutex<BTreeMap<String, Last>>,
    place: Place,
}

impl Shop {
    pub(crate) async fn open() -> Self {
        Self::open_over(MemoryLog::default()).await
    }

    /// A service that starts on what `log` holds already.
    pub(crate) async fn open_over(log: MemoryLog) -> Self {
        Self::open_in(log, Place::new().unwrap()).await
    }

    /// The digest of the same log's views in the other kind of database. Of the views alone: the
    /// processes of a second shop would act on what they read.
    pub(crate) async fn digest_in_the_other_database(&self) -> String {
        let (place, tasks) = (self.place.other().unwrap(), Tasks::default());
        let config = nexus_fulfillment::views_config(place.setting().parse().unwrap());
        let other = Views::start(config, Arc::new(self.log.clone()), tasks.clone()).await.unwrap();
        let read = self.running.views.positions();
        other.wait_for(&read, Duration::from_secs(10)).await.unwrap();
        let digest = other.content_hash().await.unwrap();
        tasks.shut_down(Duration::from_secs(5)).await;
        digest
    }

    async fn open_in(log: MemoryLog, place: Place) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let uri = format!("http://{}", listener.local_addr().unwrap());
        // The same in each shop: a restart keeps them.
        let mut root = MasterKeys::generate().unwrap();
        root.fill(7);
        let secrets = Arc::new(Secrets::new(root));
        let masters = MasterKeys::new(MasterKeys::generate().unwrap()).unwrap();
        let tasks = Tasks::default();
        let ports = Ports {
            log: Arc::new(log.clone()),
            leases: Arc::new(MemoryLeases::default()),
            checkpoints: Arc::new(MemoryCheckpoints::default()),
            timers: Arc::new(MemoryTimers::default()),
            blobs: Arc::new(MemoryBlobs::default()),
            vault: Arc::new(Vault::new(Arc::new(MemoryKeyStore::default()), masters)),
            tasks: tasks.clone(),
            processes: tasks.clone(),
            database: place.setting().parse().unwrap(),
            channels: Channels::shared(&uri, Arc::clone(&secrets)).unwrap(),
            secrets: Arc::clone(&secrets),
            speed: 1.0,
        };
        let (orders, inventory) = (Orders::default(), Inventory::default());
        let mut routes = RoutesBuilder::default();
        routes.add_service(OrderServiceServer::new(orders.clone()));
        let max = nexus_runtime::channels::MAX_MESSAGE;
        let ledger = InventoryServiceServer::new(inventory.clone());
        routes.add_service(ledger.max_decoding_message_size(max));
        let config = nexus_fulfillment::Config::default();
        let running = nexus_fulfillment::run(ports, config, &mut routes).await.unwrap();
        let stop = tasks.stopping();
        tasks.spawn("server", async move {
            let layer = RpcLayer::new(secrets, Arc::new(AnyKey));
            let server = Server::builder().layer(layer).add_routes(routes.routes());
            let incoming = TcpListenerStream::new(listener);
            server.serve_with_incoming_shutdown(incoming, stop.cancelled_owned()).await.unwrap();
        });
        let channel = Channel::from_shared(uri).unwrap().connect_lazy();
        let client = FulfillmentServiceClient::new(channel).max_decoding_message_size(max);
        let told = std::sync::Mutex::default();
        Self { log, orders, inventory, running, tasks, client, told, place }
    }

    pub(crate) fn client(&self) -> FulfillmentServiceClient<Channel> {
        self.client.clone()
    }

    /// A product with a barcode for one unit and one for a case of six.
    pub(crate) fn sells(&self, sku: &str) {
        let barcode = |code: String, units| inventory::Barcode { code, units };
        let product = inventory::Product {
            sku: sku.to_owned(),
            name: format!("The {}", sku.to_lowercase()),
            barcodes: vec![barcode(format!("{sku}-EACH"), 1), barcode(format!("{sku}-CASE"), 6)],
            stocked: true,
            ..Default::default()
        };
        self.inventory.products.lock().unwrap().insert(sku.to_owned(), product);
    }

    /// A confirmed order: its lines are (SKU, units, bin) in one warehouse.
    pub(crate) async fn confirm(
        &self,
        order_id: &str,
        warehouse: &str,
        lines: &[(&str, u32, &str)],
    ) {
        let allocation = allocation(warehouse, lines);
        self.hold(order_id, warehouse, lines);
        self.confirm_allocated(order_id, lines, vec![allocation]).await;
    }

    /// The ledger holds these units for the order's first attempt.
    pub(crate) fn hold(&self, order_id: &str, warehouse: &str, lines: &[(&str, u32, &str)]) {
        let places = lines.iter().map(|(sku, units, bin)| inventory::AllocatedBin {
            sku: (*sku).to_owned(),
            bin: (*bin).to_owned(),
            lot: String::new(),
            units: *units,
            zone: bin.split('-').next().unwrap_or_default().to_owned(),
            pick_sequence: bin.rsplit('-').next().unwrap().parse().unwrap(),
        });
        let name = (warehouse.to_owned(), format!("{order_id}/1"));
        self.inventory.held.lock().unwrap().insert(name, places.collect());
    }

    pub(crate) async fn confirm_allocated(
        &self,
        order_id: &str,
        lines: &[(&str, u32, &str)],
        allocation: Vec<Allocation>,
    ) {
        let lines = lines.iter().enumerate().map(|(nth, (sku, units, _))| order::OrderLine {
            line_id: format!("l{nth}"),
            sku: (*sku).to_owned(),
            name: format!("{sku} as ordered"),
            units: *units,
            ..Default::default()
        });
        let known = order::OrderForFulfillment {
            order_id: order_id.to_owned(),
            number: format!("NX-{}", order_id.len()),
            status: "confirmed".to_owned(),
            lifecycle: "confirmed".to_owned(),
            attempt: 1,
            lines: lines.collect(),
            allocation: allocation.clone(),
            ..Default::default()
        };
        self.orders.known.lock().unwrap().insert(order_id.to_owned(), known);
        let confirmed =
            order::OrderConfirmed { attempt: 1, allocation, unstocked_line_ids: vec![] };
        self.tell(("order", "order", order_id), "order.Confirmed", &confirmed).await;
    }

    pub(crate) async fn cancel_order(&self, order_id: &str) {
        if let Some(known) = self.orders.known.lock().unwrap().get_mut(order_id) {
            known.lifecycle = "cancelled".to_owned();
            known.status = "cancelled".to_owned();
        }
        let cancelled = order::OrderCancelled { reason: "changed their mind".to_owned() };
        self.tell(("order", "order", order_id), "order.Cancelled", &cancelled).await;
    }

    /// Appends an event of another service.
    pub(crate) async fn tell(
        &self,
        (service, category, id): (&str, &str, &str),
        event_type: &str,
        message: &impl Message,
    ) {
        let now = clock::now_ms();
        let cause = Cause {
            occurred_at_ms: now,
            learned_at_ms: now,
            command_id: new_id(),
            request_hash: vec![],
            story: id.to_owned(),
            causation_id: None,
            actor: Actor::service(service),
            traceparent: String::new(),
        };
        let payload = Payload {
            event_type: event_type.to_owned(),
            schema: 1,
            bytes: message.encode_to_vec(),
        };
        let aggregate = AggregateId::new(service, category, id).unwrap();
        let before = self.told.lock().unwrap().get(&aggregate.to_string()).cloned();
        let (expected, number, previous_sha256) = before.unwrap_or_default();
        let commit = Commit {
            commit_id: new_id(),
            aggregate: aggregate.clone(),
            number: number + 1,
            previous_sha256,
            entries: vec![Entry { cause, events: vec![(new_id(), payload)] }],
        };
        let bytes = commit.encode();
        let append = Append {
            aggregate: aggregate.clone(),
            expected,
            commit_id: commit.commit_id,
            bytes: bytes.clone(),
            traceparent: String::new(),
        };
        let appended = self.log.append(append).await.unwrap();
        let told = (appended.version, number + 1, sha256(&bytes));
        self.told.lock().unwrap().insert(aggregate.to_string(), told);
    }

    pub(crate) async fn generate(&self, order_ids: &[&str]) -> Vec<proto::PickList> {
        self.try_generate(order_ids).await.unwrap().into_inner().pick_lists
    }

    pub(crate) async fn try_generate(
        &self,
        order_ids: &[&str],
    ) -> Result<Response<proto::GeneratePickListsResponse>, Status> {
        let order_ids = order_ids.iter().map(|id| (*id).to_owned()).collect();
        let asked = proto::GeneratePickListsRequest { order_ids, warehouse: None };
        self.client().generate_pick_lists(by("nour", asked)).await
    }

    pub(crate) async fn scan(&self, list: &str, barcode: &str) -> proto::ScanResponse {
        self.scan_in(list, "", barcode, "").await
    }

    pub(crate) async fn scan_in(
        &self,
        list: &str,
        bin: &str,
        barcode: &str,
        scan_id: &str,
    ) -> proto::ScanResponse {
        let given = |text: &str| Some(text.to_owned()).filter(|text| !text.is_empty());
        let asked = proto::ScanRequest {
            pick_list_id: list.to_owned(),
            bin: given(bin),
            barcode: barcode.to_owned(),
            scan_id: given(scan_id),
        };
        self.client().scan(by("nour", asked)).await.unwrap().into_inner()
    }

    pub(crate) async fn complete(&self, list: &str) -> Result<proto::PickList, Status> {
        let asked = proto::CompletePickListRequest { pick_list_id: list.to_owned() };
        let completed = self.client().complete_pick_list(by("nour", asked)).await;
        completed.map(Response::into_inner)
    }

    pub(crate) async fn of_order(&self, order_id: &str) -> Vec<proto::Fulfillment> {
        let asked =
            proto::ListFulfillmentsRequest { order_id: order_id.to_owned(), ..Default::default() };
        let listed = self.client().list_fulfillments(by("nour", asked)).await.unwrap();
        listed.into_inner().fulfillments
    }

    /// Waits until the only fulfilment of an order is as `check` wants it.
    pub(crate) async fn fulfillment(
        &self,
        order_id: &str,
        check: impl Fn(&proto::Fulfillment) -> bool,
    ) -> proto::Fulfillment {
        eventually(|| async {
            let found = self.of_order(order_id).await;
            found.into_iter().find(|fulfillment| check(fulfillment))
        })
        .await
    }

    pub(crate) async fn pack(
        &self,
        fulfillment_id: &str,
        parcels: &[&[(&str, u32)]],
    ) -> Result<proto::Fulfillment, Status> {
        let parcels = parcels.iter().map(|contents| proto::ParcelToPack {
            r#box: Some("M".to_owned()),
            weight_grams: 700,
            dimensions_mm: None,
            contents: contents
                .iter()
                .map(|(sku, units)| SkuUnits { sku: (*sku).to_owned(), units: *units })
                .collect(),
        });
        let fulfillment_id = fulfillment_id.to_owned();
        let asked = proto::PackRequest { fulfillment_id, parcels: parcels.collect() };
        self.client().pack(by("nour", asked)).await.map(Response::into_inner)
    }

    pub(crate) async fn close(self) {
        self.tasks.shut_down(PATIENCE).await;
    }
}

pub(crate) fn allocation(warehouse: &str, lines: &[(&str, u32, &str)]) -> Allocation {
    let lines = lines.iter().enumerate().map(|(nth, (sku, units, _))| AllocatedLine {
        line_id: format!("l{nth}"),
        sku: (*sku).to_owned(),
        units: *units,
    });
    Allocation { warehouse: warehouse.to_owned(), lines: lines.collect() }
}

/// A request of `person`, who may be bound to a warehouse: `omar@ALX`.
pub(crate) fn by<M>(person: &str, message: M) -> Request<M> {
    let mut request = Request::new(message);
    let key = MetadataValue::try_from(format!("Bearer {person}")).unwrap();
    request.metadata_mut().insert("authorization", key);
    request
}

/// The same with an idempotency key.
pub(crate) fn keyed<M>(key: &str, message: M) -> Request<M> {
    let mut request = by("nour", message);
    request.metadata_mut().insert("idempotency-key", MetadataValue::try_from(key).unwrap());
    request
}

/// Asks until there is an answer, with a deadline.
pub(crate) async fn eventually<T, F: Future<Output = Option<T>>>(ask: impl Fn() -> F) -> T {
    let asking = async {
        let mut often = tokio::time::interval(Duration::from_millis(5));
        loop {
            often.tick().await;
            if let Some(found) = ask().await {
                return found;
            }
        }
    };
    tokio::time::timeout(PATIENCE, asking).await.expect("it did not come to be in time")
}

#[track_caller]
pub(crate) fn assert_refused<T: std::fmt::Debug>(
    answer: Result<T, Status>,
    reason: &str,
    words: &str,
) {
    let no = answer.expect_err("it was accepted");
    assert_eq!(no.code(), Code::FailedPrecondition, "{no:?}");
    assert_eq!(nexus_runtime::status::reason(&no).as_deref(), Some(reason), "{no:?}");
    assert!(no.message().contains(words), "\"{}\" does not say \"{words}\"", no.message());
}
