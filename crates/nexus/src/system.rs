//! All of Nexus in one process: adapters chosen, services wired, servers listening.
//! *Invariant:* nothing is told to be ready before every view has caught up with its logs.

mod endpoints;
mod first_start;
mod readiness;
mod secrets;
mod settings;

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::Context;
use nexus_es::EventLog;
use nexus_es::ports::KeyStore;
use nexus_es::seal::Vault;
use nexus_es::tasks::Tasks;
use nexus_es_sqlite::SqliteStore;
use nexus_gateway::Keys;
use nexus_proto::work::v1::work_service_server::WorkServiceServer;
use nexus_runtime::channels::Pipes;
use nexus_runtime::rpc::{KeyCheck, RpcLayer};
use nexus_runtime::work::Work;
use nexus_runtime::{Channels, Ports, Running};
use nexus_sandbox::Sandbox;
use tokio::net::TcpListener;
use tonic::service::RoutesBuilder;
use tonic::transport::server::TcpIncoming;

pub(crate) use endpoints::Endpoints;
pub(crate) use secrets::Root;

const READY_PATIENCE: Duration = Duration::from_secs(600);
const STOP_PATIENCE: Duration = Duration::from_secs(10);

/// What to start.
pub(crate) struct Settings {
    pub(crate) data: PathBuf,
    pub(crate) http: SocketAddr,
    pub(crate) ingress: SocketAddr,
    pub(crate) grpc: SocketAddr,
    pub(crate) speed: f64,
}

/// A running Nexus.
pub(crate) struct System {
    pub(crate) endpoints: Endpoints,
    pub(crate) admin_key_file: PathBuf,
    pub(crate) durability: String,
    pub(crate) ready_after: Duration,
    ports: Ports,
    servers: Servers,
    running: Vec<Running>,
    sandbox: Sandbox,
    store: SqliteStore,
}

/// The tasks of servers, by who calls them.
#[derive(Default)]
struct Servers {
    /// REST and webhooks.
    outer: Tasks,
    /// gRPC.
    inner: Tasks,
}

struct Listeners {
    http: TcpListener,
    ingress: TcpListener,
    grpc: TcpListener,
}

impl System {
    /// Starts everything and waits until it is ready.
    pub(crate) async fn start(settings: &Settings) -> anyhow::Result<Self> {
        let began = Instant::now();
        let store = SqliteStore::open(&settings.data).await?;
        let nothing_stored =
            store.keys().list().await?.is_empty() && store.log().services().await?.is_empty();
        let root = Root::load_or_make(&settings.data, nothing_stored)?;
        let listeners = Listeners::bind(settings).await?;
        let sandbox = start_sandbox(settings).await?;
        let endpoints = listeners.endpoints(&sandbox)?;
        let (ports, pipes) = ports(settings, &store, &root)?;
        let keys = Keys::start(Arc::clone(&ports.log), &ports.tasks).await?;
        let servers = Servers::default();
        let running = serve(&ports, &servers, &keys, (listeners, pipes), &endpoints).await?;
        let readiness = readiness::Caught { running: running.clone() };
        readiness.wait(READY_PATIENCE).await?;
        let admin_key_file = first_start::admin_key(&ports, &keys, &settings.data).await?;
        first_start::accounts(&ports, &endpoints).await?;
        endpoints.write(&settings.data)?;
        let durability = ports.log.durability().name;
        let ready_after = began.elapsed();
        Ok(Self {
            endpoints,
            admin_key_file,
            durability,
            ready_after,
            ports,
            servers,
            running,
            sandbox,
            store,
        })
    }

    /// Calls to its services, over the address that others call too.
    pub(crate) fn channels(&self) -> anyhow::Result<Channels> {
        Ok(Channels::shared(&self.endpoints.grpc, Arc::clone(&self.ports.secrets))?)
    }

    /// Its log.
    pub(crate) fn log(&self) -> Arc<dyn EventLog> {
        Arc::clone(&self.ports.log)
    }

    /// Commits and syncs of its log since the start.
    pub(crate) fn written(&self) -> (u64, u64) {
        self.store.log().written()
    }

    /// One of its services.
    pub(crate) fn running(&self, service: &str) -> Option<Running> {
        self.running.iter().find(|running| running.service == service).cloned()
    }

    /// Lets what is in flight end, then closes everything, from the outside in: requests need
    /// services, services need processes and views, all need the log.
    pub(crate) async fn stop(self) {
        let families = [
            ("requests", self.servers.outer),
            ("calls between services", self.servers.inner),
            ("processes", self.ports.processes.clone()),
            ("read models", self.ports.tasks.clone()),
        ];
        for (name, tasks) in families {
            if !tasks.shut_down(STOP_PATIENCE).await {
                tracing::warn!("some {name} did not end in time; they go on at the next start");
            }
        }
        self.sandbox.stop().await;
        drop(self.ports);
        self.store.close().await;
    }
}

impl Listeners {
    async fn bind(settings: &Settings) -> anyhow::Result<Self> {
        let bind = async |name: &str, address: SocketAddr| {
            TcpListener::bind(address).await.with_context(|| {
                format!("cannot listen on {address} for {name}: choose another with --{name}")
            })
        };
        Ok(Self {
            http: bind("http", settings.http).await?,
            ingress: bind("ingress", settings.ingress).await?,
            grpc: bind("grpc", settings.grpc).await?,
        })
    }

    fn endpoints(&self, sandbox: &Sandbox) -> anyhow::Result<Endpoints> {
        let url = |listener: &TcpListener| {
            anyhow::Ok(format!("http://{}", reachable(listener.local_addr()?)))
        };
        Ok(Endpoints {
            http: url(&self.http)?,
            ingress: url(&self.ingress)?,
            grpc: url(&self.grpc)?,
            sandbox_courier: sandbox.courier_url(),
            sandbox_whatsapp: sandbox.whatsapp_url(),
        })
    }
}

/// An address that listens everywhere is reached at loopback.
fn reachable(address: SocketAddr) -> SocketAddr {
    if address.ip().is_unspecified() {
        SocketAddr::from(([127, 0, 0, 1], address.port()))
    } else {
        address
    }
}

async fn start_sandbox(settings: &Settings) -> anyhow::Result<Sandbox> {
    let config = nexus_sandbox::Config {
        data_dir: settings.data.join("sandbox"),
        courier_listen: endpoints::remembered(&settings.data, |old| &old.sandbox_courier),
        whatsapp_listen: endpoints::remembered(&settings.data, |old| &old.sandbox_whatsapp),
        speed: settings.speed,
    };
    nexus_sandbox::start(config).await.context("the sandboxes do not start")
}

fn ports(settings: &Settings, store: &SqliteStore, root: &Root) -> anyhow::Result<(Ports, Pipes)> {
    let secrets = Arc::new(root.secrets());
    let (channels, pipes) = Channels::in_process(Arc::clone(&secrets));
    let ports = Ports {
        log: store.log(),
        leases: store.leases(),
        checkpoints: store.checkpoints(),
        timers: store.timers(),
        blobs: store.blobs(),
        vault: Arc::new(Vault::new(store.keys(), root.masters()?)),
        tasks: Tasks::default(),
        processes: Tasks::default(),
        views_dir: views_dir(&settings.data),
        channels,
        secrets,
        speed: settings.speed,
    };
    Ok((ports, pipes))
}

/// Where view databases lie inside a data directory.
pub(crate) fn views_dir(data: &Path) -> PathBuf {
    data.join("views")
}

/// Wires all services and starts the three servers.
async fn serve(
    ports: &Ports,
    servers: &Servers,
    keys: &Arc<Keys>,
    (listeners, pipes): (Listeners, Pipes),
    endpoints: &Endpoints,
) -> anyhow::Result<Vec<Running>> {
    let mut routes = RoutesBuilder::default();
    let mut running = vec![nexus_gateway::run(ports, keys, &mut routes).await?];
    let inventory = nexus_inventory::Config::from_env()?;
    running.push(nexus_inventory::run(ports.clone(), inventory, &mut routes).await?);
    let order = nexus_order::Config::from_env()?;
    running.push(nexus_order::run(ports.clone(), order, &mut routes).await?);
    let fulfillment = nexus_fulfillment::Config::from_env()?;
    running.push(nexus_fulfillment::run(ports.clone(), fulfillment, &mut routes).await?);
    let shipping = settings::shipping(endpoints)?;
    running.push(nexus_shipping::run(ports.clone(), shipping, &mut routes).await?);
    let notification = settings::notification(endpoints)?;
    running.push(nexus_notification::run(ports.clone(), notification, &mut routes).await?);
    let (ingress, ingress_running) =
        nexus_ingress::run(ports.clone(), nexus_ingress::Config::from_env()?).await?;
    running.push(ingress_running);
    routes.add_service(WorkServiceServer::new(Work::new(running.clone(), &ports.log)));
    serve_grpc(ports, &servers.inner, keys, routes, (listeners.grpc, pipes)).await?;
    let readiness = Arc::new(readiness::Caught { running: running.clone() });
    let readiness = readiness::Told::new(readiness, Arc::clone(&ports.log));
    let gateway = nexus_gateway::router(ports, keys, readiness)?;
    serve_http(&servers.outer, "gateway", listeners.http, gateway);
    serve_http(&servers.outer, "ingress", listeners.ingress, ingress);
    Ok(running)
}

async fn serve_grpc(
    ports: &Ports,
    tasks: &Tasks,
    keys: &Arc<Keys>,
    mut routes: RoutesBuilder,
    (listener, pipes): (TcpListener, Pipes),
) -> anyhow::Result<()> {
    let (reporter, health) = tonic_health::server::health_reporter();
    reporter.set_service_status("", tonic_health::ServingStatus::Serving).await;
    routes.add_service(health);
    let reflection = || {
        tonic_reflection::server::Builder::configure()
            .register_encoded_file_descriptor_set(nexus_proto::FILE_DESCRIPTOR_SET)
    };
    routes.add_service(reflection().build_v1()?);
    routes.add_service(reflection().build_v1alpha()?);
    let keys: Arc<dyn KeyCheck> = keys.clone();
    let layer = RpcLayer::new(Arc::clone(&ports.secrets), keys);
    let routes = routes.routes();
    let server = || {
        tonic::transport::Server::builder()
            .http2_keepalive_interval(Some(Duration::from_secs(10)))
            .http2_keepalive_timeout(Some(Duration::from_secs(10)))
            .tcp_nodelay(true)
            .layer(layer.clone())
            .add_routes(routes.clone())
    };
    let (outer, inner) = (server(), server());
    let (stop, stop_too) = (tasks.stopping(), tasks.stopping());
    let incoming = TcpIncoming::from(listener).with_nodelay(Some(true));
    tasks.spawn("grpc server", async move {
        ended(outer.serve_with_incoming_shutdown(incoming, stop.cancelled()).await);
    });
    tasks.spawn("grpc server within", async move {
        ended(inner.serve_with_incoming_shutdown(pipes, stop_too.cancelled()).await);
    });
    Ok(())
}

fn ended(served: Result<(), tonic::transport::Error>) {
    if let Err(error) = served {
        tracing::error!("a gRPC server ended: {error}");
    }
}

fn serve_http(tasks: &Tasks, name: &'static str, listener: TcpListener, router: axum::Router) {
    let stop = tasks.stopping();
    tasks.spawn(name, async move {
        let serving = axum::serve(listener, router)
            .with_graceful_shutdown(async move { stop.cancelled().await });
        if let Err(error) = serving.await {
            tracing::error!("the {name} server ended: {error}");
        }
    });
}
