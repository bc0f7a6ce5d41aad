//! Shipping as it runs: a gRPC server with the real service beside the fakes, and the sandbox as
//! the courier.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use nexus_es::memory::{
    MemoryBlobs, MemoryCheckpoints, MemoryKeyStore, MemoryLeases, MemoryLog, MemoryTimers,
};
use nexus_es::seal::{MasterKeys, Vault};
use nexus_es::tasks::Tasks;
use nexus_es::views::Views;
use nexus_es::{Actor, ActorKind, derived_id};
use nexus_proto::common::v1::{Address, Allocation, Recipient, SkuUnits};
use nexus_proto::fulfillment::v1 as fulfillment;
use nexus_proto::fulfillment::v1::fulfillment_service_server::FulfillmentServiceServer;
use nexus_proto::inventory::v1::inventory_service_server::InventoryServiceServer;
use nexus_proto::order::v1 as order;
use nexus_proto::order::v1::order_service_server::OrderServiceServer;
use nexus_proto::shipping::v1 as proto;
use nexus_proto::shipping::v1::shipping_service_client::ShippingServiceClient;
use nexus_runtime::channels::Client;
use nexus_runtime::rpc::{KeyCheck, RpcLayer};
use nexus_runtime::{Channels, Ports, Running, Secrets};
use nexus_shipping::Config;
use nexus_test_postgres::Place;
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio_stream::wrappers::TcpListenerStream;
use tonic::service::RoutesBuilder;
use tonic::{Request, Status};
use zeroize::Zeroizing;

use crate::fakes::{Door, Fulfillments, Inventory, Orders, cause, egp};

const PATIENCE: Duration = Duration::from_secs(20);

/// How fast the courier lives, and how fast Nexus waits.
#[derive(Clone, Copy)]
pub(crate) struct Pace {
    pub(crate) courier: f64,
    pub(crate) nexus: f64,
    pub(crate) silence: Duration,
}

/// The courier does nothing by itself for ten seconds; Nexus does not wait.
pub(crate) const CALM: Pace =
    Pace { courier: 1.0, nexus: 100.0, silence: Duration::from_secs(60 * 60) };

struct NoKeys;

impl KeyCheck for NoKeys {
    fn check(&self, _key: &str) -> Option<Actor> {
        None
    }
}

pub(crate) struct World {
    pub(crate) log: MemoryLog,
    pub(crate) orders: Orders,
    pub(crate) fulfillments: Fulfillments,
    pub(crate) inventory: Inventory,
    pub(crate) door: Door,
    pub(crate) running: Running,
    pub(crate) sandbox: nexus_sandbox::Sandbox,
    channels: Channels,
    http: reqwest::Client,
    ports: Ports,
    config: Config,
    tasks: Tasks,
    _folder: tempfile::TempDir,
    place: Place,
}

impl World {
    pub(crate) async fn start(pace: Pace) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let place = Place::new().unwrap();
        let any: SocketAddr = "127.0.0.1:0".parse().unwrap();
        let sandbox = nexus_sandbox::start(nexus_sandbox::Config {
            data_dir: folder.path().join("sandbox"),
            courier_listen: any,
            whatsapp_listen: any,
            speed: pace.courier,
        });
        let sandbox = sandbox.await.unwrap();
        let (grpc, doors) =
            (TcpListener::bind(any).await.unwrap(), TcpListener::bind(any).await.unwrap());
        let secrets = Arc::new(Secrets::new(Zeroizing::new(vec![7; 32])));
        let address = format!("http://{}", grpc.local_addr().unwrap());
        let channels = Channels::shared(&address, Arc::clone(&secrets)).unwrap();
        let log = MemoryLog::default();
        let ports = ports(&log, &channels, &secrets, &place, pace);
        let config = Config {
            bosta_sandbox_url: sandbox.courier_url(),
            ingress_url: format!("http://{}", doors.local_addr().unwrap()),
            tracking_url: "https://shop.example/track".to_owned(),
            silence: pace.silence,
            ..Config::default()
        };
        let door = Door {
            log: log.clone(),
            vault: Arc::clone(&ports.vault),
            accounts: Arc::default(),
            is_shut: Arc::default(),
        };
        let tasks = Tasks::default();
        let router = door.clone().router();
        tasks.spawn("door", async move { axum::serve(doors, router).await.unwrap() });
        let (orders, fulfillments) = (Orders::default(), Fulfillments::default());
        let inventory = Inventory::default();
        let mut routes = RoutesBuilder::default();
        routes.add_service(OrderServiceServer::new(orders.clone()));
        routes.add_service(FulfillmentServiceServer::new(fulfillments.clone()));
        routes.add_service(InventoryServiceServer::new(inventory.clone()));
        let running = nexus_shipping::run(ports.clone(), config.clone(), &mut routes);
        let running = running.await.unwrap();
        serve(&tasks, secrets, grpc, routes);
        let http = nexus_runtime::http::client(Duration::from_secs(5)).unwrap();
        Self {
            log,
            orders,
            fulfillments,
            inventory,
            door,
            running,
            sandbox,
            channels,
            http,
            ports,
            config,
            tasks,
            _folder: folder,
            place,
        }
    }

    /// Ends this shipping in the middle of what it does, and starts another one over the same log
    /// and blobs that has lost its checkpoints, timers and views.
    pub(crate) async fn forgetful(mut self) -> Self {
        self.ports.processes.shut_down(Duration::from_secs(5)).await;
        self.ports.tasks.shut_down(Duration::from_secs(5)).await;
        self.ports.checkpoints = Arc::new(MemoryCheckpoints::default());
        self.ports.timers = Arc::new(MemoryTimers::default());
        self.ports.leases = Arc::new(MemoryLeases::default());
        self.ports.tasks = Tasks::default();
        self.ports.processes = Tasks::default();
        self.place = Place::new().unwrap();
        self.ports.database = self.place.setting().parse().unwrap();
        let mut routes = RoutesBuilder::default();
        routes.add_service(OrderServiceServer::new(self.orders.clone()));
        routes.add_service(FulfillmentServiceServer::new(self.fulfillments.clone()));
        routes.add_service(InventoryServiceServer::new(self.inventory.clone()));
        let grpc = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = format!("http://{}", grpc.local_addr().unwrap());
        let secrets = Arc::clone(&self.ports.secrets);
        self.channels = Channels::shared(&address, Arc::clone(&secrets)).unwrap();
        self.ports.channels = self.channels.clone();
        let started = nexus_shipping::run(self.ports.clone(), self.config.clone(), &mut routes);
        self.running = started.await.unwrap();
        serve(&self.tasks, secrets, grpc, routes);
        self
    }

    /// A replica of this shipping, with views of its own, and its client.
    pub(crate) async fn replica(&self) -> (ShippingServiceClient<Client>, Place) {
        let place = Place::new().unwrap();
        let database = place.setting().parse().unwrap();
        let ports = Ports { database, ..self.ports.clone() };
        let mut routes = RoutesBuilder::default();
        nexus_shipping::run(ports, self.config.clone(), &mut routes).await.unwrap();
        let grpc = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = format!("http://{}", grpc.local_addr().unwrap());
        let secrets = Arc::clone(&self.ports.secrets);
        let channels = Channels::shared(&address, Arc::clone(&secrets)).unwrap();
        serve(&self.tasks, secrets, grpc, routes);
        (channels.shipping(), place)
    }

    /// A second fulfilment of the order of `name`, packed too.
    pub(crate) fn packed_besides(&self, name: &str) {
        let mut known = self.fulfillments.known.lock().unwrap();
        let mut second = known[&format!("f-{name}")].clone();
        second.fulfillment_id = format!("g-{name}");
        second.parcels[0].parcel_id = format!("{name}-q1");
        let order_id = second.order_id.clone();
        known.insert(second.fulfillment_id.clone(), second);
        let mut orders = self.orders.known.lock().unwrap();
        orders.get_mut(&order_id).unwrap().allocation = vec![Allocation::default(); 2];
    }

    pub(crate) fn client(&self) -> ShippingServiceClient<Client> {
        self.channels.shipping()
    }

    /// A request with a key of its own.
    pub(crate) fn by<M>(&self, message: M) -> Request<M> {
        self.channels.request(message, &cause(""))
    }

    /// A request from outside with this key.
    pub(crate) fn keyed<M>(&self, key: &str, message: M) -> Request<M> {
        let (kind, id, roles) = (ActorKind::Key, "key-1".to_owned(), vec!["manager".to_owned()]);
        let actor = Actor { kind, id, roles, warehouse: String::new() };
        let command_id = derived_id(&["test", key]);
        let cause = nexus_es::Cause { command_id, actor, ..cause("") };
        self.channels.request(message, &cause)
    }

    pub(crate) async fn account(&self, courier: &str, api_key: &str) -> proto::CourierAccount {
        let credentials = proto::CourierCredentials { api_key: api_key.to_owned() };
        let request = proto::CreateCourierAccountRequest {
            courier: courier.to_owned(),
            name: "Main".to_owned(),
            mode: "sandbox".to_owned(),
            credentials: Some(credentials).filter(|_| courier == "bosta"),
            ..Default::default()
        };
        let account = self.client().create_courier_account(self.by(request)).await.unwrap();
        let account = account.into_inner();
        let token = account.webhook_url.rsplit('/').next().unwrap().to_owned();
        let id = account.courier_account_id.clone();
        self.door.accounts.lock().unwrap().insert(token, id);
        account
    }

    /// An order of Mona's with packed parcels, paid to the courier.
    pub(crate) fn packed_order(&self, name: &str, parcels: u32) -> String {
        let order_id = derived_id(&["order", name]).to_string();
        let order = order::OrderForFulfillment {
            order_id: order_id.clone(),
            number: format!("NX-{name}"),
            status: "packed".to_owned(),
            lifecycle: "confirmed".to_owned(),
            cod_due: egp("149.90"),
            total: egp("149.90"),
            contact_id: "mona".to_owned(),
            ..Default::default()
        };
        self.orders.known.lock().unwrap().insert(order_id.clone(), order);
        self.orders.people.lock().unwrap().insert(order_id.clone(), mona(name));
        let fulfillment_id = format!("f-{name}");
        let parcels = (1..=parcels).map(|nth| fulfillment::Parcel {
            parcel_id: format!("{name}-p{nth}"),
            weight_grams: 900,
            contents: vec![SkuUnits { sku: "TSHIRT".to_owned(), units: 2 }],
            ..Default::default()
        });
        let packed = fulfillment::Fulfillment {
            fulfillment_id: fulfillment_id.clone(),
            order_id: order_id.clone(),
            order_number: format!("NX-{name}"),
            warehouse: "CAI".to_owned(),
            status: "packed".to_owned(),
            parcels: parcels.collect(),
            reservation: format!("{order_id}/1"),
            ..Default::default()
        };
        self.fulfillments.known.lock().unwrap().insert(fulfillment_id, packed);
        order_id
    }

    pub(crate) async fn ship(
        &self,
        order_id: &str,
        account: &str,
    ) -> Result<proto::CreateShipmentsResponse, Status> {
        let request = wish(order_id, account);
        self.client().create_shipments(self.by(request)).await.map(tonic::Response::into_inner)
    }

    /// The one shipment of a fresh order.
    pub(crate) async fn shipped(&self, name: &str, account: &str) -> proto::Shipment {
        let order_id = self.packed_order(name, 1);
        self.ship(&order_id, account).await.unwrap().shipments.remove(0)
    }

    pub(crate) async fn shipment(&self, id: &str) -> proto::Shipment {
        let request =
            proto::GetShipmentRequest { shipment_id: id.to_owned(), ..Default::default() };
        self.client().get_shipment(self.by(request)).await.unwrap().into_inner()
    }

    /// The shipment once it is as wanted.
    pub(crate) async fn shipment_that(
        &self,
        id: &str,
        fits: impl Fn(&proto::Shipment) -> bool,
    ) -> proto::Shipment {
        let last = std::cell::RefCell::new(None);
        let found = tokio::time::timeout(PATIENCE, async {
            loop {
                let shipment = self.shipment(id).await;
                if fits(&shipment) {
                    return shipment;
                }
                last.replace(Some(shipment));
                tokio::task::yield_now().await;
            }
        });
        found.await.unwrap_or_else(|_| panic!("it stays {:#?}", last.borrow()))
    }

    pub(crate) async fn hand_over(&self, id: &str) -> Result<proto::Shipment, Status> {
        let request = proto::HandOverRequest { shipment_id: id.to_owned(), tracking_number: None };
        self.client().hand_over(self.by(request)).await.map(tonic::Response::into_inner)
    }

    pub(crate) async fn create_awb(&self, id: &str) -> proto::Shipment {
        let request = proto::CreateAwbRequest { shipment_id: id.to_owned() };
        self.client().create_awb(self.by(request)).await.unwrap().into_inner()
    }

    pub(crate) async fn print(&self, id: &str) -> Result<proto::Document, Status> {
        let request = proto::PrintAwbRequest { shipment_id: id.to_owned(), format: String::new() };
        self.client().print_awb(self.by(request)).await.map(tonic::Response::into_inner)
    }

    pub(crate) async fn logs(&self, id: &str) -> Vec<proto::AwbStatusLog> {
        let request =
            proto::ListAwbStatusLogsRequest { shipment_id: id.to_owned(), ..Default::default() };
        self.client().list_awb_status_logs(self.by(request)).await.unwrap().into_inner().logs
    }

    pub(crate) async fn unmatched(&self) -> Vec<proto::UnmatchedCourierEvent> {
        let request = proto::ListUnmatchedCourierEventsRequest::default();
        let listed = self.client().list_unmatched_courier_events(self.by(request)).await;
        listed.unwrap().into_inner().events
    }

    pub(crate) async fn fault(&self, fault: &str, options: Value) {
        let mut body = json!({"fault": fault});
        body.as_object_mut().unwrap().extend(options.as_object().unwrap().clone());
        self.control("faults", &body).await;
    }

    /// Puts a delivery into a state at once; nothing follows by itself.
    pub(crate) async fn enter_state(&self, tracking_number: &str, state: Value) {
        self.control(&format!("deliveries/{tracking_number}/state"), &state).await;
    }

    async fn control(&self, what: &str, body: &Value) {
        let url = format!("{}/_control/{what}", self.sandbox.courier_url());
        let answer = self.http.post(url).json(body).send().await.unwrap();
        assert!(answer.status().is_success(), "{}", answer.text().await.unwrap());
    }

    /// What the courier made, ended ones too.
    pub(crate) async fn deliveries(&self) -> Vec<Value> {
        let url = format!("{}/_control/deliveries", self.sandbox.courier_url());
        let answer: Value = self.http.get(url).send().await.unwrap().json().await.unwrap();
        answer["deliveries"].as_array().unwrap().clone()
    }

    /// How often a route of the courier was called.
    pub(crate) async fn calls(&self, route: &str) -> u64 {
        let url = format!("{}/_control/calls", self.sandbox.courier_url());
        let answer: Value = self.http.get(url).send().await.unwrap().json().await.unwrap();
        answer["calls"][route].as_u64().unwrap_or_default()
    }

    pub(crate) async fn live_deliveries(&self) -> usize {
        self.deliveries().await.iter().filter(|one| one["alive"] == true).count()
    }

    /// Views made anew equal those that grew.
    pub(crate) async fn rebuilt_equals_live(&self) {
        eventually(async || self.running.views.caught_up().await.unwrap().then_some(())).await;
        let live = self.running.views.content_hash().await.unwrap();
        self.running.views.rebuild().await.unwrap();
        assert_eq!(self.running.views.content_hash().await.unwrap(), live);
        // And those that are read into the other kind of database.
        let other = self.place.other().unwrap();
        let database = other.setting().parse().unwrap();
        let config = nexus_shipping::views_config(database, &self.ports.vault);
        let log = Arc::new(self.log.clone());
        let views = Views::start(config, log, Tasks::default()).await.unwrap();
        views.wait_for(&self.running.views.positions(), Duration::from_secs(10)).await.unwrap();
        assert_eq!(views.content_hash().await.unwrap(), live);
    }

    pub(crate) async fn close(self) {
        self.ports.processes.shut_down(Duration::from_secs(5)).await;
        self.ports.tasks.shut_down(Duration::from_secs(5)).await;
        self.tasks.shut_down(Duration::from_millis(1)).await;
        self.sandbox.stop().await;
    }
}

fn ports(
    log: &MemoryLog,
    channels: &Channels,
    secrets: &Arc<Secrets>,
    place: &Place,
    pace: Pace,
) -> Ports {
    let masters = MasterKeys::new(MasterKeys::generate().unwrap()).unwrap();
    Ports {
        log: Arc::new(log.clone()),
        leases: Arc::new(MemoryLeases::default()),
        checkpoints: Arc::new(MemoryCheckpoints::default()),
        timers: Arc::new(MemoryTimers::default()),
        blobs: Arc::new(MemoryBlobs::default()),
        vault: Arc::new(Vault::new(Arc::new(MemoryKeyStore::default()), masters)),
        tasks: Tasks::default(),
        processes: Tasks::default(),
        database: place.setting().parse().unwrap(),
        channels: channels.clone(),
        secrets: Arc::clone(secrets),
        speed: pace.nexus,
    }
}

fn serve(tasks: &Tasks, secrets: Arc<Secrets>, listener: TcpListener, routes: RoutesBuilder) {
    let server = tonic::transport::Server::builder()
        .layer(RpcLayer::new(secrets, Arc::new(NoKeys)))
        .add_routes(routes.routes());
    tasks.spawn("grpc", async move {
        server.serve_with_incoming(TcpListenerStream::new(listener)).await.unwrap();
    });
}

pub(crate) fn wish(order_id: &str, account: &str) -> proto::CreateShipmentsRequest {
    proto::CreateShipmentsRequest {
        order_id: Some(order_id.to_owned()),
        courier_account_id: account.to_owned(),
        ..Default::default()
    }
}

fn mona(name: &str) -> order::GetRecipientResponse {
    order::GetRecipientResponse {
        contact_id: "mona".to_owned(),
        order_number: format!("NX-{name}"),
        recipient: Some(Recipient {
            name: "Mona Hassan".to_owned(),
            phone: "+201065685435".to_owned(),
            email: String::new(),
            address: Some(Address {
                country: "EG".to_owned(),
                governorate: "Cairo".to_owned(),
                city: "Cairo".to_owned(),
                district: "Maadi".to_owned(),
                line1: "12 Road 9".to_owned(),
                ..Default::default()
            }),
        }),
        language: "ar".to_owned(),
        key_id: "contact-mona".to_owned(),
        ..Default::default()
    }
}

/// What `check` finds, as soon as it does.
pub(crate) async fn eventually<T>(mut check: impl AsyncFnMut() -> Option<T>) -> T {
    let looking = async {
        loop {
            if let Some(found) = check().await {
                return found;
            }
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(PATIENCE, looking).await.expect("it happens in time")
}
