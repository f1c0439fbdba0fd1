//! An answer that is asked for again is the same, costs nothing, and is never older than what the index holds.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, reason = "tests")]

mod support;

use async_compression::tokio::bufread::{BrotliDecoder, GzipDecoder};
use support::Scenario;
use support::http::send;
use support::relay::{Relay, seq};
use support::served::{Served, followed, frames, wait_for};
use tokio::io::AsyncReadExt as _;

const RECEIPTS: &str = "GET /xrpc/dev.cocore.compute.listReceipts";

/// A daemon that has followed half of the recording. What comes with it has the relay tell the rest, and waits for that.
async fn halfway() -> (Scenario, Served, impl Future<Output = Relay>) {
    let scenario = Scenario::new();
    let frames = frames();
    let (half, last) = (seq(&frames[frames.len() / 2 - 1]), seq(frames.last().unwrap()));
    let (upto, all) = (frames.len() / 2, frames.len());
    let relay = Relay::start(frames, upto).await;
    let daemon = Served::start(&scenario, &[&relay]).await;
    wait_for(daemon.address, &relay, half).await;
    let address = daemon.address;
    let rest = async move {
        relay.tell(all);
        wait_for(address, &relay, last).await;
        relay
    };
    (scenario, daemon, rest)
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_names_the_answer_it_has_is_told_that_it_still_holds() {
    let (_scenario, _relay, daemon) = followed().await;
    let first = send(daemon.address, RECEIPTS, &[]).await;
    let tag = first.header("etag").unwrap();
    assert_eq!(first.header("cache-control"), Some("public, max-age=1"));
    assert_eq!(first.header("vary"), Some("accept-encoding"));
    for condition in [tag, tag.strip_prefix("W/").unwrap(), &format!("\"other\", {tag}"), "*"] {
        let again = send(daemon.address, RECEIPTS, &[("If-None-Match", condition)]).await;
        assert_eq!((again.status, again.body.len()), (304, 0), "{condition}");
        assert_eq!(again.header("etag"), Some(tag));
        assert_eq!(again.header("cache-control"), Some("public, max-age=1"));
        assert_eq!(again.header("content-type"), None);
    }
    let other = send(daemon.address, RECEIPTS, &[("If-None-Match", "\"other\"")]).await;
    assert_eq!((other.status, other.body), (200, first.body.clone()));
    // The tag is of what is said: each list has its own.
    let narrowed = send(daemon.address, &format!("{RECEIPTS}?limit=1"), &[]).await;
    assert!(narrowed.body.len() < first.body.len());
    assert_ne!(narrowed.header("etag"), Some(tag));
    daemon.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_change_of_the_index_makes_every_answer_anew() {
    let (_scenario, daemon, rest) = halfway().await;
    let before = send(daemon.address, RECEIPTS, &[]).await;
    let _relay = rest.await;
    let condition = [("If-None-Match", before.header("etag").unwrap())];
    let after = send(daemon.address, RECEIPTS, &condition).await;
    assert_eq!(after.status, 200);
    assert_ne!(after.header("etag"), before.header("etag"));
    let count = |body: &[u8]| {
        serde_json::from_slice::<serde_json::Value>(body).unwrap()["receipts"].as_array().unwrap().len()
    };
    assert!(count(&after.body) > count(&before.body), "{} receipts", count(&after.body));
    daemon.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_change_does_not_touch_still_holds_and_so_does_a_verdict_that_is_reached_again() {
    let (_scenario, daemon, rest) = halfway().await;
    let receipts = send(daemon.address, RECEIPTS, &[]).await.json();
    let uri = receipts["receipts"][0]["uri"].as_str().unwrap();
    let verdict = format!("GET /xrpc/dev.cocore.compute.verifyReceipt?uri={uri}");
    let nobody = format!("{RECEIPTS}?provider=did:web:nobody.example");
    let before = [send(daemon.address, &verdict, &[]).await, send(daemon.address, &nobody, &[]).await];
    let _relay = rest.await;
    for (line, before) in [verdict, nobody].iter().zip(before) {
        let tag = before.header("etag").unwrap();
        // Another query is another answer on the shelf: it is made anew, whatever is kept.
        let again = send(daemon.address, &format!("{line}&made=anew"), &[("If-None-Match", tag)]).await;
        assert_eq!((again.status, again.header("etag")), (304, Some(tag)), "{line}");
    }
    daemon.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_given_again_bears_all_that_it_bore() {
    let (_scenario, _relay, daemon) = followed().await;
    let headers = [("Accept-Encoding", "br"), ("Origin", "https://page.example")];
    // The name is the request's own, and the date is the moment's.
    let of_the_answer = |reply: &support::http::Reply| {
        let lines = reply
            .head
            .lines()
            .filter(|line| !line.starts_with("x-request-id: ") && !line.starts_with("date: "));
        let mut lines: Vec<String> = lines.map(str::to_owned).collect();
        lines.sort_unstable();
        lines
    };
    for line in [RECEIPTS.to_owned(), format!("{RECEIPTS}?cursor=nothing"), "GET /api".to_owned()] {
        let made = send(daemon.address, &line, &headers).await;
        let given = send(daemon.address, &line, &headers).await;
        assert_eq!(of_the_answer(&given), of_the_answer(&made), "{line}");
        assert_eq!(given.body, made.body);
        assert!(made.header("access-control-allow-origin").is_some());
        assert_ne!(given.header("x-request-id"), made.header("x-request-id"));
    }
    daemon.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_answer_is_the_same_however_it_is_packed() {
    let (_scenario, _relay, daemon) = followed().await;
    let plain = send(daemon.address, RECEIPTS, &[]).await;
    assert_eq!(plain.header("content-encoding"), None);
    // Twice each: made, and from the shelf.
    for _ in 0..2 {
        let gzip = send(daemon.address, RECEIPTS, &[("Accept-Encoding", "gzip, deflate")]).await;
        assert_eq!(gzip.header("content-encoding"), Some("gzip"));
        let mut body = Vec::new();
        GzipDecoder::new(&*gzip.body).read_to_end(&mut body).await.unwrap();
        assert_eq!(body, plain.body);
        let brotli = send(daemon.address, RECEIPTS, &[("Accept-Encoding", "gzip, deflate, br")]).await;
        assert_eq!(brotli.header("content-encoding"), Some("br"));
        let mut body = Vec::new();
        BrotliDecoder::new(&*brotli.body).read_to_end(&mut body).await.unwrap();
        assert_eq!(body, plain.body);
        for packed in [gzip, brotli] {
            assert!(packed.body.len() < plain.body.len() / 2, "{} bytes", packed.body.len());
            assert_eq!(packed.header("content-length"), Some(&*packed.body.len().to_string()));
            assert_eq!(packed.header("etag"), plain.header("etag"));
            assert_eq!(packed.header("vary"), Some("accept-encoding"));
        }
    }
    let short = send(
        daemon.address,
        &format!("{RECEIPTS}?provider=did:web:nobody.example"),
        &[("Accept-Encoding", "br")],
    )
    .await;
    assert_eq!((short.header("content-encoding"), &*short.body), (None, &b"{\"receipts\":[]}"[..]));
    daemon.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_head_is_that_of_the_answer() {
    let (_scenario, _relay, daemon) = followed().await;
    for path in
        ["/healthz", "/xrpc/dev.cocore.compute.listReceipts?limit=2", "/xrpc/dev.cocore.compute.listNothing"]
    {
        // Twice: made, and from the shelf.
        for _ in 0..2 {
            let head = send(daemon.address, &format!("HEAD {path}"), &[]).await;
            let whole = send(daemon.address, &format!("GET {path}"), &[]).await;
            assert_eq!((head.status, &*head.body), (whole.status, &b""[..]), "{path}");
            for name in ["content-type", "content-length", "etag", "cache-control"] {
                assert_eq!(head.header(name), whole.header(name), "{path}: {name}");
            }
        }
    }
    daemon.stop().await;
}
