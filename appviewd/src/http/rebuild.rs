//! `POST /rebuild`: a new index from the network, and how it goes, as lines of JSON.
//!
//! For whoever may use the socket in the data folder, never for the public.

use std::convert::Infallible;

use axum::Router;
use axum::body::Body;
use axum::extract::{Query, State};
use axum::http::header;
use axum::response::IntoResponse;
use axum::routing::post;
use futures_util::stream;

use crate::renewal::Renewal;

/// `partial=true` swaps in what could be proven.
pub fn routes(renewal: Renewal) -> Router {
    Router::new().route("/rebuild", post(rebuild)).with_state(renewal)
}

async fn rebuild(
    State(renewal): State<Renewal>,
    Query(parameters): Query<Vec<(String, String)>>,
) -> impl IntoResponse {
    let partial = parameters.iter().any(|(name, value)| name == "partial" && value == "true");
    let lines = stream::unfold(renewal.begin(partial), |mut told| async {
        let line = format!("{}\n", told.recv().await?.to_json());
        Some((Ok::<_, Infallible>(line), told))
    });
    ([(header::CONTENT_TYPE, "application/x-ndjson")], Body::from_stream(lines))
}
