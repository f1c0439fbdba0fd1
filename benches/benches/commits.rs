//! Commits verified, and where the time of one goes.
//!
//! Ours decodes the frame, hashes all blocks, checks the signature, and undoes the operation on the tree until the root
//! of the commit before stands there. The peer decodes with serde, hashes and looks the record up in the new tree with
//! `atrium-repo`, and checks the signature with `k256` or `p256`: less is proven, since nothing ties the commit to the
//! one before.
#![expect(clippy::unwrap_used, reason = "a measurement, whose inputs are known to be well formed")]

use std::hint::black_box;
use std::io::Cursor;

use appview_benches::{CpuTime, Framed, Stream, criterion, receipts};
use appview_core::block::car::Slice;
use appview_core::record::NAMESPACE;
use appview_core::repo::mst::Tree;
use appview_core::repo::{Commit, PublicKey, net_effects};
use appview_core::sync::verify::verify_commit;
use appview_core::sync::{CommitEvent, Event, RepoHead};
use atrium_repo::Repository;
use atrium_repo::blockstore::CarStore;
use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use fixtures::{KeyKind, World};
use k256::ecdsa::signature::Verifier as _;
use serde::Deserialize;
use serde_ipld_dagcbor::de::Deserializer;
use tokio::runtime::Runtime;

const COMMITS: u64 = 1_000;

fn signature(c: &mut Criterion<CpuTime>) {
    let mut world = World::new(5);
    // As long as a commit without its signature.
    let message = [0x5a; 180];
    for kind in [KeyKind::K256, KeyKind::P256] {
        let key = world.stray_key(kind);
        let ours = PublicKey::from_did_key(&key.did_key()).unwrap();
        let signed = key.sign(&message);
        let (ours_name, peer_name) = match kind {
            KeyKind::K256 => ("PublicKey::verify, K-256", "k256"),
            KeyKind::P256 => ("PublicKey::verify, P-256", "p256"),
        };
        let mut group = c.benchmark_group("signatures");
        group.throughput(Throughput::Elements(1));
        group.bench_function(ours_name, |b| b.iter(|| ours.verify(black_box(&message), &signed).unwrap()));
        let theirs = Theirs::new(kind, &key.public_compressed());
        group.bench_function(peer_name, |b| b.iter(|| theirs.verify(black_box(&message), &signed)));
        group.finish();
    }
}

fn commit(c: &mut Criterion<CpuTime>) {
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    for kind in [KeyKind::K256, KeyKind::P256] {
        let stream = receipts(kind, COMMITS);
        let (ours, peer) = match kind {
            KeyKind::K256 => ("Event::decode + verify_commit, K-256", "serde + atrium-repo + k256"),
            KeyKind::P256 => ("Event::decode + verify_commit, P-256", "serde + atrium-repo + p256"),
        };
        let mut group = c.benchmark_group("commits verified");
        group.throughput(Throughput::Elements(COMMITS)).sample_size(20);
        group.bench_function(ours, |b| {
            b.iter(|| {
                for Framed { frame, head } in &stream.commits {
                    let event = decode(frame);
                    let verified =
                        verify_commit(&event, Some(*head), &stream.identity, NAMESPACE, stream.now);
                    black_box(verified.unwrap());
                }
            });
        });
        let theirs = Theirs::of(kind, &stream);
        group.bench_function(peer, |b| b.iter(|| prove_with_peers(&runtime, &theirs, &stream)));
        group.finish();
    }
}

/// The steps of one commit, each alone: what `verify_commit` is made of.
fn steps(c: &mut Criterion<CpuTime>) {
    let stream = receipts(KeyKind::K256, COMMITS);
    let events: Vec<_> = stream.commits.iter().map(|commit| (decode(&commit.frame), commit.head)).collect();
    let sliced: Vec<_> =
        events.iter().map(|(event, head)| (event, head, Slice::parse(event.blocks).unwrap())).collect();
    let mut group = c.benchmark_group("steps of a commit");
    group.throughput(Throughput::Elements(COMMITS));
    group.bench_function("hash the blocks", |b| {
        b.iter(|| events.iter().for_each(|(event, _)| drop(black_box(Slice::parse(event.blocks).unwrap()))));
    });
    group.bench_function("decode the commit", |b| {
        b.iter(|| {
            for (event, _, slice) in &sliced {
                black_box(Commit::decode(slice.get(&event.commit).unwrap()).unwrap());
            }
        });
    });
    group.bench_function("undo the operation", |b| {
        b.iter(|| {
            for (event, head, slice) in &sliced {
                undo(event, head, slice);
            }
        });
    });
    group.finish();
}

fn undo(event: &CommitEvent<'_>, head: &RepoHead, slice: &Slice<'_>) {
    let commit = Commit::decode(slice.get(&event.commit).unwrap()).unwrap();
    let mut tree = Tree::new(slice, &commit.data).unwrap();
    for op in net_effects(&event.ops).unwrap() {
        tree.undo(op.path.as_bytes(), op.before, op.after).unwrap();
    }
    assert_eq!(tree.root(), head.data);
}

fn decode(frame: &[u8]) -> CommitEvent<'_> {
    match Event::decode(frame).unwrap() {
        (Event::Commit(event), _) => event,
        (other, _) => panic!("a commit, not {other:?}"),
    }
}

#[derive(Deserialize)]
struct Header<'a> {
    t: &'a str,
}

#[derive(Deserialize)]
struct Body<'a> {
    #[serde(borrow)]
    ops: Vec<BodyOp<'a>>,
    #[serde(borrow)]
    blocks: &'a serde_bytes::Bytes,
}

#[derive(Deserialize)]
struct BodyOp<'a> {
    path: &'a str,
    cid: Option<cid::Cid>,
}

fn prove_with_peers(runtime: &Runtime, key: &Theirs, stream: &Stream) {
    runtime.block_on(async {
        for Framed { frame, .. } in &stream.commits {
            let mut deserializer = Deserializer::from_slice(frame);
            let header = Header::deserialize(&mut deserializer).unwrap();
            assert_eq!(header.t, "#commit");
            let body = Body::deserialize(&mut deserializer).unwrap();
            let store = CarStore::open(Cursor::new(&**body.blocks)).await.unwrap();
            let root = store.roots().next().unwrap();
            let mut repo = Repository::open(store, root).await.unwrap();
            let commit = repo.commit();
            key.verify(&commit.bytes(), commit.sig());
            let mut tree = repo.tree();
            for op in &body.ops {
                assert_eq!(tree.get(op.path).await.unwrap(), op.cid);
            }
        }
    });
}

/// A key of the crates in pure Rust, parsed once.
enum Theirs {
    K256(k256::ecdsa::VerifyingKey),
    P256(p256::ecdsa::VerifyingKey),
}

impl Theirs {
    fn new(kind: KeyKind, point: &[u8]) -> Self {
        match kind {
            KeyKind::K256 => Self::K256(k256::ecdsa::VerifyingKey::from_sec1_bytes(point).unwrap()),
            KeyKind::P256 => Self::P256(p256::ecdsa::VerifyingKey::from_sec1_bytes(point).unwrap()),
        }
    }

    fn of(kind: KeyKind, stream: &Stream) -> Self {
        Self::new(kind, &stream.point)
    }

    fn verify(&self, message: &[u8], signature: &[u8]) {
        match self {
            Self::K256(key) => {
                key.verify(message, &k256::ecdsa::Signature::from_slice(signature).unwrap()).unwrap();
            }
            Self::P256(key) => {
                key.verify(message, &p256::ecdsa::Signature::from_slice(signature).unwrap()).unwrap();
            }
        }
    }
}

criterion_group! {
    name = benches;
    config = criterion();
    targets = signature, commit, steps
}
criterion_main!(benches);
