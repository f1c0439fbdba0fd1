//! How long the newest work of a group took.

use rusqlite::{Connection, ToSql, named_params, params};

use super::super::Fault;
use crate::syntax::Tid;

/// Most receipts that a latency is about.
const SAMPLES: usize = 100;

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

    pub(crate) const fn model(who: i64) -> Self {
        Self { kind: Self::MODEL, who }
    }
}

/// How long one receipt says that its work took, and where it stands among those of its group: later ones are greater.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Sample {
    pub(super) time: i64,
    pub(super) rkey: Tid,
    pub(super) millis: i64,
}

/// The newest of some samples, the newest first: all of them, or a hundred.
#[derive(Debug, Default)]
pub(super) struct Window(Vec<Sample>);

/// What the newest samples say.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::index) struct Latency {
    pub(in crate::index) newest: i64,
    pub(in crate::index) samples: usize,
    pub(in crate::index) p50: i64,
    pub(in crate::index) p95: i64,
    pub(in crate::index) mean: i64,
    pub(in crate::index) last: i64,
}

impl Window {
    /// Of samples as they are found; none if one of them has a key without a number.
    fn of(samples: &[(i64, String, i64)]) -> Option<Self> {
        let sample = |(time, rkey, millis): &(i64, String, i64)| {
            Some(Sample { time: *time, rkey: rkey.parse().ok()?, millis: *millis })
        };
        samples.iter().map(sample).collect::<Option<_>>().map(Self)
    }

    pub(super) fn add(&mut self, sample: Sample) {
        let at = self.0.partition_point(|held| *held > sample);
        if at < SAMPLES {
            self.0.truncate(SAMPLES - 1);
            self.0.insert(at, sample);
        }
    }

    /// Writes what a group's samples say once these have been added to them.
    pub(super) fn settle(&mut self, conn: &Connection, of: LatencyOf, added: &Self) -> Result<(), Fault> {
        added.0.iter().for_each(|sample| self.add(*sample));
        let newest = self.0.first().map_or(0, |newest| newest.time);
        set(conn, of, Latency::of(newest, self.0.iter().map(|sample| sample.millis).collect()))
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

/// Looks at a group, and writes what its samples say. Returns them to be added to, if that can be done.
pub(super) fn settle(conn: &Connection, of: LatencyOf) -> Result<Option<Window>, Fault> {
    let samples = newest_samples(conn, of)?;
    set(conn, of, latency_of(&samples))?;
    Ok(Window::of(&samples))
}

/// What the newest samples of a group say; none if it has none.
pub(in crate::index) fn latency(conn: &Connection, of: LatencyOf) -> Result<Option<Latency>, Fault> {
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

fn set(conn: &Connection, of: LatencyOf, latency: Option<Latency>) -> Result<(), Fault> {
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
