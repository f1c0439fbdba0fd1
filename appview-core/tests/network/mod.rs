//! A made-up network whose changes have really been verified, and what an index shows of it.
#![allow(
    dead_code,
    unreachable_pub,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    reason = "tests"
)]

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use appview_core::block::Cid;
use appview_core::block::car::Archive;
use appview_core::index::{Applied, Index, IndexError, IndexReader, IndexWriter};
use appview_core::query::{
    Counts, ExportFilter, FriendFilter, Limit, Page, PageCursor, ProviderFilter, QueryError, ReceiptFilter,
    RecordView, Scope, SettlementFilter, Span,
};
use appview_core::record::{Catalog, Verdict};
use appview_core::repo::Identity;
use appview_core::sync::verify::{verify_commit, verify_repo};
use appview_core::sync::{Change, Event, RepoHead, StreamCursor};
use appview_core::syntax::Did;
use fixtures::records::{self, Machine, Served};
use fixtures::{Ipld, KeyKind, World, Write};

pub const NAMESPACE: &str = "dev.cocore.";

/// A [`World`], and how far each of its repositories has been told.
pub struct Network {
    pub world: World,
    heads: HashMap<fixtures::Did, RepoHead>,
}

impl Network {
    pub fn new(seed: u64) -> Self {
        Self { world: World::new(seed), heads: HashMap::new() }
    }

    /// A commit as a verifier would hand it on.
    pub fn commit(&mut self, did: &str, writes: Vec<Write>) -> Change {
        let identity = self.identity(did);
        let frame = self.world.commit(did, writes);
        let (event, _) = Event::decode(frame.as_ref()).unwrap();
        let Event::Commit(event) = event else { panic!("a commit is a commit") };
        let head = self.heads.get(did).copied();
        // The first commit of an account follows an unannounced one on the empty tree.
        let commit =
            verify_commit(&event, head, &identity, NAMESPACE, self.world.now_micros() + 1_000_000).unwrap();
        self.heads.insert(did.into(), commit.head());
        Change::Commit(commit)
    }

    /// A whole repository as a verifier would hand it on.
    pub fn repo(&mut self, did: &str) -> Change {
        let archive = Archive::from_bytes(self.world.car(did)).unwrap();
        let now = self.world.now_micros() + 1_000_000;
        let repo = verify_repo(archive, &self.identity(did), NAMESPACE, now).unwrap();
        self.heads.insert(did.into(), repo.head());
        Change::Repo(repo)
    }

    pub fn identity(&self, did: &str) -> Identity {
        Identity::from_document(&did.parse().unwrap(), &self.world.did_document(did)).unwrap()
    }
}

/// Three accounts that did business with each other, told commit by commit.
pub struct Business {
    pub network: Network,
    pub owner: fixtures::Did,
    pub requester: fixtures::Did,
    pub exchange: fixtures::Did,
    pub receipts: Vec<String>,
    pub jobs: Vec<String>,
    pub told: Vec<Change>,
}

pub fn tid_path(network: &mut Network, nsid: &str) -> (String, String) {
    let rkey = network.world.next_tid();
    (format!("{nsid}/{rkey}"), rkey)
}

impl Business {
    pub fn new(seed: u64, deals: u64) -> Self {
        let mut network = Network::new(seed);
        let owner = network.world.create_account(KeyKind::K256);
        let requester = network.world.create_account(KeyKind::P256);
        let exchange = network.world.create_web_account(KeyKind::K256, "exchange.example");
        let mut business = Self {
            network,
            owner,
            requester,
            exchange,
            receipts: Vec::new(),
            jobs: Vec::new(),
            told: Vec::new(),
        };
        business.open();
        for number in 0..deals {
            business.deal(number);
        }
        business.misbehave();
        business
    }

    pub fn tell(&mut self, did: &fixtures::Did, writes: Vec<Write>) {
        let change = self.network.commit(did, writes);
        self.told.push(change);
    }

    fn open(&mut self) {
        let now = self.network.world.now_micros();
        let machine = Machine::new(1);
        let (owner, requester) = (self.owner.clone(), self.requester.clone());
        let (_, key) = tid_path(&mut self.network, "");
        let writes = vec![
            Write::create(records::PROFILE, "self", records::profile("Ada", now)),
            Write::create(records::PROVIDER, &key, records::provider(&machine, now)),
            Write::create(records::ATTESTATION, &key, records::attestation(&machine, now)),
            Write::create(records::POST, &key, records::post(1, now)),
        ];
        self.tell(&owner, writes);
        let writes = vec![
            Write::create(records::PROFILE, "self", records::profile("Grace", now)),
            Write::create(records::FRIEND, &key, records::friend(&owner, now)),
        ];
        self.tell(&requester, writes);
    }

    fn deal(&mut self, number: u64) {
        let now = self.network.world.now_micros();
        let (owner, requester, exchange) =
            (self.owner.clone(), self.requester.clone(), self.exchange.clone());
        let (path, key) = tid_path(&mut self.network, records::PAYMENT_AUTHORIZATION);
        let authorization = records::payment_authorization(number, &exchange, now);
        self.tell(&requester, vec![Write::create(records::PAYMENT_AUTHORIZATION, &key, authorization)]);
        let authorization = self.network.world.strong_ref(&requester, &path);

        let (path, key) = tid_path(&mut self.network, records::JOB);
        self.tell(
            &requester,
            vec![Write::create(records::JOB, &key, records::job(number, &authorization, now))],
        );
        let job = self.network.world.strong_ref(&requester, &path);
        self.jobs.push(job.uri.clone());

        let attested = self.network.world.records(&owner);
        let attestation = attested.keys().find(|path| path.contains("attestation")).unwrap();
        let machine = Machine::new(1);
        let served = Served {
            job,
            requester: &requester,
            attestation: self.network.world.strong_ref(&owner, attestation),
            machine: &machine,
        };
        let mut receipt = records::receipt(number, &served, now);
        if number % 3 == 1 {
            receipt = records::in_short_currency(&receipt);
        }
        let (path, key) = tid_path(&mut self.network, records::RECEIPT);
        self.tell(&owner, vec![Write::create(records::RECEIPT, &key, receipt)]);
        let receipt = self.network.world.strong_ref(&owner, &path);
        self.receipts.push(receipt.uri.clone());

        let (_, key) = tid_path(&mut self.network, records::SETTLEMENT);
        let settlement = records::settlement(number, &receipt, &authorization, now);
        self.tell(&exchange, vec![Write::create(records::SETTLEMENT, &key, settlement)]);
    }

    /// What must be kept and not shown: a receipt without its price, and bytes that are no record at all.
    fn misbehave(&mut self) {
        let owner = self.owner.clone();
        let now = self.network.world.now_micros();
        let (_, key) = tid_path(&mut self.network, "");
        let Ipld::Map(mut incomplete) = records::profile("nobody", now) else { panic!("a record is a map") };
        incomplete.insert("$type".into(), Ipld::String(records::RECEIPT.into()));
        let writes = vec![
            Write::create(records::RECEIPT, &key, Ipld::Map(incomplete)),
            Write::create_block(records::JOB, &key, b"\xff no cbor".to_vec()),
            Write::create("dev.cocore.compute.unheardOf", &key, {
                let members = [("$type".to_owned(), Ipld::String("dev.cocore.compute.unheardOf".into()))];
                Ipld::Map(members.into())
            }),
        ];
        self.tell(&owner, writes);
    }

    pub fn dids(&self) -> [fixtures::Did; 3] {
        [self.owner.clone(), self.requester.clone(), self.exchange.clone()]
    }

    /// Each repository as it is in the end.
    pub fn repos(&mut self) -> Vec<Change> {
        self.dids().iter().map(|did| self.network.repo(did)).collect()
    }
}

/// Takes the next change of one of the repositories, as `choices` say, until none is left.
pub fn interleaved(told: Vec<Change>, choices: &[u8]) -> Vec<Change> {
    let mut queues: Vec<(String, Vec<Change>)> = Vec::new();
    for change in told {
        let did = change.did().to_string();
        match queues.iter_mut().find(|(known, _)| *known == did) {
            Some((_, queue)) => queue.insert(0, change),
            None => queues.push((did, vec![change])),
        }
    }
    let mut order = Vec::new();
    let mut choices = choices.iter().cycle();
    while !queues.is_empty() {
        let choice = usize::from(*choices.next().unwrap()) % queues.len();
        order.extend(queues[choice].1.pop());
        queues.retain(|(_, queue)| !queue.is_empty());
    }
    order
}

pub fn catalog() -> Arc<Catalog> {
    Arc::new(Catalog::builtin().unwrap())
}

pub fn did(text: &str) -> Did {
    text.parse().unwrap()
}

pub fn cursor(seq: i64) -> StreamCursor {
    StreamCursor { endpoint: "wss://relay.example".into(), seq }
}

/// A fresh index in a folder that goes away with it.
pub struct Scratch {
    pub folder: tempfile::TempDir,
    pub index: Index,
}

impl Scratch {
    pub fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let index = Index::open(folder.path().join("index.db")).unwrap();
        Self { folder, index }
    }

    pub fn writer(&self) -> IndexWriter {
        self.index.writer(catalog()).unwrap()
    }

    pub fn reader(&self) -> IndexReader {
        self.index.reader().unwrap()
    }

    /// An index that was told all of this, one change at a time.
    pub fn told(changes: &[Change]) -> Self {
        let scratch = Self::new();
        let mut writer = scratch.writer();
        for change in changes {
            let applied = writer.apply(std::slice::from_ref(change), &[], 0).unwrap();
            assert_eq!(applied.refused, []);
        }
        drop(writer);
        scratch
    }
}

/// The URIs on each page of a list, and the cursor that leads on.
pub type Pages = Vec<(Vec<String>, Option<String>)>;

/// Everything that can be seen of an index from outside.
#[derive(Debug, PartialEq)]
pub struct Seen {
    pub exported: Vec<(String, Cid, Verdict)>,
    pub fingerprint: String,
    pub by_collection: Vec<(String, String)>,
    pub by_repo: Vec<(String, String)>,
    pub counts: Counts,
    /// The URIs of each page of each list, and the cursor that led on.
    pub lists: BTreeMap<&'static str, Pages>,
}

pub fn see(reader: &IndexReader, business: &Business) -> Seen {
    let mut exported = Vec::new();
    let export = reader.export(&ExportFilter::default(), |record| {
        exported.push((record.uri().to_string(), record.cid, record.verdict));
        Ok::<_, IndexError>(())
    });
    export.unwrap();
    let limit = Limit::new(2).unwrap();
    let by_collection = all_pages(|cursor| reader.fingerprints_by_collection(limit, cursor));
    let by_repo = all_pages(|cursor| reader.fingerprints_by_repo(limit, cursor));
    Seen {
        exported,
        fingerprint: reader.fingerprint(&Scope::Whole).unwrap().to_string(),
        by_collection: by_collection
            .into_iter()
            .map(|f| (f.of.to_string(), f.fingerprint.to_string()))
            .collect(),
        by_repo: by_repo.into_iter().map(|f| (f.of.to_string(), f.fingerprint.to_string())).collect(),
        counts: reader.counts().unwrap(),
        lists: lists(reader, business),
    }
}

/// Short pages, so that there are several.
pub fn two<const MOST: u32>() -> Limit<MOST> {
    Limit::new(2).unwrap()
}

fn lists(reader: &IndexReader, business: &Business) -> BTreeMap<&'static str, Pages> {
    let limit = two();
    let (owner, requester) = (did(&business.owner), did(&business.requester));
    let receipts = |filter: ReceiptFilter| pages(|cursor| reader.list_receipts(&filter, two(), cursor));
    let settlements =
        |filter: SettlementFilter| pages(|cursor| reader.list_settlements(&filter, two(), cursor));
    let friends = |filter: FriendFilter| pages(|cursor| reader.list_friends(&filter, limit, cursor));
    BTreeMap::from([
        ("providers", pages(|cursor| reader.list_providers(&ProviderFilter::default(), limit, cursor))),
        ("profiles", pages(|cursor| reader.list_profiles(two(), cursor))),
        ("jobs", pages(|cursor| reader.list_jobs(&requester, Span::ALWAYS, two(), cursor))),
        ("receipts", receipts(ReceiptFilter::default())),
        (
            "receipts by provider",
            receipts(ReceiptFilter { provider: Some(owner.clone()), ..Default::default() }),
        ),
        (
            "receipts by requester",
            receipts(ReceiptFilter { requester: Some(requester.clone()), ..Default::default() }),
        ),
        (
            "receipts by job",
            receipts(ReceiptFilter { job: business.jobs.first().cloned(), ..Default::default() }),
        ),
        ("settlements", settlements(SettlementFilter::default())),
        (
            "settlements by receipt",
            settlements(SettlementFilter {
                receipt: business.receipts.first().cloned(),
                ..Default::default()
            }),
        ),
        (
            "settlements by requester",
            settlements(SettlementFilter { requester: Some(requester.clone()), ..Default::default() }),
        ),
        ("friends", friends(FriendFilter::default())),
        ("friends of", friends(FriendFilter { subject: Some(owner), friender: None })),
    ])
}

pub fn pages(mut page: impl FnMut(Option<&PageCursor>) -> Result<Page<RecordView>, QueryError>) -> Pages {
    let mut pages = Vec::new();
    let mut cursor: Option<PageCursor> = None;
    loop {
        let next = page(cursor.as_ref()).unwrap();
        let uris = next.items.iter().map(|record| record.uri().to_string()).collect();
        let text = next.cursor.as_ref().map(ToString::to_string);
        // A caller only ever has its text.
        cursor = text.as_ref().map(|text| text.parse().unwrap());
        pages.push((uris, text));
        if cursor.is_none() {
            return pages;
        }
    }
}

pub fn all_pages<T>(mut page: impl FnMut(Option<&PageCursor>) -> Result<Page<T>, QueryError>) -> Vec<T> {
    let mut items = Vec::new();
    let mut cursor = None;
    loop {
        let next = page(cursor.as_ref()).unwrap();
        items.extend(next.items);
        cursor = next.cursor;
        if cursor.is_none() {
            return items;
        }
    }
}

pub fn counted(applied: &Applied) -> [u64; 5] {
    [applied.created, applied.updated, applied.deleted, applied.unchanged, applied.skipped]
}
