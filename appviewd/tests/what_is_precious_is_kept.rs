//! The account store outlives what befalls it: a process that dies at any point, damage, other programs' files, a change of
//! its key. And what a backup brings back is what it should.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, reason = "tests")]

mod support;

use std::io::Write as _;
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering::Relaxed;

use appview_core::syntax::Did;
use appviewd::account::{
    AccountError, AccountStore, Action, Actor, Entry, Exclusion, Extent, KeyOf, LaterWipes, SessionState,
    SessionsAfter, Shown, backup, restore,
};
use rusqlite::Connection;
use support::Scenario;
use support::daemon::Daemon;
use support::http::send_body;
use support::people::{Person, SERVICE, identities};
use support::service::{SECRET, SESSION_KEY, ring};
use support::store::{ada, boris, open, tokens};
use tempfile::TempDir;

const OTHER_KEY: &str = "ff0102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f";
/// Where the child finds its folder.
const FOLDER: &str = "CRASH_TEST_FOLDER";
/// What it is to do there.
const WORK: &str = "CRASH_TEST_WORK";
/// `<name of a point> <how many times it is passed first>`
const POINT: &str = "CRASH_TEST_POINT";

/// Something that a daemon does, each in one transaction.
type Step = fn(&AccountStore) -> Result<(), AccountError>;

const STEPS: [Step; 12] = [
    |store| store.begin_session(&ada(), b"first", 1).map(|_| ()),
    |store| store.intend_refresh(&ada(), generation(store), 2).map(|_| ()),
    |store| store.keep_tokens(&ada(), generation(store), &tokens("second"), 3).map(|_| ()),
    |store| store.mint_key(&ada(), &"one".parse().unwrap(), None, Actor::Service, 4).map(|_| ()),
    |store| store.mint_key(&ada(), &"two".parse().unwrap(), Some(900), Actor::Internal, 5).map(|_| ()),
    |store| {
        let one = store.keys(KeyOf::Anyone)?.into_iter().find(|key| key.name == "one").unwrap();
        store.revoke_key(KeyOf::Anyone, &one.id, Actor::Operator, 6).map(|_| ())
    },
    |store| store.begin_session(&boris(), b"of boris", 7).map(|_| ()),
    |store| store.begin_wipe(&boris(), Extent::Everything, SessionsAfter::End, Actor::Browser, 8).map(|_| ()),
    |store| store.exclude(&Exclusion { did: boris(), rev: None, at: 9, shown: Shown::Since }),
    |store| store.erase(&boris(), SessionsAfter::End, 10).map(|_| ()),
    |store| store.require_sign_in(&ada(), generation(store), 11).map(|_| ()),
    |store| store.end_session(&ada(), 12).map(|_| ()),
];

fn generation(store: &AccountStore) -> appviewd::account::Generation {
    store.session(&ada()).unwrap().unwrap().generation
}

/// Everything that is held, as text.
fn observe(store: &AccountStore) -> String {
    let session = |did: &Did| match store.session(did).unwrap().map(|session| session.state) {
        None => "no session".to_owned(),
        Some(SessionState::NeedsSignIn) => "needs sign-in".to_owned(),
        Some(SessionState::Ready(tokens)) => format!("ready {:?}", tokens.expose()),
        Some(SessionState::Refreshing(tokens)) => format!("refreshing {:?}", tokens.expose()),
    };
    let key = |key: appviewd::account::ApiKey| (key.name, key.created_at, key.expires_at, key.revoked_at);
    let keys: Vec<_> = store.keys(KeyOf::Anyone).unwrap().into_iter().map(key).collect();
    let due = |due: appviewd::account::Revocation| (due.did, due.tokens.expose().clone());
    let revocations: Vec<_> = store.due_revocations(1_000).unwrap().into_iter().map(due).collect();
    let done = |entry: &Entry| (entry.at, entry.action);
    [
        session(&ada()),
        session(&boris()),
        format!("{keys:?}"),
        format!("{revocations:?}"),
        format!("{:?} {:?}", store.held(&ada()).unwrap(), store.held(&boris()).unwrap()),
        format!("{:?} {:?}", store.due_wipes(u64::MAX / 2).unwrap(), store.exclusions().unwrap()),
        format!("{:?}", store.audit(&ada(), 100, None).unwrap().0.iter().map(done).collect::<Vec<_>>()),
    ]
    .join("\n")
}

/// What is held after so many steps that nothing disturbs.
fn undisturbed() -> Vec<String> {
    let folder = tempfile::tempdir().unwrap();
    let store = open(folder.path());
    let mut told = vec![observe(&store)];
    for step in STEPS {
        step(&store).unwrap();
        told.push(observe(&store));
    }
    told
}

fn work(folder: &Path) {
    let store = open(folder);
    let mut done = std::fs::File::create(folder.join("done")).unwrap();
    for step in STEPS {
        step(&store).unwrap();
        done.write_all(b".").unwrap();
    }
}

/// The child's body; as a test of its own it does nothing.
#[test]
fn the_child_works_when_it_is_asked_to() {
    let Some(folder) = std::env::var_os(FOLDER) else { return };
    let folder = Path::new(&folder);
    if let Ok(point) = std::env::var(POINT) {
        let (name, passed) = point.split_once(' ').unwrap();
        let left = AtomicU64::new(passed.parse().unwrap());
        fail::cfg_callback(name, move || {
            if left.fetch_update(Relaxed, Relaxed, |left| left.checked_sub(1)).is_err() {
                std::process::abort();
            }
        })
        .unwrap();
    }
    match std::env::var(WORK).unwrap().as_str() {
        "steps" => work(folder),
        "restore" => {
            let (from, to) = (folder.join("backup.db"), folder.join("account.db"));
            restore(&from, &to, LaterWipes::AsStored, 1_000_000).unwrap();
        }
        "rotate" => {
            let ring = ring(&format!("{OTHER_KEY}\n{SESSION_KEY}"));
            AccountStore::open(folder.join("account.db"), Some(ring)).unwrap().rotate().unwrap();
        }
        "erase" => {
            open(folder).erase(&boris(), SessionsAfter::End, 20).unwrap();
        }
        other => panic!("unknown work {other}"),
    }
}

/// Has the child work; whether it came to its end.
fn child(folder: &Path, work: &str, point: &str, passed: u64) -> bool {
    let status = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "the_child_works_when_it_is_asked_to", "--test-threads=1"])
        .env(FOLDER, folder)
        .env(WORK, work)
        .env(POINT, format!("{point} {passed}"))
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status()
        .unwrap();
    // Aborted: by a signal, without a code.
    assert!(status.success() || status.code().is_none(), "{work} {point}: {status}");
    status.success()
}

#[test]
fn wherever_a_process_dies_what_was_said_to_be_done_is_done_and_nothing_is_done_by_half() {
    let expected = undisturbed();
    for point in [
        "account::before-migration",
        "account::before-migration-commit",
        "account::before-commit",
        "account::after-commit",
    ] {
        let mut deaths = 0;
        loop {
            let folder = tempfile::tempdir().unwrap();
            if child(folder.path(), "steps", point, deaths) {
                break;
            }
            let done = std::fs::read(folder.path().join("done")).map_or(0, |done| done.len());
            let held = observe(&open(folder.path()));
            let may_be = &expected[done..(done + 2).min(expected.len())];
            assert!(
                may_be.contains(&held),
                "{point} {deaths}: after {done} steps:\n{held}\n\nexpected:\n{}",
                may_be.join("\n\n")
            );
            if point == "account::after-commit" {
                assert_eq!(held, expected[done + 1], "it was on disk when the process died");
            }
            deaths += 1;
        }
        let least = if point.contains("migration") { 1 } else { STEPS.len() as u64 };
        assert!(deaths >= least, "{point}: the process died {deaths} times");
    }
}

#[test]
fn an_erasure_that_dies_is_done_by_doing_it_again() {
    for point in ["account::report-erased", "account::before-commit", "account::after-commit"] {
        let folder = tempfile::tempdir().unwrap();
        let store = open(folder.path());
        for at in 0..3 {
            store.keep_report(&boris(), b"what went wrong", at).unwrap();
        }
        store.begin_session(&boris(), b"tokens of boris", 3).unwrap();
        drop(store);
        assert!(!child(folder.path(), "erase", point, 0), "{point} was passed");
        let store = open(folder.path());
        store.erase(&boris(), SessionsAfter::End, 30).unwrap();
        assert_eq!(store.held(&boris()).unwrap(), appviewd::account::Held::default(), "{point}");
        assert_eq!(std::fs::read_dir(folder.path().join("bug-reports")).unwrap().count(), 0, "{point}");
        assert_eq!(
            store.due_revocations(100).unwrap().len(),
            1,
            "{point}: what is to be revoked is not forgotten"
        );
    }
}

#[test]
fn a_change_of_the_key_that_dies_leaves_everything_open_to_both_and_is_done_by_doing_it_again() {
    let names: Vec<Did> = (0..5).map(|at| format!("did:web:person{at}.example").parse().unwrap()).collect();
    for passed in 0..6 {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("account.db");
        let store = open(folder.path());
        for did in &names {
            store.begin_session(did, did.as_str().as_bytes(), 1).unwrap();
        }
        store.end_session(&names[4], 2).unwrap();
        drop(store);
        assert!(!child(folder.path(), "rotate", "account::before-reseal", passed));
        let both = || ring(&format!("{OTHER_KEY}\n{SESSION_KEY}"));
        let store = AccountStore::open(&path, Some(both())).unwrap();
        let assert_all_open = |store: &AccountStore| {
            for did in &names[..4] {
                let session = store.session(did).unwrap().unwrap();
                assert!(
                    matches!(session.state, SessionState::Ready(tokens) if tokens.expose() == did.as_str().as_bytes())
                );
            }
            assert_eq!(store.due_revocations(10).unwrap().len(), 1);
        };
        assert_all_open(&store);
        store.rotate().unwrap();
        assert_eq!(store.rotate().unwrap(), 0, "there is nothing left to do");
        drop(store);
        let error = AccountStore::open(&path, Some(ring(SESSION_KEY))).unwrap_err();
        assert!(matches!(error, AccountError::KeyMissing { rows: 5, .. }), "{error}");
        assert_all_open(&AccountStore::open(&path, Some(ring(OTHER_KEY))).unwrap());
    }
}

/// A folder with a store in it whose first keys are in a backup beside it.
fn backed_up() -> (TempDir, AccountStore) {
    let folder = tempfile::tempdir().unwrap();
    let store = open(folder.path());
    for (did, at) in [(ada(), 10), (boris(), 11)] {
        store.mint_key(&did, &"kept".parse().unwrap(), None, Actor::Service, at).unwrap();
        store.begin_session(&did, b"tokens that are in no backup", at).unwrap();
    }
    backup(store.path(), &folder.path().join("backup.db")).unwrap();
    (folder, store)
}

#[test]
fn a_backup_brings_keys_back_and_neither_sessions_nor_what_was_wiped_since() {
    let (folder, store) = backed_up();
    let [path, saved] = ["account.db", "backup.db"].map(|name| folder.path().join(name));
    assert!(matches!(backup(&path, &saved), Err(AccountError::Exists { .. })));
    assert!(matches!(restore(&saved, &path, LaterWipes::AsStored, 1), Err(AccountError::Owned { .. })));
    let mode = std::os::unix::fs::PermissionsExt::mode(&std::fs::metadata(&saved).unwrap().permissions());
    assert_eq!(mode & 0o777, 0o600);
    // Since then one person has had everything wiped, and made a key afterwards.
    store.erase(&boris(), SessionsAfter::End, 20).unwrap();
    store.exclude(&Exclusion { did: boris(), rev: None, at: 20, shown: Shown::Since }).unwrap();
    store.mint_key(&boris(), &"later".parse().unwrap(), None, Actor::Service, 30).unwrap();
    drop(store);
    let restored = restore(&saved, &path, LaterWipes::AsStored, 2_000_000).unwrap();
    assert_eq!((restored.keys, restored.left_out), (1, 1));
    let store = open(folder.path());
    let keys = store.keys(KeyOf::Anyone).unwrap();
    assert_eq!(keys.iter().map(|key| &key.did).collect::<Vec<_>>(), [&ada()]);
    assert!(store.session(&ada()).unwrap().is_none(), "sessions are in no backup");
    assert!(store.exclusion(&boris()).unwrap().is_some(), "what must not come back is remembered");
    drop(store);
    let aside = AccountStore::open(restored.replaced.unwrap(), Some(ring(SESSION_KEY))).unwrap();
    assert!(aside.session(&ada()).unwrap().is_some(), "what was there before is there still");
}

#[test]
fn where_nobody_can_tell_who_was_wiped_nothing_is_restored_unless_that_is_wished() {
    let (folder, store) = backed_up();
    drop(store);
    let [path, saved] = ["account.db", "backup.db"].map(|name| folder.path().join(name));
    let damaged = vec![0; 8_192];
    std::fs::write(&path, &damaged).unwrap();
    let error = restore(&saved, &path, LaterWipes::AsStored, 1).unwrap_err();
    assert!(error.to_string().contains("--forget-later-wipes"), "{error}");
    assert_eq!(std::fs::read(&path).unwrap(), damaged);
    let restored = restore(&saved, &path, LaterWipes::Forgotten, 1).unwrap();
    assert_eq!((restored.keys, restored.left_out), (2, 0));
    assert_eq!(std::fs::read(restored.replaced.unwrap()).unwrap(), damaged);
    std::fs::remove_file(&path).unwrap();
    let error = restore(&saved, &path, LaterWipes::AsStored, 2).unwrap_err();
    assert!(matches!(error, AccountError::WipesUnknown { .. }), "{error}");
    assert_eq!(restore(&saved, &path, LaterWipes::Forgotten, 2).unwrap().replaced, None);
    assert_eq!(open(folder.path()).keys(KeyOf::Anyone).unwrap().len(), 2);
}

#[test]
fn a_restore_that_dies_leaves_the_store_as_it_was() {
    let (folder, store) = backed_up();
    let before = observe(&store);
    drop(store);
    assert!(!child(folder.path(), "restore", "account::before-restore-swap", 0));
    assert_eq!(observe(&open(folder.path())), before);
    std::fs::remove_file(folder.path().join("account.db.replaced-1")).unwrap();
    restore(
        &folder.path().join("backup.db"),
        &folder.path().join("account.db"),
        LaterWipes::AsStored,
        2_000_000,
    )
    .unwrap();
    assert_eq!(open(folder.path()).keys(KeyOf::Anyone).unwrap().len(), 2);
}

#[test]
fn damage_is_found_and_left_as_it_is() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("account.db");
    let store = open(folder.path());
    for at in 0..200 {
        store.note(&ada(), &Entry::new(at, Action::Created, Actor::Daemon).to("x".repeat(200))).unwrap();
    }
    store.mint_key(&ada(), &"one".parse().unwrap(), None, Actor::Service, 1).unwrap();
    store.clear_log().unwrap();
    drop(store);
    let sound = std::fs::read(&path).unwrap();
    let mut refused = 0;
    // A byte here and there: what it hits is structure or content, of which the latter has no sum to be checked by.
    for at in (0..200).map(|turn| turn * 7_919 % sound.len()) {
        let mut damaged = sound.clone();
        damaged[at] ^= 0xff;
        std::fs::write(&path, &damaged).unwrap();
        let opened = AccountStore::open(&path, None);
        if let Err(error) = opened {
            refused += 1;
            let told = error.to_string();
            assert!(told.contains("account.db") && !told.contains("appview-data"), "{told}");
            assert_eq!(std::fs::read(&path).unwrap(), damaged, "nothing was changed: {told}");
        }
    }
    assert!(refused >= 5, "{refused}");
    let refuses = |bytes: &[u8]| {
        std::fs::write(&path, bytes).unwrap();
        let told = AccountStore::open(&path, None).unwrap_err().to_string();
        assert_eq!(std::fs::read(&path).unwrap(), bytes);
        told
    };
    for cut in [sound.len() / 2, 4_096, 5_000] {
        assert!(refuses(&sound[..cut]).contains("`appviewd account restore FILE`"));
    }
    let without_first_page = [&vec![0; 4_096], &sound[4_096..]].concat();
    assert!(refuses(&without_first_page).contains("`appviewd account restore FILE`"));
    assert!(
        refuses(b"not a database at all, but long enough to be looked at as if it were one")
            .contains("account restore")
    );
    let index = folder.path().join("index.db");
    drop(appview_core::index::Index::open(&index).unwrap());
    assert!(
        refuses(&std::fs::read(&index).unwrap()).contains("found another kind of file"),
        "an index is none"
    );
}

#[test]
fn a_store_that_was_only_begun_is_begun_again() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("account.db");
    std::fs::write(&path, "").unwrap();
    drop(AccountStore::open(&path, None).unwrap());
    std::fs::remove_file(&path).unwrap();
    Connection::open(&path).unwrap().execute_batch("pragma journal_mode = wal; vacuum;").unwrap();
    drop(AccountStore::open(&path, None).unwrap());
}

#[tokio::test(flavor = "multi_thread")]
async fn an_operator_has_commands_for_all_of_it() {
    let scenario = Scenario::empty();
    let ada = Person::new("ada");
    let write = |name: &str, text: &str| {
        std::fs::write(scenario.path(name), text).unwrap();
        let mode = std::os::unix::fs::PermissionsExt::from_mode(0o600);
        std::fs::set_permissions(scenario.path(name), mode).unwrap();
    };
    write("plc.json", &identities(&[&ada]).to_string());
    write("secret", SECRET);
    write("key", SESSION_KEY);
    let told = scenario.fail(1, &["key", "list", "--data-dir", "data"]);
    assert!(told.contains("`appviewd serve` makes one"), "{told}");
    let serve = ["--identities", "plc.json", "--relay", "ws://127.0.0.1:1", "--service-did", SERVICE];
    let serve = [serve.as_slice(), &["--internal-secret-file", "secret", "--internal-listen", "127.0.0.1:0"]]
        .concat();
    let serve = [serve.as_slice(), &["--session-key-file", "key", "--data-dir", "data"]].concat();
    let mut process = Daemon::serve(&scenario, &serve);
    let console = process.hear("answering the console")["address"].as_str().unwrap().parse().unwrap();
    let body = serde_json::json!({"did": ada.did.as_str(), "name": "laptop"}).to_string();
    let headers = [("x-cocore-internal-secret", SECRET)];
    let made = send_body(console, "POST /internal/account/mint-key", &headers, body.as_bytes()).await.json();
    let id = made["key"]["id"].as_str().unwrap();

    let listed =
        scenario.succeed(&["key", "list", "--data-dir", "data", "--did", ada.did.as_str(), "--json"]);
    let listed: serde_json::Value = serde_json::from_str(&listed).unwrap();
    assert_eq!((&listed[0]["id"], &listed[0]["name"]), (&made["key"]["id"], &serde_json::json!("laptop")));
    let none = scenario.succeed(&["key", "list", "--data-dir", "data", "--did", "did:web:boris.example"]);
    assert_eq!(none, "no keys\n");
    assert_eq!(scenario.succeed(&["key", "revoke", "--data-dir", "data", id]), format!("{id} is revoked\n"));
    let told = scenario.fail(1, &["key", "revoke", "--data-dir", "data", id]);
    assert!(told.contains("it was revoked before"), "{told}");
    let told = scenario.fail(1, &["key", "revoke", "--data-dir", "data", "../pause"]);
    assert!(told.contains("expected the id of a key"), "{told}");
    scenario.succeed(&["account", "backup", "--data-dir", "data", "backup.db"]);
    for owned in [
        &["account", "rotate-key", "--session-key-file", "key", "--data-dir", "data"][..],
        &["account", "restore", "backup.db", "--data-dir", "data"],
        &["account", "migrate", "--data-dir", "data"],
    ] {
        let told = scenario.fail(1, owned);
        assert!(told.contains("stop that one first"), "{owned:?}: {told}");
    }
    assert_eq!(support::http::get(process.address, "/healthz").await["ok"], true);
    process.terminate();
    assert_eq!(process.wait(), Some(0));

    let store = || AccountStore::open(scenario.path("data/account.db"), Some(ring(SESSION_KEY))).unwrap();
    store().begin_session(&ada.did, b"tokens", 1).unwrap();
    write("key", &format!("{OTHER_KEY}\n{SESSION_KEY}\n"));
    let told =
        scenario.succeed(&["account", "rotate-key", "--session-key-file", "key", "--data-dir", "data"]);
    assert!(told.contains("1 rows of it anew"), "{told}");
    let told = scenario.succeed(&["key", "list", "--data-dir", "data"]);
    assert!(told.contains("\"laptop\"  revoked 20"), "{told}");
    let told = scenario.succeed(&["account", "migrate", "--data-dir", "data"]);
    assert!(told.contains("is of this version already: 1"), "{told}");
    let told = scenario.succeed(&["account", "restore", "backup.db", "--data-dir", "data"]);
    assert!(told.contains("is restored: 1 API keys"), "{told}");
    assert!(store().session(&ada.did).unwrap().is_none());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_key_is_made_by_a_command_and_its_public_half_is_told() {
    let scenario = Scenario::empty();
    std::fs::write(scenario.path("key"), SESSION_KEY).unwrap();
    let mine = std::os::unix::fs::PermissionsExt::from_mode(0o600);
    std::fs::set_permissions(scenario.path("key"), mine).unwrap();
    let made = scenario.succeed(&["account", "client-key", "client-keys.json"]);
    let mode = scenario.path("client-keys.json").metadata().unwrap().permissions();
    assert_eq!(std::os::unix::fs::PermissionsExt::mode(&mode) & 0o777, 0o600);
    let before = std::fs::read(scenario.path("client-keys.json")).unwrap();
    let told = scenario.fail(1, &["account", "client-key", "client-keys.json"]);
    assert!(told.contains("client-keys.json"), "{told}");
    assert_eq!(std::fs::read(scenario.path("client-keys.json")).unwrap(), before, "no key is written over");
    let serve = ["--relay", "ws://127.0.0.1:1", "--plc", "http://127.0.0.1:1", "--service-did", SERVICE];
    let keys = ["--session-key-file", "key", "--oauth-client-keys", "client-keys.json"];
    let place = ["--public-url", "https://appview.example", "--data-dir", "data"];
    let process = Daemon::serve(&scenario, &[serve.as_slice(), &keys, &place].concat());
    let told = support::http::get(process.address, "/oauth/jwks.json").await;
    let kid = told["keys"][0]["kid"].as_str().unwrap();
    assert!(made.contains(kid) && told["keys"][0].get("d").is_none(), "{made}: {told}");
    let metadata = support::http::get(process.address, "/oauth/client-metadata.json").await;
    assert_eq!(metadata["jwks_uri"], "https://appview.example/oauth/jwks.json");
}
