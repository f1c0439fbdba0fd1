//! People of the official PDS: they sign in with its real OAuth, publish through the daemon, see it, delete it there, and end it all.
//!
//! Needs what `real_network` needs, and is passed over where that is.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, reason = "tests")]

mod support;

use std::net::SocketAddr;
use std::os::unix::fs::PermissionsExt as _;
use std::time::Duration;

use appviewd::account::{AccountStore, SessionState};
use serde_json::{Value as Json, json};
use tokio::time::timeout;

use support::Scenario;
use support::daemon::Daemon;
use support::exchange::{cookies, friend};
use support::http::{Reply, post, send, send_body};
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

    async fn until_gone(&self, uri: &str) {
        let gone = async {
            while self.exported().iter().any(|found| found == uri) {
                tokio::task::yield_now().await;
            }
        };
        timeout(PATIENCE, gone).await.expect("what is deleted at the PDS goes");
    }
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

    // A key, by a token that her PDS signs.
    let method = "dev.cocore.account.createApiKey";
    let token = network.tell(&json!({"do": "serviceAuth", "did": ada, "aud": SERVICE, "lxm": method}));
    let bearer = format!("Bearer {}", token.as_str().unwrap());
    let made = post(daemon.address, &format!("/xrpc/{method}"), &bearer, &json!({"name": "laptop"})).await;
    assert_eq!(made.status, 200, "{}", String::from_utf8_lossy(&made.body));
    let key = made.json()["secret"].as_str().unwrap().to_owned();

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

    let origin = format!("http://{}", daemon.address);
    // Browsers know a port by its cookies, and a daemon that is started anew has another.
    let headers = [("Cookie", cookie.as_str()), ("Origin", origin.as_str())];
    let ended = send_body(daemon.address, "POST /oauth/logout-everywhere", &headers, b"").await;
    assert_eq!(ended.json(), json!({"ok": true, "session": true, "keysRevoked": 1, "browsers": 1}));
    assert_eq!(publish(daemon.address, &key, "createRecord", &create).await.status, 401);
    assert_eq!(send(daemon.address, "GET /oauth/session", &[("Cookie", &cookie)]).await.status, 401);
    let heard = async {
        let db = rusqlite::Connection::open(here.scenario.path("appview-data/account.db")).unwrap();
        let waiting =
            || db.query_row("select count(*) from revocation", [], |row| row.get::<_, i64>(0)).unwrap();
        while waiting() > 0 {
            tokio::task::yield_now().await;
        }
    };
    timeout(PATIENCE, heard).await.expect("her server hears of it");
    drop(daemon);
    // Nothing of it is in any file.
    for file in std::fs::read_dir(here.scenario.path("appview-data")).unwrap() {
        let path = file.unwrap().path();
        let bytes = if path.is_file() { std::fs::read(&path).unwrap() } else { continue };
        let secrets = [key.as_str(), cookie.split_once('=').unwrap().1, before.as_str()];
        for secret in secrets {
            let found = bytes.windows(secret.len()).any(|window| window == secret.as_bytes());
            assert!(!found, "a secret is in {}", path.display());
        }
    }
}

/// Has the session's access token be over by its own word; gives the refresh token that it has.
fn expire(here: &Here, did: &str) -> String {
    let did = did.parse().unwrap();
    let store =
        AccountStore::open(here.scenario.path("appview-data/account.db"), Some(ring(SESSION_KEY))).unwrap();
    let session = store.session(&did).unwrap().unwrap();
    let SessionState::Ready(bytes) = session.state else { panic!("{session:?}") };
    let mut tokens: Json = serde_json::from_slice(bytes.expose()).unwrap();
    tokens["expires_at"] = json!(1);
    let changed = tokens.to_string().into_bytes().into();
    store.keep_tokens(&did, session.generation, &changed, session.changed_at).unwrap();
    tokens["refresh"].as_str().unwrap().to_owned()
}
