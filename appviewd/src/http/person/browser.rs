//! People in browsers: signing in at their own server, and signing out here.
//!
//! A form or a link enters; a redirect leaves, with a cookie that no script can read and no other site can send. Whatever changes something
//! must come from a page of ours. Visitors get no cookie. Deliberately absent: pages.

use std::time::Duration;

use axum::body::Body;
use axum::extract::State;
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse as _, Response};
use axum::routing::{get, post};
use axum::{Extension, Json, Router};
use serde_json::{Value, json};

use super::{Accounts, body, invalid, use_get, use_post};
use crate::account::{Actor, Browser};
use crate::auth::Denied;
use crate::auth::object::Object;
use crate::http::query::Parameters;
use crate::http::{Peer, XrpcError};
use crate::oauth::{
    Begun, CALLBACK_PATH, Callback, Finished, KEYS_PATH, METADATA_PATH, OwnClient, Place, SignInError, Start,
};
use crate::publish::Publisher;
use crate::secret::Secret;

/// Longest form, in bytes.
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

/// Begins: members `account` (a handle, a DID, or the URL of a PDS) and `returnTo` (a path here), as a form or as JSON.
async fn login(
    State(accounts): State<Accounts>,
    peer: Option<Extension<Peer>>,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, XrpcError> {
    let (publisher, own) = accounts.own()?;
    own.must_send(&headers)?;
    accounts.take(accounts.0.sign_ins.as_ref(), peer.map(|Extension(peer)| peer), &headers)?;
    let is_json = says(&headers, header::CONTENT_TYPE, "application/json");
    let form = body::bytes(body, FORM).await?;
    let text = |name: &str| -> Option<String> {
        if is_json {
            return Object::read(&form).ok()?.text(name).map(str::to_owned);
        }
        Parameters::read(&String::from_utf8_lossy(&form)).text(name).map(str::to_owned)
    };
    let account =
        text("account").ok_or_else(|| invalid("account: expected a handle, a DID, or the URL of a PDS"))?;
    let start: Start = account.parse()?;
    let return_to = text("returnTo").filter(|path| is_path(path)).unwrap_or_else(|| "/".to_owned());
    let Begun { url, browser } = publisher.oauth().begin_sign_in(&start, &return_to).await?;
    let mut response = match says(&headers, header::ACCEPT, "application/json") {
        true => Json(json!({"url": url})).into_response(),
        false => see(&url)?,
    };
    own.set(&mut response, Cookie::SigningIn, &browser, APPROVAL)?;
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
    if let Some(token) = own.cookie(&headers, Cookie::SignedIn) {
        accounts.store().run(move |store| store.sign_browser_out(&token)).await?;
    }
    let mut response = Json(json!({"ok": true})).into_response();
    own.unset(&mut response, Cookie::SignedIn);
    Ok(response)
}

/// Ends all that lets anyone act for the person here.
async fn logout_everywhere(
    State(accounts): State<Accounts>,
    headers: HeaderMap,
) -> Result<Response, XrpcError> {
    let (publisher, own) = accounts.own()?;
    own.must_send(&headers)?;
    let (browser, _) = accounts.browser(&headers).await?;
    let ended = publisher.oauth().sign_out_everywhere(&browser.did, Actor::Browser).await?;
    let told =
        json!({"ok": true, "session": ended.session, "keysRevoked": ended.keys, "browsers": ended.browsers});
    let mut response = Json(told).into_response();
    own.unset(&mut response, Cookie::SignedIn);
    Ok(response)
}

impl Accounts {
    /// What people sign in with here.
    pub(super) fn own(&self) -> Result<(&Publisher, &OwnClient), XrpcError> {
        let publisher = self.publisher()?;
        let own = publisher.oauth().clients().own.as_ref();
        Ok((publisher, own.ok_or(SignInError::Off)?))
    }

    /// The browser that asks, with its token, if it is signed in.
    pub(super) async fn browser(&self, headers: &HeaderMap) -> Result<(Browser, Secret<String>), XrpcError> {
        let denied = || Denied::new("AuthRequired", "nobody is signed in in this browser");
        let (_, own) = self.own()?;
        let token = own.cookie(headers, Cookie::SignedIn).ok_or_else(denied)?;
        let (asked, now) = (token.clone(), self.now());
        let browser = self.store().run(move |store| store.browser(&asked, now)).await?;
        Ok((browser.ok_or_else(denied)?, token))
    }
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
            (Some(origin), _) => origin == self.origin(),
            (None, site) => site == Some("same-origin"),
        };
        if is_ours {
            return Ok(());
        }
        let message = format!("this must come from a page of {}", self.origin());
        Err(XrpcError::new(StatusCode::FORBIDDEN, "Forbidden", message))
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

/// Whether a text is a path of ours, whatever a browser makes of it.
fn is_path(text: &str) -> bool {
    let is_plain = text.bytes().all(|byte| byte.is_ascii_graphic() && byte != b'\\');
    text.len() <= LONGEST_PATH && is_plain && text.starts_with('/') && !text.starts_with("//")
}

fn says(headers: &HeaderMap, name: header::HeaderName, word: &str) -> bool {
    headers.get(name).and_then(|value| value.to_str().ok()).is_some_and(|value| value.starts_with(word))
}

/// Sends a browser elsewhere.
fn see(place: &str) -> Result<Response, XrpcError> {
    let place = HeaderValue::from_str(place).map_err(|error| XrpcError::internal(&error))?;
    Ok((StatusCode::SEE_OTHER, [(header::LOCATION, place)]).into_response())
}

impl From<SignInError> for XrpcError {
    fn from(error: SignInError) -> Self {
        let message = error.to_string();
        match error {
            SignInError::Off => {
                let message = "people cannot sign in here; its operator has to allow it".to_owned();
                Self::new(StatusCode::SERVICE_UNAVAILABLE, "SessionsUnavailable", message)
            }
            SignInError::Account(error) => error.into(),
            SignInError::NoRandomness(error) => Self::internal(&error),
            SignInError::Nobody | SignInError::OtherHandle { .. } => invalid(message),
            SignInError::Unknown
            | SignInError::MixedUp
            | SignInError::Refused { .. }
            | SignInError::Grant(_) => Self::new(StatusCode::BAD_REQUEST, "SignInFailed", message),
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
        for refused in [
            [].as_slice(),
            &[("origin", "https://evil.example")],
            &[("origin", "null")],
            &[("origin", "https://appview.example.evil.example")],
            &[("origin", "http://appview.example")],
            &[("origin", "https://evil.example"), ("sec-fetch-site", "same-origin")],
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
