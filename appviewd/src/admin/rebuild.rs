//! `POST /rebuild`: a new index from the network, and how it goes, as lines of JSON.

use std::convert::Infallible;

use axum::body::Body;
use axum::extract::{Query, State};
use axum::http::{StatusCode, header};
use axum::response::IntoResponse;
use futures_util::stream;

use super::{Desk, Refusal};
use crate::wipe::Showing;

/// `partial=true` swaps in what could be proven.
pub(super) async fn rebuild(
    State(desk): State<Desk>,
    Query(parameters): Query<Vec<(String, String)>>,
) -> Result<impl IntoResponse, Refusal> {
    let Some(renewal) = desk.renewal else {
        let message = "files stand in for the network here; rebuild from them, without the daemon".to_owned();
        return Err(Refusal(StatusCode::CONFLICT, message));
    };
    let partial = parameters.iter().any(|(name, value)| name == "partial" && value == "true");
    let store = desk.accounts.as_ref().map(|wiper| wiper.store().clone());
    let showing = Showing { roster: desk.roster, store };
    let lines = stream::unfold(renewal.begin(showing, partial), |mut told| async {
        let line = format!("{}\n", told.recv().await?.to_json());
        Some((Ok::<_, Infallible>(line), told))
    });
    Ok(([(header::CONTENT_TYPE, "application/x-ndjson")], Body::from_stream(lines)))
}
