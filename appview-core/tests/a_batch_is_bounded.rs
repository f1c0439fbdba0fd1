//! How much the pump gathers before it writes.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "tests")]

mod network;

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::convert::Infallible;
use std::io::{Seek as _, Write as _};
use std::rc::Rc;
use std::sync::Arc;

use appview_core::block::Cid;
use appview_core::block::car::Archive;
use appview_core::repo::Identity;
use appview_core::source::pump::{Answer, Batch, Input, Pump, Request, Sink, Upstream};
use appview_core::sync::verify::verify_repo;
use appview_core::sync::{Change, Scope, VerifiedRepo, Verifier};
use appview_core::syntax::Did;
use fixtures::{KeyKind, Write, records};
use network::{Network, did};

const LARGE: usize = 17 << 20;

/// Answers each request for a repository once, and at once.
struct Exports(BTreeMap<Did, (VerifiedRepo, Arc<Identity>)>);

impl Upstream for Exports {
    fn ask(&mut self, request: Request) -> Option<Answer> {
        let Request::Repo { did, .. } = request else { return None };
        let (repo, identity) = self.0.remove(&did)?;
        Some(Answer::Repo { repo, identity })
    }
}

/// Keeps what is written.
#[derive(Clone, Default)]
struct Kept(Rc<RefCell<Vec<Batch>>>);

impl Sink for Kept {
    type Error = Infallible;

    fn write(&mut self, batch: Batch) -> Result<(), Infallible> {
        self.0.borrow_mut().push(batch);
        Ok(())
    }
}

#[derive(Clone, Copy)]
enum Kind {
    Small,
    /// As large as [`LARGE`], in memory.
    Large,
    /// In a file.
    Spooled,
}

/// Adds a section that nothing refers to: an export may carry more than its tree.
fn pad(car: &mut Vec<u8>, bytes: usize) {
    let block = vec![7; bytes];
    let cid = Cid::of(&block).to_bytes();
    let mut length = cid.len() + block.len();
    while length > 0x7f {
        car.push((length & 0x7f) as u8 | 0x80);
        length >>= 7;
    }
    car.push(length as u8);
    car.extend_from_slice(&cid);
    car.extend_from_slice(&block);
}

#[test]
fn a_batch_holds_at_most_one_large_repository_and_ends_with_it() {
    let mut network = Network::new(40);
    let mut exports = Exports(BTreeMap::new());
    let mut order = Vec::new();
    let kinds = [Kind::Small, Kind::Small, Kind::Large, Kind::Small, Kind::Spooled, Kind::Large, Kind::Small];
    for kind in kinds {
        let account = network.world.create_account(KeyKind::K256);
        let profile = records::profile("someone", network.world.now_micros());
        network.commit(&account, vec![Write::create(records::PROFILE, "self", profile)]);
        let mut car = network.world.car(&account);
        let archive = match kind {
            Kind::Small => Archive::from_bytes(car),
            Kind::Large => {
                while car.len() < LARGE {
                    pad(&mut car, 1 << 20);
                }
                Archive::from_bytes(car)
            }
            Kind::Spooled => {
                let mut file = tempfile::tempfile().unwrap();
                file.write_all(&car).unwrap();
                file.rewind().unwrap();
                Archive::from_file(file)
            }
        };
        let identity = network.identity(&account);
        let now = network.world.now_micros() + 1_000_000;
        let repo = verify_repo(archive.unwrap(), &identity, Scope::default().as_str(), now).unwrap();
        assert_eq!(repo.memory_bytes() >= LARGE, matches!(kind, Kind::Large));
        assert_eq!(repo.is_file(), matches!(kind, Kind::Spooled));
        exports.0.insert(did(&account), (repo, Arc::new(identity)));
        order.push(did(&account));
    }

    let now = network.world.now_micros() + 1_000_000;
    let kept = Kept::default();
    let verifier = Verifier::new(Scope::default(), []);
    let mut pump = Pump::new(verifier, exports, kept.clone(), now).unwrap();
    for did in &order {
        pump.handle(Input::Track(did.clone()), now).unwrap();
    }
    pump.flush(now).unwrap();

    let batches = kept.0.borrow();
    let written: Vec<Vec<&Did>> = batches
        .iter()
        .map(|batch| {
            let repos = batch.changes.iter().filter(|change| matches!(change, Change::Repo(_)));
            repos.map(Change::did).collect()
        })
        .collect();
    let expected: Vec<Vec<&Did>> =
        [&order[..3], &order[3..5], &order[5..6], &order[6..]].map(|dids| dids.iter().collect()).into();
    assert_eq!(written, expected);
}

/// Nothing is asked that anyone could answer.
struct Nobody;

impl Upstream for Nobody {
    fn ask(&mut self, _: Request) -> Option<Answer> {
        None
    }
}

#[test]
fn a_cursor_is_written_with_the_last_of_what_it_covers_and_not_before() {
    let mut network = Network::new(42);
    let account = network.world.create_account(KeyKind::K256);
    let friend = || records::friend("did:web:friend.example", 0);
    network.commit(&account, vec![Write::create(records::FRIEND, "a", friend())]);
    let mut file = tempfile::tempfile().unwrap();
    file.write_all(&network.world.car(&account)).unwrap();
    file.rewind().unwrap();
    let frame = network.world.commit(&account, vec![Write::create(records::FRIEND, "b", friend())]);
    let (did, identity) = (did(&account), network.identity(&account));
    let now = network.world.now_micros() + 1_000_000;
    let export = Archive::from_file(file).unwrap();
    let repo = verify_repo(export, &identity, Scope::default().as_str(), now).unwrap();

    let kept = Kept::default();
    let mut verifier = Verifier::new(Scope::default(), []);
    let stream = verifier.add_stream("wss://relay.example", None);
    let mut pump = Pump::new(verifier, Nobody, kept.clone(), now).unwrap();
    // The commit waits for its repository, which makes a batch full before the commit is in it.
    pump.handle_frame(stream, frame.as_ref(), now).unwrap();
    let answers = [
        Answer::Identity { did, identity: Ok(identity.clone()) },
        Answer::Repo { repo, identity: Arc::new(identity) },
    ];
    for answer in answers {
        pump.handle(Input::Answer(answer), now).unwrap();
    }
    pump.flush(now).unwrap();
    let batches = kept.0.borrow();
    let first = |is_it: &dyn Fn(&Batch) -> bool| batches.iter().position(is_it).unwrap();
    let is_repo = |change: &Change| matches!(change, Change::Repo(_));
    let is_commit = |change: &Change| matches!(change, Change::Commit(_));
    let written = first(&|batch| batch.changes.iter().any(is_commit));
    assert!(first(&|batch| batch.changes.iter().any(is_repo)) < written);
    assert_eq!(first(&|batch| !batch.cursors.is_empty()), written);
}

#[test]
fn what_is_gathered_is_written_soon_though_there_is_always_more_to_handle() {
    const MILLISECOND: u64 = 1_000;
    let mut network = Network::new(41);
    let now = network.world.now_micros() + 1_000_000;
    let kept = Kept::default();
    let mut verifier = Verifier::new(Scope::default(), []);
    let stream = verifier.add_stream("wss://relay.example", None);
    let mut pump = Pump::new(verifier, Nobody, kept.clone(), now).unwrap();
    pump.handle(Input::Track("did:web:someone.example".parse().unwrap()), now).unwrap();
    assert_eq!(kept.0.borrow().len(), 0, "it waits for others to share its transaction");

    // Frames of others, one each millisecond, for two seconds: the pump is never told that there is no more.
    let stranger = network.world.create_account(KeyKind::K256);
    for millisecond in 1..=2_000 {
        let post = records::post(1, network.world.now_micros());
        let key = network.world.next_tid();
        let frame = network.world.commit(&stranger, vec![Write::create(records::POST, &key, post)]);
        pump.handle_frame(stream, frame.as_ref(), now + millisecond * MILLISECOND).unwrap();
    }
    let batches = kept.0.borrow();
    assert_eq!(batches[0].changes.len(), 1);
    assert!(batches[0].at - now <= 21 * MILLISECOND, "{} us", batches[0].at - now);
    let cursors: Vec<i64> = batches[1..].iter().map(|batch| batch.cursors[0].seq).collect();
    assert!((1..=3).contains(&cursors.len()), "a cursor is worth a transaction once a second: {cursors:?}");
}
