//! What is promised about the index: what is deleted goes, nothing comes back, and all of it can be had again.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use appview_core::block::car::Archive;
use appview_core::index::{Index, IndexError};
use appview_core::query::{ExportFilter, RecordView};
use appview_core::record::Catalog;
use appview_core::repo::Identity;
use appview_core::source::now;
use appview_core::source::pump::{Answer, Pump, Request, Upstream};
use appview_core::sync::verifier::Pace;
use appview_core::sync::verify::verify_repo;
use appview_core::sync::{Change, Output, Scope, VerifiedRepo, Verifier};
use appview_core::syntax::Did;
use appviewd::account::{Exclusion, Shown};
use appviewd::wipe::scope;
use fixtures::seed::Seed;
use fixtures::{KeyKind, World, Write, records};

use crate::support::authority::Authority;
use crate::support::exchange::{Exchange, Streams};

const FRIEND: &str = "dev.cocore.account.friend";

pub(crate) fn befriend(rkey: &str) -> Write {
    Write::create(FRIEND, rkey, records::friend("did:web:friend.example", 0))
}

fn did(text: &str) -> Did {
    text.parse().unwrap()
}

fn identity(world: &World, whose: &Did) -> Identity {
    Identity::from_document(whose, &world.did_document(whose.as_str())).unwrap()
}

fn proven(world: &World, whose: &Did) -> (VerifiedRepo, Identity) {
    let identity = identity(world, whose);
    let archive = Archive::from_bytes(world.car(whose.as_str())).unwrap();
    (verify_repo(archive, &identity, "dev.cocore.", now()).unwrap(), identity)
}

/// Hosts that say what a world held at a moment, once.
struct Hosts(World);

impl Upstream for Hosts {
    fn ask(&mut self, request: Request) -> Option<Answer> {
        match request {
            Request::Identity { did, .. } => {
                let identity = Ok(identity(&self.0, &did));
                Some(Answer::Identity { did, identity })
            }
            Request::Repo { attempt: 0, did, .. } => {
                let (repo, identity) = proven(&self.0, &did);
                Some(Answer::Repo { repo, identity: Arc::new(identity) })
            }
            Request::Repo { .. } | Request::Record { .. } | Request::Hosting { .. } => None,
            Request::Audit { did, .. } => Some(Answer::Unaudited { did }),
        }
    }
}

/// Has an index hear frames, with these hosts to ask.
fn hear<'f>(index: &Index, scope: Scope, hosts: &World, frames: impl IntoIterator<Item = &'f Vec<u8>>) {
    let mut writer = index.writer(Catalog::builtin().unwrap()).unwrap();
    let known = writer.repo_states().collect::<Result<Vec<_>, _>>().unwrap();
    let mut verifier = Verifier::new(scope, known);
    // Each frame by a connection of its own, so that any order is one that a stream may have.
    let stream = verifier.add_stream("wss://relay.example", None);
    let mut pump = Pump::new(verifier, Hosts(hosts.clone()), &mut writer, now()).unwrap();
    for frame in frames {
        pump.handle(appview_core::source::pump::Input::Connected(stream), now()).unwrap();
        pump.handle_frame(stream, frame, now()).unwrap();
    }
    pump.flush(now()).unwrap();
}

/// CIDs by URI.
fn shown(index: &Index) -> BTreeMap<String, String> {
    let mut found = BTreeMap::new();
    let visit = |record: RecordView| {
        found.insert(record.uri().to_string(), record.cid.to_string());
        Ok::<_, IndexError>(())
    };
    index.reader().unwrap().export(&ExportFilter::default(), visit).unwrap();
    found
}

fn signed(world: &World) -> BTreeMap<String, String> {
    let of = |did: &fixtures::world::Did| {
        let records = world.records(did).into_iter().filter(|(path, _)| path.starts_with("dev.cocore."));
        records.map(|(path, cid)| (format!("at://{did}/{path}"), cid.to_string())).collect::<Vec<_>>()
    };
    world.dids().flat_map(of).collect()
}

fn new_index(folder: &tempfile::TempDir, name: &str) -> Index {
    Index::open(folder.path().join(name)).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn p07_what_is_deleted_at_its_pds_is_gone_from_the_index_within_seconds() {
    let authority = Authority::start().await;
    let exchange = Exchange::start(&authority, Streams::Relay).await;
    let ada = authority.account();
    let town = authority.town();
    town.commit(&ada, vec![befriend("a"), befriend("b")]);
    let until = async |count: usize| {
        while exchange.indexed().len() != count {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(Duration::from_secs(60), until(2)).await.expect("it is followed");
    let began = Instant::now();
    town.commit(&ada, vec![Write::delete(FRIEND, "a")]);
    tokio::time::timeout(Duration::from_secs(60), until(1)).await.expect("it is gone");
    assert!(began.elapsed() < Duration::from_secs(5), "{:?}", began.elapsed());
    exchange.stop().await;

    // A relay keeps a deletion back: the PDS is asked within a quarter of an hour, and again when the stream has not brought it.
    let mut world = World::new(1);
    let ada = world.create_account(KeyKind::K256);
    let whose = did(&ada);
    let frame = world.commit(&ada, vec![befriend("a")]).bytes;
    let start = world.now_micros();
    let mut verifier = Verifier::new(Scope::default(), []);
    verifier.set_pace(Pace::default());
    let stream = verifier.add_stream("wss://relay.example", None);
    verifier.handle_frame(stream, &frame, start);
    verifier.handle_identity(&whose, Ok(identity(&world, &whose)), start);
    world.advance(1_000_000);
    world.commit(&ada, vec![Write::delete(FRIEND, "a")]);
    let rev = world.head(&ada).rev.parse().unwrap();
    let mut fetched_after = None;
    for second in 1..=960 {
        let now = start + second * 1_000_000;
        verifier.tick(now);
        while let Some(output) = verifier.poll_output() {
            match output {
                Output::Audit { did, .. } => {
                    verifier.handle_behind(&did, rev, Arc::new(identity(&world, &did)), now);
                }
                Output::FetchRepo { did, .. } => {
                    let (repo, identity) = proven(&world, &did);
                    verifier.handle_repo(repo, Arc::new(identity), now);
                    fetched_after = fetched_after.or(Some(second));
                }
                _ => {}
            }
        }
    }
    let after = fetched_after.expect("nobody asked the PDS");
    assert!(after <= 15 * 60 + 30, "{after} s");
    assert_eq!(verifier.state(&ada).unwrap().head.unwrap().rev, rev);
}

#[test]
fn p08_what_was_deleted_does_not_come_back_in_whatever_order_it_is_told() {
    let mut world = World::new(2);
    let accounts = [KeyKind::K256, KeyKind::P256].map(|kind| world.create_account(kind));
    let mut frames = Vec::new();
    for ada in &accounts {
        for writes in [
            vec![befriend("a")],
            vec![befriend("b"), befriend("c")],
            vec![Write::delete(FRIEND, "a")],
            vec![befriend("a")],
            vec![Write::delete(FRIEND, "a"), Write::delete(FRIEND, "b")],
            vec![befriend("d")],
        ] {
            world.advance(1_000_000);
            frames.push(world.commit(ada, writes).bytes);
        }
    }
    let folder = tempfile::tempdir().unwrap();
    let mut seed = Seed::new(8);
    for turn in 0..60 {
        let mut order: Vec<&Vec<u8>> = frames.iter().chain(frames.iter().take(turn % 5)).collect();
        for at in (1..order.len()).rev() {
            order.swap(at, seed.below(at as u64 + 1) as usize);
        }
        let index = new_index(&folder, &format!("{turn}.db"));
        hear(&index, Scope::default(), &world, order);
        assert_eq!(shown(&index), signed(&world), "turn {turn}");
        assert_eq!(signed(&world).len(), 4);
    }
}

#[test]
fn p09_the_index_can_be_had_again_from_its_sources() {
    let mut world = World::new(3);
    let mut frames = Vec::new();
    let accounts: Vec<_> = (0..3).map(|_| world.create_account(KeyKind::K256)).collect();
    for (at, ada) in accounts.iter().enumerate() {
        for rkey in ["a", "b", "c"] {
            world.advance(1_000_000);
            frames.push(world.commit(ada, vec![befriend(&format!("{rkey}{at}"))]).bytes);
        }
        frames.push(world.commit(ada, vec![Write::delete(FRIEND, &format!("b{at}"))]).bytes);
    }
    let folder = tempfile::tempdir().unwrap();
    let index = new_index(&folder, "index.db");
    hear(&index, Scope::default(), &world, &frames);
    let before = (shown(&index), index.fingerprint().unwrap());
    assert_eq!(before.0.len(), 6);
    drop(index);
    for suffix in ["", "-wal", "-shm"] {
        let _ = std::fs::remove_file(folder.path().join(format!("index.db{suffix}")));
    }
    let index = new_index(&folder, "index.db");
    assert!(shown(&index).is_empty());
    hear(&index, Scope::default(), &world, &frames);
    assert_eq!((shown(&index), index.fingerprint().unwrap()), before, "from the streams");
    let rebuilt = Index::rebuild(index.path(), Catalog::builtin().unwrap(), |writer| {
        for ada in &accounts {
            let (repo, _) = proven(&world, &did(ada));
            writer.apply(&[Change::Repo(repo)], &[], now()).unwrap();
        }
        Ok::<_, IndexError>(())
    });
    let index = rebuilt.unwrap();
    assert_eq!((shown(&index), index.fingerprint().unwrap()), before, "from the PDSes");
}

/// A world in which somebody was wiped: what was told and held before, and what is so afterwards.
struct Wiped {
    ada: Did,
    before: World,
    frames: Vec<Vec<u8>>,
    after: World,
    scope: Scope,
}

fn wiped() -> Wiped {
    let mut world = World::new(4);
    let ada = world.create_account(KeyKind::K256);
    let mut frames = Vec::new();
    for rkey in ["a", "b"] {
        world.advance(1_000_000);
        frames.push(world.commit(&ada, vec![befriend(rkey)]).bytes);
    }
    let before = world.clone();
    world.advance(1_000_000);
    // Nobody is ever told of the deletion.
    world.commit(&ada, vec![Write::delete(FRIEND, "a"), Write::delete(FRIEND, "b")]);
    let rev = world.head(&ada).rev.parse().unwrap();
    let exclusion = Exclusion { did: did(&ada), rev: Some(rev), at: now(), shown: Shown::Since };
    Wiped { ada: did(&ada), before, frames, after: world, scope: scope(Scope::default(), vec![exclusion]) }
}

#[test]
fn p12_what_was_wiped_stays_wiped_whatever_tells_of_it_again() {
    let folder = tempfile::tempdir().unwrap();
    let Wiped { ada, before, frames, mut after, scope } = wiped();

    // Without the exclusion each of these would bring it back.
    let index = new_index(&folder, "control.db");
    hear(&index, Scope::default(), &before, &frames);
    assert_eq!(shown(&index).len(), 2, "the stream from its beginning");

    let index = new_index(&folder, "stream.db");
    hear(&index, scope.clone(), &before, &frames);
    assert!(shown(&index).is_empty(), "the stream from its beginning, and hosts that are behind");

    // A stale copy of the export, into an index that holds nothing to compare it with.
    let index = new_index(&folder, "export.db");
    let mut writer = index.writer(Catalog::builtin().unwrap()).unwrap();
    let mut verifier = Verifier::new(scope.clone(), []);
    verifier.track(ada.clone());
    let mut pump = Pump::new(verifier, Hosts(before.clone()), &mut writer, now()).unwrap();
    let (repo, identity) = proven(&before, &ada);
    let late = Answer::Repo { repo, identity: Arc::new(identity) };
    pump.handle(appview_core::source::pump::Input::Answer(late), now()).unwrap();
    pump.flush(now()).unwrap();
    drop(pump);
    drop(writer);
    assert!(shown(&index).is_empty(), "a stale export, asked for before or after");

    // An index from before, restored.
    let index = new_index(&folder, "restored.db");
    hear(&index, Scope::default(), &before, &frames);
    assert_eq!(shown(&index).len(), 2);
    hear(&index, scope.clone(), &after, []);
    assert!(shown(&index).is_empty(), "an index that was restored");

    // What is published later is shown: told by the stream, or found in a rebuild.
    after.advance(1_000_000);
    let later = after.commit(ada.as_str(), vec![befriend("later")]).bytes;
    for name in ["stream.db", "restored.db", "new.db"] {
        let index = new_index(&folder, name);
        hear(&index, scope.clone(), &after, frames.iter().chain([&later]));
        assert_eq!(shown(&index), signed(&after), "{name}");
        assert_eq!(signed(&after).len(), 1);
    }
}
