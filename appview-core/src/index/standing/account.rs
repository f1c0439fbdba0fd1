//! An account in the directory: how many of its records are served, when the first and the last of them was made.

use rusqlite::{Connection, named_params};

use super::super::Fault;
use super::super::total::{Group, Totals};

const FIND_ACCOUNT: &str = "
    select shown, offers, first, latest, coalesce(rev, 0) >> 10 as head from repo where id = :id";

const SET_ACCOUNT: &str = "
    update repo
       set shown = :shown, offers = :offers, first = :first, latest = :latest,
           joined = min(:first, :head), recent = min(:latest, :head)
     where id = :id";

/// Each of the six is one end of an index.
const FIND_EXTREMES: &str = "
    select min(first) as first, max(latest) as latest from (
        select (select time from record where repo = :id and served = 1 and time > 0 and collection <> 12
                 order by time limit 1) as first,
               (select time from record where repo = :id and served = 1 and time > 0 and collection <> 12
                 order by time desc limit 1) as latest
        union all
        select (select time from receipt where provider = :id and millis is not null and time > 0
                 order by time limit 1),
               (select time from receipt where provider = :id and millis is not null and time > 0
                 order by time desc limit 1)
        union all
        select (select time from receipt where provider = :id and millis is null and time > 0
                 order by time limit 1),
               (select time from receipt where provider = :id and millis is null and time > 0
                 order by time desc limit 1))";

/// What changed about an account. A time of 0 is none.
#[derive(Debug, Default)]
pub(super) struct Change {
    shown: i64,
    offers: i64,
    added: Times,
    removed: Times,
}

/// The first and the last of some times.
#[derive(Debug, Default)]
struct Times {
    first: i64,
    latest: i64,
}

impl Times {
    fn note(&mut self, time: i64) {
        if time > 0 {
            self.first = earlier(self.first, time);
            self.latest = self.latest.max(time);
        }
    }
}

impl Change {
    /// A record of this time is served from here on (`step` is 1), or is not any more (-1).
    pub(super) fn note(&mut self, time: i64, is_offer: bool, step: i64) {
        self.shown += step;
        self.offers += if is_offer { step } else { 0 };
        let times = if step > 0 { &mut self.added } else { &mut self.removed };
        times.note(time);
    }
}

/// What stands in an account's row.
#[derive(Clone, Copy)]
struct Account {
    shown: i64,
    offers: i64,
    first: i64,
    latest: i64,
    /// The moment of the repository's newest commit, as its revision tells it.
    head: i64,
}

impl Account {
    fn find(conn: &Connection, id: i64) -> Result<Self, Fault> {
        Ok(conn.prepare_cached(FIND_ACCOUNT)?.query_row([id], |row| {
            Ok(Self {
                shown: row.get(0)?,
                offers: row.get(1)?,
                first: row.get(2)?,
                latest: row.get(3)?,
                head: row.get(4)?,
            })
        })?)
    }

    fn set(&self, conn: &Connection, id: i64) -> Result<(), Fault> {
        conn.prepare_cached(SET_ACCOUNT)?.execute(named_params! {
            ":id": id,
            ":shown": self.shown,
            ":offers": self.offers,
            ":first": self.first,
            ":latest": self.latest,
            ":head": self.head,
        })?;
        Ok(())
    }
}

/// Writes what changed. Returns whether the account begins or ceases to have a served record, or a machine on offer.
///
/// Without the index of times (`is_bulk`), the first and the last time are left as they were if their record has gone.
pub(super) fn settle(
    conn: &Connection,
    totals: &mut Totals,
    id: i64,
    change: &Change,
    is_bulk: bool,
) -> Result<bool, Fault> {
    let before = Account::find(conn, id)?;
    let mut after =
        Account { shown: before.shown + change.shown, offers: before.offers + change.offers, ..before };
    let Change { added, removed, .. } = change;
    let is_extreme = removed.latest > 0 && (removed.first <= before.first || removed.latest >= before.latest);
    if is_extreme && !is_bulk {
        (after.first, after.latest) = extremes(conn, id)?;
    } else {
        after.first = earlier(before.first, added.first);
        after.latest = before.latest.max(added.latest);
    }
    after.set(conn, id)?;
    for (group, before, after) in
        [(Group::ACCOUNTS, before.shown, after.shown), (Group::PROVIDERS, before.offers, after.offers)]
    {
        totals.count(group, i64::from(after > 0) - i64::from(before > 0));
    }
    Ok((before.shown > 0, before.offers > 0) != (after.shown > 0, after.offers > 0))
}

/// Looks up the first and the last time, whatever changed.
pub(super) fn look_up(conn: &Connection, id: i64) -> Result<(), Fault> {
    let (first, latest) = extremes(conn, id)?;
    Account { first, latest, ..Account::find(conn, id)? }.set(conn, id)
}

/// The earlier of two times of which either may be none.
fn earlier(a: i64, b: i64) -> i64 {
    match (a, b) {
        (0, time) | (time, 0) => time,
        (a, b) => a.min(b),
    }
}

/// The first and the last time of an account's served records.
pub(in crate::index) fn extremes(conn: &Connection, id: i64) -> Result<(i64, i64), Fault> {
    Ok(conn.prepare_cached(FIND_EXTREMES)?.query_row(named_params! {":id": id}, |row| {
        let (first, latest): (Option<i64>, Option<i64>) = (row.get("first")?, row.get("latest")?);
        Ok((first.unwrap_or(0), latest.unwrap_or(0)))
    })?)
}
