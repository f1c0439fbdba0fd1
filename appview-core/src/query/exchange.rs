//! The terms of exchanges, and objections to what they charged.

use super::{Limit, Page, PageCursor, QueryError, RecordView, Span};
use crate::index::IndexReader;
use crate::syntax::Did;

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
        let _ = (filter, limit, cursor);
        todo!()
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
        let _ = (exchange, during, limit, cursor);
        todo!()
    }
}
