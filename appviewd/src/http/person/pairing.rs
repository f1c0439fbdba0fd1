//! Devices that ask to be paired: `start`, `poll` and `confirm` of `dev.cocore.devicePair`, under `/xrpc` and under `/api/xrpc`,
//! where today's agents ask.

use axum::body::Body;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse as _, Response};
use axum::routing::{get, post};
use axum::{Extension, Json, Router};
use serde_json::{Value, json};

use super::keys::no_room;
use super::{Accounts, body, invalid, use_get, use_post};
use crate::account::{
    AccountError, Collected, Granted, KeyName, PAIRING_LASTS, PREFIX, PairingState, datetime,
};
use crate::auth::object::Object;
use crate::http::query::Parameters;
use crate::http::{Peer, XrpcError};
use crate::secret::Secret;

const CONFIRM: &str = "dev.cocore.devicePair.confirm";
/// How many seconds a device should wait before it asks again.
const POLL_SECONDS: u64 = 3;
/// Longest code or name that is looked up, in UTF-16 code units.
const LONGEST: usize = 64;

pub(super) fn routes() -> Router<Accounts> {
    ["/xrpc", "/api/xrpc"].into_iter().fold(Router::new(), |routes, base| {
        routes
            .route(&format!("{base}/dev.cocore.devicePair.start"), post(start).fallback(use_post))
            .route(&format!("{base}/dev.cocore.devicePair.poll"), get(poll).fallback(use_get))
            .route(&format!("{base}/{CONFIRM}"), post(confirm).fallback(use_post))
    })
}

async fn start(
    State(accounts): State<Accounts>,
    peer: Option<Extension<Peer>>,
    headers: HeaderMap,
) -> Result<Json<Value>, XrpcError> {
    accounts.take(accounts.0.pairings.as_ref(), peer.map(|Extension(peer)| peer), &headers)?;
    let now = accounts.now();
    let pairing = accounts.store().run(move |store| store.begin_pairing(now)).await?;
    let code = pairing.code.expose();
    Ok(Json(json!({
        "deviceId": pairing.device.expose(),
        "userCode": code,
        "verificationUri": format!("{}/devices/new?code={code}", accounts.0.terms.console),
        "pollIntervalSecs": POLL_SECONDS,
        "expiresInSecs": PAIRING_LASTS / 1_000_000,
    })))
}

async fn poll(State(accounts): State<Accounts>, parameters: Parameters) -> Result<Response, XrpcError> {
    let device = Secret::new(parameters.required("deviceId")?.to_owned());
    let now = accounts.now();
    let day = datetime(now).chars().take(10).collect::<String>();
    let name: KeyName =
        format!("paired machine ({day})").parse().map_err(|error| XrpcError::internal(&error))?;
    let collected = accounts.store().run(move |store| store.collect_pairing(&device, &name, now)).await;
    let state = match collected {
        Ok(Collected::Granted(granted)) => return accounts.session(&granted),
        Ok(Collected::Nothing(state)) => Some(state),
        Ok(Collected::Unknown) => None,
        // Its owner has as many keys as one may have since it was approved.
        Err(AccountError::TooMany { .. }) => Some(PairingState::Denied),
        Err(error) => return Err(error.into()),
    };
    let (status, word) = match state {
        None => (StatusCode::NOT_FOUND, "unknown"),
        Some(PairingState::Pending | PairingState::Approved) => (StatusCode::OK, "pending"),
        Some(PairingState::Denied) => (StatusCode::FORBIDDEN, "denied"),
        Some(PairingState::Expired) => (StatusCode::GONE, "expired"),
        Some(PairingState::Consumed) => (StatusCode::GONE, "consumed"),
    };
    Ok((status, Json(json!({"status": word}))).into_response())
}

async fn confirm(
    State(accounts): State<Accounts>,
    headers: HeaderMap,
    body: Body,
) -> Result<Json<Value>, XrpcError> {
    let did = accounts.person(&headers, CONFIRM).await?;
    let object = body::object(body).await?;
    let code = body::text(&object, "userCode", LONGEST)?.trim().to_uppercase();
    let (code, now) = (Secret::new(code), accounts.now());
    accounts.0.codes.take(did.clone(), now).map_err(|wait| {
        let message = format!("too many codes; try again in {} seconds", wait / 1_000_000 + 1);
        XrpcError::new(StatusCode::TOO_MANY_REQUESTS, "RateLimitExceeded", message)
    })?;
    match object.text("decision") {
        Some("deny") => {
            let denied = accounts.store().run(move |store| store.deny_pairing(&code, now)).await?;
            denied.ok_or_else(|| XrpcError::not_found("there is no such code"))?;
            Ok(Json(json!({"ok": true, "status": "denied"})))
        }
        Some("approve") => {
            let handed = if accounts.is_internal(&headers) { handed(&object, did.as_str()) } else { None };
            let approved = accounts.store().run(move |store| {
                // What cannot be sealed is not kept: the device gets a key of ours then.
                let handed = handed.filter(|_| store.has_sessions());
                store.approve_pairing(&code, &did, handed.as_ref(), now)
            });
            match approved.await.map_err(no_room)? {
                Some(PairingState::Pending) => Ok(Json(json!({"ok": true, "status": "approved"}))),
                _ => {
                    let message = "there is no such code, or it was decided before, or it is over".to_owned();
                    Err(XrpcError::new(StatusCode::CONFLICT, "Conflict", message))
                }
            }
        }
        _ => Err(invalid("decision: expected approve or deny")),
    }
}

/// What the console had for the device, with the DID that was verified in place of the one that it says.
fn handed(object: &Object, did: &str) -> Option<Secret<Vec<u8>>> {
    let session = object.get("providerSession").or_else(|| object.get("session"))?;
    let text = |name: &str| session.get(name)?.as_str();
    let begins = |name: &str, start: &str| text(name).is_some_and(|text| text.starts_with(start));
    if !(begins("did", "did:") && begins("apiKey", PREFIX) && begins("apiBase", "http")) {
        return None;
    }
    let session = json!({
        "did": did,
        "handle": text("handle").unwrap_or(did),
        "apiKey": text("apiKey"),
        "apiBase": text("apiBase"),
    });
    Some(Secret::new(session.to_string().into_bytes()))
}

impl Accounts {
    /// What a device gets, once.
    fn session(&self, granted: &Granted) -> Result<Response, XrpcError> {
        let session = match granted {
            Granted::Key(key, secret) => json!({
                "did": key.did.as_str(),
                "handle": key.did.as_str(),
                "apiKey": secret.expose(),
                "apiBase": self.0.terms.api_base,
            }),
            Granted::Handed(_, session) => {
                serde_json::from_slice(session.expose()).map_err(|error| XrpcError::internal(&error))?
            }
        };
        Ok(Json(json!({"status": "session", "session": session})).into_response())
    }
}
