//! Using a session, and renewing it first where it is over.
//!
//! A [`Use`] enters; the PDS's answer leaves. A refresh token is good once, so that whoever spends it must not be interrupted, must be
//! alone, and must write down that it is being spent before it is: one task for each DID, which no client's leaving ends. Whether a
//! server took a token whose answer was lost cannot be known; it is offered again with the next use, and either it was not
//! taken, or the session is over whatever we do. Tokens go to the account's own PDS and its own server, looked up anew before they are
//! spent, and nowhere else. Deliberately absent: who may ask for it.

use appview_core::limits;
use appview_core::source::http::{Heard, HttpError};
use appview_core::source::turns::Urgency;
use appview_core::source::wire::{Bytes, HeaderMap, HeaderValue, Said, Url};
use appview_core::sync::Freshness;
use appview_core::syntax::Did;

use super::OAuth;
use super::allowed::{Call, Use};
use super::client::Credentials;
use super::discover::{issuer_of, server};
use super::dpop::{Part, Place, proof};
use super::error::{GrantError, ServerError, SessionError};
use super::key::KeyError;
use super::token::{Grant, Tokens};
use crate::account::{
    AccountError, AccountStore, Action, Actor, Entry, Generation, Session, SessionKind, SessionState,
};
use crate::secret::{NoRandomness, Secret};

/// How long before its end a token is renewed, in microseconds: longer than a request takes.
const MARGIN: u64 = 30 * 1_000_000;

/// What is told of a session without touching it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SessionInfo {
    /// There is one, at this PDS.
    Present {
        /// The PDS.
        pds: String,
    },
    /// There is none, or it is over.
    Absent,
}

/// A session's tokens as they stand.
struct Held {
    tokens: Tokens,
    generation: Generation,
    /// Whether the refresh token was sent and nobody knows what became of it.
    is_in_doubt: bool,
}

/// Which tokens will do.
#[derive(Debug, Clone, Copy)]
enum Wanted {
    /// Those that are not over.
    Current,
    /// Those after this writing, which the PDS refused.
    After(Generation),
}

impl From<KeyError> for SessionError {
    fn from(_: KeyError) -> Self {
        Self::NoRandomness(NoRandomness)
    }
}

impl OAuth {
    /// Uses a person's session, and notes it for them before.
    ///
    /// # Errors
    ///
    /// [`SessionError`]. What a PDS answers is none, whatever its status.
    pub async fn carry_out(&self, did: &Did, what: &Use, actor: &Actor) -> Result<Heard, SessionError> {
        let held = self.tokens(did, Wanted::Current).await?;
        let ((action, subject), owner, actor) = (what.told(did), did.clone(), actor.clone());
        let entry = Entry::new(self.now(), action, actor).to(subject);
        self.0.store.run(move |store| store.note(&owner, &entry)).await?;
        let call = what.call(did);
        let heard = self.send(&held.tokens, &call).await?;
        if heard.status != 401 || !says(&heard, "invalid_token") {
            return Ok(heard);
        }
        // Refused, so that nothing was done yet.
        let held = self.tokens(did, Wanted::After(held.generation)).await?;
        self.send(&held.tokens, &call).await
    }

    /// What is known of a person's session.
    ///
    /// # Errors
    ///
    /// The store cannot be read, or the session does not open: then nothing is known.
    pub async fn session_info(&self, did: &Did) -> Result<SessionInfo, SessionError> {
        let owner = did.clone();
        let session = self.0.store.run(move |store| store.session(&owner)).await?;
        Ok(match session.map(|session| session.state) {
            Some(SessionState::Ready(bytes) | SessionState::Refreshing(bytes)) => {
                SessionInfo::Present { pds: Tokens::from_bytes(&bytes)?.pds }
            }
            Some(SessionState::NeedsSignIn) | None => SessionInfo::Absent,
        })
    }

    /// Goes on with whatever was being renewed when the process ended.
    pub async fn resume(&self) {
        let found = self.0.store.run(|store| store.sessions(SessionKind::Refreshing)).await;
        for did in found.unwrap_or_else(|error: AccountError| {
            tracing::error!(%error, "sessions cannot be read");
            Vec::new()
        }) {
            if let Err(error) = self.tokens(&did, Wanted::Current).await {
                tracing::warn!(%error, "a session that was being renewed is not renewed yet");
            }
        }
    }

    /// Tokens that may be used, renewed if they must be.
    async fn tokens(&self, did: &Did, wanted: Wanted) -> Result<Held, SessionError> {
        let held = self.stored(did).await?;
        if held.will_do(wanted, self.now()) && self.is_at_home(&held.tokens).await? {
            return Ok(held);
        }
        let (this, owner) = (self.clone(), did.clone());
        let renewed = self.to_its_end(async move {
            let _held = this.hold(&owner).await;
            // Whoever was first may have renewed them.
            let held = this.stored(&owner).await?;
            if held.will_do(wanted, this.now()) && this.is_at_home(&held.tokens).await? {
                return Ok(held);
            }
            this.renew(held).await
        });
        renewed.await.unwrap_or(Err(SessionError::Ended))
    }

    async fn stored(&self, did: &Did) -> Result<Held, SessionError> {
        let owner = did.clone();
        let session: Option<Session> = self.0.store.run(move |store| store.session(&owner)).await?;
        let over = || SessionError::SignIn { did: did.clone() };
        let Session { generation, state, .. } = session.ok_or_else(over)?;
        let (bytes, is_in_doubt) = match state {
            SessionState::Ready(bytes) => (bytes, false),
            SessionState::Refreshing(bytes) => (bytes, true),
            SessionState::NeedsSignIn => return Err(over()),
        };
        Ok(Held { tokens: Tokens::from_bytes(&bytes)?, generation, is_in_doubt })
    }

    /// Whether the account is still where its tokens may be used.
    async fn is_at_home(&self, tokens: &Tokens) -> Result<bool, SessionError> {
        let identity = self.0.directory.resolve(&tokens.did, Freshness::Cached).await?;
        Ok(identity.pds() == Some(&tokens.pds))
    }

    /// Spends the refresh token. Only whoever holds the session may, and not be interrupted.
    async fn renew(&self, held: Held) -> Result<Held, SessionError> {
        let Held { tokens, generation, .. } = held;
        let did = tokens.did.clone();
        // Before anything is spent: to whom.
        let credentials = self.0.clients.credentials(&tokens.client_id, tokens.kid.as_deref());
        let credentials = credentials
            .ok_or_else(|| SessionError::Client { did: did.clone(), client_id: tokens.client_id.clone() })?;
        let Some(refresh) = tokens.refresh.clone() else { return self.lose(&tokens, generation).await };
        let identity = self.0.directory.resolve(&did, Freshness::Fresh).await?;
        let Some(pds) = identity.pds().map(str::to_owned) else {
            return self.lose(&tokens, generation).await;
        };
        if issuer_of(&self.0.http, &pds).await? != tokens.issuer {
            return self.lose(&tokens, generation).await;
        }
        let server = server(&self.0.http, &tokens.issuer, None).await?;
        fail::fail_point!("oauth::before-intent");
        let now = self.now();
        let owner = did.clone();
        let intended = self.0.store.run(move |store| store.intend_refresh(&owner, generation, now)).await;
        let generation = intended.map_err(|error| ended(&did, error))?;
        fail::fail_point!("oauth::after-intent");
        let answer = self.spend(&server.token, &tokens, &credentials, &refresh).await;
        fail::fail_point!("oauth::after-answer");
        let malformed = || ServerError::Malformed { url: server.token.clone(), expected: "tokens" };
        let grant = match answer {
            Ok(answer) => Grant::read(answer).ok_or_else(malformed)?,
            Err(SessionError::Server(error)) if error.is_invalid_grant() => {
                self.require_sign_in(&did, generation).await?;
                return Err(SessionError::SignIn { did });
            }
            // The next use offers the token again.
            Err(SessionError::Server(error)) if error.is_in_doubt() => return Err(error.into()),
            Err(error) => {
                // The server has not taken it: all is as before.
                self.keep_tokens(&tokens, generation).await?;
                return Err(error);
            }
        };
        let given = grant.refresh_token.clone().unwrap_or_else(|| grant.access_token.clone());
        if let Err(error) = Self::is_same(&grant, &did) {
            tracing::warn!(%error, "a server renewed a session as another one");
            self.abandon(&server, &credentials, &tokens, &given).await;
            self.require_sign_in(&did, generation).await?;
            return Err(SessionError::SignIn { did });
        }
        let tokens = Tokens { pds, ..tokens.renewed(grant, now) };
        match self.keep_tokens(&tokens, generation).await {
            Ok(generation) => {
                let entry = Entry::new(now, Action::Refreshed, Actor::Daemon);
                self.0.store.run(move |store| store.note(&did, &entry)).await?;
                Ok(Held { tokens, generation, is_in_doubt: false })
            }
            Err(error) => {
                // Signed out meanwhile, or the disk is full: what is kept nowhere must not stay good.
                self.abandon(&server, &credentials, &tokens, &given).await;
                Err(error)
            }
        }
    }

    async fn spend(
        &self,
        url: &str,
        tokens: &Tokens,
        credentials: &Credentials,
        refresh: &Secret<String>,
    ) -> Result<serde_json::Value, SessionError> {
        let form = || {
            let mut form = credentials.form(&tokens.issuer, self.teller().seconds())?;
            form.push(("grant_type", "refresh_token".to_owned()));
            form.push(("refresh_token", refresh.expose().clone()));
            Ok(form)
        };
        self.teller().post::<SessionError>(url, &tokens.key, form).await
    }

    fn is_same(grant: &Grant, did: &Did) -> Result<(), GrantError> {
        match grant.subject()? {
            found if found == *did => Ok(()),
            found => Err(GrantError::OtherAccount { expected: did.clone(), found }),
        }
    }

    async fn keep_tokens(&self, tokens: &Tokens, from: Generation) -> Result<Generation, SessionError> {
        let (did, bytes, now) = (tokens.did.clone(), tokens.to_bytes()?, self.now());
        let keep = move |store: &AccountStore| store.keep_tokens(&did, from, &bytes, now);
        self.0.store.run(keep).await.map_err(|error| ended(&tokens.did, error))
    }

    /// Gives up a session whose account has another server: it is not that server's any more.
    async fn lose(&self, tokens: &Tokens, generation: Generation) -> Result<Held, SessionError> {
        let (did, bytes, now) = (tokens.did.clone(), tokens.to_bytes()?, self.now());
        let queue = move |store: &AccountStore| store.queue_revocation(&did, bytes.expose(), now).map(drop);
        self.0.store.run(queue).await?;
        self.require_sign_in(&tokens.did, generation).await?;
        self.tell_ended();
        Err(SessionError::SignIn { did: tokens.did.clone() })
    }

    async fn require_sign_in(&self, did: &Did, from: Generation) -> Result<(), SessionError> {
        let (did, now) = (did.clone(), self.now());
        let erase = move |store: &AccountStore| {
            match store.require_sign_in(&did, from, now) {
                // Somebody else has given it other tokens, or ended it.
                Err(AccountError::Overtaken { .. }) => Ok(()),
                Err(error) => Err(error),
                Ok(_) => store.note(&did, &Entry::new(now, Action::Lost, Actor::Daemon)),
            }
        };
        Ok(self.0.store.run(erase).await?)
    }

    /// Sends a request to the account's PDS, again if that wants another nonce.
    async fn send(&self, tokens: &Tokens, call: &Call) -> Result<Heard, SessionError> {
        let Call { verb, path, body } = call;
        let url = format!("{}/xrpc/{path}", tokens.pds);
        let refused = |reason| HttpError::Refused { url: url.clone(), reason };
        let parsed = Url::parse(&url).map_err(|_| refused("not a url"))?;
        let place = Place::new(&tokens.key, Part::Resource, &parsed);
        let mut nonce = self.0.nonces.get(&place);
        let mut is_first = true;
        loop {
            let seconds = self.teller().seconds();
            let proof = proof(&tokens.key, (verb, &parsed), nonce.as_deref(), Some(&tokens.access), seconds)?;
            let mut headers = HeaderMap::new();
            headers.insert("accept", HeaderValue::from_static("application/json"));
            headers.insert("dpop", HeaderValue::from_str(&proof).map_err(|_| refused("no header"))?);
            let authorization = Secret::new(format!("DPoP {}", tokens.access.expose()));
            let mut authorization =
                HeaderValue::from_str(authorization.expose()).map_err(|_| refused("no header"))?;
            authorization.set_sensitive(true);
            headers.insert("authorization", authorization);
            let mut said = Said { method: verb.clone(), headers, body: Bytes::new() };
            if let Some(body) = body {
                said.headers.insert("content-type", HeaderValue::from_static("application/json"));
                said.body = Bytes::from(body.to_string());
            }
            let question = self.0.http.with(Urgency::Live).stranger(&url).await?;
            let heard = question.say(said, limits::XRPC_JSON_BYTES).await?;
            let newer = self.0.nonces.heard(&place, nonce.as_deref(), &heard.headers);
            if heard.status == 401 && says(&heard, "use_dpop_nonce") && is_first && newer.is_some() {
                (nonce, is_first) = (newer, false);
                continue;
            }
            return Ok(heard);
        }
    }
}

/// What was overtaken was ended by its owner.
fn ended(did: &Did, error: AccountError) -> SessionError {
    match error {
        AccountError::Overtaken { .. } => SessionError::SignIn { did: did.clone() },
        error => error.into(),
    }
}

impl Held {
    fn will_do(&self, wanted: Wanted, now: u64) -> bool {
        let is_newer = match wanted {
            Wanted::Current => true,
            Wanted::After(generation) => self.generation > generation,
        };
        is_newer && !self.is_in_doubt && self.tokens.expires_at > now.saturating_add(MARGIN)
    }
}

/// Whether a server refuses with this error: in its challenge, or in its body.
fn says(heard: &Heard, error: &str) -> bool {
    let challenge = heard.headers.get("www-authenticate").and_then(|value| value.to_str().ok());
    let is_challenged = challenge.is_some_and(|text| text.contains(&format!("error=\"{error}\"")));
    let body: Option<serde_json::Value> = serde_json::from_slice(&heard.body).ok();
    is_challenged || body.is_some_and(|body| body.get("error").and_then(|name| name.as_str()) == Some(error))
}
