//! Errors as XRPC has them: a status, a name and a sentence; nothing from the inside.
//!
//! Follows [XRPC, error responses](https://atproto.com/specs/xrpc#error-responses).

use std::fmt;

use appview_core::query::QueryError;
use axum::http::{StatusCode, Uri, header};
use axum::response::{IntoResponse, Response};
use serde_json::json;

/// An error that a caller is told.
#[derive(Debug)]
pub struct XrpcError {
    status: StatusCode,
    name: &'static str,
    message: String,
}

impl XrpcError {
    /// A parameter is missing or cannot be read.
    #[must_use]
    pub fn parameter(name: &str, problem: impl fmt::Display) -> Self {
        Self::new(StatusCode::BAD_REQUEST, "InvalidRequest", format!("parameter {name}: {problem}"))
    }

    /// Our own fault: the cause is logged here and not told.
    #[must_use]
    pub fn internal(cause: &dyn std::error::Error) -> Self {
        tracing::error!(%cause, "a request failed");
        Self::new(
            StatusCode::INTERNAL_SERVER_ERROR,
            "InternalServerError",
            "something went wrong here".to_owned(),
        )
    }

    const fn new(status: StatusCode, name: &'static str, message: String) -> Self {
        Self { status, name, message }
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
        (self.status, [(header::CONTENT_TYPE, "application/json")], body).into_response()
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
        None => XrpcError::new(StatusCode::NOT_FOUND, "NotFound", "there is nothing at this path".to_owned()),
    }
}

/// A known path with another verb.
pub(super) async fn method_not_allowed() -> XrpcError {
    let message = "this method is a query: use GET".to_owned();
    XrpcError::new(StatusCode::METHOD_NOT_ALLOWED, "InvalidRequest", message)
}
