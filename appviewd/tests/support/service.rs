//! A daemon that keeps accounts, on a thread of this process, and follows nobody.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, reason = "tests")]
#![allow(dead_code, unreachable_pub, reason = "each test binary uses a part")]

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use appview_core::index::Index;
use appview_core::source::clock::Clock;
use appview_core::source::follow::{Answers, Following};
use appview_core::source::replay::{Identities, Offline};
use appview_core::source::wire::{Outside, Reach};
use appview_core::sync::Scope;
use appviewd::account::{AccountStore, KeyPlace, Keyring};
use appviewd::auth::internal::InternalSecret;
use appviewd::auth::service::{ServiceAuth, Signers, Terms as ServiceTerms};
use appviewd::command::account::Door;
use appviewd::command::serve::{Doors, Limits, serve};
use appviewd::config::Access;
use appviewd::engine::Engine;
use appviewd::http::Accounts;
use appviewd::http::person::Terms;
use appviewd::wipe::{Terms as WipeTerms, Wiper};
use serde_json::Value as Json;
use tempfile::TempDir;
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::task::JoinHandle;

use super::http::{Reply, post, send, send_body};
use super::people::{Person, SERVICE, identities};

/// What the console and the service share.
pub const SECRET: &str = "0123456789abcdef0123456789abcdef";
/// What seals sessions.
pub const SESSION_KEY: &str = "000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f";

pub struct Service {
    pub address: SocketAddr,
    pub console: SocketAddr,
    pub store: AccountStore,
    folder: TempDir,
    stop: watch::Sender<bool>,
    serving: JoinHandle<anyhow::Result<()>>,
}

/// A keyring of one key, by its hexadecimal digits.
pub fn ring(key: &str) -> Keyring {
    Keyring::parse(key, KeyPlace::Variable).unwrap()
}

impl Service {
    pub async fn start(people: &[&Person]) -> Self {
        Self::with(people, Some(ring(SESSION_KEY))).await
    }

    pub async fn with(people: &[&Person], ring: Option<Keyring>) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let index = Index::open(folder.path().join("index.db")).unwrap();
        let store = AccountStore::open(folder.path().join("account.db"), ring).unwrap();
        let known = || Identities::from_json(&identities(people)).unwrap();
        let service = ServiceTerms { service: SERVICE.parse().unwrap(), lifetime: Duration::from_secs(300) };
        let signers = Signers::Files(Arc::new(known()));
        let upstream = Answers::Upstream(Box::new(Offline::new(known(), None, Scope::default())));
        let following = Following::new(Vec::new(), upstream, Outside::internet(Reach::Anywhere).unwrap());
        let engine = Engine::of(index.clone(), &following);
        let wiper = Wiper::new(WipeTerms {
            store: store.clone(),
            engine: engine.clone(),
            network: None,
            oauth: None,
            roster: None,
            clock: Clock::system(),
        });
        let terms = Terms {
            wiper,
            directory: None,
            store: store.clone(),
            publisher: None,
            service: ServiceAuth::new(&service, signers, Clock::system()),
            internal: Some(InternalSecret::new(SECRET).unwrap()),
            index: index.clone(),
            clock: Clock::system(),
            console: "https://console.example".to_owned(),
            api_base: "https://appview.example".to_owned(),
        };
        let access = Access { service_did: Some(service.service), ..Access::default() };
        let accounts = Accounts::new(terms, &access);
        let [queries, console] = [(); 2].map(|()| TcpListener::bind("127.0.0.1:0"));
        let (queries, console) = (queries.await.unwrap(), console.await.unwrap());
        let (address, at_console) = (queries.local_addr().unwrap(), console.local_addr().unwrap());
        let doors =
            Doors { accounts: Some(Door { accounts, console: Some(console) }), ..Doors::queries(queries) };
        let (stop, stopped) = watch::channel(false);
        let limits = Limits { access, ..Limits::default() };
        let serving = tokio::spawn(serve(engine, following, doors, limits, stopped));
        Self { address, console: at_console, store, folder, stop, serving }
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// Calls a procedure of `dev.cocore` as a person.
    pub async fn call(&self, person: &Person, method: &str, body: Json) -> Reply {
        post(self.address, &format!("/xrpc/{method}"), &person.bearer(method), &body).await
    }

    /// Asks a query of `dev.cocore` as a person.
    pub async fn ask(&self, person: &Person, method: &str) -> Reply {
        let bearer = person.bearer(method);
        send(self.address, &format!("GET /xrpc/{method}"), &[("Authorization", &bearer)]).await
    }

    /// Gets a path with an API key.
    pub async fn get_with_key(&self, path: &str, key: &str) -> Reply {
        send(self.address, &format!("GET {path}"), &[("Authorization", &format!("Bearer {key}"))]).await
    }

    /// Asks what the console asks.
    pub async fn order(&self, path: &str, body: Json) -> Reply {
        let headers = [("x-cocore-internal-secret", SECRET)];
        send_body(self.console, &format!("POST {path}"), &headers, body.to_string().as_bytes()).await
    }

    pub async fn stop(self) -> TempDir {
        self.stop.send_replace(true);
        self.serving.await.unwrap().unwrap();
        self.folder
    }
}
