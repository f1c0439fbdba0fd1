//! What every request passes on its way to a method, and every answer on its way back.
//!
//! Routes enter, and leave with layers around them. From the outside: a request is named and counted (`trace`), answers are
//! open to pages of every origin and closed to whatever else a browser could do with them, the allowance of whoever asks is
//! looked at (`gate`). Queries then look on the `shelf`, and find a place in the `room`; what is made is compressed.
//! Deliberately absent: what is asked and answered.

mod allowance;
mod caller;
mod gate;
mod lately;
mod room;
mod shelf;
mod trace;

use std::any::Any;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::http::{HeaderName, HeaderValue, Method, header};
use axum::middleware::{from_fn_with_state, map_response_with_state};
use axum::response::{IntoResponse as _, Response};
use tower_http::CompressionLevel;
use tower_http::catch_panic::CatchPanicLayer;
use tower_http::compression::CompressionLayer;
use tower_http::compression::predicate::SizeAbove;
use tower_http::cors::{Any as AnyOrigin, CorsLayer};

pub(super) use allowance::Allowance;
pub use caller::Peer;
pub(super) use caller::{Caller, Callers};
pub(super) use lately::Lately;
pub(super) use shelf::{Keep, Shelf};
pub(super) use trace::Names;

use super::{App, XrpcError};

/// Shortest answer that is worth compressing, in bytes: one that fills a packet.
const COMPRESSED_FROM: u16 = 1_024;
/// Costs a tenth of what the best quality does, and saves all but a twentieth of it.
const QUALITY: CompressionLevel = CompressionLevel::Precise(4);
/// For how long a browser need not ask again whether it may ask.
const PREFLIGHT: Duration = Duration::from_secs(24 * 60 * 60);

/// No page is framed, sends anything or loads anything but our own style.
const CONTENT_POLICY: &str =
    "default-src 'none'; style-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

/// Routes whose answers are worked on.
pub(super) fn worked(routes: Router<Arc<App>>, app: &Arc<App>) -> Router<Arc<App>> {
    let compression = CompressionLayer::new().quality(QUALITY).compress_when(SizeAbove::new(COMPRESSED_FROM));
    routes.layer(compression).layer(from_fn_with_state(Arc::clone(app), room::admit))
}

/// The same, with answers that are given again.
pub(super) fn kept(routes: Router<Arc<App>>, app: &Arc<App>, keep: Keep) -> Router<Arc<App>> {
    worked(routes, app).layer(from_fn_with_state((Arc::clone(app), keep), shelf::serve))
}

/// All routes of a service.
pub(super) fn open(routes: Router<Arc<App>>, app: &Arc<App>) -> Router<Arc<App>> {
    let told = gate::TOLD.into_iter().chain([header::ETAG, trace::REQUEST_ID]).collect::<Vec<_>>();
    let cors = CorsLayer::new()
        .allow_origin(AnyOrigin)
        .allow_methods([Method::GET, Method::HEAD, Method::POST])
        .allow_headers(AnyOrigin)
        .expose_headers(told)
        .max_age(PREFLIGHT)
        // The same is answered to every origin.
        .vary([]);
    let gate = from_fn_with_state(Arc::clone(app), gate::gate);
    let secure = map_response_with_state(Arc::clone(app), secure);
    let trace = from_fn_with_state(Arc::clone(app), trace::trace);
    routes.layer(CatchPanicLayer::custom(panicked)).layer(gate).layer(cors).layer(secure).layer(trace)
}

/// Says what a browser must not do with an answer.
async fn secure(
    axum::extract::State(app): axum::extract::State<Arc<App>>,
    mut response: Response,
) -> Response {
    const HEADERS: [(HeaderName, &str); 4] = [
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (header::REFERRER_POLICY, "no-referrer"),
        (header::X_FRAME_OPTIONS, "DENY"),
        (header::CONTENT_SECURITY_POLICY, CONTENT_POLICY),
    ];
    let headers = response.headers_mut();
    for (name, value) in HEADERS {
        headers.insert(name, HeaderValue::from_static(value));
    }
    if app.access.public_url.as_ref().is_some_and(crate::config::PublicUrl::is_secure) {
        let two_years = HeaderValue::from_static("max-age=63072000");
        headers.insert(header::STRICT_TRANSPORT_SECURITY, two_years);
    }
    response
}

/// A panic is a fault of ours: it costs one request, and is told to the log.
fn panicked(panic: Box<dyn Any + Send>) -> Response {
    let text = panic.downcast_ref::<String>().map(String::as_str);
    let text = text.or_else(|| panic.downcast_ref::<&str>().copied()).unwrap_or("no text");
    XrpcError::internal(&std::io::Error::other(format!("panic: {text}"))).into_response()
}
