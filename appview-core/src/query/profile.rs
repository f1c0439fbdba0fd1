//! How accounts present themselves, and what they have done.

use serde::Serialize;

use super::record::Part;
use super::{LatencyStats, Limit, Page, PageCursor, QueryError, RecordView};
use crate::index::IndexReader;
use crate::record::Collection;
use crate::syntax::{Datetime, Did};

/// All profiles share the key `self`, so that the order of all lists comes down to that of their DIDs.
pub(super) const LIST_PROFILES: &str = "
    select profile.did, rkey, cid, verdict, body
      from profile
      cross join record on record.id = profile.record
     where profile.did < :did and rkey <= :rkey
     order by profile.did desc limit :limit";

/// Weeks in a series.
pub const WEEKS: usize = 52;

/// An account, as its page shows it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct AccountProfile {
    /// The account.
    pub did: Did,
    /// Its handle, as its profile says; nobody has checked it. None where it is missing, empty or no text, as all texts here.
    pub handle: Option<String>,
    /// Its name to show.
    pub display_name: Option<String>,
    /// Where its picture can be fetched.
    pub avatar_url: Option<String>,
    /// A text about itself.
    pub bio: Option<String>,
    /// The time of its first record; none if no record of it tells one.
    pub joined_at: Option<Datetime>,
    /// The time of its last record, but not later than its repository's newest commit.
    pub last_activity_at: Option<Datetime>,
    /// Its machines, newest key first, at most 100.
    pub machines: Vec<MachineView>,
    /// How many jobs it ordered.
    pub job_count: u64,
    /// How many receipts it gave.
    pub receipt_count: u64,
    /// How many accounts declared their trust in it.
    pub incoming_friends_count: u64,
    /// What it did week by week.
    pub week_series: WeekSeries,
    /// How long its work took.
    pub latency: LatencyStats,
}

/// A machine on offer, as its record says.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct MachineView {
    /// The record's key.
    pub rkey: String,
    /// What its owner calls it.
    pub machine_label: Option<String>,
    /// The processor.
    pub chip: Option<String>,
    /// Memory in gigabytes.
    #[serde(rename = "ramGB")]
    pub ram_gb: Option<i64>,
    /// Models it can serve.
    pub supported_models: Vec<String>,
    /// The owner's switch; none where the record does not say.
    pub active: Option<bool>,
    /// When the record was written, as it says.
    pub created_at: Option<String>,
    /// The trust level its owner claims.
    pub trust_level: Option<String>,
}

/// What an account did in each of the last 52 weeks, the oldest first. Weeks begin on Monday at 00:00 UTC. What is older is
/// counted in the first, what is dated later in the last.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct WeekSeries {
    /// The first day of the first week, such as `2026-01-05`.
    pub oldest_week_start: String,
    /// Jobs that it ordered.
    pub jobs_dispatched: Vec<i64>,
    /// Receipts that it gave.
    pub receipts_served: Vec<i64>,
    /// Machines that it had put on offer by the end of the week.
    pub machines_indexed_cumulative: Vec<i64>,
    /// Tokens of those receipts, read and produced.
    pub tokens_indexed: Vec<i64>,
    /// Declarations of trust in it.
    pub trusted_by_new: Vec<i64>,
}

impl IndexReader {
    /// Every account's profile, at most one for each, the greatest DID first.
    ///
    /// # Errors
    ///
    /// [`QueryError::Cursor`], failing input or damage.
    pub fn list_profiles(
        &self,
        limit: Limit<500>,
        cursor: Option<&PageCursor>,
    ) -> Result<Page<RecordView>, QueryError> {
        let part = Part::new(limit, cursor)?;
        let profiles = |conn: &_| part.read(conn, Collection::Profile, LIST_PROFILES, &[]);
        Ok(self.query(profiles)?)
    }

    /// What there is to show of one account at the moment `now` (microseconds since 1970); nothing if it has no record that
    /// is shown.
    ///
    /// # Errors
    ///
    /// Failing input or damage.
    pub fn profile(&self, did: &Did, now: u64) -> Result<Option<AccountProfile>, QueryError> {
        let _ = (did, now);
        todo!()
    }
}
