//! A rebuild from the network ends as what is signed, beside an index that goes on: it is swapped in whole, or not at all,
//! and whoever differs is named.
//!
//! The network is made up, from one world of signed repositories, at a time that leaps.
#![cfg(feature = "net")]
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, reason = "tests")]

mod network;
mod outside;

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard};

use appview_core::index::{Index, IndexError, IndexWriter};
use appview_core::record::{Catalog, Collection};
use appview_core::source::orders::Orders;
use appview_core::source::rebuild::{Anew, Asked, Comparison};
use appview_core::source::relay::RelayUrl;
use appview_core::sync::{Change, Hosting, Proof, Scope, StreamCursor};
use appview_core::syntax::Did;
use fixtures::{KeyKind, Write, records};
use serde_json::json;
use tempfile::TempDir;

use network::Network;
use outside::{Asked as Request, MadeUp, PLC, Said};

const RELAY: &str = "wss://relay.example.com";
const HOSTS: [&str; 2] = ["https://one.example.com", "https://two.example.com"];
const FRIEND: &str = "dev.cocore.account.friend";

/// A world, what its hosts say of it, and an index that heard every commit.
struct Town {
    inner: Arc<Mutex<Inner>>,
    made_up: MadeUp,
    folder: TempDir,
}

struct Inner {
    network: Network,
    /// Accounts that their host calls something.
    hidden: BTreeMap<String, &'static str>,
    /// Hosts that take no connection.
    away: BTreeSet<&'static str>,
    /// Exports as they were, which hosts go on giving.
    stale: BTreeMap<String, Vec<u8>>,
}

impl Inner {
    fn answer(&self, asked: &Request) -> Said {
        let world = &self.network.world;
        let url = asked.url.as_str();
        if self.away.iter().any(|host| url.starts_with(host)) {
            return Said::refused();
        }
        if url.starts_with(PLC) {
            let did = asked.method();
            let is_known = world.dids().any(|known| **known == *did) && !world.is_buried(did);
            return if is_known {
                Said::json(&world.did_document(did))
            } else {
                outside::not_registered(asked)
            };
        }
        let did = asked.param("did").unwrap_or_default();
        if let Some(name) = self.hidden.get(&did) {
            return Said::error(400, name);
        }
        match asked.method() {
            "com.atproto.sync.listReposByCollection" => {
                let collection = asked.param("collection").unwrap() + "/";
                let has = |did: &&fixtures::Did| {
                    world.records(did).keys().any(|path| path.starts_with(&collection))
                };
                let repos: Vec<_> = world.dids().filter(has).map(|did| json!({"did": **did})).collect();
                Said::json(&json!({ "repos": repos }))
            }
            "com.atproto.sync.getRepo" => match self.stale.get(&did) {
                Some(car) => Said::new(200, car.clone()),
                None => Said::new(200, world.car(&did)),
            },
            other => Said::error(501, other),
        }
    }
}

impl Town {
    fn new() -> Self {
        let inner = Arc::new(Mutex::new(Inner {
            network: Network::new(3),
            hidden: BTreeMap::new(),
            away: BTreeSet::new(),
            stale: BTreeMap::new(),
        }));
        let answers = Arc::clone(&inner);
        let made_up = MadeUp::new(move |asked| answers.lock().unwrap().answer(asked));
        let folder = tempfile::tempdir().unwrap();
        Index::create(folder.path().join("index.db")).unwrap();
        Self { inner, made_up, folder }
    }

    fn inner(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap()
    }

    fn path(&self) -> PathBuf {
        self.folder.path().join("index.db")
    }

    fn account(&self, host: usize) -> Did {
        let mut inner = self.inner();
        let did = inner.network.world.create_account_at(KeyKind::K256, HOSTS[host]);
        did.parse().unwrap()
    }

    /// A commit, as whoever follows the network would have it written.
    fn sign(&self, did: &Did, writes: Vec<Write>) -> Change {
        let mut inner = self.inner();
        inner.network.world.advance(1_000_000);
        inner.network.commit(did.as_str(), writes)
    }

    /// A commit that the index hears of.
    fn tell(&self, did: &Did, writes: Vec<Write>) {
        let change = self.sign(did, writes);
        self.write(&change);
    }

    fn write(&self, change: &Change) {
        self.writer().apply(std::slice::from_ref(change), &[], 1).unwrap();
    }

    fn writer(&self) -> IndexWriter {
        Index::open(self.path()).unwrap().writer(Catalog::builtin().unwrap()).unwrap()
    }

    fn fingerprint(&self) -> String {
        fingerprint(&self.path())
    }

    /// Five accounts with records created, changed and deleted, one of them hidden.
    fn people(&self) -> Vec<Did> {
        let people: Vec<Did> = (0..5).map(|number| self.account(number % 2)).collect();
        for did in &people {
            self.tell(did, vec![friend("a"), friend("b"), friend("c")]);
            self.tell(did, vec![Write::delete(FRIEND, "a")]);
            self.tell(did, vec![Write::update(FRIEND, "b", records::friend("did:web:other.example", 0))]);
        }
        self.inner().hidden.insert(people[4].as_str().to_owned(), "RepoDeactivated");
        self.write(&Change::Hosting { did: people[4].clone(), hosting: Hosting::Deactivated });
        people
    }

    async fn build(&self, scope: Scope) -> Result<Anew, IndexError> {
        let network = appview_core::source::network::Network::new(
            &self.made_up.outside(),
            PLC,
            self.folder.path().into(),
            scope,
        );
        let directories: Vec<RelayUrl> = vec![RELAY.parse().unwrap()];
        let collections =
            Collection::ALL.iter().map(|collection| collection.nsid().parse().unwrap()).collect();
        let asked =
            Asked { network, directories, collections, tracked: Vec::new(), orders: Orders::default() };
        Anew::build(&self.path(), Catalog::builtin().unwrap(), asked, |_| ()).await
    }

    /// Builds and compares.
    async fn anew(&self) -> (Anew, Comparison) {
        let mut anew = self.build(Scope::default()).await.unwrap();
        anew.catch_up(Scope::default()).await.unwrap();
        let comparison = anew.compare().unwrap();
        (anew, comparison)
    }

    fn assert_nothing_is_left_beside(&self) {
        for entry in std::fs::read_dir(self.folder.path()).unwrap() {
            let name = entry.unwrap().file_name().into_string().unwrap();
            assert!(!name.contains("rebuilding"), "{name} was left behind");
        }
    }
}

/// The fingerprint of an index that has been compared with itself.
fn fingerprint(path: &Path) -> String {
    let index = Index::open(path).unwrap();
    assert_eq!(index.reader().unwrap().check(|_| ()).unwrap().found, 0);
    index.fingerprint().unwrap().to_string()
}

fn friend(rkey: &str) -> Write {
    Write::create(FRIEND, rkey, records::friend("did:web:friend.example", 0))
}

#[tokio::test(start_paused = true)]
async fn it_agrees_with_the_index_that_heard_every_commit() {
    let town = Town::new();
    let people = town.people();
    let gone = town.account(0);
    town.tell(&gone, vec![friend("a")]);
    town.inner().network.world.bury(gone.as_str());
    town.write(&Change::Erase { did: gone.clone(), hosting: Hosting::Deleted });
    let cursor = StreamCursor { endpoint: RELAY.to_owned(), seq: 7 };
    town.writer().apply(&[], std::slice::from_ref(&cursor), 1).unwrap();
    let before = town.fingerprint();

    let (anew, comparison) = town.anew().await;
    assert_eq!(comparison.fingerprint.to_string(), before);
    assert_eq!(comparison.agrees(), Some(true));
    assert!(comparison.is_whole() && comparison.differs.is_empty(), "{comparison:?}");
    drop(anew.swap(town.writer()).unwrap());
    assert_eq!(town.fingerprint(), before);
    town.assert_nothing_is_left_beside();
    // Accounts that show nothing are known for what they are, and streams go on where they were.
    let reader = Index::open(town.path()).unwrap().reader().unwrap();
    let hosting = |did: &Did| reader.repo_state(did).unwrap().map(|state| state.hosting);
    assert_eq!(hosting(&people[4]), Some(Hosting::Deactivated));
    assert_eq!(hosting(&gone), None, "whom nobody knows any more leaves no trace");
    assert_eq!(reader.repo_state(&people[0]).unwrap().unwrap().proof, Proof::Full);
    assert_eq!(reader.cursors().unwrap(), [cursor]);
}

#[tokio::test(start_paused = true)]
async fn what_the_old_index_missed_is_named_and_in_the_new_one() {
    let town = Town::new();
    let people = town.people();
    let before = town.fingerprint();
    // A commit, a deletion, an account of which nothing was heard, and one that was hidden unheard.
    town.sign(&people[0], vec![friend("d")]);
    town.sign(&people[1], vec![Write::delete(FRIEND, "b")]);
    let unheard = town.account(1);
    town.sign(&unheard, vec![friend("a")]);
    town.inner().hidden.insert(people[2].as_str().to_owned(), "RepoTakendown");

    let (anew, comparison) = town.anew().await;
    assert_eq!(comparison.before.as_ref().unwrap().to_string(), before);
    assert_eq!(comparison.agrees(), Some(false));
    let mut differs = vec![people[0].clone(), people[1].clone(), people[2].clone(), unheard];
    differs.sort();
    assert_eq!(comparison.differs, differs);
    assert!(comparison.is_whole(), "{comparison:?}");
    drop(anew.swap_in().unwrap());
    assert_eq!(town.fingerprint(), comparison.fingerprint.to_string());
    let (_, comparison) = town.anew().await;
    assert_eq!(comparison.agrees(), Some(true));
}

#[tokio::test(start_paused = true)]
async fn whoever_is_left_out_is_not_asked_for() {
    let town = Town::new();
    let people = town.people();
    let anew = town.build(Scope::default().excluding([people[0].clone()])).await.unwrap();
    assert_eq!(anew.compare().unwrap().differs, [people[0].clone()]);
    assert!(anew.compare().unwrap().is_whole());
    let index = anew.swap_in().unwrap();
    assert_eq!(index.reader().unwrap().repo_state(&people[0]).unwrap(), None);
    let is_about_them = |asked: &Request| asked.url.as_str().contains(people[0].as_str());
    assert!(!town.made_up.asked().iter().any(is_about_them));
}

#[tokio::test(start_paused = true)]
async fn a_host_that_does_not_answer_is_named_and_the_old_index_stays() {
    let town = Town::new();
    let people = town.people();
    let before = town.fingerprint();
    town.inner().away.insert(HOSTS[1]);
    let (anew, comparison) = town.anew().await;
    let mut failed = vec![people[1].clone(), people[3].clone()];
    failed.sort();
    assert_eq!((&comparison.failed, comparison.differs.len()), (&failed, 0));
    assert!(!comparison.is_whole());
    drop(anew);
    assert_eq!(town.fingerprint(), before);
    town.assert_nothing_is_left_beside();

    // In part, what is missing is followed all the same, and is found when its host is back.
    let (anew, _) = town.anew().await;
    let index = anew.swap_in().unwrap();
    assert_ne!(town.fingerprint(), before);
    let state = index.reader().unwrap().repo_state(&people[1]).unwrap().unwrap();
    assert_eq!((state.proof, state.head), (Proof::Desynchronized, None));
    town.inner().away.clear();
    let (anew, comparison) = town.anew().await;
    assert_eq!(comparison.differs, failed);
    drop(anew.swap_in().unwrap());
    assert_eq!(town.fingerprint(), before);
}

#[tokio::test(start_paused = true)]
async fn a_relay_that_does_not_answer_is_named() {
    let town = Town::new();
    town.people();
    town.inner().away.insert("https://relay.example.com");
    let (_, comparison) = town.anew().await;
    assert_eq!(comparison.unread, [RELAY.parse().unwrap()]);
    // Those whom the old index knows are proven without it.
    assert_eq!((comparison.agrees(), comparison.is_whole()), (Some(true), false));
}

#[tokio::test(start_paused = true)]
async fn whoever_is_left_out_or_tracked_meanwhile_is_so_in_the_new_index() {
    let town = Town::new();
    let people = town.people();
    let mut anew = town.build(Scope::default().excluding([people[1].clone()])).await.unwrap();
    // One is left out, as the old index hears at once; one is so no more; and one is tracked that no directory names, since it
    // has no record of ours.
    town.write(&Change::Forget { did: people[0].clone() });
    let unknown = town.account(0);
    town.write(&Change::Desynchronized { did: unknown.clone() });
    let scope = Scope::default().excluding([people[0].clone()]);
    assert_eq!(anew.catch_up(scope.clone()).await.unwrap(), 3);
    assert_eq!(
        anew.catch_up(scope).await.unwrap(),
        1,
        "the old one goes on doubting what it was not told of"
    );
    let comparison = anew.compare().unwrap();
    assert!(comparison.is_whole() && comparison.agrees() == Some(true), "{comparison:?}");
    let reader = anew.swap_in().unwrap().reader().unwrap();
    assert_eq!(reader.repo_state(&people[0]).unwrap(), None);
    for did in [&people[1], &people[2], &unknown] {
        assert_eq!(reader.repo_state(did).unwrap().unwrap().proof, Proof::Full, "{did}");
    }
}

#[tokio::test(start_paused = true)]
async fn what_moves_meanwhile_is_proven_again_before_the_swap() {
    let town = Town::new();
    let people = town.people();
    let mut anew = town.build(Scope::default()).await.unwrap();
    // The old index goes on: a commit, an account that nobody knew, one that is hidden, and one that is back.
    town.tell(&people[0], vec![friend("d")]);
    let unknown = town.account(0);
    town.tell(&unknown, vec![friend("a")]);
    town.inner().hidden.insert(people[1].as_str().to_owned(), "RepoDeactivated");
    town.write(&Change::Hosting { did: people[1].clone(), hosting: Hosting::Deactivated });
    town.inner().hidden.remove(people[4].as_str());
    town.write(&Change::Hosting { did: people[4].clone(), hosting: Hosting::Active });
    assert_eq!(anew.catch_up(Scope::default()).await.unwrap(), 4);
    assert_eq!(anew.catch_up(Scope::default()).await.unwrap(), 0);
    let comparison = anew.compare().unwrap();
    assert!(comparison.is_whole() && comparison.agrees() == Some(true), "{comparison:?}");

    // A host that does not know yet what the index has heard: it is not taken back.
    let car = town.inner().network.world.car(people[2].as_str());
    town.inner().stale.insert(people[2].as_str().to_owned(), car);
    town.tell(&people[2], vec![friend("d")]);
    anew.catch_up(Scope::default()).await.unwrap();
    let comparison = anew.compare().unwrap();
    assert_eq!((&comparison.moved, &comparison.differs), (&vec![people[2].clone()], &vec![]));
    assert!(!comparison.is_whole());
}

#[tokio::test(start_paused = true)]
async fn a_second_rebuild_is_refused_and_the_first_goes_on() {
    let town = Town::new();
    town.people();
    let anew = town.build(Scope::default()).await.unwrap();
    let Err(error) = town.build(Scope::default()).await else { panic!("there are two") };
    assert!(matches!(error, IndexError::Rebuilding { .. }), "{error}");
    assert!(error.to_string().contains("another rebuild"), "{error}");
    drop(anew.swap(town.writer()).unwrap());
    drop(town.build(Scope::default()).await.unwrap());
}

#[tokio::test(start_paused = true)]
async fn where_there_is_no_index_there_is_one_afterwards() {
    let town = Town::new();
    town.people();
    let before = town.fingerprint();
    std::fs::remove_file(town.path()).unwrap();
    let (anew, comparison) = town.anew().await;
    assert_eq!((comparison.agrees(), comparison.before.is_none()), (None, true));
    drop(anew.swap_in().unwrap());
    assert_eq!(town.fingerprint(), before);
}
