//! All that is a person's, for that person: to have it wiped, to leave, to take it along.
//!
//! `dev.cocore.appview.{wipeMyData, getWipe, deleteMyAccount, exportMyData}` by a token of their PDS, and `/account/*` for a browser that is
//! signed in, from a page of ours. A wish is on disk when its answer leaves; how it goes is asked with `getWipe`.

use std::io::BufWriter;

use appview_core::sync::Freshness;
use appview_core::syntax::Did;
use axum::body::{Body, Bytes};
use axum::extract::State;
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse as _, Response};
use axum::routing::{get, post};
use axum::{Json, Router};
use futures_util::stream;
use serde_json::{Value, json};
use tokio::sync::mpsc;

use super::{Accounts, body, invalid, use_get, use_post};
use crate::account::{Actor, Extent, SessionsAfter};
use crate::auth::object::Object;
use crate::http::XrpcError;
use crate::wipe::{WipeError, export};

const WIPE: &str = "dev.cocore.appview.wipeMyData";
const GET_WIPE: &str = "dev.cocore.appview.getWipe";
const DELETE: &str = "dev.cocore.appview.deleteMyAccount";
const EXPORT: &str = "dev.cocore.appview.exportMyData";

/// Bytes of an export that are sent at a time, and how many of these may wait for whoever reads.
const CHUNK: usize = 64 << 10;
const CHUNKS: usize = 4;

pub(super) fn routes() -> Router<Accounts> {
    Router::new()
        .route(&format!("/xrpc/{WIPE}"), post(wipe).fallback(use_post))
        .route(&format!("/xrpc/{GET_WIPE}"), get(get_wipe).fallback(use_get))
        .route(&format!("/xrpc/{DELETE}"), post(delete).fallback(use_post))
        .route(&format!("/xrpc/{EXPORT}"), get(export_all).fallback(use_get))
        .route("/account/wipe", post(wipe_by_page).get(get_wipe_by_page).fallback(use_post))
        .route("/account/delete", post(delete_by_page).fallback(use_post))
        .route("/account/export", get(export_by_page).fallback(use_get))
}

async fn wipe(
    State(accounts): State<Accounts>,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, XrpcError> {
    let did = accounts.person(&headers, WIPE).await?;
    let sessions = sessions(&body::object(body).await?)?;
    accounts.begin_wipe(&did, Extent::Everything, sessions, Actor::Service).await
}

async fn get_wipe(State(accounts): State<Accounts>, headers: HeaderMap) -> Result<Json<Value>, XrpcError> {
    let did = accounts.person(&headers, GET_WIPE).await?;
    accounts.tell_wipe(&did).await
}

async fn delete(State(accounts): State<Accounts>, headers: HeaderMap) -> Result<Response, XrpcError> {
    let did = accounts.person(&headers, DELETE).await?;
    accounts.begin_wipe(&did, Extent::Here, SessionsAfter::End, Actor::Service).await
}

async fn export_all(State(accounts): State<Accounts>, headers: HeaderMap) -> Result<Response, XrpcError> {
    let did = accounts.person(&headers, EXPORT).await?;
    accounts.export(did).await
}

/// Member `endSessions`, `true` or `false`.
async fn wipe_by_page(
    State(accounts): State<Accounts>,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, XrpcError> {
    let did = accounts.page_of(&headers).await?;
    let sessions = sessions(&body::object(body).await?)?;
    accounts.begin_wipe(&did, Extent::Everything, sessions, Actor::Browser).await
}

async fn get_wipe_by_page(
    State(accounts): State<Accounts>,
    headers: HeaderMap,
) -> Result<Json<Value>, XrpcError> {
    let (browser, _) = accounts.browser(&headers).await?;
    accounts.tell_wipe(&browser.did).await
}

async fn delete_by_page(State(accounts): State<Accounts>, headers: HeaderMap) -> Result<Response, XrpcError> {
    let did = accounts.page_of(&headers).await?;
    accounts.begin_wipe(&did, Extent::Here, SessionsAfter::End, Actor::Browser).await
}

/// As a file. Nothing is changed, so that it need not come from a page of ours: no other page can read the answer.
async fn export_by_page(State(accounts): State<Accounts>, headers: HeaderMap) -> Result<Response, XrpcError> {
    let (browser, _) = accounts.browser(&headers).await?;
    let mut response = accounts.export(browser.did).await?;
    let file = HeaderValue::from_static("attachment; filename=\"my-data.json\"");
    response.headers_mut().insert(header::CONTENT_DISPOSITION, file);
    Ok(response)
}

/// Whether sessions are to be ended: not if nothing is said.
fn sessions(object: &Object) -> Result<SessionsAfter, XrpcError> {
    match object.get("endSessions") {
        None | Some(Value::Null | Value::Bool(false)) => Ok(SessionsAfter::Keep),
        Some(Value::Bool(true)) => Ok(SessionsAfter::End),
        Some(_) => Err(invalid("endSessions: expected true or false")),
    }
}

impl Accounts {
    /// Who asks from a page of ours, in a browser that is signed in.
    async fn page_of(&self, headers: &HeaderMap) -> Result<Did, XrpcError> {
        let (_, own) = self.own()?;
        own.must_send(headers)?;
        Ok(self.browser(headers).await?.0.did)
    }

    async fn begin_wipe(
        &self,
        did: &Did,
        extent: Extent,
        sessions: SessionsAfter,
        actor: Actor,
    ) -> Result<Response, XrpcError> {
        let wipe = self.wiper().begin(did, extent, sessions, actor).await?;
        Ok((StatusCode::ACCEPTED, Json(json!({"wipe": wipe}))).into_response())
    }

    async fn tell_wipe(&self, did: &Did) -> Result<Json<Value>, XrpcError> {
        Ok(Json(json!({"wipe": self.wiper().newest(did).await?})))
    }

    /// Everything that is held of a person, as it is read.
    async fn export(&self, did: Did) -> Result<Response, XrpcError> {
        let Ok(place) = self.0.exports.clone().try_acquire_owned() else { return Err(XrpcError::busy()) };
        let pds = match &self.0.terms.directory {
            // Whoever is nowhere to be found has no repository to be pointed to.
            Some(directory) => directory.resolve(&did, Freshness::Cached).await.ok(),
            None => None,
        };
        let pds = pds.and_then(|identity| identity.pds().map(str::to_owned));
        let (store, index, now) = (self.store().clone(), self.0.terms.index.clone(), self.now());
        let (chunks, read) = mpsc::channel(CHUNKS);
        tokio::task::spawn_blocking(move || {
            let _place = place;
            let mut out = BufWriter::with_capacity(CHUNK, Chunks(chunks.clone()));
            if let Err(error) = export::write_all(&store, &index, &did, pds.as_deref(), now, &mut out) {
                tracing::warn!(%error, "an export broke off");
                // Whoever reads is to see that it is no whole object.
                let _ = chunks.blocking_send(Err(std::io::Error::other("broke off")));
            }
        });
        let body = stream::unfold(read, |mut read| async { Some((read.recv().await?, read)) });
        Ok(([(header::CONTENT_TYPE, "application/json")], Body::from_stream(body)).into_response())
    }
}

/// Where an export is written: to whoever reads it, and no faster than they do.
struct Chunks(mpsc::Sender<std::io::Result<Bytes>>);

impl std::io::Write for Chunks {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        let sent = self.0.blocking_send(Ok(Bytes::copy_from_slice(bytes)));
        sent.map_err(|_| std::io::Error::other("nobody reads any more"))?;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

impl From<WipeError> for XrpcError {
    fn from(error: WipeError) -> Self {
        match error {
            WipeError::Account(error) => error.into(),
            WipeError::Index(error) => Self::internal(&error),
            WipeError::NotFollowing(_) | WipeError::StillHeld => {
                Self::new(StatusCode::SERVICE_UNAVAILABLE, "NotEnoughResources", error.to_string())
            }
        }
    }
}
