//! Machines on offer.

use rusqlite::Connection;

use super::record::{Part, collection_id};
use super::{Limit, Page, PageCursor, QueryError, RecordView, Span};
use crate::index::{Fault, IndexReader};
use crate::record::Collection;
use crate::syntax::Did;

/// All records of one collection, newest key first.
pub(super) const LIST_OF_COLLECTION: &str = "
    select did, rkey, cid, verdict, body
      from record
      cross join did on did.id = record.repo
     where collection = :collection and served = 1
       and rkey <= :rkey and (rkey < :rkey or did < :did)
     order by rkey desc, did desc limit :limit";

/// Which machines; all of what is given must hold.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ProviderFilter {
    /// The repository they are in.
    pub owner: Option<Did>,
    /// A model that they can serve.
    pub model: Option<String>,
    /// The trust level they claim.
    pub trust_level: Option<String>,
    /// The tier they claim; without one, that is `best-effort`.
    pub tier: Option<String>,
    /// When they were first offered, by their keys.
    pub during: Span,
}

impl IndexReader {
    /// The machines that match `filter`, those that are switched off included, newest key first.
    ///
    /// # Errors
    ///
    /// [`QueryError::Cursor`], failing input or damage.
    pub fn list_providers(
        &self,
        filter: &ProviderFilter,
        limit: Limit<100>,
        cursor: Option<&PageCursor>,
    ) -> Result<Page<RecordView>, QueryError> {
        let _ = filter;
        let part = Part::new(limit, cursor)?;
        Ok(self.query(|conn| of_collection(conn, Collection::Provider, &part))?)
    }
}

/// The served records of a collection.
pub(super) fn of_collection(
    conn: &Connection,
    collection: Collection,
    part: &Part,
) -> Result<Page<RecordView>, Fault> {
    match collection_id(conn, collection.nsid())? {
        Some(id) => part.read(conn, collection, LIST_OF_COLLECTION, &[(":collection", &id)]),
        None => Ok(Page::empty()),
    }
}
