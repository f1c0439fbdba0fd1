//! Giving tokens up: telling the server that gave them, and again later where it could not be told.
//!
//! Sessions that have ended enter by the account store, which has their tokens sealed; nothing leaves but that they are gone. A
//! server's answer of any kind of success is enough, since none of them proves more; one that has no place for it cannot be told.
//! Deliberately absent: ending the session, which comes first and does not depend on any server.
//!
//! Follows [RFC 7009](https://www.rfc-editor.org/rfc/rfc7009).

use std::time::Duration;

use appview_core::syntax::Did;

use super::OAuth;
use super::client::Credentials;
use super::discover::{Server, server};
use super::error::{ServerError, SessionError};
use super::key::SigningKey;
use super::token::Tokens;
use crate::account::{AccountError, AccountStore, Action, Actor, Entry, Revocation};
use crate::secret::Secret;

/// How often it is looked whether there is something to revoke.
const PACE: Duration = Duration::from_secs(60);

/// What signing out everywhere has ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SignedOut {
    /// Whether there was a session.
    pub session: bool,
    /// API keys that were good.
    pub keys: usize,
    /// Browsers that were signed in.
    pub browsers: usize,
}

impl OAuth {
    /// Ends all that lets anyone act for a person here: their session, their API keys, their browsers. When this returns they are gone;
    /// the server is told as well, now or as soon as it can be.
    ///
    /// # Errors
    ///
    /// The store cannot be written; what was not ended stays.
    pub async fn sign_out_everywhere(&self, did: &Did, actor: Actor) -> Result<SignedOut, AccountError> {
        let ended = {
            // Whoever is renewing the session ends first, so that there is one token to be given up.
            let _held = self.hold(did).await;
            let (did, now) = (did.clone(), self.now());
            let end = move |store: &AccountStore| -> Result<SignedOut, AccountError> {
                let session = store.end_session(&did, now)?;
                let keys = store.revoke_keys(&did, actor.clone(), now)?;
                let browsers = store.sign_browsers_out(&did)?;
                store.note(&did, &Entry::new(now, Action::SignedOut, actor))?;
                // What may still be read there is sealed.
                if let Err(error) = store.clear_log() {
                    tracing::debug!(%error, "the log of the account store is cleared later");
                }
                Ok(SignedOut { session, keys, browsers })
            };
            self.0.store.run(end).await?
        };
        self.tell_ended();
        Ok(ended)
    }

    /// Tells servers what is to be forgotten, for as long as it is polled. What is told meanwhile may be told again.
    pub async fn revoke(&self) {
        let mut ended = self.0.ended.subscribe();
        loop {
            self.revoke_due().await;
            tokio::select! {
                _ = ended.changed() => {}
                () = tokio::time::sleep(PACE) => {}
            }
        }
    }

    /// Tells servers what is due to be forgotten by now.
    pub async fn revoke_due(&self) {
        let now = self.now();
        let due = self.0.store.run(move |store| store.due_revocations(now)).await;
        let due: Vec<Revocation> = due.unwrap_or_else(|error: AccountError| {
            if !matches!(error, AccountError::SessionsOff) {
                tracing::error!(%error, "revocations cannot be read");
            }
            Vec::new()
        });
        for revocation in due {
            let told = self.tell(&revocation.tokens).await;
            if let Err(error) = &told {
                tracing::info!(%error, attempts = revocation.attempts, "a session cannot be given up yet");
            }
            let now = self.now();
            let write = move |store: &AccountStore| match told {
                Ok(()) => store.revoked(revocation.id),
                Err(_) => store.put_off_revocation(&revocation, now),
            };
            if let Err(error) = self.0.store.run::<(), AccountError>(write).await {
                tracing::error!(%error, "a revocation cannot be written");
                return;
            }
        }
    }

    /// Wakes whoever revokes: a session has been ended in the store.
    pub fn tell_ended(&self) {
        self.0.ended.send_modify(|count| *count = count.wrapping_add(1));
    }

    async fn tell(&self, bytes: &Secret<Vec<u8>>) -> Result<(), SessionError> {
        let tokens = Tokens::from_bytes(bytes)?;
        let credentials = self.0.clients.credentials(&tokens.client_id, tokens.kid.as_deref());
        let Tokens { did, client_id, issuer, key, access, refresh, .. } = tokens;
        let credentials = credentials.ok_or(SessionError::Client { did, client_id })?;
        let server = server(&self.0.http, &issuer, None).await?;
        self.revoke_at(&server, &credentials, &key, refresh.as_ref().unwrap_or(&access)).await
    }

    /// Asks a server to forget a token, and all that hangs on it.
    pub(super) async fn revoke_at(
        &self,
        server: &Server,
        credentials: &Credentials,
        key: &SigningKey,
        token: &Secret<String>,
    ) -> Result<(), SessionError> {
        let Some(url) = &server.revocation else { return Ok(()) };
        let form = || {
            let mut form = credentials.form(&server.issuer, self.teller().seconds())?;
            form.push(("token", token.expose().clone()));
            Ok(form)
        };
        match self.teller().post::<SessionError>(url, key, form).await {
            // A success whose body is no JSON is one all the same.
            Ok(_) | Err(SessionError::Server(ServerError::Malformed { .. })) => Ok(()),
            Err(error) => Err(error),
        }
    }

    /// Gives up a token that could not be kept: at once, or as soon as it can be.
    pub(super) async fn abandon(
        &self,
        server: &Server,
        credentials: &Credentials,
        tokens: &Tokens,
        token: &Secret<String>,
    ) {
        let Err(error) = self.revoke_at(server, credentials, &tokens.key, token).await else { return };
        tracing::warn!(%error, "a session that could not be kept is given up later");
        let given = Tokens { refresh: Some(token.clone()), ..tokens.clone() };
        let (did, now) = (given.did.clone(), self.now());
        let Ok(bytes) = given.to_bytes() else { return };
        let queue = move |store: &AccountStore| store.queue_revocation(&did, bytes.expose(), now).map(drop);
        if let Err(error) = self.0.store.run::<(), AccountError>(queue).await {
            tracing::error!(%error, "a session that could not be kept could not be queued to be given up");
        }
    }
}
