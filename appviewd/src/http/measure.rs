//! Counts requests by the route that answered them, never by what was asked for.

use std::time::Instant;

use axum::extract::{MatchedPath, Request};
use axum::middleware::Next;
use axum::response::Response;

/// Passes a request on, and counts its answer.
pub(super) async fn measure(request: Request, next: Next) -> Response {
    let route = request.extensions().get::<MatchedPath>().cloned();
    let route = route.as_ref().map_or("none", MatchedPath::as_str).to_owned();
    let began = Instant::now();
    let response = next.run(request).await;
    let status = response.status().as_str().to_owned();
    metrics::counter!("appview_http_requests_total", "route" => route.clone(), "status" => status)
        .increment(1);
    metrics::histogram!("appview_http_seconds", "route" => route).record(began.elapsed());
    response
}
