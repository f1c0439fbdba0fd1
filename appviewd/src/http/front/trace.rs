//! What is said of a request afterwards: its name, how often its route was asked and how long that took, and why it failed.
//!
//! A request enters and its answer leaves, with the name in `x-request-id`. A client's or a proxy's own name is taken over,
//! so that one request has one name everywhere. Deliberately absent: what was asked for. Routes are counted and logged,
//! never query strings, and never addresses.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

use axum::extract::{MatchedPath, Request, State};
use axum::http::{HeaderMap, HeaderName, HeaderValue, header};
use axum::middleware::Next;
use axum::response::{IntoResponse as _, Response};

use super::super::{App, XrpcError, error::Failure};

/// The header that bears a request's name, both ways.
pub(super) const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

/// Longest name that is taken over.
const NAME_BYTES: usize = 64;

/// Names for requests that bring none.
#[derive(Debug)]
pub(in crate::http) struct Names {
    /// Tells this process from those before it.
    start: u64,
    next: AtomicU64,
}

impl Names {
    /// Names of a process that was started at this moment, in microseconds since the Unix epoch.
    pub(in crate::http) const fn since(start: u64) -> Self {
        Self { start, next: AtomicU64::new(1) }
    }

    fn name(&self, headers: &HeaderMap) -> HeaderValue {
        let is_name = |byte: &u8| byte.is_ascii_alphanumeric() || b"-_.".contains(byte);
        let brought = headers
            .get(REQUEST_ID)
            .filter(|name| (1..=NAME_BYTES).contains(&name.len()) && name.as_bytes().iter().all(is_name));
        brought.cloned().unwrap_or_else(|| {
            let next = self.next.fetch_add(1, Ordering::Relaxed);
            let name = format!("{:x}-{next:x}", self.start);
            // Hexadecimal digits are always a header's value.
            HeaderValue::try_from(name).unwrap_or(HeaderValue::from_static("-"))
        })
    }
}

/// Passes a request on, names it, counts it, and logs it if it failed.
pub(super) async fn trace(State(app): State<Arc<App>>, request: Request, next: Next) -> Response {
    let name = app.names.name(request.headers());
    let id = || name.to_str().unwrap_or_default();
    let route = request.extensions().get::<MatchedPath>().cloned();
    let route = route.as_ref().map_or("none", MatchedPath::as_str);
    let began = Instant::now();
    let mut response = next.run(request).await;
    let took = began.elapsed();
    if let Some(Failure(cause)) = response.extensions_mut().remove() {
        tracing::error!(request = id(), route, cause, "a request failed");
        // Its headers stay: they are also those of the layers that it has passed.
        *response.body_mut() = XrpcError::logged(id()).into_response().into_body();
        response.headers_mut().remove(header::CONTENT_LENGTH);
    }
    let status = response.status();
    tracing::debug!(request = id(), route, status = status.as_u16(), micros = took.as_micros(), "answered");
    response.headers_mut().insert(REQUEST_ID, name);
    metrics::counter!(
        "appview_http_requests_total",
        "route" => route.to_owned(),
        "status" => status.as_str().to_owned()
    )
    .increment(1);
    metrics::histogram!("appview_http_seconds", "route" => route.to_owned()).record(took);
    response
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;

    fn name(names: &Names, brought: Option<&str>) -> String {
        let mut headers = HeaderMap::new();
        if let Some(brought) = brought {
            headers.insert(REQUEST_ID, HeaderValue::from_str(brought).unwrap());
        }
        names.name(&headers).to_str().unwrap().to_owned()
    }

    #[test]
    fn a_name_that_is_brought_is_taken_over_if_it_is_one() {
        let names = Names::since(0xabc);
        assert_eq!(name(&names, Some("4f-2_a.b")), "4f-2_a.b");
        assert_eq!(name(&names, None), "abc-1");
        let too_long = "a".repeat(NAME_BYTES + 1);
        for (brought, own) in [("", "abc-2"), ("a b", "abc-3"), ("a\"b", "abc-4"), (&too_long, "abc-5")] {
            assert_eq!(name(&names, Some(brought)), own);
        }
    }
}
