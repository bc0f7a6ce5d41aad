//! The gateway: REST and keys for everybody outside. It knows the contracts only.

mod domain;
mod grpc;
mod keys;
mod rest;
mod views;
mod wire;

use std::sync::Arc;

use axum::Router;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use axum::routing::{any, get};
use http::{HeaderValue, StatusCode, header};
use nexus_es::views::{Database, ViewError, Views, ViewsConfig};
use nexus_es::{Actor, Cause, HandleError, Handler, clock, new_id};
use nexus_proto::gateway::v1::gateway_service_server::GatewayServiceServer;
use nexus_runtime::rpc::KeyCheck;
use nexus_runtime::{Ports, Running};
use tower_http::catch_panic::CatchPanicLayer;

use domain::api_key::{ApiKey, Command, Issue};
use keys::FreshKey;
use rest::Rest;

pub use keys::Keys;
pub use rest::{BadContract, Routes};

/// Why the gateway does not start.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Its view database cannot be opened.
    #[error("the gateway's views do not start")]
    Views(#[from] ViewError),
    /// The contracts cannot be served.
    #[error(transparent)]
    Contract(#[from] BadContract),
    /// The first admin key cannot be made.
    #[error("the admin key cannot be made: {0}")]
    AdminKey(String),
}

/// What `/readyz` tells.
#[async_trait::async_trait]
pub trait Readiness: Send + Sync + 'static {
    /// True when everything is caught up, and a JSON object that says what is not.
    async fn report(&self) -> (bool, serde_json::Value);
}

/// Mounts the key service and answers the running gateway.
///
/// # Errors
/// [`Error`] when its views do not start.
pub async fn run(
    ports: &Ports,
    keys: &Arc<Keys>,
    routes: &mut tonic::service::RoutesBuilder,
) -> Result<Running, Error> {
    let config = views::config(ports.database.clone());
    let views = Views::start(config, Arc::clone(&ports.log), ports.tasks.clone()).await?;
    let service = grpc::Service {
        handler: Handler::new(Arc::clone(&ports.log)),
        views: Arc::clone(&views),
        keys: Arc::clone(keys),
    };
    routes.add_service(GatewayServiceServer::new(service));
    Ok(Running { service: wire::SERVICE, views })
}

/// Everything that is served over HTTP.
///
/// # Errors
/// [`Error::Contract`] when the contracts cannot be served.
pub fn router(
    ports: &Ports,
    keys: &Arc<Keys>,
    readiness: Arc<dyn Readiness>,
) -> Result<Router, Error> {
    let routes = Arc::new(Routes::of(nexus_proto::FILE_DESCRIPTOR_SET)?);
    let rest = Rest { routes, channels: ports.channels.clone(), keys: Arc::clone(keys) };
    Ok(Router::new()
        .route("/healthz", get(async || "ok\n"))
        .route("/metrics", get(metrics))
        .route("/readyz", get(readyz).with_state(readiness))
        .fallback(any(rest::serve).with_state(rest))
        .layer(CatchPanicLayer::custom(|panic: Box<dyn std::any::Any + Send>| {
            tracing::error!("a request panicked: {}", nexus_es::tasks::panic_text(&*panic));
            rest::internal_error()
        })))
}

/// Every figure of this process, for whoever scrapes it.
async fn metrics() -> Response {
    let text = HeaderValue::from_static(nexus_runtime::metrics::CONTENT_TYPE);
    ([(header::CONTENT_TYPE, text)], nexus_runtime::metrics::scrape()).into_response()
}

async fn readyz(State(readiness): State<Arc<dyn Readiness>>) -> Response {
    let (ready, report) = readiness.report().await;
    let status = if ready { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    let json = HeaderValue::from_static("application/json");
    (status, [(header::CONTENT_TYPE, json)], report.to_string()).into_response()
}

/// Makes an admin key unless `existing` opens the door: `None` when it does.
///
/// # Errors
/// [`Error::AdminKey`] when it cannot be stored.
pub async fn admin_key(
    ports: &Ports,
    keys: &Keys,
    existing: Option<&str>,
) -> Result<Option<String>, Error> {
    if existing.is_some_and(|key| keys.check(key.trim()).is_some()) {
        return Ok(None);
    }
    let handler = Handler::<ApiKey>::new(Arc::clone(&ports.log));
    let fresh = FreshKey::generate()
        .ok_or_else(|| Error::AdminKey("this machine gave no random bytes".to_owned()))?;
    let issue = Issue {
        prefix: fresh.prefix,
        digest: fresh.digest,
        name: "admin key of this data directory".to_owned(),
        roles: vec!["admin".to_owned()],
        expires_at_ms: None,
    };
    let (now, command_id) = (clock::now_ms(), new_id());
    let cause = Cause {
        occurred_at_ms: now,
        learned_at_ms: now,
        command_id,
        request_hash: Vec::new(),
        story: command_id.to_string(),
        causation_id: None,
        actor: Actor::service(wire::SERVICE),
        traceparent: String::new(),
    };
    let made = handler.execute(&new_id().to_string(), Command::Issue(issue), cause).await;
    let receipt = made.map_err(|error: HandleError<_>| Error::AdminKey(error.to_string()))?;
    keys.reach(receipt.position).await;
    Ok(Some(fresh.key))
}

/// What its views are built from, for whoever builds them elsewhere: `nexus verify` does.
#[must_use]
pub fn views_config(database: Database) -> ViewsConfig {
    views::config(database)
}
