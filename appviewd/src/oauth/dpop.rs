//! Proofs that a request comes from whoever holds a session's key, and the nonces that servers want in them.
//!
//! A key and a request enter; a proof leaves, for that request alone. A server's latest nonce is kept for each session, part and
//! origin, in memory: whoever has none pays a round trip. Deliberately absent: sending.
//!
//! Follows [RFC 9449](https://www.rfc-editor.org/rfc/rfc9449) and [AT Protocol OAuth, DPoP](https://atproto.com/specs/oauth#demonstrating-proof-of-possession-dpop).

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use appview_core::source::wire::{HeaderMap, Method, Url};
use serde_json::json;

use super::key::{SigningKey, nonce, sha256};
use crate::secret::{NoRandomness, Secret};

/// Nonces that are kept. Beyond it all are forgotten, which costs each session a round trip.
const KEPT: usize = 10_000;
/// Longest nonce, in bytes.
const LONGEST: usize = 1_024;

/// Which part a server plays, each with nonces of its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum Part {
    /// It gives tokens.
    Authorization,
    /// It takes them.
    Resource,
}

/// Whose nonce: of a session, by its key, at a server in one part.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) struct Place {
    session: String,
    part: Part,
    origin: String,
}

impl Place {
    pub(super) fn new(key: &SigningKey, part: Part, url: &Url) -> Self {
        let origin = url.origin().ascii_serialization();
        Self { session: key.thumbprint().to_owned(), part, origin }
    }
}

/// The latest nonce of each place.
#[derive(Debug, Default)]
pub(super) struct Nonces(Mutex<HashMap<Place, String>>);

impl Nonces {
    pub(super) fn get(&self, place: &Place) -> Option<String> {
        self.kept().get(place).cloned()
    }

    /// Keeps the nonce that an answer brings; gives it if it is another than was sent.
    pub(super) fn heard(&self, place: &Place, sent: Option<&str>, headers: &HeaderMap) -> Option<String> {
        let brought = headers.get("dpop-nonce")?.to_str().ok()?;
        if brought.is_empty() || brought.len() > LONGEST || sent == Some(brought) {
            return None;
        }
        let mut kept = self.kept();
        if kept.len() >= KEPT && !kept.contains_key(place) {
            kept.clear();
        }
        kept.insert(place.clone(), brought.to_owned());
        Some(brought.to_owned())
    }

    fn kept(&self) -> MutexGuard<'_, HashMap<Place, String>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A proof for one request at a moment in seconds since the Unix epoch; with the access token that it goes with, if any.
pub(super) fn proof(
    key: &SigningKey,
    (method, url): (&Method, &Url),
    server_nonce: Option<&str>,
    token: Option<&Secret<String>>,
    now: u64,
) -> Result<String, NoRandomness> {
    let mut bare = url.clone();
    bare.set_query(None);
    bare.set_fragment(None);
    let mut claims = json!({"jti": nonce()?, "htm": method.as_str(), "htu": bare.as_str(), "iat": now});
    if let Some(claims) = claims.as_object_mut() {
        claims.extend(server_nonce.map(|nonce| ("nonce".to_owned(), nonce.into())));
        claims.extend(token.map(|token| ("ath".to_owned(), sha256(token.expose()).into())));
    }
    key.sign(json!({"typ": "dpop+jwt", "jwk": key.public_jwk()}), &claims)
}

#[cfg(test)]
#[expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "tests")]
mod tests {
    use base64::Engine as _;
    use base64::engine::general_purpose::URL_SAFE_NO_PAD;
    use serde_json::Value as Json;

    use super::*;

    fn claims(proof: &str) -> Json {
        let part = proof.split('.').nth(1).unwrap();
        serde_json::from_slice(&URL_SAFE_NO_PAD.decode(part).unwrap()).unwrap()
    }

    #[test]
    fn a_proof_is_for_one_request_without_its_query() {
        let key = SigningKey::generate().unwrap();
        let url = Url::parse("https://pds.example.com/xrpc/a.b.c?d=e#f").unwrap();
        let token = Secret::new("token".to_owned());
        let made = || proof(&key, (&Method::GET, &url), Some("n"), Some(&token), 7).unwrap();
        let [one, two] = [claims(&made()), claims(&made())];
        assert_eq!(one["htu"], "https://pds.example.com/xrpc/a.b.c");
        assert_eq!((&one["htm"], &one["nonce"], &one["iat"]), (&json!("GET"), &json!("n"), &json!(7)));
        assert_eq!(one["ath"], "PEaenWxYddN6Q_NT1PiOYfz4EsZu7jRXRlpAsNpBU-A");
        assert_ne!(one["jti"], two["jti"]);
        let bare = claims(&proof(&key, (&Method::POST, &url), None, None, 7).unwrap());
        assert!(bare.get("ath").is_none() && bare.get("nonce").is_none());
    }

    #[test]
    fn a_nonce_is_kept_for_its_session_part_and_origin() {
        let nonces = Nonces::default();
        let [ada, boris] = [(); 2].map(|()| SigningKey::generate().unwrap());
        let url = |text: &str| Url::parse(text).unwrap();
        let place = Place::new(&ada, Part::Authorization, &url("https://a.example.com/token"));
        let headers = HeaderMap::from_iter([("dpop-nonce".parse().unwrap(), "one".parse().unwrap())]);
        assert_eq!(nonces.heard(&place, None, &headers).as_deref(), Some("one"));
        assert_eq!(
            nonces.heard(&place, Some("one"), &headers),
            None,
            "nothing is gained by sending it again"
        );
        let same = Place::new(&ada, Part::Authorization, &url("https://a.example.com/par"));
        assert_eq!(nonces.get(&same).as_deref(), Some("one"));
        for other in [
            Place::new(&boris, Part::Authorization, &url("https://a.example.com/token")),
            Place::new(&ada, Part::Resource, &url("https://a.example.com/token")),
            Place::new(&ada, Part::Authorization, &url("https://b.example.com/token")),
        ] {
            assert_eq!(nonces.get(&other), None);
        }
    }
}
