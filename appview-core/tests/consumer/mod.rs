//! A consumer of the feed: what it holds, and the place it goes on from.
#![allow(dead_code, unreachable_pub, clippy::unwrap_used, clippy::panic, reason = "tests")]

use std::collections::{BTreeMap, BTreeSet};

use appview_core::block::Cid;
use appview_core::index::{FeedSeq, IndexError, IndexReader};
use appview_core::query::{ExportFilter, FeedCursor, FeedError, FeedEvent, FeedFilter};
use appview_core::record::Verdict;
use appview_core::syntax::AtUri;

/// What a consumer does with the records of an account that is hidden.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Hidden {
    Forgotten,
    Kept,
}

/// A copy of what an index serves, made from its feed alone.
#[derive(Debug, Clone)]
pub struct Consumer {
    pub cursor: FeedCursor,
    /// How often it was told to start over.
    pub gaps: u32,
    policy: Hidden,
    records: BTreeMap<String, Cid>,
    hidden: BTreeSet<String>,
}

impl Consumer {
    pub fn new(policy: Hidden) -> Self {
        let (cursor, gaps) = (FeedCursor::BEGINNING, 0);
        Self { cursor, gaps, policy, records: BTreeMap::new(), hidden: BTreeSet::new() }
    }

    /// Reads at most so many events, from where it was, and tells them.
    pub fn read(&mut self, reader: &IndexReader, most: usize) -> Vec<FeedEvent> {
        let filter = FeedFilter::default();
        let mut feed = reader.feed(self.cursor, &filter);
        let mut read = Vec::new();
        while read.len() < most {
            match feed.next() {
                Some(Ok(event)) => {
                    assert!(event.seq() > self.cursor.after, "the feed goes back to {event:?}");
                    self.cursor = feed.cursor();
                    assert_eq!(self.cursor.after, event.seq());
                    self.take(&event);
                    read.push(event);
                }
                Some(Err(FeedError::Gap { found, floor })) => {
                    assert!(found < floor && read.is_empty());
                    *self = Self { gaps: self.gaps + 1, ..Self::new(self.policy) };
                    return self.read(reader, most);
                }
                Some(Err(other)) => panic!("{other}"),
                None => {
                    self.cursor = feed.cursor();
                    break;
                }
            }
        }
        read
    }

    /// The place up to which it has everything.
    pub fn after(&self) -> FeedSeq {
        self.cursor.after
    }

    pub fn read_all(&mut self, reader: &IndexReader) -> Vec<FeedEvent> {
        self.read(reader, usize::MAX)
    }

    fn take(&mut self, event: &FeedEvent) {
        match event {
            FeedEvent::Created { record, .. } | FeedEvent::Updated { record, .. } => {
                assert!(record.cid.addresses(&record.block));
                assert_ne!(record.verdict, Verdict::Quarantined);
                assert!(!self.hidden.contains(record.repo.as_str()), "a record of a hidden account");
                self.records.insert(record.uri().to_string(), record.cid);
            }
            FeedEvent::Deleted { did, collection, rkey, .. } => {
                self.records.remove(AtUri::of_record(did, collection, rkey).as_str());
            }
            FeedEvent::Shown { did, .. } => drop(self.hidden.remove(did.as_str())),
            FeedEvent::Hidden { did, .. } => {
                self.hidden.insert(did.to_string());
                if self.policy == Hidden::Forgotten {
                    self.forget(did.as_str());
                }
            }
            FeedEvent::Erased { did, .. } => {
                self.hidden.insert(did.to_string());
                self.forget(did.as_str());
            }
        }
    }

    fn forget(&mut self, did: &str) {
        self.records.retain(|uri, _| authority(uri) != did);
    }

    /// What it would show.
    pub fn shown(&self) -> BTreeMap<String, Cid> {
        let shown = self.records.iter().filter(|(uri, _)| !self.hidden.contains(authority(uri)));
        shown.map(|(uri, cid)| (uri.clone(), *cid)).collect()
    }
}

fn authority(uri: &str) -> &str {
    uri.split('/').nth(2).unwrap()
}

/// What an index serves, asked without its feed.
pub fn served(reader: &IndexReader) -> BTreeMap<String, Cid> {
    let mut served = BTreeMap::new();
    let visit = |record: appview_core::query::RecordView| {
        if record.verdict != Verdict::Quarantined {
            served.insert(record.uri().to_string(), record.cid);
        }
        Ok::<_, IndexError>(())
    };
    reader.export(&ExportFilter::default(), visit).unwrap();
    served
}
