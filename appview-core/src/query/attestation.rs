//! What machines say of themselves.

use super::exchange::of_one_or_all;
use super::record::Part;
use super::{Limit, Page, PageCursor, QueryError, RecordView, Span};
use crate::index::IndexReader;
use crate::record::Collection;
use crate::syntax::Did;

impl IndexReader {
    /// The attestations of one provider's machines, or of all, newest key first.
    ///
    /// # Errors
    ///
    /// [`QueryError::Cursor`], failing input or damage.
    pub fn list_attestations(
        &self,
        provider: Option<&Did>,
        during: Span,
        limit: Limit<100>,
        cursor: Option<&PageCursor>,
    ) -> Result<Page<RecordView>, QueryError> {
        let part = Part::new(limit, cursor, during)?;
        Ok(self.query(|conn| of_one_or_all(conn, Collection::Attestation, provider, &part))?)
    }
}
