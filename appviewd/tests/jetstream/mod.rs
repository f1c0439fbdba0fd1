//! A service that tells of an index, and a client of Jetstream's first version that takes nothing which a strict one would
//! not take.
#![allow(dead_code, unreachable_pub, reason = "each test binary uses a part")]
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, reason = "tests")]

use std::net::SocketAddr;
use std::time::Duration;

use appview_core::index::{FeedSeq, IndexWriter};
use appview_core::source::backlog::Progress;
use appview_core::source::follow::Pulse;
use appview_core::source::orders::Orders;
use appview_core::sync::{Change, Hosting};
use appview_core::syntax::{Datetime, Tid};
use appviewd::engine::Engine;
use appviewd::http::{self, Answering, App, Seats, Subscribers, Terms};
use fixtures::{Cid, Ipld, KeyKind, Write, records};
use futures_util::{SinkExt as _, StreamExt as _};
use serde_json::Value as Json;
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio_tungstenite::tungstenite::client::IntoClientRequest as _;
use tokio_tungstenite::tungstenite::{Error as SocketError, Message};
use tokio_tungstenite::{WebSocketStream, client_async};

use crate::network::{Network, Scratch, did};

/// How long anything here may take before something must be wrong.
pub const PATIENCE: Duration = Duration::from_secs(60);
/// When the first transaction is, in microseconds: a moment in 2026.
pub const START: u64 = 1_791_105_300_000_000;

/// An index with one account, and the service that tells of it.
pub struct Service {
    pub network: Network,
    pub account: fixtures::Did,
    pub scratch: Scratch,
    pub writer: Option<IndexWriter>,
    news: watch::Sender<FeedSeq>,
    pub now: u64,
    pub address: SocketAddr,
    pub stop: watch::Sender<bool>,
    pub serving: JoinHandle<()>,
}

impl Service {
    pub async fn start() -> Self {
        Self::with(Terms::default()).await
    }

    pub async fn with(terms: Terms) -> Self {
        let mut network = Network::new(60);
        let account = network.world.create_account(KeyKind::K256);
        let scratch = Scratch::new();
        let writer = Some(scratch.writer());
        let news = watch::Sender::new(FeedSeq::START);
        let subscribers = Subscribers::new(scratch.index.clone(), news.subscribe(), terms);
        let engine = Engine {
            index: scratch.index.clone(),
            pulse: Pulse::default(),
            progress: Progress::default(),
            orders: Orders::default(),
        };
        let (stop, mut stopped) = watch::channel(false);
        let app = App::new(
            engine,
            Answering::alone(appview_core::trust::Terms::builtin().unwrap()),
            stopped.clone(),
            subscribers.clone(),
        );
        // What waits for a reader that does not read is to wait in the service, not in the system.
        let socket = TcpSocket::new_v4().unwrap();
        socket.set_send_buffer_size(16 << 10).unwrap();
        socket.bind("127.0.0.1:0".parse().unwrap()).unwrap();
        let listener: TcpListener = socket.listen(1024).unwrap();
        let address = listener.local_addr().unwrap();
        let serving = tokio::spawn(async move {
            let answering = tokio::spawn(http::serve(
                listener,
                http::routes(app, None),
                Seats::unlimited(),
                stopped.clone(),
            ));
            let _ = stopped.wait_for(|stopped| *stopped).await;
            subscribers.close();
            answering.await.unwrap();
            subscribers.closed().await;
        });
        Self { network, account, scratch, writer, news, now: START, address, stop, serving }
    }

    /// Applies a change in a transaction of its own, a second after the one before, and tells subscribers.
    pub fn apply(&mut self, change: Change) {
        let applied = self.writer.as_mut().unwrap().apply(&[change], &[], self.now).unwrap();
        assert_eq!(applied.refused, []);
        self.now += 1_000_000;
        self.news.send_replace(applied.feed);
    }

    pub fn commit(&mut self, writes: Vec<Write>) {
        let commit = self.network.commit(&self.account, writes);
        self.apply(commit);
    }

    /// Commits a friend for each key.
    pub fn befriend(&mut self, keys: &[&str]) {
        self.commit(keys.iter().map(|key| Write::create(records::FRIEND, key, friend(1))).collect());
    }

    pub fn host(&mut self, hosting: Hosting) {
        self.apply(Change::Hosting { did: did(&self.account), hosting });
    }

    pub async fn subscribe(&self, query: &str) -> Client {
        Client::connect(self.address, query).await
    }

    /// A client that takes the next place that is free.
    pub async fn place(&self) -> Client {
        let place = async {
            loop {
                let request = format!("ws://{}/subscribe", self.address).into_client_request().unwrap();
                let stream = TcpStream::connect(self.address).await.unwrap();
                if let Ok((socket, _)) = client_async(request, stream).await {
                    return Client { socket, last: 0 };
                }
            }
        };
        tokio::time::timeout(PATIENCE, place).await.expect("a place is free")
    }

    /// The text of an answer before any upgrade.
    pub async fn refusal(&self, query: &str) -> (u16, String, Option<String>) {
        let request = format!("ws://{}/subscribe{query}", self.address).into_client_request().unwrap();
        match client_async(request, TcpStream::connect(self.address).await.unwrap()).await {
            Err(SocketError::Http(answer)) => {
                let header =
                    |name: &str| answer.headers().get(name).map(|value| value.to_str().unwrap().to_owned());
                assert!(header("content-type").unwrap().starts_with("text/plain"));
                let text = String::from_utf8(answer.body().clone().unwrap_or_default()).unwrap();
                (answer.status().as_u16(), text, header("retry-after"))
            }
            other => panic!("{query}: expected a refusal, found {other:?}"),
        }
    }

    pub async fn stop(self) {
        self.stop.send_replace(true);
        tokio::time::timeout(PATIENCE, self.serving).await.expect("it stops").unwrap();
    }
}

pub fn friend(subject: u64) -> Ipld {
    records::friend(&format!("did:web:f{subject}.example"), 0)
}

/// A client that takes nothing that a strict one would not take.
pub struct Client {
    pub socket: WebSocketStream<TcpStream>,
    pub last: u64,
}

impl Client {
    pub async fn connect(address: SocketAddr, query: &str) -> Self {
        Self::over(TcpStream::connect(address).await.unwrap(), address, query, &[]).await
    }

    pub async fn over(
        stream: TcpStream,
        address: SocketAddr,
        query: &str,
        headers: &[(&'static str, &str)],
    ) -> Self {
        let mut request = format!("ws://{address}/subscribe{query}").into_client_request().unwrap();
        for (name, value) in headers {
            request.headers_mut().insert(*name, value.parse().unwrap());
        }
        let (socket, _) = client_async(request, stream).await.unwrap();
        Self { socket, last: 0 }
    }

    /// The next frame of any kind.
    pub async fn frame(&mut self) -> Option<Result<Message, SocketError>> {
        tokio::time::timeout(PATIENCE, self.socket.next()).await.expect("something comes")
    }

    /// The next event.
    pub async fn event(&mut self) -> Json {
        loop {
            match self.frame().await {
                Some(Ok(Message::Text(text))) => return self.parse(&text),
                Some(Ok(Message::Ping(_))) => {}
                other => panic!("expected an event, found {other:?}"),
            }
        }
    }

    pub fn parse(&mut self, text: &str) -> Json {
        let event: Json = serde_json::from_str(text).unwrap();
        let (time, kind) = (event["time_us"].as_u64().unwrap(), event["kind"].as_str().unwrap());
        assert!(time > self.last, "{time} after {}", self.last);
        self.last = time;
        assert!(event["did"].as_str().unwrap().starts_with("did:"));
        let mut members: Vec<&str> = event.as_object().unwrap().keys().map(String::as_str).collect();
        members.sort_unstable();
        let mut expected = ["did", "kind", kind, "time_us"];
        expected.sort_unstable();
        assert_eq!(members, expected);
        match kind {
            "commit" => {
                let commit = &event["commit"];
                commit["rev"].as_str().unwrap().parse::<Tid>().unwrap();
                if commit["operation"] != "delete" {
                    commit["cid"].as_str().unwrap().parse::<Cid>().unwrap();
                    assert!(commit["record"].is_object());
                }
            }
            "account" => {
                event["account"]["time"].as_str().unwrap().parse::<Datetime>().unwrap();
                assert_eq!(event["account"]["did"], event["did"]);
            }
            other => panic!("a kind that strict clients end at: {other}"),
        }
        event
    }

    /// The next so many events, each in a word.
    pub async fn words(&mut self, count: usize) -> Vec<String> {
        let mut words = Vec::new();
        for _ in 0..count {
            let event = self.event().await;
            let text = |pointer| event.pointer(pointer).and_then(Json::as_str).unwrap_or_default();
            words.push(match event["kind"].as_str().unwrap() {
                "commit" => format!("{} {}", text("/commit/operation"), text("/commit/rkey")),
                _ => format!("{} {}", event["account"]["active"], text("/account/status"))
                    .trim_end()
                    .to_owned(),
            });
        }
        words
    }

    pub async fn say(&mut self, text: &str) {
        self.socket.send(Message::text(text)).await.unwrap();
    }

    /// Asserts that no event is under way.
    pub async fn hears_nothing(&mut self) {
        // What it was busy with when it heard the first ping, it has sent before it hears the second.
        for _ in 0..2 {
            assert_eq!(self.rest().await, Vec::<Json>::new());
        }
    }

    /// Whatever is sent before the answer to a ping: all there is, if it is less than a page.
    pub async fn rest(&mut self) -> Vec<Json> {
        self.socket.send(Message::Ping(b"and then?".to_vec().into())).await.unwrap();
        let mut events = Vec::new();
        loop {
            match self.frame().await {
                Some(Ok(Message::Text(text))) => events.push(self.parse(&text)),
                Some(Ok(Message::Pong(_))) => return events,
                Some(Ok(Message::Ping(_))) => {}
                other => panic!("expected an event, found {other:?}"),
            }
        }
    }

    /// The code and the reason with which the connection is closed.
    pub async fn closing(&mut self) -> (u16, String) {
        loop {
            match self.frame().await {
                Some(Ok(Message::Close(Some(frame)))) => {
                    return (frame.code.into(), frame.reason.to_string());
                }
                Some(Ok(Message::Ping(_) | Message::Pong(_))) => {}
                other => panic!("expected a goodbye, found {other:?}"),
            }
        }
    }
}
