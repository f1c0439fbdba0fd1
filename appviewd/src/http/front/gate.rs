//! Who is let in: everybody, as often as their allowance says, and with little in their hands.
//!
//! A request enters and goes on, or is refused: 429 with how long to wait, 413 for a body that no method here reads. The
//! headers that tell how much is left are those of a PDS.

use std::sync::Arc;
use std::time::Duration;

use axum::extract::{MatchedPath, Request, State};
use axum::http::{HeaderMap, HeaderName, HeaderValue, header};
use axum::middleware::Next;
use axum::response::{IntoResponse as _, Response};

use super::super::{App, XrpcError};
use super::allowance::{Left, WINDOW};
use super::caller::Peer;

/// Longest body that a request may announce, but for a few routes. Queries have none, and whatever comes is not read.
const BODY_BYTES: u64 = 150_000;

const LIMIT: HeaderName = HeaderName::from_static("ratelimit-limit");
const REMAINING: HeaderName = HeaderName::from_static("ratelimit-remaining");
const RESET: HeaderName = HeaderName::from_static("ratelimit-reset");
const POLICY: HeaderName = HeaderName::from_static("ratelimit-policy");

/// Headers by which a page in a browser learns how much it may ask.
pub(super) const TOLD: [HeaderName; 5] = [LIMIT, REMAINING, RESET, POLICY, header::RETRY_AFTER];

/// Passes a request on if it may be answered.
pub(super) async fn gate(State(app): State<Arc<App>>, request: Request, next: Next) -> Response {
    if announced(request.headers()) > BODY_BYTES && !reads_more(&request) {
        return XrpcError::too_large(BODY_BYTES).into_response();
    }
    let peer = request.extensions().get::<Peer>().copied();
    let caller = peer.and_then(|peer| app.callers.asking(peer, request.headers()));
    let (Some(allowance), Some(caller)) = (&app.allowance, caller) else {
        return next.run(request).await;
    };
    let taken = allowance.take(caller, app.began.elapsed());
    let (mut response, left) = match taken {
        Ok(left) => (next.run(request).await, left),
        Err(wait) => {
            let left = Left { requests: 0, whole_in: WINDOW };
            (XrpcError::rate_limited(wait).into_response(), left)
        }
    };
    let headers = response.headers_mut();
    let in_a_window = allowance.in_a_window();
    let whole_at = Duration::from_micros(app.clock.now()).saturating_add(left.whole_in).as_secs();
    headers.insert(LIMIT, in_a_window.into());
    headers.insert(REMAINING, left.requests.into());
    headers.insert(RESET, whole_at.into());
    // Digits are always a header's value.
    if let Ok(policy) = HeaderValue::try_from(format!("{in_a_window};w={}", WINDOW.as_secs())) {
        headers.insert(POLICY, policy);
    }
    response
}

/// Whether a route has a limit of its own, and looks at it itself.
fn reads_more(request: &Request) -> bool {
    let route = request.extensions().get::<MatchedPath>().map_or("", MatchedPath::as_str);
    route.ends_with("/agent/bug-report")
}

fn announced(headers: &HeaderMap) -> u64 {
    let length = headers.get(header::CONTENT_LENGTH).and_then(|length| length.to_str().ok());
    length.and_then(|length| length.parse().ok()).unwrap_or(0)
}
