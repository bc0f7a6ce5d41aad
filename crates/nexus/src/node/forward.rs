//! The gateway's way in for gRPC: what no service in this process answers goes to the one that
//! does, for the caller whom the API key stands for.
//! *Invariant:* nothing that a caller says about who it is goes further.

use axum::Router;
use axum::extract::Request;
use axum::response::Response;
use nexus_runtime::caller::{Authenticated, IDEMPOTENCY_KEY};
use nexus_runtime::channels::Client;
use nexus_runtime::{Channels, Role, status, telemetry};
use tonic::body::Body;
use tonic::metadata::MetadataMap;
use tonic::service::Routes;
use tower::Service;

/// What of the caller's headers the service may see.
const KEPT: [&str; 5] = ["content-type", "te", "grpc-timeout", "grpc-encoding", IDEMPOTENCY_KEY];

/// `routes`, and the rpcs of all services besides.
pub(super) fn to_services(routes: Routes, channels: Channels) -> Routes {
    let router: Router = routes.into_axum_router();
    Routes::from(router.fallback(move |request: Request| forward(channels.clone(), request)))
}

async fn forward(channels: Channels, request: Request) -> Response {
    match answer(&channels, request).await {
        Ok(response) => response.map(axum::body::Body::new),
        Err(no) => no.into_http(),
    }
}

async fn answer(
    channels: &Channels,
    request: Request,
) -> Result<http::Response<Body>, tonic::Status> {
    let (parts, body) = request.into_parts();
    let path = parts.uri.path();
    if Role::of_path(path).is_none() {
        return Err(status::unimplemented(format!("nobody here serves {path}")));
    }
    let caller = parts.extensions.get::<Authenticated>();
    let caller = caller.ok_or_else(|| status::unauthenticated("nobody vouched for the caller"))?;
    let mut metadata = MetadataMap::new();
    channels.vouch(&mut metadata, &caller.actor);
    let mut headers = metadata.into_headers();
    for name in KEPT {
        if let Some(value) = parts.headers.get(name) {
            headers.insert(name, value.clone());
        }
    }
    if let Ok(traceparent) = telemetry::current_traceparent().parse() {
        headers.insert("traceparent", traceparent);
    }
    let mut onward = http::Request::new(Body::new(body));
    *onward.method_mut() = parts.method;
    *onward.uri_mut() = parts.uri;
    *onward.version_mut() = http::Version::HTTP_2;
    *onward.headers_mut() = headers;
    let mut client: Client = channels.channel();
    client.call(onward).await.map_err(|error| {
        tracing::warn!("a service cannot be reached: {}", status::chain(&error));
        status::unavailable("the service is not there yet, try again")
    })
}
