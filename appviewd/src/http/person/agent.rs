//! What machines ask with their owner's key: `/agent/status`, `/agent/whoami`, `/agent/health` and `/agent/bug-report`, and the same under `/api`.
//!
//! What only a ledger or an advisor knows is told as not known.

use appview_core::query::{Limit, ProviderFilter};
use appview_core::syntax::Did;
use axum::body::Body;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse as _, Response};
use axum::routing::{get, post};
use axum::{Json, Router};
use serde_json::{Value, json};

use super::{Accounts, body, invalid, use_get, use_post};
use crate::account::AccountError;
use crate::http::XrpcError;

/// Longest report, in bytes.
const REPORT: usize = 26_214_400;
/// What a report may be.
const KINDS: [&str; 4] =
    ["application/gzip", "application/x-gzip", "application/x-tar", "application/octet-stream"];
/// The tier whose machines prove more than others.
const CONFIDENTIAL: &str = "attested-confidential";

pub(super) fn routes() -> Router<Accounts> {
    ["/agent", "/api/agent"].into_iter().fold(Router::new(), |routes, base| {
        routes
            .route(&format!("{base}/status"), get(status).fallback(use_get))
            .route(&format!("{base}/whoami"), get(whoami).fallback(use_get))
            .route(&format!("{base}/health"), get(health).fallback(use_get))
            .route(&format!("{base}/bug-report"), post(bug_report).fallback(use_post))
    })
}

async fn whoami(State(accounts): State<Accounts>, headers: HeaderMap) -> Result<Json<Value>, XrpcError> {
    let key = accounts.key(&headers).await?;
    Ok(Json(json!({"did": key.did.as_str(), "handle": key.did.as_str()})))
}

async fn health(State(accounts): State<Accounts>, headers: HeaderMap) -> Result<Json<Value>, XrpcError> {
    accounts.key(&headers).await?;
    Ok(Json(json!({"ok": true})))
}

/// The newest machine of the key's owner, as its record describes it.
async fn status(State(accounts): State<Accounts>, headers: HeaderMap) -> Result<Json<Value>, XrpcError> {
    let key = accounts.key(&headers).await?;
    let machine = accounts.machine(key.did.clone()).await?;
    let text = |name: &str| machine.get(name).and_then(Value::as_str);
    let wants_confidential = text("desiredTier") == Some(CONFIDENTIAL);
    Ok(Json(json!({
        "did": key.did.as_str(),
        "currency": "credits",
        // Whole numbers: today's apps read nothing else.
        "balance": null,
        "earned24h": 0,
        "trustLevel": text("trustLevel"),
        "agentVersion": text("binaryVersion"),
        "confidential": false,
        "confidentialVerified": false,
        "confidentialDesired": wants_confidential,
        "confidentialBlockedReason": null,
        "needsReauth": false,
    })))
}

async fn bug_report(
    State(accounts): State<Accounts>,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, XrpcError> {
    let key = accounts.key(&headers).await?;
    let kind = headers.get(header::CONTENT_TYPE).and_then(|kind| kind.to_str().ok()).unwrap_or_default();
    let kind = kind.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
    if !KINDS.contains(&kind.as_str()) {
        let message = format!("expected one of {}", KINDS.join(", "));
        return Err(XrpcError::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, "UnsupportedMediaType", message));
    }
    let announced = headers.get(header::CONTENT_LENGTH).and_then(|length| length.to_str().ok()?.parse().ok());
    if announced.is_some_and(|length: u64| length > REPORT as u64) {
        return Err(XrpcError::too_large(REPORT as u64));
    }
    let Ok(_place) = accounts.0.reports.try_acquire() else { return Err(XrpcError::busy()) };
    let (report, now) = (body::bytes(body, REPORT).await?, accounts.now());
    if report.is_empty() {
        return Err(invalid("expected a report, found nothing"));
    }
    let ticket = accounts.store().run(move |store| store.keep_report(&key.did, &report, now)).await?;
    Ok((StatusCode::CREATED, Json(json!({"ticketId": ticket}))).into_response())
}

impl Accounts {
    /// The body of the newest provider record of a repository; null if it has none.
    async fn machine(&self, owner: Did) -> Result<Value, XrpcError> {
        let index = self.0.terms.index.clone();
        let read = move || -> Result<Value, XrpcError> {
            let filter = ProviderFilter { owner: Some(owner), ..ProviderFilter::default() };
            let page = index.reader().map_err(|error| XrpcError::internal(&error))?.list_providers(
                &filter,
                Limit::clamp(1),
                None,
            )?;
            let Some(newest) = page.items.first() else { return Ok(Value::Null) };
            let mut body = String::new();
            newest.write_body(&mut body).map_err(|error| XrpcError::internal(&error))?;
            serde_json::from_str(&body).map_err(|error| XrpcError::internal(&error))
        };
        match tokio::task::spawn_blocking(read).await {
            Ok(machine) => machine,
            Err(_) => Err(AccountError::Ended.into()),
        }
    }
}
