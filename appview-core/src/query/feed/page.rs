//! One page of the feed: from rows in order to events.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::str::FromStr;

use rusqlite::{Connection, Row, named_params};

use super::{FeedEvent, FeedFilter};
use crate::index::{Fault, FeedSeq, hosting, tid};
use crate::query::RecordView;
use crate::query::record::parsed;
use crate::syntax::{Did, Nsid};

/// Most events in one page.
const PAGE_EVENTS: usize = 256;

/// How many bytes of records make a page full. The last one may go beyond.
const PAGE_BYTES: usize = 256 << 10;

/// Most rows that are looked at for one page, be they wanted or not: some milliseconds.
const PAGE_ROWS: usize = 4_096;

/// Both parts are in order already and are merged.
pub(in crate::query) const LIST_CHANGES: &str = "
    select seq, repo, collection, id as record, null as rkey, null as rev, null as hosting, 0 as erased
      from record where served = 1 and seq > :after
    union all
    select seq, repo, collection, null, rkey, rev, hosting, erased
      from feed where seq > :after
    order by seq";

pub(in crate::query) const READ_RECORD: &str = "
    select :did as did, rkey, cid, verdict, time, body, rev, updated from record where id = :record";

const NAME_REPO: &str = "select did from did where id = :id";

const NAME_COLLECTION: &str = "select nsid from collection where id = :id";

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

/// Reads the page after a place.
pub(super) fn read(conn: &Connection, after: FeedSeq, filter: &FeedFilter) -> Result<FeedPage, Fault> {
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
