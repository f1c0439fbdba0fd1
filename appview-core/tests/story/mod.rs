//! One account, an index that follows it, and what a consumer hears of it.
#![allow(dead_code, unreachable_pub, clippy::unwrap_used, clippy::panic, reason = "tests")]

use appview_core::index::{IndexReader, IndexWriter};
use appview_core::query::{FeedCursor, FeedEvent, FeedFilter};
use appview_core::sync::{Change, Hosting};
use fixtures::{Ipld, KeyKind, Write, records};

use crate::consumer::{Consumer, Hidden, served};
use crate::network::{Network, Scratch, did};

/// An hour, in microseconds.
pub const HOUR: u64 = 3_600_000_000;
/// When the tests begin: late enough for a retention to lie behind it.
pub const START: u64 = 1_800_000_000_000_000;

/// A catalogue in which a friend needs what none has.
pub const STRICT: &str = r#"{"lexicon": 1, "id": "dev.cocore.account.friend", "defs": {"main": {"type": "record",
    "key": "any", "record": {"type": "object", "required": ["nothingHasThis"],
    "properties": {"nothingHasThis": {"type": "string"}}}}}}"#;

/// An event in a word: what happened, and to which key or account.
pub fn word(event: &FeedEvent) -> String {
    match event {
        FeedEvent::Created { record, .. } => format!("created {}", record.rkey),
        FeedEvent::Updated { record, .. } => format!("updated {}", record.rkey),
        FeedEvent::Deleted { rkey, .. } => format!("deleted {rkey}"),
        FeedEvent::Shown { .. } => "shown".to_owned(),
        FeedEvent::Hidden { hosting, .. } => format!("hidden {hosting}"),
        FeedEvent::Erased { .. } => "erased".to_owned(),
    }
}

pub fn words(events: &[FeedEvent]) -> Vec<String> {
    events.iter().map(word).collect()
}

/// Everything after a place.
pub fn read(reader: &IndexReader, after: FeedCursor) -> Vec<FeedEvent> {
    reader.feed(after, &FeedFilter::default()).collect::<Result<_, _>>().unwrap()
}

pub fn friend(subject: u64) -> Ipld {
    records::friend(&format!("did:web:f{subject}.example"), 0)
}

/// A friend whose subject is missing: it is quarantined.
pub fn friendless() -> Ipld {
    let Ipld::Map(mut record) = friend(0) else { panic!("a record is a map") };
    record.remove("subject");
    Ipld::Map(record)
}

/// One account, an index that follows it, and a consumer that is told after each transaction.
pub struct Story {
    pub network: Network,
    pub account: fixtures::Did,
    pub scratch: Scratch,
    pub writer: IndexWriter,
    pub consumer: Consumer,
    pub now: u64,
}

impl Story {
    pub fn new(seed: u64) -> Self {
        let mut network = Network::new(seed);
        let account = network.world.create_account(KeyKind::K256);
        let scratch = Scratch::new();
        let writer = scratch.writer();
        let consumer = Consumer::new(Hidden::Forgotten);
        Self { network, account, scratch, writer, consumer, now: START }
    }

    /// Applies changes in one transaction, and tells what the consumer then hears.
    pub fn apply(&mut self, changes: &[Change]) -> Vec<String> {
        let applied = self.writer.apply(changes, &[], self.now).unwrap();
        assert_eq!(applied.refused, []);
        let reader = self.scratch.reader();
        let heard = self.consumer.read_all(&reader);
        assert_eq!(self.consumer.shown(), served(&reader));
        assert_eq!(self.consumer.after(), applied.feed);
        assert_eq!(reader.feed_newest().unwrap(), applied.feed);
        assert_eq!(reader.check(|_| ()).unwrap().damage, []);
        words(&heard)
    }

    pub fn commit(&mut self, writes: Vec<Write>) -> Vec<String> {
        let commit = self.network.commit(&self.account, writes);
        self.apply(&[commit])
    }

    pub fn host(&mut self, hosting: Hosting) -> Vec<String> {
        let did = did(&self.account);
        self.apply(&[Change::Hosting { did, hosting }])
    }
}

/// A friend with a note.
pub fn named(note: &str) -> Ipld {
    let Ipld::Map(mut record) = friend(1) else { panic!("a record is a map") };
    record.insert("note".to_owned(), Ipld::String(note.to_owned()));
    Ipld::Map(record)
}
