//! What is measured, and the clock it is measured with.
//!
//! Nothing enters; streams of commits and exports of repositories leave, signed by the [`World`] of the fixtures, and a
//! [`CpuTime`] for criterion. Each input is a function of its arguments alone, so that two runs measure the same bytes.
//! Deliberately absent: any measurement. Those stand in `benches/`, one file for each step of the way from bytes to rows.

#![expect(clippy::expect_used, reason = "an input that cannot be made should stop the measurement at once")]

use std::time::Duration;
#[cfg(not(unix))]
use std::time::Instant;

use appview_core::block::Cid;
use appview_core::record::NAMESPACE;
use appview_core::repo::Identity;
use appview_core::sync::verify::verify_commit;
use appview_core::sync::{Event, RepoHead, VerifiedCommit};
use criterion::Criterion;
use criterion::measurement::{Measurement, ValueFormatter, WallTime};
use fixtures::records::{self, Machine, Served};
use fixtures::repo::{FILL_MARK, KEY_MARK, filled};
use fixtures::{Did, Ipld, KeyKind, StrongRef, World, Write, value};

/// Seconds that criterion spends on one row of a table.
const SECONDS: u64 = 3;

/// Time that this thread spent on a core.
///
/// Every step here runs on one thread, so on a quiet machine this is the time of the clock on the wall; on a busy one
/// it does not count the wait for a core. Only waiting for the disk is missing from it: `rows` and `rebuild` print
/// both.
#[derive(Debug, Clone, Copy, Default)]
pub struct CpuTime;

impl CpuTime {
    /// What this thread has spent so far.
    #[cfg(unix)]
    #[must_use]
    pub fn now() -> Duration {
        let time = rustix::time::clock_gettime(rustix::time::ClockId::ThreadCPUTime);
        Duration::new(time.tv_sec.unsigned_abs(), u32::try_from(time.tv_nsec).unwrap_or_default())
    }

    /// Where there is no such clock: the one on the wall.
    #[cfg(not(unix))]
    #[must_use]
    pub fn now() -> Duration {
        static START: std::sync::OnceLock<Instant> = std::sync::OnceLock::new();
        START.get_or_init(Instant::now).elapsed()
    }
}

impl Measurement for CpuTime {
    type Intermediate = Duration;
    type Value = Duration;

    fn start(&self) -> Duration {
        Self::now()
    }

    fn end(&self, start: Duration) -> Duration {
        Self::now().saturating_sub(start)
    }

    fn add(&self, a: &Duration, b: &Duration) -> Duration {
        *a + *b
    }

    fn zero(&self) -> Duration {
        Duration::ZERO
    }

    fn to_f64(&self, value: &Duration) -> f64 {
        value.as_nanos() as f64
    }

    fn formatter(&self) -> &dyn ValueFormatter {
        WallTime.formatter()
    }
}

/// Criterion with [`CpuTime`] and a modest time for each row.
#[must_use]
pub fn criterion() -> Criterion<CpuTime> {
    Criterion::default()
        .with_measurement(CpuTime)
        .warm_up_time(Duration::from_secs(1))
        .measurement_time(Duration::from_secs(SECONDS))
        .sample_size(30)
}

/// A stream of commits to one repository, in their order.
#[derive(Debug)]
pub struct Stream {
    /// Who signs it.
    pub identity: Identity,
    /// The compressed point of the key that signs it, for peers.
    pub point: Vec<u8>,
    /// The commits, each of one new record.
    pub commits: Vec<Framed>,
    /// A moment after the last of them, in microseconds since 1970.
    pub now: u64,
}

/// One commit as the stream carries it.
#[derive(Debug)]
pub struct Framed {
    /// The binary message.
    pub frame: Vec<u8>,
    /// The head of the repository before it.
    pub head: RepoHead,
}

/// A whole repository in one file.
#[derive(Debug)]
pub struct Export {
    /// Who signs it.
    pub identity: Identity,
    /// The CAR.
    pub car: Vec<u8>,
    /// How many records it holds.
    pub records: u64,
    /// A moment after its commit, in microseconds since 1970.
    pub now: u64,
}

/// `count` commits of one receipt each to a repository that starts with 3,000: frames of some five kilobytes.
#[must_use]
pub fn receipts(kind: KeyKind, count: u64) -> Stream {
    stream(kind, records::RECEIPT, &receipt_template("did:web:requester.example"), count)
}

/// As [`receipts`], but posts of another application: nearly all that a relay sends.
#[must_use]
pub fn posts(count: u64) -> Stream {
    let post = Ipld::Map(
        [
            ("$type".to_owned(), Ipld::String(records::POST.to_owned())),
            ("text".to_owned(), Ipld::String(format!("Good night number {FILL_MARK}, and sleep well."))),
            ("createdAt".to_owned(), Ipld::String("2026-01-01T00:00:00.000Z".to_owned())),
        ]
        .into(),
    );
    stream(KeyKind::K256, records::POST, &value::encode(&post), count)
}

fn stream(kind: KeyKind, collection: &str, template: &[u8], count: u64) -> Stream {
    let mut world = World::new(1);
    let did = world.create_account(kind);
    world.fill(&did, collection, template, 3_000);
    let mut commits = Vec::new();
    for number in 0..count {
        let head = head(&world, &did);
        // Beyond what any fill gives.
        let write = write(&mut world, collection, template, (1 << 64) + u128::from(number));
        commits.push(Framed { frame: world.commit(&did, vec![write]).bytes, head });
    }
    let point = world.signing_key(&did).public_compressed();
    Stream { identity: identity(&world, &did), point, commits, now: world.now_micros() + 1 }
}

/// Verified commits of one new receipt each: `each` of every one of `repos` repositories, which take turns.
///
/// # Panics
///
/// If one of them does not verify.
#[must_use]
pub fn verified(repos: usize, each: u64) -> Vec<VerifiedCommit> {
    let mut world = World::new(2);
    let dids: Vec<Did> = (0..repos).map(|_| world.create_account(KeyKind::K256)).collect();
    let identities: Vec<Identity> = dids.iter().map(|did| identity(&world, did)).collect();
    let mut heads = vec![None; repos];
    let mut verified = Vec::new();
    for number in 0..each {
        for (index, ((did, identity), held)) in dids.iter().zip(&identities).zip(&mut heads).enumerate() {
            let requester = format!("did:web:r{}.example", number % 97);
            let number = u128::from(number) * repos as u128 + index as u128;
            let write = write(&mut world, records::RECEIPT, &receipt_template(&requester), number);
            let frame = world.commit(did, vec![write]).bytes;
            let (Event::Commit(event), _) = Event::decode(&frame).expect("the frame is well formed") else {
                panic!("the frame is a commit");
            };
            let commit = verify_commit(&event, *held, identity, NAMESPACE, world.now_micros() + 1)
                .expect("the commit verifies");
            *held = Some(commit.head());
            verified.push(commit);
        }
    }
    verified
}

/// A repository of small records, each with another subject, of some 150 bytes.
#[must_use]
pub fn friends(count: u64) -> Export {
    let friend = records::friend(&format!("did:web:{FILL_MARK}.example"), fixtures::time::START_MICROS);
    let mut world = World::new(3);
    let did = world.create_account(KeyKind::K256);
    world.fill(&did, records::FRIEND, &value::encode(&friend), count);
    export(&world, &did, count)
}

/// A repository of receipts, each for another job, a hundred for each requester.
#[must_use]
pub fn export_of_receipts(count: u64) -> Export {
    let mut world = World::new(4);
    let did = world.create_account(KeyKind::K256);
    for requester in 0..count / 100 {
        let template = receipt_template(&format!("did:web:r{requester}.example"));
        world.fill(&did, records::RECEIPT, &template, 100);
    }
    export(&world, &did, count)
}

fn export(world: &World, did: &Did, records: u64) -> Export {
    Export { identity: identity(world, did), car: world.car(did), records, now: world.now_micros() + 1 }
}

/// A receipt of the usual size whose job bears a mark to be overwritten: it is as old as the receipt.
#[must_use]
pub fn receipt_template(requester: &str) -> Vec<u8> {
    let of = |uri: String| StrongRef { uri, cid: value::cid_of(b"a record of someone") };
    let served = Served {
        job: of(format!("at://{requester}/{}/{KEY_MARK}", records::JOB)),
        requester,
        attestation: of(format!("at://did:web:provider.example/{}/3l5oi2xhwks2a", records::ATTESTATION)),
        machine: &Machine::new(1),
    };
    value::encode(&records::receipt(0, &served, fixtures::time::START_MICROS))
}

/// A record like those that a fill makes.
pub fn write(world: &mut World, collection: &str, template: &[u8], number: u128) -> Write {
    let rkey = world.next_tid();
    Write::create_block(collection, &rkey, filled(template, number, &rkey))
}

fn identity(world: &World, did: &Did) -> Identity {
    let entry = world.plc_entry(did);
    let did = did.parse().expect("the did is one");
    let part = |name: &str| entry.get(name).expect("an entry has two parts");
    Identity::from_document(&did, part("didDocument"))
        .and_then(|identity| identity.with_audit_log(part("operations")))
        .expect("the document names a key")
}

fn head(world: &World, did: &Did) -> RepoHead {
    let head = world.head(did);
    RepoHead {
        rev: head.rev.parse().expect("the revision is a tid"),
        data: Cid::try_from(&head.data).expect("the root is a cid of the usual shape"),
    }
}
