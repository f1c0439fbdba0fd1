//! Pages for one person at `/account`, and the forms on them.
//!
//! A browser's cookie and what its forms say enter; a page leaves that no cache keeps, or a redirect to one. What a form asks for is done
//! by the same functions as what a program asks for. It is believed only from a page of ours, with the field that no page of another
//! session has. Deliberately absent: how pages look.

use std::sync::Arc;
use std::time::Duration;

use appview_core::index::IndexReader;
use appview_core::sync::Freshness;
use axum::body::Body;
use axum::extract::{Path, State};
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};
use axum::middleware::from_fn;
use axum::response::{IntoResponse as _, Response};
use axum::routing::{get, post};
use axum::{Extension, Router};
use tokio::time::timeout;

use super::browser::{Asking, form_field, see};
use super::keys::parse_name;
use super::{Accounts, body, invalid, private, use_post};
use crate::account::{Actor, AuditCursor, Browser, Extent, KeyOf, SessionsAfter};
use crate::http::front::{Peer, reads_pages};
use crate::http::query::Parameters;
use crate::http::{App, XrpcError};
use crate::oauth::OwnClient;
use crate::pages::person::{
    Audit, FIELD, FreshKey, HomePage, Off, Person, WipePage, ended, going, leave, off, sign_in, signed_out,
    wiping,
};
use crate::pages::{Foot, Sheet};
use crate::secret::Secret;

/// Where the pages are.
const HOME: &str = "/account";
const WIPE: &str = "/account/wipe";
/// Longest form, in bytes.
const FORM: usize = 8_192;
/// Entries of the audit list on one page.
const ENTRIES: u32 = 25;
/// Longest that a key may be good, in days, unless it is good for ever.
const LONGEST_DAYS: u64 = 3_650;
const DAY: u64 = 24 * 60 * 60 * 1_000_000;
/// How long a page waits to be told what somebody is called.
const NAMING: Duration = Duration::from_secs(3);
/// How long a page waits for records to be counted.
const COUNTING: Duration = Duration::from_secs(20);

/// Who answers: the service, and what it keeps of people, if anything.
#[derive(Debug, Clone)]
struct Reception {
    app: Arc<App>,
    accounts: Option<Accounts>,
}

/// A browser that is signed in, with what it sent.
struct Visit<'r> {
    accounts: &'r Accounts,
    own: &'r OwnClient,
    browser: Browser,
    field: Secret<String>,
}

/// Every page for one person.
pub(in crate::http) fn routes<S: Clone + Send + Sync + 'static>(
    app: Arc<App>,
    accounts: Option<Accounts>,
) -> Router<S> {
    let reception = Reception { app, accounts };
    let routes = Router::new()
        .route(HOME, get(home))
        .route("/account/sign-in", post(begin_sign_in).fallback(use_post))
        .route("/account/sign-out", post(sign_out).fallback(use_post))
        .route("/account/sign-out-everywhere", post(sign_out_everywhere).fallback(use_post))
        .route("/account/keys", post(create_key).fallback(use_post))
        .route("/account/keys/{id}/revoke", post(revoke_key).fallback(use_post))
        .route("/account/keys/{id}/delete", post(delete_key).fallback(use_post))
        .route(WIPE, get(wipe))
        .route("/account/wipe/new", get(ask_wipe).post(begin_wipe))
        .route("/account/wipe/retry", post(retry_wipe).fallback(use_post))
        .route("/account/leave", get(ask_leave).post(begin_leave));
    routes.layer(from_fn(private)).with_state(reception)
}

async fn home(
    State(reception): State<Reception>,
    headers: HeaderMap,
    said: Parameters,
) -> Result<Response, XrpcError> {
    match reception.visit(&headers).await? {
        Ok(visit) => reception.home(&visit, None, &said).await,
        Err(instead) => Ok(instead),
    }
}

/// Members `account` and `returnTo` of a form. Whoever comes from it goes on to another host, which a form's answer may not redirect to.
async fn begin_sign_in(
    State(reception): State<Reception>,
    peer: Option<Extension<Peer>>,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, XrpcError> {
    let accounts = reception.accounts()?;
    let (_, own) = accounts.own()?;
    own.must_send(&headers)?;
    let form = form(body).await?;
    let asking = Asking {
        peer: peer.map(|Extension(peer)| peer),
        account: form.text("account"),
        return_to: form.text("returnTo").or(Some(HOME)),
    };
    let begun = accounts.begin_sign_in(&headers, asking).await?;
    let mut response = reception.show(&going(&begun.url)).await?;
    let refresh = HeaderValue::from_str(&format!("0;url={}", begun.url))
        .map_err(|error| XrpcError::internal(&error))?;
    response.headers_mut().insert(HeaderName::from_static("refresh"), refresh);
    own.remember(&mut response, &begun)?;
    Ok(response)
}

async fn sign_out(
    State(reception): State<Reception>,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, XrpcError> {
    let (visit, _) = reception.sent(&headers, body).await?;
    visit.accounts.sign_out(&headers).await?;
    let mut response = see(HOME)?;
    visit.own.forget(&mut response);
    Ok(response)
}

async fn sign_out_everywhere(
    State(reception): State<Reception>,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, XrpcError> {
    let (visit, _) = reception.sent(&headers, body).await?;
    let all = visit.accounts.sign_out_everywhere(&visit.browser).await?;
    let mut response = reception.show(&ended(all)).await?;
    visit.own.forget(&mut response);
    Ok(response)
}

/// Members `name` and `days`, which is left out for ever. The answer is the only place where the key is.
async fn create_key(
    State(reception): State<Reception>,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, XrpcError> {
    let (visit, form) = reception.sent(&headers, body).await?;
    let name = parse_name(form.text("name").unwrap_or_default())?;
    let days: Option<u64> = form.parsed("days")?;
    if days.is_some_and(|days| !(1..=LONGEST_DAYS).contains(&days)) {
        return Err(invalid(format_args!("days: expected a number from 1 to {LONGEST_DAYS}, or nothing")));
    }
    let expires_at = days.map(|days| visit.accounts.now().saturating_add(days.saturating_mul(DAY)));
    let (key, secret) = visit.accounts.make_key(&visit.browser.did, name, expires_at, Actor::Browser).await?;
    let fresh = FreshKey { name: key.name, secret };
    reception.home(&visit, Some(fresh), &Parameters::read("")).await
}

async fn revoke_key(
    State(reception): State<Reception>,
    Path(id): Path<String>,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, XrpcError> {
    let (visit, _) = reception.sent(&headers, body).await?;
    visit.accounts.revoke_key(&visit.browser.did, id, Actor::Browser).await?;
    see(HOME)
}

async fn delete_key(
    State(reception): State<Reception>,
    Path(id): Path<String>,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, XrpcError> {
    let (visit, _) = reception.sent(&headers, body).await?;
    visit.accounts.delete_key(&visit.browser.did, id, Actor::Browser).await?;
    see(HOME)
}

/// How the newest wipe goes: a page for who reads pages, JSON for everybody else.
async fn wipe(State(reception): State<Reception>, headers: HeaderMap) -> Result<Response, XrpcError> {
    if !reads_pages(&headers) {
        let accounts = reception.accounts()?;
        let (browser, _) = accounts.browser(&headers).await?;
        return Ok(accounts.tell_wipe(&browser.did).await?.into_response());
    }
    let visit = match reception.visit(&headers).await? {
        Ok(visit) => visit,
        Err(instead) => return Ok(instead),
    };
    match visit.accounts.wiper().newest(&visit.browser.did).await? {
        Some(newest) => reception.show(&wiping(&visit.person().await, &newest)).await,
        None => see("/account/wipe/new"),
    }
}

async fn ask_wipe(State(reception): State<Reception>, headers: HeaderMap) -> Result<Response, XrpcError> {
    let visit = match reception.visit(&headers).await? {
        Ok(visit) => visit,
        Err(instead) => return Ok(instead),
    };
    let did = visit.browser.did.clone();
    let (look, owner) = (visit.accounts.wiper().look(&did, COUNTING).await?, did);
    let now = visit.accounts.now();
    let trusted_by = reception.app.read(move |index: &IndexReader| {
        Ok(index.profile(&owner, now)?.map_or(0, |profile| profile.incoming_friends_count))
    });
    let page = WipePage { person: visit.person().await, look, trusted_by: trusted_by.await? };
    reception.show(&page.sheet()).await
}

/// Members `confirm`, which is who they are, and `endSessions`.
async fn begin_wipe(
    State(reception): State<Reception>,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, XrpcError> {
    let (visit, form) = reception.sent(&headers, body).await?;
    visit.confirm(&form).await?;
    let sessions = if form.flag("endSessions") { SessionsAfter::End } else { SessionsAfter::Keep };
    visit.accounts.wiper().begin(&visit.browser.did, Extent::Everything, sessions, Actor::Browser).await?;
    see(WIPE)
}

/// Has the newest wipe go on at once.
async fn retry_wipe(
    State(reception): State<Reception>,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, XrpcError> {
    let (visit, _) = reception.sent(&headers, body).await?;
    visit.accounts.wiper().go_on(&visit.browser.did).await?;
    see(WIPE)
}

async fn ask_leave(State(reception): State<Reception>, headers: HeaderMap) -> Result<Response, XrpcError> {
    match reception.visit(&headers).await? {
        Ok(visit) => reception.show(&leave(&visit.person().await)).await,
        Err(instead) => Ok(instead),
    }
}

/// Member `confirm`.
async fn begin_leave(
    State(reception): State<Reception>,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, XrpcError> {
    let (visit, form) = reception.sent(&headers, body).await?;
    visit.confirm(&form).await?;
    visit
        .accounts
        .wiper()
        .begin(&visit.browser.did, Extent::Here, SessionsAfter::End, Actor::Browser)
        .await?;
    see(WIPE)
}

impl Accounts {
    /// Why nobody can sign in here, if nobody can.
    pub(in crate::http) fn off(&self) -> Option<Off> {
        match self.publishing() {
            None => Some(Off::Sessions),
            Some(publisher) if publisher.oauth().clients().own.is_none() => Some(Off::Client),
            Some(_) => None,
        }
    }
}

impl Reception {
    fn accounts(&self) -> Result<&Accounts, XrpcError> {
        self.accounts
            .as_ref()
            .ok_or_else(|| XrpcError::not_found("there are no accounts here; /account tells more"))
    }

    /// Who visits a page; or the page that they get instead.
    async fn visit(&self, headers: &HeaderMap) -> Result<Result<Visit<'_>, Response>, XrpcError> {
        let why = self.accounts.as_ref().map_or(Some(Off::Accounts), Accounts::off);
        let Some(accounts) = self.accounts.as_ref().filter(|_| why.is_none()) else {
            return Ok(Err(self.show(&off(why.unwrap_or(Off::Accounts))).await?));
        };
        let (_, own) = accounts.own()?;
        let Some((browser, token)) = accounts.signed_in(headers).await? else {
            return Ok(Err(self.receive(own, headers).await?));
        };
        Ok(Ok(Visit { accounts, own, browser, field: form_field(&token) }))
    }

    /// What whoever is not signed in is shown.
    async fn receive(&self, own: &OwnClient, headers: &HeaderMap) -> Result<Response, XrpcError> {
        // Cookies belong to one name of this machine, and servers send browsers back to that.
        if let Some(elsewhere) = own.elsewhere(headers) {
            return see(&format!("{elsewhere}{HOME}"));
        }
        if own.knows(headers) {
            let mut response = self.show(&signed_out()).await?;
            own.forget(&mut response);
            return Ok(response);
        }
        self.show(&sign_in(self.app.frame.host(), HOME)).await
    }

    /// What a form of a page of ours says, for whoever is signed in.
    async fn sent(&self, headers: &HeaderMap, body: Body) -> Result<(Visit<'_>, Parameters), XrpcError> {
        let accounts = self.accounts()?;
        let (_, own) = accounts.own()?;
        own.must_send(headers)?;
        let form = form(body).await?;
        let (browser, token) = accounts.browser(headers).await?;
        let field = form_field(&token);
        if form.text(FIELD).is_none_or(|sent| !field.is(sent)) {
            let message = "this form is of another session; load its page again".to_owned();
            return Err(XrpcError::with(StatusCode::FORBIDDEN, "Forbidden", message));
        }
        Ok((Visit { accounts, own, browser, field }, form))
    }

    async fn home(
        &self,
        visit: &Visit<'_>,
        fresh: Option<FreshKey>,
        said: &Parameters,
    ) -> Result<Response, XrpcError> {
        let before: Option<i64> = said.parsed("before")?;
        let did = visit.browser.did.clone();
        let held = visit.accounts.store().run(move |store| {
            let (entries, next) = store.audit(&did, ENTRIES, before.map(AuditCursor))?;
            let audit = Audit { entries, next, is_first: before.is_none() };
            Ok::<_, XrpcError>((store.keys(KeyOf::Person(&did))?, store.holdings(&did)?, audit))
        });
        let (keys, held, audit) = held.await?;
        let wipe = visit.accounts.wiper().newest(&visit.browser.did).await?;
        let (person, browser, now) = (visit.person().await, visit.browser.clone(), visit.accounts.now());
        self.show(&HomePage { person, browser, fresh, keys, held, audit, wipe, now }.sheet()).await
    }

    async fn show(&self, sheet: &Sheet) -> Result<Response, XrpcError> {
        let foot = self.app.read(|index| Ok(Foot::read(index)?)).await?;
        let kind = HeaderValue::from_static("text/html; charset=utf-8");
        let vary = HeaderValue::from_static("accept, cookie");
        let page = self.app.frame.page(sheet, Some(&foot));
        Ok(([(header::CONTENT_TYPE, kind), (header::VARY, vary)], page).into_response())
    }
}

impl Visit<'_> {
    /// Who they are, as far as that can be found out at once.
    async fn person(&self) -> Person {
        let Self { accounts, browser, field, .. } = self;
        let identity = async { accounts.directory()?.resolve(&browser.did, Freshness::Cached).await.ok() };
        let identity = timeout(NAMING, identity).await.ok().flatten();
        Person {
            did: browser.did.clone(),
            handle: identity.as_ref().and_then(|identity| identity.handle().cloned()),
            pds: identity.as_ref().and_then(|identity| identity.pds().map(str::to_owned)),
            field: field.clone(),
        }
    }

    /// Refuses what is not confirmed by its owner's name.
    async fn confirm(&self, form: &Parameters) -> Result<(), XrpcError> {
        let person = self.person().await;
        match form.text("confirm") {
            Some(name) if person.is_called(name) => Ok(()),
            _ => Err(invalid(format_args!("confirm: expected {}; nothing was changed", person.name()))),
        }
    }
}

async fn form(body: Body) -> Result<Parameters, XrpcError> {
    let bytes = body::bytes(body, FORM).await?;
    Ok(Parameters::read(&String::from_utf8_lossy(&bytes)))
}
