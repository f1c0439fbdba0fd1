//! Rows applied to a live index.
//!
//! One row is a record and what follows from it: its typed row, its verdict, its part in two fingerprints, and with a
//! commit also the head of its repository. Each sample fills a file from nothing, journal and all. The peer is one table
//! with text keys.
#![expect(clippy::unwrap_used, reason = "a measurement, whose inputs are known to be well formed")]

mod naive;

use std::sync::Arc;

use appview_benches::{CpuTime, Export, criterion, export_of_receipts, verified};
use appview_core::block::car::Archive;
use appview_core::index::{Index, IndexWriter};
use appview_core::record::{Catalog, NAMESPACE};
use appview_core::sync::verify::verify_repo;
use appview_core::sync::{Change, RecordChange, StreamCursor, VerifiedRepo};
use criterion::{BatchSize, Criterion, SamplingMode, Throughput, criterion_group, criterion_main};
use naive::{Naive, Walls};
use tempfile::TempDir;

const REPOS: usize = 20;
const COMMITS: u64 = 1_000;
const RECORDS: u64 = 50_000;

fn new_index(catalog: &Arc<Catalog>) -> (TempDir, IndexWriter) {
    let folder = tempfile::tempdir().unwrap();
    let writer = Index::create(folder.path().join("index.db")).unwrap().writer(Arc::clone(catalog)).unwrap();
    (folder, writer)
}

fn commits(c: &mut Criterion<CpuTime>) {
    let catalog = Arc::new(Catalog::builtin().unwrap());
    let changes: Vec<Change> = verified(REPOS, COMMITS).into_iter().map(Change::Commit).collect();
    let count = changes.len() as u64;
    let mut group = c.benchmark_group("rows of commits");
    group.throughput(Throughput::Elements(count)).sampling_mode(SamplingMode::Flat).sample_size(10);
    for batch in [100, 1_000] {
        let name = format!("IndexWriter::apply, {batch} at a time");
        let mut walls = Walls::default();
        group.bench_function(&name, |b| {
            b.iter_batched(
                || new_index(&catalog),
                |(folder, mut writer)| {
                    walls.time(|| {
                        for (seq, batch) in (1..).zip(changes.chunks(batch)) {
                            let endpoint = "wss://relay.example".to_owned();
                            writer.apply(batch, &[StreamCursor { endpoint, seq }], 0).unwrap();
                        }
                    });
                    (folder, writer)
                },
                BatchSize::PerIteration,
            );
        });
        walls.tell(&name, count);
        let name = format!("one table, {batch} at a time");
        let mut walls = Walls::default();
        group.bench_function(&name, |b| {
            b.iter_batched(
                new_table,
                |(folder, mut table)| {
                    walls.time(|| {
                        changes.chunks(batch).for_each(|batch| table.put(batch.iter().flat_map(puts)))
                    });
                    (folder, table)
                },
                BatchSize::PerIteration,
            );
        });
        walls.tell(&name, count);
    }
    group.finish();
}

fn new_table() -> (TempDir, Naive) {
    let folder = tempfile::tempdir().unwrap();
    let table = Naive::create(&folder.path().join("table.db"));
    (folder, table)
}

/// The records that a commit puts.
fn puts(change: &Change) -> impl Iterator<Item = (&str, String, String, &[u8])> {
    let Change::Commit(commit) = change else { panic!("a commit, not {change:?}") };
    commit.changes().iter().map(|change| match change {
        RecordChange::Put { path, cid, block } => {
            (commit.did().as_str(), path.to_string(), cid.to_string(), &**block)
        }
        RecordChange::Delete { path } => panic!("{path} is deleted"),
    })
}

/// A whole repository, applied to an empty live index as one change.
fn repo(c: &mut Criterion<CpuTime>) {
    let catalog = Arc::new(Catalog::builtin().unwrap());
    let export = export_of_receipts(RECORDS);
    let mut group = c.benchmark_group("rows of a repository");
    group.throughput(Throughput::Elements(RECORDS)).sampling_mode(SamplingMode::Flat).sample_size(10);
    let name = "IndexWriter::apply, all at once";
    let mut walls = Walls::default();
    group.bench_function(name, |b| {
        b.iter_batched(
            || (new_index(&catalog), [Change::Repo(prove(&export))]),
            |((folder, mut writer), change)| {
                let applied = walls.time(|| writer.apply(&change, &[], 0).unwrap());
                assert_eq!(applied.created, RECORDS);
                (folder, writer, change)
            },
            BatchSize::PerIteration,
        );
    });
    walls.tell(name, RECORDS);
    group.finish();
}

fn prove(export: &Export) -> VerifiedRepo {
    let archive = Archive::from_bytes(export.car.clone()).unwrap();
    verify_repo(archive, &export.identity, NAMESPACE, export.now).unwrap()
}

criterion_group! {
    name = benches;
    config = criterion();
    targets = commits, repo
}
criterion_main!(benches);
