//! What is promised about API keys.

use std::collections::BTreeSet;
use std::time::Instant;

use appviewd::account::{Actor, KeyOf, backup};
use aws_lc_rs::digest::{SHA256, digest};
use rusqlite::Connection;
use serde_json::{Value as Json, json};

use crate::support::Scenario;
use crate::support::daemon::Daemon;
use crate::support::http::{Reply, get, post, send, send_body};
use crate::support::needle::{Needle, assert_seen, find};
use crate::support::people::{Person, SERVICE, identities};
use crate::support::service::{SECRET, SESSION_KEY, Service};

const CREATE: &str = "dev.cocore.account.createApiKey";
const LIST: &str = "dev.cocore.account.listApiKeys";

fn text(json: &Json, name: &str) -> String {
    json[name].as_str().unwrap_or_else(|| panic!("no {name} in {json}")).to_owned()
}

/// A process with its data in a folder, that logs whatever can be logged.
fn talkative(scenario: &Scenario, people: &[&Person]) -> Daemon {
    let write = |name: &str, text: &str| {
        std::fs::write(scenario.path(name), text).unwrap();
        let mode = std::os::unix::fs::PermissionsExt::from_mode(0o600);
        std::fs::set_permissions(scenario.path(name), mode).unwrap();
    };
    write("plc.json", &identities(people).to_string());
    write("secret", SECRET);
    write("session-key", SESSION_KEY);
    let arguments = ["--identities", "plc.json", "--relay", "ws://127.0.0.1:1", "--service-did", SERVICE]
        .into_iter()
        .chain(["--internal-secret-file", "secret", "--internal-listen", "127.0.0.1:0"])
        .chain(["--session-key-file", "session-key", "--data-dir", "data"]);
    Daemon::serve_with(scenario, &[("RUST_LOG", "trace")], &arguments.collect::<Vec<_>>())
}

#[tokio::test(flavor = "multi_thread")]
async fn p01_an_api_key_is_in_one_answer_and_nowhere_else() {
    let people: Vec<Person> = (0..4).map(|at| Person::new(&format!("person{at}"))).collect();
    let scenario = Scenario::empty();
    let process = talkative(&scenario, &people.iter().collect::<Vec<_>>());
    let console = process.hear("answering the console")["address"].as_str().unwrap().parse().unwrap();
    let address = process.address;
    // A token is good from the start on.
    assert_eq!(get(address, "/healthz").await["ok"], true);
    let mut keys = Vec::new();
    for person in &people {
        for at in 0..25 {
            // By its owner, by the console, and by a device that is paired.
            let key = match at % 3 {
                0 => {
                    let body = json!({"name": format!("key {at}")});
                    post(address, &format!("/xrpc/{CREATE}"), &person.bearer(CREATE), &body).await.json()
                }
                1 => {
                    let headers = [("x-cocore-internal-secret", SECRET)];
                    let body = json!({"did": person.did.as_str()}).to_string();
                    send_body(console, "POST /internal/account/mint-key", &headers, body.as_bytes())
                        .await
                        .json()
                }
                _ => pair(address, person).await,
            };
            keys.push(text(&key, "secret"));
        }
    }
    for key in &keys {
        let bearer = format!("Bearer {key}");
        let used = send(address, "GET /agent/whoami", &[("Authorization", &bearer)]).await;
        assert_eq!(used.status, 200);
    }
    for person in &people {
        let bearer = person.bearer(LIST);
        let listed = send(address, &format!("GET /xrpc/{LIST}"), &[("Authorization", &bearer)]).await;
        assert_eq!(listed.json()["keys"].as_array().unwrap().len(), 25);
    }
    let needles: Vec<Needle> = keys
        .iter()
        .flat_map(|key| {
            [Needle::new(key, key.as_bytes()), Needle::new(format!("begin of {key}"), &key.as_bytes()[..20])]
        })
        .collect();
    assert_eq!(needles.len(), 200);
    assert_seen(&needles);
    let told = process.told();
    assert!(told.contains("\"level\":\"DEBUG\""), "it logs whatever can be logged");
    assert_eq!(find(&needles, &scenario.path("."), &[("the log", told.as_bytes())]), [""; 0]);
}

/// The key of a device that a person approves.
async fn pair(address: std::net::SocketAddr, person: &Person) -> Json {
    const CONFIRM: &str = "dev.cocore.devicePair.confirm";
    let begun = post(address, "/xrpc/dev.cocore.devicePair.start", "", &json!({})).await.json();
    let approve = json!({"userCode": begun["userCode"], "decision": "approve"});
    let approved = post(address, &format!("/xrpc/{CONFIRM}"), &person.bearer(CONFIRM), &approve).await;
    assert_eq!(approved.status, 200);
    let poll = format!("GET /xrpc/dev.cocore.devicePair.poll?deviceId={}", text(&begun, "deviceId"));
    let session = send(address, &poll, &[]).await.json();
    json!({"secret": session["session"]["apiKey"]})
}

#[tokio::test]
async fn p02_what_is_kept_of_a_key_is_its_hash_from_which_nobody_gets_it_back() {
    let ada = Person::new("ada");
    let service = Service::start(&[&ada]).await;
    let name = "a key".parse().unwrap();
    let made: Vec<(String, String)> = (0..20)
        .map(|_| {
            let (key, secret) = service.store.mint_key(&ada.did, &name, None, Actor::Service, 1).unwrap();
            (key.id, secret.expose().clone())
        })
        .collect();
    let rows = Connection::open(service.path("account.db")).unwrap();
    let mut hashes = BTreeSet::new();
    for (id, secret) in &made {
        let (hash, prefix): (Vec<u8>, String) = rows
            .query_row("select hash, prefix from api_key where id = ?1", [id], |row| {
                Ok((row.get(0)?, row.get(1)?))
            })
            .unwrap();
        assert_eq!(hash, digest(&SHA256, secret.as_bytes()).as_ref(), "SHA-256 of the key and nothing else");
        assert_eq!(prefix, secret[..15]);
        hashes.insert(hash);
    }
    assert_eq!(hashes.len(), made.len());
    let again = "insert into api_key (id, did, name, prefix, hash, created_at)
                 select 'again', did, name, prefix, hash, created_at from api_key limit 1";
    assert!(rows.execute(again, []).is_err(), "no two rows have one hash");
    // Whatever tells of keys tells 15 characters.
    let to = service.path("backup.db");
    backup(&service.path("account.db"), &to).unwrap();
    let listed = service.ask(&ada, LIST).await;
    assert_eq!(listed.json()["keys"].as_array().unwrap().len(), made.len());
    let told = format!("{:?}", service.store.keys(KeyOf::Anyone).unwrap());
    let mut said: Vec<(&str, Vec<u8>)> = vec![("the list", listed.body), ("debug text", told.into_bytes())];
    let (_, secret) = &made[0];
    for path in ["/agent/whoami", "/agent/status", "/agent/health"] {
        said.push((path, service.get_with_key(path, secret).await.body));
    }
    // Longer than the characters that are told by as much as the column beside them will not continue by chance.
    let needles: Vec<Needle> =
        made.iter().map(|(_, secret)| Needle::new(secret, &secret.as_bytes()[..24])).collect();
    assert_seen(&needles);
    let said: Vec<(&str, &[u8])> = said.iter().map(|(place, text)| (*place, text.as_slice())).collect();
    assert_eq!(find(&needles, &service.path("."), &said), [""; 0]);
    service.stop().await;
}

#[tokio::test]
async fn p03_a_key_that_is_no_good_does_not_tell_why() {
    let ada = Person::new("ada");
    let service = Service::start(&[&ada]).await;
    let (name, store) = ("a key".parse().unwrap(), &service.store);
    let mint = |expires_at| store.mint_key(&ada.did, &name, expires_at, Actor::Service, 1).unwrap();
    let (revoked, revoked_secret) = mint(None);
    store.revoke_key(KeyOf::Anyone, &revoked.id, Actor::Service, 2).unwrap();
    let (_, expired) = mint(Some(2));
    let (deleted, deleted_secret) = mint(None);
    store.delete_key(KeyOf::Anyone, &deleted.id, Actor::Service, 2).unwrap();
    let keys = [
        ("unknown", format!("cocore-{}", "A".repeat(43))),
        ("revoked", revoked_secret.expose().clone()),
        ("over", expired.expose().clone()),
        ("deleted", deleted_secret.expose().clone()),
        ("malformed", "cocore-x".to_owned()),
        ("another service's", format!("other--{}", "A".repeat(43))),
        ("of other letters", format!("cocore-{}", "*".repeat(43))),
        ("too long", format!("cocore-{}", "A".repeat(44))),
    ];
    let shown = |reply: &Reply| {
        let differs = |line: &&str| !line.starts_with("x-request-id") && !line.starts_with("date");
        let head = reply.head.lines().filter(differs).collect::<Vec<_>>().join("\n");
        format!("{head}\n\n{}", String::from_utf8_lossy(&reply.body))
    };
    let expected = shown(&service.get_with_key("/agent/status", &keys[0].1).await);
    assert!(expected.starts_with("HTTP/1.1 401"), "{expected}");
    for (what, key) in &keys {
        for path in ["/agent/status", "/api/agent/whoami"] {
            assert_eq!(shown(&service.get_with_key(path, key).await), expected, "{what}");
        }
    }
    // Those that look alike take as long: of two calls, either may be the longer one.
    let mut times: Vec<Vec<u64>> = vec![Vec::new(); 4];
    for _ in 0..500 {
        for (times, (_, key)) in times.iter_mut().zip(&keys) {
            let began = Instant::now();
            service.get_with_key("/agent/status", key).await;
            times.push(u64::try_from(began.elapsed().as_nanos()).unwrap());
        }
    }
    for other in 1..4 {
        let longer = chance_of_longer(&times[0], &times[other]);
        assert!((0.4..=0.6).contains(&longer), "{}: {longer} of 0.5", keys[other].0);
    }
    service.stop().await;
}

/// How likely one of the first is longer than one of the second (Mann and Whitney's U, as a share).
fn chance_of_longer(first: &[u64], second: &[u64]) -> f64 {
    let longer = first.iter().map(|a| second.iter().filter(|b| a > b).count()).sum::<usize>();
    longer as f64 / (first.len() * second.len()) as f64
}
