//! What is promised about a wipe whose process is killed in the middle, and about what is in the files afterwards.

use std::net::SocketAddr;
use std::time::Duration;

use appview_core::syntax::Did;
use appviewd::account::{AccountStore, Actor, Held};
use fixtures::world::Did as Account;
use fixtures::{Write, records, value};
use serde_json::{Value as Json, json};

use crate::erased::mark;
use crate::support::Scenario;
use crate::support::authority::{Authority, Interruption};
use crate::support::http::{Reply, send, send_body};
use crate::support::needle::{Needle, assert_seen, find};
use crate::support::process::{sign_in, start};
use crate::support::service::{SESSION_KEY, ring};

const PATIENCE: Duration = Duration::from_secs(60);

/// A person, and where all that is theirs is.
struct Here {
    authority: Authority,
    scenario: Scenario,
    ada: Account,
    /// What must be nowhere in the end.
    needles: Vec<Needle>,
}

impl Here {
    /// With her cookie; nothing runs.
    async fn signed_in(authority: &Authority) -> (Self, String) {
        let (authority, ada, scenario) = (authority.clone(), authority.account(), Scenario::empty());
        let process = start(&scenario, &authority);
        let cookie = sign_in(process.address, &authority, &ada).await;
        (Self { authority, scenario, ada, needles: Vec::new() }, cookie)
    }

    fn did(&self) -> Did {
        self.ada.parse().unwrap()
    }

    /// Nothing may run meanwhile.
    fn store(&self) -> AccountStore {
        AccountStore::open(self.scenario.path("data/account.db"), Some(ring(SESSION_KEY))).unwrap()
    }

    /// Something that can be found again.
    fn hide(&mut self, name: &str) -> String {
        let mark: String =
            mark().chars().filter(char::is_ascii_alphanumeric).collect::<String>().to_lowercase();
        self.needles.push(Needle::new(name, mark.as_bytes()));
        mark
    }

    /// Has a key, a report and records of hers be there, none of them like one before.
    fn fill(&mut self) {
        let (store, did) = (self.store(), self.did());
        let name = self.hide("the name of a key").parse().unwrap();
        let (key, _) = store.mint_key(&did, &name, None, Actor::Browser, 1).unwrap();
        self.needles.push(Needle::new("the id of a key", key.id.as_bytes()));
        store.keep_report(&did, self.hide("a report").as_bytes(), 1).unwrap();
        drop(store);
        let friends = (0..3).map(|_| {
            let (rkey, note) = (self.hide("a record's key"), self.hide("a record's content"));
            let record = json!({"$type": records::FRIEND, "subject": "did:web:a.example", "note": note,
                "createdAt": "2026-01-01T00:00:00.000Z"});
            Write::create(records::FRIEND, &rkey, value::from_json(&record))
        });
        let mut writes: Vec<Write> = friends.collect();
        let name = self.hide("a name");
        writes.push(Write::create(records::PROFILE, "self", records::profile(&name, 0)));
        self.authority.town().commit(&self.ada, writes);
    }

    /// How many records the index shows.
    fn exported(&self) -> usize {
        self.scenario.succeed(&["export", "--data-dir", "data"]).lines().count()
    }

    async fn until_shown(&self, count: usize) {
        let shown = async {
            while self.exported() != count {
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
        };
        tokio::time::timeout(PATIENCE, shown).await.expect("the records are followed");
    }
}

async fn until_complete(address: SocketAddr, cookie: &str) {
    let complete = async {
        loop {
            let told = send(address, "GET /account/wipe", &[("Cookie", cookie)]).await.json();
            if told["wipe"]["complete"] == true {
                return;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    tokio::time::timeout(PATIENCE, complete).await.expect("the wipe goes on");
}

async fn by_our_page(address: SocketAddr, line: &str, cookie: &str, body: &Json) -> Reply {
    let origin = format!("http://{address}");
    let headers = [("Cookie", cookie), ("Origin", &origin), ("Content-Type", "application/json")];
    send_body(address, line, &headers, body.to_string().as_bytes()).await
}

#[tokio::test(flavor = "multi_thread")]
async fn p11_a_wipe_goes_on_whose_process_is_killed_at_any_request() {
    let authority = Authority::start().await;
    let (mut here, cookie) = Here::signed_in(&authority).await;
    let mut killed = 0;
    loop {
        here.fill();
        let process = start(&here.scenario, &authority);
        here.until_shown(4).await;
        authority.interrupt(killed, Interruption::Unanswered);
        let begun = by_our_page(process.address, "POST /account/wipe", &cookie, &json!({})).await;
        assert_eq!(begun.status, 202, "{}", String::from_utf8_lossy(&begun.body));
        let is_over = tokio::select! {
            () = authority.asked_slowly(killed + 1) => false,
            () = until_complete(process.address, &cookie) => true,
        };
        drop(process);
        if is_over {
            break;
        }
        killed += 1;
        // Started again, it goes on by itself.
        let process = start(&here.scenario, &authority);
        until_complete(process.address, &cookie).await;
        drop(process);
        assert!(authority.town().world().records(&here.ada).is_empty(), "killed at request {killed}");
        assert_eq!(here.exported(), 0, "killed at request {killed}");
        let held = here.store().held(&here.did()).unwrap();
        assert_eq!(held, Held { browsers: 1, sessions: 1, ..Held::default() }, "killed at request {killed}");
    }
    assert!(killed >= 5, "a wipe asks a PDS more than {killed} things");
    assert_seen(&here.needles);
    assert_eq!(find(&here.needles, &here.scenario.path("data"), &[]), [""; 0]);
}

#[tokio::test(flavor = "multi_thread")]
async fn p14_of_what_is_wiped_no_byte_is_left_in_any_file_of_a_daemon_that_runs() {
    let authority = Authority::start().await;
    let (mut here, cookie) = Here::signed_in(&authority).await;
    here.fill();
    let process = start(&here.scenario, &authority);
    here.until_shown(4).await;
    let begun = by_our_page(process.address, "POST /account/wipe", &cookie, &json!({})).await;
    assert_eq!(begun.status, 202);
    until_complete(process.address, &cookie).await;
    assert_seen(&here.needles);
    assert_eq!(find(&here.needles, &here.scenario.path("data"), &[]), [""; 0]);
    drop(process);
    // What is published later is shown, and found.
    here.fill();
    let process = start(&here.scenario, &authority);
    here.until_shown(4).await;
    drop(process);
    let found = find(&here.needles, &here.scenario.path("data"), &[]);
    for what in ["a record's key", "a record's content", "a name", "the name of a key", "a report"] {
        assert!(found.iter().any(|place| place.starts_with(what)), "{what}: {found:?}");
    }
}
