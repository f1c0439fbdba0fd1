//! Frames refused and frames decoded.
//!
//! `glance` meets frames of other applications, which nearly all of a relay's are; `decode` meets ours. The peers read
//! the same two items with `serde_ipld_dagcbor`: into the general [`Ipld`], and into borrowing types of three fields and
//! of all.
#![expect(clippy::unwrap_used, reason = "a measurement, whose inputs are known to be well formed")]

use std::hint::black_box;

use appview_benches::{CpuTime, Stream, criterion, posts, receipts};
use appview_core::record::NAMESPACE;
use appview_core::sync::Event;
use appview_core::sync::frame::{Glance, glance};
use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use fixtures::KeyKind;
use ipld_core::cid::Cid;
use ipld_core::ipld::Ipld;
use serde::Deserialize;
use serde_ipld_dagcbor::de::Deserializer;

const FRAMES: u64 = 1_000;

#[derive(Deserialize)]
struct Header<'a> {
    op: i64,
    t: Option<&'a str>,
}

#[derive(Deserialize)]
struct Peek<'a> {
    seq: i64,
    repo: &'a str,
    #[serde(borrow)]
    ops: Vec<PeekOp<'a>>,
}

#[derive(Deserialize)]
struct PeekOp<'a> {
    path: &'a str,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
#[expect(dead_code, reason = "what is measured is that they are read")]
struct Body<'a> {
    seq: i64,
    repo: &'a str,
    rev: &'a str,
    since: Option<&'a str>,
    commit: Cid,
    prev_data: Option<Cid>,
    #[serde(borrow)]
    ops: Vec<BodyOp<'a>>,
    #[serde(borrow)]
    blocks: &'a serde_bytes::Bytes,
    time: &'a str,
    too_big: bool,
}

#[derive(Deserialize)]
#[expect(dead_code, reason = "what is measured is that they are read")]
struct BodyOp<'a> {
    action: &'a str,
    path: &'a str,
    cid: Option<Cid>,
    prev: Option<Cid>,
}

/// Reads the two items of a frame.
fn typed<'a, T: Deserialize<'a>>(frame: &'a [u8]) -> T {
    let mut deserializer = Deserializer::from_slice(frame);
    let header = Header::deserialize(&mut deserializer).unwrap();
    assert_eq!((header.op, header.t), (1, Some("#commit")));
    T::deserialize(&mut deserializer).unwrap()
}

fn ipld(frame: &[u8]) -> (Ipld, Ipld) {
    let mut deserializer = Deserializer::from_slice(frame);
    let header = Ipld::deserialize(&mut deserializer).unwrap();
    (header, Ipld::deserialize(&mut deserializer).unwrap())
}

fn refused(c: &mut Criterion<CpuTime>) {
    let stream = posts(FRAMES);
    let mut group = c.benchmark_group("frames refused");
    group.throughput(Throughput::Elements(FRAMES));
    group.bench_function("glance", |b| {
        b.iter(|| {
            each(&stream, |frame| {
                matches!(glance(frame, NAMESPACE), Ok(Glance::Commit { in_namespace: false, .. }))
            })
        });
    });
    group.bench_function("serde, three fields", |b| {
        b.iter(|| {
            each(&stream, |frame| {
                let peek: Peek<'_> = typed(frame);
                black_box((peek.seq, peek.repo));
                !peek.ops.iter().any(|op| op.path.starts_with(NAMESPACE))
            })
        });
    });
    group.bench_function("serde, Ipld", |b| {
        b.iter(|| each(&stream, |frame| matches!(ipld(frame), (Ipld::Map(_), Ipld::Map(_)))));
    });
    group.finish();
}

fn decoded(c: &mut Criterion<CpuTime>) {
    let stream = receipts(KeyKind::K256, FRAMES);
    let bytes: usize = stream.commits.iter().map(|commit| commit.frame.len()).sum();
    println!("{} bytes in a frame of ours", bytes as u64 / FRAMES);
    let mut group = c.benchmark_group("frames decoded");
    group.throughput(Throughput::Elements(FRAMES));
    group.bench_function("Event::decode", |b| {
        b.iter(|| {
            each(&stream, |frame| matches!(black_box(Event::decode(frame)), Ok((Event::Commit(_), 0))))
        });
    });
    group.bench_function("serde, all fields borrowed", |b| {
        b.iter(|| each(&stream, |frame| black_box(typed::<Body<'_>>(frame)).seq > 0));
    });
    group.bench_function("serde, Ipld", |b| {
        b.iter(|| each(&stream, |frame| matches!(ipld(frame), (Ipld::Map(_), Ipld::Map(_)))));
    });
    group.finish();
}

/// Reads every frame; each must be as expected.
fn each(stream: &Stream, read: impl Fn(&[u8]) -> bool) {
    for commit in &stream.commits {
        assert!(read(black_box(&commit.frame)));
    }
}

criterion_group! {
    name = benches;
    config = criterion();
    targets = refused, decoded
}
criterion_main!(benches);
