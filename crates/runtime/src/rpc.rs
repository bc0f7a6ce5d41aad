//! The layer around every gRPC server: a span that continues the caller's trace, and who calls.
//! *Invariant:* a request reaches a service with an authenticated actor, or not at all.

use std::convert::Infallible;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Instant;

use base64::Engine;
use base64::engine::general_purpose::{STANDARD, STANDARD_NO_PAD};
use http::{HeaderMap, Request, Response, Uri};
use nexus_es::{Actor, clock};
use tonic::body::Body;
use tonic::{Code, Status};
use tower::{Layer, Service};
use tracing::field::Empty;
use tracing::{Instrument, Span};

use crate::allow::may_call;
use crate::caller::{Authenticated, STORY};
use crate::metrics::{self, OTHER};
use crate::role::Role;
use crate::secrets::{Secrets, SignedActor};
use crate::tls::Peer;
use crate::{status, telemetry};

/// Header of the encoded actor that somebody vouched for.
pub const ACTOR: &str = "nexus-actor-bin";
/// Header with the role that calls, where no certificate says it: a check against our own
/// mistakes, not against strangers.
pub(crate) const CALLER: &str = "nexus-caller";
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

    /// Who calls, if they may call `path`. A role calls what its row of the table says; a bare key
    /// must ask for what has a route.
    fn admit(&self, path: &str, headers: &HeaderMap, peer: Option<Peer>) -> Result<Actor, Status> {
        let vouched = headers.contains_key(ACTOR);
        let caller = match peer {
            Some(peer) if vouched && peer.role.is_none() => {
                tracing::warn!("denied: a signed actor for {path} came without a certificate");
                return Err(status::unauthenticated("only services of Nexus vouch for others"));
            }
            Some(peer) => peer.role,
            None => headers.get(CALLER).and_then(|role| role.to_str().ok()?.parse().ok()),
        };
        let actor = self.authenticate(headers).map_err(status::unauthenticated)?;
        let allowed = match caller {
            Some(caller) if vouched => may_call(caller, path),
            None if vouched => true,
            Some(_) | None => nexus_proto::PUBLIC_RPCS.contains(&path),
        };
        if allowed {
            return Ok(actor);
        }
        let who = caller.map_or("nobody we know", Role::name);
        tracing::warn!(caller = who, actor = actor.id, "denied: {who} may not call {path}");
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
        let served = Served::begin(&request);
        // Health and reflection tell nothing about orders; probes and tools need them keyless.
        if !request.uri().path().starts_with("/grpc.") {
            let path = request.uri().path();
            let peer = request.extensions().get::<Peer>().copied();
            match served.span.in_scope(|| self.layer.admit(path, request.headers(), peer)) {
                Ok(actor) => {
                    served.admitted();
                    let secrets = Arc::clone(&self.layer.secrets);
                    request.extensions_mut().insert(Authenticated { actor, secrets });
                }
                Err(refused) => {
                    let answer = refused.into_http();
                    served.end(&answer);
                    return Box::pin(async move { Ok(answer) });
                }
            }
        }
        // The ready service answers; the clone gets ready for the next request.
        let ready = self.inner.clone();
        let mut inner = std::mem::replace(&mut self.inner, ready);
        let span = served.span.clone();
        let answering = async move {
            let answer = inner.call(request).await;
            if let Ok(answer) = &answer {
                served.end(answer);
            }
            answer
        };
        Box::pin(answering.instrument(span))
    }
}

/// One call being answered, for its span and its figures.
struct Served {
    span: Span,
    uri: Uri,
    began: Instant,
}

impl Served {
    fn begin(request: &Request<Body>) -> Self {
        let uri = request.uri().clone();
        let headers = request.headers();
        let text = |name: &str| headers.get(name).and_then(|value| value.to_str().ok());
        let path = uri.path();
        // Anybody may send any path; a span's name is one of few.
        let method = if is_public(path) { path.trim_start_matches('/') } else { OTHER };
        let story = text(STORY).unwrap_or_default();
        let span = tracing::info_span!(
            "rpc",
            otel.name = method,
            otel.kind = "server",
            otel.status_code = Empty,
            error.type = Empty,
            rpc.system.name = "grpc",
            rpc.method = method,
            rpc.response.status_code = Empty,
            nexus.story = story,
        );
        telemetry::set_parent_in_story(&span, text("traceparent").unwrap_or_default(), story);
        Self { span, uri, began: Instant::now() }
    }

    /// The caller may ask for this: the method is one that there is.
    fn admitted(&self) {
        let path = self.uri.path();
        if !is_public(path) {
            let method = path.trim_start_matches('/');
            self.span.record("otel.name", method).record("rpc.method", method);
        }
    }

    /// A refusal stands in the headers; without one there the call went well.
    fn end(&self, answer: &Response<Body>) {
        let code =
            answer.headers().get("grpc-status").map(|value| Code::from_bytes(value.as_bytes()));
        let code = code.unwrap_or(Code::Ok);
        let name = metrics::code_name(code);
        self.span.record("rpc.response.status_code", name);
        if is_failure(code) {
            self.span.record("otel.status_code", "ERROR").record("error.type", name);
        }
        let path = self.uri.path();
        // What is answered as unknown, or never came to a service, may be anybody's invention.
        let method = match code {
            Code::Unimplemented | Code::Unauthenticated | Code::PermissionDenied
                if !is_public(path) =>
            {
                Arc::from(OTHER)
            }
            _ => metrics::interned(path.trim_start_matches('/')),
        };
        metrics::rpc_served(method, code, self.began.elapsed());
    }
}

/// Whether the path is an rpc that anybody may know: the label that it makes is one of few.
fn is_public(path: &str) -> bool {
    let is_ours = nexus_proto::PUBLIC_RPCS.contains(&path);
    is_ours || path.starts_with("/grpc.health.v1.Health/")
}

/// Codes that the conventions call errors of the server, not of whoever asks.
fn is_failure(code: Code) -> bool {
    matches!(
        code,
        Code::Unknown
            | Code::DeadlineExceeded
            | Code::Unimplemented
            | Code::Internal
            | Code::Unavailable
            | Code::DataLoss
    )
}

#[cfg(test)]
mod tests;
