//! Sums that are kept with every write, so that none has to be added up when it is asked for.
//!
//! What one record adds enters, per group and week; a row for each group and week leaves. Adding is all there is: what was
//! added is taken away again by adding its negative, so that equal records lead to equal rows, in whatever order they came
//! and whichever came in between. Deliberately absent: what belongs to which group, which `record` decides.

use std::collections::HashMap;
use std::collections::hash_map::Entry;

use rusqlite::{Connection, Row, params};

use super::{Fault, number_of};
use crate::record::Collection;

/// One hour, in microseconds.
pub(crate) const HOUR: i64 = 3_600_000_000;

/// One week.
pub(crate) const WEEK: i64 = HOURS * HOUR;

/// Hours of a week.
const HOURS: i64 = 7 * 24;

/// From the first week's beginning to 1970, which began on a Thursday: weeks begin on Monday, at 00:00 UTC.
const BEFORE_1970: i64 = 3 * 24 * HOUR;

/// Most sums that wait to be written, and most that are remembered as they are written: some megabytes. A repository is
/// applied as a whole, and each of its records may belong to others.
const HELD: usize = 16_384;

const FIND_WEEK: &str = "
    select records, tokens_in, tokens_out, hours from total
     where kind = :kind and a = :a and b = :b and week = :week";

const ADD_WEEK: &str = "
    insert into total (records, tokens_in, tokens_out, hours, kind, a, b, week)
    values (:records, :tokens_in, :tokens_out, :hours, :kind, :a, :b, :week)";

const SET_WEEK: &str = "
    update total set records = :records, tokens_in = :tokens_in, tokens_out = :tokens_out, hours = :hours
     where kind = :kind and a = :a and b = :b and week = :week";

const REMOVE_WEEK: &str = "
    delete from total where kind = :kind and a = :a and b = :b and week = :week";

/// The number of the week that a moment belongs to, counted from the one in which 1970 began.
pub(crate) const fn week_of(micros: i64) -> i64 {
    (micros + BEFORE_1970).div_euclid(WEEK)
}

/// The first moment of a week.
pub(crate) const fn start_of(week: i64) -> i64 {
    week * WEEK - BEFORE_1970
}

/// The hour of its week that a moment belongs to.
pub(super) fn hour_of(micros: i64) -> u8 {
    u8::try_from((micros + BEFORE_1970).rem_euclid(WEEK) / HOUR).unwrap_or(0)
}

/// What is added up together. The numbers are those that stand for names in this index.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Group {
    pub(crate) kind: i64,
    pub(crate) a: i64,
    pub(crate) b: i64,
}

impl Group {
    /// The served records of a repository in a collection.
    pub(crate) const fn records(repo: i64, collection: i64) -> Self {
        Self { kind: 0, a: repo, b: collection }
    }

    /// The receipts of a provider.
    pub(crate) const fn receipts(provider: i64) -> Self {
        Self::records(provider, number_of(Collection::Receipt))
    }

    /// The receipts that name a requester.
    pub(crate) const fn requester(did: i64) -> Self {
        Self { kind: 1, a: did, b: 0 }
    }

    /// The receipts that name a model.
    pub(crate) const fn model(model: i64) -> Self {
        Self { kind: 2, a: model, b: 0 }
    }

    /// All receipts.
    pub(crate) const ALL: Self = Self { kind: 2, a: 0, b: 0 };

    /// The receipts of a provider that name a model.
    pub(crate) const fn model_of(provider: i64, model: i64) -> Self {
        Self { kind: 3, a: provider, b: model }
    }

    /// The declarations of trust in an account.
    pub(crate) const fn trust(subject: i64) -> Self {
        Self { kind: 4, a: subject, b: 0 }
    }

    /// The accounts that trust an account, however often each has declared it. Has one row, in the week 0.
    pub(crate) const fn friends(subject: i64) -> Self {
        Self { kind: 5, a: subject, b: 0 }
    }

    /// The accounts with a served record. Has one row.
    pub(crate) const ACCOUNTS: Self = Self { kind: 6, a: 0, b: 0 };

    /// Those among them with a machine on offer. Has one row.
    pub(crate) const PROVIDERS: Self = Self { kind: 6, a: 1, b: 0 };

    /// The followed repositories, by the codes of their `Hosting` and `Proof`. Has one row.
    pub(crate) const fn repos(hosting: i64, proof: i64) -> Self {
        Self { kind: 7, a: hosting, b: proof }
    }
}

/// What some records add up to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Sum {
    pub(crate) records: i64,
    pub(crate) tokens_in: i64,
    pub(crate) tokens_out: i64,
}

impl Sum {
    /// One record without tokens.
    pub(crate) const ONE: Self = Self { records: 1, tokens_in: 0, tokens_out: 0 };

    /// Reads `records`, `tokens_in` and `tokens_out`, which every statement for sums gives first and in this order.
    pub(crate) fn read(row: &Row<'_>) -> Result<Self, Fault> {
        Ok(Self { records: row.get(0)?, tokens_in: row.get(1)?, tokens_out: row.get(2)? })
    }

    pub(crate) const fn add(&mut self, other: Self) {
        self.records += other.records;
        self.tokens_in += other.tokens_in;
        self.tokens_out += other.tokens_out;
    }

    /// What takes it away again.
    pub(crate) const fn negative(self) -> Self {
        Self { records: -self.records, tokens_in: -self.tokens_in, tokens_out: -self.tokens_out }
    }
}

/// One group's sum in one week, and where it is told apart, in each of its hours.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) struct Week {
    pub(super) sum: Sum,
    /// Hours with something in them, in their order.
    pub(super) hours: Vec<(u8, Sum)>,
}

impl Week {
    /// Reads a sum, and `hours`.
    pub(super) fn read(row: &Row<'_>) -> Result<Self, Fault> {
        let hours = row.get_ref("hours")?.as_blob().map_err(|_| Fault::Row("hours that are none"))?;
        Ok(Self { sum: Sum::read(row)?, hours: Hours::of(hours).collect::<Result<_, _>>()? })
    }

    fn add(&mut self, hour: u8, step: Sum) {
        match self.hours.binary_search_by_key(&hour, |(hour, _)| *hour) {
            Ok(at) => {
                if let Some((_, sum)) = self.hours.get_mut(at) {
                    sum.add(step);
                }
            }
            Err(at) => self.hours.insert(at, (hour, step)),
        }
    }

    fn add_all(&mut self, other: &Self) {
        self.sum.add(other.sum);
        for (hour, sum) in &other.hours {
            self.add(*hour, *sum);
        }
        self.hours.retain(|(_, sum)| *sum != Sum::default());
    }
}

/// A group in one of its weeks: what one row is about.
type Key = (Group, i64);

/// What has been added and is not written yet, and some of what is written. Only good as long as no transaction is rolled
/// back.
#[derive(Debug, Default)]
pub(super) struct Totals {
    added: HashMap<Key, Week>,
    /// As it is stored; nothing where there is no row.
    stored: HashMap<Key, Week>,
}

impl Totals {
    /// Adds to a group, in the week of a moment.
    pub(super) fn add(&mut self, group: Group, micros: i64, step: Sum) {
        self.added.entry((group, week_of(micros))).or_default().sum.add(step);
    }

    /// The same for a group whose hours are told apart.
    pub(super) fn add_hour(&mut self, group: Group, micros: i64, step: Sum) {
        let week = self.added.entry((group, week_of(micros))).or_default();
        week.sum.add(step);
        week.add(hour_of(micros), step);
    }

    /// Adds to a group that is of no time.
    pub(super) fn count(&mut self, group: Group, step: i64) {
        let step = Sum { records: step, ..Sum::default() };
        self.added.entry((group, 0)).or_default().sum.add(step);
    }

    pub(super) fn is_full(&self) -> bool {
        self.added.len() >= HELD
    }

    /// Writes what was added. In the order of the keys, so that neighbours in the table are written together.
    pub(super) fn flush(&mut self, conn: &Connection) -> Result<(), Fault> {
        let mut added: Vec<_> = self.added.drain().collect();
        added.sort_unstable_by_key(|(key, _)| *key);
        if self.stored.len() >= HELD {
            self.stored.clear();
        }
        for (key, added) in added {
            let stored = match self.stored.entry(key) {
                Entry::Occupied(stored) => stored.into_mut(),
                Entry::Vacant(place) => place.insert(find(conn, key)?),
            };
            let is_stored = *stored != Week::default();
            stored.add_all(&added);
            write(conn, key, stored, is_stored)?;
        }
        Ok(())
    }

    pub(super) fn forget(&mut self) {
        *self = Self::default();
    }
}

fn find(conn: &Connection, (Group { kind, a, b }, week): Key) -> Result<Week, Fault> {
    let mut statement = conn.prepare_cached(FIND_WEEK)?;
    let mut rows = statement.query(params![kind, a, b, week])?;
    rows.next()?.map_or(Ok(Week::default()), Week::read)
}

fn write(
    conn: &Connection,
    (Group { kind, a, b }, week): Key,
    total: &Week,
    is_stored: bool,
) -> Result<(), Fault> {
    let sql = match (is_stored, *total == Week::default()) {
        (false, true) => return Ok(()),
        (true, true) => {
            conn.prepare_cached(REMOVE_WEEK)?.execute(params![kind, a, b, week])?;
            return Ok(());
        }
        (false, false) => ADD_WEEK,
        (true, false) => SET_WEEK,
    };
    let Sum { records, tokens_in, tokens_out } = total.sum;
    let hours = encode(&total.hours);
    conn.prepare_cached(sql)?.execute(params![records, tokens_in, tokens_out, hours, kind, a, b, week])?;
    Ok(())
}

/// Hours as a row has them: for each its number in the week, then its three sums as LEB128. A week of all hours takes
/// about a kilobyte.
fn encode(hours: &[(u8, Sum)]) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(hours.len() * 6);
    for (hour, sum) in hours {
        bytes.push(*hour);
        for number in [sum.records, sum.tokens_in, sum.tokens_out] {
            let mut rest = number.cast_unsigned();
            while rest > 0x7f {
                bytes.push(0x80 | (rest & 0x7f) as u8);
                rest >>= 7;
            }
            bytes.push(rest as u8);
        }
    }
    bytes
}

/// The hours in a row, each with its number in the week, in their order.
#[derive(Debug, Clone)]
pub(crate) struct Hours<'a>(&'a [u8]);

impl<'a> Hours<'a> {
    pub(crate) const fn of(bytes: &'a [u8]) -> Self {
        Self(bytes)
    }

    fn number(&mut self) -> Option<i64> {
        let mut number = 0;
        for shift in (0..64).step_by(7) {
            let (byte, rest) = self.0.split_first()?;
            self.0 = rest;
            number |= u64::from(byte & 0x7f) << shift;
            if byte & 0x80 == 0 {
                return Some(number.cast_signed());
            }
        }
        None
    }

    fn hour(&mut self, hour: u8) -> Option<(u8, Sum)> {
        let sum = Sum { records: self.number()?, tokens_in: self.number()?, tokens_out: self.number()? };
        Some((hour, sum))
    }
}

impl Iterator for Hours<'_> {
    type Item = Result<(u8, Sum), Fault>;

    fn next(&mut self) -> Option<Self::Item> {
        let (hour, rest) = self.0.split_first()?;
        self.0 = rest;
        let read = self.hour(*hour).ok_or(Fault::Row("hours that are none"));
        if read.is_err() {
            self.0 = &[];
        }
        Some(read)
    }
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;
    use crate::syntax::datetime_unix_micros;

    #[test]
    fn weeks_begin_on_monday() {
        let micros = |text| datetime_unix_micros(text).unwrap();
        let monday = micros("2026-11-23T00:00:00Z");
        assert_eq!(start_of(week_of(monday)), monday);
        assert_eq!(week_of(monday - 1), week_of(monday) - 1);
        assert_eq!(week_of(micros("2026-11-29T23:59:59.999999Z")), week_of(monday));
        assert_eq!((week_of(0), start_of(0)), (0, micros("1969-12-29T00:00:00Z")));
        assert_eq!((hour_of(monday), hour_of(monday + HOUR), hour_of(monday - 1)), (0, 1, 167));
    }

    #[test]
    fn hours_are_read_as_they_are_written() {
        let sum = |records, tokens_in, tokens_out| Sum { records, tokens_in, tokens_out };
        let hours = vec![(0, sum(1, 0, 127)), (3, sum(128, 16_384, i64::MAX)), (167, sum(-1, 2, 3))];
        let decode = |bytes: &[u8]| Hours::of(bytes).collect::<Result<Vec<_>, _>>().ok();
        assert_eq!(decode(&encode(&hours)).unwrap(), hours);
        assert_eq!(decode(&[]).unwrap(), []);
        for cut in [
            &[5][..],
            &[5, 1],
            &[5, 1, 2],
            &[5, 1, 0x80],
            &[5, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 1, 1],
        ] {
            assert_eq!(decode(cut), None);
        }
    }

    #[test]
    fn what_is_added_and_taken_away_leaves_nothing() {
        let mut week = Week::default();
        let step = Sum { records: 1, tokens_in: 20, tokens_out: 3 };
        for hour in [5, 1, 5] {
            week.sum.add(step);
            week.add(hour, step);
        }
        assert_eq!(week.hours.len(), 2);
        let mut taken = Week { sum: week.sum.negative(), hours: Vec::new() };
        for (hour, sum) in &week.hours {
            taken.add(*hour, sum.negative());
        }
        week.add_all(&taken);
        assert_eq!(week, Week::default());
    }
}
