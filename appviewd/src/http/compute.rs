//! The read methods of `dev.cocore.compute`.
//!
//! Query strings enter; pages of indexed records leave as JSON text, their bodies streamed from the stored blocks without
//! a tree between. Shapes as in the lexicons, with `limit` and `cursor` added.

use std::sync::Arc;

use appview_core::block::json::write_text;
use appview_core::query::{Limit, Page, PageCursor, ProviderFilter, ReceiptFilter, RecordView};
use appview_core::syntax::{Datetime, Did};
use axum::extract::{Query, State};
use axum::http::header;
use axum::response::{IntoResponse, Response};

use super::{App, XrpcError};

/// What stands for a moment that no calendar of four digits has.
const EPOCH: &str = "1970-01-01T00:00:00.000Z";

/// Parameters as they come: the first of each name counts, an empty one is as good as none.
type Parameters = Query<Vec<(String, String)>>;

/// `dev.cocore.compute.listProviders`
pub(super) async fn list_providers(
    State(app): State<Arc<App>>,
    Query(parameters): Parameters,
) -> Result<Response, XrpcError> {
    let (limit, cursor) = (limit(&parameters)?, parameter(&parameters, "cursor")?);
    let page = app
        .read(move |index| index.list_providers(&ProviderFilter::default(), limit, cursor.as_ref()))
        .await?;
    records("providers", &page)
}

/// `dev.cocore.compute.listReceipts`
pub(super) async fn list_receipts(
    State(app): State<Arc<App>>,
    Query(parameters): Parameters,
) -> Result<Response, XrpcError> {
    let filter = ReceiptFilter {
        provider: parameter::<Did>(&parameters, "provider")?,
        requester: parameter::<Did>(&parameters, "requester")?,
        job: parameter::<String>(&parameters, "job")?,
        ..ReceiptFilter::default()
    };
    let (limit, cursor) = (limit(&parameters)?, parameter(&parameters, "cursor")?);
    let page = app.read(move |index| index.list_receipts(&filter, limit, cursor.as_ref())).await?;
    records("receipts", &page)
}

fn parameter<T>(parameters: &[(String, String)], name: &str) -> Result<Option<T>, XrpcError>
where
    T: std::str::FromStr<Err: std::fmt::Display>,
{
    match parameters.iter().find(|(found, _)| found == name) {
        Some((_, text)) if !text.is_empty() => {
            text.parse().map(Some).map_err(|problem| XrpcError::parameter(name, problem))
        }
        _ => Ok(None),
    }
}

fn limit<const MOST: u32>(parameters: &[(String, String)]) -> Result<Limit<MOST>, XrpcError> {
    Ok(match parameter::<u32>(parameters, "limit")? {
        Some(items) => Limit::new(items)?,
        None => Limit::default(),
    })
}

/// `{"<name>": [indexed records], "cursor": …}`
fn records(name: &str, page: &Page<RecordView>) -> Result<Response, XrpcError> {
    let mut out = String::with_capacity(page.items.len().saturating_mul(2_048).saturating_add(64));
    out.push('{');
    write_text(&mut out, name);
    out.push_str(":[");
    for (at, record) in page.items.iter().enumerate() {
        if at > 0 {
            out.push(',');
        }
        indexed_record(&mut out, record)?;
    }
    out.push(']');
    member(&mut out, ",", "cursor", page.cursor.as_ref().map(PageCursor::to_string).as_deref());
    out.push('}');
    Ok(([(header::CONTENT_TYPE, "application/json")], out).into_response())
}

/// `{uri, cid, collection, repo, rkey, body, indexedAt}`, in this order.
fn indexed_record(out: &mut String, record: &RecordView) -> Result<(), XrpcError> {
    member(out, "{", "uri", Some(record.uri().as_str()));
    member(out, ",", "cid", Some(&record.cid.to_string()));
    member(out, ",", "collection", Some(record.collection.as_str()));
    member(out, ",", "repo", Some(record.repo.as_str()));
    member(out, ",", "rkey", Some(record.rkey.as_str()));
    out.push_str(",\"body\":");
    // Quarantined blocks are not listed, and every other one was decoded when it was judged.
    record.write_body(out).map_err(|error| XrpcError::internal(&error))?;
    let indexed_at = Datetime::from_unix_micros(record.indexed_at_micros());
    member(out, ",", "indexedAt", Some(indexed_at.as_ref().map_or(EPOCH, Datetime::as_str)));
    out.push('}');
    Ok(())
}

fn member(out: &mut String, before: &str, name: &str, value: Option<&str>) {
    if let Some(value) = value {
        out.push_str(before);
        write_text(out, name);
        out.push(':');
        write_text(out, value);
    }
}
