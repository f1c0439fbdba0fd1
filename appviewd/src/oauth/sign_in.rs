//! Signing in: to the account's own server, and back from it.
//!
//! Whom somebody says to be enters, and a URL for their browser leaves; what their browser brings back enters, and they are signed in. In
//! between nothing is believed that the way could have changed: what comes back must name what was begun in that browser, within ten
//! minutes, once; the server that was asked; and the account that was meant, whose own server must be that one. Tokens that fail any
//! of it are given up at once. Deliberately absent: cookies.
//!
//! Follows [AT Protocol OAuth, identity authentication](https://atproto.com/specs/oauth#identity-authentication).

use std::str::FromStr;
use std::sync::Arc;

use appview_core::source::handle;
use appview_core::source::wire::Url;
use appview_core::sync::Freshness;
use appview_core::syntax::{AtIdentifier, Did, Handle};
use serde::{Deserialize, Serialize};
use serde_json::Value as Json;

use super::OAuth;
use super::client::{Credentials, scope};
use super::discover::{Server, issuer_of, server, server_of};
use super::error::{DiscoverError, GrantError, ServerError, SignInError};
use super::key::{KeyError, PrivateJwk, Sealable, SigningKey, sha256};
use super::token::{Grant, Tokens};
use crate::account::{AccountError, Action, Actor, Entry};
use crate::secret::{NoRandomness, Secret};

/// How long a browser stays signed in, in microseconds.
pub(crate) const BROWSER_LASTS: u64 = 30 * 24 * 60 * 60 * 1_000_000;

/// Whom somebody says to be, or where their account is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Start {
    /// A handle or a DID.
    Account(AtIdentifier),
    /// The origin of a PDS, or of an authorization server. Who it is is found out there.
    Host(String),
}

impl FromStr for Start {
    type Err = SignInError;

    fn from_str(text: &str) -> Result<Self, SignInError> {
        let text = text.trim();
        if text.starts_with("https://") || text.starts_with("http://") {
            let url = Url::parse(text).map_err(|_| SignInError::Nobody)?;
            let is_origin = url.path() == "/" && url.query().is_none() && url.fragment().is_none();
            return if is_origin && url.username().is_empty() && url.password().is_none() {
                Ok(Self::Host(url.origin().ascii_serialization()))
            } else {
                Err(SignInError::Nobody)
            };
        }
        let text = text.strip_prefix("at://").unwrap_or(text);
        let text = text.strip_prefix('@').unwrap_or(text);
        let text = if text.starts_with("did:") { text.to_owned() } else { text.to_ascii_lowercase() };
        text.parse().map(Self::Account).map_err(|_| SignInError::Nobody)
    }
}

/// A sign-in that has begun.
#[derive(Debug)]
pub struct Begun {
    /// Where the browser has to go.
    pub url: String,
    /// What its cookie must hold when it comes back.
    pub browser: Secret<String>,
}

/// What a browser brings back.
#[derive(Debug, Default)]
pub struct Callback {
    /// What was sent along.
    pub state: Option<Secret<String>>,
    /// Which server answers.
    pub issuer: Option<String>,
    /// What tokens are had for.
    pub code: Option<Secret<String>>,
    /// Why there is none.
    pub error: Option<String>,
}

/// A sign-in that has ended well.
#[derive(Debug)]
pub struct Finished {
    /// Who signed in.
    pub did: Did,
    /// What the browser's cookie is to hold from here on.
    pub browser: Secret<String>,
    /// Until when, in microseconds since the Unix epoch.
    pub until: u64,
    /// Where the browser was to go afterwards.
    pub return_to: String,
}

#[derive(Serialize)]
struct Keeping<'a> {
    issuer: &'a str,
    did: Option<&'a Did>,
    verifier: &'a str,
    key: Sealable,
    client_id: &'a str,
    kid: Option<&'a str>,
    redirect_uri: &'a str,
    return_to: &'a str,
}

/// What was kept of a sign-in that began.
#[derive(Deserialize)]
struct Kept {
    issuer: String,
    did: Option<Did>,
    verifier: Secret<String>,
    key: PrivateJwk,
    client_id: String,
    kid: Option<String>,
    redirect_uri: String,
    return_to: String,
}

impl From<KeyError> for SignInError {
    fn from(_: KeyError) -> Self {
        // Only the system's own failing leads here: what is sealed is ours.
        Self::NoRandomness(NoRandomness)
    }
}

impl OAuth {
    /// Begins a sign-in. `return_to` is a path of ours.
    ///
    /// # Errors
    ///
    /// [`SignInError`].
    pub async fn begin_sign_in(&self, start: &Start, return_to: &str) -> Result<Begun, SignInError> {
        let own =
            self.0.clients.own.as_ref().filter(|_| self.0.store.has_sessions()).ok_or(SignInError::Off)?;
        let (did, server) = self.find(start).await?;
        let (credentials, redirect_uri) = (own.credentials(), own.redirect_uri());
        let key = SigningKey::generate()?;
        let random = || Secret::<[u8; 32]>::random().map(|secret| secret.to_base64url());
        let (state, verifier, browser) = (random()?, random()?, random()?);
        let hint = match start {
            Start::Account(account) => Some(account.as_str()),
            Start::Host(_) => None,
        };
        let form = || {
            let mut form = credentials.form(&server.issuer, self.teller().seconds())?;
            form.extend([
                ("response_type", "code".to_owned()),
                ("redirect_uri", redirect_uri.clone()),
                ("scope", scope()),
                ("state", state.expose().clone()),
                ("code_challenge", sha256(verifier.expose())),
                ("code_challenge_method", "S256".to_owned()),
            ]);
            form.extend(hint.map(|hint| ("login_hint", hint.to_owned())));
            Ok(form)
        };
        let pushed: Json = self.teller().post::<SignInError>(&server.pushed, &key, form).await?;
        let malformed = |expected| ServerError::Malformed { url: server.pushed.clone(), expected };
        let request =
            pushed.get("request_uri").and_then(Json::as_str).ok_or_else(|| malformed("a request_uri"))?;
        let mut url = Url::parse(&server.authorization).map_err(|_| malformed("the url of a page"))?;
        url.query_pairs_mut()
            .append_pair("client_id", &credentials.client_id)
            .append_pair("request_uri", request);
        let kept = Keeping {
            issuer: &server.issuer,
            did: did.as_ref(),
            verifier: verifier.expose(),
            key: key.sealable()?,
            client_id: &credentials.client_id,
            kid: credentials.key.as_ref().map(|key| key.kid()),
            redirect_uri: &redirect_uri,
            return_to,
        };
        let kept = Secret::new(serde_json::to_vec(&kept).map_err(|_| KeyError)?);
        let (browser_too, now) = (browser.clone(), self.now());
        let begin = move |store: &crate::account::AccountStore| {
            store.begin_sign_in(&state, &browser_too, kept.expose(), now)
        };
        self.0.store.run(begin).await?;
        Ok(Begun { url: url.into(), browser })
    }

    /// Ends a sign-in that began in the browser whose cookie holds `browser`.
    ///
    /// # Errors
    ///
    /// [`SignInError`]. Whatever it is, what was begun is over, and no token is left.
    pub async fn finish_sign_in(
        &self,
        callback: Callback,
        browser: Option<Secret<String>>,
    ) -> Result<Finished, SignInError> {
        let Callback { state, issuer, code, error } = callback;
        let (state, browser) = state.zip(browser).ok_or(SignInError::Unknown)?;
        let now = self.now();
        let take = move |store: &crate::account::AccountStore| store.take_sign_in(&state, &browser, now);
        let taken: Option<Secret<Vec<u8>>> = self.0.store.run::<_, AccountError>(take).await?;
        let taken = taken.ok_or(SignInError::Unknown)?;
        let kept: Kept = serde_json::from_slice(taken.expose()).map_err(|_| SignInError::Unknown)?;
        if issuer.as_deref() != Some(&kept.issuer) {
            return Err(SignInError::MixedUp);
        }
        if let Some(name) = error {
            let name = name.chars().filter(|char| char.is_ascii_graphic()).take(100).collect();
            return Err(SignInError::Refused { name });
        }
        let code = code.ok_or(SignInError::Unknown)?;
        let this = self.clone();
        // From here on there are tokens, which must not be lost on the way to their seal.
        match self.to_its_end(async move { this.exchange(kept, code).await }).await {
            Some(finished) => finished,
            None => Err(SignInError::Account(AccountError::Ended)),
        }
    }

    async fn exchange(&self, kept: Kept, code: Secret<String>) -> Result<Finished, SignInError> {
        let Kept { issuer, did: expected, verifier, key, client_id, kid, redirect_uri, return_to } = kept;
        let key = Arc::new(SigningKey::from_jwk(&key)?);
        let credentials = self.0.clients.credentials(&client_id, kid.as_deref()).ok_or(SignInError::Off)?;
        let server = server(&self.0.http, &issuer, None).await?;
        let form = || {
            let mut form = credentials.form(&issuer, self.teller().seconds())?;
            form.extend([
                ("grant_type", "authorization_code".to_owned()),
                ("code", code.expose().clone()),
                ("redirect_uri", redirect_uri.clone()),
                ("code_verifier", verifier.expose().clone()),
            ]);
            Ok(form)
        };
        let asked_at = self.now();
        let answer = self.teller().post::<SignInError>(&server.token, &key, form).await?;
        let malformed = || ServerError::Malformed { url: server.token.clone(), expected: "tokens" };
        let grant = Grant::read(answer).ok_or_else(malformed)?;
        let (did, pds) = match self.judge(&grant, &issuer, expected.as_ref()).await {
            Ok(judged) => judged,
            Err(error) => {
                self.give_up(&server, &credentials, &key, &grant).await;
                return Err(error);
            }
        };
        let tokens = Tokens {
            did: did.clone(),
            issuer,
            pds,
            client_id,
            kid,
            key,
            scope: grant.scope().to_owned(),
            expires_at: grant.expires_at(asked_at),
            access: grant.access_token.clone(),
            refresh: grant.refresh_token.clone(),
        };
        match self.keep(tokens, return_to).await {
            Ok(finished) => Ok(finished),
            Err((tokens, error)) => {
                self.give_up(&server, &credentials, &tokens.key, &grant).await;
                Err(error)
            }
        }
    }

    /// Whose session it is and where their PDS is, if it is one of the account that was meant, by that account's own server.
    async fn judge(
        &self,
        grant: &Grant,
        issuer: &str,
        expected: Option<&Did>,
    ) -> Result<(Did, String), SignInError> {
        let did = grant.subject()?;
        if let Some(expected) = expected.filter(|expected| **expected != did) {
            return Err(GrantError::OtherAccount { expected: expected.clone(), found: did }.into());
        }
        let identity = self.0.directory.resolve(&did, Freshness::Fresh).await?;
        let pds = identity.pds().ok_or_else(|| GrantError::NoPds { did: did.clone() })?.to_owned();
        match issuer_of(&self.0.http, &pds).await? {
            own if own == issuer => Ok((did, pds)),
            expected => Err(GrantError::OtherIssuer { did, expected, found: issuer.to_owned() }.into()),
        }
    }

    async fn keep(&self, tokens: Tokens, return_to: String) -> Result<Finished, (Tokens, SignInError)> {
        let _held = self.hold(&tokens.did).await;
        let bytes = match tokens.to_bytes() {
            Ok(bytes) => bytes,
            Err(error) => return Err((tokens, error.into())),
        };
        let (did, now) = (tokens.did.clone(), self.now());
        let until = now.saturating_add(BROWSER_LASTS);
        let write = move |store: &crate::account::AccountStore| {
            fail::fail_point!("oauth::before-session");
            store.begin_session(&did, bytes.expose(), now)?;
            store.note(&did, &Entry::new(now, Action::SignedIn, Actor::Browser))?;
            Ok(Finished { browser: store.sign_browser_in(&did, until, now)?, did, until, return_to })
        };
        let kept: Result<Finished, AccountError> = self.0.store.run(write).await;
        // One that was replaced is to be given up.
        self.tell_ended();
        kept.map_err(|error| (tokens, error.into()))
    }

    /// Who somebody says to be, if that is told, and the server that knows them.
    async fn find(&self, start: &Start) -> Result<(Option<Did>, Server), SignInError> {
        let http = &self.0.http;
        let (did, handle) = match start {
            Start::Account(AtIdentifier::Did(did)) => (did.clone(), None),
            Start::Account(AtIdentifier::Handle(handle)) => {
                (handle::resolve(http, handle).await?, Some(handle))
            }
            Start::Host(origin) => {
                return match server_of(http, origin).await {
                    // It may be the server itself, in front of its PDSes.
                    Err(DiscoverError::Answer { found, .. }) if found == "404" => {
                        Ok((None, server(http, origin, None).await?))
                    }
                    found => Ok((None, found?)),
                };
            }
        };
        let identity = self.0.directory.resolve(&did, Freshness::Fresh).await?;
        if let Some(handle) = handle.filter(|handle| !is_called(identity.handle(), handle)) {
            return Err(SignInError::OtherHandle { handle: handle.clone(), did });
        }
        let pds = identity.pds().ok_or_else(|| GrantError::NoPds { did: did.clone() })?;
        let server = server_of(http, pds).await?;
        Ok((Some(did), server))
    }

    /// Gives up what was granted and is not taken.
    async fn give_up(&self, server: &Server, credentials: &Credentials, key: &SigningKey, grant: &Grant) {
        let token = grant.refresh_token.as_ref().unwrap_or(&grant.access_token);
        if let Err(error) = self.revoke_at(server, credentials, key, token).await {
            tracing::warn!(%error, issuer = server.issuer, "a session that was not taken could not be given up");
        }
    }
}

/// Handles are equal whatever their case.
fn is_called(own: Option<&Handle>, handle: &Handle) -> bool {
    own.is_some_and(|own| own.as_str().eq_ignore_ascii_case(handle.as_str()))
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;

    #[test]
    fn people_are_told_from_hosts() {
        let start = |text: &str| text.parse::<Start>().ok();
        let account = |text: &str| Some(Start::Account(text.parse().unwrap()));
        assert_eq!(start(" @Ada.Example.com "), account("ada.example.com"));
        assert_eq!(start("at://ada.example.com"), account("ada.example.com"));
        assert_eq!(start("did:plc:aaaaaaaaaaaaaaaaaaaaaaaa"), account("did:plc:aaaaaaaaaaaaaaaaaaaaaaaa"));
        assert_eq!(
            start("https://pds.example.com/"),
            Some(Start::Host("https://pds.example.com".to_owned()))
        );
        for nobody in
            ["", "ada", "https://pds.example.com/x", "https://me@pds.example.com", "ftp://a.b", "did:"]
        {
            assert_eq!(start(nobody), None, "{nobody}");
        }
    }
}
