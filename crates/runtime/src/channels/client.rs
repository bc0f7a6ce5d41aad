//! One client for all services: finds the way by the rpc's path, adds a deadline where none is,
//! and asks again when nobody was there.
//! *Invariant:* only what may be done twice is asked twice: reads, and calls with a key.

use std::collections::BTreeMap;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use http::{HeaderMap, HeaderValue, Request, Response};
use http_body_util::{BodyExt, Full};
use tonic::body::Body;
use tonic::transport::Channel;
use tonic::transport::Error as TransportError;
use tonic::{Code, Status};
use tower::{Service, ServiceExt};

use super::MAX_MESSAGE;
use crate::caller::IDEMPOTENCY_KEY;
use crate::role::Role;
use crate::rpc::CALLER;
use crate::status;

const TRIES: u32 = 3;
const FIRST_PAUSE: Duration = Duration::from_millis(50);
/// No try begins later than this after the first: whoever asked is still told in time.
const TRY_WITHIN: Duration = Duration::from_secs(1);
/// What rpcs that change nothing begin with.
const READS: [&str; 7] = ["Authenticate", "Await", "Find", "Get", "List", "Plan", "Resolve"];
const TIMEOUT: &str = "grpc-timeout";
/// [`super::DEADLINE`], for calls that set none.
const DEADLINE: HeaderValue = HeaderValue::from_static("10S");

/// What a client of another service speaks over.
#[derive(Clone)]
pub struct Client {
    targets: Arc<Targets>,
    fixed: Option<Role>,
    caller: Option<Role>,
}

/// Where the services are.
pub(super) enum Targets {
    /// All at one place.
    One(Target),
    /// Each at its own.
    Each(BTreeMap<Role, Target>),
}

/// One place, or several that take turns.
#[derive(Clone)]
pub(super) struct Target {
    channels: Vec<Channel>,
    next: Arc<AtomicUsize>,
    /// Whose place it is, where asking again can help.
    elsewhere: Option<Role>,
}

impl Target {
    pub(super) fn here(channel: Channel) -> Self {
        Self { channels: vec![channel], next: Arc::default(), elsewhere: None }
    }

    pub(super) fn elsewhere(role: Role, channels: Vec<Channel>) -> Self {
        Self { channels, next: Arc::default(), elsewhere: Some(role) }
    }

    fn turn(&self) -> Option<Channel> {
        let turn = self.next.fetch_add(1, Ordering::Relaxed);
        self.channels.get(turn.checked_rem(self.channels.len())?).cloned()
    }
}

impl Client {
    pub(super) fn over(targets: Targets) -> Self {
        Self { targets: Arc::new(targets), fixed: None, caller: None }
    }

    pub(super) fn as_role(&self, caller: Role) -> Self {
        Self { caller: Some(caller), ..self.clone() }
    }

    pub(super) fn of(&self, role: Role) -> Self {
        Self { fixed: Some(role), ..self.clone() }
    }

    fn target(&self, path: &str) -> Option<&Target> {
        match &*self.targets {
            Targets::One(target) => Some(target),
            // What belongs to no role alone is answered by the gateway for all.
            Targets::Each(targets) => {
                let role = self.fixed.or_else(|| Role::of_path(path)).unwrap_or(Role::Gateway);
                targets.get(&role)
            }
        }
    }
}

type Answer = Pin<Box<dyn Future<Output = Result<Response<Body>, TransportError>> + Send>>;

impl Service<Request<Body>> for Client {
    type Response = Response<Body>;
    type Error = TransportError;
    type Future = Answer;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), TransportError>> {
        // Which channel must be ready is known only when the path is.
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, mut request: Request<Body>) -> Answer {
        if let Some(caller) = self.caller {
            request.headers_mut().insert(CALLER, HeaderValue::from_static(caller.name()));
        }
        request.headers_mut().entry(TIMEOUT).or_insert(DEADLINE);
        let Some(target) = self.target(request.uri().path()).cloned() else {
            let path = request.uri().path();
            let nowhere = status::unimplemented(format!("nobody here serves {path}"));
            return Box::pin(std::future::ready(Ok(nowhere.into_http())));
        };
        match target.elsewhere {
            Some(role) => Box::pin(call_with_retries(role, target, request)),
            None => Box::pin(call_once(target.turn(), request)),
        }
    }
}

async fn call_once(
    channel: Option<Channel>,
    request: Request<Body>,
) -> Result<Response<Body>, TransportError> {
    match channel {
        Some(mut channel) => channel.ready().await?.call(request).await,
        None => Ok(status::unavailable("no address of the service is known").into_http()),
    }
}

/// Asks until somebody answers, as far as that may help. Whoever is away costs a wait and no
/// error: the answer is then `UNAVAILABLE`.
async fn call_with_retries(
    role: Role,
    target: Target,
    request: Request<Body>,
) -> Result<Response<Body>, TransportError> {
    let (parts, body) = request.into_parts();
    let may_repeat = may_repeat(parts.uri.path(), &parts.headers);
    let body = http_body_util::Limited::new(body, MAX_MESSAGE).collect().await;
    let Ok(body) = body.map(http_body_util::Collected::to_bytes) else {
        return Ok(Status::out_of_range("the request is too large").into_http());
    };
    let began = Instant::now();
    let mut tries = 1;
    loop {
        let again = Request::from_parts(parts.clone(), Body::new(Full::new(body.clone())));
        let answer = call_once(target.turn(), again).await;
        let away = match &answer {
            Ok(answer) => said_unavailable(answer.headers()),
            Err(_) => true,
        };
        let over = tries >= TRIES || began.elapsed() >= TRY_WITHIN;
        if !away || !may_repeat || over {
            return Ok(answer.unwrap_or_else(|error| away_as_status(role, &error)));
        }
        tokio::time::sleep(pause(tries)).await;
        tries += 1;
    }
}

fn away_as_status(role: Role, error: &TransportError) -> Response<Body> {
    let mut cause: Option<&(dyn std::error::Error + 'static)> = Some(error);
    while let Some(error) = cause {
        // A deadline that passed is no absence: the call may have been done.
        if error.is::<tonic::TimeoutExpired>() {
            return Status::deadline_exceeded(format!("{role} did not answer in time")).into_http();
        }
        cause = error.source();
    }
    tracing::warn!("{role} cannot be reached: {}", status::chain(error));
    status::unavailable(format!("{role} cannot be reached now, try again")).into_http()
}

/// 50 ms, doubled, half of it random: many callers come back after one restart.
fn pause(tries: u32) -> Duration {
    let full = FIRST_PAUSE.saturating_mul(1 << tries.min(8));
    let random = nexus_es::new_id().as_bytes().last().copied().map_or(0, u32::from);
    full / 2 + full * random / 512
}

fn may_repeat(path: &str, headers: &HeaderMap) -> bool {
    let rpc = path.rsplit('/').next().unwrap_or_default();
    headers.contains_key(IDEMPOTENCY_KEY) || READS.iter().any(|read| rpc.starts_with(read))
}

/// A refusal comes in the first headers; what comes in trailers has begun to answer.
fn said_unavailable(headers: &HeaderMap) -> bool {
    let code = headers.get("grpc-status").map(|value| Code::from_bytes(value.as_bytes()));
    code == Some(Code::Unavailable)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_reads_and_calls_with_a_key_are_asked_twice() {
        let bare = HeaderMap::new();
        let keyed = HeaderMap::from_iter([(
            http::HeaderName::from_static(IDEMPOTENCY_KEY),
            HeaderValue::from_static("k"),
        )]);
        assert!(may_repeat("/nexus.order.v1.OrderService/GetOrder", &bare));
        assert!(!may_repeat("/nexus.inventory.v1.InventoryService/Reserve", &bare));
        assert!(may_repeat("/nexus.inventory.v1.InventoryService/Reserve", &keyed));
    }

    #[test]
    fn the_deadline_of_calls_that_set_none_is_the_usual_one() {
        assert_eq!(DEADLINE, format!("{}S", super::super::DEADLINE.as_secs()));
    }

    #[test]
    fn a_pause_grows_and_never_passes_its_bound() {
        for tries in 1..=TRIES {
            let bound = FIRST_PAUSE * (1 << tries);
            assert!(pause(tries) >= bound / 2 && pause(tries) <= bound, "{tries}");
        }
    }

    #[tokio::test]
    async fn a_service_that_is_away_is_asked_three_times_and_then_called_unavailable() {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let address = format!("http://{}", listener.local_addr().unwrap());
        drop(listener);
        let super::super::Way(target) =
            super::super::Way::to(Role::Order, &[address], None).unwrap();
        let turns = Arc::clone(&target.next);
        let mut client = Client::over(Targets::Each([(Role::Order, target)].into()));
        let path = "/nexus.order.v1.OrderService/GetOrder";
        let request = Request::builder().uri(path).body(Body::empty()).unwrap();
        let answer = client.call(request).await.unwrap();
        assert!(said_unavailable(answer.headers()), "{:?}", answer.headers());
        assert_eq!(turns.load(Ordering::Relaxed), 3);
    }
}
