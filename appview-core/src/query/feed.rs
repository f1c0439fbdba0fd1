//! What has changed, in the order in which this index learned it, from any place on.
//!
//! A place and a filter enter; events leave, each with its own place. A record that is served is in the feed
//! once, at its last change, with its present content: whoever reads from the beginning gets all that is served, and
//! whoever goes on from a place gets everything that differs from then, with deletions among it. What is not served is not
//! among the rows that events are made from. Deliberately absent: waiting for more. A reader is one snapshot, in which the
//! feed has an end.

use std::collections::hash_map::Entry;
use std::collections::{HashMap, HashSet, VecDeque};
use std::str::FromStr;

use rusqlite::{Connection, Row, named_params};

use super::RecordView;
use super::record::parsed;
use crate::index::{Fault, FeedSeq, IndexError, IndexReader, feed_floor, feed_newest, hosting, tid};
use crate::sync::Hosting;
use crate::syntax::{Did, Nsid, RecordKey, SyntaxError, Tid};

/// Most events in one page.
const PAGE_EVENTS: usize = 256;

/// How many bytes of records make a page full. The last one may go beyond.
const PAGE_BYTES: usize = 256 << 10;

/// Most rows that are looked at for one page, be they wanted or not: some milliseconds.
const PAGE_ROWS: usize = 4_096;

/// Both parts are in order already and are merged.
pub(super) const LIST_CHANGES: &str = "
    select seq, repo, collection, id as record, null as rkey, null as rev, null as hosting, 0 as erased
      from record where served = 1 and seq > :after
    union all
    select seq, repo, collection, null, rkey, rev, hosting, erased
      from feed where seq > :after
    order by seq";

pub(super) const READ_RECORD: &str = "
    select :did as did, rkey, cid, verdict, rev, updated, body from record where id = :record";

const NAME_REPO: &str = "select did from did where id = :id";

const NAME_COLLECTION: &str = "select nsid from collection where id = :id";

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
    /// Every record of an account is gone for good.
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

/// A bounded part of the feed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FeedPage {
    /// At most 256, with some 256 KB of records; perhaps none although more follow, where a filter leaves out much.
    pub events: Vec<FeedEvent>,
    /// Where to go on, which is beyond what the filter left out.
    pub after: FeedSeq,
    /// Whether this is all that the snapshot has.
    pub is_last: bool,
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
        self.query(|conn| read_page(conn, after, filter))
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

fn read_page(conn: &Connection, after: FeedSeq, filter: &FeedFilter) -> Result<FeedPage, Fault> {
    let mut page = FeedPage { events: Vec::new(), after, is_last: true };
    let mut names = Names { conn, filter, dids: HashMap::new(), collections: HashMap::new() };
    let (mut rows_seen, mut bytes) = (0, 0);
    let mut statement = conn.prepare_cached(LIST_CHANGES)?;
    let mut rows = statement.query(named_params! {":after": after.to_row()})?;
    while let Some(row) = rows.next()? {
        if rows_seen == PAGE_ROWS || page.events.len() == PAGE_EVENTS || bytes >= PAGE_BYTES {
            page.is_last = false;
            break;
        }
        rows_seen += 1;
        page.after = FeedSeq::from_row(row.get("seq")?)?;
        if let Some(event) = names.event(page.after, row)? {
            bytes += event.bytes();
            page.events.push(event);
        }
    }
    Ok(page)
}

/// The names that one page needs, each read once; none where the filter does not want it.
struct Names<'c> {
    conn: &'c Connection,
    filter: &'c FeedFilter,
    dids: HashMap<i64, Option<Did>>,
    collections: HashMap<i64, Option<Nsid>>,
}

impl Names<'_> {
    /// The event of a row, if it is wanted.
    fn event(&mut self, seq: FeedSeq, row: &Row<'_>) -> Result<Option<FeedEvent>, Fault> {
        let collection = match row.get("collection")? {
            Some(id) => match self.collection(id)? {
                Some(nsid) => Some(nsid),
                None => return Ok(None),
            },
            None => None,
        };
        let Some(did) = self.did(row.get("repo")?)? else {
            return Ok(None);
        };
        let Some(collection) = collection else {
            return account(seq, did, row).map(Some);
        };
        match row.get("record")? {
            Some(record) => self.put(seq, record, &did, collection).map(Some),
            None => {
                let rkey = row.get_ref("rkey")?.as_str();
                let rkey = parsed(rkey.ok()).ok_or(Fault::Row("a record key that is none"))?;
                Ok(Some(FeedEvent::Deleted { seq, rev: tid(row.get("rev")?)?, did, collection, rkey }))
            }
        }
    }

    fn put(&self, seq: FeedSeq, record: i64, did: &Did, collection: Nsid) -> Result<FeedEvent, Fault> {
        let mut statement = self.conn.prepare_cached(READ_RECORD)?;
        let mut rows = statement.query(named_params! {":record": record, ":did": did.as_str()})?;
        let row = rows.next()?.ok_or(Fault::Row("a place in the feed without its record"))?;
        let (rev, record) = (tid(row.get("rev")?)?, RecordView::read_in(row, collection)?);
        Ok(match row.get("updated")? {
            true => FeedEvent::Updated { seq, rev, record },
            false => FeedEvent::Created { seq, rev, record },
        })
    }

    fn did(&mut self, id: i64) -> Result<Option<Did>, Fault> {
        let filter = self.filter;
        named(self.conn, &mut self.dids, NAME_REPO, id, |did| filter.wants_did(did))
    }

    fn collection(&mut self, id: i64) -> Result<Option<Nsid>, Fault> {
        let filter = self.filter;
        named(self.conn, &mut self.collections, NAME_COLLECTION, id, |nsid| filter.wants_collection(nsid))
    }
}

/// The name that an integer stands for, if it is wanted.
fn named<N: FromStr + Clone>(
    conn: &Connection,
    known: &mut HashMap<i64, Option<N>>,
    sql: &str,
    id: i64,
    wants: impl FnOnce(&str) -> bool,
) -> Result<Option<N>, Fault> {
    match known.entry(id) {
        Entry::Occupied(name) => Ok(name.get().clone()),
        Entry::Vacant(place) => {
            let name: String =
                conn.prepare_cached(sql)?.query_row(named_params! {":id": id}, |row| row.get(0))?;
            let name = match wants(&name) {
                true => Some(parsed(Some(&name)).ok_or(Fault::Row("a name that is none"))?),
                false => None,
            };
            Ok(place.insert(name).clone())
        }
    }
}

fn account(seq: FeedSeq, did: Did, row: &Row<'_>) -> Result<FeedEvent, Fault> {
    let hosting = hosting(row.get("hosting")?)?;
    Ok(match row.get("erased")? {
        true => FeedEvent::Erased { seq, did },
        false if hosting.is_visible() => FeedEvent::Shown { seq, did },
        false => FeedEvent::Hidden { seq, did, hosting },
    })
}
