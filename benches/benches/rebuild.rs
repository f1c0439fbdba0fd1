//! An export of 200,000 receipts, rebuilt into SQLite.
//!
//! Ours opens the CAR, hashes every block, checks the signature and every node of the tree, judges every record by its
//! lexicon, writes rows and fingerprints, builds the indexes, reads the whole file back to compare it with itself, waits
//! until it is on disk, and swaps it in. The peer walks the CAR with `repo-stream` and fills one table with text keys.
#![expect(clippy::unwrap_used, reason = "a measurement, whose inputs are known to be well formed")]

mod naive;

use std::sync::Arc;

use appview_benches::{CpuTime, Export, criterion, export_of_receipts};
use appview_core::block::car::Archive;
use appview_core::index::{Index, IndexError};
use appview_core::record::{Catalog, NAMESPACE};
use appview_core::sync::Change;
use appview_core::sync::verify::verify_repo;
use criterion::{BatchSize, Criterion, SamplingMode, Throughput, criterion_group, criterion_main};
use naive::{Naive, Walls};
use repo_stream::DriverBuilder;

const RECORDS: u64 = 200_000;

/// Memory that `repo-stream` may take, in megabytes: more than there is to read.
const ENOUGH: usize = 4_096;

fn rebuild(c: &mut Criterion<CpuTime>) {
    let catalog = Arc::new(Catalog::builtin().unwrap());
    let export = export_of_receipts(RECORDS);
    println!("{} bytes in a repository of {RECORDS} receipts", export.car.len());
    let mut group = c.benchmark_group("rebuild");
    group.throughput(Throughput::Elements(RECORDS)).sampling_mode(SamplingMode::Flat).sample_size(10);

    let mut walls = Walls::default();
    let name = "Index::rebuild";
    group.bench_function(name, |b| {
        b.iter_batched(
            || (tempfile::tempdir().unwrap(), export.car.clone()),
            |(folder, car)| {
                walls.time(|| rebuild_into(folder.path(), car, &export, &catalog));
                folder
            },
            BatchSize::PerIteration,
        );
    });
    walls.tell(name, RECORDS);

    let folder = tempfile::tempdir().unwrap();
    let index = rebuild_into(folder.path(), export.car.clone(), &export, &catalog);
    let name = "of which the check at its end";
    group.bench_function(name, |b| {
        b.iter(|| assert_eq!(index.reader().unwrap().check(|_| ()).unwrap().records, RECORDS));
    });

    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    let mut walls = Walls::default();
    let name = "repo-stream into one table";
    group.bench_function(name, |b| {
        b.iter_batched(
            || tempfile::tempdir().unwrap(),
            |folder| {
                walls.time(|| {
                    let mut table = Naive::create(&folder.path().join("table.db"));
                    runtime.block_on(async {
                        let driver = DriverBuilder::new().with_mem_limit_mb(ENOUGH);
                        let mut car = driver.load_car(export.car.as_slice()).await.unwrap();
                        let did = car.commit.did.clone();
                        while let Some(chunk) = car.next_chunk_strict(10_000).unwrap() {
                            table.put(chunk.iter().map(|item| {
                                (did.as_str(), item.key.clone(), item.cid.to_string(), item.data.as_slice())
                            }));
                        }
                    });
                });
                folder
            },
            BatchSize::PerIteration,
        );
    });
    walls.tell(name, RECORDS);
    group.finish();
}

fn rebuild_into(folder: &std::path::Path, car: Vec<u8>, export: &Export, catalog: &Arc<Catalog>) -> Index {
    Index::rebuild(folder.join("index.db"), Arc::clone(catalog), |writer| {
        let archive = Archive::from_bytes(car).unwrap();
        let repo = verify_repo(archive, &export.identity, NAMESPACE, export.now).unwrap();
        let applied = writer.apply(&[Change::Repo(repo)], &[], 0)?;
        assert_eq!(applied.created, RECORDS);
        Ok::<_, IndexError>(())
    })
    .unwrap()
}

criterion_group! {
    name = benches;
    config = criterion();
    targets = rebuild
}
criterion_main!(benches);
