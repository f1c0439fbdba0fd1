//! One request to an authorization server: a form with a proof, sent again once if the server wants another nonce.
//!
//! A form enters; the server's JSON leaves, or its refusal by name. Nothing that is sent is ever logged. Deliberately absent: what is
//! asked for.

use appview_core::limits;
use appview_core::source::clock::Clock;
use appview_core::source::http::{Heard, Http};
use appview_core::source::turns::Urgency;
use appview_core::source::wire::{Bytes, HeaderMap, HeaderValue, Method, Said, Url};
use serde_json::Value as Json;

use super::client::encode;
use super::dpop::{Nonces, Part, Place, proof};
use super::error::ServerError;
use super::key::SigningKey;
use crate::secret::{NoRandomness, Secret};

/// Characters of what a server says to people that are kept.
const TOLD: usize = 200;

/// What every request needs.
#[derive(Debug, Clone, Copy)]
pub(super) struct Teller<'a> {
    pub(super) http: &'a Http,
    pub(super) clock: &'a Clock,
    pub(super) nonces: &'a Nonces,
}

impl Teller<'_> {
    pub(super) fn seconds(&self) -> u64 {
        self.clock.now() / 1_000_000
    }

    /// Posts a form; gives what is answered with 200 or 201, and nothing if that has no body.
    ///
    /// `form` is made anew for each try, because what is in it is good once.
    pub(super) async fn post<E>(
        &self,
        url: &str,
        key: &SigningKey,
        form: impl Fn() -> Result<Vec<(&'static str, String)>, NoRandomness>,
    ) -> Result<Json, E>
    where
        E: From<ServerError> + From<NoRandomness>,
    {
        let malformed = |expected| ServerError::Malformed { url: url.to_owned(), expected };
        let parsed = Url::parse(url).map_err(|_| malformed("a url"))?;
        let place = Place::new(key, Part::Authorization, &parsed);
        let mut nonce = self.nonces.get(&place);
        let mut is_first = true;
        loop {
            let proof = proof(key, (&Method::POST, &parsed), nonce.as_deref(), None, self.seconds())?;
            let said = said(&form()?, &proof);
            let question = self.http.with(Urgency::Live).stranger(url).await.map_err(ServerError::from)?;
            let heard = question.say(said, limits::DID_DOCUMENT_BYTES).await.map_err(ServerError::from)?;
            let newer = self.nonces.heard(&place, nonce.as_deref(), &heard.headers);
            match answer(url, &heard) {
                Err(ServerError::Refused { name, .. })
                    if name == "use_dpop_nonce" && is_first && newer.is_some() =>
                {
                    (nonce, is_first) = (newer, false);
                }
                answer => return Ok(answer?),
            }
        }
    }
}

fn said(form: &[(&'static str, String)], proof: &str) -> Said {
    let pairs = form.iter().map(|(name, value)| format!("{name}={}", encode(value)));
    let body = Secret::new(pairs.collect::<Vec<_>>().join("&"));
    let mut headers = HeaderMap::new();
    let kind = HeaderValue::from_static("application/x-www-form-urlencoded");
    headers.insert("content-type", kind);
    headers.insert("accept", HeaderValue::from_static("application/json"));
    // Base64url and dots.
    if let Ok(proof) = HeaderValue::from_str(proof) {
        headers.insert("dpop", proof);
    }
    Said { method: Method::POST, headers, body: Bytes::copy_from_slice(body.expose().as_bytes()) }
}

/// What an answer says.
fn answer(url: &str, heard: &Heard) -> Result<Json, ServerError> {
    let json: Option<Json> = serde_json::from_slice(&heard.body).ok();
    if matches!(heard.status, 200..=299) {
        return match json {
            Some(json) => Ok(json),
            None if heard.body.is_empty() => Ok(Json::Null),
            None => Err(ServerError::Malformed { url: url.to_owned(), expected: "json" }),
        };
    }
    let told = |member: &str| -> Option<String> {
        let text = json.as_ref()?.get(member)?.as_str()?;
        Some(text.chars().filter(|char| !char.is_control()).take(TOLD).collect())
    };
    Err(match told("error") {
        Some(name) => ServerError::Refused {
            url: url.to_owned(),
            status: heard.status,
            name,
            description: told("error_description"),
        },
        None => ServerError::Status { url: url.to_owned(), status: heard.status },
    })
}
