//! What the existing console and exchange tell an AppView that it has published: `dev.cocore.bridge.*`.
//!
//! Whoever tells has the internal secret, as a bearer token. What they tell is a hint and nothing else: the record is fetched from its PDS
//! and proven, so that what is told wrongly changes nothing.

use appview_core::query::Limit;
use appview_core::record::{Collection, NAMESPACE};
use appview_core::syntax::AtUri;
use axum::body::Body;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use axum::routing::{get, post};
use axum::{Json, Router};
use serde_json::{Value, json};

use super::{Accounts, body, invalid, token, use_get, use_post};
use crate::account::AccountError;
use crate::http::XrpcError;

pub(super) fn routes() -> Router<Accounts> {
    Router::new()
        .route("/xrpc/dev.cocore.bridge.publish", post(publish).fallback(use_post))
        .route("/xrpc/dev.cocore.bridge.unpublish", post(unpublish).fallback(use_post))
        .route("/xrpc/dev.cocore.bridge.purge", post(purge).fallback(use_post))
        .route("/xrpc/dev.cocore.bridge.stats", get(stats).fallback(use_get))
}

/// A record is said to be there.
async fn publish(
    State(accounts): State<Accounts>,
    headers: HeaderMap,
    body: Body,
) -> Result<(StatusCode, Json<Value>), XrpcError> {
    accounts.admit(&headers)?;
    let object = body::object_of(body, 2_000_000).await?;
    let text = |name: &str| match object.text(name) {
        Some(text) if !text.is_empty() => Ok(text),
        _ => Err(invalid(format_args!("{name}: expected a text"))),
    };
    let (uri, collection, repo) = (text("uri")?, text("collection")?, text("repo")?);
    text("cid")?;
    if !collection.starts_with(NAMESPACE) {
        return Err(invalid(format_args!("collection: expected one that begins with {NAMESPACE}")));
    }
    let uri = record(uri)?;
    if uri.authority() != repo || uri.collection() != Some(collection) {
        return Err(invalid("uri: expected one in that repo and collection"));
    }
    // Of a hint too many the stream, or an audit, brings what it was about.
    _ = accounts.publisher()?.hint(&uri);
    Ok((StatusCode::ACCEPTED, Json(json!({"ok": true}))))
}

/// A record is said to be gone.
async fn unpublish(
    State(accounts): State<Accounts>,
    headers: HeaderMap,
    body: Body,
) -> Result<Json<Value>, XrpcError> {
    accounts.admit(&headers)?;
    let object = body::object(body).await?;
    let uri = record(object.text("uri").unwrap_or_default())?;
    _ = accounts.publisher()?.hint(&uri);
    Ok(Json(json!({"ok": true})))
}

/// All records of a person are said to be gone: what is held of them is erased, and of what their repository said up to this moment
/// nothing comes back but what it has still.
async fn purge(
    State(accounts): State<Accounts>,
    headers: HeaderMap,
    body: Body,
) -> Result<Json<Value>, XrpcError> {
    accounts.admit(&headers)?;
    let did = body::did(&body::object(body).await?)?;
    let removed = accounts.wiper().purge(&did).await?;
    Ok(Json(json!({"ok": true, "removed": removed})))
}

/// How many settlements there are. What is in a treasury only its exchange knows.
async fn stats(State(accounts): State<Accounts>) -> Result<Json<Value>, XrpcError> {
    let index = accounts.0.terms.index.clone();
    let read = tokio::task::spawn_blocking(move || -> Result<u64, XrpcError> {
        let reader = index.reader().map_err(|error| XrpcError::internal(&error))?;
        let collections = reader.fingerprints_by_collection(Limit::clamp(1_000), None)?;
        let settlements =
            collections.items.iter().find(|item| item.of.as_str() == Collection::Settlement.nsid());
        Ok(settlements.map_or(0, |settlements| settlements.records.total()))
    });
    let settled = read.await.unwrap_or(Err(AccountError::Ended.into()))?;
    Ok(Json(json!({"settled": settled, "treasuryBalance": null})))
}

impl Accounts {
    /// Lets in whoever has the internal secret as a bearer token.
    fn admit(&self, headers: &HeaderMap) -> Result<(), XrpcError> {
        let (claimed, secret) = (token(headers), self.0.terms.internal.as_ref());
        match claimed.zip(secret) {
            Some((claimed, secret)) if secret.is(claimed.expose().as_bytes()) => Ok(()),
            _ => {
                let message = "expected the internal secret as a bearer token".to_owned();
                Err(XrpcError::new(StatusCode::UNAUTHORIZED, "unauthorized", message))
            }
        }
    }
}

fn record(text: &str) -> Result<AtUri, XrpcError> {
    let uri = text.parse::<AtUri>().ok();
    let uri = uri.filter(|uri| uri.authority().starts_with("did:") && uri.rkey().is_some());
    uri.ok_or_else(|| invalid("uri: expected that of a record, like at://did:plc:…/collection/key"))
}
