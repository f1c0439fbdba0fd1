//! The terms of exchanges, and objections to what they charged.

use rusqlite::{Connection, ToSql};

use super::job::of_repo;
use super::page::within;
use super::provider::{known, of_collection};
use super::record::{Part, did_id};
use super::{Limit, Page, PageCursor, QueryError, RecordView, Span};
use crate::index::{Fault, IndexReader, link_key};
use crate::record::Collection;
use crate::syntax::Did;

/// A settlement has few disputes, so what else is asked for is looked up row by row.
pub(super) const LIST_BY_SETTLEMENT: &str = concat!(
    "select did, record.rkey, cid, verdict, time, body
       from dispute
       cross join record on record.id = dispute.record
       cross join did on did.id = record.repo
      where settlement = :settlement
        and (:raised_by is null or raised_by = :raised_by)
        and (:repo is null or repo = :repo) and ",
    within!("dispute.rkey"),
    " order by dispute.rkey desc, did desc limit :limit"
);

pub(super) const LIST_BY_RAISER: &str = concat!(
    "select did, record.rkey, cid, verdict, time, body
       from dispute
       cross join record on record.id = dispute.record
       cross join did on did.id = record.repo
      where raised_by = :raised_by and (:repo is null or repo = :repo) and ",
    within!("dispute.rkey"),
    " order by dispute.rkey desc, did desc limit :limit"
);

/// Which disputes; all of what is given must hold.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct DisputeFilter {
    /// The repository they are in.
    pub repo: Option<Did>,
    /// The URI of the settlement they are about, letter for letter.
    pub settlement: Option<String>,
    /// Who objects, as the record says.
    pub raised_by: Option<Did>,
    /// When they were written, by their keys.
    pub during: Span,
}

impl IndexReader {
    /// The disputes that match `filter`, newest key first.
    ///
    /// # Errors
    ///
    /// [`QueryError::Cursor`], failing input or damage.
    pub fn list_disputes(
        &self,
        filter: &DisputeFilter,
        limit: Limit<100>,
        cursor: Option<&PageCursor>,
    ) -> Result<Page<RecordView>, QueryError> {
        let part = Part::new(limit, cursor, filter.during)?;
        Ok(self.query(|conn| disputes(conn, filter, &part))?)
    }

    /// The terms of one exchange, or of all, newest key first.
    ///
    /// # Errors
    ///
    /// [`QueryError::Cursor`], failing input or damage.
    pub fn list_policies(
        &self,
        exchange: Option<&Did>,
        during: Span,
        limit: Limit<100>,
        cursor: Option<&PageCursor>,
    ) -> Result<Page<RecordView>, QueryError> {
        let part = Part::new(limit, cursor, during)?;
        Ok(self.query(|conn| of_one_or_all(conn, Collection::ExchangePolicy, exchange, &part))?)
    }
}

fn disputes(conn: &Connection, filter: &DisputeFilter, part: &Part) -> Result<Page<RecordView>, Fault> {
    if filter.settlement.is_none() && filter.raised_by.is_none() {
        return of_one_or_all(conn, Collection::Dispute, filter.repo.as_ref(), part);
    }
    let (Some(repo), Some(raised_by)) = (
        known(filter.repo.as_ref(), |did| did_id(conn, did))?,
        known(filter.raised_by.as_ref(), |did| did_id(conn, did))?,
    ) else {
        return Ok(Page::empty());
    };
    let mut parameters: Vec<(&str, &dyn ToSql)> = vec![(":repo", &repo), (":raised_by", &raised_by)];
    match filter.settlement.as_deref().map(link_key) {
        Some(settlement) => {
            parameters.push((":settlement", &settlement));
            part.read(conn, Collection::Dispute, LIST_BY_SETTLEMENT, &parameters)
        }
        None => part.read(conn, Collection::Dispute, LIST_BY_RAISER, &parameters),
    }
}

/// The served records of a collection, of one repository or of all.
pub(super) fn of_one_or_all(
    conn: &Connection,
    collection: Collection,
    repo: Option<&Did>,
    part: &Part,
) -> Result<Page<RecordView>, Fault> {
    match repo {
        Some(repo) => of_repo(conn, collection, repo, part),
        None => of_collection(conn, collection, part),
    }
}
