//! The directory of accounts.

use rusqlite::{Connection, Row, ToSql, named_params};
use serde::Serialize;

use super::page::TOP;
use super::profile::moment;
use super::record::{did_id, parsed};
use super::{Limit, PageCursor, QueryError};
use crate::index::{Fault, IndexReader};
use crate::syntax::{Datetime, Did};

/// The accounts of a part of the index, whoever is left out.
macro_rules! listed {
    ($part:literal) => {
        concat!(
            $part,
            " and (:viewer is null or repo.id <> :viewer)
              and (:friends_of is null
                   or not exists (select 1 from trust where subject = repo.id and friender = :friends_of))
              and (:q is null or instr(lower(did.did), :q) > 0 or instr(lower(handle), :q) > 0)"
        )
    };
}

macro_rules! page {
    ($time:literal, $part:literal) => {
        concat!(
            "select did.did as did, ",
            $time,
            " as time, joined, recent, offers, handle, display_name, avatar_url
               from repo
               cross join did on did.id = repo.id
               left join profile on profile.did = did.did
              where ",
            $time,
            " <= :time and (",
            $time,
            " < :time or did.did < :did) and ",
            listed!($part)
        )
    };
}

/// All accounts: those with a machine on offer and the others, merged, since each is in order.
macro_rules! all {
    ($time:literal) => {
        concat!(
            page!($time, "offers > 0"),
            " union all ",
            page!($time, "shown > 0 and offers = 0"),
            " order by time desc, did desc limit :limit offset :offset"
        )
    };
}

macro_rules! providers {
    ($time:literal) => {
        concat!(page!($time, "offers > 0"), " order by time desc, did desc limit :limit offset :offset")
    };
}

pub(super) const LIST_RECENT: &str = all!("recent");
pub(super) const LIST_RECENT_PROVIDERS: &str = providers!("recent");
pub(super) const LIST_NEWEST: &str = all!("joined");
pub(super) const LIST_NEWEST_PROVIDERS: &str = providers!("joined");

/// How many accounts there are of a kind.
const COUNT_KIND: &str = "select coalesce(sum(records), 0) from total where kind = 6 and a = :kind";

/// How many of them are left out for somebody.
const COUNT_LEFT_OUT: &str = "
    select (select count(*) from repo where id = :viewer and shown > 0 and offers >= :offers)
         + (select count(*) from trust cross join repo on repo.id = trust.subject
             where friender = :friends_of and repo.id <> :viewer and shown > 0 and offers >= :offers)";

/// How many match a search. Looks at every account.
const COUNT_FOUND: &str = concat!(
    "select count(*)
       from repo
       cross join did on did.id = repo.id
       left join profile on profile.did = did.did
      where shown > 0 and offers >= :offers and ",
    listed!("true")
);

/// In which order accounts are listed. Among equals the greater DID comes first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum AccountOrder {
    /// Last activity first.
    #[default]
    Recent,
    /// Last joined first.
    Newest,
}

/// Which accounts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum AccountKind {
    /// All that have a record.
    #[default]
    All,
    /// Those with a machine on offer, or one that was.
    Providers,
}

/// Who is left out for somebody's sake.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum Viewer {
    /// Nobody.
    #[default]
    Anyone,
    /// This account.
    Account(Did),
    /// This account, and whom it trusts.
    AccountAndFriends(Did),
}

/// Which accounts, and how; all of what is given must hold.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct AccountFilter {
    /// In which order.
    pub order: AccountOrder,
    /// Of which kind.
    pub kind: AccountKind,
    /// Who is left out.
    pub viewer: Viewer,
    /// A part of the profile's handle or of the DID, whatever the case of its ASCII letters; an empty one is in all.
    ///
    /// As it is to be looked for: without the `@` before it.
    pub q: String,
}

/// Where a part of the directory begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AccountPlace<'c> {
    /// After so many accounts that match.
    Offset(u32),
    /// Where an earlier page ended.
    After(&'c PageCursor),
}

impl Default for AccountPlace<'_> {
    fn default() -> Self {
        Self::Offset(0)
    }
}

/// One account, as the directory shows it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Account {
    /// The account.
    pub did: Did,
    /// Its handle, as its profile says; nobody has checked it.
    pub handle: Option<String>,
    /// Its name to show.
    pub display_name: Option<String>,
    /// Where its picture can be fetched.
    pub avatar_url: Option<String>,
    /// The time of its first record; none if no record of it tells one.
    pub joined_at: Option<Datetime>,
    /// The time of its last record, but not later than its repository's newest commit.
    pub last_activity_at: Option<Datetime>,
    /// How many machines it offers or has offered.
    pub provider_count: u64,
    /// Whether there is any.
    pub is_provider: bool,
}

/// A part of the directory.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Accounts {
    /// The accounts.
    pub accounts: Vec<Account>,
    /// How many match, on this page or another.
    pub total: u64,
    /// Where to go on; none on the last page.
    pub cursor: Option<PageCursor>,
}

impl IndexReader {
    /// The accounts that match `filter`: active ones with at least one record that is shown.
    ///
    /// # Errors
    ///
    /// [`QueryError::Cursor`], also for one of another order; failing input or damage.
    pub fn list_accounts(
        &self,
        filter: &AccountFilter,
        limit: Limit<100>,
        place: AccountPlace<'_>,
    ) -> Result<Accounts, QueryError> {
        let below = Below::new(filter.order, place)?;
        Ok(self.query(|conn| list(conn, filter, limit, &below))?)
    }
}

/// Where a page starts.
struct Below {
    time: i64,
    did: String,
    offset: u32,
}

impl AccountOrder {
    /// What begins a cursor, so that one of another order is refused.
    const fn name(self) -> &'static str {
        match self {
            Self::Recent => "recent",
            Self::Newest => "newest",
        }
    }
}

impl Below {
    fn new(order: AccountOrder, place: AccountPlace<'_>) -> Result<Self, QueryError> {
        let cursor = match place {
            AccountPlace::Offset(offset) => return Ok(Self { time: i64::MAX, did: TOP.into(), offset }),
            AccountPlace::After(cursor) => cursor,
        };
        let mut parts = cursor.item().split(' ');
        match (parts.next(), parsed(parts.next()), parsed::<Did>(parts.next()), parts.next()) {
            (Some(name), Some(time), Some(did), None) if name == order.name() => {
                Ok(Self { time, did: did.to_string(), offset: 0 })
            }
            _ => Err(QueryError::Cursor),
        }
    }
}

/// Who is left out, and what is looked for, in the index's terms.
struct Only {
    viewer: Option<i64>,
    friends_of: Option<i64>,
    q: Option<String>,
    offers: i64,
}

impl Only {
    fn of(conn: &Connection, filter: &AccountFilter) -> Result<Self, Fault> {
        let viewer = match &filter.viewer {
            Viewer::Anyone => None,
            Viewer::Account(did) | Viewer::AccountAndFriends(did) => did_id(conn, did)?,
        };
        let with_friends = matches!(filter.viewer, Viewer::AccountAndFriends(_));
        let q = (!filter.q.is_empty()).then(|| filter.q.to_ascii_lowercase());
        let offers = i64::from(filter.kind == AccountKind::Providers);
        Ok(Self { viewer, friends_of: viewer.filter(|_| with_friends), q, offers })
    }

    fn parameters(&self) -> [(&'static str, &dyn ToSql); 3] {
        [(":viewer", &self.viewer), (":friends_of", &self.friends_of), (":q", &self.q)]
    }

    /// How many accounts match.
    fn count(&self, conn: &Connection) -> Result<i64, Fault> {
        if self.q.is_some() {
            let mut parameters = self.parameters().to_vec();
            parameters.push((":offers", &self.offers));
            let mut statement = conn.prepare_cached(COUNT_FOUND)?;
            return Ok(statement.query_row(parameters.as_slice(), |row| row.get(0))?);
        }
        let mut statement = conn.prepare_cached(COUNT_KIND)?;
        let all: i64 = statement.query_row(named_params! {":kind": self.offers}, |row| row.get(0))?;
        if self.viewer.is_none() {
            return Ok(all);
        }
        let mut statement = conn.prepare_cached(COUNT_LEFT_OUT)?;
        let parameters = named_params! {
            ":viewer": self.viewer,
            ":friends_of": self.friends_of,
            ":offers": self.offers,
        };
        let left_out: i64 = statement.query_row(parameters, |row| row.get(0))?;
        Ok(all - left_out)
    }
}

fn list(
    conn: &Connection,
    filter: &AccountFilter,
    limit: Limit<100>,
    below: &Below,
) -> Result<Accounts, Fault> {
    let only = Only::of(conn, filter)?;
    let total = only.count(conn)?;
    let sql = match (filter.order, filter.kind) {
        (AccountOrder::Recent, AccountKind::All) => LIST_RECENT,
        (AccountOrder::Recent, AccountKind::Providers) => LIST_RECENT_PROVIDERS,
        (AccountOrder::Newest, AccountKind::All) => LIST_NEWEST,
        (AccountOrder::Newest, AccountKind::Providers) => LIST_NEWEST_PROVIDERS,
    };
    // One more than asked for tells whether another page follows.
    let most = limit.get() + 1;
    let mut parameters: Vec<(&str, &dyn ToSql)> = only.parameters().to_vec();
    parameters.extend([(":time", &below.time as &dyn ToSql), (":did", &below.did)]);
    parameters.extend([(":limit", &most as &dyn ToSql), (":offset", &below.offset)]);
    let mut statement = conn.prepare_cached(sql)?;
    let mut rows = statement.query(parameters.as_slice())?;
    let mut page = Accounts { accounts: Vec::new(), total: u64::try_from(total).unwrap_or(0), cursor: None };
    let mut last = None;
    while let Some(row) = rows.next()? {
        if page.accounts.len() == limit.get() as usize {
            page.cursor = last;
            break;
        }
        let account = Account::read(row)?;
        let (order, time): (_, i64) = (filter.order.name(), row.get("time")?);
        last = Some(PageCursor::after(format!("{order} {time} {}", account.did)));
        page.accounts.push(account);
    }
    Ok(page)
}

impl Account {
    fn read(row: &Row<'_>) -> Result<Self, Fault> {
        let did = row.get_ref("did")?.as_str();
        let provider_count = u64::try_from(row.get::<_, i64>("offers")?).unwrap_or(0);
        Ok(Self {
            did: parsed(did.ok()).ok_or(Fault::Row("a did that is none"))?,
            handle: row.get("handle")?,
            display_name: row.get("display_name")?,
            avatar_url: row.get("avatar_url")?,
            joined_at: moment(row.get("joined")?),
            last_activity_at: moment(row.get("recent")?),
            provider_count,
            is_provider: provider_count > 0,
        })
    }
}
