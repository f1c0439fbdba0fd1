//! `dev.cocore.inference.*`: dispatching work to machines is not done here.

use axum::Router;
use axum::http::StatusCode;
use axum::routing::any;

use crate::http::XrpcError;

const METHODS: [&str; 3] =
    ["dev.cocore.inference.dispatch", "dev.cocore.inference.submit", "dev.cocore.inference.status"];

pub(super) fn routes<S: Clone + Send + Sync + 'static>() -> Router<S> {
    METHODS.into_iter().fold(Router::new(), |routes, method| {
        routes.route(&format!("/xrpc/{method}"), any(async move || refuse(method)))
    })
}

fn refuse(method: &str) -> XrpcError {
    let message = format!(
        "this service indexes and publishes records, and gives no work to machines: {method} is for an exchange that does"
    );
    XrpcError::new(StatusCode::NOT_IMPLEMENTED, "MethodNotImplemented", message)
}
