//! Tokens: as a server gives them, and as they are sealed.
//!
//! The answer of a token endpoint enters; [`Tokens`] leave, if they are a session of AT Protocol, bound to our key. The same go into
//! the account store as bytes and come back. Deliberately absent: asking for them, and who the account's server is.

use std::fmt;
use std::sync::Arc;

use appview_core::syntax::Did;
use serde::{Deserialize, Serialize};
use serde_json::Value as Json;

use super::error::GrantError;
use super::key::{KeyError, PrivateJwk, Sealable, SigningKey};
use crate::secret::Secret;

/// How long tokens are taken to be good whose server does not say, in seconds.
const UNSAID: u64 = 5 * 60;
/// Longest time that is believed.
const LONGEST: u64 = 24 * 60 * 60;

/// A session's tokens, and all that is needed to use them.
#[derive(Clone)]
pub struct Tokens {
    /// Whose.
    pub did: Did,
    /// Who gave them.
    pub issuer: String,
    /// Where they may be used: the account's PDS.
    pub pds: String,
    /// The client that they are bound to.
    pub client_id: String,
    /// And its key, if it has any.
    pub kid: Option<String>,
    /// The key that every use has to be proven with.
    pub key: Arc<SigningKey>,
    /// What may be done with them.
    pub scope: String,
    /// The token that is used.
    pub access: Secret<String>,
    /// The token by which others are had, once.
    pub refresh: Option<Secret<String>>,
    /// When `access` is over, in microseconds since the Unix epoch.
    pub expires_at: u64,
}

impl fmt::Debug for Tokens {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Tokens({} of {})", self.did, self.issuer)
    }
}

/// What a token endpoint answers, as far as it can be read. It must be given up if it is not taken.
#[derive(Deserialize)]
pub(super) struct Grant {
    pub(super) access_token: Secret<String>,
    token_type: String,
    pub(super) refresh_token: Option<Secret<String>>,
    expires_in: Option<u64>,
    scope: Option<String>,
    sub: Option<String>,
}

impl Grant {
    pub(super) fn read(json: Json) -> Option<Self> {
        serde_json::from_value(json).ok()
    }

    /// Whose session it is, if it is one.
    pub(super) fn subject(&self) -> Result<Did, GrantError> {
        if !self.token_type.eq_ignore_ascii_case("dpop") {
            return Err(GrantError::NotBound);
        }
        if !self.scope().split(' ').any(|scope| scope == "atproto") {
            return Err(GrantError::Scope);
        }
        let did = self.sub.as_deref().and_then(|sub| sub.parse::<Did>().ok());
        did.filter(is_account).ok_or(GrantError::Subject)
    }

    pub(super) fn scope(&self) -> &str {
        self.scope.as_deref().unwrap_or_default()
    }

    /// When the access token is over, given when it was asked for, both in microseconds since the Unix epoch.
    pub(super) fn expires_at(&self, asked_at: u64) -> u64 {
        let seconds = self.expires_in.unwrap_or(UNSAID).min(LONGEST);
        asked_at.saturating_add(seconds.saturating_mul(1_000_000))
    }
}

/// Whether a DID is of a kind that accounts have.
pub(super) fn is_account(did: &Did) -> bool {
    did.as_str().starts_with("did:plc:") || did.as_str().starts_with("did:web:")
}

#[derive(Serialize)]
struct Sealed<'a> {
    did: &'a str,
    issuer: &'a str,
    pds: &'a str,
    client_id: &'a str,
    kid: Option<&'a str>,
    key: Sealable,
    scope: &'a str,
    access: &'a str,
    refresh: Option<&'a str>,
    expires_at: u64,
}

#[derive(Deserialize)]
struct Opened {
    did: Did,
    issuer: String,
    pds: String,
    client_id: String,
    kid: Option<String>,
    key: PrivateJwk,
    scope: String,
    access: Secret<String>,
    refresh: Option<Secret<String>>,
    expires_at: u64,
}

impl Tokens {
    /// The bytes that are sealed.
    ///
    /// # Errors
    ///
    /// [`KeyError`], if the key does not let itself be written.
    pub fn to_bytes(&self) -> Result<Secret<Vec<u8>>, KeyError> {
        let sealed = Sealed {
            did: self.did.as_str(),
            issuer: &self.issuer,
            pds: &self.pds,
            client_id: &self.client_id,
            kid: self.kid.as_deref(),
            key: self.key.sealable()?,
            scope: &self.scope,
            access: self.access.expose(),
            refresh: self.refresh.as_ref().map(|token| token.expose().as_str()),
            expires_at: self.expires_at,
        };
        // Long enough not to be moved, which would leave a copy behind.
        let mut bytes = Vec::with_capacity(64 << 10);
        serde_json::to_writer(&mut bytes, &sealed).map_err(|_| KeyError)?;
        Ok(Secret::new(bytes))
    }

    /// What was sealed.
    ///
    /// # Errors
    ///
    /// [`KeyError`] for other bytes.
    pub fn from_bytes(bytes: &Secret<Vec<u8>>) -> Result<Self, KeyError> {
        let opened: Opened = serde_json::from_slice(bytes.expose()).map_err(|_| KeyError)?;
        let Opened { did, issuer, pds, client_id, kid, key, scope, access, refresh, expires_at } = opened;
        let key = Arc::new(SigningKey::from_jwk(&key)?);
        Ok(Self { did, issuer, pds, client_id, kid, key, scope, access, refresh, expires_at })
    }

    /// The same session with what a refresh brought; the refresh token is the former one where none came.
    pub(super) fn renewed(&self, grant: Grant, asked_at: u64) -> Self {
        let expires_at = grant.expires_at(asked_at);
        let scope = grant.scope().to_owned();
        let Grant { access_token: access, refresh_token, .. } = grant;
        let refresh = refresh_token.or_else(|| self.refresh.clone());
        Self { access, refresh, expires_at, scope, ..self.clone() }
    }
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "tests")]
mod tests {
    use serde_json::json;

    use super::*;

    fn tokens() -> Tokens {
        Tokens {
            did: "did:plc:aaaaaaaaaaaaaaaaaaaaaaaa".parse().unwrap(),
            issuer: "https://as.example.com".to_owned(),
            pds: "https://pds.example.com".to_owned(),
            client_id: "https://appview.example/oauth/client-metadata.json".to_owned(),
            kid: Some("k1".to_owned()),
            key: Arc::new(SigningKey::generate().unwrap()),
            scope: "atproto".to_owned(),
            access: Secret::new("access \" token".to_owned()),
            refresh: Some(Secret::new("refresh".to_owned())),
            expires_at: 5,
        }
    }

    #[test]
    fn what_is_sealed_comes_back() {
        let tokens = tokens();
        let again = Tokens::from_bytes(&tokens.to_bytes().unwrap()).unwrap();
        assert!(again.access.is(tokens.access.expose()) && again.refresh.unwrap().is("refresh"));
        assert_eq!(again.key.thumbprint(), tokens.key.thumbprint());
        assert_eq!((again.did, again.pds, again.kid), (tokens.did, tokens.pds, tokens.kid));
        assert!(!format!("{:?}", tokens.access).contains("token\""));
    }

    #[test]
    fn a_grant_is_taken_if_it_is_a_session_of_an_account() {
        let grant = |change: (&str, Json)| {
            let mut json = json!({"access_token": "a", "token_type": "DPoP", "refresh_token": "r", "expires_in": 60,
                "scope": "atproto repo:dev.cocore.compute.job", "sub": "did:web:a.example.com"});
            json.as_object_mut().unwrap().insert(change.0.to_owned(), change.1);
            Grant::read(json).map(|grant| grant.subject())
        };
        assert!(grant(("ok", json!(1))).unwrap().is_ok());
        assert_eq!(grant(("token_type", json!("Bearer"))).unwrap(), Err(GrantError::NotBound));
        assert_eq!(grant(("scope", json!("atprotoo"))).unwrap(), Err(GrantError::Scope));
        assert_eq!(grant(("scope", Json::Null)).unwrap(), Err(GrantError::Scope));
        for sub in [json!("did:key:abc"), json!("ada.example.com"), Json::Null] {
            assert_eq!(grant(("sub", sub)).unwrap(), Err(GrantError::Subject));
        }
        assert!(grant(("scope", json!(7))).is_none(), "what cannot be read is no grant, and no panic");
        assert!(grant(("access_token", Json::Null)).is_none());
    }
}
