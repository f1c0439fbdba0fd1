//! What is answered to people about what is theirs, and to machines in their name.
//!
//! Requests that tell who asks enter; JSON leaves, and no cache keeps it. A person comes by a token of their PDS, a machine by an API key,
//! the console beside us by the internal secret, which has a listener of its own. Deliberately absent: how any of them is
//! believed ([`crate::auth`]), and where it is kept ([`crate::account`]).

mod agent;
mod body;
mod bridge;
mod browser;
mod console;
mod data;
mod inference;
mod internal;
mod keys;
mod pairing;
mod publish;

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use appview_core::index::Index;
use appview_core::source::clock::Clock;
use appview_core::source::directory::Directory;
use appview_core::syntax::Did;
use axum::Router;
use axum::extract::Request;
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::middleware::{Next, from_fn, from_fn_with_state};
use axum::response::{IntoResponse as _, Response};
use tokio::sync::Semaphore;

use super::XrpcError;
use super::front::{Allowance, Callers, Peer};
use crate::account::{AccountError, AccountStore, ApiKey};
use crate::auth::internal::InternalSecret;
use crate::auth::rates::Rates;
use crate::auth::service::ServiceAuth;
use crate::auth::{Denied, bearer};
use crate::config::Access;
use crate::publish::Publisher;
use crate::wipe::Wiper;

/// Pairings that one address may begin in five minutes.
const PAIRINGS: u32 = 20;
/// Sign-ins that one address may begin in five minutes: each has servers asked that the address names.
const SIGN_INS: u32 = 30;
/// Codes that one person may type in ten minutes.
const CODES: u32 = 20;
const TEN_MINUTES: u64 = 600_000_000;
/// How many people are remembered for that.
const TYPISTS: usize = 10_000;
/// Bug reports that are received at once: each is in memory for that long.
const REPORTS: usize = 2;
/// Exports that are written at once: each has a thread for as long as it is read.
const EXPORTS: usize = 8;

/// What an operator chose for accounts.
#[derive(Debug)]
pub struct Terms {
    /// What is kept.
    pub store: AccountStore,
    /// Who publishes with people's sessions; none where there are none.
    pub publisher: Option<Publisher>,
    /// Who carries out what people wish for all that is theirs.
    pub wiper: Wiper,
    /// Who tells where people's repositories are; none where files stand in for the network.
    pub directory: Option<Directory>,
    /// Who believes tokens.
    pub service: ServiceAuth,
    /// What the console shares with us, if there is one.
    pub internal: Option<InternalSecret>,
    /// What is known of machines.
    pub index: Index,
    /// What time it is.
    pub clock: Clock,
    /// Where people approve a device, as the beginning of a URL.
    pub console: String,
    /// Where a device is to use its key.
    pub api_base: String,
}

/// What every handler has; cheap to clone.
#[derive(Debug, Clone)]
pub struct Accounts(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    terms: Terms,
    callers: Callers,
    pairings: Option<Allowance>,
    sign_ins: Option<Allowance>,
    codes: Rates<Did>,
    reports: Semaphore,
    exports: Arc<Semaphore>,
}

impl Accounts {
    /// Answers on these terms; `access` tells whose addresses are limited.
    #[must_use]
    pub fn new(terms: Terms, access: &Access) -> Self {
        Self(Arc::new(Inner {
            terms,
            callers: Callers { spared: access.spare.clone(), proxies: access.proxy.clone() },
            pairings: Allowance::new(PAIRINGS),
            sign_ins: Allowance::new(SIGN_INS),
            codes: Rates::new(CODES, TEN_MINUTES, TYPISTS),
            reports: Semaphore::new(REPORTS),
            exports: Arc::new(Semaphore::new(EXPORTS)),
        }))
    }

    /// What is kept.
    #[must_use]
    pub fn store(&self) -> &AccountStore {
        &self.0.terms.store
    }

    /// Who publishes, if there are sessions.
    #[must_use]
    pub fn publishing(&self) -> Option<&Publisher> {
        self.0.terms.publisher.as_ref()
    }

    /// Who carries out what people wish for all that is theirs.
    #[must_use]
    pub fn wiper(&self) -> &Wiper {
        &self.0.terms.wiper
    }

    /// Takes one of what an address may do.
    fn take(
        &self,
        allowance: Option<&Allowance>,
        peer: Option<Peer>,
        headers: &HeaderMap,
    ) -> Result<(), XrpcError> {
        let caller = peer.and_then(|peer| self.0.callers.asking(peer, headers));
        let Some((allowance, caller)) = allowance.zip(caller) else { return Ok(()) };
        let since_start = Duration::from_micros(self.now());
        allowance.take(caller, since_start).map(drop).map_err(XrpcError::rate_limited)
    }

    /// Microseconds since the Unix epoch.
    fn now(&self) -> u64 {
        self.0.terms.clock.now()
    }

    /// The person whose PDS signed the request's token for this method.
    async fn person(&self, headers: &HeaderMap, method: &str) -> Result<Did, XrpcError> {
        let token = token(headers).ok_or_else(|| Denied::required("a service-auth token"))?;
        Ok(self.0.terms.service.verify(&token, method).await?)
    }

    /// The API key of the request. One answer for whatever is not a good one.
    async fn key(&self, headers: &HeaderMap) -> Result<ApiKey, XrpcError> {
        let denied = || Denied::required("an API key of this service");
        let (token, now) = (token(headers).ok_or_else(denied)?, self.now());
        let key = self.store().run(move |store| store.key(&token, now)).await?;
        Ok(key.ok_or_else(denied)?)
    }

    /// Whether the request has the internal secret.
    fn is_internal(&self, headers: &HeaderMap) -> bool {
        let claimed = headers.get(crate::auth::internal::HEADER);
        let secret = self.0.terms.internal.as_ref();
        claimed.zip(secret).is_some_and(|(claimed, secret)| secret.is(claimed.as_bytes()))
    }
}

/// Every path that people and their machines ask.
pub(super) fn routes<S: Clone + Send + Sync + 'static>(accounts: Accounts) -> Router<S> {
    let routes = Router::new()
        .merge(keys::routes())
        .merge(pairing::routes())
        .merge(agent::routes())
        .merge(publish::routes())
        .merge(browser::routes())
        .merge(data::routes());
    routes.layer(from_fn(private)).with_state(accounts)
}

/// The paths of what this service leaves to others.
pub(super) fn left_to_others<S: Clone + Send + Sync + 'static>() -> Router<S> {
    inference::routes()
}

/// Every path that the console asks, on a listener of its own. Without a secret there is none.
pub fn internal_routes(accounts: Accounts) -> Router {
    let admit = async |accounts: axum::extract::State<Accounts>, request: Request, next: Next| {
        if accounts.is_internal(request.headers()) {
            next.run(request).await
        } else {
            forbidden().into_response()
        }
    };
    let routes = internal::routes().merge(console::routes());
    let routes = routes.layer(from_fn_with_state(accounts.clone(), admit));
    // The bridge has the same secret stand elsewhere.
    let routes = routes.merge(bridge::routes()).fallback(super::error::not_found);
    routes.layer(from_fn(private)).with_state(accounts)
}

/// Has no cache keep an answer.
async fn private(request: Request, next: Next) -> Response {
    let mut response = next.run(request).await;
    response.headers_mut().insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}

fn token(headers: &HeaderMap) -> Option<crate::secret::Secret<String>> {
    bearer(headers.get(header::AUTHORIZATION)?.to_str().ok()?)
}

fn forbidden() -> XrpcError {
    XrpcError::new(StatusCode::FORBIDDEN, "Forbidden", "this is for the console of this service".to_owned())
}

/// The request says something that cannot be done.
fn invalid(message: impl fmt::Display) -> XrpcError {
    XrpcError::new(StatusCode::BAD_REQUEST, "InvalidRequest", message.to_string())
}

async fn use_get() -> XrpcError {
    wrong_verb("this is a query: use GET")
}

async fn use_post() -> XrpcError {
    wrong_verb("this is a procedure: use POST")
}

fn wrong_verb(message: &str) -> XrpcError {
    XrpcError::new(StatusCode::METHOD_NOT_ALLOWED, "MethodNotAllowed", message.to_owned())
}

impl From<Denied> for XrpcError {
    fn from(Denied { name, message }: Denied) -> Self {
        Self::new(StatusCode::UNAUTHORIZED, name, message)
    }
}

impl From<AccountError> for XrpcError {
    fn from(error: AccountError) -> Self {
        match &error {
            AccountError::TooMany { .. } => {
                Self::new(StatusCode::TOO_MANY_REQUESTS, "TooManyRequests", error.to_string())
            }
            AccountError::SessionsOff => {
                let message = "sign-in is off here: its operator has given no session key".to_owned();
                Self::new(StatusCode::SERVICE_UNAVAILABLE, "SessionsUnavailable", message)
            }
            _ => Self::internal(&error),
        }
    }
}
