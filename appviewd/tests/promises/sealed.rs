//! What is promised about sessions at rest: without the key they open for nobody.

use std::os::unix::fs::PermissionsExt;

use appviewd::account::{AccountError, AccountStore, SessionState};
use rusqlite::Connection;

use crate::support::Scenario;
use crate::support::daemon::Daemon;
use crate::support::http::get;
use crate::support::people::{Person, SERVICE, identities};
use crate::support::service::{SESSION_KEY, ring};

const OTHER_KEY: &str = "ff0102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f";

/// A folder with a store, with a session in it or without, and a key file of this text and mode.
fn prepared(has_session: bool, key: Option<(&str, u32)>) -> Scenario {
    let scenario = Scenario::empty();
    let ada = Person::new("ada");
    std::fs::write(scenario.path("plc.json"), identities(&[&ada]).to_string()).unwrap();
    let store = AccountStore::open(scenario.path("account.db"), Some(ring(SESSION_KEY))).unwrap();
    if has_session {
        store.begin_session(&ada.did, b"a token that must not be lost", 1).unwrap();
    }
    if let Some((text, mode)) = key {
        std::fs::write(scenario.path("session-key"), text).unwrap();
        std::fs::set_permissions(scenario.path("session-key"), PermissionsExt::from_mode(mode)).unwrap();
    }
    scenario
}

/// What key is given: its name, its text and its file's mode; and how a start goes without a session and with one.
type Case<'t> = (&'t str, Option<(&'t str, u32)>, [Result<(), &'t str>; 2]);

fn arguments(key: bool) -> Vec<&'static str> {
    let mut arguments =
        vec!["--identities", "plc.json", "--relay", "ws://127.0.0.1:1", "--service-did", SERVICE];
    arguments.extend(["--data-dir", "."]);
    if key {
        arguments.extend(["--session-key-file", "session-key"]);
    }
    arguments
}

#[tokio::test(flavor = "multi_thread")]
async fn p05_without_its_key_no_session_opens_and_the_daemon_says_so_before_anything_else() {
    let first_other = format!("{OTHER_KEY}\n{SESSION_KEY}\n");
    let cases: [Case; 6] = [
        ("the key", Some((SESSION_KEY, 0o600)), [Ok(()), Ok(())]),
        ("a newer key before it", Some((&first_other, 0o600)), [Ok(()), Ok(())]),
        ("no key", None, [Ok(()), Err("1 sealed sessions and revocations need session key")]),
        (
            "another key",
            Some((OTHER_KEY, 0o600)),
            [Ok(()), Err("1 sealed sessions and revocations need session key")],
        ),
        ("a key for all to read", Some((SESSION_KEY, 0o644)), [Err("chmod 600"), Err("chmod 600")]),
        (
            "what is no key",
            Some(("hunter2", 0o600)),
            [Err("line 1: expected 32 bytes"), Err("line 1: expected 32 bytes")],
        ),
    ];
    for (what, key, expected) in cases {
        for (has_session, expected) in [false, true].into_iter().zip(expected) {
            let scenario = prepared(has_session, key);
            let before = std::fs::read(scenario.path("account.db")).unwrap();
            match expected {
                Ok(()) => {
                    let mut process = Daemon::serve(&scenario, &arguments(key.is_some()));
                    if key.is_none() {
                        process.hear("no session key is given: sign-in is off (--session-key-file)");
                    }
                    assert_eq!(get(process.address, "/healthz").await["ok"], true, "{what}");
                    process.terminate();
                    assert_eq!(process.wait(), Some(0), "{what}");
                }
                Err(words) => {
                    let common =
                        ["--log", "off", "serve", "--listen", "127.0.0.1:0", "--metrics-listen", "off"];
                    let told = scenario.fail(1, &[&common, arguments(key.is_some()).as_slice()].concat());
                    assert!(told.contains(words), "{what}: {told}");
                    assert!(!told.contains("hunter2") && !told.contains(&SESSION_KEY[..8]), "{what}: {told}");
                    assert_eq!(
                        std::fs::read(scenario.path("account.db")).unwrap(),
                        before,
                        "{what}: nothing is lost"
                    );
                }
            }
            // Whatever was tried, the session opens with its key.
            let store = AccountStore::open(scenario.path("account.db"), Some(ring(SESSION_KEY))).unwrap();
            let session = store.session(&Person::new("ada").did).unwrap();
            match session.map(|session| session.state) {
                Some(SessionState::Ready(tokens)) => {
                    assert!(has_session && tokens.expose() == b"a token that must not be lost");
                }
                other => assert!(!has_session, "{what}: {other:?}"),
            }
        }
    }
    what_is_sealed_for_one_person_opens_for_no_other();
}

fn what_is_sealed_for_one_person_opens_for_no_other() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("account.db");
    let [ada, boris] = ["ada", "boris"].map(|name| Person::new(name).did);
    let store = AccountStore::open(&path, Some(ring(SESSION_KEY))).unwrap();
    let first = store.begin_session(&ada, b"of ada", 1).unwrap();
    store.begin_session(&boris, b"of boris", 1).unwrap();
    let rows = Connection::open(&path).unwrap();
    let set = |sealed: &[u8]| {
        rows.execute("update session set sealed = ?1 where did = ?2", (sealed, boris.as_str())).unwrap();
    };
    let sealed_for = |did: &str| -> Vec<u8> {
        rows.query_row("select sealed from session where did = ?1", [did], |row| row.get(0)).unwrap()
    };
    let (of_ada, of_boris) = (sealed_for(ada.as_str()), sealed_for(boris.as_str()));
    set(&of_ada);
    assert!(
        matches!(store.session(&boris), Err(AccountError::Seal { .. })),
        "another's tokens sign nobody in"
    );
    set(&of_boris);
    assert!(store.session(&boris).unwrap().is_some());
    // Nor does what was once the person's own.
    store.keep_tokens(&ada, first, &b"of ada, newer".to_vec().into(), 2).unwrap();
    rows.execute("update session set sealed = ?1 where did = ?2", (&of_ada, ada.as_str())).unwrap();
    assert!(matches!(store.session(&ada), Err(AccountError::Seal { .. })), "a former writing");
    // Nor what was moved with everything that stands beside it.
    rows.execute("delete from session where did = ?1", [ada.as_str()]).unwrap();
    let moved = "update session set sealed = ?1, generation = 1 where did = ?2";
    rows.execute(moved, (&of_ada, boris.as_str())).unwrap();
    assert!(matches!(store.session(&boris), Err(AccountError::Seal { .. })), "another's, whole");
}
