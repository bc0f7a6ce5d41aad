//! How the courier says no: its envelope, its codes, and its failures without a code.

use axum::Json;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use serde_json::{Value, json};

use crate::failure::{Error, report};

/// An answer with `success: false`.
#[derive(Debug)]
pub(super) struct Refusal {
    status: StatusCode,
    message: String,
    code: Option<Value>,
}

impl Refusal {
    /// A 400 with a code, which the real courier writes as text.
    pub(super) fn coded(code: &str, message: impl Into<String>) -> Self {
        Self {
            status: StatusCode::BAD_REQUEST,
            message: message.into(),
            code: Some(Value::from(code)),
        }
    }

    /// Schema validation: the message names the field.
    pub(super) fn invalid(message: impl Into<String>) -> Self {
        Self::coded("777", message)
    }

    pub(super) fn plain(status: StatusCode, message: impl Into<String>) -> Self {
        Self { status, message: message.into(), code: None }
    }

    /// The code is a number here, as live answers had it.
    pub(super) fn delivery_not_found() -> Self {
        Self {
            status: StatusCode::BAD_REQUEST,
            message: "Delivery not found.".into(),
            code: Some(Value::from(1066)),
        }
    }

    pub(super) fn with_status(mut self, status: StatusCode) -> Self {
        self.status = status;
        self
    }
}

impl From<Error> for Refusal {
    fn from(error: Error) -> Self {
        report(&error, "the sandbox courier failed");
        Self::plain(StatusCode::INTERNAL_SERVER_ERROR, "the sandbox itself failed; see its log")
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
        let mut body = json!({"success": false, "message": self.message});
        if let (Some(code), Some(fields)) = (self.code, body.as_object_mut()) {
            fields.insert("errorCode".into(), code);
        }
        (self.status, Json(body)).into_response()
    }
}

/// The envelope of a success.
pub(super) fn done(status: StatusCode, message: &str, data: Value) -> Response {
    let body = Value::from_iter([
        ("success", Value::from(true)),
        ("message", Value::from(message)),
        ("data", data),
    ]);
    (status, Json(body)).into_response()
}

pub(super) async fn no_such_route() -> Refusal {
    Refusal::plain(StatusCode::NOT_FOUND, "Not found")
}

/// `DELETE /deliveries/business/{tracking}` without `/terminate` is a 500 on the real one.
pub(super) async fn wrong_terminate() -> Refusal {
    Refusal::plain(StatusCode::INTERNAL_SERVER_ERROR, "Internal server error")
}
