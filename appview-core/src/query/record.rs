//! A record as it is shown, and the lists made of them.

use rusqlite::{Connection, OptionalExtension as _, Row, Rows, ToSql, named_params};

use super::page::Keys;
use super::{Limit, Page, PageCursor, QueryError, Span};
use crate::block::json::write_json;
use crate::block::{BlockError, Cid};
use crate::index::{Fault, IndexError, IndexReader};
use crate::record::{Collection, Verdict};
use crate::syntax::{AtUri, Did, Nsid, RecordKey};

pub(super) const FIND_RECORD: &str = "
    select did, rkey, cid, verdict, time, body, nsid
      from did
      cross join repo on repo.id = did.id and repo.hosting = 0
      cross join collection on nsid = :nsid
      cross join record
         on record.repo = did.id and record.collection = collection.id and rkey = :rkey
     where did = :did";

const LIST_FINDINGS: &str = "
    select path, rule, message
      from did
      cross join repo on repo.id = did.id and repo.hosting = 0
      cross join collection on nsid = :nsid
      cross join record
         on record.repo = did.id and record.collection = collection.id and rkey = :rkey
      cross join finding on finding.record = record.id
     where did = :did
     order by ordinal";

const READ_RECORD: &str = "
    select :did as did, rkey, cid, verdict, time, body from record where id = :record";

const FIND_DID: &str = "select id from did where did = :did";

const FIND_MODEL: &str = "select id from model where name = :name";

/// Bytes of records on one page, unless the first has more. A record may have a megabyte, and a list five hundred of them.
const PAGE_BYTES: usize = 4 << 20;

/// One record, as it stands in its repository.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RecordView {
    /// The repository.
    pub repo: Did,
    /// The collection.
    pub collection: Nsid,
    /// The key within the collection.
    pub rkey: RecordKey,
    /// The address of its block.
    pub cid: Cid,
    /// How well it keeps its lexicon.
    pub verdict: Verdict,
    /// The block: the bytes that `cid` addresses and the repository's signature covers.
    pub block: Box<[u8]>,
    pub(super) time: i64,
}

impl RecordView {
    /// The record's URI, with the DID as its authority.
    #[must_use]
    pub fn uri(&self) -> AtUri {
        AtUri::of_record(&self.repo, &self.collection, &self.rkey)
    }

    /// Appends the record as JSON, as the AT data model writes it.
    ///
    /// # Errors
    ///
    /// Only for a quarantined record: [`BlockError`] if its block is not of the data model. `out` then ends in a part.
    pub fn write_body(&self, out: &mut String) -> Result<(), BlockError> {
        write_json(out, &self.block)
    }

    /// When the record was made as far as it tells, in microseconds since 1970: [`crate::record::moment`].
    ///
    /// For an `indexedAt` that two indexes agree on: when this one happened to meet the record is no fact about it.
    #[must_use]
    pub const fn indexed_at_micros(&self) -> i64 {
        self.time
    }

    pub(super) fn read(row: &Row<'_>) -> Result<Self, Fault> {
        let nsid = row.get_ref(6)?.as_str();
        let collection = nsid.ok().and_then(|nsid| nsid.parse().ok());
        Self::read_in(row, collection.ok_or(Fault::Row("a collection that is none"))?)
    }

    /// Reads `did`, `rkey`, `cid`, `verdict`, `time` and `body`, which every statement for records gives first and in this
    /// order: names would be looked for in every row.
    pub(super) fn read_in(row: &Row<'_>, collection: Nsid) -> Result<Self, Fault> {
        let did = row.get_ref(0)?.as_str();
        let rkey = row.get_ref(1)?.as_str();
        let cid = row.get_ref(2)?.as_blob();
        let verdict = Verdict::from_code(row.get(3)?);
        let body = row.get_ref(5)?.as_blob();
        Ok(Self {
            repo: parsed(did.ok()).ok_or(Fault::Row("a did that is none"))?,
            collection,
            rkey: parsed(rkey.ok()).ok_or(Fault::Row("a record key that is none"))?,
            cid: cid.ok().and_then(|cid| Cid::decode(cid).ok()).ok_or(Fault::Row("a cid that is none"))?,
            verdict: verdict.ok_or(Fault::Row("a verdict that has no meaning"))?,
            block: body.map_err(|_| Fault::Row("a body that is no blob"))?.into(),
            time: row.get(4)?,
        })
    }

    pub(super) fn cursor(&self) -> PageCursor {
        PageCursor::after(self.uri().as_str())
    }
}

pub(super) fn parsed<T: std::str::FromStr>(text: Option<&str>) -> Option<T> {
    text?.parse().ok()
}

/// One breach of its lexicon by a record that is marked or quarantined.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FindingView {
    /// Where in the record; empty for the record itself.
    pub path: String,
    /// The rule's name.
    pub rule: String,
    /// What was expected and what was found, for people.
    pub message: String,
}

impl IndexReader {
    /// The record at `uri`, if its account is active. One that is quarantined is given too: its `verdict` says so.
    ///
    /// # Errors
    ///
    /// Failing input or damage. A URI that names no record, or has a handle as its authority, finds nothing.
    pub fn record(&self, uri: &AtUri) -> Result<Option<RecordView>, IndexError> {
        let (Some(nsid), Some(rkey)) = (uri.collection(), uri.rkey()) else {
            return Ok(None);
        };
        self.query(|conn| {
            let mut statement = conn.prepare_cached(FIND_RECORD)?;
            let mut rows = statement.query(named_params! {
                ":did": uri.authority(),
                ":nsid": nsid,
                ":rkey": rkey,
            })?;
            rows.next()?.map(RecordView::read).transpose()
        })
    }

    /// Why the record at `uri` is not [`Verdict::Valid`]: at most 16 breaches, none if it is valid or not there.
    ///
    /// # Errors
    ///
    /// Failing input or damage.
    pub fn findings(&self, uri: &AtUri) -> Result<Vec<FindingView>, IndexError> {
        self.query(|conn| {
            let mut statement = conn.prepare_cached(LIST_FINDINGS)?;
            let rows = statement.query_map(
                named_params! {
                    ":did": uri.authority(),
                    ":nsid": uri.collection(),
                    ":rkey": uri.rkey(),
                },
                |row| {
                    Ok(FindingView {
                        path: row.get("path")?,
                        rule: row.get("rule")?,
                        message: row.get("message")?,
                    })
                },
            )?;
            Ok(rows.collect::<Result<_, _>>()?)
        })
    }
}

/// Which part of a list of records is asked for.
#[derive(Debug)]
pub(super) struct Part {
    pub(super) limit: u32,
    pub(super) keys: Keys,
}

impl Part {
    pub(super) fn new<const MOST: u32>(
        limit: Limit<MOST>,
        cursor: Option<&PageCursor>,
        during: Span,
    ) -> Result<Self, QueryError> {
        Ok(Self { limit: limit.get(), keys: Keys::new(cursor, during)? })
    }

    /// Runs a list's SQL, which has the parameters of [`Keys`], `:limit`, and those in `filter`.
    pub(super) fn read(
        &self,
        conn: &Connection,
        collection: Collection,
        sql: &str,
        filter: &[(&str, &dyn ToSql)],
    ) -> Result<Page<RecordView>, Fault> {
        // One more than asked for tells whether another page follows.
        let limit = self.limit + 1;
        let mut statement = conn.prepare_cached(sql)?;
        let mut parameters: Vec<(&str, &dyn ToSql)> = self.parameters().to_vec();
        parameters.push((":limit", &limit));
        parameters.extend_from_slice(filter);
        let rows = statement.query(parameters.as_slice())?;
        page_of(rows, collection, self.limit, RecordView::cursor)
    }

    /// What the condition [`super::page::within`] needs.
    pub(super) fn parameters(&self) -> [(&'static str, &dyn ToSql); 4] {
        let Keys { rkey, did, least, timed } = &self.keys;
        [(":rkey", rkey), (":did", did), (":least", least), (":timed", timed)]
    }
}

/// Reads a page of at most `limit` records, of rows that go on beyond it if the list does.
pub(super) fn page_of(
    mut rows: Rows<'_>,
    collection: Collection,
    limit: u32,
    cursor: impl Fn(&RecordView) -> PageCursor,
) -> Result<Page<RecordView>, Fault> {
    let nsid = nsid_of(collection)?;
    let mut filling = Filling::new(limit);
    while let Some(row) = rows.next()? {
        if filling.add(RecordView::read_in(row, nsid.clone())?) == Filled::Over {
            break;
        }
    }
    Ok(filling.page(cursor))
}

/// A page that is being filled with records: `limit` at most, and fewer where they are large.
#[derive(Debug)]
pub(super) struct Filling {
    items: Vec<RecordView>,
    limit: u32,
    bytes: usize,
}

/// Whether a page goes on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Filled {
    /// There is room for more.
    Part,
    /// It is full, and the record that came last belongs to the next one.
    Over,
}

impl Filling {
    pub(super) fn new(limit: u32) -> Self {
        Self { items: Vec::with_capacity(limit.min(100) as usize + 1), limit, bytes: 0 }
    }

    pub(super) fn add(&mut self, record: RecordView) -> Filled {
        self.bytes = self.bytes.saturating_add(record.block.len());
        if self.bytes > PAGE_BYTES && !self.items.is_empty() {
            self.limit = u32::try_from(self.items.len()).unwrap_or(self.limit);
        }
        self.items.push(record);
        if self.items.len() > self.limit as usize { Filled::Over } else { Filled::Part }
    }

    pub(super) fn page(self, cursor: impl Fn(&RecordView) -> PageCursor) -> Page<RecordView> {
        Page::cut(self.items, self.limit, cursor)
    }
}

/// The record of a typed row, in the repository and collection that the row tells.
pub(super) fn record_of(
    conn: &Connection,
    record: i64,
    did: &str,
    collection: Nsid,
) -> Result<RecordView, Fault> {
    let mut statement = conn.prepare_cached(READ_RECORD)?;
    let mut rows = statement.query(named_params! {":record": record, ":did": did})?;
    let row = rows.next()?.ok_or(Fault::Row("a typed row without its record"))?;
    RecordView::read_in(row, collection)
}

/// The NSID of a collection.
pub(super) fn nsid_of(collection: Collection) -> Result<Nsid, Fault> {
    parsed(Some(collection.nsid())).ok_or(Fault::Row("a collection that is none"))
}

/// The integer that stands for a DID; none before it is met.
pub(super) fn did_id(conn: &Connection, did: &Did) -> Result<Option<i64>, Fault> {
    Ok(conn
        .prepare_cached(FIND_DID)?
        .query_row(named_params! {":did": did.as_str()}, |row| row.get(0))
        .optional()?)
}

/// The integer that stands for a model; none before it is met.
pub(super) fn model_id(conn: &Connection, name: &str) -> Result<Option<i64>, Fault> {
    let mut statement = conn.prepare_cached(FIND_MODEL)?;
    Ok(statement.query_row(named_params! {":name": name}, |row| row.get(0)).optional()?)
}

impl<T> Page<T> {
    /// Nothing at all.
    pub(super) const fn empty() -> Self {
        Self { items: Vec::new(), cursor: None }
    }
}
