//! `/keys`, and the revocation of one.

use appview_core::source::now;
use appview_core::syntax::Did;
use axum::Json;
use axum::extract::{Path, Query, State};
use axum::http::StatusCode;
use serde::Deserialize;

use super::{Desk, Refusal, fault, parse};
use crate::account::{Actor, KeyOf, KeyView};

#[derive(Debug, Deserialize)]
pub(super) struct Of {
    did: Option<String>,
}

pub(super) async fn list(
    State(desk): State<Desk>,
    Query(of): Query<Of>,
) -> Result<Json<Vec<KeyView>>, Refusal> {
    let did: Option<Did> = of.did.as_deref().map(parse).transpose()?;
    let keys = desk
        .accounts()?
        .store()
        .run(move |store| store.keys(did.as_ref().map_or(KeyOf::Anyone, KeyOf::Person)));
    Ok(Json(keys.await.map_err(fault)?.into_iter().map(KeyView::from).collect()))
}

pub(super) async fn revoke(State(desk): State<Desk>, Path(id): Path<String>) -> Result<StatusCode, Refusal> {
    let key = id.clone();
    let revoke = desk
        .accounts()?
        .store()
        .run(move |store| store.revoke_key(KeyOf::Anyone, &key, Actor::Operator, now()));
    if !revoke.await.map_err(fault)? {
        let message = format!("there is no key {id}, or it was revoked before");
        return Err(Refusal(StatusCode::NOT_FOUND, message));
    }
    tracing::info!(key = id, "revoked by an operator");
    Ok(StatusCode::NO_CONTENT)
}
