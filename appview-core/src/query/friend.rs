//! Who trusts whom.

use rusqlite::{Connection, ToSql};

use super::job::of_repo;
use super::provider::of_collection;
use super::receipt::known;
use super::record::Part;
use super::{Limit, Page, PageCursor, QueryError, RecordView};
use crate::index::{Fault, IndexReader};
use crate::record::Collection;
use crate::syntax::Did;
use serde::Serialize;

pub(super) const LIST_BY_SUBJECT: &str = "
    select did, record.rkey, cid, verdict, body
      from friend
      cross join record on record.id = friend.record
      cross join did on did.id = record.repo
     where subject = :subject
       and (:friender is null or repo = :friender)
       and friend.rkey <= :rkey and (friend.rkey < :rkey or did < :did)
     order by friend.rkey desc, did desc limit :limit";

/// Which declarations of trust; all of what is given must hold.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct FriendFilter {
    /// Who trusts: the repository they are in.
    pub friender: Option<Did>,
    /// Who is trusted.
    pub subject: Option<Did>,
}

/// Who trusts an account.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct IncomingFriend {
    /// Who declared it.
    pub friender: Did,
    /// Their handle. No record tells it, so that it is none here; whoever knows may say.
    pub friender_handle: Option<String>,
    /// When it was first declared, as the record says it, or else as its key does.
    pub created_at: String,
}

/// That one account trusts another.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct FriendEdge {
    /// Who declared it.
    pub friender: Did,
    /// In whom.
    pub subject: Did,
    /// When it was first declared, as the record says it, or else as its key does.
    pub created_at: String,
}

impl IndexReader {
    /// Who trusts `subject`, each once, the latest to declare it first.
    ///
    /// # Errors
    ///
    /// [`QueryError::Cursor`], failing input or damage.
    pub fn list_incoming_friends(
        &self,
        subject: &Did,
        limit: Limit<200>,
        cursor: Option<&PageCursor>,
    ) -> Result<Page<IncomingFriend>, QueryError> {
        let _ = (subject, limit, cursor);
        todo!()
    }

    /// Who trusts whom, each pair once, the latest to be declared first. That somebody trusts themselves is left out.
    ///
    /// # Errors
    ///
    /// [`QueryError::Cursor`], failing input or damage.
    pub fn list_friend_edges(
        &self,
        limit: Limit<20_000>,
        cursor: Option<&PageCursor>,
    ) -> Result<Page<FriendEdge>, QueryError> {
        let _ = (limit, cursor);
        todo!()
    }

    /// The declarations of trust that match `filter`, newest key first. One account may have declared the same twice.
    ///
    /// # Errors
    ///
    /// [`QueryError::Cursor`], failing input or damage.
    pub fn list_friends(
        &self,
        filter: &FriendFilter,
        limit: Limit,
        cursor: Option<&PageCursor>,
    ) -> Result<Page<RecordView>, QueryError> {
        let part = Part::new(limit, cursor)?;
        Ok(self.query(|conn| list(conn, filter, &part))?)
    }
}

fn list(conn: &Connection, filter: &FriendFilter, part: &Part) -> Result<Page<RecordView>, Fault> {
    let collection = Collection::Friend;
    match (&filter.friender, &filter.subject) {
        (None, None) => of_collection(conn, collection, part),
        (Some(friender), None) => of_repo(conn, collection, friender, part),
        (friender, Some(subject)) => {
            let (Some(friender), Some(Some(subject))) =
                (known(conn, friender.as_ref())?, known(conn, Some(subject))?)
            else {
                return Ok(Page::empty());
            };
            let filter: [(&str, &dyn ToSql); 2] = [(":subject", &subject), (":friender", &friender)];
            part.read(conn, collection, LIST_BY_SUBJECT, &filter)
        }
    }
}
