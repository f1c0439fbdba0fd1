//! Errors for people: what whoever reads pages is told in the place of JSON.
//!
//! An answer enters and goes on as it is, unless it is an error and the request was a browser's for a page. Methods answer
//! with JSON whoever asks. Deliberately absent: what an error says, which is decided where it is met.

use std::sync::Arc;

use axum::body::{Body, to_bytes};
use axum::extract::{Request, State};
use axum::http::{HeaderMap, HeaderValue, header};
use axum::middleware::Next;
use axum::response::{IntoResponse as _, Response};
use serde::Deserialize;

use super::super::App;
use crate::pages;

/// Longest error that is read: each is a name and a sentence.
const ERROR_BYTES: usize = 64 << 10;

/// An error, as it was written.
#[derive(Deserialize)]
struct Told {
    error: String,
    message: String,
}

/// Writes an error as a page, for whoever would rather read one.
pub(super) async fn errors(State(app): State<Arc<App>>, request: Request, next: Next) -> Response {
    let path = request.uri().path();
    let path = is_for_people(request.headers(), path).then(|| path.to_owned());
    let response = next.run(request).await;
    let Some(path) =
        path.filter(|_| response.status().is_client_error() || response.status().is_server_error())
    else {
        return response;
    };
    let (mut parts, body) = response.into_parts();
    // One that is packed was longer than any of ours.
    let is_packed = parts.headers.contains_key(header::CONTENT_ENCODING);
    let Ok(body) = to_bytes(body, ERROR_BYTES).await else { return parts.status.into_response() };
    let told = serde_json::from_slice::<Told>(&body).ok().filter(|_| !is_packed);
    let Some(Told { error, message }) = told else { return Response::from_parts(parts, Body::from(body)) };
    let sheet = pages::error((parts.status.as_u16(), &error), &path, &message);
    parts.headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("text/html; charset=utf-8"));
    parts.headers.insert(header::VARY, HeaderValue::from_static("accept, accept-encoding"));
    parts.headers.remove(header::CONTENT_LENGTH);
    Response::from_parts(parts, Body::from(app.frame.page(&sheet, None)))
}

/// Whether a request is a browser's for a page.
pub(super) fn is_for_people(headers: &HeaderMap, path: &str) -> bool {
    !path.starts_with("/xrpc/") && reads_pages(headers)
}

/// Whether whoever asks would rather read a page.
pub(in crate::http) fn reads_pages(headers: &HeaderMap) -> bool {
    let accepted = headers.get_all(header::ACCEPT).iter().filter_map(|value| value.to_str().ok());
    let mut kinds =
        accepted.flat_map(|value| value.split(',')).map(|kind| kind.split(';').next().unwrap_or_default());
    kinds.any(|kind| kind.trim().eq_ignore_ascii_case("text/html"))
}
