//! What several lists of receipts have in common, in their order.
//!
//! Lists enter, each of which an index gives in order; places at which every one of them has a receipt leave. Who stands
//! far above the others leaps: it is read on from where they are. So a list of a million is not walked over for the ten
//! that another has. What is read in a row costs least, since an index holds all that is needed; hence some are read at each
//! leap, and more and more of them until the next. Deliberately absent: whatever no list gives, and the order among
//! receipts that share a place.

use std::cmp::Ordering;
use std::collections::binary_heap::PeekMut;
use std::collections::{BinaryHeap, HashSet, VecDeque};

use rusqlite::types::Value;
use rusqlite::{Connection, ToSql};

use crate::index::{Fault, link_key};
use crate::query::page::TOP;

/// Receipts that are read at once after a leap.
pub(super) const LEAST: u32 = 8;

/// Receipts that are read at once where many were read in a row.
const MOST: u32 = 256;

/// Receipts with something in common, below a place and not before a time.
macro_rules! entries {
    ($condition:literal) => {
        concat!(
            "select time, rkey, record, provider from receipt where ",
            $condition,
            " and time >= ?3 and (time, rkey) < (?1, ?2)"
        )
    };
}

/// A whole statement: of those that tell how long the work took and those that don't, merged, since each is in order; or of
/// both from one index.
macro_rules! statement {
    ($told:literal, $untold:literal) => {
        concat!(entries!($told), " union all ", entries!($untold), " order by time desc, rkey desc limit ?4")
    };
    ($condition:literal) => {
        concat!(entries!($condition), " order by time desc, rkey desc limit ?4")
    };
}

pub(in crate::query) const LIST_ALL: &str = statement!("millis is not null", "millis is null");

pub(in crate::query) const LIST_BY_PROVIDER: &str =
    statement!("provider = ?5 and millis is not null", "provider = ?5 and millis is null");

pub(in crate::query) const LIST_BY_MODEL: &str =
    statement!("model = ?5 and millis is not null", "model = ?5 and millis is null");

pub(in crate::query) const LIST_BY_REQUESTER: &str = statement!("requester = ?5");

pub(in crate::query) const LIST_BY_JOB: &str = statement!("job = ?5");

pub(in crate::query) const LIST_BY_TIER: &str = statement!("tier = ?5 and tier <> 'best-effort'");

/// Where receipts stand, whoever's they are: the time of the work, then the key.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Spot {
    pub(super) time: i64,
    pub(super) rkey: String,
}

impl Spot {
    /// The place above all receipts before a moment.
    pub(super) fn before(until: Option<i64>) -> Self {
        match until {
            // No key is below the empty one.
            Some(until) => Self { time: until, rkey: String::new() },
            None => Self { time: i64::MAX, rkey: TOP.into() },
        }
    }

    /// The place right above this one: no key has a character as low as the one that is appended.
    pub(super) fn above(&self) -> Self {
        Self { time: self.time, rkey: format!("{}\u{1}", self.rkey) }
    }
}

/// A receipt of a list.
#[derive(Debug, Clone)]
pub(super) struct Entry {
    spot: Spot,
    pub(super) record: i64,
    pub(super) provider: i64,
}

/// What the receipts of a part of a list have in common.
#[derive(Debug)]
pub(super) struct Of {
    sql: &'static str,
    value: Option<Value>,
}

impl Of {
    pub(super) const ALL: Self = Self { sql: LIST_ALL, value: None };

    pub(super) const fn provider(did: i64) -> Self {
        Self { sql: LIST_BY_PROVIDER, value: Some(Value::Integer(did)) }
    }

    pub(super) const fn requester(did: i64) -> Self {
        Self { sql: LIST_BY_REQUESTER, value: Some(Value::Integer(did)) }
    }

    pub(super) const fn model(model: i64) -> Self {
        Self { sql: LIST_BY_MODEL, value: Some(Value::Integer(model)) }
    }

    pub(super) fn job(uri: &str) -> Self {
        Self { sql: LIST_BY_JOB, value: Some(Value::Blob(link_key(uri).into())) }
    }

    /// A tier other than `best-effort`.
    pub(super) fn tier(tier: &str) -> Self {
        Self { sql: LIST_BY_TIER, value: Some(Value::Text(tier.to_owned())) }
    }
}

/// What an index gives in order, as far as it was read.
#[derive(Debug)]
struct Part {
    of: Of,
    /// Where its first one stands that was not passed over; before anything is read, the place it is read from.
    spot: Spot,
    ahead: VecDeque<Entry>,
    /// What was not read yet is below this; none if everything was.
    rest: Option<Spot>,
    at_once: u32,
}

/// What is the same for everything that is read of a page.
struct Reading<'c> {
    conn: &'c Connection,
    since: i64,
    rows: usize,
}

impl Part {
    fn new(of: Of, from: &Spot, at_once: u32) -> Self {
        Self { of, spot: from.clone(), rest: Some(from.clone()), ahead: VecDeque::new(), at_once }
    }

    /// Passes over what does not stand below a place. Returns whether anything is left.
    fn pass(&mut self, reading: &mut Reading<'_>, below: &Spot) -> Result<bool, Fault> {
        loop {
            while self.ahead.pop_front_if(|entry| entry.spot >= *below).is_some() {}
            if let Some(first) = self.ahead.front() {
                self.spot.clone_from(&first.spot);
                return Ok(true);
            }
            let Some(rest) = self.rest.take() else { return Ok(false) };
            if *below < rest {
                self.at_once = self.at_once.min(LEAST);
                self.read(reading, below)?;
            } else {
                self.read(reading, &rest)?;
                self.at_once = (self.at_once * 2).min(MOST);
            }
        }
    }

    /// Reads on below a place: all the receipts at each place that it reads any of.
    fn read(&mut self, reading: &mut Reading<'_>, below: &Spot) -> Result<(), Fault> {
        let mut statement = reading.conn.prepare_cached(self.of.sql)?;
        let mut at_once = self.at_once;
        loop {
            let mut parameters: Vec<&dyn ToSql> = vec![&below.time, &below.rkey, &reading.since, &at_once];
            parameters.extend(self.of.value.as_ref().map(|value| value as &dyn ToSql));
            let mut rows = statement.query(parameters.as_slice())?;
            while let Some(row) = rows.next()? {
                let spot = Spot { time: row.get(0)?, rkey: row.get(1)? };
                self.ahead.push_back(Entry { spot, record: row.get(2)?, provider: row.get(3)? });
            }
            reading.rows += self.ahead.len();
            if self.ahead.len() < at_once as usize {
                return Ok(());
            }
            // The last place may have more than were read of it.
            if let Some(Entry { spot: last, .. }) = self.ahead.back().cloned() {
                while self.ahead.pop_back_if(|entry| entry.spot == last).is_some() {}
            }
            if let Some(Entry { spot, .. }) = self.ahead.back() {
                self.rest = Some(spot.clone());
                return Ok(());
            }
            at_once *= 4;
        }
    }
}

// Parts are compared by where they stand.
impl Ord for Part {
    fn cmp(&self, other: &Self) -> Ordering {
        self.spot.cmp(&other.spot)
    }
}

impl PartialOrd for Part {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for Part {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other).is_eq()
    }
}

impl Eq for Part {}

/// The receipts of some parts that have none in common, merged.
#[derive(Debug)]
struct List(BinaryHeap<Part>);

impl List {
    /// Passes over what does not stand below a place. Returns where the first one stands that is left.
    fn pass(&mut self, reading: &mut Reading<'_>, below: &Spot) -> Result<Option<&Spot>, Fault> {
        while let Some(mut part) = self.0.peek_mut() {
            if part.spot < *below {
                break;
            }
            if !part.pass(reading, below)? {
                PeekMut::pop(part);
            }
        }
        Ok(self.0.peek().map(|part| &part.spot))
    }

    /// The receipts at the first place.
    fn first(&self) -> impl Iterator<Item = &Entry> {
        let spot = self.0.peek().map(|part| &part.spot);
        let parts = self.0.iter().filter(move |part| Some(&part.spot) == spot);
        parts.flat_map(move |part| part.ahead.iter().take_while(move |entry| Some(&entry.spot) == spot))
    }
}

/// A walk down several lists at once.
pub(super) struct Walk<'c> {
    reading: Reading<'c>,
    lists: Vec<List>,
    from: Spot,
    below: Spot,
    looked_at: usize,
}

/// Where a walk has come to.
pub(super) enum Step {
    /// A place at which there are receipts that all lists have: at least one.
    Found(Spot, Vec<Entry>),
    /// Enough was looked at for one page. The walk would go on at this place, from which nothing was given.
    Enough(Spot),
    /// There are no more.
    End,
}

impl<'c> Walk<'c> {
    /// A walk down from a place, to the time `since`, which ends early once `looked_at` receipts were read. `at_once` are read
    /// at first, or few where several lists have to meet or several parts are merged.
    pub(super) fn new(
        conn: &'c Connection,
        lists: Vec<Vec<Of>>,
        (below, since): (Spot, i64),
        at_once: u32,
        looked_at: usize,
    ) -> Self {
        let is_one = matches!(lists.as_slice(), [parts] if parts.len() == 1);
        let at_once = if is_one { at_once.clamp(LEAST, MOST) } else { LEAST };
        let part = |of| Part::new(of, &below, at_once);
        let lists = lists.into_iter().map(|parts| List(parts.into_iter().map(part).collect())).collect();
        let reading = Reading { conn, since, rows: 0 };
        Self { reading, lists, from: below.clone(), below, looked_at }
    }

    /// Goes on to the next place at which all lists have the same receipts.
    pub(super) fn step(&mut self) -> Result<Step, Fault> {
        loop {
            let Some(spot) = self.meet()? else { return Ok(Step::End) };
            // A page that gave nothing and did not get on either would be asked for again and again.
            if self.reading.rows >= self.looked_at && spot.above() < self.from {
                return Ok(Step::Enough(spot));
            }
            let mut lists = self.lists.iter();
            let mut entries: Vec<Entry> =
                lists.next().map_or(Vec::new(), |list| list.first().cloned().collect());
            for list in lists {
                let records: HashSet<i64> = list.first().map(|entry| entry.record).collect();
                entries.retain(|entry| records.contains(&entry.record));
            }
            self.below = spot.clone();
            if !entries.is_empty() {
                return Ok(Step::Found(spot, entries));
            }
        }
    }

    /// The first place below that all lists have; or one that not all of them may have, if enough was looked at.
    fn meet(&mut self) -> Result<Option<Spot>, Fault> {
        let mut below = self.below.clone();
        let mut met: Option<Spot> = None;
        loop {
            let mut has_leapt = false;
            for list in &mut self.lists {
                let Some(spot) = list.pass(&mut self.reading, &below)? else { return Ok(None) };
                if met.as_ref() != Some(spot) {
                    has_leapt |= met.is_some();
                    below = spot.above();
                    met = Some(spot.clone());
                }
            }
            let is_enough = self.reading.rows >= self.looked_at && below < self.from;
            if !has_leapt || is_enough {
                return Ok(met);
            }
        }
    }
}
