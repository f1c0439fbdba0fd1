//! Orders.

use rusqlite::Connection;

use super::record::{Part, collection_id, did_id};
use super::{Limit, Page, PageCursor, QueryError, RecordView, Span};
use crate::index::{Fault, IndexReader};
use crate::record::Collection;
use crate::syntax::Did;

/// One repository's records of one collection, newest key first.
pub(super) const LIST_OF_REPO: &str = "
    select did, rkey, cid, verdict, body
      from record
      cross join did on did.id = record.repo
     where repo = :repo and collection = :collection and served = 1
       and rkey <= :rkey and (rkey < :rkey or did < :did)
     order by rkey desc limit :limit";

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
        let _ = during;
        let part = Part::new(limit, cursor)?;
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
    match (collection_id(conn, collection.nsid())?, did_id(conn, repo)?) {
        (Some(id), Some(repo)) => {
            let filter: [(&str, &dyn rusqlite::ToSql); 2] = [(":collection", &id), (":repo", &repo)];
            part.read(conn, collection, LIST_OF_REPO, &filter)
        }
        _ => Ok(Page::empty()),
    }
}
