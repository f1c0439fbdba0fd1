//! A console's session, handed over as it keeps them.
//!
//! A session blob enters, as the OAuth library of the existing console writes it; a session of ours leaves, unless ours is newer: its
//! tokens may have been renewed here since the blob was written, and a stale copy would end it. Nobody is asked: what is handed over is
//! tried when it is first used. Deliberately absent: who may hand over.

use std::sync::Arc;

use appview_core::syntax::Did;
use serde::Deserialize;

use super::OAuth;
use super::error::GrantError;
use super::key::{KeyError, PrivateJwk, SigningKey};
use super::token::Tokens;
use crate::account::{AccountError, AccountStore, Action, Actor, Entry, SessionState};
use crate::secret::{NoRandomness, Secret};

/// Why a session is not taken over.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum HandoverError {
    /// No console's client is known here.
    #[error("no console hands sessions over to this service: --console-client-id names its client")]
    Off,
    /// What was handed over is no session.
    #[error("data: {0}")]
    Malformed(String),
    /// It is bound to a key that is not here.
    #[error(
        "data: authMethod: expected a key of the console's client that this service has too, found {kid:?}"
    )]
    Key {
        /// The key's name.
        kid: String,
    },
    /// It is none of this account.
    #[error("data: tokenSet: {0}")]
    Grant(#[from] GrantError),
    /// The account store.
    #[error(transparent)]
    Account(#[from] AccountError),
}

/// A session as the console keeps it.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Blob {
    dpop_key: PrivateJwk,
    auth_method: AuthMethod,
    token_set: TokenSet,
}

#[derive(Deserialize)]
#[serde(tag = "method", rename_all = "snake_case")]
enum AuthMethod {
    None,
    PrivateKeyJwt { kid: String },
}

#[derive(Deserialize)]
struct TokenSet {
    iss: String,
    sub: Did,
    aud: String,
    scope: String,
    access_token: Secret<String>,
    refresh_token: Option<Secret<String>>,
    token_type: String,
    /// In milliseconds.
    expires_at: Option<f64>,
}

impl From<KeyError> for HandoverError {
    fn from(error: KeyError) -> Self {
        Self::Malformed(format!("dpopKey: {error}"))
    }
}

impl From<NoRandomness> for HandoverError {
    fn from(error: NoRandomness) -> Self {
        Self::Account(error.into())
    }
}

impl OAuth {
    /// Takes a session over, unless the one that is here is at least as new. Whether it was taken.
    ///
    /// # Errors
    ///
    /// [`HandoverError`].
    pub async fn take_over(&self, did: &Did, blob: &Secret<Vec<u8>>) -> Result<bool, HandoverError> {
        let tokens = self.read(did, blob)?;
        let _held = self.hold(did).await;
        let (did, now) = (did.clone(), self.now());
        let take = move |store: &AccountStore| -> Result<bool, HandoverError> {
            let bytes = tokens.to_bytes()?;
            match store.session(&did)?.map(|session| (session.generation, session.state)) {
                Some((generation, SessionState::Ready(held) | SessionState::Refreshing(held))) => {
                    let held = Tokens::from_bytes(&held)?;
                    if held.expires_at >= tokens.expires_at {
                        return Ok(false);
                    }
                    // Not given up: it may be an earlier state of the same session.
                    store.keep_tokens(&did, generation, &bytes, now)?;
                }
                Some((_, SessionState::NeedsSignIn)) | None => {
                    store.begin_session(&did, bytes.expose(), now)?;
                }
            }
            store.note(&did, &Entry::new(now, Action::HandedOver, Actor::Internal))?;
            Ok(true)
        };
        self.0.store.run(take).await
    }

    fn read(&self, did: &Did, blob: &Secret<Vec<u8>>) -> Result<Tokens, HandoverError> {
        let console = self.0.clients.console.as_ref().ok_or(HandoverError::Off)?;
        let malformed = |error: serde_json::Error| {
            // A parser's message may quote what it met.
            let (line, column) = (error.line(), error.column());
            HandoverError::Malformed(format!("expected a session at line {line} column {column}"))
        };
        let Blob { dpop_key, auth_method, token_set } =
            serde_json::from_slice(blob.expose()).map_err(malformed)?;
        let TokenSet { iss, sub, aud, scope, access_token, refresh_token, token_type, expires_at } =
            token_set;
        let wrong = |problem: &str| HandoverError::Malformed(format!("tokenSet: {problem}"));
        if sub != *did {
            return Err(GrantError::OtherAccount { expected: did.clone(), found: sub }.into());
        }
        if !token_type.eq_ignore_ascii_case("dpop") {
            return Err(GrantError::NotBound.into());
        }
        if !scope.split(' ').any(|scope| scope == "atproto") {
            return Err(GrantError::Scope.into());
        }
        let pds = aud.trim_end_matches('/').to_owned();
        for (url, problem) in [(&iss, "iss: expected an origin"), (&pds, "aud: expected a pds")] {
            self.0.http.may_ask(url).map_err(|_| wrong(problem))?;
        }
        let kid = match auth_method {
            AuthMethod::None => None,
            AuthMethod::PrivateKeyJwt { kid } => Some(kid),
        };
        if self.0.clients.credentials(console.id(), kid.as_deref()).is_none() {
            return Err(HandoverError::Key { kid: kid.unwrap_or_default() });
        }
        Ok(Tokens {
            did: sub,
            issuer: iss,
            pds,
            client_id: console.id().to_owned(),
            kid,
            key: Arc::new(SigningKey::from_jwk(&dpop_key)?),
            scope,
            access: access_token,
            refresh: refresh_token,
            expires_at: expires_at.map_or(0, micros),
        })
    }
}

/// Milliseconds as microseconds; a moment before 1970, or none at all, is 0.
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "a float casts to the nearest number there is"
)]
fn micros(millis: f64) -> u64 {
    (millis * 1_000.0) as u64
}
