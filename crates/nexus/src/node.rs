//! One process of Nexus: some roles, what they keep, and the servers in front of them.
//! *Invariant:* it ends from the outside in: requests need services, services need processes and
//! views, all need the log.

mod forward;
mod grpc;
mod work;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, bail};
use axum::Router;
use nexus_es::seal::Vault;
use nexus_es::tasks::Tasks;
use nexus_gateway::Keys;
use nexus_proto::work::v1::work_service_server::WorkServiceServer;
use nexus_runtime::channels::{Pipes, Way};
use nexus_runtime::rpc::{KeyCheck, RpcLayer};
use nexus_runtime::tls::Tls;
use nexus_runtime::work::Work;
use nexus_runtime::{Channels, Ports, Role, Running};
use tokio::net::TcpListener;
use tonic::service::{Routes, RoutesBuilder};

use crate::backend::{Backend, Shelves};
use crate::config::{Config, views_dir};
use crate::roles::{self, Place};
use crate::root::Root;
use crate::standing::Standing;

const STOP_PATIENCE: Duration = Duration::from_secs(10);

/// A running process.
pub(crate) struct Node {
    pub(crate) ports: Ports,
    pub(crate) keys: Option<Arc<Keys>>,
    pub(crate) running: Vec<Running>,
    pub(crate) backend: Backend,
    standing: Arc<Standing>,
    servers: Servers,
    layer: RpcLayer,
    routes: Routes,
    http: BTreeMap<Role, Router>,
    tls: Option<Arc<Tls>>,
    roles: Vec<Role>,
}

/// The tasks of servers, by who calls them.
#[derive(Default)]
struct Servers {
    /// REST and webhooks.
    outer: Tasks,
    /// gRPC.
    inner: Tasks,
}

impl Node {
    /// Wires `roles` on what `backend` keeps. They work from here on; nobody can call them from
    /// outside before [`Node::open_grpc`].
    pub(crate) async fn begin(
        roles: &[Role],
        config: &Config,
        backend: Backend,
        root: &Root,
        standing: &Arc<Standing>,
    ) -> anyhow::Result<Self> {
        let tls = match (&config.tls, roles) {
            (None, _) => None,
            (Some(files), [role]) => Some(Tls::load(*role, files.clone())?),
            (Some(_), _) => bail!("NEXUS_TLS_CERT_FILE is for one role: unset it for `nexus up`"),
        };
        let (channels, pipes) = channels(roles, config, root, tls.as_ref())?;
        let ports = ports(config, &backend, root, channels)?;
        let keys = if roles.contains(&Role::Gateway) {
            Some(Keys::start(Arc::clone(&ports.log), &ports.tasks).await?)
        } else {
            None
        };
        let mut routes = RoutesBuilder::default();
        let (mut running, mut http) = (Vec::new(), BTreeMap::new());
        for role in roles {
            let readiness: Arc<dyn nexus_gateway::Readiness> = standing.clone();
            let ports = ports_of(*role, &ports, config, &backend);
            let place = Place { ports, services: &config.services, keys: keys.as_ref(), readiness };
            let wired = roles::wire(*role, place, &mut routes).await?;
            running.push(wired.running);
            http.extend(wired.http.map(|router| (*role, router)));
        }
        nexus_runtime::metrics::watch(&ports.log, &running, &ports.tasks);
        let routes = answer_all(roles, routes, &ports, &running, standing).await?;
        let check: Arc<dyn KeyCheck> = match &keys {
            Some(keys) => keys.clone(),
            None => Arc::new(grpc::NoKeys),
        };
        let layer = RpcLayer::new(Arc::clone(&ports.secrets), check);
        let servers = Servers::default();
        grpc::serve(&servers.inner, "grpc server within", &layer, &routes, pipes);
        standing.begin(running.clone(), Arc::clone(&ports.log));
        Ok(Self {
            ports,
            keys,
            running,
            backend,
            standing: Arc::clone(standing),
            servers,
            layer,
            routes,
            http,
            tls,
            roles: roles.to_vec(),
        })
    }

    /// Lets calls of others in.
    pub(crate) fn open_grpc(&self, listener: TcpListener) {
        let (tasks, name) = (&self.servers.inner, "grpc server");
        match &self.tls {
            None => {
                let incoming = tonic::transport::server::TcpIncoming::from(listener);
                let incoming = incoming.with_nodelay(Some(true));
                grpc::serve(tasks, name, &self.layer, &self.routes, incoming);
            }
            Some(tls) => {
                // Only the gateway has callers without a certificate: they bring an API key.
                let strangers = self.roles.contains(&Role::Gateway);
                let incoming = Arc::clone(tls).accept(listener, strangers);
                grpc::serve(tasks, name, &self.layer, &self.routes, incoming);
            }
        }
    }

    /// Serves what `role` has for HTTP.
    pub(crate) fn open_http(&mut self, role: Role, listener: TcpListener) {
        if let Some(router) = self.http.remove(&role) {
            serve_http(&self.servers.outer, role.name(), listener, router);
        }
    }

    /// Lets what is in flight end, then closes everything.
    pub(crate) async fn stop(self) {
        self.standing.end();
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
        drop(self.ports);
        self.backend.close().await;
    }
}

/// Adds what every process answers. The gateway alone answers for all others too.
async fn answer_all(
    roles: &[Role],
    mut routes: RoutesBuilder,
    ports: &Ports,
    running: &[Running],
    standing: &Arc<Standing>,
) -> anyhow::Result<Routes> {
    grpc::with_health(&mut routes, &ports.tasks, standing).await?;
    let own = Work::new(running.to_vec(), &ports.log);
    if roles != [Role::Gateway] {
        routes.add_service(WorkServiceServer::new(own));
        return Ok(routes.routes());
    }
    let others = Role::ALL.into_iter().filter(|role| *role != Role::Gateway);
    let all = work::OfAll::new(own, Role::Gateway, others, &ports.channels);
    routes.add_service(WorkServiceServer::new(all));
    Ok(forward::to_services(routes.routes(), ports.channels.as_role(Role::Gateway)))
}

/// Ways to all services: pipes to those in this process, addresses for the others.
fn channels(
    roles: &[Role],
    config: &Config,
    root: &Root,
    tls: Option<&Arc<Tls>>,
) -> anyhow::Result<(Channels, Pipes)> {
    let (here, pipes) = Way::in_process();
    let mut ways = BTreeMap::new();
    for role in Role::ALL {
        let way = if roles.contains(&role) {
            here.clone()
        } else {
            let name = role.name().to_uppercase();
            Way::to(role, config.addresses(role), tls)
                .with_context(|| format!("NEXUS_{name}_ADDRESS cannot be used"))?
        };
        ways.insert(role, way);
    }
    let channels = Channels::by(ways, Arc::new(root.secrets()));
    Ok(match (roles, config.replica_address()) {
        // One process that runs all is alone.
        ([role], Some(address)) => (channels.with_replica(*role, address, tls.cloned()), pipes),
        _ => (channels, pipes),
    })
}

/// What writes to the log and calls nobody.
pub(crate) fn bare_ports(config: &Config, backend: &Backend, root: &Root) -> anyhow::Result<Ports> {
    let (channels, _) = channels(&[], config, root, None)?;
    ports(config, backend, root, channels)
}

/// What all roles of the process share.
fn ports(
    config: &Config,
    backend: &Backend,
    root: &Root,
    channels: Channels,
) -> anyhow::Result<Ports> {
    let Shelves { leases, checkpoints, timers } = backend.shelves("nexus");
    Ok(Ports {
        log: backend.log(),
        leases,
        checkpoints,
        timers,
        blobs: backend.blobs(),
        vault: Arc::new(Vault::new(backend.keys(), root.masters()?)),
        tasks: Tasks::default(),
        processes: Tasks::default(),
        database: views_dir(&config.data).into(),
        channels,
        secrets: Arc::new(root.secrets()),
        speed: config.sandbox_speed,
    })
}

/// The same with what is `role`'s own.
fn ports_of(role: Role, shared: &Ports, config: &Config, backend: &Backend) -> Ports {
    let Shelves { leases, checkpoints, timers } = backend.shelves(role.name());
    Ports {
        leases,
        checkpoints,
        timers,
        database: config.database(role),
        channels: shared.channels.as_role(role),
        ..shared.clone()
    }
}

pub(crate) fn serve_http(tasks: &Tasks, name: &'static str, listener: TcpListener, router: Router) {
    let stop = tasks.stopping();
    tasks.spawn(name, async move {
        let serving = axum::serve(listener, router)
            .with_graceful_shutdown(async move { stop.cancelled().await });
        if let Err(error) = serving.await {
            tracing::error!("the {name} server ended: {error}");
        }
    });
}
