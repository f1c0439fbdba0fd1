//! A person's API keys: `createApiKey`, `listApiKeys`, `revokeApiKey` and `deleteApiKey` of `dev.cocore.account`.

use appview_core::syntax::Datetime;
use axum::body::Body;
use axum::extract::State;
use axum::http::HeaderMap;
use axum::routing::{get, post};
use axum::{Json, Router};
use serde_json::{Value, json};

use super::{Accounts, body, invalid, use_get, use_post};
use crate::account::{AccountError, Actor, KeyName, KeyOf, KeyView};
use crate::auth::object::Object;
use crate::http::XrpcError;

/// Longest id of a key, in UTF-16 code units.
const LONGEST_ID: usize = 200;

const CREATE: &str = "dev.cocore.account.createApiKey";
const LIST: &str = "dev.cocore.account.listApiKeys";
const REVOKE: &str = "dev.cocore.account.revokeApiKey";
const DELETE: &str = "dev.cocore.account.deleteApiKey";

pub(super) fn routes() -> Router<Accounts> {
    Router::new()
        .route(&format!("/xrpc/{CREATE}"), post(create).fallback(use_post))
        .route(&format!("/xrpc/{LIST}"), get(list).fallback(use_get))
        .route(&format!("/xrpc/{REVOKE}"), post(revoke).fallback(use_post))
        .route(&format!("/xrpc/{DELETE}"), post(delete).fallback(use_post))
}

async fn create(
    State(accounts): State<Accounts>,
    headers: HeaderMap,
    body: Body,
) -> Result<Json<Value>, XrpcError> {
    let did = accounts.person(&headers, CREATE).await?;
    let object = body::object(body).await?;
    let (name, now) = (name(&object)?, accounts.now());
    let expires_at = expires_at(&object, now)?;
    let minted =
        accounts.store().run(move |store| store.mint_key(&did, &name, expires_at, Actor::Service, now));
    let (key, secret) = minted.await.map_err(no_room)?;
    Ok(Json(json!({"key": KeyView::from(key), "secret": secret.expose()})))
}

async fn list(State(accounts): State<Accounts>, headers: HeaderMap) -> Result<Json<Value>, XrpcError> {
    let did = accounts.person(&headers, LIST).await?;
    let keys = accounts.store().run(move |store| store.keys(KeyOf::Person(&did))).await?;
    let keys: Vec<KeyView> = keys.into_iter().map(KeyView::from).collect();
    Ok(Json(json!({"keys": keys})))
}

async fn revoke(
    State(accounts): State<Accounts>,
    headers: HeaderMap,
    body: Body,
) -> Result<Json<Value>, XrpcError> {
    let did = accounts.person(&headers, REVOKE).await?;
    let (id, now) = (id(body).await?, accounts.now());
    let revoke =
        accounts.store().run(move |store| store.revoke_key(KeyOf::Person(&did), &id, Actor::Service, now));
    Ok(Json(json!({"revoked": revoke.await?})))
}

async fn delete(
    State(accounts): State<Accounts>,
    headers: HeaderMap,
    body: Body,
) -> Result<Json<Value>, XrpcError> {
    let did = accounts.person(&headers, DELETE).await?;
    let (id, now) = (id(body).await?, accounts.now());
    let delete =
        accounts.store().run(move |store| store.delete_key(KeyOf::Person(&did), &id, Actor::Service, now));
    Ok(Json(json!({"deleted": delete.await?})))
}

async fn id(body: Body) -> Result<String, XrpcError> {
    let object = body::object(body).await?;
    Ok(body::text(&object, "id", LONGEST_ID)?.to_owned())
}

/// As many keys as one may have: nothing that waiting would change.
pub(super) fn no_room(error: AccountError) -> XrpcError {
    match error {
        AccountError::TooMany { .. } => {
            invalid(format_args!("{error}; revoke or delete one that is not needed any more"))
        }
        error => error.into(),
    }
}

pub(super) fn name(object: &Object) -> Result<KeyName, XrpcError> {
    let name = object.text("name").unwrap_or_default();
    name.parse().map_err(|problem| invalid(format_args!("name: {problem}")))
}

/// A moment that cannot be read is no moment that never comes.
fn expires_at(object: &Object, now: u64) -> Result<Option<u64>, XrpcError> {
    let refused = || invalid("expiresAt: expected a moment to come, like 2030-01-31T12:00:00Z");
    match object.get("expiresAt") {
        None | Some(Value::Null) => Ok(None),
        Some(Value::String(text)) => {
            let moment: Datetime = text.parse().map_err(|_| refused())?;
            let micros = u64::try_from(moment.unix_micros()).map_err(|_| refused())?;
            if micros > now { Ok(Some(micros)) } else { Err(refused()) }
        }
        Some(_) => Err(refused()),
    }
}
