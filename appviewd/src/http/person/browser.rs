//! People in browsers: signing in at their own server, and signing out here.
//!
//! A request or a link enters; an answer or a redirect leaves, with a cookie that no script can read and no other site can send. Whatever changes something
//! must come from a page of ours. Visitors get no cookie. Deliberately absent: pages, which are `page`'s.

use std::time::Duration;

use aws_lc_rs::hmac;
use axum::body::Body;
use axum::extract::State;
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse as _, Response};
use axum::routing::{get, post};
use axum::{Extension, Json, Router};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Value, json};

use super::{Accounts, body, invalid, use_get, use_post};
use crate::account::{Actor, Browser};
use crate::auth::Denied;
use crate::http::query::Parameters;
use crate::http::{Peer, XrpcError};
use crate::oauth::{
    Begun, CALLBACK_PATH, Callback, Finished, KEYS_PATH, METADATA_PATH, OwnClient, Place, SignInError,
    SignedOut, Start,
};
use crate::publish::Publisher;
use crate::secret::Secret;

/// Longest request to sign in, in bytes.
const FORM: usize = 8_192;
/// Longest path that a browser may go to afterwards, in bytes.
const LONGEST_PATH: usize = 1_024;
/// How long a person may take to approve.
const APPROVAL: Duration = Duration::from_secs(10 * 60);

/// What a cookie is for.
#[derive(Debug, Clone, Copy)]
enum Cookie {
    /// A browser that is signed in.
    SignedIn,
    /// A browser in which a sign-in has begun.
    SigningIn,
}

pub(super) fn routes() -> Router<Accounts> {
    Router::new()
        .route(METADATA_PATH, get(metadata).fallback(use_get))
        .route(KEYS_PATH, get(keys).fallback(use_get))
        .route(CALLBACK_PATH, get(callback).fallback(use_get))
        .route("/oauth/login", post(login).fallback(use_post))
        .route("/oauth/session", get(session).fallback(use_get))
        .route("/oauth/logout", post(logout).fallback(use_post))
        .route("/oauth/logout-everywhere", post(logout_everywhere).fallback(use_post))
}

async fn metadata(State(accounts): State<Accounts>) -> Result<Json<Value>, XrpcError> {
    let metadata = accounts.own()?.1.metadata();
    metadata
        .map(Json)
        .ok_or_else(|| XrpcError::not_found("a client for development tells who it is by its name"))
}

async fn keys(State(accounts): State<Accounts>) -> Result<Json<Value>, XrpcError> {
    Ok(Json(accounts.own()?.1.public_keys()))
}

/// Begins: members `account` (a handle, a DID, or the URL of a PDS) and `returnTo` (a path here).
async fn login(
    State(accounts): State<Accounts>,
    peer: Option<Extension<Peer>>,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, XrpcError> {
    let (_, own) = accounts.own()?;
    own.must_send(&headers)?;
    let said = body::object_of(body, FORM).await?;
    let peer = peer.map(|Extension(peer)| peer);
    let asking = Asking { peer, account: said.text("account"), return_to: said.text("returnTo") };
    let begun = accounts.begin_sign_in(&headers, asking).await?;
    let mut response = Json(json!({"url": begun.url})).into_response();
    own.remember(&mut response, &begun)?;
    Ok(response)
}

/// Ends, one way or another.
async fn callback(State(accounts): State<Accounts>, headers: HeaderMap, said: Parameters) -> Response {
    let ended = async {
        let (publisher, own) = accounts.own()?;
        let text = |name: &str| said.text(name).map(str::to_owned);
        let secret = |name: &str| text(name).map(Secret::new);
        let callback = Callback {
            state: secret("state"),
            issuer: text("iss"),
            code: secret("code"),
            error: text("error"),
        };
        let browser = own.cookie(&headers, Cookie::SigningIn);
        let finished = publisher.oauth().finish_sign_in(callback, browser).await?;
        let Finished { did, browser, until, return_to } = finished;
        accounts.wiper().welcome(&did).await?;
        // Whoever was signed in before in this browser is not any more.
        if let Some(before) = own.cookie(&headers, Cookie::SignedIn) {
            accounts.store().run(move |store| store.sign_browser_out(&before)).await?;
        }
        let mut response = see(&return_to)?;
        let lasts = Duration::from_micros(until.saturating_sub(accounts.now()));
        own.set(&mut response, Cookie::SignedIn, &browser, lasts)?;
        Ok::<_, XrpcError>(response)
    };
    let mut response = ended.await.unwrap_or_else(XrpcError::into_response);
    if let Ok((_, own)) = accounts.own() {
        own.unset(&mut response, Cookie::SigningIn);
    }
    response
}

/// Who is signed in.
async fn session(State(accounts): State<Accounts>, headers: HeaderMap) -> Result<Json<Value>, XrpcError> {
    let (browser, _) = accounts.browser(&headers).await?;
    let datetime = crate::account::datetime;
    Ok(Json(
        json!({"did": browser.did.as_str(), "since": datetime(browser.since), "until": datetime(browser.until)}),
    ))
}

/// Signs this browser out, and nothing else: keys go on working.
async fn logout(State(accounts): State<Accounts>, headers: HeaderMap) -> Result<Response, XrpcError> {
    let (_, own) = accounts.own()?;
    own.must_send(&headers)?;
    accounts.sign_out(&headers).await?;
    let mut response = Json(json!({"ok": true})).into_response();
    own.forget(&mut response);
    Ok(response)
}

/// Ends all that lets anyone act for the person here.
async fn logout_everywhere(
    State(accounts): State<Accounts>,
    headers: HeaderMap,
) -> Result<Response, XrpcError> {
    let (_, own) = accounts.own()?;
    own.must_send(&headers)?;
    let (browser, _) = accounts.browser(&headers).await?;
    let ended = accounts.sign_out_everywhere(&browser).await?;
    let told =
        json!({"ok": true, "session": ended.session, "keysRevoked": ended.keys, "browsers": ended.browsers});
    let mut response = Json(told).into_response();
    own.forget(&mut response);
    Ok(response)
}

impl Accounts {
    /// What people sign in with here.
    pub(super) fn own(&self) -> Result<(&Publisher, &OwnClient), XrpcError> {
        let publisher = self.publisher()?;
        let own = publisher.oauth().clients().own.as_ref();
        Ok((publisher, own.ok_or(SignInError::Off)?))
    }

    /// Begins a sign-in in the browser that asks.
    pub(super) async fn begin_sign_in(
        &self,
        headers: &HeaderMap,
        Asking { peer, account, return_to }: Asking<'_>,
    ) -> Result<Begun, XrpcError> {
        let (publisher, _) = self.own()?;
        self.take(self.0.sign_ins.as_ref(), peer, headers)?;
        let account =
            account.ok_or_else(|| invalid("account: expected a handle, a DID, or the URL of a PDS"))?;
        let start: Start = account.parse()?;
        let return_to = return_to.filter(|path| is_path(path)).unwrap_or("/");
        Ok(publisher.oauth().begin_sign_in(&start, return_to).await?)
    }

    /// Signs the browser that asks out.
    pub(super) async fn sign_out(&self, headers: &HeaderMap) -> Result<(), XrpcError> {
        let (_, own) = self.own()?;
        if let Some(token) = own.cookie(headers, Cookie::SignedIn) {
            self.store().run(move |store| store.sign_browser_out(&token)).await?;
        }
        Ok(())
    }

    /// Ends all that lets anyone act for the person in a browser.
    pub(super) async fn sign_out_everywhere(&self, browser: &Browser) -> Result<SignedOut, XrpcError> {
        let (publisher, _) = self.own()?;
        Ok(publisher.oauth().sign_out_everywhere(&browser.did, Actor::Browser).await?)
    }

    /// The browser that asks, with its token, if it is signed in.
    pub(super) async fn signed_in(
        &self,
        headers: &HeaderMap,
    ) -> Result<Option<(Browser, Secret<String>)>, XrpcError> {
        let (_, own) = self.own()?;
        let Some(token) = own.cookie(headers, Cookie::SignedIn) else { return Ok(None) };
        let (asked, now) = (token.clone(), self.now());
        let browser = self.store().run(move |store| store.browser(&asked, now)).await?;
        Ok(browser.map(|browser| (browser, token)))
    }

    /// The same of one that must be.
    pub(super) async fn browser(&self, headers: &HeaderMap) -> Result<(Browser, Secret<String>), XrpcError> {
        let denied = || Denied::new("AuthRequired", "nobody is signed in in this browser");
        Ok(self.signed_in(headers).await?.ok_or_else(denied)?)
    }
}

/// What the field of a form holds on every page of a session, and on no page of another: nobody gets from it to the cookie's token.
pub(super) fn form_field(token: &Secret<String>) -> Secret<String> {
    let key = hmac::Key::new(hmac::HMAC_SHA256, token.expose().as_bytes());
    Secret::new(URL_SAFE_NO_PAD.encode(hmac::sign(&key, b"a form of this session")))
}

impl OwnClient {
    /// Whether browsers reach us over TLS.
    fn is_secure(&self) -> bool {
        matches!(self.place(), Place::Public(_))
    }

    /// Refuses what no page of ours has sent: a browser says so, whatever the page says.
    pub(super) fn must_send(&self, headers: &HeaderMap) -> Result<(), XrpcError> {
        let text = |name: &str| headers.get(name).and_then(|value| value.to_str().ok());
        let is_ours = match (text("origin"), text("sec-fetch-site")) {
            // Our pages tell nobody where a reader was, so that a browser does not tell whose form it sends.
            (None | Some("null"), site) => site == Some("same-origin"),
            (Some(origin), _) => origin == self.origin(),
        };
        if is_ours {
            return Ok(());
        }
        let message = format!("this must come from a page of {}", self.origin());
        Err(XrpcError::with(StatusCode::FORBIDDEN, "Forbidden", message))
    }

    /// Has a browser keep what it must bring back.
    pub(super) fn remember(&self, response: &mut Response, begun: &Begun) -> Result<(), XrpcError> {
        self.set(response, Cookie::SigningIn, &begun.browser, APPROVAL)
    }

    /// Has a browser forget that it was signed in.
    pub(super) fn forget(&self, response: &mut Response) {
        self.unset(response, Cookie::SignedIn);
    }

    /// Whether a browser has the cookie of one that is signed in, be it worth anything or not.
    pub(super) fn knows(&self, headers: &HeaderMap) -> bool {
        self.cookie(headers, Cookie::SignedIn).is_some()
    }

    /// The origin that servers send browsers back to on this machine, if a browser asks by another of its names.
    pub(super) fn elsewhere(&self, headers: &HeaderMap) -> Option<String> {
        let (Place::Loopback(_), origin) = (self.place(), self.origin()) else { return None };
        let asked = headers.get(header::HOST)?.to_str().ok()?;
        (origin.strip_prefix("http://") != Some(asked)).then_some(origin)
    }

    /// A name that a page of another host, or without TLS, could not set.
    fn name(&self, cookie: Cookie) -> &'static str {
        match (cookie, self.is_secure()) {
            (Cookie::SignedIn, true) => "__Host-appview",
            (Cookie::SignedIn, false) => "appview",
            (Cookie::SigningIn, true) => "__Host-appview-sign-in",
            (Cookie::SigningIn, false) => "appview-sign-in",
        }
    }

    fn cookie(&self, headers: &HeaderMap, cookie: Cookie) -> Option<Secret<String>> {
        let sent = headers.get_all(header::COOKIE).iter().filter_map(|value| value.to_str().ok());
        let mut pairs =
            sent.flat_map(|value| value.split(';')).filter_map(|pair| pair.trim().split_once('='));
        let (_, value) = pairs.find(|(name, _)| *name == self.name(cookie))?;
        Some(Secret::new(value.to_owned()))
    }

    fn set(
        &self,
        response: &mut Response,
        cookie: Cookie,
        value: &Secret<String>,
        lasts: Duration,
    ) -> Result<(), XrpcError> {
        let text = Secret::new(self.written(cookie, value.expose(), lasts));
        let mut header = HeaderValue::from_str(text.expose()).map_err(|error| XrpcError::internal(&error))?;
        header.set_sensitive(true);
        response.headers_mut().append(header::SET_COOKIE, header);
        Ok(())
    }

    fn unset(&self, response: &mut Response, cookie: Cookie) {
        if let Ok(header) = HeaderValue::from_str(&self.written(cookie, "", Duration::ZERO)) {
            response.headers_mut().append(header::SET_COOKIE, header);
        }
    }

    fn written(&self, cookie: Cookie, value: &str, lasts: Duration) -> String {
        let secure = if self.is_secure() { "; Secure" } else { "" };
        let (name, seconds) = (self.name(cookie), lasts.as_secs());
        format!("{name}={value}; Path=/; Max-Age={seconds}; HttpOnly; SameSite=Lax{secure}")
    }
}

/// Whoever says who they are.
pub(super) struct Asking<'a> {
    /// From where.
    pub(super) peer: Option<Peer>,
    /// A handle, a DID, or the URL of a PDS.
    pub(super) account: Option<&'a str>,
    /// Where to go afterwards.
    pub(super) return_to: Option<&'a str>,
}

/// Whether a text is a path of ours, whatever a browser makes of it.
fn is_path(text: &str) -> bool {
    let is_plain = text.bytes().all(|byte| byte.is_ascii_graphic() && byte != b'\\');
    text.len() <= LONGEST_PATH && is_plain && text.starts_with('/') && !text.starts_with("//")
}

/// Sends a browser elsewhere.
pub(super) fn see(place: &str) -> Result<Response, XrpcError> {
    let place = HeaderValue::from_str(place).map_err(|error| XrpcError::internal(&error))?;
    Ok((StatusCode::SEE_OTHER, [(header::LOCATION, place)]).into_response())
}

impl From<SignInError> for XrpcError {
    fn from(error: SignInError) -> Self {
        let message = error.to_string();
        match error {
            SignInError::Off => {
                let message = "people cannot sign in here; its operator has to allow it".to_owned();
                Self::with(StatusCode::SERVICE_UNAVAILABLE, "SessionsUnavailable", message)
            }
            SignInError::Account(error) => error.into(),
            SignInError::NoRandomness(error) => Self::internal(&error),
            SignInError::Nobody | SignInError::OtherHandle { .. } => invalid(message),
            SignInError::Unknown
            | SignInError::MixedUp
            | SignInError::Refused { .. }
            | SignInError::Grant(_) => Self::with(StatusCode::BAD_REQUEST, "SignInFailed", message),
            SignInError::Handle(_)
            | SignInError::Resolve(_)
            | SignInError::Discover(_)
            | SignInError::Server(_) => Self::upstream("SignInFailed", message),
        }
    }
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;

    fn public() -> OwnClient {
        OwnClient::new(Place::Public("https://appview.example".to_owned()), Vec::new())
    }

    #[test]
    fn a_cookie_is_nobody_elses() {
        let value = public().written(Cookie::SignedIn, "token", Duration::from_secs(60));
        assert_eq!(value, "__Host-appview=token; Path=/; Max-Age=60; HttpOnly; SameSite=Lax; Secure");
        let loopback = OwnClient::new(Place::Loopback(8080), Vec::new());
        let value = loopback.written(Cookie::SigningIn, "", Duration::ZERO);
        assert_eq!(value, "appview-sign-in=; Path=/; Max-Age=0; HttpOnly; SameSite=Lax");
        let headers = |text: &str| HeaderMap::from_iter([(header::COOKIE, text.parse().unwrap())]);
        let found = |text: &str| {
            public().cookie(&headers(text), Cookie::SignedIn).map(|found| found.expose().clone())
        };
        assert_eq!(found("a=b; __Host-appview=token").as_deref(), Some("token"));
        assert_eq!(found("appview=token; __Host-appview-sign-in=other"), None);
    }

    #[test]
    fn only_a_page_of_ours_changes_anything() {
        let sent = |pairs: &[(&'static str, &str)]| {
            let headers = pairs.iter().map(|(name, value)| (name.parse().unwrap(), value.parse().unwrap()));
            public().must_send(&HeaderMap::from_iter(headers)).is_ok()
        };
        assert!(sent(&[("origin", "https://appview.example")]));
        assert!(sent(&[("sec-fetch-site", "same-origin")]));
        assert!(sent(&[("origin", "null"), ("sec-fetch-site", "same-origin")]));
        for refused in [
            [].as_slice(),
            &[("origin", "https://evil.example")],
            &[("origin", "null")],
            &[("origin", "https://appview.example.evil.example")],
            &[("origin", "http://appview.example")],
            &[("origin", "https://evil.example"), ("sec-fetch-site", "same-origin")],
            &[("origin", "null"), ("sec-fetch-site", "cross-site")],
            &[("origin", "null"), ("sec-fetch-site", "same-site")],
            &[("sec-fetch-site", "same-site")],
            &[("sec-fetch-site", "none")],
        ] {
            assert!(!sent(refused), "{refused:?}");
        }
    }

    #[test]
    fn a_browser_is_sent_back_to_a_path_of_ours_only() {
        assert!(is_path("/") && is_path("/account?tab=keys"));
        for elsewhere in
            ["", "account", "//evil.example", "/\\evil.example", "https://evil.example", "/a b", "/\n"]
        {
            assert!(!is_path(elsewhere), "{elsewhere:?}");
        }
    }
}
