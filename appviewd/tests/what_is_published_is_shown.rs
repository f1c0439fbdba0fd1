//! What is published through the daemon is in the index when the call returns, proven by the PDS; what a PDS refuses is told in its words.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, reason = "tests")]

mod support;

use std::time::Duration;

use serde_json::{Value as Json, json};
use tokio::time::timeout;

use support::authority::{Authority, Fault};
use support::exchange::{Exchange, Streams, friend};
use support::http::Reply;

const FRIEND: &str = "dev.cocore.account.friend";

fn create(subject: &str) -> Json {
    json!({"collection": FRIEND, "record": friend(subject)})
}

fn told(reply: &Reply) -> (u16, String, String) {
    let json = reply.json();
    let text = |name: &str| json[name].as_str().unwrap_or_default().to_owned();
    (reply.status, text("error"), text("message"))
}

#[tokio::test(flavor = "multi_thread")]
async fn a_record_is_in_the_index_when_the_call_returns_though_no_stream_tells_of_it() {
    let authority = Authority::start().await;
    let exchange = Exchange::start(&authority, Streams::None).await;
    let ada = authority.account();
    exchange.sign_in(&authority, &ada).await;
    let key = exchange.key(&ada);

    let made = exchange.publish(&key, "/pds/createRecord", &create("did:web:a.example")).await;
    assert_eq!(made.status, 200, "{}", String::from_utf8_lossy(&made.body));
    let made = made.json();
    let uri = made["uri"].as_str().unwrap();
    assert_eq!(exchange.indexed().get(uri).map(String::as_str), made["cid"].as_str());
    assert!(made["commit"]["rev"].is_string() && made["commit"]["cid"].is_string());
    assert_eq!(made.as_object().unwrap().len(), 3, "{made}");

    let rkey = uri.rsplit('/').next().unwrap();
    let put = json!({"collection": FRIEND, "rkey": rkey, "record": friend("did:web:b.example")});
    let put = exchange.publish(&key, "/api/pds/putRecord", &put).await.json();
    assert_eq!(put["uri"], uri);
    assert_eq!(exchange.indexed().get(uri).map(String::as_str), put["cid"].as_str());

    let delete = json!({"collection": FRIEND, "rkey": rkey});
    let gone = exchange.publish(&key, "/xrpc/dev.cocore.proxy.deleteRecord", &delete).await;
    assert_eq!((gone.status, gone.json()), (200, json!({"uri": uri})));
    assert!(exchange.indexed().is_empty());
    // Again, it is gone already.
    let gone = exchange.publish(&key, "/api/xrpc/dev.cocore.proxy.deleteRecord", &delete).await;
    assert_eq!((gone.status, gone.json()), (200, json!({"uri": uri})));
    exchange.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_streams_copy_of_it_changes_nothing() {
    let authority = Authority::start().await;
    let exchange = Exchange::start(&authority, Streams::Relay).await;
    let ada = authority.account();
    exchange.sign_in(&authority, &ada).await;
    let key = exchange.key(&ada);
    for subject in ["did:web:a.example", "did:web:b.example"] {
        let made = exchange.publish(&key, "/pds/createRecord", &create(subject)).await;
        assert_eq!(made.status, 200, "{}", String::from_utf8_lossy(&made.body));
    }
    let (shown, feed) = (exchange.indexed(), *exchange.engine.pulse.feed().borrow());
    assert_eq!(shown.len(), 2);
    // All that the relay has told is stored.
    let heard = async {
        let rev = authority.town().world().head(&ada).rev.clone();
        loop {
            let reader = exchange.engine.index.reader().unwrap();
            let state = reader.repo_state(&ada.parse().unwrap()).unwrap();
            if state.and_then(|state| state.head).is_some_and(|head| head.rev.to_string() == rev) {
                break;
            }
            tokio::task::yield_now().await;
        }
    };
    timeout(Duration::from_secs(60), heard).await.unwrap();
    assert_eq!(exchange.indexed(), shown);
    let feed_after = *exchange.engine.pulse.feed().borrow();
    assert_eq!(feed_after, feed, "nobody is told twice");
    exchange.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_published_is_refused_by_field_and_rule_before_anyone_is_asked() {
    let authority = Authority::start().await;
    let exchange = Exchange::start(&authority, Streams::None).await;
    let ada = authority.account();
    exchange.sign_in(&authority, &ada).await;
    let key = exchange.key(&ada);
    authority.forget_heard();
    let cases = [
        (json!({}), "collection: "),
        (json!({"collection": "app.bsky.feed.post", "record": {}}), "collection: "),
        (json!({"collection": 7, "record": {}}), "collection: "),
        (json!({"collection": FRIEND}), "record: "),
        (json!({"collection": FRIEND, "record": []}), "record: "),
        (json!({"collection": FRIEND, "record": {}, "rkey": null}), "rkey: "),
        (json!({"collection": FRIEND, "record": {}, "rkey": "a/b"}), "rkey: "),
        (json!({"collection": FRIEND, "record": {}, "rkey": ".."}), "rkey: "),
        (
            json!({"collection": FRIEND, "record": {"subject": 7, "createdAt": "2026-01-01T00:00:00Z"}}),
            "record.subject: ",
        ),
        (json!({"collection": FRIEND, "record": {"$type": "dev.cocore.compute.job"}}), "record.$type: "),
        (json!({"collection": FRIEND, "record": {"subject": "did:web:a.example", "n": 1.5}}), "record.n: "),
    ];
    for (body, field) in cases {
        let (status, name, message) = told(&exchange.publish(&key, "/pds/createRecord", &body).await);
        assert_eq!((status, name.as_str()), (400, "InvalidRequest"), "{body}: {message}");
        assert!(message.starts_with(field), "{body}: {message}");
    }
    for (path, body) in [
        ("/pds/putRecord", json!({"collection": FRIEND, "record": friend("did:web:a.example")})),
        ("/pds/putRecord", json!({"collection": FRIEND, "record": {}, "rkey": ""})),
        ("/pds/deleteRecord", json!({"collection": FRIEND})),
    ] {
        let (status, _, message) = told(&exchange.publish(&key, path, &body).await);
        assert!(status == 400 && message.starts_with("rkey: "), "{path}: {message}");
    }
    let (status, name, _) = told(&exchange.publish(&key, "/pds/putRecord", &json!([])).await);
    assert_eq!((status, name.as_str()), (400, "InvalidRequest"));
    assert!(authority.heard("Record").is_empty());
    exchange.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pds_is_quoted_and_a_failed_swap_is_no_success() {
    let authority = Authority::start().await;
    let exchange = Exchange::start(&authority, Streams::None).await;
    let ada = authority.account();
    exchange.sign_in(&authority, &ada).await;
    let key = exchange.key(&ada);
    let delete = json!({"collection": FRIEND, "rkey": "a", "swapRecord": "bafyexpected"});
    authority.go_wrong(Fault::InvalidSwap);
    for (path, body) in
        [("/pds/createRecord", create("did:web:a.example")), ("/pds/deleteRecord", delete.clone())]
    {
        let (status, name, message) = told(&exchange.publish(&key, path, &body).await);
        assert_eq!((status, name.as_str()), (400, "PdsError"), "{path}");
        assert!(message.contains("InvalidSwap") && message.contains(FRIEND), "{message}");
    }
    assert!(authority.heard("deleteRecord").pop().unwrap().body.contains("bafyexpected"));
    authority.go_right();
    authority.go_wrong(Fault::NotLocated);
    let gone = exchange.publish(&key, "/pds/deleteRecord", &delete).await;
    assert_eq!((gone.status, &gone.json()["alreadyGone"]), (200, &json!(true)));
    authority.go_right();
    authority.go_wrong(Fault::PdsBroken);
    let (status, name, _) =
        told(&exchange.publish(&key, "/pds/createRecord", &create("did:web:a.example")).await);
    assert_eq!((status, name.as_str()), (502, "PdsError"));
    authority.go_right();
    authority.go_wrong(Fault::PdsLost);
    let (status, name, _) =
        told(&exchange.publish(&key, "/pds/createRecord", &create("did:web:a.example")).await);
    assert_eq!((status, name.as_str()), (502, "PdsWriteFailed"));
    exchange.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn nobody_publishes_without_a_key_and_a_session() {
    let authority = Authority::start().await;
    let exchange = Exchange::start(&authority, Streams::None).await;
    let ada = authority.account();
    let body = create("did:web:a.example");
    for key in ["", "cocore-unknown", &format!("cocore-{}", "a".repeat(43))] {
        let (status, name, _) = told(&exchange.publish(key, "/pds/createRecord", &body).await);
        assert_eq!((status, name.as_str()), (401, "AuthRequired"), "{key}");
    }
    let key = exchange.key(&ada);
    // The session is looked at before what is asked.
    let (status, name, message) = told(&exchange.publish(&key, "/pds/createRecord", &json!({})).await);
    assert_eq!((status, name.as_str()), (401, "AuthRequired"));
    assert!(message.contains("sign in"), "{message}");
    let reply = support::http::send(exchange.address, "GET /pds/createRecord", &[]).await;
    assert_eq!((reply.status, &reply.json()["error"]), (405, &json!("MethodNotAllowed")));
    assert!(authority.heard("createRecord").is_empty());
    exchange.stop().await;
}
