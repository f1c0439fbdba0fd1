//! Whoever asks too much, too slowly, too long or nonsense is told so or left, and everybody else is answered meanwhile.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, reason = "tests")]

mod support;

use std::net::SocketAddr;
use std::time::Duration;

use appviewd::command::serve::lift_file_limit;
use appviewd::config::Access;
use serde_json::json;
use support::http::{Reply, get, send, send_from};
use support::served::followed_by;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpSocket, TcpStream};

/// An address of the loopback that is not spared.
const STRANGER: [u8; 4] = [127, 0, 0, 2];
/// Another.
const OTHER: [u8; 4] = [127, 0, 0, 3];
/// A proxy of ours.
const PROXY: [u8; 4] = [127, 0, 0, 4];

const RECEIPTS: &str = "GET /xrpc/dev.cocore.compute.listReceipts?limit=1";

/// Less than those who say nothing are waited for.
const SOON: Duration = Duration::from_secs(20);

/// How long anything here may take before something must be wrong.
const PATIENCE: Duration = Duration::from_secs(60);

/// What an operator chooses who spares this very machine alone.
fn access() -> Access {
    Access {
        spare: vec!["127.0.0.1".parse().unwrap()],
        proxy: vec!["127.0.0.4".parse().unwrap()],
        ..Access::default()
    }
}

async fn connect(from: [u8; 4], to: SocketAddr) -> TcpStream {
    let socket = TcpSocket::new_v4().unwrap();
    socket.bind((from, 0).into()).unwrap();
    socket.connect(to).await.unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn an_address_may_ask_so_much_and_is_told_how_much_is_left() {
    let (_scenario, _relay, daemon) = followed_by(Access { rate_limit: 3, ..access() }).await;
    for left in ["2", "1", "0"] {
        let reply = send_from(STRANGER, daemon.address, RECEIPTS, &[]).await;
        assert_eq!((reply.status, reply.header("ratelimit-remaining")), (200, Some(left)));
        assert_eq!(reply.header("ratelimit-limit"), Some("3"));
        assert_eq!(reply.header("ratelimit-policy"), Some("3;w=300"));
        let reset: u64 = reply.header("ratelimit-reset").unwrap().parse().unwrap();
        assert!(reset > 1_700_000_000, "a moment, as a PDS tells it: {reset}");
    }
    let refused = send_from(STRANGER, daemon.address, RECEIPTS, &[("Origin", "https://a.example")]).await;
    assert_eq!((refused.status, refused.header("ratelimit-remaining")), (429, Some("0")));
    let wait: u64 = refused.header("retry-after").unwrap().parse().unwrap();
    assert!((1..=101).contains(&wait), "{wait}");
    assert_eq!(refused.json()["error"], "RateLimitExceeded");
    assert_eq!(refused.header("access-control-allow-origin"), Some("*"), "a page is told why");
    // Nobody else is.
    assert_eq!(send_from(OTHER, daemon.address, RECEIPTS, &[]).await.status, 200);
    // An answer that has been made is given by the same rules.
    assert_eq!(send_from(STRANGER, daemon.address, RECEIPTS, &[]).await.status, 429);
    let spared = send(daemon.address, RECEIPTS, &[]).await;
    assert_eq!((spared.status, spared.header("ratelimit-limit")), (200, None));
    daemon.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn behind_a_proxy_it_is_its_clients_whose_limits_count() {
    let (_scenario, _relay, daemon) = followed_by(Access { rate_limit: 1, ..access() }).await;
    let of = async |client| {
        send_from(PROXY, daemon.address, RECEIPTS, &[("X-Forwarded-For", client)]).await.status
    };
    assert_eq!((of("203.0.113.1").await, of("203.0.113.2").await), (200, 200));
    assert_eq!(of("203.0.113.1").await, 429);
    assert_eq!(of("203.0.113.9, 203.0.113.2").await, 429, "what a client made up before");
    // Who is no proxy is not believed.
    let claims = [("X-Forwarded-For", "203.0.113.3")];
    assert_eq!(send_from(STRANGER, daemon.address, RECEIPTS, &claims).await.status, 200);
    let claims = [("X-Forwarded-For", "203.0.113.4")];
    assert_eq!(send_from(STRANGER, daemon.address, RECEIPTS, &claims).await.status, 429);
    daemon.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn where_no_query_fits_any_more_it_is_said_at_once() {
    let (_scenario, _relay, daemon) = followed_by(Access { max_queries: 0, ..access() }).await;
    let refused = send(daemon.address, RECEIPTS, &[]).await;
    assert_eq!((refused.status, refused.header("retry-after")), (503, Some("1")));
    assert_eq!(refused.json()["error"], "NotEnoughResources");
    assert_eq!(refused.header("cache-control"), Some("no-store"));
    // Whether the service lives can be asked all the same.
    assert_eq!(get(daemon.address, "/healthz").await["ok"], json!(true));
    daemon.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_asks_and_leaves_takes_no_place_from_others() {
    let (_scenario, _relay, daemon) = followed_by(Access { max_queries: 8, ..access() }).await;
    for at in 0..200 {
        let mut socket = connect(STRANGER, daemon.address).await;
        let request = format!(
            "GET /xrpc/dev.cocore.appview.getFingerprint?by=repo&at={at} HTTP/1.1\r\nHost: a\r\n\r\n"
        );
        socket.write_all(request.as_bytes()).await.unwrap();
        drop(socket);
    }
    let asked = async {
        // Places are free again when the work has ended, not before.
        while send_from(OTHER, daemon.address, RECEIPTS, &[]).await.status != 200 {
            tokio::task::yield_now().await;
        }
        let fingerprint = "GET /xrpc/dev.cocore.appview.getFingerprint?by=repo";
        while send_from(OTHER, daemon.address, fingerprint, &[]).await.status != 200 {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(SOON, asked).await.expect("others are answered");
    daemon.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_address_holds_so_many_connections_and_others_are_answered() {
    let (_scenario, _relay, daemon) = followed_by(Access { max_connections: 4, ..access() }).await;
    let mut held = Vec::new();
    for _ in 0..4 {
        let mut socket = connect(STRANGER, daemon.address).await;
        // Begun, and never ended.
        socket.write_all(b"GET /healthz HTT").await.unwrap();
        held.push(socket);
    }
    for _ in 0..20 {
        let mut refused = connect(STRANGER, daemon.address).await;
        let mut nothing = Vec::new();
        // The connection may be reset as well as closed.
        let _ =
            tokio::time::timeout(PATIENCE, refused.read_to_end(&mut nothing)).await.expect("it is closed");
        assert_eq!(nothing, b"");
        assert_eq!(send_from(OTHER, daemon.address, RECEIPTS, &[]).await.status, 200);
    }
    // A place is free again as soon as one is left.
    let mut left = held.pop().unwrap();
    left.write_all(b"P/1.1\r\nHost: a\r\nConnection: close\r\n\r\n").await.unwrap();
    assert_eq!(Reply::read(&mut left).await.status, 200);
    drop(left);
    let again = async {
        loop {
            let mut socket = connect(STRANGER, daemon.address).await;
            let request = b"GET /healthz HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n";
            let mut answer = Vec::new();
            if socket.write_all(request).await.is_ok()
                && socket.read_to_end(&mut answer).await.is_ok()
                && !answer.is_empty()
            {
                return;
            }
        }
    };
    tokio::time::timeout(PATIENCE, again).await.expect("there is a place again");
    daemon.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_head_has_its_size_and_a_body_is_not_wanted() {
    let (_scenario, _relay, daemon) = followed_by(access()).await;
    let long = "a".repeat(20 << 10);
    for (line, headers) in [
        (RECEIPTS.to_owned(), vec![("Cookie", long.as_str())]),
        (format!("{RECEIPTS}&cursor={long}"), Vec::new()),
    ] {
        assert_eq!(send(daemon.address, &line, &headers).await.status, 431);
    }
    let many: Vec<(&str, &str)> = vec![("X", "y"); 200];
    assert_eq!(send(daemon.address, RECEIPTS, &many).await.status, 431);
    let refused = send(daemon.address, RECEIPTS, &[("Content-Length", "1000000000")]).await;
    assert_eq!((refused.status, &refused.json()["error"]), (413, &json!("PayloadTooLarge")));
    // A body that never comes is not waited for.
    assert_eq!(send(daemon.address, RECEIPTS, &[("Content-Length", "100")]).await.status, 200);
    daemon.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn nonsense_is_answered_and_costs_nothing_else() {
    let (_scenario, _relay, daemon) = followed_by(access()).await;
    for bytes in [
        &b"\r\n\r\n\r\n\r\n"[..],
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
        b"GET\r\n\r\n",
        b"GET / HTTP/9.9\r\n\r\n",
        b"GET /\x00 HTTP/1.1\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost : a\r\n\r\n",
        b"GET / HTTP/1.1\r\nContent-Length: -1\r\n\r\n",
        b"GET / HTTP/1.1\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n",
        b"GET / HTTP/1.1\r\nTransfer-Encoding: gzip\r\n\r\n",
    ] {
        let mut socket = connect(STRANGER, daemon.address).await;
        socket.write_all(bytes).await.unwrap();
        socket.shutdown().await.unwrap();
        let mut answer = Vec::new();
        let _ = tokio::time::timeout(PATIENCE, socket.read_to_end(&mut answer)).await.expect("it is left");
        let answer = String::from_utf8_lossy(&answer);
        assert!(
            answer.is_empty() || answer.starts_with("HTTP/1.1 4") || answer.starts_with("HTTP/1.0 4"),
            "{bytes:?}: {answer}"
        );
    }
    for query in [
        "?limit=%00",
        "?limit=9999999999999999999999",
        "?limit=-9999999999999999999999",
        "?%ff=%ff",
        "?&&&===",
        "?provider=%f0%28",
        "??limit=1",
        "?limit",
        "?limit[]=1",
        "?cursor=%00",
        "?cursor=AA",
        "?requester=did:plc:%F0%9F%92%A9",
        "?job=%27%20or%201=1--",
    ] {
        let reply =
            send(daemon.address, &format!("GET /xrpc/dev.cocore.compute.listReceipts{query}"), &[]).await;
        assert!(matches!(reply.status, 200 | 400), "{query}: {}", reply.head);
        assert!(reply.json().is_object(), "{query}");
    }
    for path in [
        "//",
        "/xrpc/",
        "/xrpc//",
        "/xrpc/%2e%2e/%2e%2e/etc/passwd",
        "/xrpc/dev.cocore.compute.listReceipts/..",
        "/%",
        "/%ff",
        "*",
    ] {
        let reply = send(daemon.address, &format!("GET {path}"), &[]).await;
        assert!(matches!(reply.status, 400 | 404 | 501), "{path}: {}", reply.head);
    }
    assert_eq!(get(daemon.address, "/healthz").await["ok"], json!(true));
    daemon.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn two_thousand_who_say_nothing_keep_nobody_waiting() {
    lift_file_limit();
    let (_scenario, _relay, daemon) = followed_by(access()).await;
    let mut held = Vec::new();
    for at in 0..2_000_u32 {
        // From as many addresses as it takes for all of them to be let in, were they not too many for each.
        let from = [127, 1, 0, u8::try_from(at % 4).unwrap() + 1];
        let mut socket = connect(from, daemon.address).await;
        // One byte is a head that has begun. A connection that is refused may be gone already.
        let _ = socket.write_all(b"G").await;
        held.push(socket);
    }
    for _ in 0..20 {
        let asked = tokio::time::timeout(SOON, send_from(OTHER, daemon.address, RECEIPTS, &[]));
        assert_eq!(asked.await.expect("it is answered").status, 200);
    }
    drop(held);
    daemon.stop().await;
}
