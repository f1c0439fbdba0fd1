//! How many queries are worked on at once, and for how long.
//!
//! A request enters and finds a place, or is sent away at once: whoever waits in line is worth less to its client with every
//! second, and takes memory meanwhile. What is given again without work (`shelf`) needs no place. A place is free again when
//! the answer is made and all work for it has ended: a client that leaves ends the one, and not the other.

use std::sync::Arc;
use std::time::Duration;

use axum::extract::{Request, State};
use axum::middleware::Next;
use axum::response::{IntoResponse as _, Response};
use tokio::sync::OwnedSemaphorePermit;
use tokio::time::timeout;

use super::super::{App, XrpcError};

/// How long an answer may take to begin.
const LONGEST: Duration = Duration::from_secs(30);

/// A request's place; free when its last clone is dropped.
pub(in crate::http) type Place = Arc<OwnedSemaphorePermit>;

tokio::task_local! {
    static PLACE: Place;
}

/// Passes a request on if there is a place.
pub(super) async fn admit(State(app): State<Arc<App>>, request: Request, next: Next) -> Response {
    let Ok(place) = Arc::clone(&app.room).try_acquire_owned() else {
        return XrpcError::busy().into_response();
    };
    match timeout(LONGEST, PLACE.scope(Arc::new(place), next.run(request))).await {
        Ok(response) => response,
        Err(_) => XrpcError::too_slow().into_response(),
    }
}

/// The place of the request that is being answered: whatever works for it elsewhere holds it too.
pub(in crate::http) fn place() -> Option<Place> {
    PLACE.try_with(Arc::clone).ok()
}
