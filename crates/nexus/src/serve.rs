//! `nexus serve`: one role in this process, or the sandboxes, until it is told to stop.
//! *Invariant:* roles start in any order: each waits for what it needs, says so, and ends cleanly
//! while it waits too.

use std::net::SocketAddr;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use nexus_es::tasks::Tasks;
use nexus_runtime::Role;
use nexus_runtime::telemetry::{self, Output};
use tokio::net::TcpListener;
use tokio::signal::unix::{Signal, SignalKind, signal};

use crate::backend::{Backend, NotYet};
use crate::cli::ServeArgs;
use crate::config::{Config, Given, Shape};
use crate::health;
use crate::node::{self, Node};
use crate::root::Root;
use crate::standing::Standing;

const FIRST_PAUSE: Duration = Duration::from_millis(100);
const LONGEST_PAUSE: Duration = Duration::from_secs(2);
const STOP_PATIENCE: Duration = Duration::from_secs(5);

pub(crate) async fn run(args: ServeArgs) -> anyhow::Result<ExitCode> {
    let given = Given::load(args.config.as_deref())?;
    let shape = args.role.0;
    let config = Config::read(&given, shape)?;
    let _telemetry = telemetry::start(telemetry::Settings {
        filter: &config.log_filter,
        output: Output::Stderr,
        role: shape.name(),
        collector: config.collector.as_deref(),
    })?;
    let mut stop = Stop::listen()?;
    match shape {
        Shape::One(role) => serve_role(role, &config, &mut stop).await?,
        Shape::All | Shape::Sandbox => serve_sandbox(&config, &mut stop).await?,
    }
    Ok(ExitCode::SUCCESS)
}

/// SIGTERM, or Ctrl-C.
struct Stop {
    interrupt: Signal,
    terminate: Signal,
}

impl Stop {
    fn listen() -> anyhow::Result<Self> {
        Ok(Self {
            interrupt: signal(SignalKind::interrupt())?,
            terminate: signal(SignalKind::terminate())?,
        })
    }

    async fn asked(&mut self) {
        tokio::select! {
            _ = self.interrupt.recv() => {}
            _ = self.terminate.recv() => {}
        }
    }
}

async fn serve_role(role: Role, config: &Config, stop: &mut Stop) -> anyhow::Result<()> {
    let standing = Arc::new(Standing::default());
    let probes = Tasks::default();
    let listener = bind("NEXUS_HEALTH_LISTEN", config.listen.health).await?;
    tracing::info!("{role} begins; health at http://{}", listener.local_addr()?);
    node::serve_http(&probes, "health", listener, health::router(Arc::clone(&standing)));
    let began = tokio::select! {
        began = begin(role, config, &standing) => Some(began?),
        () = stop.asked() => None,
    };
    if let Some(mut node) = began {
        let caught_up = tokio::select! {
            () = standing.caught_up() => true,
            () = stop.asked() => false,
        };
        if caught_up {
            open(role, config, &mut node).await?;
            tracing::info!("{role} is ready, durability: {}", node.ports.log.durability().name);
            stop.asked().await;
        }
        tracing::info!("{role} stops");
        node.stop().await;
    }
    probes.shut_down(STOP_PATIENCE).await;
    Ok(())
}

/// Waits for the master key and the log, for as long as it takes, and wires the role on them.
async fn begin(role: Role, config: &Config, standing: &Arc<Standing>) -> anyhow::Result<Node> {
    let key = config.master_key();
    let mut pause = FIRST_PAUSE;
    loop {
        let waits_for = if key.exists() {
            match Backend::open(config, Shape::One(role)).await {
                Ok(backend) => {
                    let root = Root::load(&key)?;
                    return Node::begin(&[role], config, backend, &root, standing).await;
                }
                Err(NotYet::Refused(error)) => return Err(error),
                Err(NotYet::Waiting(what)) => what,
            }
        } else {
            format!("there is no master key {}: `nexus init` makes it", key.display())
        };
        standing.wait_for(&waits_for);
        tokio::time::sleep(pause).await;
        pause = (pause * 2).min(LONGEST_PAUSE);
    }
}

async fn open(role: Role, config: &Config, node: &mut Node) -> anyhow::Result<()> {
    let http = match role {
        Role::Gateway => Some(bind("NEXUS_HTTP_LISTEN", config.listen.http).await?),
        Role::Ingress => Some(bind("NEXUS_INGRESS_LISTEN", config.listen.ingress).await?),
        Role::Order | Role::Inventory | Role::Fulfillment | Role::Shipping | Role::Notification => {
            None
        }
    };
    let grpc = bind("NEXUS_GRPC_LISTEN", config.listen.grpc).await?;
    tracing::info!("{role} listens for gRPC at {}", grpc.local_addr()?);
    node.open_grpc(grpc);
    if let Some(listener) = http {
        tracing::info!("{role} listens for HTTP at {}", listener.local_addr()?);
        node.open_http(role, listener);
    }
    Ok(())
}

async fn serve_sandbox(config: &Config, stop: &mut Stop) -> anyhow::Result<()> {
    let sandbox = nexus_sandbox::start(nexus_sandbox::Config {
        data_dir: config.data.join("sandbox"),
        courier_listen: config.listen.sandbox_courier,
        whatsapp_listen: config.listen.sandbox_whatsapp,
        speed: config.sandbox_speed,
    });
    let sandbox = sandbox.await.context("the sandboxes do not start")?;
    let (courier, channel) = (sandbox.courier_url(), sandbox.whatsapp_url());
    tracing::info!("the sandboxes are ready: courier {courier}, channel {channel}");
    stop.asked().await;
    sandbox.stop().await;
    Ok(())
}

async fn bind(setting: &str, address: SocketAddr) -> anyhow::Result<TcpListener> {
    let listener = TcpListener::bind(address).await;
    listener.with_context(|| format!("cannot listen on {address}: set {setting} to another"))
}
