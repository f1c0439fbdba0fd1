//! Does what is derived still follow from the rows that it is derived from?
//!
//! Sums are not added up group by group: their groups may be as many as the records. Each row of either side is weighed
//! instead, by a weight that is a hash of its group, week and hour; what two sides weigh together is equal where they are,
//! and after any damage that was not made for this hash it is not. What is looked up is looked up again.

use rusqlite::{Connection, OptionalExtension as _, Row, ToSql, named_params};

use super::project::Adds;
use super::serve::each_sum;
use super::standing::{self, LatencyOf};
use super::total::{Group, Hours, Sum, hour_of, week_of};
use super::{Damage, Fault, number_of};
use crate::record::Collection;

const LIST_TOTALS: &str = "select records, tokens_in, tokens_out, kind, a, b, week, hours from total";

const LIST_REPOS: &str = "
    select id, did, hosting, proof, shown, offers, first, latest, joined, recent, coalesce(rev, 0) >> 10 as head
      from repo join did using (id)";

const COUNT_SERVED: &str = "
    select coalesce(sum(records), 0), coalesce(sum(records) filter (where b = :offer), 0)
      from total where kind = 0 and a = :repo";

const LIST_TRUST: &str = "
    select subject, friender, declared, created, subjects.did as subject_did
      from trust join did as subjects on subjects.id = subject";

const LIST_LATENCY: &str = "
    select kind, who, newest, samples, p50, p95, mean, last from latency";

const LIST_SERVICE: &str = "
    select model, provider, newest, name from service join model on model.id = service.model";

/// How many rows each table would have.
const COUNTS: [(&str, &str, &str); 3] = [
    (
        "trust",
        "select count(*) from trust",
        "select count(*) from (select distinct subject, friender from friend where subject is not null)",
    ),
    (
        "latency",
        "select count(*) from latency",
        "select (select count(distinct provider) + count(distinct model) from receipt where millis is not null)
              + exists (select 1 from receipt where millis is not null)",
    ),
    (
        "service",
        "select count(*) from service",
        "select (select count(distinct a) from total where kind = 2 and a <> 0)
              + (select count(*) from (select distinct a, b from total where kind = 3))",
    ),
];

/// What each kind of group is, by its number.
const KINDS: [&str; 8] = [
    "records of repositories",
    "receipts of requesters",
    "receipts of models",
    "receipts of providers by model",
    "declarations of trust",
    "friends",
    "accounts",
    "repositories",
];

/// What the records weigh that have been looked at.
#[derive(Debug, Default)]
pub(super) struct Recount {
    weights: [u64; KINDS.len()],
}

impl Recount {
    /// Adds what a served record belongs to.
    pub(super) fn add(&mut self, repo: i64, collection: i64, time: i64, adds: &Adds) {
        each_sum(repo, collection, adds, |group, sum, has_hours| {
            self.weigh(group, week_of(time), WHOLE, sum);
            if has_hours {
                self.weigh(group, week_of(time), hour_of(time), sum);
            }
        });
    }

    /// Compares with what is stored, once all records have been looked at.
    pub(super) fn finish(mut self, conn: &Connection, mut tell: impl FnMut(Damage)) -> Result<(), Fault> {
        self.check_accounts(conn, &mut tell)?;
        self.check_trust(conn, &mut tell)?;
        check_latency(conn, &mut tell)?;
        check_services(conn, &mut tell)?;
        check_directory(conn, &mut tell)?;
        for (table, stored, expected) in COUNTS {
            let count = |sql: &str| conn.query_row(sql, [], |row| row.get::<_, i64>(0));
            if count(stored)? != count(expected)? {
                tell(derived(table, "the number of its rows"));
            }
        }
        let stored = weigh_totals(conn)?;
        for ((found, stored), kind) in self.weights.iter().zip(stored.weights).zip(KINDS) {
            if *found != stored {
                tell(derived("total", kind));
            }
        }
        Ok(())
    }

    /// Two columns weigh as much only where they are equal, or by a chance of 1 to 2^64.
    fn weigh(&mut self, group: Group, week: i64, hour: u8, sum: Sum) {
        let key = [group.a, group.b, week, i64::from(hour)];
        let mut weight = group.kind.cast_unsigned();
        for part in key {
            weight = mixed(weight ^ part.cast_unsigned());
        }
        let kind = usize::try_from(group.kind).ok();
        if let Some(total) = kind.and_then(|kind| self.weights.get_mut(kind)) {
            for number in [sum.records, sum.tokens_in, sum.tokens_out] {
                *total = total.wrapping_add(weight.wrapping_mul(number.cast_unsigned()));
                weight = mixed(weight);
            }
        }
    }

    fn check_accounts(&mut self, conn: &Connection, tell: &mut impl FnMut(Damage)) -> Result<(), Fault> {
        let mut statement = conn.prepare(LIST_REPOS)?;
        let mut rows = statement.query([])?;
        let mut served = conn.prepare(COUNT_SERVED)?;
        while let Some(row) = rows.next()? {
            let number = |column: &str| row.get::<_, i64>(column);
            let id = number("id")?;
            let (shown, offers) = served
                .query_row(named_params! {":repo": id, ":offer": number_of(Collection::Provider)}, |row| {
                    Ok((row.get::<_, i64>(0)?, row.get::<_, i64>(1)?))
                })?;
            let (first, latest) = standing::extremes(conn, id)?;
            let head = number("head")?;
            let expected = [shown, offers, first, latest, first.min(head), latest.min(head)];
            for (column, expected) in
                ["shown", "offers", "first", "latest", "joined", "recent"].into_iter().zip(expected)
            {
                if number(column)? != expected {
                    let did: String = row.get("did")?;
                    tell(derived("repo", &format!("{column} of {did}")));
                }
            }
            self.weigh(Group::repos(number("hosting")?, number("proof")?), 0, WHOLE, Sum::ONE);
            for (group, count) in [(Group::ACCOUNTS, shown), (Group::PROVIDERS, offers)] {
                if count > 0 {
                    self.weigh(group, 0, WHOLE, Sum::ONE);
                }
            }
        }
        Ok(())
    }

    fn check_trust(&mut self, conn: &Connection, tell: &mut impl FnMut(Damage)) -> Result<(), Fault> {
        let mut statement = conn.prepare(LIST_TRUST)?;
        let mut rows = statement.query([])?;
        while let Some(row) = rows.next()? {
            let (subject, friender): (i64, i64) = (row.get("subject")?, row.get("friender")?);
            let stored = (row.get("declared")?, row.get("created")?);
            if standing::first_trust(conn, subject, friender)? != Some(stored) {
                let did: String = row.get("subject_did")?;
                tell(derived("trust", &format!("trust in {did}")));
            }
            self.weigh(Group::friends(subject), 0, WHOLE, Sum::ONE);
        }
        Ok(())
    }
}

/// What stands for all hours of a week: no hour has this number.
const WHOLE: u8 = u8::MAX;

/// The finalizer of SplitMix64.
const fn mixed(number: u64) -> u64 {
    let number = number.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let number = (number ^ (number >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let number = (number ^ (number >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    number ^ (number >> 31)
}

fn derived(table: &str, of: &str) -> Damage {
    Damage::Derived { table: table.to_owned(), of: of.to_owned() }
}

fn weigh_totals(conn: &Connection) -> Result<Recount, Fault> {
    let mut stored = Recount::default();
    let mut statement = conn.prepare(LIST_TOTALS)?;
    let mut rows = statement.query([])?;
    while let Some(row) = rows.next()? {
        let group = Group { kind: row.get("kind")?, a: row.get("a")?, b: row.get("b")? };
        let week: i64 = row.get("week")?;
        stored.weigh(group, week, WHOLE, Sum::read(row)?);
        let hours = row.get_ref("hours")?.as_blob().map_err(|_| Fault::Row("hours that are none"))?;
        for hour in Hours::of(hours) {
            let (hour, sum) = hour?;
            stored.weigh(group, week, hour, sum);
        }
    }
    Ok(stored)
}

fn check_directory(conn: &Connection, tell: &mut impl FnMut(Damage)) -> Result<(), Fault> {
    let mut parts: i64 = 0;
    standing::each_part(conn, |part| {
        parts += 1;
        if standing::stored(conn, part)?.as_deref() != Some(standing::names(conn, part)?.as_bytes()) {
            tell(derived("directory", "the names of some accounts"));
        }
        Ok(())
    })?;
    if parts != conn.query_row("select count(*) from directory", [], |row| row.get::<_, i64>(0))? {
        tell(derived("directory", "the number of its rows"));
    }
    Ok(())
}

fn check_latency(conn: &Connection, tell: &mut impl FnMut(Damage)) -> Result<(), Fault> {
    let mut statement = conn.prepare(LIST_LATENCY)?;
    let mut rows = statement.query([])?;
    while let Some(row) = rows.next()? {
        let of = LatencyOf { kind: row.get("kind")?, who: row.get("who")? };
        if standing::latency(conn, of)? != Some(standing::Latency::read(row)?) {
            let (sql, who): (_, &[(&str, &dyn ToSql)]) = match of.kind {
                LatencyOf::PROVIDER => ("select did from did where id = :who", &[(":who", &of.who)]),
                LatencyOf::MODEL => ("select name from model where id = :who", &[(":who", &of.who)]),
                _ => ("select 'everybody'", &[]),
            };
            let name: Option<String> = conn.query_row(sql, who, |row| row.get(0)).optional()?;
            tell(derived("latency", &format!("latency of {}", name.unwrap_or_default())));
        }
    }
    Ok(())
}

fn check_services(conn: &Connection, tell: &mut impl FnMut(Damage)) -> Result<(), Fault> {
    let mut statement = conn.prepare(LIST_SERVICE)?;
    let mut rows = statement.query([])?;
    while let Some(row) = rows.next()? {
        let newest = standing::newest_service(conn, row.get("model")?, row.get("provider")?)?;
        if newest != row.get("newest")? {
            let name: String = row.get("name")?;
            tell(derived("service", &format!("service of {name}")));
        }
    }
    Ok(())
}

impl standing::Latency {
    fn read(row: &Row<'_>) -> Result<Self, Fault> {
        let samples: i64 = row.get("samples")?;
        Ok(Self {
            newest: row.get("newest")?,
            samples: usize::try_from(samples).unwrap_or(0),
            p50: row.get("p50")?,
            p95: row.get("p95")?,
            mean: row.get("mean")?,
            last: row.get("last")?,
        })
    }
}
