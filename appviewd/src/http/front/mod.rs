//! What every request passes on its way to a method, and every answer on its way back.
//!
//! Routes enter, and leave with layers around them. From the outside: what is on the shelf already is given before anything
//! is routed (`site`); an error becomes a page for who reads pages (`errors`); a request is named and counted (`trace`), answers
//! are open to pages of every origin and closed to whatever else a browser could do with them, the allowance of whoever asks is
//! looked at (`gate`). Queries then look on the `shelf`, and find a place in the `room`; what is made is compressed.
//! Deliberately absent: what is asked and answered.

mod allowance;
mod caller;
mod errors;
mod gate;
mod lately;
mod room;
mod shelf;
mod site;
mod trace;

use std::any::Any;
use std::sync::Arc;

use axum::Router;
use axum::extract::{Request, State};
use axum::http::{HeaderMap, HeaderName, HeaderValue, Method, header};
use axum::middleware::{Next, from_fn_with_state, map_response};
use axum::response::{IntoResponse as _, Response};
use tower_http::CompressionLevel;
use tower_http::catch_panic::CatchPanicLayer;
use tower_http::compression::CompressionLayer;
use tower_http::compression::predicate::SizeAbove;

pub(super) use allowance::Allowance;
pub use caller::Peer;
pub(super) use caller::{Caller, Callers};
pub(super) use errors::reads_pages;
pub(super) use lately::Lately;
pub(super) use room::place;
pub(super) use shelf::{Keep, Shelf};
pub use site::Site;
pub(super) use trace::{Names, Tallies};

use super::{App, XrpcError};
use crate::config::{Access, PublicUrl};

/// Shortest answer that is worth compressing, in bytes: one that fills a packet.
const COMPRESSED_FROM: u16 = 1_024;
/// Costs a tenth of what the best quality does, and saves all but a twentieth of it.
const QUALITY: CompressionLevel = CompressionLevel::Precise(4);
/// For how many seconds a browser need not ask again whether it may ask: a day.
const PREFLIGHT: &str = "86400";

/// No page is framed, or loads, asks or sends anything but of ours. Nothing within it is style or script.
const CONTENT_POLICY: &str = "default-src 'none'; style-src 'self'; script-src 'self'; img-src 'self'; \
     connect-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'";

/// Routes whose answers are worked on.
pub(super) fn worked(routes: Router<Arc<App>>, app: &Arc<App>) -> Router<Arc<App>> {
    let compression = CompressionLayer::new().quality(QUALITY).compress_when(SizeAbove::new(COMPRESSED_FROM));
    routes.layer(compression).layer(from_fn_with_state(Arc::clone(app), room::admit))
}

/// The same, with answers that are given again.
pub(super) fn kept(routes: Router<Arc<App>>, app: &Arc<App>, keep: Keep) -> Router<Arc<App>> {
    let tagged = routes.layer(map_response(shelf::tagged));
    worked(tagged, app).layer(from_fn_with_state((Arc::clone(app), keep), shelf::serve))
}

/// All routes of a service.
pub(super) fn open(routes: Router<Arc<App>>, app: &Arc<App>) -> Router<Arc<App>> {
    let gate = from_fn_with_state(Arc::clone(app), gate::gate);
    let browsed = from_fn_with_state(Arc::clone(app), browsed);
    let trace = from_fn_with_state(Arc::clone(app), trace::trace);
    let errors = from_fn_with_state(Arc::clone(app), errors::errors);
    let routes = routes.layer(CatchPanicLayer::custom(panicked)).layer(gate).layer(browsed);
    routes.layer(trace).layer(errors)
}

/// What a browser is told with every answer: that pages of any origin may read it, and what else must not be done with it.
pub(super) fn told_to_browsers(access: &Access) -> HeaderMap {
    let readable = gate::TOLD.into_iter().chain([header::ETAG, trace::REQUEST_ID]);
    let readable: Vec<String> = readable.map(|name| name.to_string()).collect();
    let headers: [(HeaderName, &'static str); 5] = [
        (header::ACCESS_CONTROL_ALLOW_ORIGIN, "*"),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (header::REFERRER_POLICY, "no-referrer"),
        (header::X_FRAME_OPTIONS, "DENY"),
        (header::CONTENT_SECURITY_POLICY, CONTENT_POLICY),
    ];
    let mut told: HeaderMap =
        headers.into_iter().map(|(name, value)| (name, HeaderValue::from_static(value))).collect();
    // Names of headers are always a header's value.
    if let Ok(readable) = HeaderValue::try_from(readable.join(",")) {
        told.insert(header::ACCESS_CONTROL_EXPOSE_HEADERS, readable);
    }
    if access.public_url.as_ref().is_some_and(PublicUrl::is_secure) {
        let two_years = HeaderValue::from_static("max-age=63072000");
        told.insert(header::STRICT_TRANSPORT_SECURITY, two_years);
    }
    told
}

/// Answers a browser that asks whether a page may ask, and says with every answer what may be done with it.
async fn browsed(State(app): State<Arc<App>>, request: Request, next: Next) -> Response {
    let mut response = match *request.method() {
        Method::OPTIONS => preflight(),
        _ => next.run(request).await,
    };
    tell_browsers(&app, response.headers_mut());
    response
}

fn tell_browsers(app: &App, headers: &mut HeaderMap) {
    for (name, value) in &app.told_to_browsers {
        headers.insert(name.clone(), value.clone());
    }
}

/// Any page may ask anything that there is; the same is answered to every origin.
fn preflight() -> Response {
    let headers = [
        (header::ACCESS_CONTROL_ALLOW_METHODS, "GET,HEAD,POST"),
        (header::ACCESS_CONTROL_ALLOW_HEADERS, "*"),
        (header::ACCESS_CONTROL_MAX_AGE, PREFLIGHT),
    ];
    headers.into_response()
}

/// A panic is a fault of ours: it costs one request, and is told to the log.
fn panicked(panic: Box<dyn Any + Send>) -> Response {
    let text = panic.downcast_ref::<String>().map(String::as_str);
    let text = text.or_else(|| panic.downcast_ref::<&str>().copied()).unwrap_or("no text");
    XrpcError::internal(&std::io::Error::other(format!("panic: {text}"))).into_response()
}
