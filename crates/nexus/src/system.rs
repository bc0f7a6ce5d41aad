//! All of Nexus in one process: every role on one node, the sandboxes, and what the first start
//! makes.
//! *Invariant:* nothing is told to be ready before every view has caught up with its logs.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context, bail};
use nexus_es::EventLog;
use nexus_runtime::{Channels, Role, Running};
use nexus_sandbox::Sandbox;
use tokio::net::TcpListener;

use crate::backend::{Backend, NotYet};
use crate::config::{Config, Given, Shape};
use crate::endpoints::{self, Endpoints};
use crate::first_start;
use crate::node::Node;
use crate::root::Root;
use crate::standing::Standing;

const READY_PATIENCE: Duration = Duration::from_secs(600);

/// What to start.
pub(crate) struct Settings {
    pub(crate) data: PathBuf,
    pub(crate) http: SocketAddr,
    pub(crate) ingress: SocketAddr,
    pub(crate) grpc: SocketAddr,
    pub(crate) speed: f64,
    /// Settings beside the environment's, which wins.
    pub(crate) more: Vec<(&'static str, String)>,
}

/// A running Nexus.
pub(crate) struct System {
    pub(crate) endpoints: Endpoints,
    pub(crate) admin_key_file: PathBuf,
    pub(crate) durability: String,
    pub(crate) ready_after: Duration,
    node: Node,
    sandbox: Sandbox,
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
        let mut given = Given::load(None)?;
        let listeners = Listeners::bind(settings).await?;
        let sandbox = start_sandbox(settings).await?;
        let endpoints = listeners.endpoints(&sandbox)?;
        tell(&mut given, settings, &endpoints);
        let config = Config::read(&given, Shape::All)?;
        let standing = Arc::new(Standing::default());
        let backend = open(&config).await?;
        let services = Role::ALL.map(Role::name);
        let may_make = config.master_key_file.is_none() && backend.is_empty(&services).await?;
        let root = Root::load_or_make(&config.master_key(), may_make)?;
        let mut node = Node::begin(&Role::ALL, &config, backend, &root, &standing).await?;
        node.open_grpc(listeners.grpc);
        node.open_http(Role::Gateway, listeners.http);
        node.open_http(Role::Ingress, listeners.ingress);
        if tokio::time::timeout(READY_PATIENCE, standing.caught_up()).await.is_err() {
            bail!("the views did not catch up within {} s", READY_PATIENCE.as_secs());
        }
        let admin_key_file = config.admin_key();
        let keys = node.keys.as_ref().context("the API keys were not read")?;
        first_start::admin_key(&node.ports, keys, &admin_key_file).await?;
        first_start::accounts(&node.ports, &endpoints).await?;
        endpoints.write(&settings.data)?;
        let durability = node.ports.log.durability().name;
        let ready_after = began.elapsed();
        Ok(Self { endpoints, admin_key_file, durability, ready_after, node, sandbox })
    }

    /// Calls to its services, over the address that others call too.
    pub(crate) fn channels(&self) -> anyhow::Result<Channels> {
        Ok(Channels::shared(&self.endpoints.grpc, Arc::clone(&self.node.ports.secrets))?)
    }

    /// Its log.
    pub(crate) fn log(&self) -> Arc<dyn EventLog> {
        Arc::clone(&self.node.ports.log)
    }

    /// Commits and syncs of its log since the start.
    pub(crate) fn written(&self) -> (u64, u64) {
        self.node.backend.written()
    }

    /// One of its services.
    pub(crate) fn running(&self, service: &str) -> Option<Running> {
        self.node.running.iter().find(|running| running.service == service).cloned()
    }

    /// Lets what is in flight end, then closes everything, from the outside in.
    pub(crate) async fn stop(self) {
        self.node.stop().await;
        self.sandbox.stop().await;
    }
}

/// What `up` knows better than the defaults: its flags, its own addresses.
fn tell(given: &mut Given, settings: &Settings, endpoints: &Endpoints) {
    given.unless_given("NEXUS_DATA", &settings.data.display().to_string());
    for (name, value) in &settings.more {
        given.unless_given(name, value);
    }
    given.unless_given("NEXUS_SANDBOX_SPEED", &settings.speed.to_string());
    given.unless_given("NEXUS_SHIPPING_BOSTA_SANDBOX_URL", &endpoints.sandbox_courier);
    given.unless_given("NEXUS_SHIPPING_INGRESS_URL", &endpoints.ingress);
    given.unless_given("NEXUS_NOTIFICATION_WHATSAPP_SANDBOX_URL", &endpoints.sandbox_whatsapp);
    given.unless_given("NEXUS_NOTIFICATION_INGRESS_URL", &endpoints.ingress);
}

/// A log elsewhere may not be up yet; one's own files are there or not.
async fn open(config: &Config) -> anyhow::Result<Backend> {
    match Backend::open(config, Shape::All).await {
        Ok(backend) => Ok(backend),
        Err(NotYet::Refused(error)) => Err(error),
        Err(NotYet::Waiting(what)) => bail!("{what}"),
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
            anyhow::Ok(format!("http://{}", endpoints::reachable(listener.local_addr()?)))
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

async fn start_sandbox(settings: &Settings) -> anyhow::Result<Sandbox> {
    let config = nexus_sandbox::Config {
        data_dir: settings.data.join("sandbox"),
        courier_listen: endpoints::remembered(&settings.data, |old| &old.sandbox_courier),
        whatsapp_listen: endpoints::remembered(&settings.data, |old| &old.sandbox_whatsapp),
        speed: settings.speed,
    };
    nexus_sandbox::start(config).await.context("the sandboxes do not start")
}
