//! Answers as they are written: JSON, without a tree between the index and the text.
//!
//! What the index found enters; text leaves. The bodies of records are streamed from their stored blocks.

use appview_core::block::BlockError;
use appview_core::block::json::write_text;
use appview_core::query::{Page, PageCursor, RecordView};
use appview_core::syntax::Datetime;
use axum::http::{HeaderValue, header};
use axum::response::{IntoResponse, Response};
use serde::Serialize;

use super::XrpcError;

/// What stands for a moment that no calendar of four digits has.
const EPOCH: &str = "1970-01-01T00:00:00.000Z";
/// Bytes of a record as it is answered, more or less.
const RECORD_BYTES: usize = 2_048;

/// A JSON answer.
#[derive(Debug)]
pub(super) struct Json(String);

impl Json {
    /// Whatever says itself how it is written.
    ///
    /// # Errors
    ///
    /// None that can happen to plain structures.
    pub(super) fn of(answer: &impl Serialize) -> Result<Self, XrpcError> {
        serde_json::to_string(answer).map(Self).map_err(|error| XrpcError::internal(&error))
    }

    /// `{"<name>": [indexed records], "cursor": …}`
    ///
    /// # Errors
    ///
    /// Damage of a stored block.
    pub(super) fn records(name: &str, page: &Page<RecordView>) -> Result<Self, XrpcError> {
        let mut out = String::with_capacity(page.items.len().saturating_mul(RECORD_BYTES).saturating_add(64));
        out.push('{');
        write_text(&mut out, name);
        out.push_str(":[");
        for (at, record) in page.items.iter().enumerate() {
            if at > 0 {
                out.push(',');
            }
            // Quarantined blocks are not listed, and every other one was decoded when it was judged.
            indexed_record(&mut out, record).map_err(|error| XrpcError::internal(&error))?;
        }
        out.push(']');
        member(&mut out, ",", "cursor", page.cursor.as_ref().map(PageCursor::to_string).as_deref());
        out.push('}');
        Ok(Self(out))
    }

    /// An empty list.
    pub(super) fn nothing(name: &str) -> Self {
        let mut out = "{".to_owned();
        write_text(&mut out, name);
        out.push_str(":[]}");
        Self(out)
    }
}

impl From<String> for Json {
    fn from(text: String) -> Self {
        Self(text)
    }
}

impl IntoResponse for Json {
    fn into_response(self) -> Response {
        let json = HeaderValue::from_static("application/json");
        ([(header::CONTENT_TYPE, json)], self.0).into_response()
    }
}

/// `{uri, cid, collection, repo, rkey, body, indexedAt}`, in this order.
///
/// # Errors
///
/// The block cannot be read, as may be if it is quarantined. The body is then null.
pub(super) fn indexed_record(out: &mut String, record: &RecordView) -> Result<(), BlockError> {
    member(out, "{", "uri", Some(record.uri().as_str()));
    member(out, ",", "cid", Some(&record.cid.to_string()));
    member(out, ",", "collection", Some(record.collection.as_str()));
    member(out, ",", "repo", Some(record.repo.as_str()));
    member(out, ",", "rkey", Some(record.rkey.as_str()));
    out.push_str(",\"body\":");
    let begin = out.len();
    let written = record.write_body(out);
    if written.is_err() {
        out.truncate(begin);
        out.push_str("null");
    }
    let indexed_at = Datetime::from_unix_micros(record.indexed_at_micros());
    member(out, ",", "indexedAt", Some(indexed_at.as_ref().map_or(EPOCH, Datetime::as_str)));
    out.push('}');
    written
}

/// A member whose value is a text, if there is one.
pub(super) fn member(out: &mut String, before: &str, name: &str, value: Option<&str>) {
    if let Some(value) = value {
        out.push_str(before);
        write_text(out, name);
        out.push(':');
        write_text(out, value);
    }
}
