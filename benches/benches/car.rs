//! CARs: the slice that a frame carries, and whole repositories.
//!
//! Ours hash every block before anyone sees it, and `verify_repo` also checks the signature and every node's shape. Of
//! the peers, `atrium-repo` and `repo-stream` hash; `iroh-car` does not, so its rows are with and without a SHA-256 of
//! each block. The floor is that SHA-256 alone.
#![expect(clippy::unwrap_used, reason = "a measurement, whose inputs are known to be well formed")]

use std::collections::BTreeMap;
use std::hint::black_box;
use std::io::Cursor;
use std::pin::pin;

use appview_benches::{CpuTime, criterion, friends, receipts};
use appview_core::block::car::{Archive, Slice};
use appview_core::record::NAMESPACE;
use appview_core::sync::Event;
use appview_core::sync::verify::verify_repo;
use atrium_repo::Repository;
use atrium_repo::blockstore::CarStore;
use criterion::{BatchSize, Criterion, SamplingMode, Throughput, criterion_group, criterion_main};
use fixtures::KeyKind;
use futures_util::TryStreamExt as _;
use iroh_car::CarReader;
use repo_stream::DriverBuilder;
use sha2::{Digest as _, Sha256};
use tokio::runtime::Runtime;

const SLICES: u64 = 1_000;
const RECORDS: u64 = 200_000;

/// Memory that `repo-stream` may take, in megabytes: more than there is to read.
const ENOUGH: usize = 4_096;

fn runtime() -> Runtime {
    tokio::runtime::Builder::new_current_thread().build().unwrap()
}

fn hash(block: &[u8]) {
    black_box(Sha256::digest(black_box(block)));
}

/// Reads a CAR block by block, and hashes each if asked to.
async fn iroh(car: &[u8], hash: bool) -> BTreeMap<cid::Cid, Vec<u8>> {
    let mut reader = CarReader::new(car).await.unwrap();
    let mut blocks = BTreeMap::new();
    while let Some((cid, block)) = reader.next_block().await.unwrap() {
        if hash {
            assert_eq!(cid.hash().digest(), &Sha256::digest(&block)[..]);
        }
        blocks.insert(cid, block);
    }
    blocks
}

fn slice(c: &mut Criterion<CpuTime>) {
    let stream = receipts(KeyKind::K256, SLICES);
    let slices: Vec<&[u8]> = stream
        .commits
        .iter()
        .map(|commit| match Event::decode(&commit.frame).unwrap() {
            (Event::Commit(event), _) => event.blocks,
            (other, _) => panic!("a commit, not {other:?}"),
        })
        .collect();
    let blocks: Vec<_> = slices.iter().map(|slice| fixtures::car::read(slice).blocks).collect();
    let bytes: usize = slices.iter().map(|slice| slice.len()).sum();
    let count: usize = blocks.iter().map(Vec::len).sum();
    println!("{} bytes and {} blocks in a slice", bytes as u64 / SLICES, count as u64 / SLICES);
    let runtime = runtime();
    let mut group = c.benchmark_group("car slices");
    group.throughput(Throughput::Elements(SLICES));
    group.bench_function("sha-256 alone", |b| {
        b.iter(|| blocks.iter().flatten().for_each(|(_, block)| hash(block)));
    });
    group.bench_function("Slice::parse", |b| {
        b.iter(|| slices.iter().for_each(|slice| drop(black_box(Slice::parse(slice).unwrap()))));
    });
    group.bench_function("iroh-car, not hashed", |b| {
        b.iter(|| {
            runtime.block_on(async {
                for slice in &slices {
                    black_box(iroh(slice, false).await);
                }
            })
        });
    });
    group.bench_function("iroh-car + sha2", |b| {
        b.iter(|| {
            runtime.block_on(async {
                for slice in &slices {
                    black_box(iroh(slice, true).await);
                }
            })
        });
    });
    group.bench_function("atrium-repo", |b| {
        b.iter(|| {
            runtime.block_on(async {
                for slice in &slices {
                    black_box(CarStore::open(Cursor::new(slice)).await.unwrap());
                }
            });
        });
    });
    group.bench_function("repo-stream", |b| {
        b.iter(|| {
            runtime.block_on(async {
                for slice in &slices {
                    let mut car = DriverBuilder::new().load_car(*slice).await.unwrap();
                    while let Some(items) = car.next_chunk(256).unwrap() {
                        black_box(items);
                    }
                }
            });
        });
    });
    group.finish();
}

fn whole(c: &mut Criterion<CpuTime>) {
    let export = friends(RECORDS);
    let car = export.car.as_slice();
    println!("{} bytes in a repository of {RECORDS} records", car.len());
    let blocks = fixtures::car::read(car).blocks;
    let runtime = runtime();
    let mut group = c.benchmark_group("whole repositories");
    group.throughput(Throughput::Elements(RECORDS)).sampling_mode(SamplingMode::Flat).sample_size(10);
    group.bench_function("sha-256 alone", |b| {
        b.iter(|| blocks.iter().for_each(|(_, block)| hash(block)));
    });
    group.bench_function("Archive::from_bytes", |b| {
        b.iter_batched(|| car.to_vec(), |car| Archive::from_bytes(car).unwrap(), BatchSize::PerIteration);
    });
    group.bench_function("Archive::from_bytes + verify_repo", |b| {
        b.iter_batched(
            || car.to_vec(),
            |car| {
                let archive = Archive::from_bytes(car).unwrap();
                let repo = verify_repo(archive, &export.identity, NAMESPACE, export.now).unwrap();
                assert_eq!(repo.count(), RECORDS);
                repo
            },
            BatchSize::PerIteration,
        );
    });
    group.bench_function("iroh-car, not hashed, no walk", |b| {
        b.iter(|| runtime.block_on(iroh(car, false)));
    });
    group.bench_function("atrium-repo + entries", |b| {
        b.iter(|| {
            runtime.block_on(async {
                let store = CarStore::open(Cursor::new(car)).await.unwrap();
                let root = store.roots().next().unwrap();
                let mut repo = Repository::open(store, root).await.unwrap();
                let mut tree = repo.tree();
                let mut entries = pin!(tree.entries());
                let mut count = 0;
                while let Some(entry) = entries.try_next().await.unwrap() {
                    black_box(entry);
                    count += 1;
                }
                assert_eq!(count, RECORDS);
            })
        });
    });
    group.bench_function("repo-stream + strict walk", |b| {
        b.iter(|| {
            runtime.block_on(async {
                let mut car = DriverBuilder::new().with_mem_limit_mb(ENOUGH).load_car(car).await.unwrap();
                let mut count = 0;
                while let Some(items) = car.next_chunk_strict(256).unwrap() {
                    count += items.len() as u64;
                }
                assert_eq!(count, RECORDS);
            })
        });
    });
    group.finish();
}

criterion_group! {
    name = benches;
    config = criterion();
    targets = slice, whole
}
criterion_main!(benches);
