//! Errors as XRPC has them: a status, a name and a sentence; nothing from the inside.
//!
//! Names are those that the lexicons declare, and the protocol's own for what can happen to any method. A cause of ours
//! travels beside the answer to the log (`front/trace`), and no further.
//!
//! Follows [XRPC, error responses](https://atproto.com/specs/xrpc#error-responses).

use std::fmt;
use std::time::Duration;

use appview_core::index::IndexError;
use appview_core::query::QueryError;
use axum::http::{HeaderValue, Method, StatusCode, Uri, header};
use axum::response::{IntoResponse, Response};
use serde_json::json;

/// When whoever finds no place may come back, in seconds: those who have one are done by then.
const BUSY: u64 = 1;

/// An error that a caller is told.
#[derive(Debug)]
pub struct XrpcError {
    status: StatusCode,
    name: &'static str,
    message: String,
    /// After how many seconds to try again.
    retry_after: Option<u64>,
    /// What happened inside, for the log alone.
    cause: Option<String>,
}

/// Why a request failed by a fault of ours: what the log is told.
#[derive(Debug, Clone)]
pub(super) struct Failure(pub(super) String);

impl XrpcError {
    /// A parameter is missing or cannot be read.
    #[must_use]
    pub fn parameter(name: &str, problem: impl fmt::Display) -> Self {
        Self::new(StatusCode::BAD_REQUEST, "InvalidRequest", format!("parameter {name}: {problem}"))
    }

    /// What was asked about is not here.
    #[must_use]
    pub fn not_found(message: impl Into<String>) -> Self {
        Self::new(StatusCode::NOT_FOUND, "NotFound", message.into())
    }

    /// Our own fault: the cause is for the log, and not told.
    #[must_use]
    pub fn internal(cause: &dyn std::error::Error) -> Self {
        Self { cause: Some(cause.to_string()), ..Self::logged("") }
    }

    /// The same once the log has it, under the request's name.
    pub(super) fn logged(request: &str) -> Self {
        let message = match request {
            "" => "something went wrong here".to_owned(),
            request => {
                format!("something went wrong here; the log has the cause under the name {request}")
            }
        };
        Self::new(StatusCode::INTERNAL_SERVER_ERROR, "InternalServerError", message)
    }

    /// Somebody else, whom the answer depends on, gave none.
    pub(super) fn upstream(name: &'static str, message: String) -> Self {
        Self::new(StatusCode::BAD_GATEWAY, name, message)
    }

    /// The caller has asked as much as it may, and may go on after so long.
    pub(super) fn rate_limited(wait: Duration) -> Self {
        let retry_after = Some(wait.as_secs() + 1);
        let message = "too many requests from this address; Retry-After tells when to go on".to_owned();
        Self { retry_after, ..Self::new(StatusCode::TOO_MANY_REQUESTS, "RateLimitExceeded", message) }
    }

    /// As many queries are worked on as may be.
    pub(super) fn busy() -> Self {
        let message = "too many queries at once; try again in a moment".to_owned();
        Self {
            retry_after: Some(BUSY),
            ..Self::new(StatusCode::SERVICE_UNAVAILABLE, "NotEnoughResources", message)
        }
    }

    /// The answer took too long.
    pub(super) fn too_slow() -> Self {
        let message = "the answer took too long; try again, or ask for less".to_owned();
        Self {
            retry_after: Some(BUSY),
            ..Self::new(StatusCode::SERVICE_UNAVAILABLE, "NotEnoughResources", message)
        }
    }

    /// The request has a body, and a long one.
    pub(super) fn too_large(limit: u64) -> Self {
        let message = format!("a request's body has at most {limit} bytes here");
        Self::new(StatusCode::PAYLOAD_TOO_LARGE, "PayloadTooLarge", message)
    }

    pub(super) const fn new(status: StatusCode, name: &'static str, message: String) -> Self {
        Self { status, name, message, retry_after: None, cause: None }
    }
}

impl From<IndexError> for XrpcError {
    fn from(error: IndexError) -> Self {
        Self::internal(&error)
    }
}

impl From<QueryError> for XrpcError {
    fn from(error: QueryError) -> Self {
        match error {
            QueryError::Limit { .. } => Self::parameter("limit", error),
            QueryError::Cursor => Self::parameter("cursor", error),
            other => Self::internal(&other),
        }
    }
}

impl IntoResponse for XrpcError {
    fn into_response(self) -> Response {
        let body = json!({"error": self.name, "message": self.message}).to_string();
        let headers = [
            (header::CONTENT_TYPE, HeaderValue::from_static("application/json")),
            (header::CACHE_CONTROL, HeaderValue::from_static("no-store")),
        ];
        let mut response = (self.status, headers, body).into_response();
        if let Some(seconds) = self.retry_after {
            response.headers_mut().insert(header::RETRY_AFTER, seconds.into());
        }
        if self.status == StatusCode::UNAUTHORIZED {
            response.headers_mut().insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
        }
        if let Some(cause) = self.cause {
            response.extensions_mut().insert(Failure(cause));
        }
        response
    }
}

/// A path that nothing answers: an XRPC method that this service does not have, or no method at all.
pub(super) async fn not_found(uri: Uri) -> XrpcError {
    match uri.path().strip_prefix("/xrpc/") {
        Some(method) => XrpcError::new(
            StatusCode::NOT_IMPLEMENTED,
            "MethodNotImplemented",
            format!("this service has no method {method:?}"),
        ),
        None => XrpcError::not_found("there is nothing at this path; /api tells what there is"),
    }
}

/// A known path with another verb.
pub(super) async fn method_not_allowed(method: Method) -> XrpcError {
    let message = format!("this is a query: use GET instead of {method}");
    XrpcError::new(StatusCode::METHOD_NOT_ALLOWED, "InvalidRequest", message)
}
