//! A daemon in which people sign in and publish, on a thread of this process, with an [`Authority`] that everything leads to.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, reason = "tests")]
#![allow(dead_code, unreachable_pub, reason = "each test binary uses a part")]

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use appview_core::index::Index;
use appview_core::source::follow::{Answers, Following, Source};
use appview_core::source::network::Network;
use appview_core::sync::Scope;
use appview_core::syntax::Did;
use appviewd::account::{AccountError, AccountStore, Actor};
use appviewd::auth::internal::InternalSecret;
use appviewd::auth::service::{ServiceAuth, Signers, Terms as ServiceTerms};
use appviewd::command::account::Door;
use appviewd::command::serve::{Doors, Limits, serve};
use appviewd::config::Access;
use appviewd::engine::Engine;
use appviewd::http::Accounts;
use appviewd::http::person::Terms;
use appviewd::oauth::{Callback, Client, Clients, OAuth, OwnClient, Place, SignInError};
use appviewd::publish::Publisher;
use appviewd::wipe::{Terms as WipeTerms, Wiper};
use serde_json::{Value as Json, json};
use tempfile::TempDir;
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::task::JoinHandle;

use super::authority::Authority;
use super::http::{Reply, send, send_body};
use super::people::SERVICE;
use super::service::{SECRET, SESSION_KEY, ring};

/// What a console's client is called.
pub const CONSOLE: &str = "http://localhost?scope=atproto";

/// What streams the daemon follows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Streams {
    /// None: whatever is in the index, nobody has told it.
    None,
    /// The authority's.
    Relay,
}

pub struct Exchange {
    pub address: SocketAddr,
    pub console: SocketAddr,
    pub store: AccountStore,
    pub engine: Engine,
    pub oauth: OAuth,
    pub wiper: Wiper,
    folder: TempDir,
    stop: watch::Sender<bool>,
    serving: JoinHandle<anyhow::Result<()>>,
}

/// Has somebody sign in who approves, without a browser.
pub async fn sign_in(oauth: &OAuth, authority: &Authority, did: &str) -> Result<(), SignInError> {
    let begun = oauth.begin_sign_in(&did.parse().unwrap(), "/").await.unwrap();
    let query = authority.approve(did, &begun.url);
    let found = |name: &str| {
        let mut pairs = form_urlencoded::parse(query.as_bytes());
        pairs.find(|(found, _)| found == name).map(|(_, value)| value.into_owned()).unwrap()
    };
    let callback = Callback {
        state: Some(found("state").into()),
        issuer: Some(found("iss")),
        code: Some(found("code").into()),
        error: None,
    };
    oauth.finish_sign_in(callback, Some(begun.browser)).await.map(drop)
}

/// The network of an authority.
pub fn network(authority: &Authority, folder: &Path) -> Network {
    Network::new(&authority.outside(), &authority.url(), folder.to_owned(), Scope::default())
}

/// A client for whoever keeps sessions in this store; it is reached at a port.
pub fn oauth(authority: &Authority, store: AccountStore, folder: &Path, port: u16) -> OAuth {
    let own = OwnClient::new(Place::Loopback(port), Vec::new());
    let console = Client::new(CONSOLE.to_owned(), Vec::new());
    OAuth::new(&network(authority, folder), store, Clients { own: Some(own), console: Some(console) })
}

impl Exchange {
    pub async fn start(authority: &Authority, streams: Streams) -> Self {
        Self::again(authority, streams, tempfile::tempdir().unwrap()).await
    }

    /// One that goes on with what is in a folder.
    pub async fn again(authority: &Authority, streams: Streams, folder: TempDir) -> Self {
        let index = Index::open(folder.path().join("index.db")).unwrap();
        // Whoever had it may be at the disk still.
        let store = loop {
            match AccountStore::open(folder.path().join("account.db"), Some(ring(SESSION_KEY))) {
                Err(AccountError::Owned { .. }) => tokio::task::yield_now().await,
                store => break store.unwrap(),
            }
        };
        let [queries, console] = [(); 2].map(|()| TcpListener::bind("127.0.0.1:0"));
        let (queries, console) = (queries.await.unwrap(), console.await.unwrap());
        let (address, at_console) = (queries.local_addr().unwrap(), console.local_addr().unwrap());
        let network = network(authority, folder.path());
        let sources = match streams {
            Streams::None => Vec::new(),
            Streams::Relay => vec![Source::Relay(authority.town().relay().parse().unwrap())],
        };
        let outside = authority.outside();
        let clock = outside.clock.clone();
        let collections = vec!["dev.cocore.account.friend".parse().unwrap()];
        let answers = Answers::Network { network: network.clone(), collections };
        let following = Following::new(sources, answers, outside);
        let engine = Engine::of(index.clone(), &following);
        let own = OwnClient::new(Place::Loopback(address.port()), Vec::new());
        let clients = Clients { own: Some(own), console: Some(Client::new(CONSOLE.to_owned(), Vec::new())) };
        let oauth = OAuth::new(&network, store.clone(), clients);
        let service = ServiceTerms { service: SERVICE.parse().unwrap(), lifetime: Duration::from_secs(300) };
        let signers = Signers::Network(network.directory.clone());
        let wiper = Wiper::new(WipeTerms {
            store: store.clone(),
            engine: engine.clone(),
            network: Some(network.clone()),
            oauth: Some(oauth.clone()),
            roster: None,
            clock: clock.clone(),
        });
        let terms = Terms {
            wiper: wiper.clone(),
            directory: Some(network.directory.clone()),
            store: store.clone(),
            publisher: Some(Publisher::new(oauth.clone(), engine.clone(), network).unwrap()),
            service: ServiceAuth::new(&service, signers, clock.clone()),
            internal: Some(InternalSecret::new(SECRET).unwrap()),
            index,
            clock,
            console: "https://console.example".to_owned(),
            api_base: "https://appview.example".to_owned(),
        };
        let access = Access { service_did: Some(service.service), ..Access::default() };
        let accounts = Accounts::new(terms, &access);
        let doors =
            Doors { accounts: Some(Door { accounts, console: Some(console) }), ..Doors::queries(queries) };
        let (stop, stopped) = watch::channel(false);
        let limits = Limits { access, ..Limits::default() };
        let serving = tokio::spawn(serve(engine.clone(), following, doors, limits, stopped));
        Self { address, console: at_console, store, engine, oauth, wiper, folder, stop, serving }
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    pub async fn stop(self) -> TempDir {
        self.stop.send_replace(true);
        self.serving.await.unwrap().unwrap();
        self.folder
    }

    fn origin(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Begins a sign-in; gives the URL that the browser is sent to, and its cookie.
    pub async fn begin(&self, account: &str) -> (String, String) {
        let body = json!({"account": account, "returnTo": "/account"}).to_string();
        let headers = [("Content-Type", "application/json"), ("Accept", "application/json")];
        let reply = self.by_our_page("POST /oauth/login", &headers, body.as_bytes()).await;
        assert_eq!(reply.status, 200, "{}", String::from_utf8_lossy(&reply.body));
        (reply.json()["url"].as_str().unwrap().to_owned(), cookies(&reply).remove(0))
    }

    /// Brings back what the server gave the browser.
    pub async fn come_back(&self, query: &str, cookie: &str) -> Reply {
        send(self.address, &format!("GET /oauth/callback?{query}"), &[("Cookie", cookie)]).await
    }

    /// Signs somebody in; gives the browser's cookie.
    pub async fn sign_in(&self, authority: &Authority, did: &str) -> String {
        let (url, cookie) = self.begin(did).await;
        let reply = self.come_back(&authority.approve(did, &url), &cookie).await;
        assert_eq!(reply.status, 303, "{}", String::from_utf8_lossy(&reply.body));
        assert_eq!(reply.header("location"), Some("/account"));
        cookies(&reply).into_iter().find(|cookie| cookie.starts_with("appview=")).unwrap()
    }

    /// An API key of somebody's.
    pub fn key(&self, did: &str) -> String {
        let (did, now): (Did, u64) = (did.parse().unwrap(), self.oauth.now());
        let name = "test".parse().unwrap();
        let (_, secret) = self.store.mint_key(&did, &name, None, Actor::Browser, now).unwrap();
        secret.expose().clone()
    }

    /// Sends what a page of ours would.
    pub async fn by_our_page(&self, line: &str, headers: &[(&str, &str)], body: &[u8]) -> Reply {
        let origin = self.origin();
        let headers = [&[("Origin", origin.as_str())], headers].concat();
        send_body(self.address, line, &headers, body).await
    }

    /// Publishes with a key.
    pub async fn publish(&self, key: &str, operation: &str, body: &Json) -> Reply {
        let bearer = format!("Bearer {key}");
        let headers = [("Authorization", bearer.as_str())];
        send_body(self.address, &format!("POST {operation}"), &headers, body.to_string().as_bytes()).await
    }

    /// Asks what the console asks.
    pub async fn order(&self, path: &str, body: &Json) -> Reply {
        let headers = [("x-cocore-internal-secret", SECRET)];
        send_body(self.console, &format!("POST {path}"), &headers, body.to_string().as_bytes()).await
    }

    /// What the index holds, as it is exported: CID by URI.
    pub fn indexed(&self) -> std::collections::BTreeMap<String, String> {
        let mut found = std::collections::BTreeMap::new();
        let visit = |record: appview_core::query::RecordView| {
            found.insert(record.uri().to_string(), record.cid.to_string());
            Ok::<_, appview_core::index::IndexError>(())
        };
        self.engine.index.reader().unwrap().export(&Default::default(), visit).unwrap();
        found
    }
}

/// The cookies that an answer sets, as a browser sends them back.
pub fn cookies(reply: &Reply) -> Vec<String> {
    let set = reply.head.lines().filter_map(|line| line.strip_prefix("set-cookie: "));
    set.map(|cookie| cookie.split(';').next().unwrap().to_owned())
        .filter(|cookie| !cookie.ends_with('='))
        .collect()
}

/// A record that keeps its lexicon.
pub fn friend(subject: &str) -> Json {
    json!({"$type": "dev.cocore.account.friend", "subject": subject, "createdAt": "2026-01-01T00:00:00.000Z"})
}
