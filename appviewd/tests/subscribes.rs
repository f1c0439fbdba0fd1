//! The feed over a WebSocket, as clients of Jetstream's first version use it: each by its habits.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, reason = "tests")]

#[path = "../../appview-core/tests/network/mod.rs"]
mod network;
mod support;

use std::collections::BTreeMap;
use std::io::{BufRead as _, BufReader};
use std::net::SocketAddr;
use std::process::{Child, Stdio};
use std::time::Duration;

use appview_core::index::{FeedSeq, Index, IndexWriter};
use appview_core::source::backlog::Progress;
use appview_core::source::follow::Pulse;
use appview_core::source::orders::Orders;
use appview_core::sync::{Change, Hosting};
use appview_core::syntax::{Datetime, Tid};
use appviewd::engine::Engine;
use appviewd::http::{self, App, Subscribers, Terms};
use fixtures::{Cid, Ipld, KeyKind, Write, recording, records};
use futures_util::{SinkExt as _, StreamExt as _};
use network::{Network, Scratch, catalog, did};
use serde_json::{Value as Json, json};
use support::relay::{Relay, seq};
use support::{Scenario, listed};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio::time::Instant;
use tokio_tungstenite::tungstenite::client::IntoClientRequest as _;
use tokio_tungstenite::tungstenite::{Error as SocketError, Message};
use tokio_tungstenite::{WebSocketStream, client_async};

/// How long anything here may take before something must be wrong.
const PATIENCE: Duration = Duration::from_secs(60);
/// When the first transaction is, in microseconds: a moment in 2026.
const START: u64 = 1_791_105_300_000_000;

/// An index with one account, and the service that tells of it.
struct Service {
    network: Network,
    account: fixtures::Did,
    scratch: Scratch,
    writer: Option<IndexWriter>,
    news: watch::Sender<FeedSeq>,
    now: u64,
    address: SocketAddr,
    stop: watch::Sender<bool>,
    serving: JoinHandle<()>,
}

impl Service {
    async fn start() -> Self {
        Self::with(Terms::default()).await
    }

    async fn with(terms: Terms) -> Self {
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
        let app = App::new(engine, Duration::from_secs(60), stopped.clone(), subscribers.clone());
        // What waits for a reader that does not read is to wait in the service, not in the system.
        let socket = TcpSocket::new_v4().unwrap();
        socket.set_send_buffer_size(16 << 10).unwrap();
        socket.bind("127.0.0.1:0".parse().unwrap()).unwrap();
        let listener: TcpListener = socket.listen(1024).unwrap();
        let address = listener.local_addr().unwrap();
        let serving = tokio::spawn(async move {
            let answering = tokio::spawn(http::serve(listener, http::routes(app), stopped.clone()));
            let _ = stopped.wait_for(|stopped| *stopped).await;
            subscribers.close();
            answering.await.unwrap();
            subscribers.closed().await;
        });
        Self { network, account, scratch, writer, news, now: START, address, stop, serving }
    }

    /// Applies a change in a transaction of its own, a second after the one before, and tells subscribers.
    fn apply(&mut self, change: Change) {
        let applied = self.writer.as_mut().unwrap().apply(&[change], &[], self.now).unwrap();
        assert_eq!(applied.refused, []);
        self.now += 1_000_000;
        self.news.send_replace(applied.feed);
    }

    fn commit(&mut self, writes: Vec<Write>) {
        let commit = self.network.commit(&self.account, writes);
        self.apply(commit);
    }

    /// Commits a friend for each key.
    fn befriend(&mut self, keys: &[&str]) {
        self.commit(keys.iter().map(|key| Write::create(records::FRIEND, key, friend(1))).collect());
    }

    fn host(&mut self, hosting: Hosting) {
        self.apply(Change::Hosting { did: did(&self.account), hosting });
    }

    async fn subscribe(&self, query: &str) -> Client {
        Client::connect(self.address, query).await
    }

    /// A client that takes the next place that is free.
    async fn place(&self) -> Client {
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
    async fn refusal(&self, query: &str) -> (u16, String, Option<String>) {
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

    async fn stop(self) {
        self.stop.send_replace(true);
        tokio::time::timeout(PATIENCE, self.serving).await.expect("it stops").unwrap();
    }
}

fn friend(subject: u64) -> Ipld {
    records::friend(&format!("did:web:f{subject}.example"), 0)
}

/// A client that takes nothing that a strict one would not take.
struct Client {
    socket: WebSocketStream<TcpStream>,
    last: u64,
}

impl Client {
    async fn connect(address: SocketAddr, query: &str) -> Self {
        Self::over(TcpStream::connect(address).await.unwrap(), address, query, &[]).await
    }

    async fn over(
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
    async fn frame(&mut self) -> Option<Result<Message, SocketError>> {
        tokio::time::timeout(PATIENCE, self.socket.next()).await.expect("something comes")
    }

    /// The next event.
    async fn event(&mut self) -> Json {
        loop {
            match self.frame().await {
                Some(Ok(Message::Text(text))) => return self.parse(&text),
                Some(Ok(Message::Ping(_))) => {}
                other => panic!("expected an event, found {other:?}"),
            }
        }
    }

    fn parse(&mut self, text: &str) -> Json {
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
    async fn words(&mut self, count: usize) -> Vec<String> {
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

    async fn say(&mut self, text: &str) {
        self.socket.send(Message::text(text)).await.unwrap();
    }

    /// Asserts that no event is under way.
    async fn hears_nothing(&mut self) {
        // What it was busy with when it heard the first ping, it has sent before it hears the second.
        for _ in 0..2 {
            assert_eq!(self.rest().await, Vec::<Json>::new());
        }
    }

    /// Whatever is sent before the answer to a ping: all there is, if it is less than a page.
    async fn rest(&mut self) -> Vec<Json> {
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
    async fn closing(&mut self) -> (u16, String) {
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

#[tokio::test(flavor = "multi_thread")]
async fn events_are_written_as_jetstream_writes_them() {
    let mut service = Service::start().await;
    let mut client = service.subscribe("").await;
    client.hears_nothing().await;
    let link: Cid = "bafyreifnbw4lj6hpvyp3tzrb6zqmmgw4ljsiif67locmy4jxrmg7m72uyu".parse().unwrap();
    let thing = |bytes: &[u8]| {
        let members = [
            ("$type".to_owned(), Ipld::String("dev.cocore.test.thing".to_owned())),
            ("bytes".to_owned(), Ipld::Bytes(bytes.to_vec())),
            ("link".to_owned(), Ipld::Link(link)),
            ("text".to_owned(), Ipld::String("a \"quoted\"\nword \u{1f600}".to_owned())),
        ];
        Ipld::Map(members.into())
    };
    service.commit(vec![Write::create("dev.cocore.test.thing", "a", thing(b"\xfb\xff"))]);
    let head = |service: &Service| service.network.world.head(&service.account).rev.clone();
    let cid = |service: &Service| {
        service.network.world.records(&service.account)["dev.cocore.test.thing/a"].to_string()
    };
    let account = service.account.to_string();
    let written = json!({
        "$type": "dev.cocore.test.thing", "bytes": {"$bytes": "+/8"}, "link": {"$link": link.to_string()},
        "text": "a \"quoted\"\nword \u{1f600}",
    });
    assert_eq!(
        client.event().await,
        json!({"did": account, "time_us": START, "kind": "commit", "commit": {
            "rev": head(&service), "operation": "create", "collection": "dev.cocore.test.thing", "rkey": "a",
            "record": written, "cid": cid(&service),
        }})
    );
    service.commit(vec![Write::update("dev.cocore.test.thing", "a", thing(b""))]);
    let event = client.event().await;
    assert_eq!(
        (&event["commit"]["operation"], &event["commit"]["cid"]),
        (&json!("update"), &json!(cid(&service)))
    );
    service.commit(vec![Write::delete("dev.cocore.test.thing", "a")]);
    assert_eq!(
        client.event().await,
        json!({"did": account, "time_us": START + 2_000_000, "kind": "commit", "commit": {
            "rev": head(&service), "operation": "delete", "collection": "dev.cocore.test.thing", "rkey": "a",
        }})
    );
    service.host(Hosting::Deactivated);
    assert_eq!(
        client.event().await,
        json!({"did": account, "time_us": START + 3_000_000, "kind": "account", "account": {
            "active": false, "did": account, "seq": START + 3_000_000, "status": "deactivated",
            "time": "2026-10-04T09:15:03.000Z",
        }})
    );
    service.host(Hosting::Inactive);
    assert_eq!(client.event().await["account"].get("status"), None, "it has no word");
    service.host(Hosting::Returning);
    assert_eq!(client.words(1).await, ["false desynchronized"]);
    service.host(Hosting::Active);
    let event = client.event().await;
    assert_eq!((&event["account"]["active"], event["account"].get("status")), (&json!(true), None));
    service.apply(Change::Erase { did: did(&account), hosting: Hosting::Deleted });
    assert_eq!(client.words(1).await, ["false deleted"]);
    service.stop().await;
}

/// `@skyware/jetstream`: filters in the URL; goes on at the highest `time_us` it has seen.
#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_comes_back_hears_its_last_event_again_and_misses_none() {
    let mut service = Service::start().await;
    service.befriend(&["a", "b"]);
    service.commit(vec![Write::create(records::PROFILE, "self", records::profile("Ada", 0))]);
    let filter = "wantedCollections=dev.cocore.account.friend&wantedCollections=dev.cocore.compute.*";
    let filter = format!("{filter}&wantedDids={}&wantedDids=did:web:nobody.example", service.account);
    let mut client = service.subscribe(&format!("?{filter}&cursor=0")).await;
    assert_eq!(client.words(2).await, ["create a", "create b"]);
    let last = client.last;
    drop(client);
    service.befriend(&["c"]);
    let mut client = service.subscribe(&format!("?{filter}&cursor={last}")).await;
    assert_eq!(client.words(2).await, ["create b", "create c"]);
    service.commit(vec![Write::delete(records::FRIEND, "a")]);
    assert_eq!(client.words(1).await, ["delete a"]);
    // Of accounts it is told whatever the collections.
    service.host(Hosting::Suspended);
    assert_eq!(client.words(1).await, ["false suspended"]);
    let mut other = service.subscribe("?wantedDids=did:web:nobody.example&cursor=0").await;
    other.hears_nothing().await;
    service.stop().await;
}

/// `@atcute/jetstream`: at the root, says hello with its filters, leaves out what it does not limit.
#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_says_hello_is_sent_nothing_before() {
    let mut service = Service::start().await;
    service.befriend(&["a"]);
    let mut client = service.subscribe(&format!("?requireHello=true&cursor={START}")).await;
    service.befriend(&["b"]);
    client.hears_nothing().await;
    client.say(r#"{"type":"something_else","payload":{}}"#).await;
    client.socket.send(Message::binary(b"{}".to_vec())).await.unwrap();
    client.hears_nothing().await;
    let hello = r#"{"type":"options_update","payload":{"wantedCollections":["dev.cocore.account.*"]}}"#;
    client.say(hello).await;
    assert_eq!(client.words(2).await, ["create a", "create b"]);
    service.befriend(&["c"]);
    assert_eq!(client.words(1).await, ["create c"]);
    // Later ones replace what the first one wanted.
    let other = r#"{"type":"options_update","payload":{"wantedCollections":["dev.cocore.account.profile"]}}"#;
    client.say(other).await;
    client.hears_nothing().await;
    service.befriend(&["d"]);
    service.commit(vec![Write::create(records::PROFILE, "self", records::profile("Ada", 0))]);
    assert_eq!(client.words(1).await, ["create self"]);
    client.say(r#"{"type":"options_update"}"#).await;
    client.hears_nothing().await;
    service.befriend(&["e"]);
    assert_eq!(client.words(1).await, ["create e"]);
    service.stop().await;
}

/// The official client in Go asks for zstd by a header, `jetstream-oxide` by a parameter, and ends at a frame that it
/// cannot parse. Without the dictionary there is only text.
#[tokio::test(flavor = "multi_thread")]
async fn whoever_asks_for_compression_is_sent_text() {
    let mut service = Service::start().await;
    service.befriend(&["a"]);
    for (query, headers) in [
        ("?cursor=0&compress=true", &[][..]),
        ("?cursor=0&compress=false", &[]),
        ("?cursor=0&maxSize=0", &[("socket-encoding", "zstd")]),
    ] {
        let stream = TcpStream::connect(service.address).await.unwrap();
        let mut client = Client::over(stream, service.address, query, headers).await;
        assert_eq!(client.words(1).await, ["create a"], "{query}");
    }
    service.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cursor_is_where_it_is_whatever_lies_there() {
    let mut service = Service::start().await;
    service.befriend(&["a"]);
    service.befriend(&["b"]);
    let (first, second) = (START, START + 1_000_000);
    let future = u64::MAX >> 1;
    let mut live = Vec::new();
    for cursor in [String::new(), format!("cursor={future}"), format!("cursor={}", second + 1)] {
        let mut client = service.subscribe(&format!("?{cursor}")).await;
        client.hears_nothing().await;
        live.push(client);
    }
    for (cursor, expected) in [
        (-1, &["create a", "create b"][..]),
        (0, &["create a", "create b"]),
        (1, &["create a", "create b"]),
        (first.cast_signed(), &["create a", "create b"]),
        (first.cast_signed() + 1, &["create b"]),
        (second.cast_signed(), &["create b"]),
    ] {
        let mut client = service.subscribe(&format!("?cursor={cursor}")).await;
        assert_eq!(client.words(expected.len()).await, expected, "{cursor}");
        client.hears_nothing().await;
    }
    service.befriend(&["c"]);
    for mut client in live {
        assert_eq!(client.words(1).await, ["create c"]);
    }
    service.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn events_longer_than_a_client_takes_are_left_out() {
    let mut service = Service::start().await;
    let long = Ipld::Map(
        [
            ("$type".to_owned(), Ipld::String("dev.cocore.test.long".to_owned())),
            ("text".to_owned(), Ipld::String("x".repeat(1_000))),
        ]
        .into(),
    );
    service.befriend(&["a"]);
    service.commit(vec![Write::create("dev.cocore.test.long", "b", long)]);
    service.befriend(&["c"]);
    let mut client = service.subscribe("?cursor=0&maxMessageSizeBytes=1000").await;
    assert_eq!(client.words(2).await, ["create a", "create c"]);
    for unlimited in ["", "much", "-1", "0", "5000"] {
        let mut client = service.subscribe(&format!("?cursor=0&maxMessageSizeBytes={unlimited}")).await;
        assert_eq!(client.words(3).await, ["create a", "create b", "create c"]);
    }
    service.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_makes_no_sense_is_answered_before_the_upgrade_or_closes_the_connection() {
    let service = Service::start().await;
    for (query, told) in [
        ("?cursor=now", "invalid cursor: expected an integer of microseconds since 1970, found \"now\""),
        (
            "?wantedCollections=*",
            "invalid subscriber options: wantedCollections: expected an NSID or a prefix",
        ),
        ("?wantedCollections=", "invalid subscriber options: wantedCollections: "),
        ("?wantedDids=alice.example", "invalid subscriber options: wantedDids: "),
    ] {
        let (status, text, _) = service.refusal(query).await;
        assert_eq!(status, 400, "{query}");
        assert!(text.starts_with(told), "{query}: {text}");
    }
    for hello in ["", "?requireHello=true"] {
        for (said, code, told) in [
            ("{", 1007, "invalid message: expected JSON"),
            (
                r#"{"type":"options_update","payload":{"wantedDids":["alice"]}}"#,
                1008,
                "invalid subscriber options",
            ),
        ] {
            let mut client = service.subscribe(hello).await;
            client.say(said).await;
            let (found, reason) = client.closing().await;
            assert_eq!(found, code);
            assert!(reason.starts_with(told) && reason.len() <= 123, "{reason}");
        }
    }
    // Without an upgrade there is no feed.
    let mut socket = TcpStream::connect(service.address).await.unwrap();
    let request = "GET /subscribe HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n";
    socket.write_all(request.as_bytes()).await.unwrap();
    let mut answer = String::new();
    socket.read_to_string(&mut answer).await.unwrap();
    assert!(answer.starts_with("HTTP/1.1 400 "), "{answer}");
    service.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn more_subscribers_than_places_are_told_to_come_back() {
    let mut service = Service::with(Terms { most: 2, ..Terms::default() }).await;
    let mut first = service.subscribe("").await;
    let mut second = service.subscribe("").await;
    let (status, _, retry_after) = service.refusal("").await;
    assert_eq!((status, retry_after.as_deref()), (503, Some("60")));
    first.socket.close(None).await.unwrap();
    while first.frame().await.is_some() {}
    // Its place is free as soon as the service knows.
    let mut third = service.place().await;
    third.hears_nothing().await;
    second.hears_nothing().await;
    service.befriend(&["a"]);
    assert_eq!(second.words(1).await, ["create a"]);
    assert_eq!(third.words(1).await, ["create a"]);
    service.stop().await;
}

/// A fork of `jetstream-oxide` reconnects after 15 seconds without a frame of any kind.
#[tokio::test(start_paused = true)]
async fn a_quiet_stream_is_pinged_every_ten_seconds() {
    let mut service = Service::start().await;
    let mut client = service.subscribe("?cursor=0").await;
    service.befriend(&["a"]);
    assert_eq!(client.words(1).await, ["create a"]);
    for _ in 0..20 {
        let before = Instant::now();
        let frame = client.frame().await;
        assert!(matches!(frame, Some(Ok(Message::Ping(_)))), "{frame:?}");
        assert!(before.elapsed() <= Duration::from_secs(10), "{:?}", before.elapsed());
    }
    // An event that is left out by a filter is none.
    let nobody = r#"{"type":"options_update","payload":{"wantedDids":["did:web:nobody.example"]}}"#;
    client.say(nobody).await;
    client.hears_nothing().await;
    let before = Instant::now();
    for key in ["b", "c", "d"] {
        tokio::time::advance(Duration::from_secs(3)).await;
        service.befriend(&[key]);
    }
    assert!(matches!(client.frame().await, Some(Ok(Message::Ping(_)))));
    assert!(before.elapsed() <= Duration::from_secs(10), "{:?}", before.elapsed());
    service.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_client_that_answers_no_ping_for_a_minute_is_gone() {
    let service = Service::start().await;
    let Client { mut socket, .. } = service.subscribe("").await;
    // Reads what comes, and never lets its library answer.
    let stream = socket.get_mut();
    let (begun, mut bytes) = (Instant::now(), Vec::new());
    tokio::time::timeout(PATIENCE * 10, stream.read_to_end(&mut bytes)).await.expect("it is let go").unwrap();
    let waited = begun.elapsed();
    assert!(waited >= Duration::from_secs(55) && waited <= Duration::from_secs(75), "{waited:?}");
    // A ping is two bytes.
    assert_eq!(bytes, [0x89, 0].repeat(bytes.len() / 2));
    service.stop().await;
}

/// A connection whose system takes little in advance.
async fn narrow(address: SocketAddr) -> TcpStream {
    let socket = TcpSocket::new_v4().unwrap();
    socket.set_recv_buffer_size(4 << 10).unwrap();
    socket.connect(address).await.unwrap()
}

/// Fills the feed with records of two kilobytes each.
fn fill(service: &mut Service, commits: u64) {
    for commit in 0..commits {
        let text = Ipld::String("y".repeat(2_000));
        let writes = (0..100).map(|number| {
            let members = [
                ("$type".to_owned(), Ipld::String("dev.cocore.test.filler".to_owned())),
                ("text".to_owned(), text.clone()),
            ];
            Write::create("dev.cocore.test.filler", &format!("{commit}-{number}"), Ipld::Map(members.into()))
        });
        service.commit(writes.collect());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_does_not_read_is_dropped() {
    let terms = Terms { most: 1, patience: Duration::from_millis(100), ..Terms::default() };
    let mut service = Service::with(terms).await;
    fill(&mut service, 5);
    let stream = narrow(service.address).await;
    let mut client = Client::over(stream, service.address, "?cursor=0", &[]).await;
    // The one place there is is free again when it is dropped; nothing is read of it until then.
    drop(service.place().await);
    let mut events = 0;
    let end = loop {
        match client.frame().await {
            Some(Ok(Message::Text(_))) => events += 1,
            Some(Ok(Message::Ping(_))) => {}
            other => break other,
        }
    };
    assert!(events < 500, "{events}");
    assert!(!matches!(end, Some(Ok(Message::Close(_)))), "{end:?}");
    service.stop().await;
}

/// Bytes of memory that this process has in use.
fn resident() -> u64 {
    let pages = std::fs::read_to_string("/proc/self/statm").unwrap();
    pages.split(' ').nth(1).unwrap().parse::<u64>().unwrap() * 4096
}

#[cfg(target_os = "linux")]
#[tokio::test(flavor = "multi_thread")]
async fn two_hundred_that_do_not_read_hold_up_nobody_and_hold_no_more_than_a_page_each() {
    const SLOW: usize = 200;
    let terms = Terms { most: 300, patience: PATIENCE * 10, ..Terms::default() };
    let mut service = Service::with(terms).await;
    // Six megabytes for each of them, if they were held.
    fill(&mut service, 30);
    let before = resident();
    let mut slow = Vec::new();
    for _ in 0..SLOW {
        let stream = narrow(service.address).await;
        slow.push(Client::over(stream, service.address, "?cursor=0", &[]).await);
    }
    // Each is stuck when one that reads has heard everything, since all take turns.
    let mut prompt = service.subscribe("?cursor=0").await;
    prompt.words(3_000).await;

    // The writer goes on, is heard at once, and finds no snapshot in the way of its log.
    let mut longest = Duration::ZERO;
    for round in 0..50 {
        let key = format!("k{round}");
        let commit =
            service.network.commit(&service.account, vec![Write::create(records::FRIEND, &key, friend(1))]);
        let begun = Instant::now();
        service.apply(commit);
        assert_eq!(prompt.words(1).await, [format!("create {key}")]);
        longest = longest.max(begun.elapsed());
        service.writer.as_mut().unwrap().write_back_log().unwrap();
    }
    let held = resident().saturating_sub(before);
    println!(
        "{SLOW} subscribers hold {} kB each; the longest way of an event was {longest:?}",
        held / 1024 / SLOW as u64
    );
    assert!(held < SLOW as u64 * 1_500_000, "{held} bytes");
    assert!(longest < Duration::from_secs(5), "{longest:?}");

    // Whoever begins to read has missed nothing.
    let mut late = slow.pop().unwrap();
    assert_eq!(late.words(3_050).await.last().unwrap(), "create k49");
    drop(slow);
    service.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_service_that_stops_says_goodbye() {
    let mut service = Service::start().await;
    service.befriend(&["a"]);
    let mut waiting = service.subscribe("?requireHello=true").await;
    let mut quiet = service.subscribe("?cursor=0").await;
    assert_eq!(quiet.words(1).await, ["create a"]);
    service.stop.send_replace(true);
    assert_eq!(quiet.closing().await, (1001, "the service stops".to_owned()));
    assert_eq!(waiting.closing().await, (1001, "the service stops".to_owned()));
    tokio::time::timeout(PATIENCE, service.serving).await.expect("it stops").unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_hears_of_an_index_that_is_rebuilt_meanwhile_is_sent_to_its_beginning() {
    let mut service = Service::start().await;
    let mut early = service.subscribe("").await;
    early.hears_nothing().await;
    service.befriend(&["a", "b"]);
    let mut client = service.subscribe("?cursor=0").await;
    assert_eq!(client.words(2).await, ["create a", "create b"]);
    assert_eq!(early.words(2).await, ["create a", "create b"], "the first change is no gap");
    service.network.commit(&service.account, vec![Write::delete(records::FRIEND, "a")]);
    service.writer = None;
    let (repo, now) = (service.network.repo(&service.account), service.now);
    let fill = |writer: &mut IndexWriter| writer.apply(&[repo], &[], now).map(drop);
    Index::rebuild(service.scratch.index.path(), catalog(), fill).unwrap();
    service.writer = Some(service.scratch.writer());
    service.befriend(&["c"]);
    // Nothing in the new feed says that `a` is gone.
    let told = (1012, "the index was built anew; start from cursor=0".to_owned());
    assert_eq!(client.closing().await, told);
    assert_eq!(early.closing().await, told);
    let mut client = service.subscribe("?cursor=0").await;
    assert_eq!(client.words(2).await, ["create b", "create c"]);
    service.befriend(&["d"]);
    assert_eq!(client.words(1).await, ["create d"]);
    service.stop().await;
}

/// Starts the daemon as a process; killed when it is dropped.
struct Process(Child, SocketAddr);

impl Process {
    fn start(scenario: &Scenario, relay: &Relay) -> Self {
        let (url, files) = (relay.url(), ["--identities", "plc.json", "--repos", "repos"]);
        let mut command =
            scenario.command(&["--log", "json", "serve", "--relay", &url, "--listen", "127.0.0.1:0"]);
        let mut child = command.args(files).stderr(Stdio::piped()).spawn().unwrap();
        let mut log = BufReader::new(child.stderr.take().unwrap()).lines().map(Result::unwrap);
        let address = log
            .by_ref()
            .map(|line| serde_json::from_str::<Json>(&line).unwrap())
            .find(|line| line["fields"]["message"] == "answering")
            .map(|line| line["fields"]["address"].as_str().unwrap().parse().unwrap());
        // Whatever else it logs must not fill the pipe.
        std::thread::spawn(move || log.for_each(drop));
        Self(child, address.expect("it says where it answers"))
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // It may have ended already.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_of_a_killed_daemon_goes_on_from_its_last_event_and_misses_none() {
    let scenario = Scenario::new();
    let frames: Vec<_> = recording::frames_live().into_iter().map(<[u8]>::to_vec).collect();
    let (all, last) = (frames.len(), seq(frames.last().unwrap()));
    let relay = Relay::start(frames, 60).await;
    // What the client holds, by URI.
    let (mut held, mut cursor) = (BTreeMap::new(), 0);
    let take = |held: &mut BTreeMap<String, Json>, event: Json| {
        let commit = &event["commit"];
        let did = event["did"].as_str().unwrap().to_owned();
        if event["kind"] == "account" {
            held.retain(|uri, _| !uri.contains(&did));
        } else {
            let part = |name: &str| commit[name].as_str().unwrap().to_owned();
            let uri = format!("at://{did}/{}/{}", part("collection"), part("rkey"));
            match commit["operation"] == "delete" {
                true => drop(held.remove(&uri)),
                false => drop(held.insert(uri, commit["cid"].clone())),
            }
        }
    };
    // It is killed in the midst of frames that it was sent, of transactions, and of events that it sends.
    for (events, sent) in [(5, 90), (12, 130), (20, 216)] {
        let process = Process::start(&scenario, &relay);
        relay.tell(sent);
        let mut client = Client::connect(process.1, &format!("?cursor={cursor}")).await;
        for _ in 0..events {
            take(&mut held, client.event().await);
        }
        cursor = client.last;
        drop(process);
    }
    relay.tell(all);
    let process = Process::start(&scenario, &relay);
    let stored = async {
        let index = Index::open_existing(scenario.path("appview-data/index.db")).unwrap();
        while index.reader().unwrap().cursors().unwrap().first().is_none_or(|cursor| cursor.seq < last) {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(PATIENCE, stored).await.expect("all of it is stored");
    let mut client = Client::connect(process.1, &format!("?cursor={cursor}")).await;
    for event in client.rest().await {
        take(&mut held, event);
    }
    let expected: BTreeMap<String, Json> =
        listed().into_iter().map(|(uri, record)| (uri, record.cid.into())).collect();
    assert_eq!(held, expected);
}
