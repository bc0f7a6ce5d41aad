//! The layer around every gRPC server: a span that continues the caller's trace, and who calls.
//! *Invariant:* a request reaches a service with an authenticated actor, or not at all.

use std::convert::Infallible;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use base64::Engine;
use base64::engine::general_purpose::{STANDARD, STANDARD_NO_PAD};
use http::{HeaderMap, Request, Response};
use nexus_es::{Actor, clock};
use tonic::Status;
use tonic::body::Body;
use tower::{Layer, Service};
use tracing::{Instrument, Span};

use crate::caller::{Authenticated, STORY};
use crate::secrets::{Secrets, SignedActor};
use crate::{status, telemetry};

/// Header of the encoded actor that somebody vouched for.
pub const ACTOR: &str = "nexus-actor-bin";
/// Header of the proof.
pub const ACTOR_SIGNATURE: &str = "nexus-actor-signature-bin";

/// Knows API keys.
pub trait KeyCheck: Send + Sync + 'static {
    /// The actor that `key` stands for; `None` when the key is unknown, expired or revoked.
    fn check(&self, key: &str) -> Option<Actor>;
}

/// Wraps a server's services.
#[derive(Clone)]
pub struct RpcLayer {
    secrets: Arc<Secrets>,
    keys: Arc<dyn KeyCheck>,
}

impl RpcLayer {
    /// A layer that believes signed actors of `secrets` and API keys of `keys`.
    #[must_use]
    pub fn new(secrets: Arc<Secrets>, keys: Arc<dyn KeyCheck>) -> Self {
        Self { secrets, keys }
    }

    /// Who calls, if they may call `path`. Whoever is vouched for comes through the gateway, which
    /// knows routes only, or from a service; a bare key must ask for what has a route.
    fn admit(&self, path: &str, headers: &HeaderMap) -> Result<Actor, Status> {
        let actor = self.authenticate(headers).map_err(status::unauthenticated)?;
        if headers.contains_key(ACTOR) || nexus_proto::PUBLIC_RPCS.contains(&path) {
            return Ok(actor);
        }
        tracing::warn!(actor = actor.id, "denied: {path} is for services");
        Err(Status::permission_denied("this call is for the services of Nexus only"))
    }

    fn authenticate(&self, headers: &HeaderMap) -> Result<Actor, &'static str> {
        if let Some(claim) = binary(headers, ACTOR) {
            let signature = binary(headers, ACTOR_SIGNATURE).unwrap_or_default();
            let signed = SignedActor { claim, signature };
            return self
                .secrets
                .verify(&signed, clock::now_ms())
                .ok_or("the signed actor is not believed");
        }
        let authorization = headers.get(http::header::AUTHORIZATION);
        let text = authorization.and_then(|value| value.to_str().ok());
        let key = text.and_then(|text| text.strip_prefix("Bearer "));
        let key = key.ok_or("send an API key: authorization: Bearer …")?;
        self.keys.check(key.trim()).ok_or("this API key is not known, or no longer valid")
    }
}

fn binary(headers: &HeaderMap, name: &str) -> Option<Vec<u8>> {
    let text = headers.get(name)?.as_bytes();
    STANDARD_NO_PAD.decode(text).or_else(|_| STANDARD.decode(text)).ok()
}

impl<S> Layer<S> for RpcLayer {
    type Service = RpcService<S>;

    fn layer(&self, inner: S) -> RpcService<S> {
        RpcService { inner, layer: self.clone() }
    }
}

/// A service behind the layer.
#[derive(Clone)]
pub struct RpcService<S> {
    inner: S,
    layer: RpcLayer,
}

type Answer = Pin<Box<dyn Future<Output = Result<Response<Body>, Infallible>> + Send>>;

impl<S> Service<Request<Body>> for RpcService<S>
where
    S: Service<Request<Body>, Response = Response<Body>, Error = Infallible>
        + Clone
        + Send
        + 'static,
    S::Future: Send + 'static,
{
    type Response = Response<Body>;
    type Error = Infallible;
    type Future = Answer;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        self.inner.poll_ready(context)
    }

    fn call(&mut self, mut request: Request<Body>) -> Answer {
        let span = span_of(&request);
        // Health and reflection tell nothing about orders; probes and tools need them keyless.
        if !request.uri().path().starts_with("/grpc.") {
            match self.layer.admit(request.uri().path(), request.headers()) {
                Ok(actor) => {
                    let secrets = Arc::clone(&self.layer.secrets);
                    request.extensions_mut().insert(Authenticated { actor, secrets });
                }
                Err(refused) => return Box::pin(async move { Ok(refused.into_http()) }),
            }
        }
        // The ready service answers; the clone gets ready for the next request.
        let ready = self.inner.clone();
        let mut inner = std::mem::replace(&mut self.inner, ready);
        Box::pin(async move { inner.call(request).await }.instrument(span))
    }
}

fn span_of(request: &Request<Body>) -> Span {
    let method = request.uri().path().trim_start_matches('/');
    let text = |name: &str| request.headers().get(name).and_then(|value| value.to_str().ok());
    let span = tracing::info_span!(
        "rpc",
        otel.name = method,
        otel.kind = "server",
        rpc.system.name = "grpc",
        nexus.story = text(STORY).unwrap_or_default(),
    );
    telemetry::set_parent(&span, text("traceparent").unwrap_or_default());
    span
}
