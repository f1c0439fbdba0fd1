//! What is said of a request afterwards: its name, how often its route was asked and how long that took, and why it failed.
//!
//! A request enters and its answer leaves, with the name in `x-request-id`. A client's or a proxy's own name is taken over,
//! so that one request has one name everywhere. Deliberately absent: what was asked for. Routes are counted and logged,
//! never query strings, and never addresses.

use std::collections::HashMap;
use std::io::Write as _;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock, PoisonError, RwLock};
use std::time::{Duration, Instant};

use axum::extract::{MatchedPath, Request, State};
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};
use axum::middleware::Next;
use axum::response::{IntoResponse as _, Response};
use metrics::{Counter, Histogram};

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

    pub(super) fn name(&self, headers: &HeaderMap) -> HeaderValue {
        let is_name = |byte: &u8| byte.is_ascii_alphanumeric() || b"-_.".contains(byte);
        let brought = headers
            .get(REQUEST_ID)
            .filter(|name| (1..=NAME_BYTES).contains(&name.len()) && name.as_bytes().iter().all(is_name));
        brought.cloned().unwrap_or_else(|| {
            let next = self.next.fetch_add(1, Ordering::Relaxed);
            // Two numbers of 16 digits at most; writing them does not fail, and digits are always a header's value.
            let mut text = [0; 33];
            let mut rest = text.as_mut_slice();
            let _ = write!(rest, "{:x}-{next:x}", self.start);
            let unused = rest.len();
            let name = text.get(..text.len().saturating_sub(unused)).unwrap_or_default();
            HeaderValue::from_bytes(name).unwrap_or(HeaderValue::from_static("-"))
        })
    }
}

/// The numbers of each route, found once: to look one up by its labels costs more than to give an answer again.
#[derive(Debug, Default)]
pub(in crate::http) struct Tallies(RwLock<HashMap<Box<str>, Arc<Tally>>>);

/// The numbers of one route.
#[derive(Debug)]
pub(super) struct Tally {
    route: Box<str>,
    seconds: Histogram,
    /// Of the two statuses that nearly all answers have.
    ok: OnceLock<Counter>,
    unmodified: OnceLock<Counter>,
}

impl Tallies {
    /// The numbers of the route that a request has come to.
    pub(super) fn of(&self, request: &Request) -> Arc<Tally> {
        let route = request.extensions().get::<MatchedPath>().map_or("none", MatchedPath::as_str);
        if let Some(tally) = self.0.read().unwrap_or_else(PoisonError::into_inner).get(route) {
            return Arc::clone(tally);
        }
        let mut all = self.0.write().unwrap_or_else(PoisonError::into_inner);
        Arc::clone(all.entry(route.into()).or_insert_with(|| Arc::new(Tally::new(route))))
    }
}

impl Tally {
    pub(super) fn new(route: &str) -> Self {
        let seconds = metrics::histogram!("appview_http_seconds", "route" => route.to_owned());
        Self { route: route.into(), seconds, ok: OnceLock::new(), unmodified: OnceLock::new() }
    }

    /// Counts an answer.
    pub(super) fn count(&self, status: StatusCode, took: Duration) {
        let labelled = || {
            metrics::counter!(
                "appview_http_requests_total",
                "route" => self.route.to_string(),
                "status" => status.as_str().to_owned()
            )
        };
        match status {
            StatusCode::OK => self.ok.get_or_init(labelled).increment(1),
            StatusCode::NOT_MODIFIED => self.unmodified.get_or_init(labelled).increment(1),
            _ => labelled().increment(1),
        }
        self.seconds.record(took);
    }

    /// Says of an answer, to its client and to the log, whose it is.
    pub(super) fn tell(&self, response: &mut Response, name: HeaderValue, took: Duration) {
        let (request, route, status) = (id(&name), &*self.route, response.status());
        tracing::debug!(request, route, status = status.as_u16(), micros = took.as_micros(), "answered");
        self.count(status, took);
        response.headers_mut().insert(REQUEST_ID, name);
    }
}

/// Passes a request on, names it, counts it, and logs it if it failed.
pub(super) async fn trace(State(app): State<Arc<App>>, request: Request, next: Next) -> Response {
    let name = app.names.name(request.headers());
    let tally = app.tallies.of(&request);
    let began = Instant::now();
    let mut response = next.run(request).await;
    let took = began.elapsed();
    if let Some(Failure(cause)) = response.extensions_mut().remove() {
        let (request, route) = (id(&name), &*tally.route);
        tracing::error!(request, route, cause, "a request failed");
        // Its headers stay: they are also those of the layers that it has passed.
        *response.body_mut() = XrpcError::logged(request).into_response().into_body();
        response.headers_mut().remove(header::CONTENT_LENGTH);
    }
    tally.tell(&mut response, name, took);
    response
}

fn id(name: &HeaderValue) -> &str {
    name.to_str().unwrap_or_default()
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
