//! What follows from the rows of a group as a whole, and is looked up in them rather than added up: the first and the last of
//! them, the newest hundred.
//!
//! Which groups a transaction has touched enters; before it ends, each of them is looked at once, however many of its rows
//! changed, and its one row is what it finds. So nothing here depends on the order of changes. While a file is being
//! filled in bulk, the indexes that this needs are not there yet: everything is looked at once at the end.

use std::collections::{HashMap, HashSet, VecDeque};

use rusqlite::{Connection, OptionalExtension as _, ToSql, named_params};

use super::Fault;
use super::total::{Group, HOUR, Hours, Totals, start_of};

/// Most receipts that a latency is about.
pub(crate) const SAMPLES: usize = 100;

/// Most groups that wait to be looked at.
const HELD: usize = 16_384;

/// Most groups whose newest samples are remembered, in less than a kilobyte each.
const WINDOWS: usize = 8_192;

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
    select time, millis from receipt where millis is not null
     order by time desc, rkey desc, millis desc limit :limit";

const LIST_SAMPLES_OF_PROVIDER: &str = "
    select time, millis from receipt where provider = :who and millis is not null
     order by time desc, rkey desc, millis desc limit :limit";

const LIST_SAMPLES_OF_MODEL: &str = "
    select time, millis from receipt where model = :who and millis is not null
     order by time desc, rkey desc, millis desc limit :limit";

const SET_LATENCY: &str = "
    insert into latency (kind, who, newest, samples, p50, p95, mean, last)
    values (:kind, :who, :newest, :samples, :p50, :p95, :mean, :last)
    on conflict do update
       set newest = :newest, samples = :samples, p50 = :p50, p95 = :p95, mean = :mean, last = :last";

const REMOVE_LATENCY: &str = "delete from latency where kind = :kind and who = :who";

const FIND_SERVICE: &str = "select newest from service where model = :model and provider = :provider";

const SET_SERVICE: &str = "
    insert into service (model, provider, newest) values (:model, :provider, :newest)
    on conflict do update set newest = :newest";

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
    /// These were added, each later than the one before.
    Later(Vec<Sample>),
    /// Something else.
    Otherwise,
}

#[derive(Debug, Clone, Copy)]
struct Sample {
    time: i64,
    millis: i64,
}

/// The newest samples of a group, as they are stored.
#[derive(Debug, Default)]
struct Window {
    /// The time of the newest.
    newest: i64,
    /// In milliseconds, the newest first; at most a hundred.
    millis: VecDeque<i64>,
}

/// Which groups have been touched.
#[derive(Debug, Default)]
pub(super) struct Standing {
    /// Without the indexes that are made at the end, only accounts are written before it, and only what they have gained.
    is_bulk: bool,
    accounts: HashMap<i64, Account>,
    latencies: HashMap<LatencyOf, Sampled>,
    /// Of groups that were looked at before. Nearly all samples are later than those before them: then nothing needs to be
    /// looked at again.
    windows: HashMap<LatencyOf, Window>,
    services: HashMap<Service, Served>,
    trusts: HashSet<Trust>,
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

    /// The same of a receipt.
    pub(super) fn work(&mut self, work: &Work, step: i64) {
        if self.is_bulk {
            return;
        }
        if let Some(millis) = work.millis {
            let sample = Sample { time: work.time, millis };
            for of in [
                Some(LatencyOf::ALL),
                Some(LatencyOf::provider(work.provider)),
                work.model.map(LatencyOf::model),
            ] {
                if let Some(of) = of {
                    self.latencies.entry(of).or_insert(Sampled::Later(Vec::new())).note(sample, step);
                }
            }
        }
        for provider in [0, work.provider] {
            if let Some(model) = work.model {
                let served =
                    self.services.entry(Service { model, provider }).or_insert(Served::At(work.time));
                *served = match *served {
                    Served::At(time) if step > 0 => Served::At(time.max(work.time)),
                    _ => Served::Less,
                };
            }
        }
    }

    /// The same of a declaration of trust.
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
            settle_account(conn, totals, id, &change, self.is_bulk)?;
        }
        if self.windows.len() >= WINDOWS {
            self.windows.clear();
        }
        for (of, sampled) in self.latencies.drain() {
            let window = match (self.windows.remove(&of), sampled) {
                (Some(mut window), Sampled::Later(samples)) if window.ends_before(&samples) => {
                    samples.into_iter().for_each(|sample| window.push(sample));
                    window
                }
                _ => Window::find(conn, of)?,
            };
            set_latency(conn, of, window.latency())?;
            self.windows.insert(of, window);
        }
        for (service, served) in self.services.drain() {
            settle_service(conn, service, served)?;
        }
        for trust in self.trusts.drain() {
            settle_trust(conn, totals, trust)?;
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

fn settle_account(
    conn: &Connection,
    totals: &mut Totals,
    id: i64,
    change: &Account,
    is_bulk: bool,
) -> Result<(), Fault> {
    let (shown, offers, mut first, mut latest, head): (i64, i64, i64, i64, i64) =
        conn.prepare_cached(FIND_ACCOUNT)?.query_row(named_params! {":id": id}, |row| {
            Ok((
                row.get("shown")?,
                row.get("offers")?,
                row.get("first")?,
                row.get("latest")?,
                row.get("head")?,
            ))
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
    Ok(())
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

impl Sampled {
    fn note(&mut self, sample: Sample, step: i64) {
        match self {
            Self::Later(samples) if step > 0 && samples.last().is_none_or(|last| last.time < sample.time) => {
                samples.push(sample);
            }
            _ => *self = Self::Otherwise,
        }
    }
}

impl Window {
    fn find(conn: &Connection, of: LatencyOf) -> Result<Self, Fault> {
        let limit = SAMPLES as i64;
        let (sql, parameters): (_, &[(&str, &dyn ToSql)]) = match of.kind {
            LatencyOf::PROVIDER => (LIST_SAMPLES_OF_PROVIDER, &[(":who", &of.who), (":limit", &limit)]),
            LatencyOf::MODEL => (LIST_SAMPLES_OF_MODEL, &[(":who", &of.who), (":limit", &limit)]),
            _ => (LIST_SAMPLES, &[(":limit", &limit)]),
        };
        let mut statement = conn.prepare_cached(sql)?;
        let mut rows = statement.query(parameters)?;
        let mut window = Self::default();
        while let Some(row) = rows.next()? {
            if window.millis.is_empty() {
                window.newest = row.get("time")?;
            }
            window.millis.push_back(row.get("millis")?);
        }
        Ok(window)
    }

    /// Whether these samples, in their order, are all later than what is here.
    fn ends_before(&self, samples: &[Sample]) -> bool {
        samples.first().is_some_and(|first| self.millis.is_empty() || self.newest < first.time)
    }

    fn push(&mut self, sample: Sample) {
        self.newest = sample.time;
        self.millis.truncate(SAMPLES - 1);
        self.millis.push_front(sample.millis);
    }

    /// What the samples say; nothing if there is none.
    fn latency(&self) -> Option<Latency> {
        let last = *self.millis.front()?;
        let count = self.millis.len() as i64;
        // Of halves the greater, as whoever rounds in JavaScript does. No span of time is beyond 53 bits.
        let mean = (2 * self.millis.iter().sum::<i64>() + count).div_euclid(2 * count);
        let mut sorted: Vec<i64> = self.millis.iter().copied().collect();
        sorted.sort_unstable();
        let rank = |percent: usize| sorted.get((percent * sorted.len()).div_ceil(100) - 1).copied();
        let (newest, samples) = (self.newest, sorted.len());
        Some(Latency { newest, samples, p50: rank(50)?, p95: rank(95)?, mean, last })
    }
}

/// What the newest samples of a group say; none if it has none.
pub(super) fn latency(conn: &Connection, of: LatencyOf) -> Result<Option<Latency>, Fault> {
    Ok(Window::find(conn, of)?.latency())
}

fn set_latency(conn: &Connection, of: LatencyOf, latency: Option<Latency>) -> Result<(), Fault> {
    match latency {
        None => {
            conn.prepare_cached(REMOVE_LATENCY)?.execute(named_params! {":kind": of.kind, ":who": of.who})?
        }
        Some(found) => conn.prepare_cached(SET_LATENCY)?.execute(named_params! {
            ":kind": of.kind,
            ":who": of.who,
            ":newest": found.newest,
            ":samples": found.samples as i64,
            ":p50": found.p50,
            ":p95": found.p95,
            ":mean": found.mean,
            ":last": found.last,
        })?,
    };
    Ok(())
}

fn settle_service(conn: &Connection, service: Service, served: Served) -> Result<(), Fault> {
    let Service { model, provider } = service;
    let stored: Option<i64> = conn
        .prepare_cached(FIND_SERVICE)?
        .query_row(named_params! {":model": model, ":provider": provider}, |row| row.get(0))
        .optional()?;
    let found = match served {
        Served::At(time) => stored.max(Some(time)),
        Served::Less => newest_service(conn, model, provider)?,
    };
    match found {
        _ if found == stored => 0,
        None => conn
            .prepare_cached(REMOVE_SERVICE)?
            .execute(named_params! {":model": model, ":provider": provider})?,
        Some(newest) => conn
            .prepare_cached(SET_SERVICE)?
            .execute(named_params! {":model": model, ":provider": provider, ":newest": newest})?,
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
        Window { newest: 1, millis: millis.into_iter().collect() }.latency()
    }

    #[test]
    fn a_window_takes_what_is_later_and_lets_go_of_what_is_too_old() {
        let mut window = Window::default();
        assert!(window.ends_before(&[Sample { time: 0, millis: 0 }]));
        for time in 1..=101 {
            let sample = Sample { time, millis: time };
            assert!(window.ends_before(&[sample]));
            window.push(sample);
            assert!(!window.ends_before(&[sample]) && !window.ends_before(&[]));
        }
        assert_eq!((window.newest, window.millis.len()), (101, SAMPLES));
        assert_eq!((window.millis.front(), window.millis.back()), (Some(&101), Some(&2)));
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
