//! The feed over a WebSocket, as clients of Jetstream's first version use it: each by its habits.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, reason = "tests")]

mod jetstream;
#[path = "../../appview-core/tests/network/mod.rs"]
mod network;
mod support;

use std::collections::BTreeMap;
use std::time::Duration;

use appview_core::index::{Index, IndexWriter};
use appview_core::sync::{Change, Hosting};
use fixtures::{Cid, Ipld, Write, recording, records};
use futures_util::SinkExt as _;
use jetstream::{Client, PATIENCE, START, Service};
use network::{catalog, did};
use serde_json::{Value as Json, json};
use support::daemon::Daemon;
use support::relay::{Relay, seq};
use support::{Scenario, listed};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::time::Instant;
use tokio_tungstenite::tungstenite::Message;

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

#[tokio::test(flavor = "multi_thread")]
async fn a_client_of_a_killed_daemon_goes_on_from_its_last_event_and_misses_none() {
    let scenario = Scenario::new();
    let frames: Vec<_> = recording::frames_live().into_iter().map(<[u8]>::to_vec).collect();
    let (all, last) = (frames.len(), seq(frames.last().unwrap()));
    let relay = Relay::start(frames, 60).await;
    let url = relay.url();
    let arguments = ["--relay", &url, "--identities", "plc.json", "--repos", "repos"];
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
        let process = Daemon::serve(&scenario, &arguments);
        relay.tell(sent);
        let mut client = Client::connect(process.address, &format!("?cursor={cursor}")).await;
        for _ in 0..events {
            take(&mut held, client.event().await);
        }
        cursor = client.last;
        drop(process);
    }
    relay.tell(all);
    let process = Daemon::serve(&scenario, &arguments);
    let stored = async {
        let index = Index::open_existing(scenario.path("appview-data/index.db")).unwrap();
        while index.reader().unwrap().cursors().unwrap().first().is_none_or(|cursor| cursor.seq < last) {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(PATIENCE, stored).await.expect("all of it is stored");
    let mut client = Client::connect(process.address, &format!("?cursor={cursor}")).await;
    for event in client.rest().await {
        take(&mut held, event);
    }
    let expected: BTreeMap<String, Json> =
        listed().into_iter().map(|(uri, record)| (uri, record.cid.into())).collect();
    assert_eq!(held, expected);
}
