//! A relay, a directory and a PDS on one port of the loopback, all from one world of signed repositories.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, reason = "tests")]
#![allow(dead_code, unreachable_pub, reason = "each test binary uses a part")]

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::Router;
use axum::extract::ws::{Message, WebSocketUpgrade};
use axum::extract::{Path, RawQuery, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use axum::routing::get as route;
use fixtures::recording::Record;
use fixtures::world::Did;
use fixtures::{Frame, KeyKind, World, Write};
use serde_json::{Value as Json, json};
use tokio::net::TcpListener;
use tokio::sync::{Semaphore, watch};

use super::daemon::Daemon;
use super::http::get;
use super::{Scenario, fingerprint};

/// How long it may take to be followed before something must be wrong.
const PATIENCE: Duration = Duration::from_secs(60);

#[derive(Clone)]
pub struct Town(Arc<Inner>);

struct Inner {
    address: SocketAddr,
    world: Mutex<World>,
    frames: Mutex<Vec<(i64, Vec<u8>)>>,
    /// The same commits as a Jetstream tells them, without records.
    hints: Mutex<Vec<(i64, String)>>,
    told: watch::Sender<()>,
    /// An export is given for each permit; how many were asked for.
    exports: Semaphore,
    asked: watch::Sender<usize>,
    /// What is given in the place of a record's proof, and how often one was asked for.
    instead: Mutex<Option<Instead>>,
    proofs: AtomicUsize,
}

/// What a host gives in the place of a proof.
#[derive(Clone)]
pub enum Instead {
    /// An XRPC error.
    Error(&'static str),
    /// These bytes.
    Bytes(Vec<u8>),
}

impl Town {
    pub async fn start() -> Self {
        Self::with(|_| Router::new()).await
    }

    /// The same, with other routes on the same port.
    pub async fn with(others: impl FnOnce(Self) -> Router) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let town = Self(Arc::new(Inner {
            address: listener.local_addr().unwrap(),
            world: Mutex::new(World::new(5)),
            frames: Mutex::default(),
            hints: Mutex::default(),
            told: watch::channel(()).0,
            exports: Semaphore::new(Semaphore::MAX_PERMITS),
            asked: watch::channel(0).0,
            instead: Mutex::default(),
            proofs: AtomicUsize::new(0),
        }));
        let routes = Router::new()
            .route("/{did}", route(document))
            .route("/xrpc/com.atproto.sync.subscribeRepos", route(subscribe))
            .route("/subscribe", route(hint))
            .route("/xrpc/com.atproto.sync.{method}", route(sync))
            .with_state(town.clone())
            .merge(others(town.clone()));
        tokio::spawn(async move { axum::serve(listener, routes).await.unwrap() });
        town
    }

    /// What is signed.
    pub fn world(&self) -> std::sync::MutexGuard<'_, World> {
        self.0.world.lock().unwrap()
    }

    pub fn address(&self) -> SocketAddr {
        self.0.address
    }

    pub fn relay(&self) -> String {
        format!("ws://{}", self.0.address)
    }

    pub fn http(&self) -> String {
        format!("http://{}", self.0.address)
    }

    pub fn account(&self) -> Did {
        self.0.world.lock().unwrap().create_account_at(KeyKind::K256, &self.http())
    }

    /// Signs a commit, and has the relay tell of it.
    pub fn commit(&self, did: &Did, writes: Vec<Write>) {
        self.sign(did, writes);
        self.0.told.send_replace(());
    }

    /// Signs a commit, of which the relay tells whoever connects from here on, and others with the next.
    pub fn sign(&self, did: &Did, writes: Vec<Write>) {
        let mut world = self.0.world.lock().unwrap();
        world.advance(1_000_000);
        let touched: Vec<_> = writes
            .iter()
            .map(|write| match write {
                Write::Create { collection, rkey, .. }
                | Write::Update { collection, rkey, .. }
                | Write::Delete { collection, rkey } => (collection.clone(), rkey.clone()),
            })
            .collect();
        let frame = world.commit(did, writes);
        let at = i64::try_from(world.now_micros()).unwrap();
        let rev = world.head(did).rev.clone();
        for ((collection, rkey), at) in touched.into_iter().zip(at..) {
            let commit = json!({"rev": rev, "collection": collection, "rkey": rkey, "operation": "update"});
            let event = json!({"did": **did, "time_us": at, "kind": "commit", "commit": commit});
            self.0.hints.lock().unwrap().push((at, event.to_string()));
        }
        self.0.frames.lock().unwrap().push((i64::try_from(frame.seq.unwrap()).unwrap(), frame.bytes));
    }

    /// Has the directory name another host for an account, and the relay say that its document changed.
    pub fn move_to(&self, did: &Did, endpoint: &str) {
        self.tell(|world| {
            world.migrate(did, endpoint);
            world.identity(did)
        });
    }

    /// Has the relay say that an account is hosted no more.
    pub fn hide(&self, did: &Did, status: &str) {
        self.tell(|world| world.account(did, false, Some(status)));
    }

    fn tell(&self, what: impl FnOnce(&mut World) -> Frame) {
        let frame = what(&mut self.0.world.lock().unwrap());
        self.0.frames.lock().unwrap().push((i64::try_from(frame.seq.unwrap()).unwrap(), frame.bytes));
        self.0.told.send_replace(());
    }

    /// A daemon that follows it, with more arguments, once its index is what is signed here.
    pub async fn followed(&self, scenario: &Scenario, more: &[&str]) -> Daemon {
        let network = ["--relay", &self.relay(), "--plc", &self.http(), "--allow-private-hosts"];
        let daemon = Daemon::serve(scenario, &[&network, more].concat());
        let wanted = json!(fingerprint(&self.records()));
        let told = async {
            while get(daemon.address, "/xrpc/dev.cocore.appview.getFingerprint").await["fingerprint"]
                != wanted
            {
                tokio::task::yield_now().await;
            }
        };
        tokio::time::timeout(PATIENCE, told).await.expect("the index comes to be what was signed");
        daemon
    }

    /// What was signed and is in scope.
    pub fn records(&self) -> Vec<Record> {
        let world = self.0.world.lock().unwrap();
        let of = |did: &Did| {
            let records = world.records(did).into_iter().filter(|(path, _)| path.starts_with("dev.cocore."));
            let record = |(path, cid): (String, fixtures::Cid)| Record {
                uri: format!("at://{did}/{path}"),
                cid: cid.to_string(),
                value: Json::Null,
                rev: None,
            };
            records.map(record).collect::<Vec<_>>()
        };
        world.dids().flat_map(of).collect()
    }

    /// Signs a commit that no relay tells of.
    pub fn commit_silently(&self, did: &Did, writes: Vec<Write>) {
        let mut world = self.0.world.lock().unwrap();
        world.advance(1_000_000);
        world.commit(did, writes);
    }

    /// The proof of a record, as its host gives it if nothing else is to be given.
    pub fn proof(&self, did: &Did, path: &str) -> Vec<u8> {
        self.0.world.lock().unwrap().repo(did).record_car(path)
    }

    /// Has something else given in the place of proofs, or not any more.
    pub fn give_instead(&self, instead: Option<Instead>) {
        *self.0.instead.lock().unwrap() = instead;
    }

    /// How many proofs were asked for.
    pub fn proofs(&self) -> usize {
        self.0.proofs.load(Ordering::SeqCst)
    }

    /// The key of an account, as its document has it.
    pub fn key(&self, did: &Did) -> String {
        self.0.world.lock().unwrap().signing_key(did).did_key()
    }

    /// Gives no export until they are [released](Self::release); says how many were asked for so far.
    pub fn hold(&self) -> usize {
        self.0.exports.forget_permits(usize::MAX);
        *self.0.asked.borrow()
    }

    pub fn release(&self) {
        self.0.exports.add_permits(Semaphore::MAX_PERMITS / 2);
    }

    /// Waits until more exports were asked for than these, and says how many.
    pub async fn asked_for_more_than(&self, exports: usize) -> usize {
        *self.0.asked.subscribe().wait_for(|asked| *asked > exports).await.unwrap()
    }
}

async fn document(State(town): State<Town>, Path(did): Path<String>) -> Response {
    let world = town.0.world.lock().unwrap();
    match world.dids().any(|known| **known == *did) {
        true => axum::Json(world.did_document(&did)).into_response(),
        false => StatusCode::NOT_FOUND.into_response(),
    }
}

async fn subscribe(
    State(town): State<Town>,
    RawQuery(query): RawQuery,
    upgrade: WebSocketUpgrade,
) -> Response {
    let cursor = query.as_deref().and_then(|query| query.strip_prefix("cursor="));
    let mut sent: i64 = cursor.map_or(0, |cursor| cursor.parse().unwrap());
    upgrade.on_upgrade(move |mut socket| async move {
        let mut told = town.0.told.subscribe();
        loop {
            let frames: Vec<_> =
                town.0.frames.lock().unwrap().iter().filter(|(seq, _)| *seq > sent).cloned().collect();
            for (seq, frame) in frames {
                if socket.send(Message::Binary(frame.into())).await.is_err() {
                    return;
                }
                sent = seq;
            }
            tokio::select! {
                _ = told.changed() => {}
                message = socket.recv() => if !matches!(message, Some(Ok(_))) { return },
            }
        }
    })
}

async fn hint(State(town): State<Town>, RawQuery(query): RawQuery, upgrade: WebSocketUpgrade) -> Response {
    let query = query.unwrap_or_default();
    let cursor = query.split('&').find_map(|pair| pair.strip_prefix("cursor="));
    // As of a Jetstream, a new subscriber without a cursor hears what comes next.
    let newest = || town.0.hints.lock().unwrap().last().map_or(0, |(at, _)| *at);
    let mut sent: i64 = cursor.map_or_else(newest, |cursor| cursor.parse().unwrap());
    upgrade.on_upgrade(move |mut socket| async move {
        let mut told = town.0.told.subscribe();
        loop {
            let hints: Vec<_> =
                town.0.hints.lock().unwrap().iter().filter(|(at, _)| *at > sent).cloned().collect();
            for (at, hint) in hints {
                if socket.send(Message::Text(hint.into())).await.is_err() {
                    return;
                }
                sent = at;
            }
            tokio::select! {
                _ = told.changed() => {}
                message = socket.recv() => if !matches!(message, Some(Ok(_))) { return },
            }
        }
    })
}

async fn sync(State(town): State<Town>, Path(method): Path<String>, RawQuery(query): RawQuery) -> Response {
    let query = query.unwrap_or_default();
    let parameter =
        |name: &str| query.split('&').find_map(|pair| pair.strip_prefix(name)).unwrap_or_default();
    match method.as_str() {
        "listReposByCollection" => {
            let world = town.0.world.lock().unwrap();
            let collections = |did: &Did| -> BTreeSet<String> {
                world.records(did).keys().map(|path| path.split('/').next().unwrap().to_owned()).collect()
            };
            let has = |did: &&Did| collections(did).contains(parameter("collection="));
            let repos: Vec<Json> = world.dids().filter(has).map(|did| json!({"did": **did})).collect();
            axum::Json(json!({ "repos": repos })).into_response()
        }
        "getLatestCommit" => {
            let world = town.0.world.lock().unwrap();
            let head = world.head(parameter("did="));
            axum::Json(json!({"cid": head.commit.to_string(), "rev": head.rev})).into_response()
        }
        "getRepo" => {
            town.0.asked.send_modify(|asked| *asked += 1);
            town.0.exports.acquire().await.unwrap().forget();
            town.0.world.lock().unwrap().car(parameter("did=")).into_response()
        }
        "getRecord" => {
            town.0.proofs.fetch_add(1, Ordering::SeqCst);
            match town.0.instead.lock().unwrap().clone() {
                Some(Instead::Error(name)) => {
                    (StatusCode::BAD_REQUEST, axum::Json(json!({"error": name}))).into_response()
                }
                Some(Instead::Bytes(bytes)) => bytes.into_response(),
                None => {
                    let path = format!("{}/{}", parameter("collection="), parameter("rkey="));
                    town.0.world.lock().unwrap().repo(parameter("did=")).record_car(&path).into_response()
                }
            }
        }
        _ => StatusCode::NOT_IMPLEMENTED.into_response(),
    }
}
