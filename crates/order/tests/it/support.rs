//! A running order service, and what other services would have said to it.

use std::sync::Arc;
use std::time::Duration;

use nexus_es::log::{Append, EventLog};
use nexus_es::memory::{
    MemoryBlobs, MemoryCheckpoints, MemoryKeyStore, MemoryLeases, MemoryLog, MemoryTimers,
};
use nexus_es::ports::{Checkpoints, KeyStore, Leases, Timers};
use nexus_es::seal::{MasterKeys, Vault};
use nexus_es::tasks::Tasks;
use nexus_es::views::Database;
use nexus_es::{
    Actor, ActorKind, AggregateId, Cause, Commit, Entry, Heard, Payload, Position, Version, clock,
    commit, derived_id, new_id,
};
use nexus_order::Config;
use nexus_proto::common::v1::{Address, Money};
use nexus_proto::fulfillment::v1 as fulfillment;
use nexus_proto::inventory::v1::inventory_service_server::InventoryServiceServer;
use nexus_proto::order::v1 as proto;
use nexus_proto::order::v1::order_service_client::OrderServiceClient;
use nexus_runtime::channels::Client;
use nexus_runtime::rpc::{KeyCheck, RpcLayer};
use nexus_runtime::{Channels, Ports, Running, Secrets};
use nexus_test_postgres::Place;
use prost::Message;
use tokio::net::TcpListener;
use tokio_stream::wrappers::TcpListenerStream;
use tonic::service::RoutesBuilder;
use tonic::transport::Server;
use tonic::{Request, Response, Status};
use zeroize::Zeroizing;

use crate::inventory::Inventory;

pub(crate) const DEADLINE: Duration = Duration::from_secs(20);

struct OneKey;

impl KeyCheck for OneKey {
    fn check(&self, key: &str) -> Option<Actor> {
        (key == "test").then(|| Actor {
            kind: ActorKind::Key,
            id: "key-1".to_owned(),
            roles: vec!["manager".to_owned()],
            warehouse: String::new(),
        })
    }
}

pub(crate) struct World {
    pub(crate) log: Arc<dyn EventLog>,
    pub(crate) inventory: Inventory,
    pub(crate) running: Running,
    pub(crate) channels: Channels,
    pub(crate) client: OrderServiceClient<Client>,
    stores: Stores,
    tasks: Stop,
    place: Option<Place>,
}

/// Ends what runs when the test does.
pub(crate) struct Stop(Tasks);

impl Drop for Stop {
    fn drop(&mut self) {
        self.0.stopping().cancel();
    }
}

pub(crate) async fn world() -> World {
    world_with(Config::default()).await
}

/// What outlives a process: the ports, without what belongs to one run.
#[derive(Clone)]
pub(crate) struct Stores {
    pub(crate) log: Arc<dyn EventLog>,
    pub(crate) leases: Arc<dyn Leases>,
    pub(crate) checkpoints: Arc<dyn Checkpoints>,
    pub(crate) timers: Arc<dyn Timers>,
    pub(crate) keys: Arc<dyn KeyStore>,
    pub(crate) database: Database,
}

pub(crate) async fn world_with(config: Config) -> World {
    world_in(Place::new().unwrap(), config).await
}

pub(crate) async fn world_in(place: Place, config: Config) -> World {
    let stores = Stores {
        log: Arc::new(MemoryLog::default()),
        leases: Arc::new(MemoryLeases::default()),
        checkpoints: Arc::new(MemoryCheckpoints::default()),
        timers: Arc::new(MemoryTimers::default()),
        keys: Arc::new(MemoryKeyStore::default()),
        database: place.setting().parse().unwrap(),
    };
    let world = world_on(stores, Inventory::default(), config).await;
    World { place: Some(place), ..world }
}

/// The service over `stores`, beside an inventory that may have lived before.
pub(crate) async fn world_on(stores: Stores, inventory: Inventory, config: Config) -> World {
    let masters = MasterKeys::new(Zeroizing::new(vec![9; 32])).unwrap();
    let secrets = Arc::new(Secrets::new(Zeroizing::new(vec![7; 32])));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let uri = format!("http://{}", listener.local_addr().unwrap());
    let channels = Channels::shared(&uri, Arc::clone(&secrets)).unwrap();
    let tasks = Tasks::default();
    let kept = stores.clone();
    let ports = Ports {
        log: Arc::clone(&stores.log),
        leases: stores.leases,
        checkpoints: stores.checkpoints,
        timers: stores.timers,
        blobs: Arc::new(MemoryBlobs::default()),
        vault: Arc::new(Vault::new(stores.keys, masters)),
        tasks: tasks.clone(),
        processes: tasks.clone(),
        database: stores.database,
        channels: channels.clone(),
        secrets: Arc::clone(&secrets),
        speed: 1.0,
    };
    let mut routes = RoutesBuilder::default();
    routes.add_service(InventoryServiceServer::new(inventory.clone()));
    let running = nexus_order::run(ports, config, &mut routes).await.unwrap();
    let server = Server::builder()
        .layer(RpcLayer::new(secrets, Arc::new(OneKey)))
        .add_routes(routes.routes());
    let stop = tasks.stopping();
    tasks.spawn("server", async move {
        let incoming = TcpListenerStream::new(listener);
        server.serve_with_incoming_shutdown(incoming, stop.cancelled_owned()).await.unwrap();
    });
    tasks.spawn("fulfillment", open_fulfillments(Arc::clone(&stores.log), tasks.clone()));
    let client = OrderServiceClient::new(channels.channel()).max_decoding_message_size(8 << 20);
    World {
        log: stores.log,
        stores: kept,
        inventory,
        running,
        channels,
        client,
        tasks: Stop(tasks),
        place: None,
    }
}

/// Fulfillment's first step: a confirmed order gets one fulfilment a warehouse.
async fn open_fulfillments(log: Arc<dyn EventLog>, tasks: Tasks) {
    let mut tail = log.tail("order", Position::START).await.unwrap();
    loop {
        let commits = tokio::select! {
            () = tasks.stopping().cancelled_owned() => return,
            commits = tail.next(100) => commits.unwrap(),
        };
        for heard in commits.iter().flat_map(|commit| Heard::of(commit).unwrap()) {
            if heard.event_type() != "order.Confirmed" {
                continue;
            }
            let order_id = heard.aggregate.id.as_str();
            let confirmed = proto::OrderConfirmed::decode(heard.payload.bytes.as_slice()).unwrap();
            for part in confirmed.allocation {
                let opened = fulfillment::FulfillmentOpened {
                    order_id: order_id.to_owned(),
                    warehouse: part.warehouse.clone(),
                    ..fulfillment::FulfillmentOpened::default()
                };
                let id = fulfillment_id(order_id, &part.warehouse);
                let aggregate = AggregateId::new("fulfillment", "fulfillment", &id).unwrap();
                if !log.load(&aggregate, Version::NONE).await.unwrap().is_empty() {
                    continue;
                }
                let cause = heard.cause_for("fulfillment", &id, clock::now_ms(), String::new());
                append(&*log, ("fulfillment", "fulfillment", &id), "Opened", &opened, cause).await;
            }
        }
    }
}

pub(crate) fn fulfillment_id(order_id: &str, warehouse: &str) -> String {
    derived_id(&["fulfillment", order_id, "1", warehouse]).to_string()
}

pub(crate) fn cause_of(story: &str) -> Cause {
    let now = clock::now_ms();
    Cause {
        occurred_at_ms: now,
        learned_at_ms: now,
        command_id: new_id(),
        request_hash: Vec::new(),
        story: story.to_owned(),
        causation_id: None,
        actor: Actor::service("test"),
        traceparent: String::new(),
    }
}

/// Appends one event as the service that owns it would.
pub(crate) async fn append(
    log: &dyn EventLog,
    (service, category, id): (&str, &str, &str),
    event: &str,
    message: &impl Message,
    cause: Cause,
) {
    let aggregate = AggregateId::new(service, category, id).unwrap();
    let before = log.load(&aggregate, Version::NONE).await.unwrap();
    let last = before.last();
    let payload = Payload {
        event_type: format!("{category}.{event}"),
        schema: 1,
        bytes: message.encode_to_vec(),
    };
    let commit = Commit {
        commit_id: new_id(),
        aggregate: aggregate.clone(),
        number: u64::try_from(before.len()).unwrap() + 1,
        previous_sha256: last.map(|last| commit::sha256(&last.bytes)).unwrap_or_default(),
        entries: vec![Entry { cause, events: vec![(new_id(), payload)] }],
    };
    let append = Append {
        aggregate,
        expected: last.map_or(Version::NONE, |last| last.version),
        commit_id: commit.commit_id,
        bytes: commit.encode(),
        traceparent: String::new(),
    };
    log.append(append).await.unwrap();
}

/// A call from outside with an idempotency key.
pub(crate) fn keyed<M>(message: M, key: &str) -> Request<M> {
    let mut request = Request::new(message);
    request.metadata_mut().insert("authorization", "Bearer test".parse().unwrap());
    request.metadata_mut().insert("idempotency-key", key.parse().unwrap());
    request
}

pub(crate) fn call<M>(message: M) -> Request<M> {
    keyed(message, &new_id().to_string())
}

pub(crate) fn is_replayed<M>(response: &Response<M>) -> bool {
    response.metadata().get("idempotent-replayed").is_some()
}

pub(crate) fn reason(status: &Status) -> String {
    nexus_runtime::status::reason(status).unwrap_or_default()
}

pub(crate) fn egp(amount: &str) -> Option<Money> {
    Some(Money { amount: amount.to_owned(), currency: "EGP".to_owned() })
}

pub(crate) fn line(sku: &str, units: u32) -> proto::NewOrderLine {
    let (sku, unit_price) = (sku.to_owned(), egp("149.90"));
    proto::NewOrderLine { sku, units, unit_price, ..proto::NewOrderLine::default() }
}

pub(crate) fn mona() -> proto::CreateContactRequest {
    proto::CreateContactRequest {
        name: "Mona Ali".to_owned(),
        phone: "01001234567".to_owned(),
        ..proto::CreateContactRequest::default()
    }
}

pub(crate) fn order_of(lines: Vec<proto::NewOrderLine>) -> proto::CreateOrderRequest {
    proto::CreateOrderRequest {
        contact: Some(mona()),
        lines,
        shipping_address: Some(Address {
            country: "EG".to_owned(),
            governorate: "Cairo".to_owned(),
            city: "Maadi".to_owned(),
            line1: "9 Road 233".to_owned(),
            ..Address::default()
        }),
        currency: "EGP".to_owned(),
        payment: Some(proto::Payment { method: "cod".to_owned(), paid: None }),
        notes: vec!["ring twice".to_owned()],
        ..proto::CreateOrderRequest::default()
    }
}

impl World {
    pub(crate) fn client(&self) -> OrderServiceClient<Client> {
        self.client.clone()
    }

    pub(crate) async fn create(&self, lines: Vec<proto::NewOrderLine>) -> proto::Order {
        self.client().create_order(call(order_of(lines))).await.unwrap().into_inner()
    }

    pub(crate) async fn confirm(&self, order_id: &str) -> proto::Order {
        let ask = proto::ConfirmOrderRequest { order_id: order_id.to_owned() };
        self.client().confirm_order(call(ask)).await.unwrap().into_inner()
    }

    pub(crate) async fn confirmed(&self, lines: Vec<proto::NewOrderLine>) -> proto::Order {
        let order = self.create(lines).await;
        let order = self.confirm(&order.order_id).await;
        assert_eq!(order.status, "confirmed", "{:?}", order.refusal);
        order
    }

    pub(crate) async fn get(&self, order_id: &str) -> proto::Order {
        let ask = proto::GetOrderRequest { order_id: order_id.to_owned(), ..Default::default() };
        self.client().get_order(call(ask)).await.unwrap().into_inner()
    }

    pub(crate) async fn search(&self, query: &str) -> Vec<String> {
        let ask = proto::SearchOrdersRequest { query: query.to_owned(), ..Default::default() };
        let found = self.client().search_orders(call(ask)).await.unwrap().into_inner();
        found.orders.into_iter().map(|order| order.order_id).collect()
    }

    /// Says something as fulfillment or shipping would.
    pub(crate) async fn tell(
        &self,
        aggregate: (&str, &str, &str),
        event: &str,
        message: &impl Message,
        story: &str,
    ) {
        append(&*self.log, aggregate, event, message, cause_of(story)).await;
    }

    /// Waits until the order view shows the part, or the order, at `stage`.
    pub(crate) async fn shows(&self, order_id: &str, part_id: &str, stage: &str) -> String {
        let ask = proto::AwaitOrderRequest {
            order_id: order_id.to_owned(),
            part_id: part_id.to_owned(),
            stage: stage.to_owned(),
            timeout_ms: 5_000,
            ..Default::default()
        };
        let shown = self
            .client()
            .await_order(self.channels.question(ask, "test", order_id))
            .await
            .unwrap()
            .into_inner();
        assert!(
            shown.settled,
            "{stage} of {part_id:?} is not shown, the order is {}",
            shown.status
        );
        shown.status
    }

    /// All bytes of the order log.
    pub(crate) async fn order_log(&self) -> Vec<u8> {
        let mut tail = self.log.tail("order", Position::START).await.unwrap();
        tail.next(10_000).await.unwrap().iter().flat_map(|commit| commit.bytes.to_vec()).collect()
    }

    /// True when the bytes of `text` stand in any file of the views.
    pub(crate) fn view_files_hold(&self, text: &str) -> bool {
        let folder = self.place.as_ref().and_then(Place::folder).unwrap();
        let files = std::fs::read_dir(folder).unwrap();
        let mut files = files.map(|file| std::fs::read(file.unwrap().path()).unwrap());
        files.any(|bytes| bytes.windows(text.len()).any(|part| part == text.as_bytes()))
    }

    /// Ends everything that runs here, as a shutdown does.
    pub(crate) async fn end(self) {
        assert!(self.tasks.0.shut_down(DEADLINE).await);
    }

    /// The digest of the rows when everything has been read.
    async fn rows(&self) -> String {
        let views = &self.running.views;
        let caught_up = async {
            while !views.caught_up().await.unwrap() {
                tokio::task::yield_now().await;
            }
        };
        tokio::time::timeout(DEADLINE, caught_up).await.unwrap();
        views.content_hash().await.unwrap()
    }

    /// The same service over the same log, its views in the other kind of database.
    pub(crate) async fn on_the_other_database(&self) -> Self {
        let place = self.place.as_ref().unwrap().other().unwrap();
        let database = place.setting().parse().unwrap();
        let stores = Stores { database, ..self.stores.clone() };
        let other = world_on(stores, self.inventory.clone(), Config::default()).await;
        assert_eq!(other.rows().await, self.rows().await);
        Self { place: Some(place), ..other }
    }

    pub(crate) async fn is_rebuilt_the_same(&self) {
        let views = &self.running.views;
        let live = self.rows().await;
        views.rebuild().await.unwrap();
        assert_eq!(views.content_hash().await.unwrap(), live);
    }
}
