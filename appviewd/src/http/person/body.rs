//! Bodies of requests, read as far as they may be long.
//!
//! A request's body enters; bytes or a JSON object leave. What kind of text a client says that it sends is passed over, as everywhere
//! in this network.

use std::time::Duration;

use appview_core::syntax::Did;
use axum::body::Body;
use axum::http::StatusCode;
use futures_util::StreamExt as _;
use tokio::time::timeout;

use super::invalid;
use crate::auth::object::Object;
use crate::http::XrpcError;

/// Longest JSON, in bytes: that of a PDS.
const JSON: usize = 150_000;
/// How long a body may take to arrive.
const PATIENCE: Duration = Duration::from_secs(30);

/// Reads a body of at most `limit` bytes.
pub(super) async fn bytes(body: Body, limit: usize) -> Result<Vec<u8>, XrpcError> {
    let mut stream = body.into_data_stream();
    let read = async {
        let mut bytes = Vec::new();
        while let Some(chunk) = stream.next().await {
            let chunk = chunk.map_err(|_| invalid("the body ends before it is over"))?;
            if bytes.len().saturating_add(chunk.len()) > limit {
                return Err(XrpcError::too_large(limit as u64));
            }
            bytes.extend_from_slice(&chunk);
        }
        Ok(bytes)
    };
    match timeout(PATIENCE, read).await {
        Ok(bytes) => bytes,
        Err(_) => {
            let message = "the body took too long to arrive".to_owned();
            Err(XrpcError::new(StatusCode::REQUEST_TIMEOUT, "RequestTimeout", message))
        }
    }
}

/// Reads a JSON object; nothing at all is one without members.
pub(super) async fn object(body: Body) -> Result<Object, XrpcError> {
    object_of(body, JSON).await
}

/// The same of at most `limit` bytes.
pub(super) async fn object_of(body: Body, limit: usize) -> Result<Object, XrpcError> {
    let bytes = bytes(body, limit).await?;
    Object::read(&bytes).map_err(|error| invalid(format_args!("expected a JSON object: {error}")))
}

/// A member that is text of 1 to so many UTF-16 code units.
pub(super) fn text<'o>(object: &'o Object, name: &str, longest: usize) -> Result<&'o str, XrpcError> {
    match object.text(name) {
        Some(text) if (1..=longest).contains(&text.encode_utf16().count()) => Ok(text),
        _ => Err(invalid(format_args!("{name}: expected a text of 1 to {longest} characters"))),
    }
}

/// The person whom a request is about.
pub(super) fn did(object: &Object) -> Result<Did, XrpcError> {
    let did = object.text("did").and_then(|did| did.parse().ok());
    did.ok_or_else(|| invalid("did: expected a DID"))
}

#[cfg(test)]
mod tests {
    use std::convert::Infallible;

    use axum::response::IntoResponse as _;
    use futures_util::stream;

    use super::*;

    /// A body that goes on for ever, a byte each second.
    fn drip() -> Body {
        Body::from_stream(stream::unfold((), async |()| {
            tokio::time::sleep(Duration::from_secs(1)).await;
            Some((Ok::<_, Infallible>(" "), ()))
        }))
    }

    #[tokio::test(start_paused = true)]
    async fn whoever_sends_a_byte_at_a_time_is_waited_for_half_a_minute() {
        let began = tokio::time::Instant::now();
        let status = object(drip()).await.map(drop).map_err(|error| error.into_response().status());
        assert_eq!(status, Err(StatusCode::REQUEST_TIMEOUT));
        assert_eq!(began.elapsed(), PATIENCE);
    }

    #[tokio::test(start_paused = true)]
    async fn a_body_without_an_end_is_read_as_far_as_it_may_be_long() {
        let endless =
            Body::from_stream(stream::repeat_with(|| Ok::<_, Infallible>([b' '; 1_024].as_slice())));
        let status = object(endless).await.map(drop).map_err(|error| error.into_response().status());
        assert_eq!(status, Err(StatusCode::PAYLOAD_TOO_LARGE));
    }
}
