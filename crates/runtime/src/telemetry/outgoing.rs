//! Calls to couriers and channels, as spans: the context goes along, ids and people do not.

use std::time::Instant;

use http::{HeaderValue, StatusCode};
use reqwest::{RequestBuilder, Response};
use tracing::field::Empty;
use tracing::{Instrument, Span, info_span};

use super::current_traceparent;
use crate::metrics;

/// Sends `request` in a span of its own. `template` is what is asked for, without ids: the path
/// itself may name a parcel or a phone.
///
/// # Errors
/// What the client answers.
pub async fn send(
    request: RequestBuilder,
    template: &'static str,
) -> Result<Response, reqwest::Error> {
    let (client, request) = request.build_split();
    let mut request = request?;
    let method = request.method().clone();
    let host = request.url().host_str().unwrap_or_default().to_owned();
    let name = metrics::method_name(&method);
    let span = info_span!(
        "http call",
        otel.name = format!("{name} {template}"),
        otel.kind = "client",
        otel.status_code = Empty,
        error.type = Empty,
        http.request.method = name,
        http.response.status_code = Empty,
        server.address = host,
        server.port = request.url().port_or_known_default(),
        url.template = template,
        nexus.story = super::current_story(),
    );
    let began = Instant::now();
    let sent = async {
        if let Ok(context) = HeaderValue::from_str(&current_traceparent()) {
            request.headers_mut().insert("traceparent", context);
        }
        client.execute(request).await
    };
    let answer = sent.instrument(span.clone()).await;
    let ended = answer.as_ref().map(Response::status).map_err(why);
    tell(&span, ended);
    metrics::http_called(&method, &host, ended, began.elapsed());
    answer
}

fn tell(span: &Span, ended: Result<StatusCode, &'static str>) {
    match ended {
        Ok(status) => {
            span.record("http.response.status_code", status.as_u16());
            if status.is_client_error() || status.is_server_error() {
                span.record("otel.status_code", "ERROR").record("error.type", status.as_str());
            }
        }
        Err(why) => {
            span.record("otel.status_code", "ERROR").record("error.type", why);
        }
    }
}

fn why(error: &reqwest::Error) -> &'static str {
    if error.is_timeout() {
        "timeout"
    } else if error.is_connect() {
        "unreachable"
    } else {
        "reset"
    }
}
