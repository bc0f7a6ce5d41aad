//! Roles that talk over TLS: who may call what, who is refused, and renewed certificates.

use std::io;
use std::sync::{Arc, Mutex};

use nexus_es::log::EventLog;
use nexus_es::memory::MemoryLog;
use nexus_es::{Actor, ActorKind};
use nexus_proto::work::v1::ListParkedRequest;
use nexus_proto::work::v1::work_service_client::WorkServiceClient;
use nexus_proto::work::v1::work_service_server::WorkServiceServer;
use nexus_runtime::channels::Way;
use nexus_runtime::rpc::{KeyCheck, RpcLayer};
use nexus_runtime::tls::{Tls, TlsError};
use nexus_runtime::work::Work;
use nexus_runtime::{Channels, Role, Secrets};
use tokio::net::TcpListener;
use tonic::{Code, Request};

use crate::certificates::Authority;

struct OneKey;

impl KeyCheck for OneKey {
    fn check(&self, key: &str) -> Option<Actor> {
        let actor = Actor { kind: ActorKind::Key, ..Actor::service("ali") };
        (key == "nx_good").then_some(actor)
    }
}

fn secrets() -> Arc<Secrets> {
    Arc::new(Secrets::new(vec![7; 32].into()))
}

/// A server of `role`, and where it listens.
async fn serve(tls: Arc<Tls>, strangers: bool) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = format!("https://{}", listener.local_addr().unwrap());
    let log: Arc<dyn EventLog> = Arc::new(MemoryLog::default());
    let server = tonic::transport::Server::builder()
        .layer(RpcLayer::new(secrets(), Arc::new(OneKey)))
        .add_service(WorkServiceServer::new(Work::new(Vec::new(), &log)));
    let incoming = tls.accept(listener, strangers);
    #[expect(clippy::disallowed_methods, reason = "it ends with the test's runtime")]
    tokio::spawn(server.serve_with_incoming(Box::pin(incoming)));
    address
}

/// `caller`'s way to a server that should be `role`.
fn channels(caller: &Arc<Tls>, role: Role, address: &str) -> Channels {
    let way = Way::to(role, &[address.to_owned()], Some(caller)).unwrap();
    Channels::by([(role, way)], secrets())
}

async fn list(channels: &Channels, role: Role) -> Result<(), Code> {
    let mut client = WorkServiceClient::new(channels.of(role));
    let asked = channels.question(ListParkedRequest::default(), "tests", "");
    client.list_parked(asked).await.map(drop).map_err(|no| no.code())
}

struct World {
    _dir: tempfile::TempDir,
    authority: Authority,
}

impl World {
    fn new() -> Self {
        Self { _dir: tempfile::tempdir().unwrap(), authority: Authority::new("ours") }
    }

    fn dir(&self, name: &str) -> std::path::PathBuf {
        let dir = self._dir.path().join(name);
        std::fs::create_dir_all(&dir).unwrap();
        dir
    }

    fn tls(&self, role: Role) -> Arc<Tls> {
        Tls::load(role, self.authority.issue(&self.dir(role.name()), role)).unwrap()
    }
}

#[derive(Clone, Default)]
struct Lines(Arc<Mutex<Vec<u8>>>);

impl io::Write for Lines {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().extend(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[tokio::test]
async fn a_role_calls_what_its_row_allows_and_is_refused_the_rest_in_the_log() {
    let lines = Lines::default();
    let writer = lines.clone();
    let subscriber = tracing_subscriber::fmt().with_writer(move || writer.clone()).finish();
    let _guard = tracing::subscriber::set_default(subscriber);
    let world = World::new();
    let address = serve(world.tls(Role::Order), false).await;
    let gateway = channels(&world.tls(Role::Gateway), Role::Order, &address);
    assert_eq!(list(&gateway, Role::Order).await, Ok(()));
    let shipping = channels(&world.tls(Role::Shipping), Role::Order, &address);
    assert_eq!(list(&shipping, Role::Order).await, Err(Code::PermissionDenied));
    let said = String::from_utf8(lines.0.lock().unwrap().clone()).unwrap();
    assert!(said.contains("denied: shipping may not call"), "{said}");
    assert!(said.contains("WorkService/ListParked"), "{said}");
}

#[tokio::test]
async fn a_role_that_says_it_is_another_is_believed_by_its_certificate_only() {
    let world = World::new();
    let address = serve(world.tls(Role::Order), false).await;
    let shipping = channels(&world.tls(Role::Shipping), Role::Order, &address);
    let pretender = shipping.as_role(Role::Gateway);
    assert_eq!(list(&pretender, Role::Order).await, Err(Code::PermissionDenied));
}

#[tokio::test]
async fn a_caller_of_another_authority_or_out_of_date_is_not_let_in() {
    let world = World::new();
    let address = serve(world.tls(Role::Order), false).await;
    // They trust ours, so that it is the server that refuses them.
    let strange = Authority::new("another").issue(&world.dir("strange"), Role::Gateway);
    let ours = world.authority.issue(&world.dir("ours"), Role::Gateway);
    std::fs::copy(&ours.authority, &strange.authority).unwrap();
    let identity = Role::Gateway.identity();
    let expired = world.authority.issue_as(&world.dir("expired"), &identity, true);
    for files in [strange, expired] {
        let caller = Tls::load(Role::Gateway, files).unwrap();
        let refused = list(&channels(&caller, Role::Order, &address), Role::Order).await;
        assert_eq!(refused, Err(Code::Unavailable));
    }
}

#[tokio::test]
async fn a_server_that_is_another_role_is_not_spoken_to() {
    let world = World::new();
    let address = serve(world.tls(Role::Inventory), false).await;
    let gateway = channels(&world.tls(Role::Gateway), Role::Order, &address);
    assert_eq!(list(&gateway, Role::Order).await, Err(Code::Unavailable));
}

#[tokio::test]
async fn who_shows_no_certificate_comes_in_by_api_key_where_strangers_may_and_vouches_for_nobody() {
    let world = World::new();
    let files = world.authority.issue(&world.dir("gateway"), Role::Gateway);
    let authority = std::fs::read(&files.authority).unwrap();
    let server = Tls::load(Role::Gateway, files).unwrap();
    let stranger = async |address: &str| {
        let trust = tonic::transport::ClientTlsConfig::new()
            .ca_certificate(tonic::transport::Certificate::from_pem(&authority))
            .domain_name("localhost");
        let endpoint = tonic::transport::Endpoint::from_shared(address.to_owned()).unwrap();
        WorkServiceClient::new(endpoint.tls_config(trust).unwrap().connect_lazy())
    };
    let keyed = |key: &str| {
        let mut request = Request::new(ListParkedRequest::default());
        let value = format!("Bearer {key}").parse().unwrap();
        request.metadata_mut().insert("authorization", value);
        request
    };
    let open = serve(Arc::clone(&server), true).await;
    let mut client = stranger(&open).await;
    assert!(client.list_parked(keyed("nx_good")).await.is_ok());
    let wrong = client.list_parked(keyed("nx_bad")).await.unwrap_err();
    assert_eq!(wrong.code(), Code::Unauthenticated);
    let mut vouched = Request::new(ListParkedRequest::default());
    let signer = channels(&world.tls(Role::Order), Role::Gateway, &open);
    signer.vouch(vouched.metadata_mut(), &Actor::service("order"));
    let refused = client.list_parked(vouched).await.unwrap_err();
    assert_eq!(refused.code(), Code::Unauthenticated);

    let closed = serve(server, false).await;
    let refused = stranger(&closed).await.list_parked(keyed("nx_good")).await.unwrap_err();
    assert_ne!(refused.code(), Code::Unauthenticated, "the handshake must not go through");
}

#[tokio::test]
async fn renewed_certificates_are_used_for_the_next_connections_and_old_ones_go_on() {
    let world = World::new();
    let dir = world.dir("order");
    let server = Tls::load(Role::Order, world.authority.issue(&dir, Role::Order)).unwrap();
    let address = serve(Arc::clone(&server), false).await;
    let old = world.tls(Role::Gateway);
    let connected = channels(&old, Role::Order, &address);
    assert_eq!(list(&connected, Role::Order).await, Ok(()));

    let next = Authority::new("next");
    std::fs::write(dir.join("certificate.pem"), "half a certificate").unwrap();
    let again = channels(&old, Role::Order, &address);
    assert_eq!(list(&again, Role::Order).await, Ok(()), "a broken file changes nothing");
    next.issue(&dir, Role::Order);
    assert_eq!(list(&connected, Role::Order).await, Ok(()), "what is connected stays so");
    let behind = channels(&old, Role::Order, &address);
    assert_eq!(list(&behind, Role::Order).await, Err(Code::Unavailable));
    // The caller's files are renewed too: the same channels get through.
    next.issue(&world.dir("gateway"), Role::Gateway);
    assert_eq!(list(&behind, Role::Order).await, Ok(()));
}

#[test]
fn a_certificate_of_another_role_or_a_missing_file_is_named_at_the_start() {
    let world = World::new();
    let files = world.authority.issue(&world.dir("order"), Role::Order);
    let wrong = Tls::load(Role::Shipping, files.clone()).unwrap_err();
    assert!(matches!(wrong, TlsError::WrongRole { role: Role::Shipping, .. }), "{wrong}");
    assert!(wrong.to_string().contains("spiffe://nexus/shipping"), "{wrong}");
    std::fs::remove_file(&files.key).unwrap();
    let missing = Tls::load(Role::Order, files).unwrap_err();
    assert!(missing.to_string().contains("key.pem"), "{missing}");
}
