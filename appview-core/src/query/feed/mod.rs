//! What has changed, in the order in which this index learned it, from any place on.
//!
//! A place and a filter enter; events leave, each with its own place. A record that is served is in the feed once, at its
//! last change, with its present content: whoever reads from the beginning gets all that is served, and whoever goes on
//! from a place gets everything that differs from then, with deletions among it. What is not served is not among the rows
//! that events are made from. Deliberately absent: waiting for more. A reader is one snapshot, in which the feed has an end.

pub(super) mod page;

use std::collections::{HashSet, VecDeque};
use std::str::FromStr;

pub use page::FeedPage;

use super::RecordView;
use crate::index::{FeedSeq, IndexError, IndexReader, feed_floor, feed_newest};
use crate::sync::Hosting;
use crate::syntax::{Did, Nsid, RecordKey, SyntaxError, Tid};

/// One change of what the index shows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum FeedEvent {
    /// A record that was not served before.
    Created {
        /// Its place in the feed.
        seq: FeedSeq,
        /// The revision at which it was proven.
        rev: Tid,
        /// The record.
        record: RecordView,
    },
    /// A record that was served with other content before. It may be the first that a consumer hears of it: earlier
    /// content is nowhere any more.
    Updated {
        /// Its place in the feed.
        seq: FeedSeq,
        /// The revision at which it was proven.
        rev: Tid,
        /// The record.
        record: RecordView,
    },
    /// A record is gone, or is not served any more because it breaks its lexicon.
    Deleted {
        /// The event's place in the feed.
        seq: FeedSeq,
        /// A revision without it.
        rev: Tid,
        /// The repository.
        did: Did,
        /// The collection.
        collection: Nsid,
        /// The key within the collection.
        rkey: RecordKey,
    },
    /// An account is active again. Each of its records follows as one that was created.
    Shown {
        /// The event's place in the feed.
        seq: FeedSeq,
        /// The account.
        did: Did,
    },
    /// An account is not active: nothing of it may be shown, until it is active again.
    Hidden {
        /// The event's place in the feed.
        seq: FeedSeq,
        /// The account.
        did: Did,
        /// Why.
        hosting: Hosting,
    },
    /// Every record of an account is gone for good. Not told of a time before the consumer began, when it had none.
    Erased {
        /// The event's place in the feed.
        seq: FeedSeq,
        /// The account.
        did: Did,
    },
}

impl FeedEvent {
    /// Its place in the feed.
    #[must_use]
    pub const fn seq(&self) -> FeedSeq {
        match self {
            Self::Created { seq, .. }
            | Self::Updated { seq, .. }
            | Self::Deleted { seq, .. }
            | Self::Shown { seq, .. }
            | Self::Hidden { seq, .. }
            | Self::Erased { seq, .. } => *seq,
        }
    }

    /// The account it is about.
    #[must_use]
    pub const fn did(&self) -> &Did {
        match self {
            Self::Created { record, .. } | Self::Updated { record, .. } => &record.repo,
            Self::Deleted { did, .. }
            | Self::Shown { did, .. }
            | Self::Hidden { did, .. }
            | Self::Erased { did, .. } => did,
        }
    }

    fn bytes(&self) -> usize {
        match self {
            Self::Created { record, .. } | Self::Updated { record, .. } => record.block.len(),
            _ => 0,
        }
    }
}

/// One collection, or all whose names begin alike.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum CollectionPattern {
    /// This one.
    One(Nsid),
    /// Those that begin with this text, the last character of which is a dot.
    Below(Box<str>),
}

impl CollectionPattern {
    /// Whether a collection is meant.
    #[must_use]
    pub fn matches(&self, nsid: &str) -> bool {
        match self {
            Self::One(one) => one.as_str() == nsid,
            Self::Below(start) => nsid.starts_with(&**start),
        }
    }
}

impl FromStr for CollectionPattern {
    type Err = SyntaxError;

    /// An NSID, or whatever ends with `.*`. As Jetstream has it, what stands before the star need not be part of an
    /// NSID: then nothing matches.
    fn from_str(text: &str) -> Result<Self, SyntaxError> {
        match text.strip_suffix('*').filter(|start| start.ends_with('.')) {
            Some(start) => Ok(Self::Below(start.into())),
            None => text.parse().map(Self::One),
        }
    }
}

/// Which part of the feed; all of what is given must hold.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct FeedFilter {
    /// Records of these collections only; of all if there is none. What becomes of accounts is told in any case.
    pub collections: Vec<CollectionPattern>,
    /// Only what is about these accounts; about all if there is none.
    pub dids: HashSet<Did>,
}

impl FeedFilter {
    fn wants_collection(&self, nsid: &str) -> bool {
        self.collections.is_empty() || self.collections.iter().any(|pattern| pattern.matches(nsid))
    }

    fn wants_did(&self, did: &str) -> bool {
        self.dids.is_empty() || self.dids.contains(did)
    }
}

/// How far a consumer has read the feed: what it keeps, to go on from there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FeedCursor {
    /// The last event that has taken effect, or the last one that the filter left out.
    pub after: FeedSeq,
    /// The newest event when the consumer began. What was gone by then it never had, so that until it has come so far it
    /// misses no deletion of an earlier time, however far back `after` lies.
    pub since: FeedSeq,
}

impl FeedCursor {
    /// Of a consumer that has nothing yet: all that is served is to come.
    pub const BEGINNING: Self = Self::after(FeedSeq::START);

    /// Of a consumer that has everything up to a place.
    #[must_use]
    pub const fn after(seq: FeedSeq) -> Self {
        Self { after: seq, since: seq }
    }
}

/// Why the feed does not go on just like that.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum FeedError {
    /// Deletions, and what became of accounts, may be missing after the place that was asked for: they are older than
    /// the feed remembers, or the index was built anew since. Forget what was read so far and start from
    /// [`FeedCursor::BEGINNING`], or go on and keep what may be gone.
    #[error("expected a place in the feed not before {floor}, found {found}; start from the beginning")]
    Gap {
        /// From where on the consumer must hear of every deletion.
        found: FeedSeq,
        /// From where on the feed tells them all.
        floor: FeedSeq,
    },
    /// The index itself failed.
    #[error(transparent)]
    Index(#[from] IndexError),
}

/// The changes after a place, in order, as far as one snapshot has them.
///
/// The first item is [`FeedError::Gap`] where deletions may be missing; whoever asks on gets what there is. Reads pages of
/// a bounded size. At the end, [`IndexReader::refresh`] and another feed from [`Feed::cursor`] lead on.
#[derive(Debug)]
pub struct Feed<'r> {
    reader: &'r IndexReader,
    filter: &'r FeedFilter,
    cursor: FeedCursor,
    is_begun: bool,
    page: VecDeque<FeedEvent>,
    /// Where the page ends and the next one starts.
    page_end: FeedSeq,
    is_last: bool,
}

impl Feed<'_> {
    /// Where to go on: after the last event that was given, or beyond what the filter left out.
    #[must_use]
    pub fn cursor(&self) -> FeedCursor {
        let FeedCursor { after, since } = self.cursor;
        FeedCursor { after, since: since.max(after) }
    }

    fn begin(&mut self) -> Result<(), FeedError> {
        if self.cursor == FeedCursor::BEGINNING {
            self.cursor.since = self.reader.feed_newest()?;
            return Ok(());
        }
        let found = self.cursor().since;
        match self.reader.query(feed_floor)? {
            Some(floor) if found < floor => Err(FeedError::Gap { found, floor }),
            _ => Ok(()),
        }
    }

    fn read_page(&mut self) -> Result<(), IndexError> {
        let page = self.reader.feed_page(self.page_end, self.filter)?;
        (self.page, self.page_end, self.is_last) = (page.events.into(), page.after, page.is_last);
        Ok(())
    }
}

impl Iterator for Feed<'_> {
    type Item = Result<FeedEvent, FeedError>;

    fn next(&mut self) -> Option<Self::Item> {
        if !std::mem::replace(&mut self.is_begun, true)
            && let Err(error) = self.begin()
        {
            return Some(Err(error));
        }
        loop {
            if let Some(event) = self.page.pop_front() {
                self.cursor.after = event.seq();
                // What has it shown again may be removed before a beginner comes to it, who would be told of no gap.
                if matches!(event, FeedEvent::Erased { seq, .. } if seq <= self.cursor.since) {
                    continue;
                }
                return Some(Ok(event));
            }
            self.cursor.after = self.page_end;
            if self.is_last {
                return None;
            }
            if let Err(error) = self.read_page() {
                self.is_last = true;
                return Some(Err(error.into()));
            }
        }
    }
}

impl IndexReader {
    /// Every change after a place that `filter` lets through, in order, as far as this snapshot has them: from
    /// [`FeedCursor::BEGINNING`], all that is served.
    ///
    /// Whoever writes is told by [`Applied::feed`](crate::index::Applied::feed) when there is more; others ask again.
    #[must_use]
    pub fn feed<'r>(&'r self, cursor: FeedCursor, filter: &'r FeedFilter) -> Feed<'r> {
        let (page, page_end) = (VecDeque::new(), cursor.after);
        Feed { reader: self, filter, cursor, is_begun: false, page, page_end, is_last: false }
    }

    /// The next part of the feed after a place. Says nothing of deletions that may be missing: [`IndexReader::feed`]
    /// does.
    ///
    /// # Errors
    ///
    /// Failing input or damage.
    pub fn feed_page(&self, after: FeedSeq, filter: &FeedFilter) -> Result<FeedPage, IndexError> {
        self.query(|conn| page::read(conn, after, filter))
    }

    /// The place of the newest change: after it there is nothing yet.
    ///
    /// # Errors
    ///
    /// Failing input or damage.
    pub fn feed_newest(&self) -> Result<FeedSeq, IndexError> {
        self.query(feed_newest)
    }
}
