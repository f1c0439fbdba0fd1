//! Orders.

use rusqlite::{Connection, ToSql};

use super::page::within;
use super::record::{Part, did_id};
use super::{Limit, Page, PageCursor, QueryError, RecordView, Span};
use crate::index::{Fault, IndexReader, number_of};
use crate::record::Collection;
use crate::syntax::Did;

/// One repository's records of one collection, newest key first.
pub(super) const LIST_OF_REPO: &str = concat!(
    "select did, rkey, cid, verdict, time, body
       from record
       cross join did on did.id = record.repo
      where repo = :repo and collection = :collection and served = 1 and ",
    within!("rkey"),
    " order by rkey desc limit :limit"
);

impl IndexReader {
    /// The jobs that one requester ordered within a range of time, newest key first.
    ///
    /// # Errors
    ///
    /// [`QueryError::Cursor`], failing input or damage.
    pub fn list_jobs(
        &self,
        requester: &Did,
        during: Span,
        limit: Limit<500>,
        cursor: Option<&PageCursor>,
    ) -> Result<Page<RecordView>, QueryError> {
        let part = Part::new(limit, cursor, during)?;
        Ok(self.query(|conn| of_repo(conn, Collection::Job, requester, &part))?)
    }
}

/// The served records of a repository in one collection.
pub(super) fn of_repo(
    conn: &Connection,
    collection: Collection,
    repo: &Did,
    part: &Part,
) -> Result<Page<RecordView>, Fault> {
    match did_id(conn, repo)? {
        Some(repo) => {
            let filter: [(&str, &dyn ToSql); 2] = [(":collection", &number_of(collection)), (":repo", &repo)];
            part.read(conn, collection, LIST_OF_REPO, &filter)
        }
        None => Ok(Page::empty()),
    }
}
