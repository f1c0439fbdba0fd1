//! What is promised about sessions: where their tokens are, what they are used for, and how they end.

use std::collections::BTreeSet;
use std::net::SocketAddr;

use appview_core::syntax::Did;
use appviewd::account::{AccountStore, Actor, KeyName, SessionState};
use serde_json::{Value as Json, json};

use crate::support::Scenario;
use crate::support::authority::{Authority, Fault, Heard};
use crate::support::exchange::{Exchange, Streams, cookies, friend};
use crate::support::http::{Reply, send, send_body};
use crate::support::needle::{Needle, assert_seen, find};
use crate::support::people::SERVICE;
use crate::support::process::{sign_in, start};
use crate::support::service::{SESSION_KEY, ring};

const FRIEND: &str = "dev.cocore.account.friend";

async fn publish(address: SocketAddr, key: &str) -> Reply {
    let bearer = format!("Bearer {key}");
    let body = json!({"collection": FRIEND, "record": friend("did:web:a.example")}).to_string();
    send_body(address, "POST /pds/createRecord", &[("Authorization", &bearer)], body.as_bytes()).await
}

#[tokio::test(flavor = "multi_thread")]
async fn p04_tokens_and_the_key_that_they_are_bound_to_are_never_on_disk_as_they_are() {
    let authority = Authority::start().await;
    let ada = authority.account();
    let did: Did = ada.parse().unwrap();
    let scenario = Scenario::empty();
    let open = || AccountStore::open(scenario.path("data/account.db"), Some(ring(SESSION_KEY))).unwrap();
    let process = start(&scenario, &authority);
    let browser = sign_in(process.address, &authority, &ada).await;
    let mut told = process.told();
    drop(process);
    let (name, now): (KeyName, u64) = ("test".parse().unwrap(), 1);
    let (_, key) = open().mint_key(&did, &name, None, Actor::Browser, now).unwrap();
    for _ in 0..3 {
        let process = start(&scenario, &authority);
        authority.expire_access();
        assert_eq!(publish(process.address, key.expose()).await.status, 200);
        told.push_str(&process.told());
        // Killed each time.
        drop(process);
    }
    // And once in the middle of it.
    let process = start(&scenario, &authority);
    authority.expire_access();
    authority.go_wrong(Fault::TokenSlow);
    let (address, secret) = (process.address, key.expose().clone());
    let waiting = tokio::spawn(async move {
        let bearer = format!("Bearer {secret}");
        let body = json!({"collection": FRIEND, "record": friend("did:web:a.example")}).to_string();
        let mut socket = tokio::net::TcpStream::connect(address).await.unwrap();
        let head = format!(
            "POST /pds/createRecord HTTP/1.1\r\nHost: a\r\nAuthorization: {bearer}\r\nContent-Length: {}\r\n\r\n{body}",
            body.len()
        );
        tokio::io::AsyncWriteExt::write_all(&mut socket, head.as_bytes()).await.unwrap();
        std::future::pending::<()>().await;
    });
    authority.asked_slowly(1).await;
    told.push_str(&process.told());
    drop(process);
    waiting.abort();

    let session = open().session(&did).unwrap().unwrap();
    let SessionState::Refreshing(bytes) = session.state else { panic!("it was being renewed: {session:?}") };
    let sealed: Json = serde_json::from_slice(bytes.expose()).unwrap();
    let private = sealed["key"]["d"].as_str().unwrap();
    let raw = base64::Engine::decode(&base64::engine::general_purpose::URL_SAFE_NO_PAD, private).unwrap();
    let mut needles = vec![
        Needle::new("the private key", private.as_bytes()),
        Needle::new("the private key's bytes", &raw),
        Needle::new("the browser's token", browser.split_once('=').unwrap().1.as_bytes()),
    ];
    let session = authority.sessions().remove(0);
    let tokens = [session.refresh, session.access].into_iter().chain(session.former);
    needles.extend(tokens.map(|token| Needle::new(token.clone(), token.as_bytes())));
    assert!(needles.len() >= 9, "tokens of a sign-in and of three refreshes");
    assert_seen(&needles);
    assert!(told.contains("\"level\":\"TRACE\""), "it logs whatever can be logged");
    assert_eq!(find(&needles, &scenario.path("."), &[("the log", told.as_bytes())]), [""; 0]);
}

/// What a request to a PDS is about: its method, and whether it is about this person's records of ours.
fn is_allowed(heard: &Heard, did: &str) -> bool {
    let method = heard.path.rsplit('/').next().unwrap();
    let body: Json = serde_json::from_str(&heard.body).unwrap_or_default();
    match method {
        "com.atproto.repo.createRecord" | "com.atproto.repo.putRecord" | "com.atproto.repo.deleteRecord" => {
            body["repo"] == did && body["collection"].as_str().unwrap().starts_with("dev.cocore.")
        }
        "com.atproto.repo.listRecords"
        | "com.atproto.repo.getRecord"
        | "com.atproto.server.getServiceAuth" => true,
        _ => false,
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn p06_a_session_is_used_for_its_owners_records_of_ours_at_its_owners_pds_and_each_use_is_told() {
    let (authority, elsewhere) = (Authority::start().await, Authority::start().await);
    let exchange = Exchange::start(&authority, Streams::Relay).await;
    let (ada, boris) = (authority.account(), authority.account());
    exchange.sign_in(&authority, &ada).await;
    exchange.sign_in(&authority, &boris).await;
    let key = exchange.key(&ada);
    authority.forget_heard();

    // All that may be done.
    let record = friend("did:web:a.example");
    let put = json!({"collection": FRIEND, "rkey": "a", "record": record});
    assert_eq!(publish(exchange.address, &key).await.status, 200);
    assert_eq!(exchange.publish(&key, "/pds/putRecord", &put).await.status, 200);
    assert_eq!(
        exchange.publish(&key, "/pds/deleteRecord", &json!({"collection": FRIEND, "rkey": "a"})).await.status,
        200
    );
    let proxy = async |path: String, method: &str, body: Json| {
        let asked = json!({"did": *ada, "path": path, "method": method, "bodyText": body.to_string()});
        exchange.order("/internal/pds/proxy", &asked).await.status
    };
    let list = format!("/xrpc/com.atproto.repo.listRecords?repo={ada}&collection={FRIEND}");
    assert_eq!(proxy(list, "GET", Json::Null).await, 200);
    let auth =
        format!("/xrpc/com.atproto.server.getServiceAuth?aud={SERVICE}&lxm=dev.cocore.account.listApiKeys");
    assert_eq!(proxy(auth, "GET", Json::Null).await, 200);

    // All that may not.
    let of = |repo: &str, collection: &str| json!({"repo": repo, "collection": collection, "rkey": "a", "record": {}});
    for (path, method, body) in [
        ("/xrpc/com.atproto.repo.createRecord", "POST", of(&ada, "app.bsky.feed.post")),
        ("/xrpc/com.atproto.repo.createRecord", "POST", of(&boris, FRIEND)),
        ("/xrpc/com.atproto.repo.uploadBlob", "POST", Json::Null),
        ("/xrpc/com.atproto.repo.importRepo", "POST", Json::Null),
        ("/xrpc/com.atproto.server.deleteAccount", "POST", Json::Null),
        ("/xrpc/com.atproto.server.getSession", "GET", Json::Null),
        (
            "/xrpc/com.atproto.server.getServiceAuth?aud=did:web:a.example&lxm=com.atproto.repo.createRecord",
            "GET",
            Json::Null,
        ),
        ("/xrpc/app.bsky.actor.putPreferences", "POST", Json::Null),
        ("/xrpc/chat.bsky.convo.sendMessage", "POST", Json::Null),
    ] {
        assert_eq!(proxy(path.to_owned(), method, body).await, 400, "{path}");
    }
    for (operation, collection) in
        [("createRecord", "app.bsky.feed.post"), ("deleteRecord", "app.bsky.graph.follow")]
    {
        let body = json!({"collection": collection, "rkey": "a", "record": {}});
        assert_eq!(exchange.publish(&key, &format!("/pds/{operation}"), &body).await.status, 400);
    }

    let with_token: Vec<Heard> =
        authority.all_heard().into_iter().filter(|heard| heard.authorization.is_some()).collect();
    let methods: BTreeSet<&str> =
        with_token.iter().map(|heard| heard.path.rsplit('/').next().unwrap()).collect();
    assert_eq!(methods.len(), 5, "{methods:?}");
    for heard in &with_token {
        assert!(heard.authorization.as_ref().unwrap().starts_with("DPoP "));
        assert!(is_allowed(heard, &ada), "{heard:?}");
    }
    assert!(elsewhere.all_heard().is_empty(), "another's PDS");

    // Each is in her own list, by whom and to what; nothing is in his.
    let did: Did = ada.parse().unwrap();
    let (entries, _) = exchange.store.audit(&did, 100, None).unwrap();
    let told: Vec<String> = entries
        .iter()
        .rev()
        .map(|entry| {
            let actor = entry.actor.to_string();
            let actor = actor.split(':').next().unwrap().to_owned();
            format!("{} by {actor}: {}", entry.action, entry.subject.as_deref().unwrap_or_default())
        })
        .collect();
    let told: Vec<&str> = told
        .iter()
        .map(String::as_str)
        .filter(|told| told.contains("record") || told.contains("service"))
        .collect();
    assert_eq!(
        told,
        [
            &format!("record-created by key: at://{ada}/{FRIEND}"),
            &format!("record-put by key: at://{ada}/{FRIEND}/a"),
            &format!("record-deleted by key: at://{ada}/{FRIEND}/a"),
            &format!("records-listed by internal: {FRIEND}"),
            &format!("service-auth by internal: {SERVICE} dev.cocore.account.listApiKeys"),
        ]
    );
    let (his, _) = exchange.store.audit(&boris.parse().unwrap(), 100, None).unwrap();
    assert_eq!(his.len(), 1, "that he signed in");
    exchange.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn p18_signing_out_ends_the_browser_alone_and_signing_out_everywhere_ends_all() {
    let authority = Authority::start().await;
    let exchange = Exchange::start(&authority, Streams::Relay).await;
    let ada = authority.account();
    let did: Did = ada.parse().unwrap();
    let cookie = exchange.sign_in(&authority, &ada).await;
    let key = exchange.key(&ada);
    let who = async |cookie: &str| send(exchange.address, "GET /oauth/session", &[("Cookie", cookie)]).await;
    assert_eq!(who(&cookie).await.json()["did"], *ada);

    // Not from another site's page.
    let evil = [("Cookie", cookie.as_str()), ("Origin", "https://evil.example")];
    for path in ["/oauth/logout", "/oauth/logout-everywhere", "/oauth/login"] {
        let reply = send_body(exchange.address, &format!("POST {path}"), &evil, b"{}").await;
        assert_eq!((reply.status, &reply.json()["error"]), (403, &json!("Forbidden")), "{path}");
    }
    assert_eq!(who(&cookie).await.status, 200);

    let reply = exchange.by_our_page("POST /oauth/logout", &[("Cookie", &cookie)], b"").await;
    assert_eq!(reply.status, 200);
    assert!(
        reply
            .header("set-cookie")
            .unwrap()
            .starts_with("appview=; Path=/; Max-Age=0; HttpOnly; SameSite=Lax")
    );
    // Whoever has a copy of it has nothing.
    assert_eq!(who(&cookie).await.status, 401);
    assert_eq!(publish(exchange.address, &key).await.status, 200, "keys go on working");
    assert!(authority.heard("/revoke").is_empty() && exchange.store.session(&did).unwrap().is_some());

    // A cookie that was there before a sign-in is none afterwards.
    let (url, began_in) = exchange.begin(&ada).await;
    let both = format!("{began_in}; {cookie}");
    let reply = exchange.come_back(&authority.approve(&ada, &url), &both).await;
    let first = cookies(&reply).remove(0);
    assert_ne!(first, cookie);
    assert_eq!(who(&cookie).await.status, 401);
    let second = exchange.sign_in(&authority, &ada).await;

    let reply = exchange.by_our_page("POST /oauth/logout-everywhere", &[("Cookie", &first)], b"").await;
    assert_eq!(
        (reply.status, reply.json()),
        (200, json!({"ok": true, "session": true, "keysRevoked": 1, "browsers": 2}))
    );
    assert_eq!((who(&first).await.status, who(&second).await.status), (401, 401));
    assert_eq!(publish(exchange.address, &key).await.status, 401);
    assert!(exchange.store.session(&did).unwrap().is_none());
    exchange.oauth.revoke_due().await;
    assert!(authority.sessions().iter().all(|session| session.is_over), "every session that there was");
    exchange.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn p19_a_session_that_is_ended_is_gone_here_at_once_and_its_server_is_told_until_it_hears() {
    let authority = Authority::start().await;
    let scenario = Scenario::empty();
    let store = AccountStore::open(scenario.path("account.db"), Some(ring(SESSION_KEY))).unwrap();
    let oauth = crate::support::exchange::oauth(&authority, store.clone(), &scenario.path("."), 8080);
    let ada = authority.account();
    let did: Did = ada.parse().unwrap();
    let sign_in = async || {
        crate::support::exchange::sign_in(&oauth, &authority, &ada).await.unwrap();
        authority.sessions().pop().unwrap().refresh
    };
    for fault in [
        None,
        Some(Fault::RevokeNoContent),
        Some(Fault::RevokeLost),
        Some(Fault::RevokeBroken),
        Some(Fault::NoRevocation),
    ] {
        let refresh = sign_in().await;
        authority.forget_heard();
        if let Some(fault) = fault {
            authority.go_wrong(fault);
        }
        let ended = oauth.sign_out_everywhere(&did, Actor::Browser).await.unwrap();
        assert!(
            ended.session && store.session(&did).unwrap().is_none(),
            "{fault:?}: gone before anyone is told"
        );
        oauth.revoke_due().await;
        let told: Vec<_> =
            authority.heard("/revoke").iter().map(|heard| heard.form("token").unwrap()).collect();
        match fault {
            Some(Fault::NoRevocation) => assert!(told.is_empty()),
            _ => assert!(
                told.iter().all(|token| *token == refresh) && !told.is_empty(),
                "{fault:?}: the refresh token"
            ),
        }
        authority.go_right();
        // What was not heard waits, and nobody can read it.
        let due = store.due_revocations(u64::MAX / 2).unwrap();
        let waits = matches!(fault, Some(Fault::RevokeBroken | Fault::RevokeLost));
        assert_eq!(due.len(), usize::from(waits), "{fault:?}");
        let needles = [Needle::new("the refresh token", refresh.as_bytes())];
        assert_seen(&needles);
        assert_eq!(find(&needles, &scenario.path("."), &[]), [""; 0]);
        for revocation in due {
            assert_eq!(revocation.attempts, 1);
            store.revoked(revocation.id).unwrap();
        }
    }
    // It is tried again, by whoever runs then, and forgotten when it is heard.
    authority.go_wrong(Fault::RevokeBroken);
    sign_in().await;
    oauth.sign_out_everywhere(&did, Actor::Browser).await.unwrap();
    oauth.revoke_due().await;
    authority.go_right();
    let waiting = store.due_revocations(u64::MAX / 2).unwrap().remove(0);
    drop((store, oauth));
    let due_now = rusqlite::Connection::open(scenario.path("account.db")).unwrap();
    due_now.execute("update revocation set due_at = 0", []).unwrap();
    drop(due_now);
    let store = AccountStore::open(scenario.path("account.db"), Some(ring(SESSION_KEY))).unwrap();
    let oauth = crate::support::exchange::oauth(&authority, store.clone(), &scenario.path("."), 8080);
    assert_eq!(store.due_revocations(0).unwrap()[0].id, waiting.id);
    oauth.revoke_due().await;
    assert!(store.due_revocations(u64::MAX / 2).unwrap().is_empty());
    assert!(authority.sessions().pop().unwrap().is_over);
}
