//! How many queries are worked on at once, and for how long.
//!
//! A request enters and finds a place, or is sent away at once: whoever waits in line is worth less to its client with every
//! second, and takes memory meanwhile. What is given again without work (`shelf`) needs no place.

use std::sync::Arc;
use std::time::Duration;

use axum::extract::{Request, State};
use axum::middleware::Next;
use axum::response::{IntoResponse as _, Response};
use tokio::time::timeout;

use super::super::{App, XrpcError};

/// How long an answer may take to begin.
const LONGEST: Duration = Duration::from_secs(30);

/// Passes a request on if there is a place.
pub(super) async fn admit(State(app): State<Arc<App>>, request: Request, next: Next) -> Response {
    // A permit is given back when it is dropped, also where the client has left.
    let Ok(_place) = app.room.try_acquire() else {
        return XrpcError::busy().into_response();
    };
    match timeout(LONGEST, next.run(request)).await {
        Ok(response) => response,
        Err(_) => XrpcError::too_slow().into_response(),
    }
}
