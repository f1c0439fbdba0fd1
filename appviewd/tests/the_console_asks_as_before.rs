//! A client of the existing AppView's internal interface, written by its contract, finds the same here.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, reason = "tests")]

mod support;

use appviewd::account::SessionState;
use serde_json::{Value as Json, json};

use support::authority::Authority;
use support::exchange::{Exchange, Streams, friend};
use support::http::{Reply, send, send_body};
use support::service::SECRET;

const FRIEND: &str = "dev.cocore.account.friend";

/// What a console keeps of a session, which it had for itself until now.
async fn blob(exchange: &Exchange, authority: &Authority, did: &str, expires_at: u64) -> Json {
    // Signed in here, so that the server knows the key; then forgotten here.
    exchange.sign_in(authority, did).await;
    let session = exchange.store.session(&did.parse().unwrap()).unwrap().unwrap();
    let SessionState::Ready(bytes) = session.state else { panic!("ready") };
    let sealed: Json = serde_json::from_slice(bytes.expose()).unwrap();
    json!({
        "dpopKey": sealed["key"],
        "authMethod": {"method": "none"},
        "tokenSet": {
            "iss": authority.url(), "sub": did, "aud": authority.url(), "scope": "atproto", "token_type": "DPoP",
            "access_token": sealed["access"], "refresh_token": sealed["refresh"], "expires_at": expires_at,
        },
    })
}

fn forget(exchange: &Exchange, did: &str) {
    let store = rusqlite::Connection::open(exchange.store.path()).unwrap();
    store.execute("delete from session where did = ?1", [did]).unwrap();
    store.execute("delete from revocation", []).unwrap();
}

const LATER: u64 = 4_000_000_000_000;

#[tokio::test(flavor = "multi_thread")]
async fn a_session_that_is_handed_over_publishes_here() {
    let authority = Authority::start().await;
    let exchange = Exchange::start(&authority, Streams::None).await;
    let ada = authority.account();
    let data = blob(&exchange, &authority, &ada, LATER).await;
    forget(&exchange, &ada);

    let info = |reply: Reply| (reply.status, reply.json());
    let session_info = format!("GET /internal/pds/session-info?did={}", ada.replace(':', "%3A"));
    let secret = [("x-cocore-internal-secret", SECRET)];
    assert_eq!(
        info(send(exchange.console, &session_info, &secret).await),
        (200, json!({"present": false, "aud": null}))
    );
    // As an object, or as its JSON.
    for data in [data.clone(), json!(data.to_string())] {
        let taken = exchange.order("/internal/oauth-session", &json!({"did": *ada, "data": data})).await;
        assert_eq!(info(taken), (200, json!({"ok": true})));
    }
    assert_eq!(
        info(send(exchange.console, &session_info, &secret).await),
        (200, json!({"present": true, "aud": authority.url()}))
    );
    let body = json!({"did": *ada, "collection": FRIEND, "record": friend("did:web:a.example")});
    let made = exchange.order("/internal/pds/createRecord", &body).await;
    assert_eq!(made.status, 200, "{}", String::from_utf8_lossy(&made.body));
    assert_eq!(exchange.indexed().len(), 1);

    for (refused, field) in [
        (json!({"data": data}), "did"),
        (json!({"did": *ada}), "data"),
        (json!({"did": *ada, "data": "no json"}), "data"),
        (json!({"did": *ada, "data": {"tokenSet": {}}}), "data"),
        (json!({"did": "did:web:b.example", "data": data}), "data: tokenSet"),
        (json!({"did": *ada, "data": " ".repeat(300_000)}), "data"),
    ] {
        let reply = exchange.order("/internal/oauth-session", &refused).await;
        let message = reply.json()["message"].as_str().unwrap().to_owned();
        assert_eq!((reply.status, &reply.json()["error"]), (400, &json!("InvalidRequest")), "{message}");
        assert!(message.starts_with(field), "{message}");
        assert!(!message.contains("token-"), "no token is told: {message}");
    }
    exchange.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_older_session_never_replaces_a_newer_one() {
    let authority = Authority::start().await;
    let exchange = Exchange::start(&authority, Streams::None).await;
    let ada = authority.account();
    let newer = blob(&exchange, &authority, &ada, LATER).await;
    let mut older = newer.clone();
    older["tokenSet"]["expires_at"] = json!(LATER - 1);
    older["tokenSet"]["refresh_token"] = json!("an older one");
    let mut unsaid = older.clone();
    unsaid["tokenSet"].as_object_mut().unwrap().remove("expires_at");
    let hand = async |data: &Json| {
        let taken = exchange.order("/internal/oauth-session", &json!({"did": *ada, "data": data})).await;
        assert_eq!((taken.status, taken.json()), (200, json!({"ok": true})));
    };
    let held = || {
        let session = exchange.store.session(&ada.parse().unwrap()).unwrap().unwrap();
        let SessionState::Ready(bytes) = session.state else { panic!("ready") };
        let sealed: Json = serde_json::from_slice(bytes.expose()).unwrap();
        (session.generation, sealed["refresh"].clone())
    };
    hand(&newer).await;
    let before = held();
    for data in [&older, &unsaid, &newer] {
        hand(data).await;
        assert_eq!(held(), before);
    }
    exchange.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_passed_on_is_answered_within_an_answer() {
    let authority = Authority::start().await;
    let exchange = Exchange::start(&authority, Streams::None).await;
    let (ada, boris) = (authority.account(), authority.account());
    exchange.sign_in(&authority, &ada).await;
    let proxy = async |body: Json| exchange.order("/internal/pds/proxy", &body).await;
    let list = |did: &str| format!("/xrpc/com.atproto.repo.listRecords?repo={did}&collection={FRIEND}");

    let reply = proxy(json!({"did": *ada, "path": list(&ada)})).await;
    assert_eq!(reply.status, 200);
    let inner = reply.json();
    assert_eq!((&inner["status"], &inner["contentType"]), (&json!(200), &json!("application/json")));
    assert_eq!(inner["bodyText"], r#"{"records":[]}"#);

    let record =
        json!({"repo": *ada, "collection": FRIEND, "rkey": "a", "record": friend("did:web:a.example")});
    let put = json!({"did": *ada, "path": "/xrpc/com.atproto.repo.putRecord", "method": "POST", "bodyText": record.to_string()});
    assert_eq!(proxy(put).await.json()["status"], 200);
    assert_eq!(exchange.indexed().len(), 1, "what is passed on is shown as well");

    // Nobody is signed in: the answer is within.
    let reply = proxy(json!({"did": *boris, "path": list(&boris)})).await;
    assert_eq!((reply.status, &reply.json()["status"]), (200, &json!(401)));

    for (body, message) in [
        (json!({"path": "/xrpc/com.atproto.repo.listRecords"}), "did required"),
        (json!({"did": *ada}), "path required"),
        (json!({"did": *ada, "path": 7}), "path must be a string"),
        (
            json!({"did": *ada, "path": "/xrpc/com.atproto.server.deleteAccount", "method": "POST"}),
            "path not allowed",
        ),
        (
            json!({"did": *ada, "path": "/xrpc/com.atproto.repo./../com.atproto.server.deleteAccount", "method": "POST"}),
            "path not allowed",
        ),
        (
            json!({"did": *ada, "path": "/xrpc/com.atproto.server.getServiceAuthX?aud=did:web:a.example"}),
            "path not allowed",
        ),
        (json!({"did": *ada, "path": list(&boris)}), "repo: expected the person's own DID"),
    ] {
        let reply = proxy(body).await;
        assert_eq!((reply.status, &reply.json()["message"]), (400, &json!(message)));
    }
    exchange.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn without_the_secret_nothing_is_done() {
    let authority = Authority::start().await;
    let exchange = Exchange::start(&authority, Streams::None).await;
    for path in ["oauth-session", "pds/createRecord", "pds/proxy", "account/mint-key"] {
        for headers in [[].as_slice(), &[("x-cocore-internal-secret", "0123456789abcdef0123456789abcdeF")]] {
            let reply = send_body(exchange.console, &format!("POST /internal/{path}"), headers, b"{}").await;
            assert_eq!((reply.status, &reply.json()["error"]), (403, &json!("Forbidden")), "{path}");
        }
        // Strangers find nothing there.
        let headers = [("x-cocore-internal-secret", SECRET)];
        let reply = send_body(exchange.address, &format!("POST /internal/{path}"), &headers, b"{}").await;
        assert_eq!(reply.status, 404, "{path}");
    }
    for method in ["publish", "unpublish", "purge"] {
        let reply =
            send_body(exchange.console, &format!("POST /xrpc/dev.cocore.bridge.{method}"), &[], b"{}").await;
        assert_eq!((reply.status, &reply.json()["error"]), (401, &json!("unauthorized")), "{method}");
    }
    exchange.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_bridge_takes_hints_and_believes_nothing() {
    let authority = Authority::start().await;
    let exchange = Exchange::start(&authority, Streams::None).await;
    let ada = authority.account();
    let bearer = format!("Bearer {SECRET}");
    let bridge = async |method: &str, body: Json| {
        let path = format!("POST /xrpc/dev.cocore.bridge.{method}");
        send_body(exchange.console, &path, &[("Authorization", &bearer)], body.to_string().as_bytes()).await
    };
    let uri = format!("at://{ada}/{FRIEND}/a");
    let hint = json!({"uri": uri, "cid": "bafy", "collection": FRIEND, "repo": *ada, "rkey": "a", "body": friend("did:web:lie.example")});
    // It is not there, whatever is said.
    assert_eq!(bridge("publish", hint.clone()).await.status, 202);
    assert!(exchange.indexed().is_empty());
    let record = fixtures::value::from_json(&friend("did:web:a.example"));
    authority.town().commit(&ada, vec![fixtures::Write::create(FRIEND, "a", record)]);
    let reply = bridge("publish", hint.clone()).await;
    assert_eq!((reply.status, reply.json()), (202, json!({"ok": true})));
    let until = async |count: usize| {
        let shown = async {
            while exchange.indexed().len() != count {
                tokio::task::yield_now().await;
            }
        };
        tokio::time::timeout(std::time::Duration::from_secs(60), shown).await.unwrap();
    };
    until(1).await;
    let cid = authority.town().world().records(&ada)[&format!("{FRIEND}/a")].to_string();
    assert_eq!(exchange.indexed()[&uri], cid, "what the pds has, and not what was said");
    // That it is gone is not believed either.
    assert_eq!(bridge("unpublish", json!({"uri": uri})).await.json(), json!({"ok": true}));
    let purged = bridge("purge", json!({"did": *ada})).await;
    // Its row is erased, and what is there still is proven and shown again.
    assert_eq!((purged.status, purged.json()), (200, json!({"ok": true, "removed": 1})));
    until(1).await;
    authority.town().commit(&ada, vec![fixtures::Write::delete(FRIEND, "a")]);
    let purged = bridge("purge", json!({"did": *ada})).await;
    assert_eq!(purged.json(), json!({"ok": true, "removed": 1}));
    assert!(exchange.indexed().is_empty());

    let stats = send(exchange.console, "GET /xrpc/dev.cocore.bridge.stats", &[]).await;
    assert_eq!((stats.status, stats.json()), (200, json!({"settled": 0, "treasuryBalance": null})));
    for refused in [
        json!({}),
        json!({"uri": uri, "cid": "bafy", "collection": "app.bsky.feed.post", "repo": *ada}),
        json!({"uri": "https://a.example", "cid": "bafy", "collection": FRIEND, "repo": *ada}),
        json!({"uri": uri, "cid": "bafy", "collection": FRIEND, "repo": "did:web:b.example"}),
        json!({"uri": uri, "cid": "bafy", "collection": "dev.cocore.compute.job", "repo": *ada}),
    ] {
        assert_eq!(bridge("publish", refused).await.status, 400);
    }
    exchange.stop().await;
}
