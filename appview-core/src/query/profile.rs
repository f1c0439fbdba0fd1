//! How accounts present themselves.

use super::record::Part;
use super::{Limit, Page, PageCursor, QueryError, RecordView};
use crate::index::IndexReader;
use crate::record::Collection;

/// All profiles share the key `self`, so that the order of all lists comes down to that of their DIDs.
pub(super) const LIST_PROFILES: &str = "
    select profile.did, rkey, cid, verdict, body
      from profile
      cross join record on record.id = profile.record
     where profile.did < :did and rkey <= :rkey
     order by profile.did desc limit :limit";

impl IndexReader {
    /// Every account's profile, at most one for each, the greatest DID first.
    ///
    /// # Errors
    ///
    /// [`QueryError::Cursor`], failing input or damage.
    pub fn list_profiles(
        &self,
        limit: Limit,
        cursor: Option<&PageCursor>,
    ) -> Result<Page<RecordView>, QueryError> {
        let part = Part::new(limit, cursor)?;
        let profiles = |conn: &_| part.read(conn, Collection::Profile, LIST_PROFILES, &[]);
        Ok(self.query(profiles)?)
    }
}
