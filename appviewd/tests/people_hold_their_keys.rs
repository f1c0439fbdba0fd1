//! What people and their machines are answered: keys, pairing, agents, and what the console asks in their names.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, reason = "tests")]

mod support;

use serde_json::{Value as Json, json};
use support::http::{Reply, post, send, send_body};
use support::people::Person;
use support::service::{SECRET, Service};

const CREATE: &str = "dev.cocore.account.createApiKey";
const LIST: &str = "dev.cocore.account.listApiKeys";
const REVOKE: &str = "dev.cocore.account.revokeApiKey";
const DELETE: &str = "dev.cocore.account.deleteApiKey";
const START: &str = "/xrpc/dev.cocore.devicePair.start";
const CONFIRM: &str = "dev.cocore.devicePair.confirm";

/// What differs from run to run, named instead of told.
fn named(json: &Json) -> Json {
    const DIFFERS: [&str; 9] = [
        "id",
        "prefix",
        "secret",
        "createdAt",
        "lastUsedAt",
        "deviceId",
        "userCode",
        "verificationUri",
        "ticketId",
    ];
    match json {
        Json::Object(members) => members
            .iter()
            .map(|(name, value)| {
                let differs = DIFFERS.contains(&name.as_str()) && value.is_string();
                let value =
                    if differs || name == "apiKey" { json!(format!("<{name}>")) } else { named(value) };
                (name.clone(), value)
            })
            .collect::<serde_json::Map<_, _>>()
            .into(),
        Json::Array(items) => items.iter().map(named).collect(),
        other => other.clone(),
    }
}

/// Status and body of answers, a line each.
#[derive(Default)]
struct Told(String);

impl Told {
    fn note(&mut self, what: &str, reply: &Reply) {
        assert_eq!(reply.header("cache-control"), Some("no-store"), "{what}");
        let body = if reply.body.is_empty() { Json::Null } else { named(&reply.json()) };
        self.0 += &format!("{what}: {} {body}\n", reply.status);
    }
}

fn text(json: &Json, name: &str) -> String {
    json[name].as_str().unwrap_or_else(|| panic!("no {name} in {json}")).to_owned()
}

async fn poll(service: &Service, device: &str) -> Reply {
    send(service.address, &format!("GET /xrpc/dev.cocore.devicePair.poll?deviceId={device}"), &[]).await
}

async fn start(service: &Service) -> Json {
    let reply = post(service.address, START, "", &json!({})).await;
    assert_eq!(reply.status, 200);
    reply.json()
}

#[tokio::test]
async fn a_key_is_made_listed_used_revoked_and_deleted() {
    let (ada, boris) = (Person::new("ada"), Person::new("boris"));
    let service = Service::start(&[&ada, &boris]).await;
    let mut told = Told::default();
    let made =
        service.call(&ada, CREATE, json!({"name": "laptop", "expiresAt": "2100-01-01T00:00:00Z"})).await;
    told.note("create", &made);
    let (secret, id) = (text(&made.json(), "secret"), text(&made.json()["key"], "id"));
    assert!(secret.starts_with("cocore-") && secret.len() == 50);
    assert_eq!(text(&made.json()["key"], "prefix"), secret[..15]);
    told.note("list", &service.ask(&ada, LIST).await);
    told.note("list of another", &service.ask(&boris, LIST).await);
    told.note("use", &service.get_with_key("/agent/whoami", &secret).await);
    told.note("list after use", &service.ask(&ada, LIST).await);
    told.note("revoke another's", &service.call(&boris, REVOKE, json!({"id": id})).await);
    told.note("delete another's", &service.call(&boris, DELETE, json!({"id": id})).await);
    told.note("revoke", &service.call(&ada, REVOKE, json!({"id": id})).await);
    told.note("revoke again", &service.call(&ada, REVOKE, json!({"id": id})).await);
    told.note("use after", &service.get_with_key("/agent/whoami", &secret).await);
    let listed = service.ask(&ada, LIST).await.json();
    assert!(listed["keys"][0]["revokedAt"].is_string(), "{listed}");
    told.note("delete", &service.call(&ada, DELETE, json!({"id": id})).await);
    told.note("list after", &service.ask(&ada, LIST).await);
    insta::assert_snapshot!(told.0);
    service.stop().await;
}

#[tokio::test]
async fn what_makes_no_sense_is_refused_by_field_and_rule() {
    let ada = Person::new("ada");
    let service = Service::start(&[&ada]).await;
    let mut told = Told::default();
    let refused = [
        json!({}),
        json!({"name": ""}),
        json!({"name": 7}),
        json!({"name": "a".repeat(101)}),
        json!({"name": "a", "expiresAt": "soon"}),
        json!({"name": "a", "expiresAt": "2020-01-01T00:00:00Z"}),
        json!({"name": "a", "expiresAt": "2100-01-01"}),
        json!({"name": "a", "expiresAt": 4_102_444_800_i64}),
    ];
    for body in refused {
        let what = format!("create {}", body.to_string().chars().take(60).collect::<String>());
        told.note(&what, &service.call(&ada, CREATE, body).await);
    }
    for (what, body) in [
        ("null", "null"),
        ("list", "[]"),
        ("cut", "{\"name\": \"a\""),
        ("twice", "{\"name\": \"a\", \"name\": \"b\"}"),
        ("bom", "\u{feff}{\"name\": \"a\"}"),
    ] {
        let (line, bearer) = (format!("POST /xrpc/{CREATE}"), ada.bearer(CREATE));
        let headers = [("Authorization", bearer.as_str())];
        told.note(what, &send_body(service.address, &line, &headers, body.as_bytes()).await);
    }
    told.note("revoke nothing", &service.call(&ada, REVOKE, json!({})).await);
    told.note("delete a long id", &service.call(&ada, DELETE, json!({"id": "a".repeat(201)})).await);
    told.note("create by GET", &send(service.address, &format!("GET /xrpc/{CREATE}"), &[]).await);
    told.note("list by POST", &post(service.address, &format!("/xrpc/{LIST}"), "", &json!({})).await);
    told.note("without a token", &post(service.address, &format!("/xrpc/{CREATE}"), "", &json!({})).await);
    assert_eq!(service.ask(&ada, LIST).await.json(), json!({"keys": []}), "nothing was made");
    insta::assert_snapshot!(told.0);
    service.stop().await;
}

#[tokio::test]
async fn a_body_that_is_too_long_is_refused_whether_or_not_it_says_so() {
    let ada = Person::new("ada");
    let service = Service::start(&[&ada]).await;
    let long = json!({"name": "a", "more": "a".repeat(150_000)});
    assert_eq!(service.call(&ada, CREATE, long.clone()).await.status, 413);
    let chunk = long.to_string();
    let chunked = format!("{:x}\r\n{chunk}\r\n0\r\n\r\n", chunk.len());
    let bearer = ada.bearer(CREATE);
    let mut socket = tokio::net::TcpStream::connect(service.address).await.unwrap();
    let head = format!(
        "POST /xrpc/{CREATE} HTTP/1.1\r\nHost: a\r\nConnection: close\r\nTransfer-Encoding: chunked\r\n\
         Authorization: {bearer}\r\n\r\n"
    );
    tokio::io::AsyncWriteExt::write_all(&mut socket, format!("{head}{chunked}").as_bytes()).await.unwrap();
    assert_eq!(Reply::read(&mut socket).await.status, 413);
    service.stop().await;
}

#[tokio::test]
async fn one_account_has_fifty_good_keys_at_most() {
    let ada = Person::new("ada");
    let service = Service::start(&[&ada]).await;
    for _ in 0..50 {
        let made = service.order("/internal/account/mint-key", json!({"did": ada.did.as_str()})).await;
        assert_eq!(made.status, 200);
    }
    let refused = service.call(&ada, CREATE, json!({"name": "one more"})).await;
    assert_eq!((refused.status, text(&refused.json(), "error").as_str()), (400, "InvalidRequest"));
    let id = text(&service.ask(&ada, LIST).await.json()["keys"][0], "id");
    service.call(&ada, REVOKE, json!({"id": id})).await;
    assert_eq!(service.call(&ada, CREATE, json!({"name": "one more"})).await.status, 200);
    service.stop().await;
}

#[tokio::test]
async fn a_device_is_paired_by_the_code_that_it_shows() {
    let ada = Person::new("ada");
    let service = Service::start(&[&ada]).await;
    let mut told = Told::default();
    let begun = post(service.address, START, "", &json!({})).await;
    told.note("start", &begun);
    let begun = begun.json();
    let (device, code) = (text(&begun, "deviceId"), text(&begun, "userCode"));
    assert_eq!(text(&begun, "verificationUri"), format!("https://console.example/devices/new?code={code}"));
    assert!(device.len() == 32 && device.bytes().all(|byte| byte.is_ascii_hexdigit()));
    assert!(code.len() == 8 && code.bytes().all(|byte| b"ABCDEFGHJKMNPQRSTUVWXYZ23456789".contains(&byte)));
    told.note("poll", &poll(&service, &device).await);
    assert_eq!(service.store.held(&ada.did).unwrap().keys, 0, "no key before anybody has a use for it");
    let typed = format!("  {} ", code.to_lowercase());
    told.note(
        "approve",
        &service.call(&ada, CONFIRM, json!({"userCode": typed, "decision": "approve"})).await,
    );
    assert_eq!(service.store.held(&ada.did).unwrap().keys, 0, "nor before the device comes for it");
    told.note(
        "approve again",
        &service.call(&ada, CONFIRM, json!({"userCode": code, "decision": "approve"})).await,
    );
    told.note(
        "deny too late",
        &service.call(&ada, CONFIRM, json!({"userCode": code, "decision": "deny"})).await,
    );
    let session = poll(&service, &device).await;
    told.note("poll after", &session);
    told.note("poll again", &poll(&service, &device).await);
    let key = text(&session.json()["session"], "apiKey");
    told.note("use", &service.get_with_key("/api/agent/status", &key).await);
    let listed = service.ask(&ada, LIST).await.json();
    assert!(text(&listed["keys"][0], "name").starts_with("paired machine (20"), "{listed}");
    insta::assert_snapshot!(told.0);
    service.stop().await;
}

#[tokio::test]
async fn a_pairing_that_comes_to_nothing_leaves_no_key() {
    let ada = Person::new("ada");
    let service = Service::start(&[&ada]).await;
    let mut told = Told::default();
    let begun = start(&service).await;
    let (device, code) = (text(&begun, "deviceId"), text(&begun, "userCode"));
    told.note("deny", &service.call(&ada, CONFIRM, json!({"userCode": code, "decision": "deny"})).await);
    told.note("poll", &poll(&service, &device).await);
    told.note(
        "approve too late",
        &service.call(&ada, CONFIRM, json!({"userCode": code, "decision": "approve"})).await,
    );
    for decision in ["approve", "deny"] {
        let unknown = json!({"userCode": "ABCDEFGH", "decision": decision});
        told.note(&format!("{decision} what is not there"), &service.call(&ada, CONFIRM, unknown).await);
    }
    told.note(
        "decide otherwise",
        &service.call(&ada, CONFIRM, json!({"userCode": code, "decision": "maybe"})).await,
    );
    told.note("decide on nothing", &service.call(&ada, CONFIRM, json!({"decision": "deny"})).await);
    told.note("poll for nobody", &poll(&service, "").await);
    told.note("poll for another", &poll(&service, "00000000000000000000000000000000").await);
    assert_eq!(service.store.held(&ada.did).unwrap().keys, 0);
    insta::assert_snapshot!(told.0);
    service.stop().await;
}

#[tokio::test]
async fn nobody_types_codes_until_one_is_right() {
    let ada = Person::new("ada");
    let service = Service::start(&[&ada]).await;
    let mut refused = 0;
    for at in 0..30 {
        let guess = json!({"userCode": format!("ABCDEF{at:02}"), "decision": "approve"});
        refused += u32::from(service.call(&ada, CONFIRM, guess).await.status == 429);
    }
    assert_eq!(refused, 10, "twenty in ten minutes");
    service.stop().await;
}

#[tokio::test]
async fn what_the_console_has_for_a_device_is_handed_over_once_and_only_by_the_console() {
    let ada = Person::new("ada");
    let service = Service::start(&[&ada]).await;
    let theirs = json!({
        "did": "did:web:mallory.example",
        "handle": "ada.example",
        "apiKey": "cocore-of-the-console",
        "apiBase": "https://console.example",
    });
    for (secret, expected) in [(SECRET, true), ("0123456789abcdef0123456789abcdeX", false)] {
        let begun = start(&service).await;
        let (device, code) = (text(&begun, "deviceId"), text(&begun, "userCode"));
        let body = json!({"userCode": code, "decision": "approve", "providerSession": theirs});
        let bearer = ada.bearer(CONFIRM);
        let headers = [("Authorization", bearer.as_str()), ("x-cocore-internal-secret", secret)];
        let line = format!("POST /xrpc/{CONFIRM}");
        let approved = send_body(service.address, &line, &headers, body.to_string().as_bytes()).await;
        assert_eq!(approved.status, 200);
        let session = poll(&service, &device).await.json()["session"].take();
        assert_eq!(session["did"], "did:web:ada.example", "whoever was verified");
        assert_eq!(session["apiKey"] == "cocore-of-the-console", expected, "{session}");
        assert_eq!(poll(&service, &device).await.status, 410);
    }
    assert_eq!(service.store.held(&ada.did).unwrap().keys, 1, "the one of ours");
    service.stop().await;
}

#[tokio::test]
async fn a_machine_learns_of_its_owner_and_sends_reports() {
    let ada = Person::new("ada");
    let service = Service::start(&[&ada]).await;
    let mut told = Told::default();
    let made = service.call(&ada, CREATE, json!({"name": "machine"})).await.json();
    let key = text(&made, "secret");
    for path in ["/agent/status", "/api/agent/whoami", "/agent/health"] {
        told.note(path, &service.get_with_key(path, &key).await);
    }
    let report = async |path: &str, kind: &str, body: &[u8]| {
        let bearer = format!("Bearer {key}");
        let headers = [("Authorization", bearer.as_str()), ("Content-Type", kind)];
        send_body(service.address, &format!("POST {path}"), &headers, body).await
    };
    told.note("report", &report("/agent/bug-report", "application/gzip; a=b", b"bytes").await);
    told.note("report as text", &report("/agent/bug-report", "text/plain", b"bytes").await);
    told.note("report nothing", &report("/agent/bug-report", "application/gzip", b"").await);
    told.note(
        "report too much",
        &report("/agent/bug-report", "application/gzip", &vec![0; 26_214_401]).await,
    );
    for _ in 1..10 {
        assert_eq!(report("/api/agent/bug-report", "application/x-tar", b"bytes").await.status, 201);
    }
    told.note("report too often", &report("/agent/bug-report", "application/gzip", b"bytes").await);
    let files: Vec<_> = std::fs::read_dir(service.path("bug-reports")).unwrap().map(Result::unwrap).collect();
    assert_eq!(files.len(), 10);
    for file in files {
        let name = file.file_name().into_string().unwrap();
        assert!(
            name.starts_with("br_") && name.ends_with(".tar.gz") && name.len() == 11 + 1 + 12 + 7,
            "{name}"
        );
        assert_eq!(std::fs::read(file.path()).unwrap(), b"bytes");
        let mode = std::os::unix::fs::PermissionsExt::mode(&file.metadata().unwrap().permissions());
        assert_eq!(mode & 0o777, 0o600);
    }
    told.note("without a key", &send(service.address, "GET /agent/status", &[]).await);
    insta::assert_snapshot!(told.0);
    service.stop().await;
}

#[tokio::test]
async fn the_console_asks_with_the_secret_and_only_where_it_is_answered() {
    let ada = Person::new("ada");
    let service = Service::start(&[&ada]).await;
    let mut told = Told::default();
    let did = json!({"did": "did:web:ada.example"});
    for (path, body) in [
        ("mint-key", json!({})),
        ("mint-key", json!({"did": "ada.example"})),
        ("mint-key", json!({"did": "did:web:ada.example", "name": "a".repeat(101)})),
        ("resolve-key", json!({})),
        ("resolve-key", json!({"key": "cocore-unknown"})),
        ("reset-did", json!({})),
        ("nothing", json!({})),
    ] {
        let what = format!("{path} {}", body.to_string().chars().take(60).collect::<String>());
        told.note(&what, &service.order(&format!("/internal/account/{path}"), body).await);
    }
    let minted = service.order("/internal/account/mint-key", did.clone()).await;
    told.note("mint", &minted);
    let key = text(&minted.json(), "secret");
    told.note("resolve", &service.order("/internal/account/resolve-key", json!({"key": key})).await);
    service.store.begin_session(&ada.did, b"tokens", 1).unwrap();
    told.note("reset", &service.order("/internal/account/reset-did", did.clone()).await);
    told.note("resolve after", &service.order("/internal/account/resolve-key", json!({"key": key})).await);
    assert!(service.store.session(&ada.did).unwrap().is_none());
    assert_eq!(service.store.due_revocations(u64::MAX / 2).unwrap().len(), 1, "its tokens are to be revoked");
    for secret in ["", "0123456789abcdef0123456789abcdeX", &format!("{SECRET}0")] {
        let headers = [("x-cocore-internal-secret", secret)];
        let line = "POST /internal/account/mint-key";
        let refused = send_body(service.console, line, &headers, did.to_string().as_bytes()).await;
        assert_eq!(refused.status, 403, "{secret}");
    }
    let headers = [("x-cocore-internal-secret", SECRET)];
    let elsewhere = send(service.address, "POST /internal/account/mint-key", &headers).await;
    assert_eq!(elsewhere.status, 404, "the public listener has no such path");
    insta::assert_snapshot!(told.0);
    service.stop().await;
}

#[tokio::test]
async fn work_for_machines_is_left_to_others() {
    let service = Service::start(&[]).await;
    for method in ["dispatch", "submit", "status"] {
        let path = format!("/xrpc/dev.cocore.inference.{method}");
        let reply = post(service.address, &path, "", &json!({"model": "m", "prompt": "p"})).await;
        assert_eq!((reply.status, text(&reply.json(), "error").as_str()), (501, "MethodNotImplemented"));
    }
    service.stop().await;
}
