//! What the console beside us asks in people's names: `/internal/account/{mint-key,resolve-key,reset-did}`.
//!
//! Whoever asks has the internal secret.

use axum::body::Body;
use axum::extract::State;
use axum::routing::post;
use axum::{Json, Router};
use serde_json::{Value, json};

use super::keys::{name, no_room};
use super::{Accounts, body, invalid, use_post};
use crate::account::{AccountError, Actor, datetime};
use crate::http::XrpcError;
use crate::secret::Secret;

/// What a key is called that the console makes and does not name.
const UNNAMED: &str = "console";
/// Longest key that is looked up, in UTF-16 code units.
const LONGEST: usize = 1_000;

pub(super) fn routes() -> Router<Accounts> {
    Router::new()
        .route("/internal/account/mint-key", post(mint).fallback(use_post))
        .route("/internal/account/resolve-key", post(resolve).fallback(use_post))
        .route("/internal/account/reset-did", post(reset).fallback(use_post))
}

async fn mint(State(accounts): State<Accounts>, body: Body) -> Result<Json<Value>, XrpcError> {
    let object = body::object(body).await?;
    let (did, now) = (body::did(&object)?, accounts.now());
    let name = match object.get("name") {
        None | Some(Value::Null) => UNNAMED.parse().map_err(invalid)?,
        Some(_) => name(&object)?,
    };
    let minted = accounts.store().run(move |store| store.mint_key(&did, &name, None, Actor::Internal, now));
    let (key, secret) = minted.await.map_err(no_room)?;
    // Here what is not set is there.
    let key = json!({
        "id": key.id,
        "did": key.did.as_str(),
        "name": key.name,
        "prefix": key.prefix,
        "createdAt": datetime(key.created_at),
        "expiresAt": key.expires_at.map(datetime),
        "revokedAt": key.revoked_at.map(datetime),
        "lastUsedAt": key.last_used_at.map(datetime),
    });
    Ok(Json(json!({"key": key, "secret": secret.expose()})))
}

async fn resolve(State(accounts): State<Accounts>, body: Body) -> Result<Json<Value>, XrpcError> {
    let object = body::object(body).await?;
    let key = Secret::new(body::text(&object, "key", LONGEST)?.to_owned());
    let now = accounts.now();
    let key = accounts.store().run(move |store| store.key(&key, now)).await?;
    let key = key.ok_or_else(|| XrpcError::not_found("there is no such key, or none that is good"))?;
    Ok(Json(json!({"id": key.id, "did": key.did.as_str(), "name": key.name})))
}

async fn reset(State(accounts): State<Accounts>, body: Body) -> Result<Json<Value>, XrpcError> {
    let object = body::object(body).await?;
    let (did, now) = (body::did(&object)?, accounts.now());
    let reset = accounts.store().run(move |store| {
        let revoked = store.revoke_keys(&did, Actor::Internal, now)?;
        store.end_session(&did, now)?;
        Ok::<_, AccountError>(revoked)
    });
    Ok(Json(json!({"ok": true, "keysRevoked": reset.await?})))
}
