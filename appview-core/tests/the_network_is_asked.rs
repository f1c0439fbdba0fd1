//! A relay, a directory and a PDS on loopback, all from one world of signed repositories: what is followed becomes what
//! was signed, whether it was on the stream, was there before, or was missed.
#![cfg(feature = "net")]
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, reason = "tests")]

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::Path as FilePath;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use appview_core::index::{Index, IndexError};
use appview_core::query::ExportFilter;
use appview_core::record::{Catalog, Collection};
use appview_core::source::follow::{Answers, Following, Pulse, Source, follow};
use appview_core::source::network::Network;
use appview_core::source::wire::{Outside, Reach};
use appview_core::sync::Scope;
use axum::Router;
use axum::extract::ws::{Message, WebSocketUpgrade};
use axum::extract::{Path, RawQuery, State};
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use fixtures::world::Did;
use fixtures::{KeyKind, World, Write, records};
use serde_json::{Value as Json, json};
use tokio::sync::watch;

/// Everything on one port: relay, directory and PDS.
#[derive(Clone)]
struct Host(Arc<Inner>);

struct Inner {
    world: Mutex<World>,
    frames: Mutex<Vec<(i64, Vec<u8>)>>,
    told: watch::Sender<()>,
    /// Requests by path, as they came.
    asked: Mutex<Vec<String>>,
    /// How many of the next exports are answered with 429 and nothing else.
    busy: Mutex<u32>,
}

impl Host {
    async fn start() -> (Self, SocketAddr) {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let host = Self(Arc::new(Inner {
            world: Mutex::new(World::new(1)),
            frames: Mutex::default(),
            told: watch::channel(()).0,
            asked: Mutex::default(),
            busy: Mutex::new(0),
        }));
        let routes = Router::new()
            .route("/{did}", get(document))
            .route("/{did}/log/audit", get(audit_log))
            .route("/xrpc/com.atproto.sync.subscribeRepos", get(subscribe))
            .route("/xrpc/com.atproto.sync.{method}", get(sync))
            .with_state(host.clone());
        tokio::spawn(async move { axum::serve(listener, routes).await.unwrap() });
        (host, address)
    }

    /// An account whose document names this host.
    fn account(&self, address: SocketAddr) -> Did {
        let mut world = self.0.world.lock().unwrap();
        let did = world.create_account(KeyKind::K256);
        world.genesis_frames(&did);
        world.migrate(&did, &format!("http://{address}"));
        did
    }

    /// Signs a commit, and sends it if anyone is to hear of it.
    fn commit(&self, did: &Did, writes: Vec<Write>, heard: bool) {
        let mut world = self.0.world.lock().unwrap();
        world.advance(1_000_000);
        let frame = world.commit(did, writes);
        if heard {
            self.0.frames.lock().unwrap().push((i64::try_from(frame.seq.unwrap()).unwrap(), frame.bytes));
            self.0.told.send_replace(());
        }
    }

    /// What was signed and is in scope, CIDs by URI.
    fn truth(&self) -> BTreeMap<String, String> {
        let world = self.0.world.lock().unwrap();
        let dids: Vec<Did> = world.dids().cloned().collect();
        let records = dids.iter().flat_map(|did| {
            let records = world.records(did).into_iter();
            records.map(move |(path, cid)| (format!("at://{did}/{path}"), cid.to_string()))
        });
        records.filter(|(uri, _)| uri.contains("/dev.cocore.")).collect()
    }

    fn times_asked(&self, what: &str) -> usize {
        self.0.asked.lock().unwrap().iter().filter(|asked| asked.contains(what)).count()
    }
}

async fn document(State(host): State<Host>, Path(did): Path<String>) -> Response {
    host.0.asked.lock().unwrap().push(did.clone());
    let world = host.0.world.lock().unwrap();
    if !world.dids().any(|known| **known == *did) {
        return StatusCode::NOT_FOUND.into_response();
    }
    axum::Json(world.did_document(&did)).into_response()
}

async fn audit_log(State(host): State<Host>, Path(did): Path<String>) -> axum::Json<Json> {
    axum::Json(host.0.world.lock().unwrap().plc_entry(&did)["operations"].clone())
}

async fn subscribe(
    State(host): State<Host>,
    RawQuery(query): RawQuery,
    upgrade: WebSocketUpgrade,
) -> Response {
    let cursor: i64 =
        query.as_deref().and_then(|q| q.strip_prefix("cursor=")).map_or(0, |c| c.parse().unwrap());
    upgrade.on_upgrade(move |mut socket| async move {
        let (mut sent, mut told) = (cursor, host.0.told.subscribe());
        loop {
            let news: Vec<_> =
                host.0.frames.lock().unwrap().iter().filter(|(seq, _)| *seq > sent).cloned().collect();
            for (seq, frame) in news {
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

async fn sync(State(host): State<Host>, Path(method): Path<String>, RawQuery(query): RawQuery) -> Response {
    let query = query.unwrap_or_default();
    host.0.asked.lock().unwrap().push(format!("{method}?{query}"));
    let did = query.split('&').find_map(|pair| pair.strip_prefix("did=")).unwrap_or_default().to_owned();
    let world = host.0.world.lock().unwrap();
    match method.as_str() {
        "listReposByCollection" => {
            let collection = query.split('&').find_map(|pair| pair.strip_prefix("collection=")).unwrap();
            let has =
                |did: &&Did| world.records(did).keys().any(|path| path.split('/').next() == Some(collection));
            let repos: Vec<Json> = world.dids().filter(has).map(|did| json!({"did": **did})).collect();
            axum::Json(json!({"repos": repos})).into_response()
        }
        "getLatestCommit" => {
            let head = world.head(&did);
            axum::Json(json!({"cid": head.commit.to_string(), "rev": head.rev})).into_response()
        }
        "getRepo" => {
            let mut busy = host.0.busy.lock().unwrap();
            if *busy > 0 {
                *busy -= 1;
                return (
                    StatusCode::TOO_MANY_REQUESTS,
                    [(header::RETRY_AFTER, "0")],
                    "<html>slow down</html>",
                )
                    .into_response();
            }
            world.car(&did).into_response()
        }
        _ => StatusCode::NOT_IMPLEMENTED.into_response(),
    }
}

/// Follows the host until the index holds what was signed.
async fn follow_until_equal(host: &Host, address: SocketAddr, folder: &FilePath) {
    let index = Index::open(folder.join("index.db")).unwrap();
    let writer = index.writer(Catalog::builtin().unwrap()).unwrap();
    let outside = Outside::internet(Reach::Anywhere).unwrap();
    let network = Network::new(&outside, &format!("http://{address}"), folder.to_owned(), Scope::default());
    let collections = Collection::ALL.iter().map(|collection| collection.nsid().parse().unwrap()).collect();
    let sources = vec![Source::Relay(format!("ws://{address}").parse().unwrap())];
    let following = Following::new(sources, Answers::Network { network, collections }, outside);
    let (expected, at_rest) = (host.truth(), index.clone());
    let equal = async move {
        // What is asked for is a state, not a moment: it is looked at until it is there.
        while held(&at_rest) != expected {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    let timely =
        async move { tokio::time::timeout(Duration::from_secs(30), equal).await.expect("never equal") };
    drop(follow(writer, following, Pulse::default(), timely).await.unwrap());
}

fn held(index: &Index) -> BTreeMap<String, String> {
    let mut held = BTreeMap::new();
    let keep = |record: appview_core::query::RecordView| {
        held.insert(record.uri().to_string(), record.cid.to_string());
        Ok::<_, IndexError>(())
    };
    index.reader().unwrap().export(&ExportFilter::default(), keep).unwrap();
    held
}

fn profile(name: &str) -> Write {
    Write::create("dev.cocore.account.profile", "self", records::profile(name, 0))
}

fn friend(rkey: &str) -> Write {
    Write::create("dev.cocore.account.friend", rkey, records::friend("did:web:friend.example", 0))
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_there_before_us_is_found_fetched_and_proven() {
    let (host, address) = Host::start().await;
    let folder = tempfile::tempdir().unwrap();
    for name in ["Ada", "Boris", "Chen"] {
        let did = host.account(address);
        host.commit(&did, vec![profile(name), friend("a"), friend("b")], false);
    }
    follow_until_equal(&host, address, folder.path()).await;
    assert_eq!(host.times_asked("getRepo?"), 3);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_happens_while_we_are_away_is_made_good_by_the_next_commit() {
    let (host, address) = Host::start().await;
    let folder = tempfile::tempdir().unwrap();
    let did = host.account(address);
    host.commit(&did, vec![profile("Ada"), friend("a"), friend("b")], true);
    follow_until_equal(&host, address, folder.path()).await;
    // Nobody hears of the delete.
    host.commit(&did, vec![Write::delete("dev.cocore.account.friend", "a")], false);
    host.commit(&did, vec![friend("c")], true);
    follow_until_equal(&host, address, folder.path()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn another_relay_than_before_leads_to_a_proof_of_every_repository() {
    let (host, address) = Host::start().await;
    let folder = tempfile::tempdir().unwrap();
    let (quiet, changed) = (host.account(address), host.account(address));
    host.commit(&quiet, vec![profile("Ada")], false);
    host.commit(&changed, vec![profile("Boris"), friend("a")], false);
    follow_until_equal(&host, address, folder.path()).await;
    // The stream never tells of this, and nothing was ever on it that could leave a cursor.
    host.commit(&changed, vec![Write::delete("dev.cocore.account.friend", "a")], false);
    follow_until_equal(&host, address, folder.path()).await;
    // Whoever has what we have is not asked for all of it again.
    assert_eq!(host.times_asked(&format!("getRepo?did={quiet}")), 1);
    assert_eq!(host.times_asked(&format!("getRepo?did={changed}")), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_host_that_is_busy_is_asked_again() {
    let (host, address) = Host::start().await;
    let folder = tempfile::tempdir().unwrap();
    let did = host.account(address);
    host.commit(&did, vec![profile("Ada")], false);
    *host.0.busy.lock().unwrap() = 1;
    follow_until_equal(&host, address, folder.path()).await;
    assert_eq!(host.times_asked("getRepo?"), 2);
}
