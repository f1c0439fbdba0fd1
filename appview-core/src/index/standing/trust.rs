//! That one account trusts another, however often it has declared it.

use rusqlite::{Connection, OptionalExtension as _, named_params};

use super::super::Fault;
use super::super::total::{Group, Totals};

const FIND_FIRST_TRUST: &str = "
    select declared, created from friend where friender = :friender and subject = :subject
     order by declared, created limit 1";

const FIND_TRUST: &str = "select 1 from trust where subject = :subject and friender = :friender";

const SET_TRUST: &str = "
    insert into trust (subject, friender, declared, created)
    values (:subject, :friender, :declared, :created)
    on conflict do update set declared = :declared, created = :created";

const REMOVE_TRUST: &str = "delete from trust where subject = :subject and friender = :friender";

/// Who trusts whom.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) struct Trust {
    pub(super) subject: i64,
    pub(super) friender: i64,
}

/// Since when one account trusts another, and in its own words; none if it does not.
pub(in crate::index) fn first(
    conn: &Connection,
    subject: i64,
    friender: i64,
) -> Result<Option<(i64, Option<String>)>, Fault> {
    Ok(conn
        .prepare_cached(FIND_FIRST_TRUST)?
        .query_row(named_params! {":subject": subject, ":friender": friender}, |row| {
            Ok((row.get("declared")?, row.get("created")?))
        })
        .optional()?)
}

/// Looks at a pair, and writes what it finds.
pub(super) fn settle(conn: &Connection, totals: &mut Totals, trust: Trust) -> Result<(), Fault> {
    let Trust { subject, friender } = trust;
    let key = named_params! {":subject": subject, ":friender": friender};
    let is_stored = conn.prepare_cached(FIND_TRUST)?.exists(key)?;
    match first(conn, subject, friender)? {
        None => {
            conn.prepare_cached(REMOVE_TRUST)?.execute(key)?;
            totals.count(Group::friends(subject), if is_stored { -1 } else { 0 });
        }
        Some((declared, created)) => {
            conn.prepare_cached(SET_TRUST)?.execute(named_params! {
                ":subject": subject,
                ":friender": friender,
                ":declared": declared,
                ":created": created,
            })?;
            totals.count(Group::friends(subject), if is_stored { 0 } else { 1 });
        }
    }
    Ok(())
}
