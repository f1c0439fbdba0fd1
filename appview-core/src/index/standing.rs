//! What follows from the rows of a group as a whole, and is looked up in them rather than added up: the first and the last of
//! them, the newest hundred.
//!
//! Which groups a transaction has touched enters; before it ends, each of them is looked at once, however many of its rows
//! changed, and its one row is what it finds. So nothing here depends on the order of changes. While a file is being
//! filled in bulk, the indexes that this needs are not there yet: everything is looked at once at the end.

use std::collections::{HashMap, HashSet};

use rusqlite::{Connection, OptionalExtension as _, ToSql, named_params, params};

use super::total::{Group, HOUR, Hours, Totals, start_of};
use super::{Fault, directory};
use crate::syntax::Tid;

/// Most receipts that a latency is about.
pub(crate) const SAMPLES: usize = 100;

/// Most groups that wait to be looked at.
const HELD: usize = 16_384;

/// Most groups whose newest samples are remembered, in some two kilobytes each.
const WINDOWS: usize = 4_096;

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

const LIST_ACCOUNTS: &str = "select id from repo where shown > 0 or latest > 0";

const LIST_SAMPLES: &str = "
    select time, rkey, millis from receipt where millis is not null
     order by time desc, rkey desc, millis desc limit :limit";

const LIST_SAMPLES_OF_PROVIDER: &str = "
    select time, rkey, millis from receipt where provider = :who and millis is not null
     order by time desc, rkey desc, millis desc limit :limit";

const LIST_SAMPLES_OF_MODEL: &str = "
    select time, rkey, millis from receipt where model = :who and millis is not null
     order by time desc, rkey desc, millis desc limit :limit";

const SET_LATENCY: &str = "
    insert into latency (kind, who, newest, samples, p50, p95, mean, last)
    values (:kind, :who, :newest, :samples, :p50, :p95, :mean, :last)
    on conflict do update
       set newest = :newest, samples = :samples, p50 = :p50, p95 = :p95, mean = :mean, last = :last";

const REMOVE_LATENCY: &str = "delete from latency where kind = :kind and who = :who";

const RAISE_SERVICE: &str = "
    insert into service (model, provider, newest) values (:model, :provider, :newest)
    on conflict do update set newest = :newest where newest < :newest";

const SET_SERVICE: &str = "
    insert into service (model, provider, newest) values (:model, :provider, :newest)
    on conflict do update set newest = :newest where newest <> :newest";

const REMOVE_SERVICE: &str = "delete from service where model = :model and provider = :provider";

const FIND_NEWEST_OF_MODEL: &str = "
    select max(time) from (
        select (select time from receipt where model = :model and millis is not null
                 order by time desc limit 1) as time
        union all
        select (select time from receipt where model = :model and millis is null
                 order by time desc limit 1))";

const FIND_LAST_WEEK: &str = "
    select week, hours from total where kind = :kind and a = :a and b = :b
     order by week desc limit 1";

/// Looks at what the provider did in one hour. The sign keeps SQLite from looking at all that anybody did with the model.
const FIND_NEWEST_IN_HOUR: &str = "
    select max(time) from (
        select (select time from receipt
                 where provider = :provider and millis is not null and time >= :from and time < :until
                   and +model = :model
                 order by time desc limit 1) as time
        union all
        select (select time from receipt
                 where provider = :provider and millis is null and time >= :from and time < :until
                   and +model = :model
                 order by time desc limit 1))";

const LIST_SERVICES: &str = "
    select distinct b as model, a as provider from total where kind = 3
    union all
    select distinct a, 0 from total where kind = 2 and a <> 0";

pub(super) const LIST_SHOWN: &str = "select id from repo where shown > 0 order by id";

const LIST_LATENCIES: &str = "
    select distinct 1 as kind, provider as who from receipt where millis is not null
    union all
    select distinct 2, model from receipt where millis is not null and model is not null
    union all
    select 0, 0";

const FIND_FIRST_TRUST: &str = "
    select declared, created from friend where friender = :friender and subject = :subject
     order by declared, created limit 1";

const FIND_TRUST: &str = "select 1 from trust where subject = :subject and friender = :friender";

const SET_TRUST: &str = "
    insert into trust (subject, friender, declared, created)
    values (:subject, :friender, :declared, :created)
    on conflict do update set declared = :declared, created = :created";

const REMOVE_TRUST: &str = "delete from trust where subject = :subject and friender = :friender";

const LIST_TRUSTS: &str = "select distinct subject, friender from friend where subject is not null";

/// Whose newest hundred a latency is about. The numbers are those in its row.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct LatencyOf {
    pub(crate) kind: i64,
    pub(crate) who: i64,
}

impl LatencyOf {
    /// Everybody's.
    pub(crate) const ALL: Self = Self { kind: 0, who: 0 };
    /// The kind of those of one provider.
    pub(crate) const PROVIDER: i64 = 1;
    /// The kind of those of one model.
    pub(crate) const MODEL: i64 = 2;

    pub(crate) const fn provider(who: i64) -> Self {
        Self { kind: Self::PROVIDER, who }
    }

    const fn model(who: i64) -> Self {
        Self { kind: Self::MODEL, who }
    }
}

/// What changed about an account. A time of 0 is none.
#[derive(Debug, Default)]
struct Account {
    shown: i64,
    offers: i64,
    /// The first and the last time of what was added.
    added: (i64, i64),
    /// The same of what was taken away.
    removed: (i64, i64),
}

/// Who served a model.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
struct Service {
    model: i64,
    /// The number of its DID; 0 for anybody.
    provider: i64,
}

#[derive(Debug, Clone, Copy)]
enum Served {
    /// At this time, and nothing was taken away.
    At(i64),
    /// Perhaps less than before.
    Less,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
struct Trust {
    subject: i64,
    friender: i64,
}

/// What happened to the samples of a group.
#[derive(Debug)]
enum Sampled {
    /// These were added.
    More(Vec<Sample>),
    /// Something else: the group has to be looked at.
    Otherwise,
}

/// How long one receipt says that its work took, and where it stands among those of its group: later ones are greater.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Sample {
    time: i64,
    rkey: Tid,
    millis: i64,
}

/// The newest samples of a group, the newest first: all of them, or a hundred.
#[derive(Debug, Default)]
struct Window(Vec<Sample>);

/// Which groups have been touched.
#[derive(Debug, Default)]
pub(super) struct Standing {
    /// Without the indexes that are made at the end, only accounts are written before it, and only what they have gained.
    is_bulk: bool,
    accounts: HashMap<i64, Account>,
    latencies: HashMap<LatencyOf, Sampled>,
    /// Of groups that were looked at before. What is added to them has its place there, so that they need not be looked at
    /// again.
    windows: HashMap<LatencyOf, Window>,
    services: HashMap<Service, Served>,
    trusts: HashSet<Trust>,
    /// Parts of the directory.
    parts: HashSet<i64>,
}

/// What a receipt says that its groups are made of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Work {
    pub(super) provider: i64,
    pub(super) requester: Option<i64>,
    pub(super) model: Option<i64>,
    pub(super) time: i64,
    pub(super) millis: Option<i64>,
    pub(super) tokens_in: i64,
    pub(super) tokens_out: i64,
}

impl Work {
    /// Whose latency it is part of, if it tells how long it took.
    fn latencies(&self) -> impl Iterator<Item = LatencyOf> {
        let of_model = self.model.map(LatencyOf::model);
        [LatencyOf::ALL, LatencyOf::provider(self.provider)].into_iter().chain(of_model)
    }

    /// Whose service it is.
    fn services(&self) -> impl Iterator<Item = Service> {
        let by = [0, self.provider];
        self.model.into_iter().flat_map(move |model| by.map(|provider| Service { model, provider }))
    }
}

impl Standing {
    pub(super) fn bulk() -> Self {
        Self { is_bulk: true, ..Self::default() }
    }

    /// A record of an account is served from here on (`step` is 1), or is not any more (-1).
    pub(super) fn account(&mut self, repo: i64, time: i64, is_offer: bool, step: i64) {
        let account = self.accounts.entry(repo).or_default();
        account.shown += step;
        account.offers += if is_offer { step } else { 0 };
        let times = if step > 0 { &mut account.added } else { &mut account.removed };
        if time > 0 {
            times.0 = earlier(times.0, time);
            times.1 = times.1.max(time);
        }
    }

    /// The profile of an account is served from here on, or is not any more.
    pub(super) fn profile(&mut self, repo: i64) {
        if !self.is_bulk {
            self.parts.insert(directory::part_of(repo));
        }
    }

    /// A receipt is served from here on.
    pub(super) fn add_work(&mut self, work: &Work, rkey: &str) {
        if self.is_bulk {
            return;
        }
        if let Some(millis) = work.millis {
            // A key that is no TID has no number.
            let sample = rkey.parse().ok().map(|rkey| Sample { time: work.time, rkey, millis });
            for of in work.latencies() {
                match (self.latencies.entry(of).or_insert(Sampled::More(Vec::new())), sample) {
                    (Sampled::More(samples), Some(sample)) => samples.push(sample),
                    (sampled, _) => *sampled = Sampled::Otherwise,
                }
            }
        }
        for service in work.services() {
            match self.services.entry(service).or_insert(Served::At(work.time)) {
                Served::At(time) => *time = work.time.max(*time),
                Served::Less => {}
            }
        }
    }

    /// A receipt is not served any more.
    pub(super) fn remove_work(&mut self, work: &Work) {
        if self.is_bulk {
            return;
        }
        if work.millis.is_some() {
            self.latencies.extend(work.latencies().map(|of| (of, Sampled::Otherwise)));
        }
        self.services.extend(work.services().map(|service| (service, Served::Less)));
    }

    /// A declaration of trust is served from here on, or is not any more.
    pub(super) fn trust(&mut self, subject: i64, friender: i64) {
        if !self.is_bulk {
            self.trusts.insert(Trust { subject, friender });
        }
    }

    pub(super) fn is_full(&self) -> bool {
        self.accounts.len() + self.latencies.len() + self.services.len() + self.trusts.len() >= HELD
    }

    /// Looks at what was touched. What was added up must have been written.
    pub(super) fn settle(&mut self, conn: &Connection, totals: &mut Totals) -> Result<(), Fault> {
        for (id, change) in self.accounts.drain() {
            let is_other = settle_account(conn, totals, id, &change, self.is_bulk)?;
            if is_other && !self.is_bulk {
                self.parts.insert(directory::part_of(id));
            }
        }
        if self.windows.len() >= WINDOWS {
            self.windows.clear();
        }
        for (of, sampled) in self.latencies.drain() {
            if let (Some(window), Sampled::More(samples)) = (self.windows.get_mut(&of), sampled) {
                samples.into_iter().for_each(|sample| window.add(sample));
                set_latency(conn, of, window.latency())?;
                continue;
            }
            self.windows.remove(&of);
            let samples = newest_samples(conn, of)?;
            set_latency(conn, of, latency_of(&samples))?;
            self.windows.extend(Window::of(&samples).map(|window| (of, window)));
        }
        for (service, served) in self.services.drain() {
            settle_service(conn, service, served)?;
        }
        for trust in self.trusts.drain() {
            settle_trust(conn, totals, trust)?;
        }
        for part in self.parts.drain() {
            directory::settle(conn, part)?;
        }
        Ok(())
    }

    pub(super) fn forget(&mut self) {
        *self = Self { is_bulk: self.is_bulk, ..Self::default() };
    }
}

/// Looks at everything, in a file that was filled in bulk and has its indexes by now.
pub(super) fn settle_all(conn: &Connection) -> Result<(), Fault> {
    let mut totals = Totals::default();
    let mut accounts = conn.prepare(LIST_ACCOUNTS)?;
    let ids = accounts.query_map([], |row| row.get(0))?.collect::<Result<Vec<i64>, _>>()?;
    for id in ids {
        // As if its first and last record had gone.
        let change = Account { removed: (1, i64::MAX), ..Account::default() };
        settle_account(conn, &mut totals, id, &change, false)?;
    }
    let mut accounts = conn.prepare(LIST_SHOWN)?;
    let mut done = None;
    for id in accounts.query_map([], |row| row.get(0))? {
        let part = directory::part_of(id?);
        if done != Some(part) {
            directory::settle(conn, part)?;
            done = Some(part);
        }
    }
    let mut latencies = conn.prepare(LIST_LATENCIES)?;
    let all =
        latencies.query_map([], |row| Ok(LatencyOf { kind: row.get("kind")?, who: row.get("who")? }))?;
    for of in all {
        let of = of?;
        set_latency(conn, of, latency(conn, of)?)?;
    }
    let mut services = conn.prepare(LIST_SERVICES)?;
    let all = services
        .query_map([], |row| Ok(Service { model: row.get("model")?, provider: row.get("provider")? }))?;
    for service in all {
        settle_service(conn, service?, Served::Less)?;
    }
    let mut trusts = conn.prepare(LIST_TRUSTS)?;
    let all = trusts
        .query_map([], |row| Ok(Trust { subject: row.get("subject")?, friender: row.get("friender")? }))?;
    for trust in all {
        settle_trust(conn, &mut totals, trust?)?;
        if totals.is_full() {
            totals.flush(conn)?;
        }
    }
    totals.flush(conn)
}

/// The earlier of two times of which either may be none.
fn earlier(a: i64, b: i64) -> i64 {
    match (a, b) {
        (0, time) | (time, 0) => time,
        (a, b) => a.min(b),
    }
}

/// Returns whether the account begins or ceases to have a served record, or a machine on offer.
fn settle_account(
    conn: &Connection,
    totals: &mut Totals,
    id: i64,
    change: &Account,
    is_bulk: bool,
) -> Result<bool, Fault> {
    let (shown, offers, mut first, mut latest, head): (i64, i64, i64, i64, i64) =
        conn.prepare_cached(FIND_ACCOUNT)?.query_row(named_params! {":id": id}, |row| {
            Ok((row.get(0)?, row.get(1)?, row.get(2)?, row.get(3)?, row.get(4)?))
        })?;
    let after = (shown + change.shown, offers + change.offers);
    let (removed_first, removed_latest) = change.removed;
    if removed_latest > 0 && (removed_first <= first || removed_latest >= latest) && !is_bulk {
        (first, latest) = extremes(conn, id)?;
    } else {
        first = earlier(first, change.added.0);
        latest = latest.max(change.added.1);
    }
    conn.prepare_cached(SET_ACCOUNT)?.execute(named_params! {
        ":id": id,
        ":shown": after.0,
        ":offers": after.1,
        ":first": first,
        ":latest": latest,
        ":head": head,
    })?;
    for (group, before, after) in [(Group::ACCOUNTS, shown, after.0), (Group::PROVIDERS, offers, after.1)] {
        match (before > 0, after > 0) {
            (false, true) => totals.count(group, 1),
            (true, false) => totals.count(group, -1),
            _ => {}
        }
    }
    Ok((shown > 0, offers > 0) != (after.0 > 0, after.1 > 0))
}

/// The first and the last time of an account's served records.
pub(super) fn extremes(conn: &Connection, id: i64) -> Result<(i64, i64), Fault> {
    Ok(conn.prepare_cached(FIND_EXTREMES)?.query_row(named_params! {":id": id}, |row| {
        let (first, latest): (Option<i64>, Option<i64>) = (row.get("first")?, row.get("latest")?);
        Ok((first.unwrap_or(0), latest.unwrap_or(0)))
    })?)
}

/// What the newest samples say.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Latency {
    pub(super) newest: i64,
    pub(super) samples: usize,
    pub(super) p50: i64,
    pub(super) p95: i64,
    pub(super) mean: i64,
    pub(super) last: i64,
}

impl Window {
    /// Of samples as they are found; none if one of them has a key without a number.
    fn of(samples: &[(i64, String, i64)]) -> Option<Self> {
        let sample = |(time, rkey, millis): &(i64, String, i64)| {
            Some(Sample { time: *time, rkey: rkey.parse().ok()?, millis: *millis })
        };
        samples.iter().map(sample).collect::<Option<_>>().map(Self)
    }

    fn add(&mut self, sample: Sample) {
        let at = self.0.partition_point(|held| *held > sample);
        self.0.insert(at, sample);
        self.0.truncate(SAMPLES);
    }

    fn latency(&self) -> Option<Latency> {
        let newest = self.0.first()?.time;
        Latency::of(newest, self.0.iter().map(|sample| sample.millis).collect())
    }
}

impl Latency {
    /// Of samples in milliseconds, the newest first; none of none.
    fn of(newest: i64, mut samples: Vec<i64>) -> Option<Self> {
        let last = *samples.first()?;
        let count = samples.len() as i64;
        // Of halves the greater, as whoever rounds in JavaScript does. No span of time is beyond 53 bits.
        let mean = (2 * samples.iter().sum::<i64>() + count).div_euclid(2 * count);
        samples.sort_unstable();
        let rank = |percent: usize| samples.get((percent * samples.len()).div_ceil(100) - 1).copied();
        Some(Self { newest, samples: samples.len(), p50: rank(50)?, p95: rank(95)?, mean, last })
    }
}

/// What the newest samples of a group say; none if it has none.
pub(super) fn latency(conn: &Connection, of: LatencyOf) -> Result<Option<Latency>, Fault> {
    Ok(latency_of(&newest_samples(conn, of)?))
}

fn latency_of(samples: &[(i64, String, i64)]) -> Option<Latency> {
    let (newest, ..) = samples.first()?;
    Latency::of(*newest, samples.iter().map(|(_, _, millis)| *millis).collect())
}

/// Time, key and milliseconds of the newest samples of a group, the newest first.
fn newest_samples(conn: &Connection, of: LatencyOf) -> Result<Vec<(i64, String, i64)>, Fault> {
    let limit = SAMPLES as i64;
    let (sql, parameters): (_, &[(&str, &dyn ToSql)]) = match of.kind {
        LatencyOf::PROVIDER => (LIST_SAMPLES_OF_PROVIDER, &[(":who", &of.who), (":limit", &limit)]),
        LatencyOf::MODEL => (LIST_SAMPLES_OF_MODEL, &[(":who", &of.who), (":limit", &limit)]),
        _ => (LIST_SAMPLES, &[(":limit", &limit)]),
    };
    let mut statement = conn.prepare_cached(sql)?;
    let rows = statement.query_map(parameters, |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)))?;
    Ok(rows.collect::<Result<_, _>>()?)
}

fn set_latency(conn: &Connection, of: LatencyOf, latency: Option<Latency>) -> Result<(), Fault> {
    match latency {
        None => {
            conn.prepare_cached(REMOVE_LATENCY)?.execute(named_params! {":kind": of.kind, ":who": of.who})?
        }
        Some(found) => conn.prepare_cached(SET_LATENCY)?.execute(params![
            of.kind,
            of.who,
            found.newest,
            found.samples as i64,
            found.p50,
            found.p95,
            found.mean,
            found.last,
        ])?,
    };
    Ok(())
}

fn settle_service(conn: &Connection, service: Service, served: Served) -> Result<(), Fault> {
    let Service { model, provider } = service;
    let (sql, newest) = match served {
        Served::At(time) => (RAISE_SERVICE, Some(time)),
        Served::Less => (SET_SERVICE, newest_service(conn, model, provider)?),
    };
    match newest {
        Some(newest) => conn
            .prepare_cached(sql)?
            .execute(named_params! {":model": model, ":provider": provider, ":newest": newest})?,
        None => conn
            .prepare_cached(REMOVE_SERVICE)?
            .execute(named_params! {":model": model, ":provider": provider})?,
    };
    Ok(())
}

/// When a model was served last, by this provider or (0) by any; none if never.
pub(super) fn newest_service(conn: &Connection, model: i64, provider: i64) -> Result<Option<i64>, Fault> {
    if provider == 0 {
        let mut statement = conn.prepare_cached(FIND_NEWEST_OF_MODEL)?;
        return Ok(statement.query_row(named_params! {":model": model}, |row| row.get(0))?);
    }
    let Group { kind, a, b } = Group::model_of(provider, model);
    let last = conn
        .prepare_cached(FIND_LAST_WEEK)?
        .query_row(named_params! {":kind": kind, ":a": a, ":b": b}, |row| {
            Ok((row.get::<_, i64>("week")?, row.get::<_, Vec<u8>>("hours")?))
        })
        .optional()?;
    let Some((week, hours)) = last else { return Ok(None) };
    let Some(last) = Hours::of(&hours).last() else { return Ok(None) };
    let (hour, _) = last?;
    let from = start_of(week) + i64::from(hour) * HOUR;
    let mut statement = conn.prepare_cached(FIND_NEWEST_IN_HOUR)?;
    Ok(statement.query_row(
        named_params! {":provider": provider, ":model": model, ":from": from, ":until": from + HOUR},
        |row| row.get(0),
    )?)
}

/// Since when one account trusts another, and in its own words; none if it does not.
pub(super) fn first_trust(
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

fn settle_trust(conn: &Connection, totals: &mut Totals, trust: Trust) -> Result<(), Fault> {
    let Trust { subject, friender } = trust;
    let key = named_params! {":subject": subject, ":friender": friender};
    let is_stored = conn.prepare_cached(FIND_TRUST)?.exists(key)?;
    match first_trust(conn, subject, friender)? {
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

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;

    fn latency(millis: impl IntoIterator<Item = i64>) -> Option<Latency> {
        Latency::of(1, millis.into_iter().collect())
    }

    #[test]
    fn a_window_has_the_newest_hundred_in_whatever_order_they_came() {
        let sample = |number: u64| Sample {
            time: number as i64 / 3,
            rkey: Tid::from_micros(number % 7, 0),
            millis: number as i64 % 2,
        };
        let mut all: Vec<Sample> = (0..150).map(|number| sample(number * 77 % 150)).collect();
        let mut window = Window::default();
        all.iter().for_each(|sample| window.add(*sample));
        all.sort();
        all.reverse();
        all.truncate(SAMPLES);
        assert_eq!(window.0, all);
    }

    #[test]
    fn percentiles_are_by_nearest_rank_and_means_are_rounded() {
        assert_eq!(latency([]), None);
        let one = latency([7]).unwrap();
        assert_eq!((one.p50, one.p95, one.mean, one.last, one.samples), (7, 7, 7, 7, 1));
        let two = latency([2, 1]).unwrap();
        assert_eq!((two.p50, two.p95, two.mean, two.last), (1, 2, 2, 2), "1.5 becomes 2");
        let hundred = latency((1..=100).rev()).unwrap();
        assert_eq!((hundred.p50, hundred.p95, hundred.mean, hundred.last), (50, 95, 51, 100));
        let odd = latency([0, 0, 1]).unwrap();
        assert_eq!((odd.p50, odd.p95, odd.mean), (0, 1, 0));
    }
}
