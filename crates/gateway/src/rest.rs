//! REST made at run time from the contracts: every rpc with a `google.api.http` option is a route.
//! *Invariant:* the gateway knows no service; what it serves is what the contracts say.

mod call;
mod problem;
mod routes;
mod transcode;

use std::sync::Arc;
use std::time::Instant;

use axum::body::{Body, to_bytes};
use axum::extract::{Request, State};
use axum::response::Response;
use http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, header};
use nexus_es::{Actor, new_id};
use nexus_runtime::rpc::KeyCheck;
use nexus_runtime::{Channels, metrics, status, telemetry};
use prost_reflect::{DynamicMessage, ReflectMessage, Value};
use tonic::Status;
use tracing::field::Empty;
use tracing::{Instrument, Span, info_span};

use crate::keys::Keys;

pub use routes::{BadContract, Routes};

use problem::Problem;
use routes::Matched;

/// Largest request body, in bytes.
const MAX_BODY: usize = 1024 * 1024;
const KEY: HeaderName = HeaderName::from_static("idempotency-key");
const REPLAYED: HeaderName = HeaderName::from_static("idempotent-replayed");
const TRACE: HeaderName = HeaderName::from_static("trace-id");

/// What REST stands on.
#[derive(Clone)]
pub(crate) struct Rest {
    pub(crate) routes: Arc<Routes>,
    pub(crate) channels: Channels,
    pub(crate) keys: Arc<Keys>,
}

/// Answers every path under `/v1`.
pub(crate) async fn serve(State(rest): State<Rest>, request: Request) -> Response {
    let routes = Arc::clone(&rest.routes);
    let matched = routes.find(request.method(), request.uri().path());
    // The template, not the path: names of spans must stay few, and paths may hold ids.
    let route = match &matched {
        Matched::Route { route, .. } => route.template.as_str(),
        Matched::OtherMethods(_) | Matched::Nothing => "unmatched",
    };
    let (began, method) = (Instant::now(), request.method().clone());
    let actor = rest.authenticate(request.headers());
    let span = span_of(&method, route, &story_of(&matched));
    // A stranger's trace is none that ours could be a part of.
    if let (Ok(_), Some(context)) = (&actor, traceparent(request.headers())) {
        telemetry::set_parent(&span, context);
    }
    let answering = async {
        let trace_id = telemetry::current_trace_id();
        let answer = rest.answer(matched, actor, request).await;
        let mut response = answer.unwrap_or_else(|problem| problem.into_response(&trace_id));
        if let Ok(value) = HeaderValue::from_str(&trace_id) {
            response.headers_mut().insert(TRACE, value);
        }
        response
    };
    let response = answering.instrument(span.clone()).await;
    let status = response.status();
    span.record("http.response.status_code", status.as_u16());
    if status.is_server_error() {
        span.record("otel.status_code", "ERROR").record("error.type", status.as_str());
    }
    metrics::http_served(&method, route, status, began.elapsed());
    response
}

fn span_of(method: &Method, route: &str, story: &str) -> Span {
    let name = metrics::method_name(method);
    info_span!(
        "http",
        otel.name = format!("{name} {route}"),
        otel.kind = "server",
        otel.status_code = Empty,
        error.type = Empty,
        http.request.method = name,
        http.route = route,
        http.response.status_code = Empty,
        nexus.story = story,
    )
}

fn traceparent(headers: &HeaderMap) -> Option<&str> {
    headers.get("traceparent")?.to_str().ok()
}

/// The order's id is the story of everything about one order.
fn story_of(matched: &Matched<'_>) -> String {
    let Matched::Route { parameters, .. } = matched else { return String::new() };
    let order = parameters.iter().find(|(name, _)| name == "order_id");
    order.map(|(_, id)| id.clone()).unwrap_or_default()
}

impl Rest {
    async fn answer(
        &self,
        matched: Matched<'_>,
        actor: Result<Actor, Problem>,
        request: Request,
    ) -> Result<Response, Problem> {
        let (route, parameters) = match matched {
            Matched::Route { route, parameters } => (route, parameters),
            Matched::OtherMethods(allowed) => return Err(Problem::method_not_allowed(&allowed)),
            Matched::Nothing => return Err(Problem::no_route(request.uri().path())),
        };
        let (parts, body) = request.into_parts();
        let actor = actor?;
        let body = to_bytes(body, MAX_BODY).await.map_err(|_| Problem::too_large(MAX_BODY))?;
        let query = parts.uri.query().unwrap_or_default();
        let message = transcode::request(route, &parameters, query, &body)?;
        let key = idempotency_key(&parts.method, &parts.headers)?;
        let call = call::Call { route, actor: &actor, key: key.as_deref(), message };
        let answered = call.send(&self.channels).await?;
        tell_story(&answered.message);
        let mut response = respond(&answered.message)?;
        let headers = response.headers_mut();
        if let Some(key) = key.and_then(|key| HeaderValue::from_str(&key).ok()) {
            headers.insert(KEY, key);
        }
        if answered.replayed {
            headers.insert(REPLAYED, HeaderValue::from_static("true"));
        }
        Ok(response)
    }

    fn authenticate(&self, headers: &HeaderMap) -> Result<Actor, Problem> {
        let text = headers.get(header::AUTHORIZATION).and_then(|value| value.to_str().ok());
        let key = text.and_then(|text| text.strip_prefix("Bearer "));
        let known = key.and_then(|key| self.keys.check(key.trim()));
        known.ok_or_else(|| {
            let why = match key {
                None => "send an API key in the header \"Authorization: Bearer …\"",
                Some(_) => "this API key is not known, or no longer valid",
            };
            Problem::of(&status::unauthenticated(why))
        })
    }
}

/// What was just created, or belongs to an order, tells the story that the span did not know.
fn tell_story(message: &DynamicMessage) {
    let named = message.get_field_by_name("order_id").map(std::borrow::Cow::into_owned);
    let listed = message.get_field_by_name("order_ids").map(std::borrow::Cow::into_owned);
    let story = match (named, listed) {
        (Some(Value::String(order)), _) => order,
        (_, Some(Value::List(orders))) if orders.len() == 1 => {
            orders.first().and_then(Value::as_str).unwrap_or_default().to_owned()
        }
        _ => return,
    };
    Span::current().record("nexus.story", story);
}

/// The caller's key, or a fresh one; none for reads.
fn idempotency_key(method: &Method, headers: &HeaderMap) -> Result<Option<String>, Problem> {
    if method == Method::GET {
        return Ok(None);
    }
    let Some(value) = headers.get(&KEY) else { return Ok(Some(new_id().to_string())) };
    let bad = || status::invalid_field("Idempotency-Key", "must be 1 to 255 visible characters");
    let text = value.to_str().ok().filter(|text| !text.is_empty() && text.len() <= 255);
    text.map(|text| Some(text.to_owned())).ok_or_else(|| Problem::of(&bad()))
}

/// A message as JSON; a document as itself.
fn respond(message: &DynamicMessage) -> Result<Response, Problem> {
    if message.descriptor().name() == "Document" {
        return Ok(document(message));
    }
    let json = transcode::to_json(message)?;
    let content = HeaderValue::from_static("application/json");
    let mut response = Response::new(Body::from(json));
    response.headers_mut().insert(header::CONTENT_TYPE, content);
    Ok(response)
}

fn document(message: &DynamicMessage) -> Response {
    let field = |name: &str| message.get_field_by_name(name).map(std::borrow::Cow::into_owned);
    let text = |name: &str| match field(name) {
        Some(Value::String(text)) => text,
        _ => String::new(),
    };
    let bytes = match field("pdf") {
        Some(Value::Bytes(bytes)) => bytes,
        _ => bytes::Bytes::new(),
    };
    let mut response = Response::new(Body::from(bytes));
    let headers = response.headers_mut();
    let disposition = format!("attachment; filename=\"{}\"", text("filename"));
    for (name, value) in [
        (header::CONTENT_TYPE, text("content_type")),
        (header::CONTENT_DISPOSITION, disposition),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff".to_owned()),
    ] {
        if let Ok(value) = HeaderValue::from_str(&value) {
            headers.insert(name, value);
        }
    }
    *response.status_mut() = StatusCode::OK;
    response
}

/// A refusal of the whole request, for layers outside of the routes.
pub(crate) fn internal_error() -> Response {
    let trace_id = telemetry::current_trace_id();
    Problem::of(&Status::internal("something went wrong on our side")).into_response(&trace_id)
}
