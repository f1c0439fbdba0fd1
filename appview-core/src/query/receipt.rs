//! Finished work.
//!
//! Receipts have an order of their own: by when the work was completed, as they say, then by key, then by DID. An index for
//! each of the four whose work it may be gives it; what else is asked for is looked at receipt by receipt.

use std::collections::HashMap;

use rusqlite::{Connection, Row, ToSql, named_params};

use super::page::TOP;
use super::provider::{READ_RECORD, known};
use super::record::{Filled, Filling, did_id, model_id, nsid_of, page_of};
use super::{Limit, Page, PageCursor, QueryError, RecordView, Span};
use crate::index::{Fault, IndexReader, link_key};
use crate::record::Collection;
use crate::syntax::{AtUri, Did};

/// Most receipts that are looked at for one page. Only a filter in two or more ways leaves any of them out.
const LOOKED_AT: usize = 4_096;

/// Receipts below a place in their order, and not before a time.
macro_rules! below {
    () => {
        "receipt.time >= :since and (receipt.time, receipt.rkey) <= (:time, :rkey)
         and ((receipt.time, receipt.rkey) < (:time, :rkey) or did < :did)"
    };
}

/// What a page needs of each receipt, and where it stands.
macro_rules! pages {
    ($condition:literal) => {
        concat!(
            "select did, receipt.rkey as rkey, cid, verdict, receipt.time as time, body
               from receipt
               cross join record on record.id = receipt.record
               cross join did on did.id = receipt.provider
              where ",
            $condition,
            " and ",
            below!()
        )
    };
}

/// What a filter needs of each receipt, and where it stands.
macro_rules! candidates {
    ($condition:literal) => {
        concat!(
            "select did, receipt.rkey as rkey, receipt.time as time, receipt.record, provider, requester, model, tier
               from receipt
               cross join did on did.id = receipt.provider
              where ",
            $condition,
            " and ",
            below!()
        )
    };
}

/// A whole statement: of those that tell how long the work took and those that don't, merged, since each is in order; or of
/// both from one index.
macro_rules! statement {
    ($rows:ident, $told:literal, $untold:literal, $limit:literal) => {
        concat!(
            $rows!($told),
            " union all ",
            $rows!($untold),
            " order by time desc, rkey desc, did desc",
            $limit
        )
    };
    ($rows:ident, $condition:literal, $limit:literal) => {
        concat!($rows!($condition), " order by receipt.time desc, receipt.rkey desc, did desc", $limit)
    };
}

pub(super) const LIST_ALL: &str = statement!(pages, "millis is not null", "millis is null", " limit :limit");

pub(super) const LIST_BY_PROVIDER: &str = statement!(
    pages,
    "provider = :of and millis is not null",
    "provider = :of and millis is null",
    " limit :limit"
);

pub(super) const LIST_BY_MODEL: &str = statement!(
    pages,
    "model = :of and millis is not null",
    "model = :of and millis is null",
    " limit :limit"
);

pub(super) const LIST_BY_REQUESTER: &str = statement!(pages, "requester = :of", " limit :limit");

pub(super) const LIST_BY_JOB: &str = statement!(pages, "job = :of", " limit :limit");

pub(super) const LOOK_AT_ALL: &str = statement!(candidates, "millis is not null", "millis is null", "");

pub(super) const LOOK_AT_PROVIDER: &str =
    statement!(candidates, "provider = :of and millis is not null", "provider = :of and millis is null", "");

pub(super) const LOOK_AT_MODEL: &str =
    statement!(candidates, "model = :of and millis is not null", "model = :of and millis is null", "");

pub(super) const LOOK_AT_REQUESTER: &str = statement!(candidates, "requester = :of", "");

pub(super) const LOOK_AT_JOB: &str = statement!(candidates, "job = :of", "");

const FIND_CLAIM: &str = "
    select 1 from provider where owner = :owner and trust_level = :trust_level";

/// Which receipts; all of what is given must hold.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ReceiptFilter {
    /// The repository they are in.
    pub provider: Option<Did>,
    /// For whom they say the work was done: the provider's claim.
    pub requester: Option<Did>,
    /// The URI of the job they name, letter for letter.
    pub job: Option<String>,
    /// The model they name.
    pub model: Option<String>,
    /// The tier they claim; without one, that is `best-effort`.
    pub tier: Option<String>,
    /// The trust level that one of the provider's machines claims.
    pub trust_level: Option<String>,
    /// When the work was completed.
    pub during: Span,
}

impl IndexReader {
    /// The receipts that match `filter`, the work that was completed last first.
    ///
    /// Looks at 4,096 receipts at most. Where a filter asks for more than one of provider, requester, job and model, or for
    /// tier or trust level, a page may therefore end, or be empty, before all that match are found; its cursor leads on.
    ///
    /// # Errors
    ///
    /// [`QueryError::Cursor`], failing input or damage.
    pub fn list_receipts(
        &self,
        filter: &ReceiptFilter,
        limit: Limit<200>,
        cursor: Option<&PageCursor>,
    ) -> Result<Page<RecordView>, QueryError> {
        let place = Place::new(cursor, filter.during)?;
        Ok(self.query(|conn| list(conn, filter, limit.get(), &place))?)
    }
}

/// Below which receipt a page starts, and before which time it ends.
#[derive(Debug)]
struct Place {
    time: i64,
    rkey: String,
    did: String,
    since: i64,
}

impl Place {
    fn new(cursor: Option<&PageCursor>, during: Span) -> Result<Self, QueryError> {
        let since = during.since.unwrap_or(i64::MIN);
        let last = during.until.map_or(i64::MAX, |until| until.saturating_sub(1));
        let start = Self { time: last, rkey: TOP.into(), did: TOP.into(), since };
        let Some(cursor) = cursor else { return Ok(start) };
        let (time, uri) = cursor.item().split_once(' ').ok_or(QueryError::Cursor)?;
        let time: i64 = time.parse().map_err(|_| QueryError::Cursor)?;
        let uri: AtUri = uri.parse().map_err(|_| QueryError::Cursor)?;
        let rkey = uri.rkey().ok_or(QueryError::Cursor)?;
        if time > last {
            return Ok(start);
        }
        Ok(Self { time, rkey: rkey.into(), did: uri.authority().into(), since })
    }

    fn parameters(&self) -> [(&'static str, &dyn ToSql); 4] {
        [(":time", &self.time), (":rkey", &self.rkey), (":did", &self.did), (":since", &self.since)]
    }
}

/// The place of a receipt.
fn cursor(receipt: &RecordView) -> PageCursor {
    PageCursor::after(format!("{} {}", receipt.time, receipt.uri()))
}

/// Which index gives the order.
enum By {
    All,
    Job([u8; 24]),
    Requester(i64),
    Provider(i64),
    Model(i64),
}

impl By {
    /// The statement whose every row is on the page, and the one whose rows are to be looked at.
    const fn statements(&self) -> (&'static str, &'static str) {
        match self {
            Self::All => (LIST_ALL, LOOK_AT_ALL),
            Self::Job(_) => (LIST_BY_JOB, LOOK_AT_JOB),
            Self::Requester(_) => (LIST_BY_REQUESTER, LOOK_AT_REQUESTER),
            Self::Provider(_) => (LIST_BY_PROVIDER, LOOK_AT_PROVIDER),
            Self::Model(_) => (LIST_BY_MODEL, LOOK_AT_MODEL),
        }
    }

    fn parameter(&self) -> Option<(&'static str, &dyn ToSql)> {
        match self {
            Self::All => None,
            Self::Job(key) => Some((":of", key)),
            Self::Requester(id) | Self::Provider(id) | Self::Model(id) => Some((":of", id)),
        }
    }
}

/// What must hold beyond what the index gives.
#[derive(Default, PartialEq, Eq)]
struct Also<'f> {
    provider: Option<i64>,
    requester: Option<i64>,
    model: Option<i64>,
    tier: Option<&'f str>,
    trust_level: Option<&'f str>,
}

fn list(
    conn: &Connection,
    filter: &ReceiptFilter,
    limit: u32,
    place: &Place,
) -> Result<Page<RecordView>, Fault> {
    let (Some(provider), Some(requester), Some(model)) = (
        known(filter.provider.as_ref(), |did| did_id(conn, did))?,
        known(filter.requester.as_ref(), |did| did_id(conn, did))?,
        known(filter.model.as_ref(), |name| model_id(conn, name))?,
    ) else {
        return Ok(Page::empty());
    };
    let (tier, trust_level) = (filter.tier.as_deref(), filter.trust_level.as_deref());
    let mut also = Also { provider, requester, model, tier, trust_level };
    // The fewest first: a job has one receipt if all is well, a model may have half of all.
    let by = if let Some(job) = &filter.job {
        By::Job(link_key(job))
    } else if let Some(requester) = also.requester.take() {
        By::Requester(requester)
    } else if let Some(provider) = also.provider.take() {
        By::Provider(provider)
    } else if let Some(model) = also.model.take() {
        By::Model(model)
    } else {
        By::All
    };
    let (pages, candidates) = by.statements();
    let mut parameters: Vec<(&str, &dyn ToSql)> = place.parameters().to_vec();
    parameters.extend(by.parameter());
    if also != Also::default() {
        return look(conn, candidates, &parameters, &also, limit);
    }
    // One more than asked for tells whether another page follows.
    let most = limit + 1;
    parameters.push((":limit", &most));
    let mut statement = conn.prepare_cached(pages)?;
    let rows = statement.query(parameters.as_slice())?;
    page_of(rows, Collection::Receipt, limit, cursor)
}

/// Walks over receipts in order, and keeps those that match.
fn look(
    conn: &Connection,
    sql: &str,
    parameters: &[(&str, &dyn ToSql)],
    also: &Also<'_>,
    limit: u32,
) -> Result<Page<RecordView>, Fault> {
    let nsid = nsid_of(Collection::Receipt)?;
    let mut claims = Claims { conn, trust_level: also.trust_level, known: HashMap::new() };
    let mut filling = Filling::new(limit);
    let mut statement = conn.prepare_cached(sql)?;
    let mut rows = statement.query(parameters)?;
    let mut looked_at = 0;
    while let Some(row) = rows.next()? {
        looked_at += 1;
        let is_wanted = also.wants(row)? && claims.hold(row.get("provider")?)?;
        let did = row.get_ref("did")?.as_str().map_err(|_| Fault::Row("a did that is none"))?;
        if is_wanted {
            let mut read = conn.prepare_cached(READ_RECORD)?;
            let record: i64 = row.get("record")?;
            let mut found = read.query(named_params! {":record": record, ":did": did})?;
            let found = found.next()?.ok_or(Fault::Row("a typed row without its record"))?;
            if filling.add(RecordView::read_in(found, nsid.clone())?) == Filled::Over {
                break;
            }
        }
        if looked_at == LOOKED_AT {
            let (time, rkey): (i64, String) = (row.get("time")?, row.get("rkey")?);
            let mut page = filling.page(cursor);
            page.cursor = Some(PageCursor::after(format!("{time} at://{did}/{nsid}/{rkey}")));
            return Ok(page);
        }
    }
    Ok(filling.page(cursor))
}

impl Also<'_> {
    fn wants(&self, row: &Row<'_>) -> Result<bool, Fault> {
        let is = |wanted: Option<i64>, column| {
            Ok::<_, Fault>(match wanted {
                None => true,
                wanted => wanted == row.get(column)?,
            })
        };
        let is_tier = match self.tier {
            None => true,
            wanted => wanted == row.get_ref("tier")?.as_str_or_null().unwrap_or(None),
        };
        Ok(is_tier
            && is(self.provider, "provider")?
            && is(self.requester, "requester")?
            && is(self.model, "model")?)
    }
}

/// Which providers have a machine that claims a trust level, each looked up once.
struct Claims<'a> {
    conn: &'a Connection,
    trust_level: Option<&'a str>,
    known: HashMap<i64, bool>,
}

impl Claims<'_> {
    fn hold(&mut self, owner: i64) -> Result<bool, Fault> {
        let Some(trust_level) = self.trust_level else { return Ok(true) };
        if let Some(known) = self.known.get(&owner) {
            return Ok(*known);
        }
        let mut statement = self.conn.prepare_cached(FIND_CLAIM)?;
        let holds = statement.exists(named_params! {":owner": owner, ":trust_level": trust_level})?;
        self.known.insert(owner, holds);
        Ok(holds)
    }
}
