//! P-256 keys that sign small JSON: for the proofs that bind a session to this process, and for the client itself.
//!
//! Claims enter; a signed JWT leaves. A key enters and leaves as a JWK, whole to be sealed, or its public half to be shown.
//! Deliberately absent: verifying, which is the other side's.
//!
//! Follows [RFC 7515](https://www.rfc-editor.org/rfc/rfc7515), [RFC 7517](https://www.rfc-editor.org/rfc/rfc7517) and
//! [RFC 7638](https://www.rfc-editor.org/rfc/rfc7638), of which ES256 is all that AT Protocol asks for.

use std::fmt;

use aws_lc_rs::digest::{SHA256, digest};
use aws_lc_rs::encoding::AsBigEndian as _;
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair as _};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::{Deserialize, Serialize};
use serde_json::{Value as Json, json};

use crate::secret::{NoRandomness, Secret};

/// A text that is no private key of ours.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("expected a private JWK with kty EC and crv P-256")]
pub struct KeyError;

/// A private key on the curve P-256.
pub struct SigningKey {
    pair: EcdsaKeyPair,
    x: String,
    y: String,
    thumbprint: String,
    kid: Option<String>,
}

/// A private JWK as it is written. What else it says is nobody's business here.
#[derive(Deserialize)]
pub struct PrivateJwk {
    kty: String,
    crv: String,
    x: String,
    y: String,
    d: Secret<String>,
    kid: Option<String>,
}

/// The same on its way to a seal.
#[derive(Serialize)]
pub(crate) struct Sealable {
    kty: &'static str,
    crv: &'static str,
    x: String,
    y: String,
    d: String,
    kid: Option<String>,
}

impl SigningKey {
    /// Makes a key that nobody else has.
    ///
    /// # Errors
    ///
    /// [`NoRandomness`].
    pub fn generate() -> Result<Self, NoRandomness> {
        let pair = EcdsaKeyPair::generate(&ECDSA_P256_SHA256_FIXED_SIGNING).map_err(|_| NoRandomness)?;
        Self::of(pair, None).map_err(|KeyError| NoRandomness)
    }

    /// The key that a JWK holds.
    ///
    /// # Errors
    ///
    /// [`KeyError`], also if its halves do not belong together.
    pub fn from_jwk(jwk: &PrivateJwk) -> Result<Self, KeyError> {
        let PrivateJwk { kty, crv, x, y, d, kid } = jwk;
        if (kty.as_str(), crv.as_str()) != ("EC", "P-256") {
            return Err(KeyError);
        }
        let part = |text: &str| URL_SAFE_NO_PAD.decode(text).map_err(|_| KeyError);
        let public = [vec![4], part(x)?, part(y)?].concat();
        let private = Secret::new(part(d.expose())?);
        let pair = EcdsaKeyPair::from_private_key_and_public_key(
            &ECDSA_P256_SHA256_FIXED_SIGNING,
            private.expose(),
            &public,
        );
        Self::of(pair.map_err(|_| KeyError)?, kid.clone())
    }

    fn of(pair: EcdsaKeyPair, kid: Option<String>) -> Result<Self, KeyError> {
        let (x, y) = match pair.public_key().as_ref().split_first() {
            Some((4, point)) if point.len() == 64 => point.split_at(32),
            _ => return Err(KeyError),
        };
        let (x, y) = (URL_SAFE_NO_PAD.encode(x), URL_SAFE_NO_PAD.encode(y));
        // The members that make it a key, in the order of their names.
        let members = format!(r#"{{"crv":"P-256","kty":"EC","x":"{x}","y":"{y}"}}"#);
        let thumbprint = URL_SAFE_NO_PAD.encode(digest(&SHA256, members.as_bytes()));
        Ok(Self { pair, x, y, thumbprint, kid })
    }

    /// A name that no other key has.
    #[must_use]
    pub fn thumbprint(&self) -> &str {
        &self.thumbprint
    }

    /// What it is called: by its JWK, or else by its thumbprint.
    #[must_use]
    pub fn kid(&self) -> &str {
        self.kid.as_deref().unwrap_or(&self.thumbprint)
    }

    /// The public half.
    #[must_use]
    pub fn public_jwk(&self) -> Json {
        json!({"kty": "EC", "crv": "P-256", "x": self.x, "y": self.y})
    }

    /// All of it, to be sealed.
    pub(crate) fn sealable(&self) -> Result<Sealable, KeyError> {
        let private = self.pair.private_key().as_be_bytes().map_err(|_| KeyError)?;
        let d = URL_SAFE_NO_PAD.encode(private.as_ref());
        Ok(Sealable {
            kty: "EC",
            crv: "P-256",
            x: self.x.clone(),
            y: self.y.clone(),
            d,
            kid: self.kid.clone(),
        })
    }

    /// A JWT with these members, signed. `alg` is added to the header.
    ///
    /// # Errors
    ///
    /// [`NoRandomness`].
    pub fn sign(&self, mut header: Json, claims: &Json) -> Result<String, NoRandomness> {
        if let Some(header) = header.as_object_mut() {
            header.insert("alg".to_owned(), "ES256".into());
        }
        let part = |json: &Json| URL_SAFE_NO_PAD.encode(json.to_string());
        let message = format!("{}.{}", part(&header), part(claims));
        let signed = self.pair.sign(&SystemRandom::new(), message.as_bytes()).map_err(|_| NoRandomness)?;
        Ok(format!("{message}.{}", URL_SAFE_NO_PAD.encode(signed)))
    }
}

impl fmt::Debug for SigningKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SigningKey({})", self.kid())
    }
}

/// So many bytes that nobody can guess, as text.
pub(super) fn nonce() -> Result<String, NoRandomness> {
    Ok(URL_SAFE_NO_PAD.encode(Secret::<[u8; 16]>::random()?.expose()))
}

/// SHA-256, as text.
pub(super) fn sha256(text: &str) -> String {
    URL_SAFE_NO_PAD.encode(digest(&SHA256, text.as_bytes()))
}

#[cfg(test)]
#[expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "tests")]
mod tests {
    use aws_lc_rs::signature::{ECDSA_P256_SHA256_FIXED, UnparsedPublicKey};

    use super::*;

    #[test]
    fn a_key_is_the_same_after_it_was_sealed() {
        let key = SigningKey::generate().unwrap();
        let text = serde_json::to_string(&key.sealable().unwrap()).unwrap();
        let again = SigningKey::from_jwk(&serde_json::from_str(&text).unwrap()).unwrap();
        assert_eq!((again.thumbprint(), again.public_jwk()), (key.thumbprint(), key.public_jwk()));
        let other = SigningKey::generate().unwrap();
        let mut mixed: Json = serde_json::from_str(&text).unwrap();
        mixed["x"] = other.public_jwk()["x"].clone();
        mixed["y"] = other.public_jwk()["y"].clone();
        assert!(SigningKey::from_jwk(&serde_json::from_value(mixed).unwrap()).is_err(), "halves of two keys");
    }

    /// From RFC 7638, section 3.1, but for the kind of key, which its example does not have: computed apart from us.
    #[test]
    fn a_thumbprint_is_that_of_the_members_in_order() {
        let jwk = json!({"kty": "EC", "crv": "P-256", "kid": "k1",
            "x": "f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU",
            "y": "x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a0",
            "d": "jpsQnnGQmL-YBIffH1136cspYG6-0iY7X1fCE9-E9LI"});
        let key = SigningKey::from_jwk(&serde_json::from_value(jwk).unwrap()).unwrap();
        assert_eq!(key.kid(), "k1");
        assert_eq!(key.thumbprint(), "oKIywvGUpTVTyxMQ3bwIIeQUudfr_CkLMjCE19ECD-U");
    }

    #[test]
    fn what_is_signed_can_be_verified_and_says_what_it_said() {
        let key = SigningKey::generate().unwrap();
        let jwt = key.sign(json!({"typ": "dpop+jwt"}), &json!({"htm": "POST"})).unwrap();
        let (message, signature) = jwt.rsplit_once('.').unwrap();
        let part = |name: &str| URL_SAFE_NO_PAD.decode(key.public_jwk()[name].as_str().unwrap()).unwrap();
        let point = [vec![4], part("x"), part("y")].concat();
        let signature = URL_SAFE_NO_PAD.decode(signature).unwrap();
        assert_eq!(signature.len(), 64);
        UnparsedPublicKey::new(&ECDSA_P256_SHA256_FIXED, point)
            .verify(message.as_bytes(), &signature)
            .unwrap();
        let parts = message.split('.').map(|part| URL_SAFE_NO_PAD.decode(part).unwrap());
        let parts: Vec<Json> = parts.map(|part| serde_json::from_slice(&part).unwrap()).collect();
        assert_eq!(parts, [json!({"typ": "dpop+jwt", "alg": "ES256"}), json!({"htm": "POST"})]);
    }
}
