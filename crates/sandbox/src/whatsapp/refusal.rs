//! How the channel says no: Graph's error body.

use axum::Json;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use serde_json::json;

use crate::failure::{Error, report};
use crate::random;

#[derive(Debug)]
pub(super) struct Refusal {
    status: StatusCode,
    code: u64,
    title: String,
    details: String,
}

impl Refusal {
    /// A 400, as most are.
    pub(super) fn new(code: u64, title: &str, details: impl Into<String>) -> Self {
        let (title, details) = (title.into(), details.into());
        Self { status: StatusCode::BAD_REQUEST, code, title, details }
    }

    pub(super) fn with_status(mut self, status: StatusCode) -> Self {
        self.status = status;
        self
    }

    pub(super) fn invalid(details: impl Into<String>) -> Self {
        Self::new(100, "Invalid parameter", details)
    }

    pub(super) fn missing(field: &str) -> Self {
        Self::new(131_008, "Required parameter is missing", format!("{field} is required"))
    }
}

impl From<Error> for Refusal {
    fn from(error: Error) -> Self {
        report(&error, "the sandbox channel failed");
        Self::new(131_000, "Something went wrong", "the sandbox itself failed; see its log")
            .with_status(StatusCode::INTERNAL_SERVER_ERROR)
    }
}

impl From<sqlx::Error> for Refusal {
    fn from(error: sqlx::Error) -> Self {
        Self::from(Error::from(error))
    }
}

impl From<serde_json::Error> for Refusal {
    fn from(error: serde_json::Error) -> Self {
        Self::from(Error::from(error))
    }
}

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        let trace = random::id(11).unwrap_or_default();
        let body = json!({"error": {
            "message": format!("(#{}) {}", self.code, self.title),
            "type": "OAuthException",
            "code": self.code,
            "error_data": {"messaging_product": "whatsapp", "details": self.details},
            "fbtrace_id": trace,
        }});
        (self.status, Json(body)).into_response()
    }
}

pub(super) async fn unknown_path() -> Refusal {
    Refusal::new(2_500, "Unknown path components", "no such path")
        .with_status(StatusCode::NOT_FOUND)
}
