//! What the service says of itself: its DID document, how far it follows the network, and what others compare with theirs.

use std::fmt::Display;
use std::sync::Arc;

use appview_core::query::{FingerprintOf, Limit, Page, PageCursor, Scope, VerdictCounts};
use appview_core::syntax::{Datetime, Did, Nsid};
use axum::extract::State;
use serde::Serialize;
use serde_json::json;

use super::answer::Json;
use super::query::Parameters;
use super::{App, XrpcError};
use crate::admin::Status;
use crate::config::Access;

/// `/.well-known/did.json`
pub(super) async fn did_document(State(app): State<Arc<App>>) -> Result<Json, XrpcError> {
    let told = document(&app.access);
    told.map(Json::from).ok_or_else(|| XrpcError::not_found("this service has no did:web of its own"))
}

/// The document of the service's DID, if that is a did:web.
fn document(access: &Access) -> Option<String> {
    let did = access.service_did.as_ref()?;
    let endpoint = match &access.public_url {
        Some(url) => url.as_str().to_owned(),
        None => origin(did)?,
    };
    did.as_str().starts_with("did:web:").then(|| {
        json!({
            "@context": ["https://www.w3.org/ns/did/v1"],
            "id": did,
            "service": [{"id": "#cocore_appview", "type": "CocoreAppView", "serviceEndpoint": endpoint}],
        })
        .to_string()
    })
}

/// Where a did:web is served: a colon stands for a slash, and what is one is written as `%3A`.
///
/// Follows [did:web](https://w3c-ccg.github.io/did-method-web/#read-resolve).
fn origin(did: &Did) -> Option<String> {
    let mut parts = did.as_str().strip_prefix("did:web:")?.split(':');
    let host = parts.next()?.replace("%3A", ":").replace("%3a", ":");
    Some(parts.fold(format!("https://{host}"), |url, part| format!("{url}/{part}")))
}

/// `dev.cocore.appview.getStatus`
pub(super) async fn get_status(State(app): State<Arc<App>>) -> Result<Json, XrpcError> {
    #[derive(Serialize)]
    #[serde(rename_all = "camelCase")]
    struct Answer {
        generated_at: Option<Datetime>,
        version: &'static str,
        streams: Vec<Stream>,
        repos: Repos,
        proven_share: u64,
        #[serde(skip_serializing_if = "Option::is_none")]
        oldest_proof_age_seconds: Option<u64>,
        records: Records,
        fingerprint: String,
    }
    #[derive(Serialize)]
    #[serde(rename_all = "camelCase")]
    struct Stream {
        endpoint: String,
        connected: bool,
        #[serde(skip_serializing_if = "Option::is_none")]
        newest: Option<i64>,
        #[serde(skip_serializing_if = "Option::is_none")]
        lag_seconds: Option<u64>,
    }
    #[derive(Serialize)]
    struct Repos {
        followed: u64,
        hosted: u64,
        proven: u64,
        waiting: u64,
    }
    #[derive(Serialize)]
    struct Records {
        valid: u64,
        marked: u64,
        quarantined: u64,
    }
    let (fingerprint, records) = app
        .read(|index| {
            let FingerprintOf { fingerprint, records, .. } = index.fingerprint_of(&Scope::Whole)?;
            Ok((fingerprint, records))
        })
        .await?;
    let now = app.clock.now();
    let status = Status::of(&app.engine, now);
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a share, and an age")]
    let whole = |number: f64| number.max(0.0) as u64;
    let streams = status.streams.into_iter().map(|stream| Stream {
        endpoint: stream.endpoint,
        connected: stream.connected,
        newest: stream.newest,
        lag_seconds: stream.lag_seconds.map(whole),
    });
    let VerdictCounts { valid, marked, quarantined } = records;
    Json::of(&Answer {
        generated_at: Datetime::from_unix_micros(now.cast_signed()),
        version: env!("CARGO_PKG_VERSION"),
        streams: streams.collect(),
        repos: Repos {
            followed: status.repos.followed,
            hosted: status.repos.hosted,
            proven: status.repos.proven,
            waiting: status.repos.waiting,
        },
        proven_share: whole(status.proven_share * 1e6),
        oldest_proof_age_seconds: status.oldest_proof_age_seconds,
        records: Records { valid, marked, quarantined },
        fingerprint: fingerprint.to_string(),
    })
}

/// `dev.cocore.appview.getFingerprint`
pub(super) async fn get_fingerprint(
    State(app): State<Arc<App>>,
    parameters: Parameters,
) -> Result<Json, XrpcError> {
    let collection: Option<Nsid> = parameters.parsed("collection")?;
    let repo: Option<Did> = parameters.parsed("repo")?;
    let by = parameters.text("by").map(str::to_owned);
    let (limit, cursor) = parameters.part(Limit::default())?;
    let scope = match (collection, repo, &by) {
        (None, None, _) => Scope::Whole,
        (Some(collection), None, None) => Scope::Collection(collection),
        (None, Some(repo), None) => Scope::Repo(repo),
        _ => return Err(XrpcError::parameter("by", "collection, repo and by exclude each other")),
    };
    // What is not kept up to date is added up from every record: one at a time, so that others are answered meanwhile.
    let is_added_up = matches!(scope, Scope::Repo(_)) || by.as_deref() == Some("repo");
    let alone = if is_added_up { Some(app.add_up()?) } else { None };
    app.read(move |index| {
        let _alone = alone;
        let FingerprintOf { fingerprint, records, .. } = index.fingerprint_of(&scope)?;
        let mut answer = Answer {
            fingerprint: fingerprint.to_string(),
            records: records.total(),
            parts: None,
            cursor: None,
        };
        match by.as_deref() {
            None => {}
            Some("collection") => answer.add(index.fingerprints_by_collection(limit, cursor.as_ref())?),
            Some("repo") => answer.add(index.fingerprints_by_repo(limit, cursor.as_ref())?),
            Some(_) => return Err(XrpcError::parameter("by", "expected collection or repo")),
        }
        Json::of(&answer)
    })
    .await
}

/// A fingerprint and its parts.
#[derive(Serialize)]
struct Answer {
    fingerprint: String,
    records: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    parts: Option<Vec<Part>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    cursor: Option<PageCursor>,
}

#[derive(Serialize)]
struct Part {
    of: String,
    fingerprint: String,
    records: u64,
}

impl Answer {
    fn add<T: Display>(&mut self, page: Page<FingerprintOf<T>>) {
        let part = |part: FingerprintOf<T>| Part {
            of: part.of.to_string(),
            fingerprint: part.fingerprint.to_string(),
            records: part.records.total(),
        };
        self.parts = Some(page.items.into_iter().map(part).collect());
        self.cursor = page.cursor;
    }
}

#[cfg(test)]
#[expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "tests")]
mod tests {
    use serde_json::Value;

    use super::*;

    fn endpoint(did: &str, public_url: Option<&str>) -> Option<String> {
        let access = Access {
            service_did: Some(did.parse().unwrap()),
            public_url: public_url.map(|url| url.parse().unwrap()),
            ..Access::default()
        };
        let document: Value = serde_json::from_str(&document(&access)?).unwrap();
        assert_eq!(document["id"], did);
        document["service"][0]["serviceEndpoint"].as_str().map(str::to_owned)
    }

    #[test]
    fn a_did_web_is_served_where_it_says_or_where_the_operator_does() {
        let at = |did, url| endpoint(did, url).unwrap();
        assert_eq!(at("did:web:appview.example", None), "https://appview.example");
        assert_eq!(at("did:web:localhost%3A8080", None), "https://localhost:8080");
        assert_eq!(at("did:web:example.com:apps:view", None), "https://example.com/apps/view");
        assert_eq!(at("did:web:appview.example", Some("https://other.example")), "https://other.example");
        assert_eq!(endpoint("did:plc:2772a7bv57z4lhimh7z466vo", Some("https://other.example")), None);
        assert_eq!(document(&Access::default()), None);
    }
}
