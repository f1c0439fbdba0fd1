//! A verifier with a small world to ask: what a driver is in production, with every answer in the test's hand.
//!
//! A [`Listener`] hears frames and tells what the machine asks for in words, one per [`Output`], so that a test reads
//! as a conversation. It plays the index too, as a map, and refuses changes that no index could apply.
#![allow(dead_code, unreachable_pub, reason = "each test binary uses a part")]

use std::collections::BTreeMap;
use std::sync::Arc;

use appview_core::block::BlockError;
use appview_core::block::car::Archive;
use appview_core::repo::Identity;
use appview_core::sync::verifier::{Closing, Freshness, Handled, Output, Scope, Unresolved, Verifier};
use appview_core::sync::verify::{verify_commit, verify_repo};
use appview_core::sync::{
    Change, CommitEvent, Event, Followed, Hosting, Proof, RecordChange, RepoHead, RepoState, StreamId,
    VerifiedCommit, VerifiedRepo, VerifyError,
};
use appview_core::syntax::{Did, Tid};
use fixtures::world::Did as Account;
use fixtures::{Frame, Ipld, KeyKind, World, Write, records};

/// Every path in scope starts like this.
pub const NAMESPACE: &str = "dev.cocore.";

/// A verifier, the world that it listens to, and what an index would hold by now.
pub struct Listener {
    pub world: World,
    pub verifier: Verifier,
    pub stream: StreamId,
    pub index: BTreeMap<Did, Rows>,
    /// Whose repositories the machine waits for.
    pub wanted: Vec<Did>,
    /// Whose identities the machine waits for.
    pub unresolved: Vec<Did>,
}

/// What an index holds of one repository.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Rows {
    pub head: Option<RepoHead>,
    /// Why it is not shown, if it is not.
    pub hidden: Option<Hosting>,
    /// CIDs by path.
    pub records: BTreeMap<String, String>,
}

impl Rows {
    fn change(&mut self, change: &RecordChange) -> String {
        match change {
            RecordChange::Put { path, cid, block } => {
                assert!(cid.addresses(block));
                self.records.insert(path.to_string(), cid.to_string());
                format!(" +{path}")
            }
            RecordChange::Delete { path } => {
                self.records.remove(&path.to_string()).expect("a delete finds its record");
                format!(" -{path}")
            }
        }
    }
}

impl Listener {
    pub fn new(seed: u64) -> Self {
        Self::resuming(World::new(seed), [], None)
    }

    /// One that starts from what an index remembers.
    pub fn resuming(world: World, followed: impl IntoIterator<Item = Followed>, cursor: Option<i64>) -> Self {
        let mut verifier = Verifier::new(Scope::default(), followed);
        let stream = verifier.add_stream("wss://relay.test", cursor);
        let (index, wanted, unresolved) = (BTreeMap::new(), Vec::new(), Vec::new());
        Self { world, verifier, stream, index, wanted, unresolved }
    }

    /// One that follows an account whose profile is proven.
    pub fn following(seed: u64) -> (Self, Account) {
        let mut listener = Self::new(seed);
        let account = listener.newcomer();
        (listener, account)
    }

    /// Has an account move to another host with another key, says so, and proves what the former host has signed.
    pub fn moved(&mut self, account: &str) {
        self.world.advance(60_000_000);
        self.world.migrate(account, "https://new.example");
        self.world.rotate_key(account, KeyKind::P256);
        let identity = self.world.identity(account);
        self.hear(&identity);
        self.settle();
        assert_eq!(self.state(account).proof, Proof::Provisional, "its commit is the former host's");
    }

    /// Adds an account, and hears and proves its first record.
    pub fn newcomer(&mut self) -> Account {
        let account = self.world.create_account(KeyKind::K256);
        for frame in self.world.genesis_frames(&account) {
            assert!(self.hear(&frame).is_empty(), "nothing is asked before there is a record in scope");
        }
        let first = self.world.commit(&account, vec![profile("first")]);
        assert_eq!(self.hear(&first), ["resolve cached"]);
        assert_eq!(self.resolve(&account), ["commit +dev.cocore.account.profile/self"]);
        account
    }

    /// Hears a frame, and tells what the machine then asks for.
    pub fn hear(&mut self, frame: impl AsRef<[u8]>) -> Vec<String> {
        self.hear_on(self.stream, frame)
    }

    pub fn hear_on(&mut self, stream: StreamId, frame: impl AsRef<[u8]>) -> Vec<String> {
        self.handle(stream, frame.as_ref());
        self.said()
    }

    fn handle(&mut self, stream: StreamId, frame: &[u8]) -> Handled {
        self.verifier.handle_frame(stream, frame, self.world.now_micros())
    }

    /// Answers with the identity that the world knows.
    pub fn resolve(&mut self, account: &str) -> Vec<String> {
        let identity = identity(&self.world, account);
        self.resolve_with(account, Some(identity))
    }

    /// Answers with this identity, or that nobody could be asked.
    pub fn resolve_with(&mut self, account: &str, identity: Option<Identity>) -> Vec<String> {
        let did = did(account);
        self.unresolved.retain(|waiting| *waiting != did);
        let identity = identity.ok_or(Unresolved::Unreachable);
        self.verifier.handle_identity(&did, identity, self.world.now_micros());
        self.said()
    }

    /// Answers that the DID resolves to nothing.
    pub fn resolve_to_nothing(&mut self, account: &str) -> Vec<String> {
        let did = did(account);
        self.unresolved.retain(|waiting| *waiting != did);
        self.verifier.handle_identity(&did, Err(Unresolved::Gone), self.world.now_micros());
        self.said()
    }

    /// Answers with the repository as the world has it.
    pub fn fetch(&mut self, account: &str) -> Vec<String> {
        let car = self.world.car(account);
        self.fetch_car(account, car)
    }

    /// Answers with this export.
    pub fn fetch_car(&mut self, account: &str, car: Vec<u8>) -> Vec<String> {
        let identity = Arc::new(identity(&self.world, account));
        let archive = Archive::from_bytes(car).unwrap();
        let repo = verify_repo(archive, &identity, NAMESPACE, self.world.now_micros()).unwrap();
        self.wanted.retain(|wanted| wanted != repo.did());
        self.verifier.handle_repo(repo, identity, self.world.now_micros());
        self.said()
    }

    /// Answers with what the account's PDS says of its hosting.
    pub fn confirm(&mut self, account: &str, hosting: Hosting) -> Vec<String> {
        self.verifier.handle_hosting(&did(account), hosting, self.world.now_micros());
        self.said()
    }

    /// Answers every question truthfully until there is none; then the index holds what the world holds. Nobody answers for
    /// an account that is not of this world.
    pub fn settle(&mut self) -> Vec<String> {
        let mut said = self.said();
        for _ in 0..10_000 {
            if let Some(did) = self.unresolved.pop() {
                said.extend(match self.knows(&did) {
                    true => self.resolve(did.as_str()),
                    false => self.resolve_with(did.as_str(), None),
                });
            } else if let Some(did) = self.wanted.pop() {
                if self.knows(&did) {
                    said.extend(self.fetch(did.as_str()));
                }
            } else {
                return said;
            }
        }
        panic!("the machine never comes to rest; it ends with {:?}", said.last_chunk::<8>());
    }

    fn knows(&self, did: &Did) -> bool {
        self.world.dids().any(|account| **account == *did.as_str())
    }

    /// What was asked for since the last call, in words; the index follows.
    pub fn said(&mut self) -> Vec<String> {
        let mut words = Vec::new();
        while let Some(output) = self.verifier.poll_output() {
            words.push(match output {
                Output::Apply(change) => self.apply(change),
                Output::ResolveIdentity { did, freshness } => {
                    self.unresolved.push(did);
                    match freshness {
                        Freshness::Cached => "resolve cached".to_owned(),
                        Freshness::Fresh => "resolve fresh".to_owned(),
                    }
                }
                Output::FetchRepo { did, .. } => {
                    self.wanted.push(did);
                    "fetch".to_owned()
                }
                // What follows from it is said apart.
                Output::Moved { .. } => continue,
                Output::ConfirmHosting { .. } => "confirm hosting".to_owned(),
                Output::Audit { .. } => "audit".to_owned(),
                Output::FetchRecord { path, .. } => format!("fetch {path}"),
                Output::Reject(rejection) => format!("reject {}", rejection.reason),
                Output::Gap { .. } => "gap".to_owned(),
                Output::Notice { name, closing: Closing::No, .. } => format!("notice {name}"),
                Output::Notice { name, closing: Closing::Yes, .. } => format!("closing {name}"),
            });
        }
        words
    }

    fn apply(&mut self, change: Change) -> String {
        let rows = self.index.entry(change.did().clone()).or_default();
        match change {
            Change::Commit(commit) => {
                assert!(commit.after().is_none() || commit.after() == rows.head, "a commit follows the head");
                rows.head = Some(commit.head());
                let mut word = "commit".to_owned();
                for change in commit.changes() {
                    word += &rows.change(change);
                }
                word
            }
            Change::Repo(repo) => {
                rows.head = Some(repo.head());
                rows.records = listing(&repo);
                format!("repo {} {}", repo.proof().as_str(), rows.records.len())
            }
            Change::Head(head) => {
                rows.head = Some(head.head());
                "head".to_owned()
            }
            Change::Record(record) => format!("record{}", rows.change(record.change())),
            Change::Current { .. } => "current".to_owned(),
            Change::Postponed { .. } => "postponed".to_owned(),
            Change::Forget { .. } => {
                *rows = Rows::default();
                "forget".to_owned()
            }
            Change::Hosting { hosting, .. } => {
                rows.hidden = (!hosting.is_visible()).then_some(hosting);
                format!("hosting {hosting}")
            }
            Change::Desynchronized { .. } => "desynchronized".to_owned(),
            Change::Erase { hosting, .. } => {
                *rows = Rows { hidden: Some(hosting), ..Rows::default() };
                "erase".to_owned()
            }
        }
    }

    /// What would be served of an account.
    pub fn shown(&self, account: &str) -> BTreeMap<String, String> {
        match self.index.get(account) {
            Some(rows) if rows.hidden.is_none() => rows.records.clone(),
            _ => BTreeMap::new(),
        }
    }

    /// What the world says is to be served of an account.
    pub fn truth(&self, account: &str) -> BTreeMap<String, String> {
        let ledger = self.world.ledger();
        let account = &ledger.accounts[account];
        let records =
            account.records.iter().filter(|(path, _)| account.active && path.starts_with(NAMESPACE));
        records.map(|(path, cid)| (path.clone(), cid.to_string())).collect()
    }

    /// The cursor that may be saved for the first stream.
    pub fn watermark(&self) -> Option<i64> {
        self.verifier.watermarks().first().map(|cursor| cursor.seq)
    }

    /// All that an index would remember of an account.
    pub fn followed(&self, account: &str) -> Followed {
        let watch = self.verifier.watch(account).expect("the account is followed");
        Followed { did: did(account), state: self.state(account), watch }
    }

    pub fn state(&self, account: &str) -> RepoState {
        self.verifier.state(account).expect("the account is followed")
    }

    pub fn now(&self) -> u64 {
        self.world.now_micros()
    }

    /// Proves a frame by the pure function alone, on the head that is held.
    pub fn prove(&self, account: &str, frame: &Frame) -> Result<VerifiedCommit, VerifyError> {
        let event = commit_event(&frame.bytes);
        let head = self.verifier.state(account).and_then(|state| state.head);
        verify_commit(&event, head, &identity(&self.world, account), NAMESPACE, self.now())
    }
}

/// The records of an export, in the form of [`Rows::records`].
pub fn listing(repo: &VerifiedRepo) -> BTreeMap<String, String> {
    let mut records = BTreeMap::new();
    let listed = repo.each_record::<BlockError>(|path, cid| {
        records.insert(path.to_string(), cid.to_string());
        Ok(())
    });
    listed.unwrap();
    records
}

pub fn did(account: &str) -> Did {
    account.parse().unwrap()
}

pub fn tid(text: &str) -> Tid {
    text.parse().unwrap()
}

/// The identity that the world knows, with its audit log.
pub fn identity(world: &World, account: &str) -> Identity {
    let entry = world.plc_entry(account);
    let identity = Identity::from_document(&did(account), &entry["didDocument"]).unwrap();
    identity.with_audit_log(&entry["operations"]).unwrap()
}

pub fn commit_event(frame: &[u8]) -> CommitEvent<'_> {
    match Event::decode(frame).unwrap() {
        (Event::Commit(commit), _) => commit,
        (other, _) => panic!("expected a commit, found {other:?}"),
    }
}

/// A first profile.
pub fn profile(name: &str) -> Write {
    Write::create(records::PROFILE, "self", records::profile(name, 0))
}

/// Another profile in its place.
pub fn rename(name: &str) -> Write {
    Write::update(records::PROFILE, "self", records::profile(name, 0))
}

/// A record in scope under a key of its own.
pub fn friend(rkey: &str) -> Write {
    Write::create(records::FRIEND, rkey, records::friend("did:web:friend.test", 0))
}

pub fn unfriend(rkey: &str) -> Write {
    Write::delete(records::FRIEND, rkey)
}

/// A record out of scope.
pub fn post(rkey: &str) -> Write {
    Write::create(records::POST, rkey, records::post(0, 0))
}

pub fn text(text: &str) -> Ipld {
    Ipld::String(text.to_owned())
}

pub fn integer(number: i128) -> Ipld {
    Ipld::Integer(number)
}

/// Runs on a stack of 256 KiB, the smallest that any thread of ours has.
pub fn on_a_small_stack(task: impl FnOnce() + Send + 'static) {
    std::thread::Builder::new().stack_size(256 * 1024).spawn(task).unwrap().join().unwrap();
}
