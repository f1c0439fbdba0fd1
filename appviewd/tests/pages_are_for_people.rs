//! Pages tell what the index holds and how it stands, to whoever reads: whatever a record says is text, whoever is hidden is
//! not named, nothing leads elsewhere, and what goes wrong is told in words.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, reason = "tests")]

mod support;

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::net::SocketAddr;

use appview_core::source::clock::Clock;
use appviewd::config::Access;
use fixtures::recording::Oracle;
use fixtures::{Write, records};
use serde_json::Value as Json;
use support::http::{Reply, get, send};
use support::served::{followed, followed_at};
use support::town::Town;
use support::{Scenario, collection, listed, repo};

/// Minutes after the recording was made, 2026-11-22T15:00:00Z, in microseconds.
const NOW: u64 = 1_795_359_600_000_000;

/// What a browser says that it reads.
const READS_PAGES: [(&str, &str); 1] = [("Accept", "text/html,application/xhtml+xml,*/*;q=0.8")];

const HOSTILE: &str = "</span><script src=//evil.example/x></script><b onclick=\"x\">'&amp;";

async fn page(address: SocketAddr, path: &str) -> Reply {
    send(address, &format!("GET {path}"), &READS_PAGES).await
}

fn text(reply: &Reply) -> String {
    String::from_utf8(reply.body.clone()).unwrap()
}

/// Everything that pages link to, from the first on, and what they refer to: by path, as it was answered.
async fn everything(address: SocketAddr) -> BTreeMap<String, Reply> {
    let (mut found, mut waiting) = (BTreeMap::new(), vec!["/".to_owned()]);
    while let Some(path) = waiting.pop() {
        if found.contains_key(&path) {
            continue;
        }
        let reply = page(address, &path).await;
        if reply.header("content-type").unwrap().starts_with("text/html") {
            let html = text(&reply);
            for attribute in ["href=\"", "src=\"", "action=\""] {
                let links = html.split(attribute).skip(1).map(|rest| rest.split_once('"').unwrap().0);
                for link in links.filter(|link| !link.starts_with('#')) {
                    assert!(link.starts_with('/') && !link.starts_with("//"), "{path} leads to {link}");
                    waiting.push(link.replace("&amp;", "&"));
                }
            }
        }
        found.insert(path, reply);
    }
    found
}

#[tokio::test(flavor = "multi_thread")]
async fn whatever_a_page_leads_to_is_there_and_nothing_leads_elsewhere() {
    let (_scenario, _relay, daemon) = followed_at(Clock::of_runtime(NOW, 1), Access::default()).await;
    let found = everything(daemon.address).await;
    let records: Vec<String> = listed().into_keys().collect();
    for receipt in records.iter().filter(|uri| collection(uri) == "dev.cocore.compute.receipt") {
        let path = format!("/receipt/{receipt}");
        assert!(found.contains_key(&path), "{path} is on no page of {:?}", found.keys());
        assert!(found.contains_key(&format!("/provider/{}", repo(receipt))));
    }
    let hidden: BTreeSet<String> = Oracle::read().inactive.into_iter().map(|account| account.did).collect();
    let handles = Oracle::read().accounts.into_iter().filter(|account| !account.active);
    let handles: Vec<String> = handles.map(|account| account.handle).collect();
    assert!(!hidden.is_empty() && !handles.is_empty());
    let mut pages = 0;
    for (path, reply) in &found {
        // Forms that need something, and proofs for which there is nobody to ask.
        let is_asked_too_little = path.starts_with("/xrpc/") && [400, 404, 502].contains(&reply.status);
        assert!([200, 303].contains(&reply.status) || is_asked_too_little, "{path}: {}", reply.status);
        if !reply.header("content-type").is_some_and(|kind| kind.starts_with("text/html")) {
            continue;
        }
        pages += 1;
        let html = text(reply);
        for absent in
            [" style=", "<style", " onclick", " onload", "javascript:", "<img", "<iframe", "<object"]
        {
            assert!(!html.contains(absent), "{path}: {absent}");
        }
        assert_eq!(html.matches("<script").count(), 1, "{path}: the one file of ours");
        for nobody in hidden.iter().chain(&handles) {
            assert!(!html.contains(nobody), "{path} names {nobody}");
        }
        let policy = reply.header("content-security-policy").unwrap();
        assert!(policy.contains("script-src 'self'") && !policy.contains("unsafe"), "{policy}");
        assert_eq!(reply.header("set-cookie"), None);
    }
    assert!(pages > 30, "{pages} pages");
    daemon.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn style_and_script_are_kept_for_ever_under_the_name_of_their_content() {
    let (_scenario, _relay, daemon) = followed().await;
    let html = text(&page(daemon.address, "/").await);
    let assets = html.split('"').filter(|text| text.starts_with("/assets/")).collect::<BTreeSet<_>>();
    assert_eq!(assets.len(), 3, "{assets:?}");
    for path in assets {
        let reply = page(daemon.address, path).await;
        assert_eq!(reply.header("cache-control"), Some("public, max-age=31536000, immutable"), "{path}");
        let content = text(&reply);
        assert!(!content.contains("@import") && !content.contains("url("), "{path} refers to something else");
        assert!(content.len() < 24_000, "{path}: {} bytes", content.len());
    }
    assert_eq!(page(daemon.address, "/assets/style-000000000000.css").await.status, 404);
    daemon.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_unchanged_page_is_not_sent_again() {
    let (_scenario, _relay, daemon) = followed().await;
    for path in ["/providers", "/models", "/api"] {
        let first = page(daemon.address, path).await;
        let tag = first.header("etag").unwrap().to_owned();
        let again = send(daemon.address, &format!("GET {path}"), &[("If-None-Match", &tag)]).await;
        assert_eq!((first.status, again.status, again.body.len()), (200, 304, 0), "{path}");
    }
    daemon.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_error_is_a_page_for_who_reads_pages_and_json_for_everybody_else() {
    let (_scenario, _relay, daemon) = followed().await;
    let receipt = "/receipt/at://did:web:nobody.example/dev.cocore.compute.receipt/3jzfcijpj2z2a";
    for (path, status, title) in [
        ("/nothing", 404, "Not in this index"),
        ("/provider/did:web:nobody.example", 404, "Not in this index"),
        ("/u/did:web:nobody.example", 404, "Not in this index"),
        ("/model/nobody/knows-it", 404, "Not in this index"),
        (receipt, 404, "Not in this index"),
        ("/u/nobody", 400, "This address does not make sense here"),
        (
            "/receipt/at://did:web:a.example/dev.cocore.compute.job/x",
            400,
            "This address does not make sense here",
        ),
        ("/?range=century", 400, "This address does not make sense here"),
        ("/providers?cursor=!", 400, "This address does not make sense here"),
    ] {
        let reply = page(daemon.address, path).await;
        assert_eq!(
            (reply.status, reply.header("content-type")),
            (status, Some("text/html; charset=utf-8")),
            "{path}"
        );
        assert!(text(&reply).contains(&format!("<h1>{title}</h1>")), "{path}");
        let reply = send(daemon.address, &format!("GET {path}"), &[("Accept", "*/*")]).await;
        assert_eq!(
            (reply.status, reply.header("content-type")),
            (status, Some("application/json")),
            "{path}"
        );
        assert!(reply.json()["message"].is_string());
        // Also when it has been said before.
        assert!(text(&page(daemon.address, path).await).contains("<!DOCTYPE html>"), "{path}");
    }
    let method = page(daemon.address, "/xrpc/dev.cocore.compute.verifyReceipt").await;
    assert_eq!(
        (method.status, method.header("content-type")),
        (400, Some("application/json")),
        "a method's is JSON"
    );
    let hostile = page(daemon.address, "/%3Cscript%3E\"'<b>").await;
    assert!(!text(&hostile).contains("<b>"), "{}", text(&hostile));
    daemon.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_list_is_a_file_too_with_all_that_it_has() {
    let (_scenario, _relay, daemon) = followed().await;
    let lines = async |path: &str| {
        let reply = page(daemon.address, path).await;
        assert_eq!(reply.header("content-type"), Some("text/csv; charset=utf-8"), "{path}");
        assert!(reply.header("content-disposition").unwrap().starts_with("attachment; filename=\""));
        text(&reply).lines().map(str::to_owned).collect::<Vec<_>>()
    };
    let receipts = listed().into_keys().filter(|uri| collection(uri) == "dev.cocore.compute.receipt");
    let receipts: Vec<String> = receipts.collect();
    let providers: BTreeSet<&str> = receipts.iter().map(|uri| repo(uri)).collect();
    for provider in providers {
        let own: BTreeSet<&str> =
            receipts.iter().filter(|uri| repo(uri) == provider).map(String::as_str).collect();
        let told = lines(&format!("/provider/{provider}?format=csv")).await;
        assert_eq!(told[0], "Receipt,Completed,Requester,Model,In,Out,Time,Price,Check,Settlement");
        let uris: BTreeSet<&str> = told[1..].iter().map(|line| line.split(',').next().unwrap()).collect();
        assert_eq!(uris, own);
    }
    assert_eq!(lines("/providers?format=csv").await.len(), 4, "three, and a line of names");
    assert_eq!(lines("/providers?format=csv&trust=self-attested").await.len(), 2);
    assert_eq!(lines("/providers?format=csv&q=forge").await.len(), 2);
    assert_eq!(lines("/models?format=csv").await.len(), 5);
    assert_eq!(lines("/status?format=csv").await.len(), 15);
    daemon.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_receipts_page_says_is_what_the_command_on_it_finds() {
    let (_scenario, _relay, daemon) = followed().await;
    let receipts = listed().into_keys().filter(|uri| collection(uri) == "dev.cocore.compute.receipt");
    let mut ends = BTreeSet::new();
    for uri in receipts {
        let html = text(&page(daemon.address, &format!("/receipt/{uri}")).await);
        let car = page(daemon.address, &format!("/receipt/{uri}?format=car")).await;
        let rkey = uri.rsplit('/').next().unwrap();
        let file = format!("receipt-{rkey}.car");
        let name = format!("attachment; filename=\"{file}\"");
        assert_eq!(car.header("content-disposition"), Some(name.as_str()));
        assert!(html.contains(&format!("appviewd verify receipt {uri} --bundle {file}</code>")), "{html}");
        let elsewhere = Scenario::empty();
        fs::write(elsewhere.path(&file), &car.body).unwrap();
        let code = elsewhere.run(&["verify", "receipt", &uri, "--bundle", &file]).status.code();
        let title = match code {
            Some(0) => "It holds",
            Some(3) => "It does not hold",
            Some(4) => "It can’t be judged",
            other => panic!("{uri}: {other:?}"),
        };
        assert!(html.contains(title), "{uri} ends with {code:?}");
        ends.insert(code);
    }
    assert!(ends.len() > 1, "there is one of more than one kind");
    daemon.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn whatever_is_looked_up_leads_to_its_page() {
    let (_scenario, _relay, daemon) = followed().await;
    let receipt = listed().into_keys().find(|uri| collection(uri) == "dev.cocore.compute.receipt").unwrap();
    let job = listed().into_keys().find(|uri| collection(uri) == "dev.cocore.compute.job").unwrap();
    for (q, leads) in [
        (receipt.as_str(), format!("/receipt/{receipt}")),
        (
            job.as_str(),
            format!("/xrpc/dev.cocore.appview.getRecord?uri={}", job.replace(':', "%3A").replace('/', "%2F")),
        ),
        (repo(&receipt), format!("/u/{}", repo(&receipt))),
        ("forge", "/providers?q=forge".to_owned()),
        ("https://evil.example", "/providers?q=https%3A%2F%2Fevil.example".to_owned()),
    ] {
        let reply = page(daemon.address, &format!("/go?q={q}")).await;
        assert_eq!((reply.status, reply.header("location")), (303, Some(leads.as_str())), "{q}");
        assert_eq!(page(daemon.address, &leads).await.status, 200, "{leads}");
    }
    daemon.stop().await;
}

/// A record whose texts are all hostile, but for those that say what it is.
fn hostile(record: fixtures::Ipld, members: &[&str]) -> fixtures::Ipld {
    let fixtures::Ipld::Map(mut map) = record else { panic!("a record is a map") };
    for member in members {
        map.insert((*member).to_owned(), fixtures::Ipld::String(HOSTILE.to_owned()));
    }
    fixtures::Ipld::Map(map)
}

#[tokio::test(flavor = "multi_thread")]
async fn whatever_a_record_says_is_text() {
    let (town, scenario) = (Town::start().await, Scenario::empty());
    let (ada, forge) = (town.account(), town.account());
    let machine = records::Machine::new(1);
    let profile = hostile(records::profile(HOSTILE, 0), &["bio", "handle", "avatarUrl"]);
    let offer = hostile(
        records::provider(&machine, 0),
        &["machineLabel", "chip", "trustLevel", "tier", "os", "region", "binaryVersion"],
    );
    let trust = hostile(records::friend(&forge, 0), &["note", "subjectHandle"]);
    town.commit(
        &ada,
        vec![
            Write::create(records::PROFILE, "self", profile),
            Write::create(records::FRIEND, "3jzfcijpj2z2a", trust),
        ],
    );
    town.commit(&forge, vec![Write::create(records::PROVIDER, "3jzfcijpj2z2b", offer)]);
    let daemon = town.followed(&scenario, &[]).await;
    let mut shown = 0;
    for (path, reply) in everything(daemon.address).await {
        if reply.header("content-type").is_some_and(|kind| kind.starts_with("text/html")) {
            let html = text(&reply);
            assert!(!html.contains("evil.example/x>"), "{path}: {html}");
            assert_eq!(html.matches("<script").count(), 1, "{path}");
            shown += html.matches("&lt;script src=//evil.example/x&gt;").count();
        }
    }
    let html = text(&page(daemon.address, &format!("/u/{ada}")).await);
    assert!(html.contains("&lt;/span&gt;&lt;script"), "{html}");
    assert!(!html.contains("href=\"//evil"), "no picture of a record is asked for");
    assert!(shown > 5, "it is shown as text, {shown} times");
    let _: Json = get(daemon.address, "/healthz").await;
}
