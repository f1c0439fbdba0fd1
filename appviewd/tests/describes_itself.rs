//! What the service says of itself: the document of its DID, how it stands, and its methods as their lexicons have them.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, reason = "tests")]

mod support;

use std::collections::BTreeSet;

use appview_core::record::Catalog;
use appviewd::config::Access;
use serde_json::{Value as Json, json};
use support::http::{ask, get, send};
use support::served::{followed, followed_by};
use support::{fingerprint, listed};

/// Every query of the lexicons that is about reading.
fn queries() -> BTreeSet<String> {
    let documents =
        Catalog::builtin_documents().iter().map(|text| serde_json::from_str::<Json>(text).unwrap());
    let queries = documents.filter(|document| document["defs"]["main"]["type"] == "query");
    let names = queries.map(|document| document["id"].as_str().unwrap().to_owned());
    let families = ["dev.cocore.appview.", "dev.cocore.compute.", "dev.cocore.account."];
    let is_read = |name: &String| families.iter().any(|family| name.starts_with(family));
    // What is their owners' alone.
    let owned =
        ["dev.cocore.account.listApiKeys", "dev.cocore.appview.exportMyData", "dev.cocore.appview.getWipe"];
    names.filter(is_read).filter(|name| !owned.contains(&name.as_str())).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn every_query_of_the_lexicons_is_answered_and_described() {
    let (_scenario, _relay, daemon) = followed().await;
    let document = get(daemon.address, "/openapi.json").await;
    let paths = document["paths"].as_object().unwrap();
    let described: BTreeSet<String> =
        paths.keys().map(|path| path.strip_prefix("/xrpc/").unwrap().to_owned()).collect();
    assert_eq!(described, queries());
    let page = send(daemon.address, "GET /api", &[]).await;
    assert_eq!((page.status, page.header("content-type")), (200, Some("text/html; charset=utf-8")));
    let page = String::from_utf8(page.body).unwrap();
    for (name, path) in queries().into_iter().zip(paths.values()) {
        assert!(page.contains(&format!("<form method=\"get\" action=\"/xrpc/{name}\">")), "{name}");
        for parameter in path["get"]["parameters"].as_array().unwrap() {
            let parameter = parameter["name"].as_str().unwrap();
            let label = format!("<label for=\"{name}-{parameter}\"><code>{parameter}</code>");
            assert!(page.contains(&label), "{name}: {parameter}");
        }
        let answer = ask(daemon.address, "GET", &format!("/xrpc/{name}")).await;
        assert_ne!(answer.status, 501, "{name}");
    }
    daemon.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_document_for_programs_holds_together() {
    let (_scenario, _relay, daemon) = followed().await;
    let document = get(daemon.address, "/openapi.json").await;
    assert_eq!(document["openapi"], "3.1.0");
    let mut references = 0;
    let mut waiting = vec![&document];
    while let Some(value) = waiting.pop() {
        match value {
            Json::Object(members) => {
                if let Some(reference) = members.get("$ref").and_then(Json::as_str) {
                    let found = document.pointer(reference.strip_prefix('#').unwrap());
                    assert!(found.is_some_and(|found| found.is_object()), "{reference}");
                    references += 1;
                }
                waiting.extend(members.values());
            }
            Json::Array(items) => waiting.extend(items),
            _ => {}
        }
    }
    assert!(references > 20, "only {references} references were found");
    insta::assert_json_snapshot!("an_operation", document["paths"]["/xrpc/dev.cocore.compute.listJobs"]);
    daemon.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_service_with_a_did_web_says_where_it_is() {
    let service_did = Some("did:web:appview.example".parse().unwrap());
    let (_scenario, _relay, daemon) = followed_by(Access { service_did, ..Access::default() }).await;
    let expected = json!({
        "@context": ["https://www.w3.org/ns/did/v1"],
        "id": "did:web:appview.example",
        "service": [{
            "id": "#cocore_appview", "type": "CocoreAppView", "serviceEndpoint": "https://appview.example",
        }],
    });
    assert_eq!(get(daemon.address, "/.well-known/did.json").await, expected);
    daemon.stop().await;
    let (_scenario, _relay, daemon) = followed().await;
    assert_eq!(ask(daemon.address, "GET", "/.well-known/did.json").await.status, 404);
    daemon.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn how_it_stands_is_told_to_everybody() {
    let (_scenario, relay, daemon) = followed().await;
    let status = get(daemon.address, "/xrpc/dev.cocore.appview.getStatus").await;
    assert_eq!(status["fingerprint"], json!(fingerprint(listed().values())));
    let records: u64 =
        status["records"].as_object().unwrap().values().map(|count| count.as_u64().unwrap()).sum();
    assert_eq!(records, listed().len() as u64);
    assert_eq!(status["streams"][0]["endpoint"], json!(relay.url()));
    let absent = send(daemon.address, "GET /xrpc/dev.cocore.appview.getStatus", &[]).await;
    assert_eq!(absent.header("etag"), None, "it is of this moment");
    daemon.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn fingerprints_are_told_of_the_whole_and_of_its_parts() {
    let (_scenario, _relay, daemon) = followed().await;
    let ask = async |query: &str| {
        get(daemon.address, &format!("/xrpc/dev.cocore.appview.getFingerprint{query}")).await
    };
    let whole = ask("").await;
    assert_eq!(whole, json!({"fingerprint": fingerprint(listed().values()), "records": listed().len()}));
    for by in ["collection", "repo"] {
        let part = |record: &str| match by {
            "collection" => support::collection(record).to_owned(),
            _ => support::repo(record).to_owned(),
        };
        let mut names: Vec<String> = listed().values().map(|record| part(&record.uri)).collect();
        names.sort_unstable();
        names.dedup();
        let (mut found, mut cursor) = (Vec::new(), String::new());
        loop {
            let page = ask(&format!("?by={by}&limit=2&cursor={cursor}")).await;
            assert_eq!(page["fingerprint"], whole["fingerprint"]);
            found.extend(page["parts"].as_array().unwrap().iter().cloned());
            match page["cursor"].as_str() {
                Some(next) => next.clone_into(&mut cursor),
                None => break,
            }
        }
        assert_eq!(found.iter().map(|part| part["of"].as_str().unwrap()).collect::<Vec<_>>(), names);
        for told in found {
            let name = told["of"].as_str().unwrap();
            let all = listed();
            let own: Vec<_> = all.values().filter(|record| part(&record.uri) == name).collect();
            let expected = json!({"fingerprint": fingerprint(own.iter().copied()), "records": own.len()});
            assert_eq!(
                (&told["fingerprint"], &told["records"]),
                (&expected["fingerprint"], &expected["records"])
            );
            assert_eq!(ask(&format!("?{by}={name}")).await, expected);
        }
    }
    daemon.stop().await;
}
