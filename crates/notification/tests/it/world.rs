//! Notification as it runs: a gRPC server with the real service and an order service that tells who
//! gets the parcels, and the sandbox as the channel.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use nexus_es::commit::sha256;
use nexus_es::log::{Append, EventLog};
use nexus_es::memory::{
    MemoryBlobs, MemoryCheckpoints, MemoryKeyStore, MemoryLeases, MemoryLog, MemoryTimers,
};
use nexus_es::ports::Checkpoints;
use nexus_es::seal::{MasterKeys, Vault};
use nexus_es::tasks::Tasks;
use nexus_es::views::Views;
use nexus_es::{Actor, AggregateId, Cause, Commit, Entry, Payload, Version, clock, new_id};
use nexus_notification::Config;
use nexus_proto::common::v1::{Consent, Recipient};
use nexus_proto::notification::v1 as proto;
use nexus_proto::order::v1::order_service_server::{OrderService, OrderServiceServer};
use nexus_proto::order::v1::{
    Contact, FindContactRequest, GetRecipientRequest, GetRecipientResponse, RecordConsentRequest,
};
use nexus_proto::shipping::v1 as shipping;
use nexus_runtime::rpc::{KeyCheck, RpcLayer};
use nexus_runtime::{Channels, Ports, Running, Secrets};
use nexus_test_postgres::Place;
use prost::Message;
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio_stream::wrappers::TcpListenerStream;
use tonic::service::RoutesBuilder;
use tonic::{Request, Response, Status};
use zeroize::Zeroizing;

use crate::door::Door;

pub(crate) const SPEED: f64 = 200.0;
pub(crate) const PHONE: &str = "+201065685435";
pub(crate) const APP_SECRET: &str = "app-secret";
const PATIENCE: Duration = Duration::from_secs(20);

/// What the order service knows, by order.
#[derive(Clone, Default)]
pub(crate) struct Orders {
    recipients: Arc<Mutex<BTreeMap<String, GetRecipientResponse>>>,
    pub(crate) withdrawn: Arc<Mutex<Vec<RecordConsentRequest>>>,
}

#[tonic::async_trait]
impl OrderService for Orders {
    async fn get_recipient(
        &self,
        request: Request<GetRecipientRequest>,
    ) -> Result<Response<GetRecipientResponse>, Status> {
        let known = self.recipients.lock().unwrap().get(&request.into_inner().order_id).cloned();
        known.map(Response::new).ok_or_else(|| Status::not_found("no such order"))
    }

    async fn find_contact(
        &self,
        request: Request<FindContactRequest>,
    ) -> Result<Response<Contact>, Status> {
        if request.into_inner().phone != PHONE {
            return Err(Status::not_found("nobody has this phone"));
        }
        Ok(Response::new(Contact { contact_id: "mona".to_owned(), ..Contact::default() }))
    }

    async fn record_consent(
        &self,
        request: Request<RecordConsentRequest>,
    ) -> Result<Response<Contact>, Status> {
        self.withdrawn.lock().unwrap().push(request.into_inner());
        Ok(Response::new(Contact::default()))
    }
}

/// Mona, who agreed, with a phone and in Arabic.
pub(crate) fn mona() -> GetRecipientResponse {
    GetRecipientResponse {
        contact_id: "mona".to_owned(),
        order_number: "NX-1001".to_owned(),
        recipient: Some(Recipient {
            name: "منى حسن".to_owned(),
            phone: PHONE.to_owned(),
            ..Recipient::default()
        }),
        language: "ar".to_owned(),
        consents: vec![Consent {
            channel: "whatsapp".to_owned(),
            granted: true,
            ..Consent::default()
        }],
        key_id: "contact-mona".to_owned(),
        ..GetRecipientResponse::default()
    }
}

struct NoKeys;

impl KeyCheck for NoKeys {
    fn check(&self, _key: &str) -> Option<Actor> {
        None
    }
}

pub(crate) struct World {
    pub(crate) log: MemoryLog,
    pub(crate) orders: Orders,
    pub(crate) channels: Channels,
    pub(crate) running: Running,
    pub(crate) checkpoints: MemoryCheckpoints,
    pub(crate) timers: MemoryTimers,
    pub(crate) sandbox: nexus_sandbox::Sandbox,
    account: Arc<Mutex<String>>,
    http: reqwest::Client,
    ports: Ports,
    config: Config,
    tasks: Tasks,
    _folder: tempfile::TempDir,
    place: Place,
}

impl World {
    /// Without an account, with a grace of three seconds.
    pub(crate) async fn start() -> Self {
        Self::with_grace(Config::default().grace).await
    }

    async fn with_grace(grace: Duration) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let place = Place::new().unwrap();
        let any: SocketAddr = "127.0.0.1:0".parse().unwrap();
        let sandbox = nexus_sandbox::start(nexus_sandbox::Config {
            data_dir: folder.path().join("sandbox"),
            courier_listen: any,
            whatsapp_listen: any,
            speed: SPEED,
        });
        let sandbox = sandbox.await.unwrap();
        let grpc = TcpListener::bind(any).await.unwrap();
        let doors = TcpListener::bind(any).await.unwrap();
        let secrets = Arc::new(Secrets::new(Zeroizing::new(vec![7; 32])));
        let address = format!("http://{}", grpc.local_addr().unwrap());
        let channels = Channels::shared(&address, Arc::clone(&secrets)).unwrap();
        let masters = MasterKeys::new(MasterKeys::generate().unwrap()).unwrap();
        let log = MemoryLog::default();
        let checkpoints = MemoryCheckpoints::default();
        let timers = MemoryTimers::default();
        let ports = Ports {
            log: Arc::new(log.clone()),
            leases: Arc::new(MemoryLeases::default()),
            checkpoints: Arc::new(checkpoints.clone()),
            timers: Arc::new(timers.clone()),
            blobs: Arc::new(MemoryBlobs::default()),
            vault: Arc::new(Vault::new(Arc::new(MemoryKeyStore::default()), masters)),
            tasks: Tasks::default(),
            processes: Tasks::default(),
            database: place.setting().parse().unwrap(),
            channels: channels.clone(),
            secrets: Arc::clone(&secrets),
            speed: SPEED,
        };
        let config = Config {
            whatsapp_sandbox_url: sandbox.whatsapp_url(),
            ingress_url: format!("http://{}", doors.local_addr().unwrap()),
            grace,
            ..Config::default()
        };
        let tasks = Tasks::default();
        let account = Arc::new(Mutex::new(String::new()));
        let vault = Arc::clone(&ports.vault);
        let door = Door { log: log.clone(), vault, account: Arc::clone(&account) };
        tasks.spawn("door", async move { axum::serve(doors, door.router()).await.unwrap() });

        let orders = Orders::default();
        let mut routes = RoutesBuilder::default();
        routes.add_service(OrderServiceServer::new(orders.clone()));
        let running =
            nexus_notification::run(ports.clone(), config.clone(), &mut routes).await.unwrap();
        serve(&tasks, secrets, grpc, routes);
        let http = nexus_runtime::http::client(Duration::from_secs(5)).unwrap();
        Self {
            log,
            orders,
            channels,
            running,
            checkpoints,
            timers,
            sandbox,
            account,
            http,
            ports,
            config,
            tasks,
            _folder: folder,
            place,
        }
    }

    /// With an account whose receipts come back long before the grace ends, and Mona's order.
    pub(crate) async fn ready() -> Self {
        let world = Self::with_grace(Duration::from_secs(60).mul_f64(SPEED)).await;
        let account = world.create_account("sandbox-access-token").await;
        world.subscribe(&account).await;
        world.order("order-1", mona());
        world
    }

    pub(crate) fn order(&self, order_id: &str, recipient: GetRecipientResponse) {
        self.orders.recipients.lock().unwrap().insert(order_id.to_owned(), recipient);
    }

    pub(crate) async fn create_account(&self, access_token: &str) -> proto::ChannelAccount {
        let request = proto::CreateChannelAccountRequest {
            channel: "whatsapp".to_owned(),
            name: "Shop".to_owned(),
            mode: "sandbox".to_owned(),
            credentials: Some(credentials(access_token)),
        };
        let request = self.channels.request(request, &cause("order-1"));
        self.channels.notification().create_channel_account(request).await.unwrap().into_inner()
    }

    /// Tells the sandbox where receipts go; it asks there first.
    pub(crate) async fn subscribe(&self, account: &proto::ChannelAccount) {
        account.channel_account_id.clone_into(&mut self.account.lock().unwrap());
        let body = json!({
            "url": account.webhook_url,
            "app_secret": APP_SECRET,
            "verify_token": account.verify_token,
        });
        let answer = self.control("webhook", body).await;
        assert_eq!(answer["success"], true, "{answer}");
    }

    pub(crate) async fn fault(&self, fault: &str, times: u32) {
        self.control("faults", json!({ "fault": fault, "times": times })).await;
    }

    pub(crate) async fn control(&self, what: &str, body: Value) -> Value {
        let url = format!("{}/_control/{what}", self.sandbox.whatsapp_url());
        let answer = self.http.post(url).json(&body).send().await.unwrap();
        answer.json().await.unwrap()
    }

    /// What the channel accepted, oldest first.
    pub(crate) async fn accepted(&self) -> Vec<Value> {
        let url = format!("{}/_control/messages", self.sandbox.whatsapp_url());
        let answer: Value = self.http.get(url).send().await.unwrap().json().await.unwrap();
        answer["messages"].as_array().unwrap().clone()
    }

    pub(crate) async fn awb(&self, shipment: &str, tracking_number: &str) {
        let issued = shipping::ShipmentAwbIssued {
            awb: tracking_number.to_owned(),
            tracking_number: tracking_number.to_owned(),
            ..shipping::ShipmentAwbIssued::default()
        };
        append(&self.log, ["shipping", "shipment", shipment, "AwbIssued"], &issued).await;
    }

    pub(crate) async fn handed_over(&self, shipment: &str) {
        let event = shipping::ShipmentHandedOver {
            at_ms: clock::now_ms(),
            order_id: "order-1".to_owned(),
            ..shipping::ShipmentHandedOver::default()
        };
        append(&self.log, ["shipping", "shipment", shipment, "HandedOver"], &event).await;
    }

    pub(crate) async fn tracked(&self, shipment: &str, status: &str, applied: bool) {
        let event = shipping::ShipmentTrackingRecorded {
            order_id: "order-1".to_owned(),
            status: status.to_owned(),
            tracking_status: status.to_owned(),
            applied,
            occurred_at_ms: clock::now_ms(),
            ..shipping::ShipmentTrackingRecorded::default()
        };
        append(&self.log, ["shipping", "shipment", shipment, "TrackingRecorded"], &event).await;
    }

    pub(crate) async fn messages(&self) -> Vec<proto::Message> {
        let request = self.channels.question(proto::ListMessagesRequest::default(), "test", "");
        let answer = self.channels.notification().list_messages(request).await.unwrap();
        answer.into_inner().messages
    }

    /// The message of a milestone once it has come to `status`.
    pub(crate) async fn message(
        &self,
        shipment: &str,
        milestone: &str,
        status: &str,
    ) -> proto::Message {
        self.message_that(shipment, milestone, |message| message.status == status).await
    }

    pub(crate) async fn message_that(
        &self,
        shipment: &str,
        milestone: &str,
        fits: impl Fn(&proto::Message) -> bool,
    ) -> proto::Message {
        let id = format!("{shipment}~{milestone}~whatsapp");
        until(&id, async || {
            let request = proto::GetMessageRequest { message_id: id.clone(), ..Default::default() };
            let request = self.channels.question(request, "test", "");
            let found = self.channels.notification().get_message(request).await;
            found.ok().map(Response::into_inner).filter(&fits)
        })
        .await
    }

    /// Waits until the processes have dealt with everything that stands in their logs.
    pub(crate) async fn settled(&self) {
        let followed = [
            ("tell_customer", "shipping"),
            ("send_message", "notification"),
            ("apply_receipt", "ingress"),
        ];
        for (process, service) in followed {
            until(process, async || {
                let head = self.log.head(service).await.unwrap();
                let done = self.checkpoints.load(process, service).await.unwrap();
                (done >= head).then_some(())
            })
            .await;
        }
        self.caught_up().await;
    }

    pub(crate) async fn caught_up(&self) {
        until("the views", async || self.running.views.caught_up().await.unwrap().then_some(()))
            .await;
    }

    /// Views that are read into the other kind of database have the same rows.
    pub(crate) async fn other_database_equals_live(&self) {
        let live = self.running.views.content_hash().await.unwrap();
        let other = self.place.other().unwrap();
        let database = other.setting().parse().unwrap();
        let config = nexus_notification::views_config(database, &self.ports.vault);
        let log = Arc::new(self.log.clone());
        let views = Views::start(config, log, Tasks::default()).await.unwrap();
        views.wait_for(&self.running.views.positions(), Duration::from_secs(10)).await.unwrap();
        assert_eq!(views.content_hash().await.unwrap(), live);
    }

    /// Ends this notification and starts another one over the same logs that has lost its
    /// checkpoints, timers and views.
    pub(crate) async fn forgetful(mut self) -> Self {
        assert!(self.ports.processes.shut_down(Duration::from_secs(5)).await);
        assert!(self.ports.tasks.shut_down(Duration::from_secs(5)).await);
        self.checkpoints = MemoryCheckpoints::default();
        self.ports.checkpoints = Arc::new(self.checkpoints.clone());
        self.timers = MemoryTimers::default();
        self.ports.timers = Arc::new(self.timers.clone());
        self.ports.leases = Arc::new(MemoryLeases::default());
        self.ports.tasks = Tasks::default();
        self.ports.processes = Tasks::default();
        self.place = Place::new().unwrap();
        self.ports.database = self.place.setting().parse().unwrap();
        let mut routes = RoutesBuilder::default();
        let started = nexus_notification::run(self.ports.clone(), self.config.clone(), &mut routes);
        self.running = started.await.unwrap();
        let grpc = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = format!("http://{}", grpc.local_addr().unwrap());
        let secrets = Arc::clone(&self.ports.secrets);
        self.channels = Channels::shared(&address, Arc::clone(&secrets)).unwrap();
        serve(&self.tasks, secrets, grpc, routes);
        self
    }
}

fn serve(tasks: &Tasks, secrets: Arc<Secrets>, listener: TcpListener, routes: RoutesBuilder) {
    let server = tonic::transport::Server::builder()
        .layer(RpcLayer::new(secrets, Arc::new(NoKeys)))
        .add_routes(routes.routes())
        .serve_with_incoming(TcpListenerStream::new(listener));
    tasks.spawn("grpc", async move { server.await.unwrap() });
}

impl Drop for World {
    fn drop(&mut self) {
        self.ports.processes.stopping().cancel();
        self.ports.tasks.stopping().cancel();
        self.tasks.stopping().cancel();
    }
}

pub(crate) fn credentials(access_token: &str) -> proto::ChannelCredentials {
    proto::ChannelCredentials {
        access_token: access_token.to_owned(),
        app_secret: APP_SECRET.to_owned(),
        phone_number_id: "106540352242922".to_owned(),
        business_account_id: None,
    }
}

pub(crate) fn cause(story: &str) -> Cause {
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

/// What another service would have appended: service, category, id, event.
pub(crate) async fn append(log: &MemoryLog, name: [&str; 4], message: &impl Message) {
    let [service, category, id, event] = name;
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
        previous_sha256: last.map(|stored| sha256(&stored.bytes)).unwrap_or_default(),
        entries: vec![Entry { cause: cause("order-1"), events: vec![(new_id(), payload)] }],
    };
    let append = Append {
        aggregate,
        expected: last.map(|stored| stored.version).unwrap_or_default(),
        commit_id: commit.commit_id,
        bytes: commit.encode(),
        traceparent: String::new(),
    };
    log.append(append).await.unwrap();
}

/// Asks `check` again and again until it answers something.
pub(crate) async fn until<T>(what: &str, mut check: impl AsyncFnMut() -> Option<T>) -> T {
    let mut again = tokio::time::interval(Duration::from_millis(5));
    let waiting = async {
        loop {
            again.tick().await;
            if let Some(found) = check().await {
                return found;
            }
        }
    };
    tokio::time::timeout(PATIENCE, waiting).await.unwrap_or_else(|_| panic!("{what} never came"))
}
