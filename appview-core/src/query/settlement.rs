//! Money moved.

use rusqlite::{Connection, ToSql};

use super::page::within;
use super::provider::{known, of_collection};
use super::record::{Part, did_id};
use super::{Limit, Page, PageCursor, QueryError, RecordView, Span};
use crate::index::{Fault, IndexReader, link_key};
use crate::record::Collection;
use crate::syntax::Did;

/// A receipt is settled once, and refunded perhaps, so a requester is looked up row by row.
pub(super) const LIST_BY_RECEIPT: &str = concat!(
    "select did, record.rkey, cid, verdict, time, body
       from settlement
       cross join record on record.id = settlement.record
       cross join did on did.id = record.repo
      where receipt = :receipt and (:requester is null or requester = :requester) and ",
    within!("settlement.rkey"),
    " order by settlement.rkey desc, did desc limit :limit"
);

pub(super) const LIST_BY_REQUESTER: &str = concat!(
    "select did, record.rkey, cid, verdict, time, body
       from settlement
       cross join record on record.id = settlement.record
       cross join did on did.id = record.repo
      where requester = :requester and ",
    within!("settlement.rkey"),
    " order by settlement.rkey desc, did desc limit :limit"
);

/// Which settlements; all of what is given must hold.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct SettlementFilter {
    /// The URI of the receipt they are for, letter for letter.
    pub receipt: Option<String>,
    /// In whose repository the authorization is that they draw on.
    pub requester: Option<Did>,
    /// When they were written, by their keys.
    pub during: Span,
}

impl IndexReader {
    /// The settlements that match `filter`, newest key first.
    ///
    /// # Errors
    ///
    /// [`QueryError::Cursor`], failing input or damage.
    pub fn list_settlements(
        &self,
        filter: &SettlementFilter,
        limit: Limit<200>,
        cursor: Option<&PageCursor>,
    ) -> Result<Page<RecordView>, QueryError> {
        let part = Part::new(limit, cursor, filter.during)?;
        Ok(self.query(|conn| list(conn, filter, &part))?)
    }
}

fn list(conn: &Connection, filter: &SettlementFilter, part: &Part) -> Result<Page<RecordView>, Fault> {
    let collection = Collection::Settlement;
    let Some(requester) = known(filter.requester.as_ref(), |did| did_id(conn, did))? else {
        return Ok(Page::empty());
    };
    let of_requester: (&str, &dyn ToSql) = (":requester", &requester);
    match &filter.receipt {
        Some(receipt) => {
            let receipt = link_key(receipt);
            let filter = [(":receipt", &receipt as &dyn ToSql), of_requester];
            part.read(conn, collection, LIST_BY_RECEIPT, &filter)
        }
        None if requester.is_some() => part.read(conn, collection, LIST_BY_REQUESTER, &[of_requester]),
        None => of_collection(conn, collection, part),
    }
}
