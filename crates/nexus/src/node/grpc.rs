//! The gRPC servers of a process, their health, and what they admit.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use futures::Stream;
use nexus_es::Actor;
use nexus_es::tasks::Tasks;
use nexus_gateway::Readiness;
use nexus_runtime::rpc::{KeyCheck, RpcLayer};
use tokio::io::{AsyncRead, AsyncWrite};
use tonic::service::{Routes, RoutesBuilder};
use tonic::transport::server::Connected;
use tonic_health::ServingStatus;

use crate::standing::Standing;

const KEEP_ALIVE: Duration = Duration::from_secs(10);
/// A connection older than this is made anew, with the certificate of then.
const CONNECTION_AGE: Duration = Duration::from_secs(3600);
const HEALTH: Duration = Duration::from_secs(1);

/// Roles beside the gateway take no API keys: who has one goes there.
pub(super) struct NoKeys;

impl KeyCheck for NoKeys {
    fn check(&self, _key: &str) -> Option<Actor> {
        None
    }
}

/// Adds health, which follows the process's standing, and reflection.
pub(super) async fn with_health(
    routes: &mut RoutesBuilder,
    tasks: &Tasks,
    standing: &Arc<Standing>,
) -> anyhow::Result<()> {
    let (reporter, health) = tonic_health::server::health_reporter();
    reporter.set_service_status("", ServingStatus::NotServing).await;
    routes.add_service(health);
    let (standing, stop) = (Arc::clone(standing), tasks.stopping());
    tasks.spawn("grpc health", async move {
        let mut ticks = tokio::time::interval(HEALTH);
        loop {
            tokio::select! {
                () = stop.cancelled() => return,
                _ = ticks.tick() => {}
            }
            let (ready, _) = standing.report().await;
            let status = if ready { ServingStatus::Serving } else { ServingStatus::NotServing };
            reporter.set_service_status("", status).await;
        }
    });
    let reflection = || {
        tonic_reflection::server::Builder::configure()
            .register_encoded_file_descriptor_set(nexus_proto::FILE_DESCRIPTOR_SET)
    };
    routes.add_service(reflection().build_v1()?);
    routes.add_service(reflection().build_v1alpha()?);
    Ok(())
}

/// Serves `routes` to whoever comes in by `incoming`, until the tasks are asked to stop.
pub(super) fn serve<I, C>(
    tasks: &Tasks,
    name: &'static str,
    layer: &RpcLayer,
    routes: &Routes,
    incoming: I,
) where
    I: Stream<Item = io::Result<C>> + Send + 'static,
    C: AsyncRead + AsyncWrite + Connected + Unpin + Send + 'static,
{
    let server = tonic::transport::Server::builder()
        .http2_keepalive_interval(Some(KEEP_ALIVE))
        .http2_keepalive_timeout(Some(KEEP_ALIVE))
        .max_connection_age(CONNECTION_AGE)
        .tcp_nodelay(true)
        .layer(layer.clone())
        .add_routes(routes.clone());
    let stop = tasks.stopping();
    tasks.spawn(name, async move {
        let served = server.serve_with_incoming_shutdown(incoming, stop.cancelled()).await;
        if let Err(error) = served {
            tracing::error!("a gRPC server ended: {error}");
        }
    });
}
