//! The directory of accounts.

use std::collections::HashSet;

use rusqlite::{Connection, OptionalExtension as _, Row, named_params};
use serde::Serialize;

use super::evidence::FIND_HOSTING;
use super::page::TOP;
use super::profile::moment;
use super::record::{did_id, parsed};
use super::{Limit, PageCursor, QueryError};
use crate::index::{Fault, IndexError, IndexReader, found_in, hosting};
use crate::syntax::{Datetime, Did, Handle};

/// What an account's line is made of, in an order.
macro_rules! accounts {
    ($time:literal, $part:literal) => {
        concat!(
            "select repo.id, did.did as did, ",
            $time,
            " as time, joined, recent, offers
               from repo cross join did on did.id = repo.id
              where ",
            $part
        )
    };
}

/// Those of a part of the index that come after a place, whoever is left out.
macro_rules! page {
    ($time:literal, $part:literal) => {
        concat!(
            accounts!($time, $part),
            " and ",
            $time,
            " <= :time and (",
            $time,
            " < :time or did.did < :did)
              and (:viewer is null or repo.id <> :viewer)
              and (:friends_of is null
                   or not exists (select 1 from trust where subject = repo.id and friender = :friends_of))"
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

const FIND_RECENT: &str = accounts!("recent", "repo.id = :id");
const FIND_NEWEST: &str = accounts!("joined", "repo.id = :id");

pub(super) const FIND_NAMES: &str = "select handle, display_name, avatar_url from profile where did = :did";

const LIST_DIRECTORY: &str = "select part, names from directory";

const LIST_FRIENDS: &str = "select subject from trust where friender = :friends_of";

/// Up to so many accounts that a search has found are looked up and put in order; of more, whichever come first are met by
/// walking over all accounts in their order.
const LOOKED_UP: usize = 1_024;

/// How many accounts there are of a kind.
const COUNT_KIND: &str = "select coalesce(sum(records), 0) from total where kind = 6 and a = :kind";

/// How many of them are left out for somebody.
const COUNT_LEFT_OUT: &str = "
    select (select count(*) from repo where id = :viewer and shown > 0 and offers >= :offers)
         + (select count(*) from trust cross join repo on repo.id = trust.subject
             where friender = :friends_of and repo.id <> :viewer and shown > 0 and offers >= :offers)";

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

/// What there is to call an account by, where somebody else's record names it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Called {
    /// The account is followed and hidden: it is not to be named at all.
    Hidden,
    /// The handle that its profile claims; nobody has checked it.
    Handle(Handle),
    /// Nothing but its DID.
    Did,
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

    /// What to call an account by.
    ///
    /// # Errors
    ///
    /// Failing input or damage.
    pub fn called(&self, did: &Did) -> Result<Called, IndexError> {
        self.query(|conn| called(conn, did))
    }
}

fn called(conn: &Connection, did: &Did) -> Result<Called, Fault> {
    let named = named_params! {":did": did.as_str()};
    let mut statement = conn.prepare_cached(FIND_HOSTING)?;
    let found = statement.query_row(named, |row| row.get("hosting")).optional()?;
    if let Some(code) = found
        && !hosting(code)?.is_visible()
    {
        return Ok(Called::Hidden);
    }
    let mut statement = conn.prepare_cached(FIND_NAMES)?;
    let handle: Option<Option<String>> = statement.query_row(named, |row| row.get(0)).optional()?;
    Ok(parsed(handle.flatten().as_deref()).map_or(Called::Did, Called::Handle))
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

/// Who is left out, in the index's terms.
struct LeftOut {
    viewer: Option<i64>,
    friends_of: Option<i64>,
}

impl LeftOut {
    fn of(conn: &Connection, viewer: &Viewer) -> Result<Self, Fault> {
        let (viewer, with_friends) = match viewer {
            Viewer::Anyone => (None, false),
            Viewer::Account(did) => (did_id(conn, did)?, false),
            Viewer::AccountAndFriends(did) => (did_id(conn, did)?, true),
        };
        Ok(Self { viewer, friends_of: viewer.filter(|_| with_friends) })
    }

    /// How many accounts of a kind are left.
    fn count(&self, conn: &Connection, kind: AccountKind) -> Result<i64, Fault> {
        let mut statement = conn.prepare_cached(COUNT_KIND)?;
        let all: i64 = statement.query_row(named_params! {":kind": kind.number()}, |row| row.get(0))?;
        if self.viewer.is_none() {
            return Ok(all);
        }
        let mut statement = conn.prepare_cached(COUNT_LEFT_OUT)?;
        let parameters = named_params! {
            ":viewer": self.viewer,
            ":friends_of": self.friends_of,
            ":offers": kind.number(),
        };
        let left_out: i64 = statement.query_row(parameters, |row| row.get(0))?;
        Ok(all - left_out)
    }

    /// The accounts of a kind whose names have `q` in them and that are left.
    fn search(&self, conn: &Connection, kind: AccountKind, q: &str) -> Result<HashSet<i64>, Fault> {
        let q = q.to_ascii_lowercase();
        let mut found = HashSet::new();
        let mut statement = conn.prepare_cached(LIST_DIRECTORY)?;
        let mut rows = statement.query([])?;
        while let Some(row) = rows.next()? {
            let names = row.get_ref(1)?.as_str().map_err(|_| Fault::Row("names that are none"))?;
            found_in(row.get(0)?, names, &q, |id, is_offering| {
                if is_offering || kind == AccountKind::All {
                    found.insert(id);
                }
            });
        }
        if let Some(viewer) = self.viewer {
            found.remove(&viewer);
        }
        if self.friends_of.is_some() {
            let mut statement = conn.prepare_cached(LIST_FRIENDS)?;
            let friends =
                statement.query_map(named_params! {":friends_of": self.friends_of}, |row| row.get(0))?;
            for friend in friends {
                found.remove(&friend?);
            }
        }
        Ok(found)
    }
}

impl AccountKind {
    /// The number of its group, and the least number of machines on offer.
    const fn number(self) -> i64 {
        match self {
            Self::All => 0,
            Self::Providers => 1,
        }
    }
}

/// An account, and the time that gives it its place.
struct Placed {
    time: i64,
    account: Account,
}

fn list(
    conn: &Connection,
    filter: &AccountFilter,
    limit: Limit<100>,
    below: &Below,
) -> Result<Accounts, Fault> {
    let left_out = LeftOut::of(conn, &filter.viewer)?;
    let found = match filter.q.as_str() {
        "" => None,
        q => Some(left_out.search(conn, filter.kind, q)?),
    };
    let total = match &found {
        None => left_out.count(conn, filter.kind)?,
        Some(found) => found.len() as i64,
    };
    let mut placed = match found {
        Some(found) if found.len() <= LOOKED_UP => look_up(conn, filter.order, &found, below)?,
        found => walk(conn, filter, &left_out, found.as_ref(), below, limit)?,
    };
    let limit = limit.get() as usize;
    let follows = placed.len() > limit;
    placed.truncate(limit);
    let order = filter.order.name();
    let last =
        placed.last().map(|last| PageCursor::after(format!("{order} {} {}", last.time, last.account.did)));
    let mut accounts: Vec<Account> = placed.into_iter().map(|placed| placed.account).collect();
    accounts.iter_mut().try_for_each(|account| account.name(conn))?;
    Ok(Accounts { accounts, total: u64::try_from(total).unwrap_or(0), cursor: last.filter(|_| follows) })
}

/// The accounts after a place, one more than asked for if there are as many. Where a search has found some, only those.
fn walk(
    conn: &Connection,
    filter: &AccountFilter,
    left_out: &LeftOut,
    found: Option<&HashSet<i64>>,
    below: &Below,
    limit: Limit<100>,
) -> Result<Vec<Placed>, Fault> {
    let sql = match (filter.order, filter.kind) {
        (AccountOrder::Recent, AccountKind::All) => LIST_RECENT,
        (AccountOrder::Recent, AccountKind::Providers) => LIST_RECENT_PROVIDERS,
        (AccountOrder::Newest, AccountKind::All) => LIST_NEWEST,
        (AccountOrder::Newest, AccountKind::Providers) => LIST_NEWEST_PROVIDERS,
    };
    let most = limit.get() as usize + 1;
    // To SQLite, a limit below zero is none.
    let (at_once, mut passed_over) = match found {
        None => (most as i64, 0),
        Some(_) => (-1, below.offset),
    };
    let offset = if found.is_none() { below.offset } else { 0 };
    let mut statement = conn.prepare_cached(sql)?;
    let mut rows = statement.query(named_params! {
        ":viewer": left_out.viewer,
        ":friends_of": left_out.friends_of,
        ":time": below.time,
        ":did": below.did,
        ":limit": at_once,
        ":offset": offset,
    })?;
    let mut placed = Vec::with_capacity(most);
    while placed.len() < most
        && let Some(row) = rows.next()?
    {
        if let Some(found) = found {
            if !found.contains(&row.get(0)?) {
                continue;
            }
            if passed_over > 0 {
                passed_over -= 1;
                continue;
            }
        }
        placed.push(Placed::read(row)?);
    }
    Ok(placed)
}

/// The accounts that were found, those after a place, in order.
fn look_up(
    conn: &Connection,
    order: AccountOrder,
    found: &HashSet<i64>,
    below: &Below,
) -> Result<Vec<Placed>, Fault> {
    let mut statement = conn.prepare_cached(match order {
        AccountOrder::Recent => FIND_RECENT,
        AccountOrder::Newest => FIND_NEWEST,
    })?;
    let mut placed = Vec::with_capacity(found.len());
    for id in found {
        placed.push(statement.query_row(named_params! {":id": id}, |row| Ok(Placed::read(row)))??);
    }
    placed.retain(|placed| (placed.time, placed.account.did.as_str()) < (below.time, below.did.as_str()));
    placed.sort_unstable_by(|a, b| (b.time, b.account.did.as_str()).cmp(&(a.time, a.account.did.as_str())));
    placed.drain(..placed.len().min(below.offset as usize));
    Ok(placed)
}

impl Placed {
    fn read(row: &Row<'_>) -> Result<Self, Fault> {
        let did = row.get_ref(1)?.as_str();
        let provider_count = u64::try_from(row.get::<_, i64>(5)?).unwrap_or(0);
        let account = Account {
            did: parsed(did.ok()).ok_or(Fault::Row("a did that is none"))?,
            handle: None,
            display_name: None,
            avatar_url: None,
            joined_at: moment(row.get(3)?),
            last_activity_at: moment(row.get(4)?),
            provider_count,
            is_provider: provider_count > 0,
        };
        Ok(Self { time: row.get(2)?, account })
    }
}

impl Account {
    /// Adds what its profile says.
    fn name(&mut self, conn: &Connection) -> Result<(), Fault> {
        let mut statement = conn.prepare_cached(FIND_NAMES)?;
        let mut rows = statement.query(named_params! {":did": self.did.as_str()})?;
        if let Some(row) = rows.next()? {
            (self.handle, self.display_name, self.avatar_url) = (row.get(0)?, row.get(1)?, row.get(2)?);
        }
        Ok(())
    }
}
