//! How accounts present themselves, and what they have done.

use rusqlite::{Connection, OptionalExtension as _, named_params};
use serde::Serialize;

use super::page::TOP;
use super::record::{FIND_RECORD, Part, page_of};
use super::{LatencyStats, Limit, Page, PageCursor, QueryError, RecordView, Span, job, latency};
use crate::block::{Map, Value, cbor};
use crate::index::{Fault, IndexReader, LatencyOf, number_of, start_of, week_of};
use crate::record::{Collection, Verdict};
use crate::syntax::{Datetime, Did};

pub(super) const LIST_PROFILES: &str = "
    select did, rkey, cid, verdict, record.time, body
      from profile
      cross join record on record.id = profile.record
     where profile.time <= :time and (profile.time < :time or did < :did)
     order by profile.time desc, did desc limit :limit";

const FIND_ACCOUNT: &str = "
    select repo.id, joined, recent
      from did cross join repo on repo.id = did.id
     where did = :did and shown > 0";

/// Counted by week: what a repository has of each collection.
pub(super) const LIST_WEEKS: &str = "
    select b as collection, week, records, tokens_in + tokens_out as tokens
      from total where kind = 0 and a = :repo";

pub(super) const LIST_WEEKS_OF_TRUST: &str = "
    select week, records from total where kind = 4 and a = :subject";

const COUNT_FRIENDS: &str =
    "select records from total where kind = 5 and a = :subject and b = 0 and week = 0";

/// Most machines that are shown of one account.
const MACHINES: Limit<100> = Limit::MAX;

/// Beyond every moment that a calendar of four digits has.
const LAST: i64 = 1 << 60;

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
    /// Every account's profile, at most one for each, the one that was made last first, as far as profiles tell. Of equal times
    /// the greater DID comes first.
    ///
    /// # Errors
    ///
    /// [`QueryError::Cursor`], failing input or damage.
    pub fn list_profiles(
        &self,
        limit: Limit<500>,
        cursor: Option<&PageCursor>,
    ) -> Result<Page<RecordView>, QueryError> {
        let (time, did) = match cursor {
            None => (i64::MAX, TOP.to_owned()),
            Some(cursor) => {
                let (time, did) = cursor.item().split_once(' ').ok_or(QueryError::Cursor)?;
                let did: Did = did.parse().map_err(|_| QueryError::Cursor)?;
                (time.parse().map_err(|_| QueryError::Cursor)?, did.to_string())
            }
        };
        Ok(self.query(|conn| {
            let mut statement = conn.prepare_cached(LIST_PROFILES)?;
            // One more than asked for tells whether another page follows.
            let most = limit.get() + 1;
            let rows = statement.query(named_params! {":time": time, ":did": did, ":limit": most})?;
            page_of(rows, Collection::Profile, limit.get(), |profile| {
                PageCursor::after(format!("{} {}", profile.time, profile.repo))
            })
        })?)
    }

    /// What there is to show of one account at the moment `now` (microseconds since 1970); nothing if it has no record that
    /// is shown.
    ///
    /// # Errors
    ///
    /// Failing input or damage.
    pub fn profile(&self, did: &Did, now: u64) -> Result<Option<AccountProfile>, QueryError> {
        let machines = Part::new(MACHINES, None, Span::ALWAYS)?;
        Ok(self.query(|conn| profile(conn, did, now, &machines))?)
    }
}

fn profile(conn: &Connection, did: &Did, now: u64, machines: &Part) -> Result<Option<AccountProfile>, Fault> {
    let mut statement = conn.prepare_cached(FIND_ACCOUNT)?;
    let found = statement.query_row(named_params! {":did": did.as_str()}, |row| {
        Ok((row.get::<_, i64>("id")?, row.get("joined")?, row.get("recent")?))
    });
    let Some((id, joined, recent)) = found.optional()? else { return Ok(None) };
    let myself = myself(conn, did)?;
    let member = |name| {
        let value = myself.as_ref().and_then(|record| cbor::decode(&record.block).ok())?;
        text(value.as_map()?, name)
    };
    let page = job::of_repo(conn, Collection::Provider, did, machines)?;
    let (series, counts) = weeks(conn, id, now)?;
    Ok(Some(AccountProfile {
        did: did.clone(),
        handle: member("handle"),
        display_name: member("displayName"),
        avatar_url: member("avatarUrl"),
        bio: member("bio"),
        joined_at: moment(joined),
        last_activity_at: moment(recent),
        machines: page.items.iter().map(MachineView::of).collect(),
        job_count: counts.jobs,
        receipt_count: counts.receipts,
        incoming_friends_count: friends(conn, id)?,
        week_series: series,
        latency: latency::find(conn, LatencyOf::provider(id))?,
    }))
}

/// The account's own profile.
fn myself(conn: &Connection, did: &Did) -> Result<Option<RecordView>, Fault> {
    let mut statement = conn.prepare_cached(FIND_RECORD)?;
    let mut rows = statement.query(named_params! {
        ":did": did.as_str(),
        ":nsid": Collection::Profile.nsid(),
        ":rkey": "self",
    })?;
    let found = rows.next()?.map(RecordView::read).transpose()?;
    Ok(found.filter(|record| record.verdict != Verdict::Quarantined))
}

/// A moment as it is shown; 0 stands for none.
pub(super) fn moment(micros: i64) -> Option<Datetime> {
    (micros != 0).then(|| Datetime::saturating(micros))
}

fn text(members: &Map<'_>, name: &str) -> Option<String> {
    members.text(name).filter(|text| !text.is_empty()).map(str::to_owned)
}

impl MachineView {
    fn of(record: &RecordView) -> Self {
        let value = cbor::decode(&record.block).ok();
        let none = Map::default();
        let members = value.as_ref().and_then(Value::as_map).unwrap_or(&none);
        let models = match members.get("supportedModels") {
            Some(Value::List(models)) => {
                models.iter().filter_map(Value::as_text).map(str::to_owned).collect()
            }
            _ => Vec::new(),
        };
        Self {
            rkey: record.rkey.to_string(),
            machine_label: text(members, "machineLabel"),
            chip: text(members, "chip"),
            ram_gb: members.integer("ramGB"),
            supported_models: models,
            active: members.get("active").and_then(Value::as_bool),
            created_at: text(members, "createdAt"),
            trust_level: text(members, "trustLevel"),
        }
    }
}

/// How many records there are, over all weeks.
struct Counts {
    jobs: u64,
    receipts: u64,
}

fn weeks(conn: &Connection, id: i64, now: u64) -> Result<(WeekSeries, Counts), Fault> {
    let current = week_of(i64::try_from(now).unwrap_or(i64::MAX).min(LAST));
    let oldest = current - (WEEKS as i64 - 1);
    let week = |week: i64| usize::try_from((week - oldest).clamp(0, WEEKS as i64 - 1)).unwrap_or(0);
    let [mut jobs, mut receipts, mut machines, mut tokens, mut trusted] = [const { [0; WEEKS] }; 5];
    let add = |series: &mut [i64; WEEKS], at: usize, number: i64| {
        if let Some(sum) = series.get_mut(at) {
            *sum += number;
        }
    };
    let mut statement = conn.prepare_cached(LIST_WEEKS)?;
    let mut rows = statement.query(named_params! {":repo": id})?;
    while let Some(row) = rows.next()? {
        let (collection, records): (i64, i64) = (row.get("collection")?, row.get("records")?);
        let at = week(row.get("week")?);
        if collection == number_of(Collection::Job) {
            add(&mut jobs, at, records);
        } else if collection == number_of(Collection::Provider) {
            add(&mut machines, at, records);
        } else if collection == number_of(Collection::Receipt) {
            add(&mut receipts, at, records);
            add(&mut tokens, at, row.get("tokens")?);
        }
    }
    let mut statement = conn.prepare_cached(LIST_WEEKS_OF_TRUST)?;
    let mut rows = statement.query(named_params! {":subject": id})?;
    while let Some(row) = rows.next()? {
        add(&mut trusted, week(row.get("week")?), row.get("records")?);
    }
    let mut offered = 0;
    for sum in &mut machines {
        offered += *sum;
        *sum = offered;
    }
    let total = |series: &[i64]| u64::try_from(series.iter().sum::<i64>()).unwrap_or(0);
    let counts = Counts { jobs: total(&jobs), receipts: total(&receipts) };
    let first_day =
        Datetime::saturating(start_of(oldest)).as_str().chars().take("2026-01-05".len()).collect();
    let series = WeekSeries {
        oldest_week_start: first_day,
        jobs_dispatched: jobs.into(),
        receipts_served: receipts.into(),
        machines_indexed_cumulative: machines.into(),
        tokens_indexed: tokens.into(),
        trusted_by_new: trusted.into(),
    };
    Ok((series, counts))
}

fn friends(conn: &Connection, id: i64) -> Result<u64, Fault> {
    let mut statement = conn.prepare_cached(COUNT_FRIENDS)?;
    let found = statement.query_row(named_params! {":subject": id}, |row| row.get::<_, i64>(0)).optional()?;
    Ok(u64::try_from(found.unwrap_or(0)).unwrap_or(0))
}
