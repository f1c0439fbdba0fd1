//! What is promised about erasure: no byte is left in any file.

use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::channel;

use appview_core::syntax::Did;
use appviewd::account::{AccountError, AccountStore, Action, Actor, Entry, Held, KeyName, SessionsAfter};
use appviewd::secret::Secret;
use rusqlite::{Connection, OpenFlags};

use crate::support::needle::{Needle, assert_seen, find};
use crate::support::service::{SESSION_KEY, ring};

/// Bytes that are nowhere else, as text.
pub(crate) fn mark() -> String {
    Secret::<[u8; 24]>::random().unwrap().to_base64url().expose().clone()
}

/// Puts something of a person into every table that holds any, and returns what must be nowhere afterwards.
fn fill(store: &AccountStore, did: &Did) -> Vec<Needle> {
    let mut needles = vec![Needle::new("the DID", did.as_str().as_bytes())];
    let mut hide = |name: &str, bytes: &[u8]| needles.push(Needle::new(name, bytes));
    for at in 0..20 {
        let name = mark();
        let parsed: KeyName = name.parse().unwrap();
        let (key, secret) = store.mint_key(did, &parsed, None, Actor::Service, at).unwrap();
        hide("the name of a key", name.as_bytes());
        hide("the id of a key", key.id.as_bytes());
        hide("the begin of a key", key.prefix.as_bytes());
        hide(
            "the hash of a key",
            aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, secret.expose().as_bytes()).as_ref(),
        );
        let subject = format!("at://{did}/dev.cocore.compute.job/{}{}", mark(), "x".repeat(300));
        store.note(did, &Entry::new(at, Action::Created, Actor::Key(key.id)).to(&subject)).unwrap();
        hide("what was done", &subject.as_bytes()[..100]);
        let report = mark();
        if at < 10 {
            let ticket = store.keep_report(did, report.as_bytes(), at).unwrap();
            hide("a report", report.as_bytes());
            hide("the ticket of a report", ticket.as_bytes());
        }
        let token = store.sign_browser_in(did, u64::MAX / 2, at).unwrap();
        hide("a browser's token", token.expose().as_bytes());
    }
    let tokens = mark();
    let generation = store.begin_session(did, tokens.as_bytes(), 1).unwrap();
    hide("the tokens", tokens.as_bytes());
    let newer = mark();
    store.keep_tokens(did, generation, &newer.clone().into_bytes().into(), 2).unwrap();
    hide("newer tokens", newer.as_bytes());
    let pairing = store.begin_pairing(1).unwrap();
    store.revoke_keys(did, Actor::Service, 30).unwrap();
    let handed = mark();
    store.approve_pairing(&pairing.code, did, Some(&handed.clone().into_bytes().into()), 2).unwrap();
    hide("what is handed to a device", handed.as_bytes());
    needles
}

fn read_only(path: &Path) -> Connection {
    Connection::open_with_flags(path, OpenFlags::SQLITE_OPEN_READ_ONLY).unwrap()
}

#[test]
fn p14_of_what_is_erased_no_byte_is_left_while_others_read() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("account.db");
    let store = AccountStore::open(&path, Some(ring(SESSION_KEY))).unwrap();
    let [ada, boris]: [Did; 2] = [mark(), mark()].map(|mark| {
        let name: String = mark.chars().filter(char::is_ascii_alphanumeric).collect();
        format!("did:web:{}.example", name.to_lowercase()).parse().unwrap()
    });
    let gone = fill(&store, &ada);
    let stays = fill(&store, &boris);
    assert_seen(&gone);
    let held = store.held(&boris).unwrap();
    let is_over = AtomicBool::new(false);
    std::thread::scope(|scope| {
        // Others look at everything, again and again, each from a snapshot that it holds for a moment.
        for _ in 0..2 {
            scope.spawn(|| {
                let conn = read_only(&path);
                while !is_over.load(Ordering::Relaxed) {
                    conn.execute_batch("begin").unwrap();
                    for table in ["api_key", "audit", "session", "bug_report"] {
                        let count = format!("select count(*) from {table}");
                        conn.query_row(&count, [], |row| row.get::<_, i64>(0)).unwrap();
                    }
                    conn.execute_batch("commit").unwrap();
                }
            });
        }
        let erase = || loop {
            match store.erase(&ada, SessionsAfter::End, 50) {
                Ok(erased) => break erased,
                Err(AccountError::StillRead { .. }) => {}
                Err(error) => panic!("{error}"),
            }
        };
        assert_eq!(store.held(&ada).unwrap(), held, "there is as much of the one as of the other");
        erase();
        // Of the session it is remembered whose it was until its tokens are revoked.
        let [revocation] = &store.due_revocations(100).unwrap()[..] else { panic!("one") };
        assert_eq!(revocation.did, ada);
        store.revoked(revocation.id).unwrap();
        while store.clear_log().is_err() {}
        is_over.store(true, Ordering::Relaxed);
    });
    assert_eq!(store.held(&ada).unwrap(), Held::default());
    assert_eq!(find(&gone, folder.path(), &[]), [""; 0]);
    assert_eq!(store.held(&boris).unwrap(), held, "another's is another's");
    assert_eq!(
        store.erase(&ada, SessionsAfter::End, 60).unwrap(),
        Held::default(),
        "a second time there is nothing"
    );
    let found = find(&stays, folder.path(), &[]);
    for what in ["the DID", "the name of a key", "what was done", "a report as it is"] {
        assert!(found.iter().any(|place| place.starts_with(what)), "{what} of the other: {found:?}");
    }
    a_reader_that_stays_is_told_of_and_waited_for();
    without_overwriting_it_would_all_be_there();
}

fn a_reader_that_stays_is_told_of_and_waited_for() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("account.db");
    let store = AccountStore::open(&path, None).unwrap();
    let did: Did = "did:web:ada.example".parse().unwrap();
    let name = mark();
    store.mint_key(&did, &name.parse().unwrap(), None, Actor::Service, 1).unwrap();
    let needle = [Needle::new("the name of a key", name.as_bytes())];
    let (holds, held) = channel();
    let (end, ended) = channel::<()>();
    let reading = std::thread::spawn(move || {
        let conn = read_only(&path);
        conn.execute_batch("begin").unwrap();
        conn.query_row("select count(*) from api_key", [], |row| row.get::<_, i64>(0)).unwrap();
        holds.send(()).unwrap();
        ended.recv().unwrap();
    });
    held.recv().unwrap();
    let error = store.erase(&did, SessionsAfter::Keep, 2).unwrap_err();
    assert!(matches!(error, AccountError::StillRead { .. }), "{error}");
    assert_ne!(find(&needle, folder.path(), &[]), [""; 0], "it is not said to be gone before it is");
    end.send(()).unwrap();
    reading.join().unwrap();
    store.erase(&did, SessionsAfter::Keep, 3).unwrap();
    assert_eq!(find(&needle, folder.path(), &[]), [""; 0]);
}

/// The same rows, deleted as SQLite does by itself: they are found, so that the promise is not kept by chance.
fn without_overwriting_it_would_all_be_there() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("account.db");
    let store = AccountStore::open(&path, None).unwrap();
    let did: Did = "did:web:ada.example".parse().unwrap();
    let names: Vec<String> = (0..40).map(|_| mark()).collect();
    for name in &names {
        store.mint_key(&did, &name.parse().unwrap(), None, Actor::Service, 1).unwrap();
    }
    drop(store);
    let conn = Connection::open(&path).unwrap();
    conn.execute_batch("pragma secure_delete = off; delete from api_key;").unwrap();
    conn.query_row("pragma wal_checkpoint(truncate)", [], |_| Ok(())).unwrap();
    let needles: Vec<Needle> = names.iter().map(|name| Needle::new(name, name.as_bytes())).collect();
    assert_ne!(find(&needles, folder.path(), &[]), [""; 0]);
}
