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
    AccountError, AccountStore, Action, Actor, Entry, Exclusion, KeyOf, LaterWipes, SessionKind,
    SessionState, SessionsAfter, WipeStep, backup, restore,
};
use appviewd::secret::Secret;
use rusqlite::Connection;
use support::Scenario;
use support::daemon::Daemon;
use support::http::send_body;
use support::people::{Person, SERVICE, identities};
use support::service::{SECRET, SESSION_KEY, ring};
use tempfile::TempDir;

const OTHER_KEY: &str = "ff0102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f";
/// Where the child finds its folder.
const FOLDER: &str = "CRASH_TEST_FOLDER";
/// What it is to do there.
const WORK: &str = "CRASH_TEST_WORK";
/// `<name of a point> <how many times it is passed first>`
const POINT: &str = "CRASH_TEST_POINT";

fn ada() -> Did {
    "did:web:ada.example".parse().unwrap()
}

fn boris() -> Did {
    "did:web:boris.example".parse().unwrap()
}

fn tokens(text: &str) -> Secret<Vec<u8>> {
    Secret::new(text.as_bytes().to_vec())
}

fn open(folder: &Path) -> AccountStore {
    AccountStore::open(folder.join("account.db"), Some(ring(SESSION_KEY))).unwrap()
}

/// Something that a daemon does, each in one transaction.
type Step = fn(&AccountStore);

const STEPS: [Step; 12] = [
    |store| drop(store.begin_session(&ada(), b"first", 1).unwrap()),
    |store| drop(store.intend_refresh(&ada(), generation(store), 2).unwrap()),
    |store| drop(store.keep_tokens(&ada(), generation(store), &tokens("second"), 3).unwrap()),
    |store| drop(store.mint_key(&ada(), &"one".parse().unwrap(), None, Actor::Service, 4).unwrap()),
    |store| drop(store.mint_key(&ada(), &"two".parse().unwrap(), Some(900), Actor::Internal, 5).unwrap()),
    |store| {
        let one = store.keys(KeyOf::Anyone).unwrap().into_iter().find(|key| key.name == "one").unwrap();
        assert!(store.revoke_key(KeyOf::Anyone, &one.id, Actor::Operator, 6).unwrap());
    },
    |store| drop(store.begin_session(&boris(), b"of boris", 7).unwrap()),
    |store| drop(store.begin_wipe(&boris(), SessionsAfter::End, Actor::Browser, 8).unwrap()),
    |store| store.exclude(&Exclusion { did: boris(), rev: None, at: 9 }).unwrap(),
    |store| drop(store.erase(&boris(), SessionsAfter::End, 10).unwrap()),
    |store| drop(store.require_sign_in(&ada(), generation(store), 11).unwrap()),
    |store| assert!(store.end_session(&ada(), 12).unwrap()),
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
        format!("{:?} {:?}", store.unfinished_wipes().unwrap(), store.exclusions().unwrap()),
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
        step(&store);
        told.push(observe(&store));
    }
    told
}

fn work(folder: &Path) {
    let store = open(folder);
    let mut done = std::fs::File::create(folder.join("done")).unwrap();
    for step in STEPS {
        step(&store);
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
        "erase" => drop(open(folder).erase(&boris(), SessionsAfter::End, 20).unwrap()),
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

#[test]
fn a_write_that_comes_too_late_changes_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let store = open(folder.path());
    let overtaken = |result: Result<_, AccountError>| matches!(result, Err(AccountError::Overtaken { .. }));
    let first = store.begin_session(&ada(), b"first", 1).unwrap();
    let second = store.intend_refresh(&ada(), first, 2).unwrap();
    assert!(second > first);
    assert!(overtaken(store.intend_refresh(&ada(), first, 3)), "two refreshes at once");
    assert!(overtaken(store.keep_tokens(&ada(), first, &tokens("late"), 3)));
    assert!(overtaken(store.require_sign_in(&ada(), first, 3)));
    // What began before the person signed out does not sign them in again.
    assert!(store.end_session(&ada(), 4).unwrap());
    assert!(overtaken(store.keep_tokens(&ada(), second, &tokens("late"), 5)));
    assert!(store.session(&ada()).unwrap().is_none());
    // Nor does it take the place of a newer sign-in.
    let third = store.begin_session(&ada(), b"anew", 6).unwrap();
    assert!(third > second && overtaken(store.keep_tokens(&ada(), second, &tokens("late"), 7)));
    let session = store.session(&ada()).unwrap().unwrap();
    assert!(matches!(session.state, SessionState::Ready(tokens) if tokens.expose() == b"anew"));
    let fourth = store.require_sign_in(&ada(), third, 8).unwrap();
    assert!(overtaken(store.intend_refresh(&ada(), fourth, 9)), "there is nothing to refresh");
    assert_eq!(store.sessions(SessionKind::NeedsSignIn).unwrap(), [ada()]);
    assert!(store.sessions(SessionKind::Ready).unwrap().is_empty());
}

#[test]
fn a_sign_in_comes_back_once_to_its_browser_and_in_time() {
    const MINUTE: u64 = 60_000_000;
    let folder = tempfile::tempdir().unwrap();
    let store = open(folder.path());
    let secret = |text: &str| Secret::new(text.to_owned());
    let begin =
        |state: &str, now| store.begin_sign_in(&secret(state), &secret("browser"), b"verifier", now).unwrap();
    let take =
        |state: &str, browser: &str, now| store.take_sign_in(&secret(state), &secret(browser), now).unwrap();
    begin("one", 0);
    assert!(take("other", "browser", 1).is_none());
    assert_eq!(take("one", "browser", 10 * MINUTE - 1).unwrap().expose(), b"verifier");
    assert!(take("one", "browser", 1).is_none(), "a second time");
    begin("two", 0);
    assert!(take("two", "another browser", 1).is_none());
    assert!(take("two", "browser", 1).is_none(), "whoever was first has used it up");
    begin("three", 0);
    assert!(take("three", "browser", 10 * MINUTE).is_none(), "too late");
}

#[test]
fn a_browser_is_signed_in_until_it_signs_out_or_its_time_is_over() {
    let folder = tempfile::tempdir().unwrap();
    let store = open(folder.path());
    let token = store.sign_browser_in(&ada(), 100, 1).unwrap();
    let other = store.sign_browser_in(&ada(), 100, 2).unwrap();
    assert!(!token.is(other.expose()));
    assert_eq!(store.browser(&token, 99).unwrap().unwrap().did, ada());
    assert!(store.browser(&token, 100).unwrap().is_none());
    assert!(store.sign_browser_out(&token).unwrap() && !store.sign_browser_out(&token).unwrap());
    assert!(store.browser(&token, 3).unwrap().is_none());
    assert!(store.browser(&other, 3).unwrap().is_some());
    assert_eq!(store.sign_browsers_out(&ada()).unwrap(), 1);
    for at in 0..60 {
        store.sign_browser_in(&ada(), 10_000, 200 + at).unwrap();
    }
    assert_eq!(store.held(&ada()).unwrap().browsers, 50, "the oldest are signed out");
}

#[test]
fn a_revocation_is_tried_ever_less_and_given_up_after_a_week() {
    const DAY: u64 = 24 * 60 * 60 * 1_000_000;
    let folder = tempfile::tempdir().unwrap();
    let store = open(folder.path());
    store.queue_revocation(&ada(), b"tokens", 0).unwrap();
    let (mut now, mut tries) = (0, 0);
    while let [revocation] = &store.due_revocations(now).unwrap()[..] {
        assert_eq!((revocation.tokens.expose().as_slice(), revocation.attempts), (&b"tokens"[..], tries));
        store.put_off_revocation(revocation, now).unwrap();
        assert!(store.due_revocations(now).unwrap().is_empty(), "not at once");
        now += DAY / 4;
        tries += 1;
    }
    assert_eq!(now, 7 * DAY + DAY / 2);
}

#[test]
fn what_was_done_is_told_page_by_page_newest_first_for_ninety_days() {
    const DAY: u64 = 24 * 60 * 60 * 1_000_000;
    let folder = tempfile::tempdir().unwrap();
    let store = open(folder.path());
    for day in 0..100 {
        let entry = Entry::new(day * DAY, Action::Created, Actor::Key("id".to_owned())).to("x".repeat(600));
        store.note(&ada(), &entry).unwrap();
        store.note(&boris(), &Entry::new(day * DAY, Action::Refreshed, Actor::Daemon)).unwrap();
    }
    let (mut told, mut after) = (Vec::new(), None);
    loop {
        let (entries, next) = store.audit(&ada(), 30, after).unwrap();
        told.extend(entries);
        let Some(next) = next else { break };
        after = Some(next);
    }
    assert_eq!(
        told.iter().map(|entry| entry.at / DAY).collect::<Vec<_>>(),
        (0..100).rev().collect::<Vec<_>>()
    );
    assert_eq!(told[0].actor, Actor::Key("id".to_owned()));
    assert_eq!(told[0].subject.as_ref().unwrap().len(), 512, "what is too long is cut");
    assert_eq!(store.sweep_audit(99 * DAY).unwrap(), 2 * 9);
    assert_eq!(store.audit(&ada(), 200, None).unwrap().0.len(), 91);
}

#[test]
fn a_wipe_goes_on_where_it_was_saved_and_what_it_excludes_only_grows() {
    let folder = tempfile::tempdir().unwrap();
    let store = open(folder.path());
    let mut wipe = store.begin_wipe(&ada(), SessionsAfter::Keep, Actor::Browser, 1).unwrap();
    assert_eq!((wipe.step, wipe.sessions), (WipeStep::Repo, SessionsAfter::Keep));
    wipe.step = WipeStep::Index;
    wipe.report = serde_json::json!({"deleted": 7});
    let again = store.begin_wipe(&ada(), SessionsAfter::End, Actor::Browser, 2).unwrap();
    assert_eq!((again.started_at, again.sessions), (1, SessionsAfter::End), "one at a time");
    store.save_wipe(&wipe).unwrap();
    drop(store);
    let store = open(folder.path());
    let [mut stored] = store.unfinished_wipes().unwrap().try_into().unwrap();
    assert_eq!((stored.step, &stored.report), (WipeStep::Index, &wipe.report));
    assert_eq!(stored.sessions, SessionsAfter::End, "what was wished meanwhile");
    stored.step = WipeStep::Done;
    store.save_wipe(&stored).unwrap();
    assert!(store.unfinished_wipes().unwrap().is_empty());
    assert_eq!(store.begin_wipe(&ada(), SessionsAfter::Keep, Actor::Browser, 9).unwrap().started_at, 9);
    let rev = |text: &str| Some(text.parse().unwrap());
    for (new, at, expected) in [
        (None, 5, (None, 5)),
        (rev("3jzfcijpj2z2a"), 4, (rev("3jzfcijpj2z2a"), 5)),
        (rev("3jzfcijpj2z22"), 9, (rev("3jzfcijpj2z2a"), 9)),
        (None, 10, (rev("3jzfcijpj2z2a"), 10)),
        (rev("3kzfcijpj2z2a"), 10, (rev("3kzfcijpj2z2a"), 10)),
    ] {
        store.exclude(&Exclusion { did: ada(), rev: new, at }).unwrap();
        let exclusion = store.exclusion(&ada()).unwrap().unwrap();
        assert_eq!((exclusion.rev, exclusion.at), expected);
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
    backup(&store.path().to_owned(), &folder.path().join("backup.db")).unwrap();
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
    store.exclude(&Exclusion { did: boris(), rev: None, at: 20 }).unwrap();
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

#[test]
fn two_people_share_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let store = open(folder.path());
    let people: Vec<Did> = (0..4).map(|at| format!("did:web:person{at}.example").parse().unwrap()).collect();
    for (at, did) in (0..).zip(&people) {
        store.mint_key(did, &"one".parse().unwrap(), None, Actor::Service, at).unwrap();
        store.begin_session(did, did.as_str().as_bytes(), at).unwrap();
        store.sign_browser_in(did, 1_000, at).unwrap();
    }
    let of = |did: &Did| {
        let session = store.session(did).unwrap().map(|session| (session.generation, session.changed_at));
        (
            store.keys(KeyOf::Person(did)).unwrap(),
            session,
            store.audit(did, 100, None).unwrap(),
            store.held(did).unwrap(),
        )
    };
    let others = || people[1..].iter().map(of).collect::<Vec<_>>();
    let before = others();
    store.erase(&people[0], SessionsAfter::End, 10).unwrap();
    store.revoke_keys(&people[0], Actor::Internal, 11).unwrap();
    store.sign_browsers_out(&people[0]).unwrap();
    assert_eq!(others(), before);
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
