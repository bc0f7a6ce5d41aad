//! Errors as `application/problem+json` (RFC 9457), made from gRPC statuses.

use std::collections::BTreeSet;

use axum::body::Body;
use axum::response::Response;
use http::{HeaderName, HeaderValue, StatusCode, header};
use serde_json::{Map, Value, json};
use tonic::{Code, Status};
use tonic_types::StatusExt;

/// One error on its way out; boxed, so that the good way stays small.
#[derive(Debug)]
pub(crate) struct Problem(Box<Parts>);

#[derive(Debug)]
struct Parts {
    status: StatusCode,
    reason: String,
    detail: String,
    violations: Vec<Value>,
    metadata: Map<String, Value>,
    retry_after_s: Option<u64>,
    allow: Option<String>,
}

impl Problem {
    pub(crate) fn of(status: &Status) -> Self {
        let info = status.get_details_error_info();
        let reason = match &info {
            Some(info) => info.reason.clone(),
            None => reason_of(status.code()).to_owned(),
        };
        let bad_request = status.get_details_bad_request();
        let violations = bad_request
            .into_iter()
            .flat_map(|bad| bad.field_violations)
            .map(|one| json!({"field": one.field, "description": one.description}))
            .collect();
        let metadata = info.into_iter().flat_map(|info| info.metadata);
        let metadata = metadata.map(|(name, value)| (name, json!(value))).collect();
        let wait = status.get_details_retry_info().and_then(|info| info.retry_delay);
        Self(Box::new(Parts {
            status: http_status(status.code(), &reason),
            reason,
            detail: status.message().to_owned(),
            violations,
            metadata,
            retry_after_s: wait.map(|wait| wait.as_secs().max(1)),
            allow: None,
        }))
    }

    fn simple(status: StatusCode, reason: &str, detail: String) -> Self {
        Self(Box::new(Parts {
            status,
            reason: reason.to_owned(),
            detail,
            violations: Vec::new(),
            metadata: Map::new(),
            retry_after_s: None,
            allow: None,
        }))
    }

    pub(crate) fn no_route(path: &str) -> Self {
        let detail = format!("there is no route {path}");
        Self::simple(StatusCode::NOT_FOUND, "NO_SUCH_ROUTE", detail)
    }

    pub(crate) fn method_not_allowed(allowed: &BTreeSet<String>) -> Self {
        let allowed = allowed.iter().cloned().collect::<Vec<_>>().join(", ");
        let detail = format!("this route takes {allowed}");
        let status = StatusCode::METHOD_NOT_ALLOWED;
        let mut problem = Self::simple(status, "METHOD_NOT_ALLOWED", detail);
        problem.0.allow = Some(allowed);
        problem
    }

    pub(crate) fn too_large(limit: usize) -> Self {
        let detail = format!("the body is larger than {limit} bytes");
        Self::simple(StatusCode::PAYLOAD_TOO_LARGE, "BODY_TOO_LARGE", detail)
    }

    pub(crate) fn into_response(self, trace_id: &str) -> Response {
        let parts = *self.0;
        let title = parts.status.canonical_reason().unwrap_or("Error");
        let body = json!({
            "type": "about:blank",
            "title": title,
            "status": parts.status.as_u16(),
            "detail": parts.detail,
            "reason": parts.reason,
            "field_violations": parts.violations,
            "metadata": parts.metadata,
            "trace_id": trace_id,
        });
        let mut response = Response::new(Body::from(body.to_string()));
        *response.status_mut() = parts.status;
        let headers = response.headers_mut();
        let content = HeaderValue::from_static("application/problem+json");
        headers.insert(header::CONTENT_TYPE, content);
        let mut insert = |name: HeaderName, value: Option<String>| {
            if let Some(value) = value.and_then(|value| HeaderValue::from_str(&value).ok()) {
                headers.insert(name, value);
            }
        };
        insert(header::RETRY_AFTER, parts.retry_after_s.map(|seconds| seconds.to_string()));
        insert(header::ALLOW, parts.allow);
        response
    }
}

fn http_status(code: Code, reason: &str) -> StatusCode {
    if reason == "IDEMPOTENCY_KEY_REUSED" {
        return StatusCode::UNPROCESSABLE_ENTITY;
    }
    match code {
        Code::Ok => StatusCode::OK,
        Code::InvalidArgument | Code::OutOfRange => StatusCode::BAD_REQUEST,
        Code::Unauthenticated => StatusCode::UNAUTHORIZED,
        Code::PermissionDenied => StatusCode::FORBIDDEN,
        Code::NotFound => StatusCode::NOT_FOUND,
        Code::FailedPrecondition | Code::Aborted | Code::AlreadyExists => StatusCode::CONFLICT,
        Code::ResourceExhausted => StatusCode::TOO_MANY_REQUESTS,
        Code::Unimplemented => StatusCode::NOT_IMPLEMENTED,
        Code::Unavailable | Code::DeadlineExceeded | Code::Cancelled => {
            StatusCode::SERVICE_UNAVAILABLE
        }
        Code::Unknown | Code::Internal | Code::DataLoss => StatusCode::INTERNAL_SERVER_ERROR,
    }
}

fn reason_of(code: Code) -> &'static str {
    match code {
        Code::InvalidArgument | Code::OutOfRange => "INVALID_ARGUMENT",
        Code::Unauthenticated => "UNAUTHENTICATED",
        Code::PermissionDenied => "PERMISSION_DENIED",
        Code::NotFound => "NOT_FOUND",
        Code::FailedPrecondition => "FAILED_PRECONDITION",
        Code::Aborted => "ABORTED",
        Code::AlreadyExists => "ALREADY_EXISTS",
        Code::ResourceExhausted => "RESOURCE_EXHAUSTED",
        Code::Unimplemented => "UNIMPLEMENTED",
        Code::Unavailable | Code::Cancelled => "UNAVAILABLE",
        Code::DeadlineExceeded => "DEADLINE_EXCEEDED",
        Code::Ok | Code::Unknown | Code::Internal | Code::DataLoss => "INTERNAL",
    }
}
