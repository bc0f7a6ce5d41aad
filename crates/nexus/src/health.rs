//! The small port of every role: alive, ready, figures. Nothing about orders is on it.

use std::sync::Arc;

use axum::Router;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use http::{HeaderValue, StatusCode, header};
use nexus_gateway::Readiness;

use crate::standing::Standing;

pub(crate) fn router(standing: Arc<Standing>) -> Router {
    Router::new()
        .route("/healthz", get(async || "ok\n"))
        .route("/metrics", get(metrics))
        .route("/readyz", get(readyz).with_state(standing))
}

async fn metrics() -> Response {
    let text = HeaderValue::from_static(nexus_runtime::metrics::CONTENT_TYPE);
    ([(header::CONTENT_TYPE, text)], nexus_runtime::metrics::scrape()).into_response()
}

async fn readyz(State(standing): State<Arc<Standing>>) -> Response {
    let (ready, report) = standing.report().await;
    let status = if ready { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    let json = HeaderValue::from_static("application/json");
    (status, [(header::CONTENT_TYPE, json)], report.to_string()).into_response()
}
