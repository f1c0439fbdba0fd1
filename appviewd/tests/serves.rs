//! The daemon whole: a relay in front of it, HTTP behind it, and what is left when it stops or is killed.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, reason = "tests")]

mod support;

use std::collections::BTreeMap;

use appview_core::index::Index;
use fixtures::recording::Record;
use serde_json::{Value as Json, json};

use support::daemon::Daemon;
use support::http::{Answer, ask, get};
use support::relay::{Relay, seq};
use support::served::{Served, followed, frames, wait_for};
use support::{Scenario, collection, fingerprint, listed, repo};

/// What a list must hold, newest key first and among equal keys the higher DID first, in the form of the lexicons.
fn expected(wanted: impl Fn(&Record) -> bool) -> Vec<Json> {
    let mut records: Vec<Record> = listed().into_values().filter(wanted).collect();
    let key =
        |record: &Record| (record.uri.rsplit('/').next().unwrap().to_owned(), repo(&record.uri).to_owned());
    records.sort_by_key(key);
    records.into_iter().rev().map(indexed).collect()
}

fn indexed(record: Record) -> Json {
    json!({
        "uri": record.uri, "cid": record.cid, "collection": collection(&record.uri), "repo": repo(&record.uri),
        "rkey": record.uri.rsplit('/').next(), "body": record.value,
    })
}

/// A list's items without `indexedAt`, which is checked to be a time.
fn items(answer: &Json, name: &str) -> Vec<Json> {
    let mut items = answer[name].as_array().unwrap_or_else(|| panic!("{answer}")).clone();
    for item in &mut items {
        let indexed_at = item.as_object_mut().unwrap().remove("indexedAt").unwrap();
        assert!(indexed_at.as_str().unwrap().starts_with("2026-11-22T1"), "{indexed_at}");
    }
    items
}

fn is_receipt(record: &Record) -> bool {
    collection(&record.uri) == "dev.cocore.compute.receipt"
}

#[test]
fn the_demo_ends_by_itself_when_it_is_asked_to() {
    let scenario = Scenario::new();
    let told = scenario.succeed(&["demo", "--once", "--listen", "127.0.0.1:0"]);
    assert!(told.contains("107 records, exactly those that the PDS itself listed at the end."), "{told}");
    assert!(told.contains(&fingerprint(listed().values())), "{told}");
    assert!(told.contains("/xrpc/dev.cocore.compute.listReceipts?limit=2'"), "{told}");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_followed_is_what_is_answered() {
    let (scenario, relay, daemon) = followed().await;
    let health = get(daemon.address, "/healthz").await;
    assert_eq!((&health["ok"], &health["frames"]), (&json!(true), &json!(216)));
    assert_eq!(health["cursors"], json!({relay.url(): 216}));

    let listing = |method: &str| format!("/xrpc/dev.cocore.compute.{method}");
    let providers = get(daemon.address, &listing("listProviders")).await;
    let are_providers = |record: &Record| collection(&record.uri) == "dev.cocore.compute.provider";
    assert_eq!(items(&providers, "providers"), expected(are_providers));
    assert_eq!(providers.get("cursor"), None);

    let all = expected(is_receipt);
    assert_eq!(all.len(), 16);
    let receipts = |query: String| listing(&format!("listReceipts{query}"));
    let found = get(daemon.address, &receipts(String::new())).await;
    assert_eq!(items(&found, "receipts"), all);
    // Each filter alone, and all of them together, for every value there is.
    for receipt in &all {
        let text = |pointer: &str| receipt.pointer(pointer).unwrap().as_str().unwrap().to_owned();
        let filters = [("provider", "/repo"), ("requester", "/body/requester"), ("job", "/body/job/uri")];
        let mut together = (String::from("?"), Vec::new());
        for (name, pointer) in filters {
            let query = format!("{name}={}", text(pointer));
            let matches = |other: &Record| {
                let other = indexed(Record {
                    value: other.value.clone(),
                    uri: other.uri.clone(),
                    cid: other.cid.clone(),
                    rev: None,
                });
                other.pointer(pointer) == receipt.pointer(pointer)
            };
            let found = get(daemon.address, &receipts(format!("?{query}"))).await;
            assert_eq!(
                items(&found, "receipts"),
                expected(|other| is_receipt(other) && matches(other)),
                "{query}"
            );
            together.0 += &format!("{query}&");
            together.1.push(pointer);
        }
        let found = get(daemon.address, &receipts(together.0)).await;
        let matches = |other: &&Json| {
            together.1.iter().all(|pointer| other.pointer(pointer) == receipt.pointer(pointer))
        };
        let expected: Vec<Json> = all.iter().filter(matches).cloned().collect();
        assert_eq!(items(&found, "receipts"), expected);
    }
    let nobody = get(daemon.address, &receipts("?provider=did:web:nobody.example".to_owned())).await;
    assert_eq!(nobody, json!({"receipts": []}));
    daemon.stop().await;
    drop(scenario);
}

#[tokio::test(flavor = "multi_thread")]
async fn pages_joined_are_the_whole_list() {
    let (_scenario, _relay, daemon) = followed().await;
    let all = expected(is_receipt);
    for limit in [1, 3, 7, 15, 16, 100] {
        let (mut joined, mut cursor, mut pages) = (Vec::new(), String::new(), 0);
        loop {
            let path = format!("/xrpc/dev.cocore.compute.listReceipts?limit={limit}&cursor={cursor}");
            let page = get(daemon.address, &path).await;
            let items = items(&page, "receipts");
            assert!(items.len() <= limit);
            joined.extend(items);
            pages += 1;
            match page.get("cursor") {
                Some(next) => next.as_str().unwrap().clone_into(&mut cursor),
                None => break,
            }
        }
        assert_eq!(joined, all, "limit {limit}");
        assert_eq!(pages, all.len().div_ceil(limit), "no page is empty");
    }
    daemon.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_request_that_cannot_be_answered_is_told_why() {
    let scenario = Scenario::new();
    let daemon = Served::start(&scenario, &[]).await;
    let mut told = BTreeMap::new();
    for (verb, path) in [
        ("GET", "/xrpc/dev.cocore.compute.listReceipts?provider=alice.example"),
        ("GET", "/xrpc/dev.cocore.compute.listReceipts?requester=did:"),
        ("GET", "/xrpc/dev.cocore.compute.listReceipts?limit=0"),
        ("GET", "/xrpc/dev.cocore.compute.listReceipts?limit=101"),
        ("GET", "/xrpc/dev.cocore.compute.listReceipts?limit=-1"),
        ("GET", "/xrpc/dev.cocore.compute.listReceipts?limit=many"),
        ("GET", "/xrpc/dev.cocore.compute.listReceipts?cursor=!"),
        ("GET", "/xrpc/dev.cocore.compute.listReceipts?cursor=bm9uc2Vuc2U"),
        ("GET", "/xrpc/dev.cocore.compute.listProviders?limit=0"),
        ("GET", "/xrpc/dev.cocore.compute.listProviders?cursor=%"),
        ("GET", "/xrpc/dev.cocore.compute.listNothing"),
        ("POST", "/xrpc/dev.cocore.compute.listReceipts"),
        ("DELETE", "/xrpc/dev.cocore.compute.listProviders"),
        ("GET", "/nothing"),
        ("POST", "/healthz"),
    ] {
        let Answer { status, kind, body } = ask(daemon.address, verb, path).await;
        assert_eq!(kind, "application/json", "{path}");
        told.insert(format!("{verb} {path}"), json!([status, body["error"], body["message"]]));
    }
    insta::assert_json_snapshot!("errors_over_http", told);
    daemon.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_graceful_stop_writes_everything_and_leaves_the_cursor() {
    let scenario = Scenario::new();
    let frames = frames();
    let (all, half) = (frames.len(), frames.len() / 2);
    let (middle, last) = (seq(&frames[half - 1]), seq(frames.last().unwrap()));
    let relay = Relay::start(frames, half).await;
    let cursor = || Index::open(scenario.path("index.db")).unwrap().reader().unwrap().cursors().unwrap();

    let daemon = Served::start(&scenario, &[&relay]).await;
    wait_for(daemon.address, &relay, middle).await;
    daemon.stop().await;
    let log = std::fs::metadata(scenario.path("index.db-wal")).map_or(0, |log| log.len());
    assert_eq!(log, 0, "all of it is in the one file");
    assert_eq!(cursor().into_iter().map(|cursor| cursor.seq).collect::<Vec<_>>(), [middle]);

    // What is told while it is down is asked for when it is back.
    relay.tell(all);
    let daemon = Served::start(&scenario, &[&relay]).await;
    wait_for(daemon.address, &relay, last).await;
    daemon.stop().await;
    assert_eq!(relay.cursors(), [None, Some(middle)]);
    assert_eq!(cursor().into_iter().map(|cursor| cursor.seq).collect::<Vec<_>>(), [last]);
    let index = Index::open(scenario.path("index.db")).unwrap();
    assert_eq!(index.fingerprint().unwrap().to_string(), fingerprint(listed().values()));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_killed_daemon_goes_on_from_its_cursor_and_misses_nothing() {
    let scenario = Scenario::new();
    let frames = frames();
    let seqs: Vec<i64> = frames.iter().map(|frame| seq(frame)).collect();
    let relay = Relay::start(frames, 60).await;
    let url = relay.url();
    let arguments = ["--relay", &url, "--identities", "plc.json", "--repos", "repos"];
    // The kernel ends it without notice, in the midst of frames that it was sent but has not stored.
    for (stored, sent) in [(60, 100), (100, 150), (150, 216)] {
        let process = Daemon::serve(&scenario, &arguments);
        wait_for(process.address, &relay, seqs[stored - 1]).await;
        relay.tell(sent);
        drop(process);
    }
    let process = Daemon::serve(&scenario, &arguments);
    wait_for(process.address, &relay, 216).await;
    drop(process);
    let cursors = relay.cursors();
    assert_eq!(cursors[0], None);
    // Each start goes on where the one before had stored its rows, or beyond what this test waited for.
    for (stored, cursor) in [60, 100, 150].into_iter().zip(&cursors[1..]) {
        assert!(cursor.unwrap() >= seqs[stored - 1], "{cursors:?}");
    }
    let index = Index::open(scenario.path("appview-data/index.db")).unwrap();
    assert_eq!(index.fingerprint().unwrap().to_string(), fingerprint(listed().values()));
}
