//! People of the official PDS: they sign in with its real OAuth, publish through the daemon, see it, delete it there, and end it all;
//! or have all that is theirs wiped, while the daemon is killed.
//!
//! Needs what `real_network` needs, and is passed over where that is.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, reason = "tests")]

mod support;

use std::net::SocketAddr;
use std::os::unix::fs::PermissionsExt as _;
use std::time::Duration;

use appviewd::account::{AccountStore, Session, SessionState};
use serde_json::{Value as Json, json};
use tokio::time::timeout;

use support::Scenario;
use support::daemon::Daemon;
use support::exchange::{cookies, friend};
use support::http::{Reply, post, send, send_body};
use support::needle::{Needle, assert_seen, find};
use support::network::Network;
use support::people::SERVICE;
use support::service::{SESSION_KEY, ring};

const FRIEND: &str = "dev.cocore.account.friend";
/// How long anything may take before something must be wrong.
const PATIENCE: Duration = Duration::from_secs(60);

struct Here {
    scenario: Scenario,
    arguments: Vec<String>,
}

impl Here {
    fn of(network: &Network) -> Self {
        let scenario = Scenario::empty();
        std::fs::write(scenario.path("session-key"), SESSION_KEY).unwrap();
        let mine = std::fs::Permissions::from_mode(0o600);
        std::fs::set_permissions(scenario.path("session-key"), mine).unwrap();
        let arguments = ["--plc", &network.plc, "--relay", &network.streams[0], "--allow-private-hosts"]
            .into_iter()
            .chain(["--service-did", SERVICE, "--session-key-file", "session-key", "--loopback-sign-in"])
            .map(str::to_owned);
        Self { arguments: arguments.collect(), scenario }
    }

    fn start(&self) -> Daemon {
        let daemon =
            Daemon::serve(&self.scenario, &self.arguments.iter().map(String::as_str).collect::<Vec<_>>());
        daemon.hear("connected");
        daemon
    }

    /// URIs of what the index holds.
    fn exported(&self) -> Vec<String> {
        let lines = self.scenario.succeed(&["export"]);
        let uri =
            |line: &str| serde_json::from_str::<Json>(line).unwrap()["uri"].as_str().unwrap().to_owned();
        lines.lines().map(uri).collect()
    }

    async fn until_exported(&self, is_so: impl Fn(&[String]) -> bool) {
        let exported = async {
            while !is_so(&self.exported()) {
                tokio::task::yield_now().await;
            }
        };
        timeout(PATIENCE, exported).await.expect("the index follows the PDS");
    }

    async fn until_gone(&self, uri: &str) {
        self.until_exported(|found| !found.iter().any(|found| found == uri)).await;
    }

    /// Waits until every authorization server has heard of the sessions that have ended.
    async fn until_revoked(&self) {
        let heard = async {
            let db = rusqlite::Connection::open(self.scenario.path("appview-data/account.db")).unwrap();
            let waiting =
                || db.query_row("select count(*) from revocation", [], |row| row.get::<_, i64>(0)).unwrap();
            while waiting() > 0 {
                tokio::task::yield_now().await;
            }
        };
        timeout(PATIENCE, heard).await.expect("her server hears of it");
    }

    /// The session as it is sealed. Nothing may run meanwhile.
    fn session(&self, did: &str) -> (AccountStore, Session, Json) {
        let store = self.scenario.path("appview-data/account.db");
        let store = AccountStore::open(store, Some(ring(SESSION_KEY))).unwrap();
        let session = store.session(&did.parse().unwrap()).unwrap().unwrap();
        let SessionState::Ready(bytes) = &session.state else { panic!("{session:?}") };
        let tokens = serde_json::from_slice(bytes.expose()).unwrap();
        (store, session, tokens)
    }

    /// Nothing of these is in any file, however it is written.
    fn assert_hidden(&self, secrets: &[&str]) {
        let needles: Vec<Needle> =
            secrets.iter().map(|secret| Needle::new(*secret, secret.as_bytes())).collect();
        assert_seen(&needles);
        assert_eq!(find(&needles, &self.scenario.path("appview-data"), &[]), [""; 0]);
    }
}

/// A token by which her PDS says that it is she who calls a method.
fn bearer(network: &mut Network, did: &str, method: &str) -> String {
    let token = network.tell(&json!({"do": "serviceAuth", "did": did, "aud": SERVICE, "lxm": method}));
    format!("Bearer {}", token.as_str().unwrap())
}

/// A key, made by a token that her PDS signs.
async fn make_key(network: &mut Network, address: SocketAddr, did: &str) -> String {
    let method = "dev.cocore.account.createApiKey";
    let bearer = bearer(network, did, method);
    let made = post(address, &format!("/xrpc/{method}"), &bearer, &json!({"name": "laptop"})).await;
    assert_eq!(made.status, 200, "{}", String::from_utf8_lossy(&made.body));
    made.json()["secret"].as_str().unwrap().to_owned()
}

/// Sends what a page of ours would. Browsers know a port by its cookies, and a daemon that is started anew has another.
async fn by_our_page(address: SocketAddr, line: &str, cookie: &str, body: &Json) -> Reply {
    let origin = format!("http://{address}");
    let headers = [("Cookie", cookie), ("Origin", &origin), ("Content-Type", "application/json")];
    send_body(address, line, &headers, body.to_string().as_bytes()).await
}

/// Asks how her wipe goes until it is as wanted.
async fn until(address: SocketAddr, cookie: &str, wanted: impl Fn(&Json) -> bool) -> Json {
    let asking = async {
        loop {
            let mut told = send(address, "GET /account/wipe", &[("Cookie", cookie)]).await.json();
            if wanted(&told["wipe"]) {
                return told["wipe"].take();
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    timeout(PATIENCE, asking).await.expect("the wipe goes on")
}

/// Signs somebody in, who allows it on their server's own page; gives the browser's cookie.
async fn sign_in(network: &mut Network, address: SocketAddr, did: &str) -> String {
    let origin = format!("http://{address}");
    let headers =
        [("Origin", origin.as_str()), ("Content-Type", "application/json"), ("Accept", "application/json")];
    let body = json!({"account": did}).to_string();
    let begun = send_body(address, "POST /oauth/login", &headers, body.as_bytes()).await;
    assert_eq!(begun.status, 200, "{}", String::from_utf8_lossy(&begun.body));
    let (url, cookie) = (begun.json()["url"].clone(), cookies(&begun).remove(0));
    let back = network.tell(&json!({"do": "approve", "did": did, "url": url}));
    let path = back.as_str().unwrap().strip_prefix(&origin).expect("the browser comes back here").to_owned();
    let reply = send(address, &format!("GET {path}"), &[("Cookie", &cookie)]).await;
    assert_eq!(reply.status, 303, "{}", String::from_utf8_lossy(&reply.body));
    cookies(&reply).remove(0)
}

async fn publish(address: SocketAddr, key: &str, operation: &str, body: &Json) -> Reply {
    post(address, &format!("/pds/{operation}"), &format!("Bearer {key}"), body).await
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "installs the official PDS from npm: just real-network"]
async fn a_person_signs_in_publishes_deletes_and_ends_it_all() {
    let Some(mut network) = Network::start(1) else { return };
    let ada = network.account(0, "ada");
    let here = Here::of(&network);
    let daemon = here.start();
    let cookie = sign_in(&mut network, daemon.address, &ada).await;
    let who = send(daemon.address, "GET /oauth/session", &[("Cookie", &cookie)]).await;
    assert_eq!(who.json()["did"], ada.as_str());

    let key = make_key(&mut network, daemon.address, &ada).await;

    // In the index as soon as it is published, and what the PDS lists.
    let create = json!({"collection": FRIEND, "record": friend("did:web:a.example")});
    let made = publish(daemon.address, &key, "createRecord", &create).await;
    assert_eq!(made.status, 200, "{}", String::from_utf8_lossy(&made.body));
    let made = made.json();
    assert!(made.get("indexed").is_none(), "{made}");
    let uri = made["uri"].as_str().unwrap().to_owned();
    assert_eq!(here.exported(), [uri.as_str()]);
    assert_eq!(network.listed()[&uri].cid, made["cid"].as_str().unwrap());
    let rkey = uri.rsplit('/').next().unwrap().to_owned();

    // The PDS's own words for a swap that fails.
    let swap = json!({"collection": FRIEND, "rkey": rkey, "record": friend("did:web:b.example"),
        "swapRecord": "bafyreifnbw4lj6hpvyp3tzrb6zqmmgw4ljsiif67locmy4jxrmg7m72uyu"});
    let refused = publish(daemon.address, &key, "putRecord", &swap).await;
    assert_eq!((refused.status, &refused.json()["error"]), (400, &json!("PdsError")));
    assert!(refused.json()["message"].as_str().unwrap().contains("InvalidSwap"), "{}", refused.json());
    let put = json!({"collection": FRIEND, "rkey": rkey, "record": friend("did:web:b.example"), "swapRecord": made["cid"]});
    let put = publish(daemon.address, &key, "putRecord", &put).await;
    assert_eq!(put.status, 200, "{}", String::from_utf8_lossy(&put.body));
    assert_eq!(network.listed()[&uri].cid, put.json()["cid"].as_str().unwrap());

    // Deleted at the PDS, it goes; deleted here, it has gone.
    network.delete(&ada, FRIEND, &rkey);
    here.until_gone(&uri).await;
    let again = publish(daemon.address, &key, "createRecord", &create).await.json();
    let rkey = again["uri"].as_str().unwrap().rsplit('/').next().unwrap();
    let deleted =
        publish(daemon.address, &key, "deleteRecord", &json!({"collection": FRIEND, "rkey": rkey})).await;
    assert_eq!((deleted.status, deleted.json()), (200, json!({"uri": again["uri"]})));
    assert!(here.exported().is_empty() && network.listed().is_empty());

    // Killed, it goes on with the session that is sealed.
    drop(daemon);
    let daemon = here.start();
    let made = publish(daemon.address, &key, "createRecord", &create).await;
    assert_eq!(made.status, 200, "{}", String::from_utf8_lossy(&made.body));
    drop(daemon);

    // Once its access token is over it is renewed, and the refresh token that was spent is good no more.
    let before = expire(&here, &ada);
    let daemon = here.start();
    let made = publish(daemon.address, &key, "createRecord", &create).await;
    assert_eq!(made.status, 200, "{}", String::from_utf8_lossy(&made.body));

    let ended = by_our_page(daemon.address, "POST /oauth/logout-everywhere", &cookie, &json!({})).await;
    assert_eq!(ended.json(), json!({"ok": true, "session": true, "keysRevoked": 1, "browsers": 1}));
    assert_eq!(publish(daemon.address, &key, "createRecord", &create).await.status, 401);
    assert_eq!(send(daemon.address, "GET /oauth/session", &[("Cookie", &cookie)]).await.status, 401);
    here.until_revoked().await;
    drop(daemon);
    // Nothing of it is in any file.
    here.assert_hidden(&[&key, cookie.split_once('=').unwrap().1, &before]);
}

/// Has the session's access token be over by its own word; gives the refresh token that it has.
fn expire(here: &Here, did: &str) -> String {
    let (store, session, mut tokens) = here.session(did);
    tokens["expires_at"] = json!(1);
    let changed = tokens.to_string().into_bytes().into();
    store.keep_tokens(&did.parse().unwrap(), session.generation, &changed, session.changed_at).unwrap();
    tokens["refresh"].as_str().unwrap().to_owned()
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "installs the official PDS from npm: just real-network"]
async fn whoever_has_everything_wiped_is_left_with_nothing_though_the_daemon_is_killed_meanwhile() {
    let Some(mut network) = Network::start(1) else { return };
    let [ada, boris] = ["ada", "boris"].map(|name| network.account(0, name));
    let here = Here::of(&network);
    let mut daemon = here.start();
    let cookie = sign_in(&mut network, daemon.address, &ada).await;
    let key = make_key(&mut network, daemon.address, &ada).await;
    // What others say of her is theirs, and what she has elsewhere is none of ours.
    let named = format!("at://{boris}/{FRIEND}/{}", network.create(&boris, &friend(&ada)));
    let post =
        json!({"$type": "app.bsky.feed.post", "text": "hello", "createdAt": "2026-01-01T00:00:00.000Z"});
    network.create(&ada, &post);

    let mut left = 0;
    for attempt in 0..5 {
        // More than one commit deletes.
        for batch in 0..5 {
            let create = |at: usize| {
                json!({"action": "create", "collection": FRIEND,
                "rkey": format!("r-{attempt}-{batch}-{at}"), "value": friend("did:web:a.example")})
            };
            network.apply(&ada, (0..200).map(create).collect());
        }
        here.until_exported(|found| found.len() == 1_001).await;
        let begun = by_our_page(daemon.address, "POST /account/wipe", &cookie, &json!({})).await;
        assert_eq!(begun.status, 202, "{}", String::from_utf8_lossy(&begun.body));
        until(daemon.address, &cookie, |wipe| wipe["deleted"].as_u64() > Some(0)).await;
        // Killed.
        drop(daemon);
        left = network.listed().len() - 1;
        daemon = here.start();
        until(daemon.address, &cookie, |wipe| wipe["complete"] == true).await;
        assert_eq!(network.listed().into_keys().collect::<Vec<_>>(), [named.as_str()]);
        assert_eq!(here.exported(), [named.as_str()]);
        if (1..1_000).contains(&left) {
            break;
        }
    }
    assert!((1..1_000).contains(&left), "it was killed in the middle");
    let create = json!({"collection": FRIEND, "record": friend("did:web:a.example")});
    assert_eq!(publish(daemon.address, &key, "createRecord", &create).await.status, 401, "keys are gone");
    let who = send(daemon.address, "GET /oauth/session", &[("Cookie", &cookie)]).await;
    assert_eq!(who.json()["did"], ada.as_str(), "she stays signed in");

    // What there is of her, and where the rest is.
    let reply = send(daemon.address, "GET /account/export", &[("Cookie", &cookie)]).await;
    let all: Json = serde_json::from_slice(&reply.chunks()).unwrap();
    assert_eq!((&all["records"], &all["keys"], &all["audit"]), (&json!([]), &json!([]), &json!([])));
    let method = "dev.cocore.appview.exportMyData";
    let headers = [("Authorization", bearer(&mut network, &ada, method))];
    let headers = headers.each_ref().map(|(name, value)| (*name, value.as_str()));
    let reply = send(daemon.address, &format!("GET /xrpc/{method}"), &headers).await;
    assert_eq!(serde_json::from_slice::<Json>(&reply.chunks()).unwrap()["repository"], all["repository"]);
    let place = all["repository"].as_str().unwrap().strip_prefix("http://localhost:").unwrap();
    let (port, path) = place.split_once('/').unwrap();
    let host = SocketAddr::from(([127, 0, 0, 1], port.parse().unwrap()));
    let repository = send(host, &format!("GET /{path}"), &[]).await;
    assert_eq!(repository.status, 200);
    assert!(repository.head.contains("application/vnd.ipld.car"), "{}", repository.head);

    // What is published later is shown.
    let key = make_key(&mut network, daemon.address, &ada).await;
    let made = publish(daemon.address, &key, "createRecord", &create).await;
    assert_eq!(made.status, 200, "{}", String::from_utf8_lossy(&made.body));
    assert!(here.exported().contains(&made.json()["uri"].as_str().unwrap().to_owned()));

    // A kind that nobody knew when she signed in: her server lets nobody delete it, all else goes, and what is left is named.
    let unknown = "dev.cocore.unknown.thing";
    let rkey = network.create(&ada, &json!({"$type": unknown, "text": "hello"}));
    let everything = json!({"endSessions": true});
    by_our_page(daemon.address, "POST /account/wipe", &cookie, &everything).await;
    let wipe = until(daemon.address, &cookie, |wipe| wipe["waitsFor"] == "permission").await;
    assert_eq!((&wipe["complete"], &wipe["seen"]["repo"]), (&json!(false), &json!(1)), "{wipe}");
    assert!(wipe["problems"].to_string().contains(unknown), "{wipe}");
    assert!(network.listed().into_keys().all(|uri| uri == named || uri.contains(unknown)));
    drop(daemon);
    let (store, _, tokens) = here.session(&ada);
    drop(store);
    network.delete(&ada, unknown, &rkey);
    let daemon = here.start();
    by_our_page(daemon.address, "POST /account/wipe", &cookie, &everything).await;
    let signed_out = async {
        while send(daemon.address, "GET /oauth/session", &[("Cookie", &cookie)]).await.status != 401 {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    timeout(PATIENCE, signed_out).await.expect("her sessions end as the last step");
    let method = "dev.cocore.appview.getWipe";
    let headers = [("Authorization", bearer(&mut network, &ada, method))];
    let headers = headers.each_ref().map(|(name, value)| (*name, value.as_str()));
    let told = send(daemon.address, &format!("GET /xrpc/{method}"), &headers).await.json();
    assert_eq!(
        (&told["wipe"]["complete"], &told["wipe"]["endSessions"]),
        (&json!(true), &json!(true)),
        "{told}"
    );
    here.until_revoked().await;
    drop(daemon);
    assert_eq!(network.listed().into_keys().collect::<Vec<_>>(), [named.as_str()]);
    assert_eq!(here.exported(), [named.as_str()]);
    let text = |pointer: &str| tokens.pointer(pointer).unwrap().as_str().unwrap();
    let token = cookie.split_once('=').unwrap().1;
    here.assert_hidden(&[&key, token, text("/access"), text("/refresh"), text("/key/d")]);
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "installs the official PDS from npm: just real-network"]
async fn what_the_pds_signs_is_believed_once_for_one_method() {
    let Some(mut network) = Network::start(1) else { return };
    let ada = network.account(0, "ada");
    let here = Here::of(&network);
    let daemon = here.start();
    let [create, list, revoke, delete] = ["createApiKey", "listApiKeys", "revokeApiKey", "deleteApiKey"]
        .map(|name| format!("dev.cocore.account.{name}"));
    let call = async |method: &str, bearer: &str, body: &Json| {
        let reply = post(daemon.address, &format!("/xrpc/{method}"), bearer, body).await;
        (reply.status, reply.json())
    };
    let token = bearer(&mut network, &ada, &create);
    let (status, made) = call(&create, &token, &json!({"name": "laptop"})).await;
    assert_eq!(status, 200, "{made}");
    let id = json!({"id": made["key"]["id"]});
    for (bearer, name) in [
        (token, "JwtReplayed"),
        (bearer(&mut network, &ada, &list), "BadJwtLexicon"),
        (
            format!(
                "Bearer {}",
                network
                    .tell(&json!({"do": "serviceAuth", "did": ada, "aud": "did:web:other.example", "lxm": create}))
                    .as_str()
                    .unwrap()
            ),
            "BadJwtAudience",
        ),
    ] {
        let (status, refused) = call(&create, &bearer, &json!({"name": "another"})).await;
        assert_eq!((status, refused["error"].as_str()), (401, Some(name)), "{refused}");
    }
    let keys = async |bearer: String| {
        let headers = [("Authorization", bearer.as_str())];
        send(daemon.address, &format!("GET /xrpc/{list}"), &headers).await.json()["keys"].take()
    };
    let listed = keys(bearer(&mut network, &ada, &list)).await;
    assert_eq!((listed.as_array().unwrap().len(), &listed[0]["id"]), (1, &id["id"]), "{listed}");
    let token = bearer(&mut network, &ada, &revoke);
    assert_eq!(call(&revoke, &token, &id).await, (200, json!({"revoked": true})));
    let token = bearer(&mut network, &ada, &delete);
    assert_eq!(call(&delete, &token, &id).await, (200, json!({"deleted": true})));
    assert_eq!(keys(bearer(&mut network, &ada, &list)).await, json!([]));
    // The PDS signs by another key, which the directory names.
    network.tell_of("newKey", &ada);
    network.tell_of("publishKey", &ada);
    let token = bearer(&mut network, &ada, &list);
    assert_eq!(keys(token).await, json!([]), "a rotated key is asked for anew");
}
