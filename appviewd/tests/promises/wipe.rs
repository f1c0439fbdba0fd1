//! What is promised about "Wipe all my data".

use std::collections::BTreeMap;
use std::time::Duration;

use appview_core::syntax::Did;
use appviewd::account::{
    AccountError, AccountStore, Actor, Extent, Held, LaterWipes, SessionState, SessionsAfter, backup, restore,
};
use appviewd::wipe::{Wait, WipeView};
use fixtures::{Write, records, value};
use rusqlite::Connection;
use serde_json::{Value as Json, json};

use crate::index::befriend;
use crate::support::authority::{Authority, Fault, Interruption};
use crate::support::exchange::{Exchange, Streams};
use crate::support::service::{SESSION_KEY, ring};

const PATIENCE: Duration = Duration::from_secs(300);
const UNKNOWN: &str = "dev.cocore.unknown.thing";
const POST: &str = "app.bsky.feed.post";

fn unknown(rkey: &str) -> Write {
    Write::create(UNKNOWN, rkey, value::from_json(&json!({"$type": UNKNOWN, "text": "hello"})))
}

fn profile() -> Write {
    Write::create(records::PROFILE, "self", records::profile("Ada", 0))
}

/// Asks how a wipe goes until it is as wanted.
async fn until(exchange: &Exchange, did: &Did, wanted: impl Fn(&WipeView) -> bool) -> WipeView {
    let asking = async {
        loop {
            if let Some(wipe) = exchange.wiper.newest(did).await.unwrap()
                && wanted(&wipe)
            {
                return wipe;
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(PATIENCE, asking).await.expect("the wipe goes on")
}

/// Waits until the index shows so many records.
async fn until_shown(exchange: &Exchange, count: usize) {
    let shown = async {
        while exchange.indexed().len() != count {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(PATIENCE, shown).await.expect("the records are followed");
}

/// What was deleted of a collection, and what is left.
fn of(wipe: &WipeView, collection: &str) -> (u64, u64) {
    let found = wipe.collections.iter().find(|found| found.collection == collection).expect("it is named");
    (found.deleted, found.left)
}

async fn begin(exchange: &Exchange, did: &Did, sessions: SessionsAfter) {
    exchange.wiper.begin(did, Extent::Everything, sessions, Actor::Browser).await.unwrap();
}

/// What is in somebody's repository, in our namespace.
fn ours(authority: &Authority, did: &str) -> usize {
    authority.town().world().records(did).keys().filter(|path| path.starts_with("dev.cocore.")).count()
}

/// Something in each table.
fn hold(exchange: &Exchange, did: &Did) {
    exchange.key(did.as_str());
    let store = &exchange.store;
    let pairing = store.begin_pairing(exchange.oauth.now()).unwrap();
    store.approve_pairing(&pairing.code, did, None, exchange.oauth.now()).unwrap();
    store.keep_report(did, b"report", exchange.oauth.now()).unwrap();
    let revoked = store.keys(appviewd::account::KeyOf::Person(did)).unwrap().remove(0);
    store.revoke_key(appviewd::account::KeyOf::Person(did), &revoked.id, Actor::Browser, 1).unwrap();
    exchange.key(did.as_str());
}

#[tokio::test(flavor = "multi_thread")]
async fn p10_a_wipe_deletes_records_rows_and_keys() {
    let authority = Authority::start().await;
    let exchange = Exchange::start(&authority, Streams::Relay).await;
    let ada = authority.account();
    let did: Did = ada.parse().unwrap();
    let town = authority.town();
    for batch in 0..50 {
        town.commit(&ada, (0..200).map(|at| befriend(&format!("{batch}-{at}"))).collect());
    }
    town.commit(&ada, vec![befriend("last"), unknown("a"), unknown("b"), profile()]);
    town.commit(&ada, vec![Write::create(POST, "a", records::post(0, 0))]);
    until_shown(&exchange, 10_004).await;
    let cookie = exchange.sign_in(&authority, &ada).await;
    hold(&exchange, &did);

    let looked = exchange.wiper.look(&did).await.unwrap();
    assert_eq!((looked.repo[UNKNOWN], looked.index, looked.has_session), (2, 10_004, true));
    assert_eq!(ours(&authority, &ada), 10_004, "nothing was changed by a look");

    let headers = [("Cookie", cookie.as_str()), ("Content-Type", "application/json")];
    let begun = exchange.by_our_page("POST /account/wipe", &headers, b"{}").await;
    assert_eq!((begun.status, begun.json()["wipe"]["complete"].clone()), (202, json!(false)));
    let wipe = until(&exchange, &did, |wipe| wipe.complete).await;

    let left: Vec<String> = town.world().records(&ada).into_keys().collect();
    assert_eq!(left, [format!("{POST}/a")], "other namespaces are none of ours");
    assert_eq!(exchange.indexed(), BTreeMap::new());
    let held = exchange.store.held(&did).unwrap();
    assert_eq!(
        held,
        Held { browsers: 1, sessions: 1, ..Held::default() },
        "they stay signed in, as is promised"
    );
    assert_eq!(std::fs::read_dir(exchange.path("bug-reports")).unwrap().count(), 0);
    assert_eq!(wipe.deleted, 10_004);
    assert_eq!(of(&wipe, "dev.cocore.account.friend"), (10_001, 0));
    assert_eq!(of(&wipe, UNKNOWN), (2, 0));
    assert_eq!((wipe.erased.keys, wipe.erased.pairings, wipe.erased.reports), (2, 1, 1));
    let seen = wipe.seen.unwrap();
    assert_eq!((seen.repo, seen.index, seen.account), (0, 0, 0));
    exchange.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn p11_a_wipe_that_is_interrupted_anywhere_is_told_to_be_incomplete_and_goes_on() {
    let authority = Authority::start().await;
    let mut exchange = Exchange::start(&authority, Streams::Relay).await;
    let ada = authority.account();
    let did: Did = ada.parse().unwrap();
    let town = authority.town();
    exchange.sign_in(&authority, &ada).await;

    // Nothing to be done: a second wipe writes nothing.
    begin(&exchange, &did, SessionsAfter::Keep).await;
    until(&exchange, &did, |wipe| wipe.complete).await;
    assert_eq!(authority.heard("applyWrites").len(), 0);

    let mut met = 0;
    for how in [Interruption::Limited, Interruption::Broken, Interruption::CutOff] {
        for after in 0.. {
            town.commit(&ada, vec![befriend("a"), befriend("b"), unknown("a")]);
            exchange.key(&ada);
            authority.interrupt(after, how);
            begin(&exchange, &did, SessionsAfter::Keep).await;
            let wipe = loop {
                let wipe = until(&exchange, &did, |wipe| wipe.complete || wipe.waits_for.is_some()).await;
                if wipe.complete {
                    break wipe;
                }
                assert_eq!(wipe.waits_for, Some(Wait::Service), "{how:?} after {after}");
                assert!(!wipe.problems.is_empty());
                // Somebody asks again, and it goes on at once.
                tokio::time::sleep(Duration::from_millis(50)).await;
                begin(&exchange, &did, SessionsAfter::Keep).await;
            };
            assert_eq!(ours(&authority, &ada), 0, "{how:?} after {after}");
            assert_eq!(exchange.store.held(&did).unwrap().keys, 0);
            assert_eq!(wipe.seen.unwrap().repo, 0);
            if authority.is_to_be_interrupted() {
                break;
            }
            met += 1;
        }
        authority.interrupt(usize::MAX, how);
    }
    assert!(met >= 15, "{met} requests were interrupted");

    // The daemon stops in the middle, again and again.
    let mut stopped = 0;
    town.commit(&ada, (0..5).map(|at| befriend(&format!("stop-{at}"))).chain([unknown("a")]).collect());
    begin(&exchange, &did, SessionsAfter::Keep).await;
    authority.go_wrong(Fault::RateLimited);
    while stopped < 3 {
        until(&exchange, &did, |wipe| wipe.waits_for.is_some()).await;
        exchange = Exchange::again(&authority, Streams::Relay, exchange.stop().await).await;
        assert!(!exchange.wiper.newest(&did).await.unwrap().unwrap().complete);
        stopped += 1;
    }
    authority.go_right();
    until(&exchange, &did, |wipe| wipe.complete).await;
    assert_eq!(ours(&authority, &ada), 0);

    // A session that is over: it waits for its owner, has erased nothing, and says so.
    town.commit(&ada, vec![befriend("a")]);
    exchange.key(&ada);
    authority.expire_access();
    authority.go_wrong(Fault::InvalidGrant);
    begin(&exchange, &did, SessionsAfter::Keep).await;
    let wipe = until(&exchange, &did, |wipe| wipe.waits_for.is_some()).await;
    assert_eq!((wipe.complete, wipe.waits_for), (false, Some(Wait::SignIn)));
    assert_eq!((ours(&authority, &ada), exchange.store.held(&did).unwrap().keys), (1, 1));
    authority.go_right();
    exchange.sign_in(&authority, &ada).await;
    until(&exchange, &did, |wipe| wipe.complete).await;
    assert_eq!((ours(&authority, &ada), exchange.store.held(&did).unwrap().keys), (0, 0));

    // Records that the PDS lets nobody delete: all else goes, and what is left is named.
    town.commit(&ada, vec![befriend("a"), unknown("a")]);
    exchange.key(&ada);
    authority.go_wrong(Fault::ScopeMissing);
    begin(&exchange, &did, SessionsAfter::Keep).await;
    let wipe = until(&exchange, &did, |wipe| wipe.waits_for.is_some()).await;
    assert_eq!((wipe.complete, wipe.waits_for), (false, Some(Wait::Permission)));
    assert_eq!((of(&wipe, UNKNOWN).1, wipe.seen.unwrap().repo), (1, 1));
    assert_eq!((ours(&authority, &ada), exchange.store.held(&did).unwrap().keys), (1, 0));
    authority.go_right();
    authority.go_wrong(Fault::NoBatches);
    begin(&exchange, &did, SessionsAfter::End).await;
    let wipe = until(&exchange, &did, |wipe| wipe.complete).await;
    assert_eq!((wipe.end_sessions, wipe.erased.sessions), (true, 1));
    assert_eq!(exchange.store.held(&did).unwrap(), Held::default());
    exchange.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn p12_neither_a_backup_nor_a_renewal_under_way_brings_back_what_was_wiped() {
    let authority = Authority::start().await;
    let exchange = Exchange::start(&authority, Streams::Relay).await;
    let ada = authority.account();
    let did: Did = ada.parse().unwrap();
    authority.town().commit(&ada, vec![befriend("a")]);
    until_shown(&exchange, 1).await;
    exchange.sign_in(&authority, &ada).await;
    hold(&exchange, &did);
    let saved = exchange.path("backup.db");
    backup(exchange.store.path(), &saved).unwrap();
    // Somebody renews the session while it is ended.
    let session = exchange.store.session(&did).unwrap().unwrap();
    let SessionState::Ready(tokens) = session.state else { panic!("a session is ready") };
    let renewing = exchange.store.intend_refresh(&did, session.generation, 1).unwrap();
    exchange.store.keep_tokens(&did, renewing, &tokens, 1).unwrap();
    let begun = exchange.store.session(&did).unwrap().unwrap().generation;
    begin(&exchange, &did, SessionsAfter::End).await;
    until(&exchange, &did, |wipe| wipe.complete).await;
    let late = exchange.store.keep_tokens(&did, begun, &tokens, 2);
    assert!(matches!(late, Err(AccountError::Overtaken { .. })), "{late:?}");
    assert_eq!(exchange.store.held(&did).unwrap(), Held::default());

    let folder = exchange.stop().await;
    let path = folder.path().join("account.db");
    let restored = restore(&saved, &path, LaterWipes::AsStored, u64::MAX / 4).unwrap();
    assert_eq!((restored.keys, restored.left_out), (0, 2));
    let store = AccountStore::open(&path, Some(ring(SESSION_KEY))).unwrap();
    assert_eq!(store.held(&did).unwrap(), Held::default());
    assert!(store.exclusion(&did).unwrap().unwrap().rev.is_some());
    drop(store);

    // The index is lost, and the relay tells everything from its beginning.
    for suffix in ["", "-wal", "-shm"] {
        let _ = std::fs::remove_file(folder.path().join(format!("index.db{suffix}")));
    }
    let exchange = Exchange::again(&authority, Streams::Relay, folder).await;
    authority.town().commit(&ada, vec![befriend("later")]);
    until_shown(&exchange, 1).await;
    let shown: Vec<String> = exchange.indexed().into_keys().collect();
    assert_eq!(shown, [format!("at://{ada}/dev.cocore.account.friend/later")]);
    exchange.stop().await;
}

/// Every row of the account store that is about somebody, as text.
fn rows_of(exchange: &Exchange, did: &Did) -> Vec<String> {
    let conn = Connection::open(exchange.store.path()).unwrap();
    let mut rows = Vec::new();
    for table in
        ["api_key", "audit", "bug_report", "browser_session", "session", "exclusion", "wipe", "pairing"]
    {
        let mut statement = conn.prepare(&format!("select * from {table} where did = ?1")).unwrap();
        let columns = statement.column_count();
        let mut found = statement.query([did.as_str()]).unwrap();
        while let Some(row) = found.next().unwrap() {
            let values: Vec<_> = (0..columns).map(|at| row.get_ref(at).unwrap()).collect();
            rows.push(format!("{table} {values:?}"));
        }
    }
    rows
}

#[tokio::test(flavor = "multi_thread")]
async fn p13_a_wipe_touches_nobody_else() {
    let authority = Authority::start().await;
    let exchange = Exchange::start(&authority, Streams::Relay).await;
    let [ada, boris] = [(); 2].map(|()| authority.account());
    let [ada_did, boris_did]: [Did; 2] = [&ada, &boris].map(|did| did.parse().unwrap());
    let town = authority.town();
    // Boris names Ada; what he says is his.
    let named = Write::create("dev.cocore.account.friend", "ada", records::friend(&ada, 0));
    town.commit(&ada, vec![befriend("a"), profile()]);
    town.commit(&boris, vec![named, befriend("b"), profile()]);
    until_shown(&exchange, 5).await;
    for did in [&ada, &boris] {
        exchange.sign_in(&authority, did).await;
        hold(&exchange, &did.parse().unwrap());
    }
    let of_boris = |exchange: &Exchange| -> BTreeMap<String, String> {
        exchange.indexed().into_iter().filter(|(uri, _)| uri.contains(&*boris)).collect()
    };
    let before = (of_boris(&exchange), rows_of(&exchange, &boris_did), town.world().records(&boris));
    assert_eq!((before.0.len(), before.1.len() > 8), (3, true));
    begin(&exchange, &ada_did, SessionsAfter::End).await;
    until(&exchange, &ada_did, |wipe| wipe.complete).await;
    assert_eq!(ours(&authority, &ada), 0);
    let after = (of_boris(&exchange), rows_of(&exchange, &boris_did), town.world().records(&boris));
    assert_eq!(after, before);
    assert_eq!(exchange.indexed().len(), 3);
    exchange.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn p20_everybody_can_take_their_data_along_without_us() {
    let authority = Authority::start().await;
    let exchange = Exchange::start(&authority, Streams::Relay).await;
    let ada = authority.account();
    let did: Did = ada.parse().unwrap();
    authority.town().commit(&ada, vec![befriend("a"), profile()]);
    until_shown(&exchange, 2).await;
    let cookie = exchange.sign_in(&authority, &ada).await;
    let key = exchange.key(&ada);
    exchange.store.keep_report(&did, b"what the machine sent", 1).unwrap();
    let headers = [("Cookie", cookie.as_str())];
    let export = async || {
        let reply = crate::support::http::send(exchange.address, "GET /account/export", &headers).await;
        assert_eq!(reply.status, 200);
        String::from_utf8(reply.chunks()).unwrap()
    };
    let text = export().await;
    let all: Json = serde_json::from_str(&text).unwrap();
    assert_eq!((all["did"].as_str(), all["hosting"].as_str()), (Some(&*ada), Some("active")));
    assert_eq!(all["records"].as_array().unwrap().len(), 2);
    assert_eq!(all["records"][0]["value"]["$type"], "dev.cocore.account.friend");
    assert_eq!(all["keys"][0]["prefix"], key[..15]);
    assert_eq!(all["bugReports"][0]["content"], "d2hhdCB0aGUgbWFjaGluZSBzZW50");
    assert_eq!(
        (all["session"]["state"].clone(), all["browsers"].as_array().unwrap().len()),
        (json!("ready"), 1)
    );
    assert!(all["audit"].as_array().unwrap().iter().any(|entry| entry["action"] == "key-minted"), "{all}");
    // Nothing that opens a door.
    let session = authority.sessions().remove(0);
    let hash = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, key.as_bytes());
    let hash: String = hash.as_ref().iter().map(|byte| format!("{byte:02x}")).collect();
    let token = cookie.split('=').nth(1).unwrap();
    for secret in [key.as_str(), &hash, &session.access, &session.refresh, token] {
        assert!(!text.contains(secret), "{secret}");
    }
    // What is held and not shown is theirs as well.
    authority.town().hide(&ada, "deactivated");
    until_shown(&exchange, 0).await;
    let hidden: Json = serde_json::from_str(&export().await).unwrap();
    assert_eq!(hidden["hosting"], "deactivated");
    assert_eq!(hidden["records"], all["records"]);
    // The repository is at its owner's PDS, and proves itself.
    let place = all["repository"].as_str().unwrap();
    assert_eq!(place, format!("{}/xrpc/com.atproto.sync.getRepo?did={ada}", authority.url()));
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("mine.car");
    let address = authority.url().strip_prefix("http://").unwrap().parse().unwrap();
    let path = place.strip_prefix(&authority.url()).unwrap();
    exchange.stop().await;
    let car = crate::support::http::send(address, &format!("GET {path}"), &[]).await;
    std::fs::write(&file, car.body).unwrap();
    let documents = json!({ &*ada: authority.town().world().did_document(&ada) });
    let identities = appview_core::source::replay::Identities::from_json(&documents).unwrap();
    let scope = appview_core::sync::Scope::default();
    let (repo, _) = appview_core::source::replay::prove_export(&file, &identities, &scope).unwrap();
    assert_eq!(*repo.did(), did);
}

#[tokio::test(flavor = "multi_thread")]
async fn p20_whoever_leaves_is_not_shown_until_they_sign_in_again() {
    let authority = Authority::start().await;
    let exchange = Exchange::start(&authority, Streams::Relay).await;
    let ada = authority.account();
    let did: Did = ada.parse().unwrap();
    authority.town().commit(&ada, vec![befriend("a")]);
    until_shown(&exchange, 1).await;
    let cookie = exchange.sign_in(&authority, &ada).await;
    hold(&exchange, &did);
    let headers = [("Cookie", cookie.as_str())];
    // Not from another site's page, whatever cookie its browser sends along.
    let evil = [headers.as_slice(), &[("Origin", "https://evil.example"), ("Sec-Fetch-Site", "cross-site")]]
        .concat();
    for path in ["/account/delete", "/account/wipe"] {
        let reply =
            crate::support::http::send_body(exchange.address, &format!("POST {path}"), &evil, b"{}").await;
        assert_eq!((reply.status, &reply.json()["error"]), (403, &json!("Forbidden")), "{path}");
    }
    assert_eq!(exchange.wiper.newest(&did).await.unwrap(), None, "nothing was begun");
    let left = exchange.by_our_page("POST /account/delete", &headers, b"").await;
    assert_eq!(left.status, 202);
    until(&exchange, &did, |wipe| wipe.complete).await;
    assert_eq!(exchange.store.held(&did).unwrap(), Held::default());
    assert_eq!((exchange.indexed().len(), ours(&authority, &ada)), (0, 1), "their repository is theirs");
    let exchange = Exchange::again(&authority, Streams::Relay, exchange.stop().await).await;
    authority.town().commit(&ada, vec![befriend("b")]);
    let boris = authority.account();
    authority.town().commit(&boris, vec![befriend("b")]);
    until_shown(&exchange, 1).await;
    assert!(exchange.indexed().into_keys().all(|uri| uri.contains(&*boris)));
    exchange.sign_in(&authority, &ada).await;
    until_shown(&exchange, 3).await;
    exchange.stop().await;
}
