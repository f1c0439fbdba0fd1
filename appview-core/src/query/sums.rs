//! What receipts of one group add up to within spans of time.
//!
//! Weeks are added as they are stored, the hours at their ends one by one, and of the hours at the very ends the receipts
//! themselves. So an answer is exact, and costs some rows for each week.

use rusqlite::{CachedStatement, Connection, ToSql, params};

use super::Steps;
use crate::index::{Fault, Group, HOUR, Hours, Sum, WEEK, start_of, week_of};

pub(super) const LIST_WEEKS: &str = "
    select records, tokens_in, tokens_out, week, hours from total
     where kind = :kind and a = :a and b = :b and week between :first and :last";

/// What a receipt adds, for a condition.
macro_rules! added {
    ($condition:literal) => {
        concat!(
            "select count(*) as records, coalesce(sum(tokens_in), 0) as tokens_in,
                    coalesce(sum(tokens_out), 0) as tokens_out
               from receipt
              where time >= :from and time < :until and ",
            $condition
        )
    };
}

pub(super) const ADD_UP_ALL: &str =
    concat!(added!("millis is not null"), " union all ", added!("millis is null"));

pub(super) const ADD_UP_REQUESTER: &str = added!("requester = :of");

pub(super) const ADD_UP_PROVIDER: &str = concat!(
    added!("provider = :of and millis is not null"),
    " union all ",
    added!("provider = :of and millis is null")
);

pub(super) const ADD_UP_MODEL: &str = concat!(
    added!("model = :of and millis is not null"),
    " union all ",
    added!("model = :of and millis is null")
);

/// Looks at what the provider did. The sign keeps SQLite from looking at all that anybody did with the model.
pub(super) const ADD_UP_MODEL_OF: &str = concat!(
    added!("provider = :of and +model = :model and millis is not null"),
    " union all ",
    added!("provider = :of and +model = :model and millis is null")
);

/// Whose receipts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Of {
    All,
    Requester(i64),
    Provider(i64),
    Model(i64),
    ProviderModel { provider: i64, model: i64 },
}

impl Of {
    fn group(self) -> Group {
        match self {
            Self::All => Group::ALL,
            Self::Requester(did) => Group::requester(did),
            Self::Provider(did) => Group::receipts(did),
            Self::Model(model) => Group::model(model),
            Self::ProviderModel { provider, model } => Group::model_of(provider, model),
        }
    }
}

/// From a moment on, and before another. Open ends are the extremes of the type.
pub(super) type Bounds = (i64, i64);

/// Adds up what is asked for, of one group after the other.
pub(super) struct Adder<'c> {
    conn: &'c Connection,
    weeks: CachedStatement<'c>,
}

impl<'c> Adder<'c> {
    pub(super) fn new(conn: &'c Connection) -> Result<Self, Fault> {
        Ok(Self { conn, weeks: conn.prepare_cached(LIST_WEEKS)? })
    }

    /// The sum within each of the spans, in one pass over the weeks of all.
    pub(super) fn within<const N: usize>(&mut self, of: Of, spans: [Bounds; N]) -> Result<[Sum; N], Fault> {
        let mut sums = [Sum::default(); N];
        let first = spans.iter().map(|(since, _)| *since).min().unwrap_or(0).max(0);
        let last = spans.iter().map(|(_, until)| *until).max().unwrap_or(0).saturating_sub(1);
        if last < first {
            return Ok(sums);
        }
        let Group { kind, a, b } = of.group();
        let mut rows = self.weeks.query(params![kind, a, b, week_of(first), week_of(last.min(LAST))])?;
        while let Some(row) = rows.next()? {
            let start = start_of(row.get(3)?);
            let week = Sum::read(row)?;
            let mut partial = [false; N];
            for ((sum, span), partial) in sums.iter_mut().zip(spans).zip(&mut partial) {
                match overlap(span, start, WEEK) {
                    Overlap::Whole => sum.add(week),
                    Overlap::Part => *partial = true,
                    Overlap::None => {}
                }
            }
            if !partial.contains(&true) {
                continue;
            }
            let hours = row.get_ref(4)?.as_blob().map_err(|_| Fault::Row("hours that are none"))?;
            for hour in Hours::of(hours) {
                let (hour, added) = hour?;
                let start = start + i64::from(hour) * HOUR;
                for ((sum, span), partial) in sums.iter_mut().zip(spans).zip(&partial) {
                    match overlap(span, start, HOUR) {
                        Overlap::Whole if *partial => sum.add(added),
                        Overlap::Part if *partial => {
                            let (since, until) = span;
                            sum.add(receipts(self.conn, of, since.max(start), until.min(start + HOUR))?);
                        }
                        _ => {}
                    }
                }
            }
        }
        Ok(sums)
    }

    /// The sum within each of some spans that follow each other, in one pass over the weeks of all.
    pub(super) fn series(&mut self, of: Of, steps: Steps) -> Result<Vec<Sum>, Fault> {
        let mut sums = vec![Sum::default(); usize::from(steps.count)];
        let mut add = |step: i64, added: Sum| {
            if let Some(sum) = usize::try_from(step).ok().and_then(|step| sums.get_mut(step)) {
                sum.add(added);
            }
        };
        let (first, last) = (steps.since.max(0), steps.start(i64::from(steps.count)).min(LAST) - 1);
        if last < first {
            return Ok(sums);
        }
        let Group { kind, a, b } = of.group();
        let mut rows = self.weeks.query(params![kind, a, b, week_of(first), week_of(last)])?;
        while let Some(row) = rows.next()? {
            let start = start_of(row.get(3)?);
            if let (step, None) = steps.of(start, WEEK) {
                add(step, Sum::read(row)?);
                continue;
            }
            let hours = row.get_ref(4)?.as_blob().map_err(|_| Fault::Row("hours that are none"))?;
            for hour in Hours::of(hours) {
                let (hour, added) = hour?;
                let start = start + i64::from(hour) * HOUR;
                match steps.of(start, HOUR) {
                    (step, None) => add(step, added),
                    (first, Some(last)) => {
                        for step in first.max(0)..=last.min(i64::from(steps.count) - 1) {
                            let (from, until) = (steps.start(step), steps.start(step + 1));
                            add(step, receipts(self.conn, of, from.max(start), until.min(start + HOUR))?);
                        }
                    }
                }
            }
        }
        Ok(sums)
    }
}

impl Steps {
    /// The first moment of a step.
    fn start(self, step: i64) -> i64 {
        self.since.saturating_add(step.saturating_mul(self.length.max(1)))
    }

    /// The step that `length` from `start` on belong to; where they belong to several, the first and the last of them.
    fn of(self, start: i64, length: i64) -> (i64, Option<i64>) {
        let step = |at: i64| at.saturating_sub(self.since).div_euclid(self.length.max(1));
        let (first, last) = (step(start), step(start + length - 1));
        (first, Some(last).filter(|last| *last > first))
    }
}

/// Beyond every time that a record may have.
const LAST: i64 = 1 << 60;

enum Overlap {
    None,
    Part,
    Whole,
}

/// How much of what begins at `start` and lasts `length` is within a span.
const fn overlap((since, until): Bounds, start: i64, length: i64) -> Overlap {
    let end = start + length;
    if until <= start || since >= end {
        Overlap::None
    } else if since <= start && until >= end {
        Overlap::Whole
    } else {
        Overlap::Part
    }
}

/// Adds up receipts one by one.
fn receipts(conn: &Connection, of: Of, from: i64, until: i64) -> Result<Sum, Fault> {
    let (sql, who): (_, &[(&str, &dyn ToSql)]) = match &of {
        Of::All => (ADD_UP_ALL, &[]),
        Of::Requester(did) => (ADD_UP_REQUESTER, &[(":of", did)]),
        Of::Provider(did) => (ADD_UP_PROVIDER, &[(":of", did)]),
        Of::Model(model) => (ADD_UP_MODEL, &[(":of", model)]),
        Of::ProviderModel { provider, model } => (ADD_UP_MODEL_OF, &[(":of", provider), (":model", model)]),
    };
    let mut parameters: Vec<(&str, &dyn ToSql)> = vec![(":from", &from), (":until", &until)];
    parameters.extend(who);
    let mut statement = conn.prepare_cached(sql)?;
    let mut rows = statement.query(parameters.as_slice())?;
    let mut sum = Sum::default();
    while let Some(row) = rows.next()? {
        sum.add(Sum::read(row)?);
    }
    Ok(sum)
}
