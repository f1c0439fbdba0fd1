//! An authorization server and a PDS on one port of the loopback, that check every proof and can go wrong in every way that real ones do.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, reason = "tests")]
#![allow(dead_code, unreachable_pub, reason = "each test binary uses a part")]

mod fault;
mod pds;
mod proof;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard};

use appview_core::source::wire::{ChosenBy, Outside, Reach, Reply, Said, Socket, Url, Wire, WireError};
use appviewd::secret::Secret;
use axum::Router;
use axum::body::{Body, Bytes};
use axum::extract::{Request, State};
use axum::http::{StatusCode, header};
use axum::middleware::{Next, from_fn_with_state};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use fixtures::world::Did;
use futures_util::future::BoxFuture;
use serde_json::{Value as Json, json};
use tokio::sync::watch;

pub use fault::{Fault, Interruption};

use super::town::Town;
use proof::{Key, claims, refusal};

/// A request that arrived.
#[derive(Debug, Clone)]
pub struct Heard {
    pub path: String,
    pub verb: String,
    pub authorization: Option<String>,
    pub body: String,
    /// The claims of its proof.
    pub proof: Option<Json>,
}

impl Heard {
    /// A member of its form.
    pub fn form(&self, name: &str) -> Option<String> {
        form(&self.body).remove(name)
    }
}

#[derive(Clone)]
pub struct Authority(Arc<Inner>);

struct Inner {
    town: Mutex<Option<Town>>,
    state: Mutex<Records>,
    /// Whether slow answers are let go.
    let_go: watch::Sender<bool>,
    asked: watch::Sender<usize>,
    /// Where a daemon has sent anything to.
    gone_to: Arc<Mutex<BTreeSet<String>>>,
}

#[derive(Default)]
struct Records {
    faults: BTreeSet<Fault>,
    heard: Vec<Heard>,
    nonces: u64,
    jtis: BTreeSet<String>,
    /// What is answered to the requests of a PDS that come next but so many.
    planned: Option<(usize, Interruption)>,
    /// How many requests a PDS was asked.
    asked: usize,
    pushed: BTreeMap<String, BTreeMap<String, String>>,
    codes: BTreeMap<String, Code>,
    sessions: Vec<Session>,
    made: u64,
}

struct Code {
    did: String,
    pushed: BTreeMap<String, String>,
    key: String,
}

/// One session, with every token that it ever had.
#[derive(Debug, Clone)]
pub struct Session {
    pub did: String,
    key: String,
    pub access: String,
    pub refresh: String,
    /// Every token that it had before, of both kinds.
    pub former: Vec<String>,
    used: Vec<String>,
    pub is_over: bool,
}

impl Authority {
    pub async fn start() -> Self {
        let authority = Self(Arc::new(Inner {
            town: Mutex::new(None),
            state: Mutex::default(),
            let_go: watch::channel(false).0,
            asked: watch::channel(0).0,
            gone_to: Arc::default(),
        }));
        let routes = Router::new()
            .route("/.well-known/oauth-protected-resource", get(resource))
            .route("/.well-known/oauth-authorization-server", get(server))
            .route("/oauth/par", post(par))
            .route("/oauth/token", post(token))
            .route("/oauth/revoke", post(revoke))
            .route("/xrpc/com.atproto.repo.{method}", get(pds::repo).post(pds::repo))
            .route("/xrpc/com.atproto.server.{method}", get(pds::service))
            .layer(from_fn_with_state(authority.clone(), hear))
            .with_state(authority.clone());
        let town = Town::with(|_| routes).await;
        *authority.0.town.lock().unwrap() = Some(town);
        authority
    }

    pub fn town(&self) -> Town {
        self.0.town.lock().unwrap().clone().unwrap()
    }

    /// The internet, which is here, and on which it is noted where a daemon sends anything to.
    pub fn outside(&self) -> Outside {
        let Outside { wire, clock, reach } = Outside::internet(Reach::Anywhere).unwrap();
        Outside { wire: Arc::new(Noting { wire, gone_to: Arc::clone(&self.0.gone_to) }), clock, reach }
    }

    /// Hosts to which anything was sent, and names that name servers were asked for.
    pub fn gone_to(&self) -> BTreeSet<String> {
        self.0.gone_to.lock().unwrap().clone()
    }

    /// Its origin, which is its name and its PDS's.
    pub fn url(&self) -> String {
        self.town().http()
    }

    pub fn account(&self) -> Did {
        let did = self.town().account();
        // A repository is there from the beginning.
        self.town().commit(&did, Vec::new());
        did
    }

    fn state(&self) -> MutexGuard<'_, Records> {
        self.0.state.lock().unwrap()
    }

    pub fn go_wrong(&self, fault: Fault) {
        self.state().faults.insert(fault);
    }

    pub fn go_right(&self) {
        self.state().faults.clear();
    }

    /// Interrupts one of the requests to the PDS that come: the one after so many.
    pub fn interrupt(&self, after: usize, how: Interruption) {
        self.state().planned = Some((after, how));
    }

    /// Whether the interruption that was planned is still to come.
    pub fn is_to_be_interrupted(&self) -> bool {
        self.state().planned.is_some()
    }

    fn next_fault(&self) -> Option<Interruption> {
        let mut state = self.state();
        state.asked += 1;
        match state.planned? {
            (0, how) => {
                state.planned = None;
                Some(how)
            }
            (more, how) => {
                state.planned = Some((more - 1, how));
                None
            }
        }
    }

    fn is(&self, fault: Fault) -> bool {
        self.state().faults.contains(&fault)
    }

    /// What was asked at paths that end so.
    pub fn heard(&self, end: &str) -> Vec<Heard> {
        self.state().heard.iter().filter(|heard| heard.path.ends_with(end)).cloned().collect()
    }

    /// Everything that was asked.
    pub fn all_heard(&self) -> Vec<Heard> {
        self.state().heard.clone()
    }

    pub fn forget_heard(&self) {
        self.state().heard.clear();
    }

    pub fn sessions(&self) -> Vec<Session> {
        self.state().sessions.clone()
    }

    /// Has access tokens run out, as far as the PDS is concerned.
    pub fn expire_access(&self) {
        for session in &mut self.state().sessions {
            let over = std::mem::replace(&mut session.access, "none at the moment".to_owned());
            session.former.push(over);
        }
    }

    /// Waits until so many answers are waited for that are slow, or never come.
    pub async fn asked_slowly(&self, times: usize) {
        self.0.asked.subscribe().wait_for(|asked| *asked >= times).await.unwrap();
    }

    pub fn let_go(&self) {
        self.0.let_go.send_replace(true);
    }

    /// What a person's browser brings back who approved what `url` asks for: the query of the callback.
    pub fn approve(&self, did: &str, url: &str) -> String {
        let query = form(url.split_once('?').unwrap().1);
        let mut state = self.state();
        let pushed = state.pushed.remove(&query["request_uri"]).expect("a request is pushed once");
        assert_eq!(query["client_id"], pushed["client_id"]);
        state.made += 1;
        let code = format!("code-{}", state.made);
        let (sent, key) = (pushed["state"].clone(), pushed["key"].clone());
        state.codes.insert(code.clone(), Code { did: did.to_owned(), pushed, key });
        drop(state);
        let issuer = match (self.is(Fault::MixUp), self.is(Fault::NoIssuer)) {
            (true, _) => "&iss=https%3A%2F%2Fevil.example".to_owned(),
            (_, true) => String::new(),
            _ => format!("&iss={}", self.url().replace(':', "%3A").replace('/', "%2F")),
        };
        format!("state={sent}&code={code}{issuer}")
    }

    /// What it brings back of a person who refused.
    pub fn reject(&self, url: &str) -> String {
        let query = form(url.split_once('?').unwrap().1);
        let sent = self.state().pushed[&query["request_uri"]]["state"].clone();
        let issuer = self.url().replace(':', "%3A").replace('/', "%2F");
        format!("state={sent}&error=access_denied&error_description=no&iss={issuer}")
    }
}

/// Notes where anything is sent to.
#[derive(Debug)]
struct Noting {
    wire: Arc<dyn Wire>,
    gone_to: Arc<Mutex<BTreeSet<String>>>,
}

impl Noting {
    fn note(&self, url: &str) {
        let (_, rest) = url.split_once("://").unwrap();
        self.gone_to.lock().unwrap().insert(rest.split('/').next().unwrap().to_owned());
    }
}

impl Wire for Noting {
    fn send(&self, url: Url, said: Said, chosen: ChosenBy) -> BoxFuture<'static, Result<Reply, WireError>> {
        self.note(url.as_str());
        self.wire.send(url, said, chosen)
    }

    fn texts(&self, name: String) -> BoxFuture<'static, Result<Vec<String>, WireError>> {
        self.gone_to.lock().unwrap().insert(name.clone());
        self.wire.texts(name)
    }

    fn dial(&self, url: String) -> BoxFuture<'static, Result<Box<dyn Socket>, WireError>> {
        self.note(&url);
        self.wire.dial(url)
    }
}

/// A token like no other.
fn made(kind: &str) -> String {
    format!("{kind}-{}", Secret::<[u8; 24]>::random().unwrap().to_base64url().expose())
}

fn form(text: &str) -> BTreeMap<String, String> {
    form_urlencoded::parse(text.as_bytes()).into_owned().collect()
}

/// Notes a request, and has it answered as is planned.
async fn hear(State(authority): State<Authority>, request: Request, next: Next) -> Response {
    let (parts, body) = request.into_parts();
    let body = axum::body::to_bytes(body, 10_000_000).await.unwrap();
    let path = parts.uri.path().to_owned();
    let text = |name: &str| parts.headers.get(name).map(|value| value.to_str().unwrap().to_owned());
    let proof = text("dpop").map(|proof| claims(&proof));
    authority.state().heard.push(Heard {
        path: path.clone(),
        verb: parts.method.to_string(),
        authorization: text("authorization"),
        body: String::from_utf8_lossy(&body).into_owned(),
        proof: proof.as_ref().map(|(claims, _)| claims.clone()),
    });
    let planned = if path.starts_with("/xrpc/") { authority.next_fault() } else { None };
    if let Some(answer) = planned.and_then(Interruption::answer) {
        return answer;
    }
    let response = authority.answer(Request::from_parts(parts, Body::from(body)), proof, next).await;
    if planned == Some(Interruption::Unanswered) {
        authority.0.asked.send_modify(|asked| *asked += 1);
        std::future::pending::<()>().await;
    }
    response
}

impl Authority {
    /// Checks a request's proof, and has it answered.
    async fn answer(&self, mut request: Request, proof: Option<(Json, String)>, next: Next) -> Response {
        let path = request.uri().path();
        let token = request.headers().get(header::AUTHORIZATION).and_then(|text| text.to_str().ok());
        let token = token.and_then(|text| text.strip_prefix("DPoP ")).map(str::to_owned);
        // What everyone may read needs none.
        let is_open = path.ends_with(".describeRepo") || path.ends_with(".listRecords");
        let needs_proof =
            (path.starts_with("/oauth/") || path.starts_with("/xrpc/")) && !(is_open && token.is_none());
        let (parts, body) = request.into_parts();
        if needs_proof && let Some(refused) = self.refuse(&parts, proof.as_ref(), token.as_deref()) {
            return refused;
        }
        request = Request::from_parts(parts, body);
        if let Some((_, key)) = proof {
            request.extensions_mut().insert(Key(key));
        }
        let mut response = next.run(request).await;
        if needs_proof {
            response.headers_mut().insert("dpop-nonce", self.nonce().parse().unwrap());
        }
        response
    }
}

/// An answer that breaks off.
fn lost() -> Response {
    let broken =
        futures_util::stream::iter([Ok(Bytes::from_static(b"{")), Err(std::io::Error::other("cut off"))]);
    ([(header::CONTENT_TYPE, "application/json")], Body::from_stream(broken)).into_response()
}

fn document(authority: &Authority, json: Json) -> Response {
    if authority.is(Fault::Redirect) {
        return (StatusCode::FOUND, [(header::LOCATION, "https://evil.example/")]).into_response();
    }
    if authority.is(Fault::HugeMetadata) {
        return axum::Json(json!({"padding": "x".repeat(5_000_000)})).into_response();
    }
    if authority.is(Fault::NotJson) {
        return json.to_string().into_response();
    }
    axum::Json(json).into_response()
}

async fn resource(State(authority): State<Authority>) -> Response {
    let url = authority.url();
    let servers = if authority.is(Fault::TwoServers) { json!([url, url]) } else { json!([url]) };
    let resource =
        if authority.is(Fault::OtherResource) { json!("https://evil.example") } else { json!(url) };
    document(&authority, json!({"resource": resource, "authorization_servers": servers}))
}

async fn server(State(authority): State<Authority>) -> Response {
    let url = authority.url();
    let issuer =
        if authority.is(Fault::OtherIssuer) { "https://evil.example".to_owned() } else { url.clone() };
    let token =
        if authority.is(Fault::TokenUnreachable) { "http://127.0.0.1:1".to_owned() } else { url.clone() };
    let mut metadata = json!({
        "issuer": issuer,
        "authorization_endpoint": format!("{url}/oauth/authorize"),
        "token_endpoint": format!("{token}/oauth/token"),
        "pushed_authorization_request_endpoint": format!("{url}/oauth/par"),
        "revocation_endpoint": format!("{url}/oauth/revoke"),
        "require_pushed_authorization_requests": !authority.is(Fault::ParOptional),
        "response_types_supported": ["code"],
        "grant_types_supported": ["authorization_code", "refresh_token"],
        "code_challenge_methods_supported": ["S256"],
        "token_endpoint_auth_methods_supported": ["none", "private_key_jwt"],
        "token_endpoint_auth_signing_alg_values_supported": ["ES256"],
        "dpop_signing_alg_values_supported": ["ES256"],
        "scopes_supported": ["atproto"],
        "authorization_response_iss_parameter_supported": true,
        "client_id_metadata_document_supported": true,
    });
    let members = metadata.as_object_mut().unwrap();
    if authority.is(Fault::NoPar) {
        members.remove("pushed_authorization_request_endpoint");
    }
    if authority.is(Fault::NoRevocation) {
        members.remove("revocation_endpoint");
    }
    document(&authority, metadata)
}

async fn par(State(authority): State<Authority>, key: axum::Extension<Key>, body: String) -> Response {
    let mut pushed = form(&body);
    pushed.insert("key".to_owned(), key.0.0);
    let mut state = authority.state();
    state.made += 1;
    let uri = format!("urn:ietf:params:oauth:request_uri:{}", state.made);
    state.pushed.insert(uri.clone(), pushed);
    (StatusCode::CREATED, axum::Json(json!({"request_uri": uri, "expires_in": 300}))).into_response()
}

async fn token(State(authority): State<Authority>, key: axum::Extension<Key>, body: String) -> Response {
    if authority.is(Fault::TokenSlow) {
        authority.0.asked.send_modify(|asked| *asked += 1);
        authority.0.let_go.subscribe().wait_for(|let_go| *let_go).await.unwrap();
    }
    if authority.is(Fault::TokenBroken) {
        return StatusCode::INTERNAL_SERVER_ERROR.into_response();
    }
    let asked = form(&body);
    let granted = match asked["grant_type"].as_str() {
        "authorization_code" => authority.exchange(&asked, &key.0.0),
        "refresh_token" => authority.refresh(&asked, &key.0.0),
        other => panic!("{other}"),
    };
    let Some((did, access, refresh)) = granted else {
        return refusal(false, 400, "invalid_grant", None);
    };
    if authority.is(Fault::TokenLost) {
        return lost();
    }
    if authority.is(Fault::GarbledTokens) {
        return axum::Json(json!("tokens")).into_response();
    }
    let scope = match (authority.is(Fault::ScopeIsNumber), authority.is(Fault::ScopeLacksAtproto)) {
        (true, _) => json!(7),
        (_, true) => json!("repo:dev.cocore.compute.job"),
        _ => json!("atproto repo:dev.cocore.compute.job"),
    };
    let mut given = json!({"access_token": access, "token_type": "DPoP", "refresh_token": refresh, "expires_in": 3600,
        "scope": scope, "sub": did});
    let mut set = |name: &str, value: Json| given.as_object_mut().unwrap().insert(name.to_owned(), value);
    if authority.is(Fault::BearerTokens) {
        set("token_type", json!("Bearer"));
    }
    if authority.is(Fault::OtherSubject) {
        set("sub", json!("did:plc:zzzzzzzzzzzzzzzzzzzzzzzz"));
    }
    if authority.is(Fault::NoSubject) {
        set("sub", Json::Null);
    }
    if authority.is(Fault::HugeTokens) {
        set("padding", json!("x".repeat(5_000_000)));
    }
    axum::Json(given).into_response()
}

impl Authority {
    fn exchange(&self, asked: &BTreeMap<String, String>, key: &str) -> Option<(String, String, String)> {
        let mut state = self.state();
        let Code { did, pushed, key: bound } = state.codes.remove(&asked["code"])?;
        let hash = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, asked["code_verifier"].as_bytes());
        assert_eq!(URL_SAFE_NO_PAD.encode(hash), pushed["code_challenge"]);
        assert_eq!(
            (&asked["redirect_uri"], &asked["client_id"]),
            (&pushed["redirect_uri"], &pushed["client_id"])
        );
        assert_eq!(key, bound, "the same key as before");
        let (access, refresh) = (made("access-token"), made("refresh-token"));
        let session = Session {
            did: did.clone(),
            key: key.to_owned(),
            access: access.clone(),
            refresh: refresh.clone(),
            former: Vec::new(),
            used: Vec::new(),
            is_over: false,
        };
        state.sessions.push(session);
        Some((did, access, refresh))
    }

    /// Refresh tokens are good once: a second time ends the session.
    fn refresh(&self, asked: &BTreeMap<String, String>, key: &str) -> Option<(String, String, String)> {
        if self.is(Fault::InvalidGrant) {
            return None;
        }
        let mut state = self.state();
        let token = &asked["refresh_token"];
        let session = state
            .sessions
            .iter_mut()
            .find(|session| session.refresh == *token || session.used.contains(token))?;
        if session.used.contains(token) || session.key != key || session.is_over {
            session.is_over = true;
            return None;
        }
        let spent = std::mem::replace(&mut session.refresh, made("refresh-token"));
        let over = std::mem::replace(&mut session.access, made("access-token"));
        session.former.extend([spent.clone(), over].into_iter().filter(|token| token.contains("-token-")));
        session.used.push(spent);
        Some((session.did.clone(), session.access.clone(), session.refresh.clone()))
    }
}

async fn revoke(State(authority): State<Authority>, body: String) -> Response {
    if authority.is(Fault::RevokeBroken) {
        return StatusCode::INTERNAL_SERVER_ERROR.into_response();
    }
    let token = form(&body).remove("token").unwrap();
    for session in &mut authority.state().sessions {
        session.is_over |= session.refresh == token || session.access == token;
    }
    if authority.is(Fault::RevokeLost) {
        return lost();
    }
    if authority.is(Fault::RevokeNoContent) {
        return StatusCode::NO_CONTENT.into_response();
    }
    axum::Json(json!({})).into_response()
}
