//! Verdicts on receipts, and what their signatures alone cost.
//!
//! *Cold* is a receipt that was never asked about, under an attestation that was: one signature of P-256, canonical JSON, three
//! lexicons, fifty checks. *First* is one under an attestation that was never seen either: two signatures. *Again* is the same
//! evidence a second time. The peer is what nobody can do without: parsing a key where it is new, and checking signatures over
//! the same bytes. *Gathered* finds the evidence in an index first.
#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "a measurement, whose inputs are known to be well formed"
)]

use std::hint::black_box;

use appview_benches::{CpuTime, criterion};
use appview_core::block::car::Archive;
use appview_core::index::{Index, IndexReader};
use appview_core::record::{Catalog, NAMESPACE};
use appview_core::repo::Identity;
use appview_core::sync::Change;
use appview_core::sync::verify::verify_repo;
use appview_core::syntax::AtUri;
use appview_core::trust::{
    Canonical, Evidence, Examiner, Instant, Key, Octets, Profile, Signature, Terms, verify_receipt,
};
use criterion::{BatchSize, Criterion, Throughput, criterion_group, criterion_main};
use fixtures::records::{self, Machine, Served};
use fixtures::{KeyKind, World, Write};
use tempfile::TempDir;

const RECEIPTS: u64 = 1_000;
const PROFILE: Profile = Profile::Advise;

/// An index with receipts for as many jobs, all under one attestation.
struct Deals {
    _folder: TempDir,
    reader: IndexReader,
    uris: Vec<AtUri>,
    now: Instant,
}

impl Deals {
    fn new() -> Self {
        let mut world = World::new(12);
        let owner = world.create_account(KeyKind::K256);
        let requester = world.create_account(KeyKind::K256);
        let (machine, now) = (Machine::new(1), world.now_micros());
        let tid = |world: &mut World, nsid: &str| (format!("{nsid}/"), world.next_tid());
        let (path, key) = tid(&mut world, records::ATTESTATION);
        let provider = Write::create(records::PROVIDER, &key, records::provider(&machine, now));
        let attestation = Write::create(records::ATTESTATION, &key, records::attestation(&machine, now));
        world.commit(&owner, vec![provider, attestation]);
        let attestation = world.strong_ref(&owner, &(path + &key));
        let mut uris = Vec::new();
        for number in 0..RECEIPTS {
            let (path, key) = tid(&mut world, records::PAYMENT_AUTHORIZATION);
            let permission = records::payment_authorization(number, "did:web:exchange.example", now);
            world.commit(&requester, vec![Write::create(records::PAYMENT_AUTHORIZATION, &key, permission)]);
            let permission = world.strong_ref(&requester, &(path + &key));
            let (path, key) = tid(&mut world, records::JOB);
            let job = records::job(number, &permission, now);
            world.commit(&requester, vec![Write::create(records::JOB, &key, job)]);
            let served = Served {
                job: world.strong_ref(&requester, &(path + &key)),
                requester: &requester,
                attestation: attestation.clone(),
                machine: &machine,
            };
            let (path, key) = tid(&mut world, records::RECEIPT);
            let receipt = records::receipt(number, &served, now);
            world.commit(&owner, vec![Write::create(records::RECEIPT, &key, receipt)]);
            uris.push(format!("at://{owner}/{path}{key}").parse().unwrap());
        }
        let folder = tempfile::tempdir().unwrap();
        let index = Index::create(folder.path().join("index.db")).unwrap();
        let mut writer = index.writer(Catalog::builtin().unwrap()).unwrap();
        for did in [&owner, &requester] {
            let identity = Identity::from_document(&did.parse().unwrap(), &world.did_document(did)).unwrap();
            let archive = Archive::from_bytes(world.car(did)).unwrap();
            let repo = verify_repo(archive, &identity, NAMESPACE, world.now_micros() + 1_000_000).unwrap();
            writer.apply(&[Change::Repo(repo)], &[], 0).unwrap();
        }
        let now = Instant::from_unix_millis((world.now_micros() / 1_000).cast_signed());
        Self { _folder: folder, reader: index.reader().unwrap(), uris, now }
    }

    fn evidence(&self) -> Vec<(Evidence, &str)> {
        let gather = |uri: &AtUri| self.reader.receipt_evidence(uri).unwrap();
        self.uris.iter().map(|uri| (gather(uri), uri.as_str())).collect()
    }
}

/// What a signature's check costs by itself: the bytes that are signed, with the key and the signature of each.
struct Signed {
    key: String,
    message: Vec<u8>,
    signature: Vec<u8>,
}

impl Signed {
    fn of(evidence: &Evidence, uri: &str, member: &'static str, unsigned: &[&str]) -> Self {
        let attestation = evidence.find(uri).unwrap().read(|body| match body.map("attestation") {
            Some(named) => named.text("uri").unwrap().to_owned(),
            None => uri.to_owned(),
        });
        let key =
            evidence.find(&attestation).unwrap().read(|body| body.text("publicKey").unwrap().to_owned());
        let (message, signature) = evidence.find(uri).unwrap().read(|body| {
            let message = Canonical::new().record(body, unsigned).unwrap().to_vec();
            (message, Octets::at(body, member).bytes().unwrap().to_vec())
        });
        Self { key, message, signature }
    }
}

fn verdicts(c: &mut Criterion<CpuTime>) {
    let deals = Deals::new();
    let evidence = deals.evidence();
    let terms = Terms::builtin().unwrap();
    let now = deals.now;
    for (evidence, uri) in &evidence {
        assert!(verify_receipt(evidence, uri, &terms, PROFILE, now).unwrap().ok, "all are good");
    }
    let receipts: Vec<Signed> = evidence
        .iter()
        .map(|(evidence, uri)| {
            Signed::of(
                evidence,
                uri,
                "enclaveSignature",
                &["enclaveSignature", "$type", "brokerageCountersignature"],
            )
        })
        .collect();
    let (first, uri) = evidence.first().unwrap();
    let attestation = first
        .find(uri)
        .unwrap()
        .read(|body| body.map("attestation").unwrap().text("uri").unwrap().to_owned());
    let own = Signed::of(first, &attestation, "selfSignature", &["selfSignature", "$type"]);

    let mut group = c.benchmark_group("verdicts");
    group.throughput(Throughput::Elements(RECEIPTS)).sample_size(20);
    let key = |signed: &Signed| Key::from_base64(&signed.key).unwrap().0;
    let check = |key: &Key, signed: &Signed| {
        let (signature, _) = Signature::from_der(&signed.signature).unwrap();
        key.verify(&signed.message, &signature).unwrap();
    };
    group.bench_function("its signatures alone, first", |b| {
        b.iter(|| {
            for receipt in &receipts {
                let key = key(black_box(receipt));
                check(&key, receipt);
                check(&key, &own);
            }
        });
    });
    // Evidence remembers what it was hashed to: whoever measures takes some that nobody has looked at.
    group.bench_function("verify_receipt, first", |b| {
        b.iter_batched(
            || deals.evidence(),
            |evidence| {
                for (evidence, uri) in &evidence {
                    black_box(verify_receipt(black_box(evidence), uri, &terms, PROFILE, now).unwrap());
                }
                evidence
            },
            BatchSize::PerIteration,
        );
    });
    let known = key(&own);
    group.bench_function("its signature alone, cold", |b| {
        b.iter(|| receipts.iter().for_each(|receipt| check(&known, black_box(receipt))));
    });
    // An attestation that is known, and no receipt that is.
    let fresh = || {
        let examiner = Examiner::new(terms.clone());
        let (evidence, uri) = evidence.last().unwrap();
        examiner.receipt(evidence, uri, PROFILE, now).unwrap();
        examiner
    };
    let asked = &deals.uris[..deals.uris.len() - 1];
    let ask = |examiner: &Examiner, evidence: &[(Evidence, &str)]| {
        for (evidence, uri) in &evidence[..asked.len()] {
            black_box(examiner.receipt(black_box(evidence), uri, PROFILE, now).unwrap());
        }
    };
    let gather_and_ask = |examiner: &Examiner| {
        for uri in asked {
            let evidence = deals.reader.receipt_evidence(black_box(uri)).unwrap();
            black_box(examiner.receipt(&evidence, uri.as_str(), PROFILE, now).unwrap());
        }
    };
    group.bench_function("Examiner::receipt, cold", |b| {
        b.iter_batched(
            || (fresh(), deals.evidence()),
            |(examiner, evidence)| {
                ask(&examiner, &evidence);
                (examiner, evidence)
            },
            BatchSize::PerIteration,
        );
    });
    group.bench_function("gathered, then Examiner::receipt, cold", |b| {
        b.iter_batched(
            fresh,
            |examiner| {
                gather_and_ask(&examiner);
                examiner
            },
            BatchSize::PerIteration,
        );
    });
    let examiner = fresh();
    ask(&examiner, &evidence);
    group.bench_function("Examiner::receipt, again", |b| {
        b.iter_batched(
            || deals.evidence(),
            |evidence| {
                ask(&examiner, &evidence);
                evidence
            },
            BatchSize::PerIteration,
        );
    });
    group.bench_function("gathered, then Examiner::receipt, again", |b| b.iter(|| gather_and_ask(&examiner)));
    group.finish();
}

criterion_group! {
    name = benches;
    config = criterion();
    targets = verdicts
}
criterion_main!(benches);
