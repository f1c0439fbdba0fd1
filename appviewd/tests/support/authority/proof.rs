//! Proofs of possession, checked as a server should.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, reason = "tests")]
#![allow(dead_code, unreachable_pub, reason = "each test binary uses a part")]

use aws_lc_rs::signature::{ECDSA_P256_SHA256_FIXED, UnparsedPublicKey};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Value as Json, json};

use super::{Authority, Fault};

/// The thumbprint of a proof's key.
#[derive(Clone)]
pub(super) struct Key(pub(super) String);

/// The claims of a proof whose signature holds, and its key.
pub(super) fn claims(proof: &str) -> (Json, String) {
    let (message, signature) = proof.rsplit_once('.').unwrap();
    let part = |text: &str| URL_SAFE_NO_PAD.decode(text).unwrap();
    let (head, body) = message.split_once('.').unwrap();
    let [head, body]: [Json; 2] = [head, body].map(|text| serde_json::from_slice(&part(text)).unwrap());
    assert_eq!((&head["typ"], &head["alg"]), (&json!("dpop+jwt"), &json!("ES256")));
    let jwk = &head["jwk"];
    assert_eq!(jwk.get("d"), None, "a private key was sent");
    let point = [vec![4], part(jwk["x"].as_str().unwrap()), part(jwk["y"].as_str().unwrap())].concat();
    UnparsedPublicKey::new(&ECDSA_P256_SHA256_FIXED, &point)
        .verify(message.as_bytes(), &part(signature))
        .expect("the proof is signed by its key");
    (body, URL_SAFE_NO_PAD.encode(point))
}

impl Authority {
    pub(super) fn nonce(&self) -> String {
        if self.is(Fault::NonceEachCall) || self.is(Fault::NonceNever) {
            self.state().nonces += 1;
        }
        format!("nonce-{}", self.state().nonces)
    }

    /// Refuses a request whose proof is not one for it.
    pub(super) fn refuse(
        &self,
        parts: &axum::http::request::Parts,
        proof: Option<&(Json, String)>,
        token: Option<&str>,
    ) -> Option<Response> {
        let is_resource = parts.uri.path().starts_with("/xrpc/");
        let Some((claims, _)) = proof else {
            return Some(refusal(is_resource, 401, "invalid_dpop_proof", None));
        };
        assert_eq!(claims["htm"], parts.method.as_str());
        assert_eq!(claims["htu"], format!("{}{}", self.url(), parts.uri.path()));
        let ath = token.map(|token| {
            let hash = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, token.as_bytes());
            URL_SAFE_NO_PAD.encode(hash)
        });
        assert_eq!(
            claims.get("ath").and_then(Json::as_str),
            ath.as_deref(),
            "a hash of the token, and only of it"
        );
        let jti = claims["jti"].as_str().unwrap().to_owned();
        assert!(self.state().jtis.insert(jti), "a proof is sent once");
        let expected = format!("nonce-{}", self.state().nonces);
        if self.is(Fault::NonceNever) || claims.get("nonce").and_then(Json::as_str) != Some(&expected) {
            let nonce = if self.is(Fault::NonceNever) { self.nonce() } else { expected };
            return Some(refusal(
                is_resource,
                if is_resource { 401 } else { 400 },
                "use_dpop_nonce",
                Some(nonce),
            ));
        }
        None
    }
}

pub(super) fn refusal(is_resource: bool, status: u16, name: &str, nonce: Option<String>) -> Response {
    let mut headers = HeaderMap::new();
    headers.insert(header::CONTENT_TYPE, "application/json".parse().unwrap());
    if let Some(nonce) = nonce {
        headers.insert("dpop-nonce", nonce.parse().unwrap());
    }
    if is_resource {
        let challenge = format!("DPoP algs=\"ES256\", error=\"{name}\", error_description=\"no\"");
        headers.insert(header::WWW_AUTHENTICATE, challenge.parse().unwrap());
    }
    let body = json!({"error": name, "error_description": "no", "message": "no"}).to_string();
    (StatusCode::from_u16(status).unwrap(), headers, body).into_response()
}
