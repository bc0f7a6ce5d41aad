//! Calls to other services: lazily connected, with deadlines, signed, in the caller's story.

mod client;

use std::io;
use std::sync::Arc;
use std::time::Duration;

use hyper_util::rt::TokioIo;
use nexus_es::{Actor, Cause, clock};
use nexus_proto::fulfillment::v1::fulfillment_service_client::FulfillmentServiceClient;
use nexus_proto::inventory::v1::inventory_service_client::InventoryServiceClient;
use nexus_proto::notification::v1::notification_service_client::NotificationServiceClient;
use nexus_proto::order::v1::order_service_client::OrderServiceClient;
use nexus_proto::shipping::v1::shipping_service_client::ShippingServiceClient;
use tokio::io::DuplexStream;
use tokio::net::TcpStream;
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::Request;
use tonic::metadata::{BinaryMetadataValue, MetadataMap, MetadataValue};
use tonic::transport::{Channel, Endpoint};

use crate::caller::{CAUSATION, IDEMPOTENCY_KEY, STORY};
use crate::role::Role;
use crate::rpc::{ACTOR, ACTOR_SIGNATURE};
use crate::secrets::Secrets;
use crate::tls::Tls;

pub use client::Client;
use client::{Target, Targets};

/// How long one service waits for another.
pub const DEADLINE: Duration = Duration::from_secs(10);
const CONNECT: Duration = Duration::from_secs(2);
const KEEP_ALIVE: Duration = Duration::from_secs(10);
/// Largest message between services, in bytes: an order of 2,000 lines with room to spare.
pub const MAX_MESSAGE: usize = 8 * 1024 * 1024;

/// What a server of this process takes connections from.
pub type Pipes = ReceiverStream<io::Result<DuplexStream>>;

const PIPE_BYTES: usize = 256 * 1024;

/// Channels to all services.
#[derive(Clone)]
pub struct Channels {
    client: Client,
    secrets: Arc<Secrets>,
    replica: Option<Arc<Replica>>,
}

/// This process among the replicas of its role.
struct Replica {
    role: Role,
    /// Where the others can call it.
    address: String,
    tls: Option<Arc<Tls>>,
}

/// Why an address is not one.
#[derive(Debug, thiserror::Error)]
pub enum BadAddress {
    /// It is none at all.
    #[error("\"{0}\" is no address of a gRPC server: write https://host:port")]
    Unreadable(String),
    /// Certificates are needed for it, and none are configured.
    #[error("\"{0}\" begins with https://, and no certificate is configured")]
    NoCertificate(String),
    /// It would carry everything in clear although certificates are configured.
    #[error("\"{0}\" begins with http://, and certificates are configured: write https://")]
    InClear(String),
}

/// The way to one role.
#[derive(Clone)]
pub struct Way(Target);

impl Way {
    /// To a role in this process: the same gRPC over pipes in memory, which cost no trip through
    /// the system. Answers the pipes too, for the server to take.
    #[must_use]
    pub fn in_process() -> (Self, Pipes) {
        let (sender, pipes) = mpsc::channel(1);
        let connector = tower::service_fn(move |_: http::Uri| {
            let sender = sender.clone();
            async move {
                let (ours, theirs) = tokio::io::duplex(PIPE_BYTES);
                let gone = |_| io::Error::from(io::ErrorKind::ConnectionRefused);
                sender.send(Ok(theirs)).await.map_err(gone)?;
                Ok::<_, io::Error>(TokioIo::new(ours))
            }
        });
        let endpoint = with_limits(Endpoint::from_static("http://nexus.internal"));
        let channel = endpoint.connect_with_connector_lazy(connector);
        (Self(Target::here(channel)), ReceiverStream::new(pipes))
    }

    /// To `role` at `addresses`, replicas that take turns. Each is connected at its first call and
    /// again after it broke; with `tls` only a server with the role's certificate is believed.
    ///
    /// # Errors
    /// [`BadAddress`] names the address that is not one.
    pub fn to(
        role: Role,
        addresses: &[String],
        tls: Option<&Arc<Tls>>,
    ) -> Result<Self, BadAddress> {
        let channels = addresses.iter().map(|address| match tls {
            None => in_clear(address),
            Some(tls) => over_tls(role, address, tls),
        });
        Ok(Self(Target::elsewhere(role, channels.collect::<Result<_, _>>()?)))
    }
}

impl Channels {
    /// All services behind one address. Connects at the first call.
    ///
    /// # Errors
    /// [`BadAddress`] when `uri` is not one.
    pub fn shared(uri: &str, secrets: Arc<Secrets>) -> Result<Self, BadAddress> {
        let client = Client::over(Targets::One(Target::here(in_clear(uri)?)));
        Ok(Self { client, secrets, replica: None })
    }

    /// All services in this process, as in `nexus up`. Answers the pipes too, for the server to
    /// take.
    #[must_use]
    pub fn in_process(secrets: Arc<Secrets>) -> (Self, Pipes) {
        let (Way(target), pipes) = Way::in_process();
        (Self { client: Client::over(Targets::One(target)), secrets, replica: None }, pipes)
    }

    /// Each service by a way of its own.
    #[must_use]
    pub fn by(ways: impl IntoIterator<Item = (Role, Way)>, secrets: Arc<Secrets>) -> Self {
        let ways = ways.into_iter().map(|(role, Way(target))| (role, target)).collect();
        Self { client: Client::over(Targets::Each(ways)), secrets, replica: None }
    }

    /// The same, of a replica of `role` that the others can call at `address`: what one replica
    /// alone should decide is then owned by one and forwarded by the others.
    #[must_use]
    pub fn with_replica(self, role: Role, address: String, tls: Option<Arc<Tls>>) -> Self {
        Self { replica: Some(Arc::new(Replica { role, address, tls })), ..self }
    }

    /// Where other replicas can call this one; `None` where there are none to be met.
    #[must_use]
    pub fn replica_address(&self) -> Option<&str> {
        self.replica.as_ref().map(|replica| replica.address.as_str())
    }

    /// The replica of this process's role at `address`. It is asked once: whoever cannot reach it
    /// has another way.
    ///
    /// # Errors
    /// [`BadAddress`] when the address is not one, or this process has no replicas.
    pub fn to_replica(&self, address: &str) -> Result<Client, BadAddress> {
        let replica = self.replica.as_ref();
        let replica = replica.ok_or_else(|| BadAddress::Unreadable(address.to_owned()))?;
        let channel = match &replica.tls {
            None => in_clear(address)?,
            Some(tls) => over_tls(replica.role, address, tls)?,
        };
        let client = Client::over(Targets::One(Target::here(channel)));
        Ok(client.as_role(replica.role))
    }

    /// The same, for calls that `role` makes: what it may call is checked where it calls.
    #[must_use]
    pub fn as_role(&self, role: Role) -> Self {
        Self { client: self.client.as_role(role), ..self.clone() }
    }

    /// The bare client of `role`'s process, for services that every role has.
    #[must_use]
    pub fn of(&self, role: Role) -> Client {
        self.client.of(role)
    }

    /// The order service.
    #[must_use]
    pub fn order(&self) -> OrderServiceClient<Client> {
        OrderServiceClient::new(self.client.clone()).max_decoding_message_size(MAX_MESSAGE)
    }

    /// The inventory service.
    #[must_use]
    pub fn inventory(&self) -> InventoryServiceClient<Client> {
        InventoryServiceClient::new(self.client.clone()).max_decoding_message_size(MAX_MESSAGE)
    }

    /// The fulfillment service.
    #[must_use]
    pub fn fulfillment(&self) -> FulfillmentServiceClient<Client> {
        FulfillmentServiceClient::new(self.client.clone()).max_decoding_message_size(MAX_MESSAGE)
    }

    /// The shipping service.
    #[must_use]
    pub fn shipping(&self) -> ShippingServiceClient<Client> {
        ShippingServiceClient::new(self.client.clone()).max_decoding_message_size(MAX_MESSAGE)
    }

    /// The notification service.
    #[must_use]
    pub fn notification(&self) -> NotificationServiceClient<Client> {
        NotificationServiceClient::new(self.client.clone()).max_decoding_message_size(MAX_MESSAGE)
    }

    /// The bare client, for callers that know methods only at run time (the gateway). They set
    /// the deadline of each request themselves.
    #[must_use]
    pub fn channel(&self) -> Client {
        self.client.clone()
    }

    /// A request that follows from `cause`: its command id is the idempotency key, so that asking
    /// again asks for the same.
    pub fn request<M>(&self, message: M, cause: &Cause) -> Request<M> {
        let mut request = Request::new(message);
        request.set_timeout(DEADLINE);
        let metadata = request.metadata_mut();
        self.vouch(metadata, &cause.actor);
        insert(metadata, IDEMPOTENCY_KEY, &cause.command_id.to_string());
        insert(metadata, STORY, &cause.story);
        insert(metadata, "traceparent", &crate::telemetry::current_traceparent());
        if let Some(id) = cause.causation_id {
            insert(metadata, CAUSATION, &id.to_string());
        }
        request
    }

    /// A question of `service` that changes nothing.
    pub fn question<M>(&self, message: M, service: &str, story: &str) -> Request<M> {
        let mut request = Request::new(message);
        request.set_timeout(DEADLINE);
        let metadata = request.metadata_mut();
        self.vouch(metadata, &Actor::service(service));
        insert(metadata, STORY, story);
        insert(metadata, "traceparent", &crate::telemetry::current_traceparent());
        request
    }

    /// Adds the proof of who `actor` is. An actor that is no service is vouched for by the one
    /// that lets it through: the gateway.
    pub fn vouch(&self, metadata: &mut MetadataMap, actor: &Actor) {
        let signed = self.secrets.sign(actor, clock::now_ms());
        metadata.insert_bin(ACTOR, BinaryMetadataValue::from_bytes(&signed.claim));
        metadata.insert_bin(ACTOR_SIGNATURE, BinaryMetadataValue::from_bytes(&signed.signature));
    }
}

fn in_clear(address: &str) -> Result<Channel, BadAddress> {
    if address.starts_with("https://") {
        return Err(BadAddress::NoCertificate(address.to_owned()));
    }
    let unreadable = |_| BadAddress::Unreadable(address.to_owned());
    let endpoint = Endpoint::from_shared(address.to_owned()).map_err(unreadable)?;
    Ok(with_limits(endpoint).connect_lazy())
}

fn over_tls(role: Role, address: &str, tls: &Arc<Tls>) -> Result<Channel, BadAddress> {
    if address.starts_with("http://") {
        return Err(BadAddress::InClear(address.to_owned()));
    }
    let unreadable = || BadAddress::Unreadable(address.to_owned());
    let rest = address.strip_prefix("https://").ok_or_else(unreadable)?;
    // The connector speaks TLS; tonic would refuse an address that says so without its own.
    let endpoint = Endpoint::from_shared(format!("http://{rest}")).map_err(|_| unreadable())?;
    let tls = Arc::clone(tls);
    let connector = tower::service_fn(move |uri: http::Uri| {
        let tls = Arc::clone(&tls);
        async move {
            let host = uri.host().unwrap_or_default().trim_matches(['[', ']']).to_owned();
            let stream = TcpStream::connect((host.as_str(), uri.port_u16().unwrap_or(443))).await?;
            stream.set_nodelay(true)?;
            Ok::<_, io::Error>(TokioIo::new(tls.connect(role, stream).await?))
        }
    });
    Ok(with_limits(endpoint).connect_with_connector_lazy(connector))
}

fn with_limits(endpoint: Endpoint) -> Endpoint {
    endpoint
        .connect_timeout(CONNECT)
        .http2_keep_alive_interval(KEEP_ALIVE)
        .keep_alive_timeout(KEEP_ALIVE)
        .keep_alive_while_idle(true)
        .tcp_nodelay(true)
}

fn insert(metadata: &mut MetadataMap, name: &'static str, value: &str) {
    if value.is_empty() {
        return;
    }
    if let Ok(value) = MetadataValue::try_from(value) {
        metadata.insert(name, value);
    }
}
