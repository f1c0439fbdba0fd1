//! Finished work.

use rusqlite::{Connection, ToSql};

use super::job::of_repo;
use super::provider::of_collection;
use super::record::{Part, did_id};
use super::{Limit, Page, PageCursor, QueryError, RecordView, Span};
use crate::index::{Fault, IndexReader, link_key};
use crate::record::Collection;
use crate::syntax::Did;

pub(super) const LIST_BY_REQUESTER: &str = "
    select did, record.rkey, cid, verdict, body
      from receipt
      cross join record on record.id = receipt.record
      cross join did on did.id = receipt.provider
     where requester = :requester
       and receipt.rkey <= :rkey and (receipt.rkey < :rkey or did < :did)
     order by receipt.rkey desc, did desc limit :limit";

pub(super) const LIST_BY_REQUESTER_AND_PROVIDER: &str = "
    select did, record.rkey, cid, verdict, body
      from receipt
      cross join record on record.id = receipt.record
      cross join did on did.id = receipt.provider
     where requester = :requester and provider = :provider
       and receipt.rkey <= :rkey and (receipt.rkey < :rkey or did < :did)
     order by receipt.rkey desc, did desc limit :limit";

/// A job has one receipt if all is well, so what else is asked for is looked up row by row.
pub(super) const LIST_BY_JOB: &str = "
    select did, record.rkey, cid, verdict, body
      from receipt
      cross join record on record.id = receipt.record
      cross join did on did.id = receipt.provider
     where job = :job
       and (:requester is null or requester = :requester)
       and (:provider is null or provider = :provider)
       and receipt.rkey <= :rkey and (receipt.rkey < :rkey or did < :did)
     order by receipt.rkey desc, did desc limit :limit";

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
    /// The receipts that match `filter`, newest key first.
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
        let part = Part::new(limit, cursor)?;
        Ok(self.query(|conn| list(conn, filter, &part))?)
    }
}

fn list(conn: &Connection, filter: &ReceiptFilter, part: &Part) -> Result<Page<RecordView>, Fault> {
    let collection = Collection::Receipt;
    if filter.job.is_none() && filter.requester.is_none() {
        return match &filter.provider {
            Some(provider) => of_repo(conn, collection, provider, part),
            None => of_collection(conn, collection, part),
        };
    }
    let (Some(requester), Some(provider)) =
        (known(conn, filter.requester.as_ref())?, known(conn, filter.provider.as_ref())?)
    else {
        return Ok(Page::empty());
    };
    let of_requester: (&str, &dyn ToSql) = (":requester", &requester);
    let by_provider: (&str, &dyn ToSql) = (":provider", &provider);
    if let Some(job) = &filter.job {
        let job = link_key(job);
        let filter = [(":job", &job as &dyn ToSql), of_requester, by_provider];
        return part.read(conn, collection, LIST_BY_JOB, &filter);
    }
    if provider.is_some() {
        let filter = [of_requester, by_provider];
        return part.read(conn, collection, LIST_BY_REQUESTER_AND_PROVIDER, &filter);
    }
    part.read(conn, collection, LIST_BY_REQUESTER, &[of_requester])
}

/// The integer of a DID that may not have been asked for; nothing if it was and no row names it.
pub(super) fn known(conn: &Connection, did: Option<&Did>) -> Result<Option<Option<i64>>, Fault> {
    match did {
        None => Ok(Some(None)),
        Some(did) => Ok(did_id(conn, did)?.map(Some)),
    }
}
