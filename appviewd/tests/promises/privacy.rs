//! What is promised about prompts, about visitors, and about whoever runs this service for others.

use serde_json::json;

use crate::support::Scenario;
use crate::support::authority::Authority;
use crate::support::daemon::Daemon;
use crate::support::exchange::{Exchange, Streams, friend};
use crate::support::http::{Reply, get, post, send, send_body, send_from};
use crate::support::needle::{Needle, assert_seen, find};
use crate::support::people::{Person, SERVICE, identities};

const CREATE: &str = "dev.cocore.account.createApiKey";

/// A daemon as anybody starts one: the program, a name for the service, whoever signs for whom, and nothing else.
async fn start(scenario: &Scenario, people: &[&Person], log: &str) -> Daemon {
    std::fs::write(scenario.path("plc.json"), identities(people).to_string()).unwrap();
    let arguments = ["--identities", "plc.json", "--relay", "ws://127.0.0.1:1", "--service-did", SERVICE];
    let arguments = [arguments.as_slice(), &["--data-dir", "data"]].concat();
    let process = Daemon::serve_with(scenario, &[("RUST_LOG", log)], &arguments);
    // Tokens are good that were made after this.
    assert_eq!(get(process.address, "/healthz").await["ok"], true);
    process
}

#[tokio::test(flavor = "multi_thread")]
async fn p15_no_prompt_and_no_reply_is_kept() {
    let ada = Person::new("ada");
    let scenario = Scenario::empty();
    let process = start(&scenario, &[&ada], "trace").await;
    let secret = "prompt-that-nobody-is-to-keep-1b8f";
    let said = json!({
        "prompt": secret, "messages": [{"role": "user", "content": secret}], "content": secret, "model": "m",
        "input": secret, "output": secret, "name": "laptop", "deviceId": "0", "userCode": "ABCDEFGH", "decision": "deny",
        "collection": "dev.cocore.compute.job", "record": {"prompt": secret}, "did": "did:web:ada.example",
    });
    let key = post(process.address, &format!("/xrpc/{CREATE}"), &ada.bearer(CREATE), &said).await.json();
    let key = format!("Bearer {}", key["secret"].as_str().unwrap());
    let methods = [
        "inference.dispatch",
        "inference.submit",
        "inference.status",
        "devicePair.start",
        "devicePair.confirm",
        "account.createApiKey",
        "account.revokeApiKey",
        "appview.wipeMyData",
        "proxy.createRecord",
        "bridge.publish",
    ];
    let mut asked = 0;
    for method in methods {
        let (path, own) = (format!("/xrpc/dev.cocore.{method}"), ada.bearer(&format!("dev.cocore.{method}")));
        for bearer in ["", &key, &own] {
            post(process.address, &path, bearer, &said).await;
            asked += 1;
        }
    }
    for path in ["/pds/createRecord", "/api/pds/putRecord", "/agent/status", "/account/wipe", "/oauth/login"]
    {
        post(process.address, path, &key, &said).await;
        let asking = format!("GET {path}?prompt={secret}");
        send(process.address, &asking, &[("Authorization", &key)]).await;
        asked += 2;
    }
    assert_eq!(asked, 40);
    let needles = [Needle::new("a prompt", secret.as_bytes())];
    assert_seen(&needles);
    let told = process.told();
    assert!(told.contains("answering"), "the log is read");
    assert_eq!(find(&needles, &scenario.path("."), &[("the log", told.as_bytes())]), [""; 0]);
}

#[tokio::test(flavor = "multi_thread")]
async fn p16_no_third_party_hears_of_anybody_through_us() {
    let authority = Authority::start().await;
    let exchange = Exchange::start(&authority, Streams::Relay).await;
    let ada = authority.account();
    let cookie = exchange.sign_in(&authority, &ada).await;
    let key = exchange.key(&ada);
    let record =
        json!({"collection": "dev.cocore.account.friend", "record": friend("did:web:friend.example")});
    assert_eq!(exchange.publish(&key, "/pds/createRecord", &record).await.status, 200);
    let key = format!("Bearer {key}");
    let headers = [("Cookie", cookie.as_str()), ("Authorization", key.as_str())];
    for path in [
        "/",
        "/healthz",
        "/api",
        "/openapi.json",
        "/agent/status",
        "/account/export",
        "/account/wipe",
        "/oauth/session",
        "/oauth/jwks.json",
        "/nothing",
        &format!("/xrpc/dev.cocore.account.getProfile?did={ada}"),
        "/xrpc/dev.cocore.account.listAccounts",
        "/xrpc/dev.cocore.compute.listProviders",
    ] {
        let reply = send(exchange.address, &format!("GET {path}"), &headers).await;
        // A page could load, run and frame nothing, and a link would not tell where it was followed.
        assert!(
            reply.header("content-security-policy").unwrap().starts_with("default-src 'none'; "),
            "{path}"
        );
        assert_eq!(reply.header("referrer-policy"), Some("no-referrer"), "{path}");
        assert_eq!(reply.header("link"), None, "{path}");
    }
    let wiped = exchange.by_our_page("POST /account/wipe", &headers, b"{\"endSessions\": true}").await;
    assert_eq!(wiped.status, 202);
    let did = ada.parse().unwrap();
    while !exchange.wiper.newest(&did).await.unwrap().unwrap().complete {
        tokio::time::sleep(std::time::Duration::from_millis(5)).await;
    }
    exchange.stop().await;
    // A relay, the directory, her PDS and her authorization server are all one here.
    let here = authority.town().address().to_string();
    assert_eq!(authority.gone_to().into_iter().collect::<Vec<_>>(), [here]);
}

#[tokio::test(flavor = "multi_thread")]
async fn p17_whoever_only_looks_gets_no_cookie_and_is_not_told_from_others() {
    let scenario = Scenario::empty();
    let process = start(&scenario, &[], "info").await;
    let paths = [
        "/",
        "/healthz",
        "/readyz",
        "/.well-known/did.json",
        "/account",
        "/nothing",
        "/xrpc/dev.cocore.compute.listProviders",
        "/xrpc/dev.cocore.compute.listReceipts?limit=1",
        "/oauth/client-metadata.json",
        "/oauth/jwks.json",
        "/oauth/session",
        "/oauth/callback",
        "/account/wipe",
    ];
    let mut tags = 0;
    for path in paths {
        let ask = async || -> [Reply; 2] {
            let line = format!("GET {path}");
            let one = send_from([127, 0, 0, 1], process.address, &line, &[("User-Agent", "one")]).await;
            let other = send_from([127, 0, 0, 2], process.address, &line, &[("User-Agent", "other")]).await;
            [one, other]
        };
        let mut asked = ask().await;
        // The index may have been written to in between: a tag that told two visitors apart would do it each time.
        for _ in 0..20 {
            if asked[0].header("etag") == asked[1].header("etag") {
                break;
            }
            asked = ask().await;
        }
        let [one, other] = asked;
        for reply in [&one, &other] {
            // An answer that takes a cookie away sets none.
            let set = reply.head.lines().filter_map(|line| line.strip_prefix("set-cookie: "));
            let sets = set.filter(|cookie| !cookie.contains("Max-Age=0")).count();
            assert_eq!(sets, 0, "{path}: {}", reply.head);
        }
        assert_eq!(one.header("etag"), other.header("etag"), "{path}");
        tags += usize::from(one.header("etag").is_some());
    }
    assert!(tags > 0, "some answers have tags");
    let query = "who-looks-for-what-4d1e";
    let line = format!("GET /xrpc/dev.cocore.compute.listProviders?unknown={query}");
    send(process.address, &line, &[("Authorization", "Bearer secret-of-a-visitor-77aa")]).await;
    let told = process.told();
    for secret in [query, "secret-of-a-visitor-77aa"] {
        assert!(!told.contains(secret), "{told}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn p22_whoever_runs_the_program_as_it_comes_keeps_the_same_promises() {
    const WIPE: &str = "dev.cocore.appview.wipeMyData";
    const GET_WIPE: &str = "dev.cocore.appview.getWipe";
    const DELETE: &str = "dev.cocore.appview.deleteMyAccount";
    const EXPORT: &str = "dev.cocore.appview.exportMyData";
    let ada = Person::new("ada");
    let scenario = Scenario::empty();
    let process = start(&scenario, &[&ada], "trace").await;
    let made =
        post(process.address, &format!("/xrpc/{CREATE}"), &ada.bearer(CREATE), &json!({"name": "a"})).await;
    let secret = made.json()["secret"].as_str().unwrap().to_owned();
    let ask = async |address, method: &str| {
        let bearer = ada.bearer(method);
        send(address, &format!("GET /xrpc/{method}"), &[("Authorization", &bearer)]).await
    };
    let exported = ask(process.address, EXPORT).await;
    assert_eq!(exported.status, 200);
    let exported = String::from_utf8(exported.chunks()).unwrap();
    assert!(exported.contains("\"keys\":[{") && !exported.contains(&secret));
    assert!(ask(process.address, GET_WIPE).await.json()["wipe"].is_null());
    let refused =
        post(process.address, &format!("/xrpc/{WIPE}"), &ada.bearer(WIPE), &json!({"endSessions": 1})).await;
    assert_eq!(refused.status, 400);
    // Without a PDS to ask it is never said to be done.
    let begun = post(process.address, &format!("/xrpc/{WIPE}"), &ada.bearer(WIPE), &json!({})).await;
    assert_eq!((begun.status, begun.json()["wipe"]["complete"].clone()), (202, json!(false)));
    let needles = [Needle::new("an API key", secret.as_bytes())];
    assert_seen(&needles);
    let told = process.told();
    // Killed, and started again.
    drop(process);
    assert_eq!(find(&needles, &scenario.path("data"), &[("the log", told.as_bytes())]), [""; 0]);
    let process = start(&scenario, &[&ada], "info").await;
    assert_eq!(ask(process.address, GET_WIPE).await.json()["wipe"]["complete"], false);
    // Leaving needs nobody else, and leaves nothing.
    let left = post(process.address, &format!("/xrpc/{DELETE}"), &ada.bearer(DELETE), &json!({})).await;
    assert_eq!(left.status, 202);
    let gone = async {
        while ask(process.address, GET_WIPE).await.json()["wipe"]["complete"] != true {
            tokio::time::sleep(std::time::Duration::from_millis(20)).await;
        }
    };
    tokio::time::timeout(std::time::Duration::from_secs(60), gone).await.expect("it is done");
    let exported = String::from_utf8(ask(process.address, EXPORT).await.chunks()).unwrap();
    assert!(exported.contains("\"keys\":[]") && exported.contains("\"audit\":[]"), "{exported}");
    let headers = [("Authorization", format!("Bearer {secret}"))];
    let headers = headers.each_ref().map(|(name, value)| (*name, value.as_str()));
    assert_eq!(send_body(process.address, "GET /agent/whoami", &headers, b"").await.status, 401);
    // No setting takes a promise back.
    let help = scenario.succeed(&["serve", "--help"]);
    for word in ["plaintext", "insecure", "no-encryption", "analytics", "tracking"] {
        assert!(!help.contains(word), "{word}");
    }
}
