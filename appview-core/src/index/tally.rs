//! What the records of all active repositories add up to.

use std::collections::HashMap;

use rusqlite::{Connection, OptionalExtension as _, Row, named_params};

use super::{Fault, Fingerprint};
use crate::record::Verdict;

/// The row that is about all collections.
pub(super) const WHOLE: i64 = 0;

/// Most tallies that are kept in memory between two transactions.
const REMEMBERED: usize = 1_024;

const FIND_TALLY: &str = "
    select sum, valid, marked, quarantined from tally where collection = :collection";

const SET_TALLY: &str = "
    insert into tally (collection, sum, valid, marked, quarantined)
    values (:collection, :sum, :valid, :marked, :quarantined)
    on conflict do update set sum = :sum, valid = :valid, marked = :marked, quarantined = :quarantined";

/// A sum over records and their numbers by verdict.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Tally {
    pub(super) sum: Fingerprint,
    pub(super) valid: i64,
    pub(super) marked: i64,
    pub(super) quarantined: i64,
}

impl Tally {
    pub(super) fn find(conn: &Connection, collection: i64) -> Result<Option<Self>, Fault> {
        conn.prepare_cached(FIND_TALLY)?
            .query_row(named_params! {":collection": collection}, Self::read)
            .optional()?
            .transpose()
    }

    pub(super) fn read(row: &Row<'_>) -> rusqlite::Result<Result<Self, Fault>> {
        let sum = Fingerprint::from_bytes(row.get_ref("sum")?.as_blob()?);
        let (valid, marked, quarantined) = (row.get("valid")?, row.get("marked")?, row.get("quarantined")?);
        Ok(sum.ok_or(Fault::Row("a fingerprint of another length")).map(|sum| Self {
            sum,
            valid,
            marked,
            quarantined,
        }))
    }

    fn set(&self, conn: &Connection, collection: i64) -> Result<(), Fault> {
        conn.prepare_cached(SET_TALLY)?.execute(named_params! {
            ":collection": collection,
            ":sum": self.sum.to_bytes(),
            ":valid": self.valid,
            ":marked": self.marked,
            ":quarantined": self.quarantined,
        })?;
        Ok(())
    }

    pub(super) fn count(&mut self, verdict: Verdict, step: i64) {
        *match verdict {
            Verdict::Valid => &mut self.valid,
            Verdict::Marked => &mut self.marked,
            Verdict::Quarantined => &mut self.quarantined,
        } += step;
    }
}

/// The tallies that a writer has touched. Only good as long as no transaction is rolled back.
#[derive(Debug, Default)]
pub(super) struct Tallies {
    tallies: HashMap<i64, Held>,
}

#[derive(Debug)]
struct Held {
    tally: Tally,
    changed: bool,
}

impl Tallies {
    /// Counts a record in, in its collection and in the whole.
    pub(super) fn add(
        &mut self,
        conn: &Connection,
        collection: i64,
        record: &Fingerprint,
        verdict: Verdict,
    ) -> Result<(), Fault> {
        for row in [WHOLE, collection] {
            let tally = self.tally(conn, row)?;
            tally.sum.add(record);
            tally.count(verdict, 1);
        }
        Ok(())
    }

    /// Counts a record out.
    pub(super) fn subtract(
        &mut self,
        conn: &Connection,
        collection: i64,
        record: &Fingerprint,
        verdict: Verdict,
    ) -> Result<(), Fault> {
        for row in [WHOLE, collection] {
            let tally = self.tally(conn, row)?;
            tally.sum.subtract(record);
            tally.count(verdict, -1);
        }
        Ok(())
    }

    /// Moves a record from one verdict to another.
    pub(super) fn regrade(
        &mut self,
        conn: &Connection,
        collection: i64,
        from: Verdict,
        to: Verdict,
    ) -> Result<(), Fault> {
        for row in [WHOLE, collection] {
            let tally = self.tally(conn, row)?;
            tally.count(from, -1);
            tally.count(to, 1);
        }
        Ok(())
    }

    /// Writes what changed.
    pub(super) fn flush(&mut self, conn: &Connection) -> Result<(), Fault> {
        for (collection, held) in &mut self.tallies {
            if held.changed {
                held.tally.set(conn, *collection)?;
                held.changed = false;
            }
        }
        if self.tallies.len() > REMEMBERED {
            self.tallies.clear();
        }
        Ok(())
    }

    pub(super) fn forget(&mut self) {
        self.tallies.clear();
    }

    fn tally(&mut self, conn: &Connection, collection: i64) -> Result<&mut Tally, Fault> {
        let held = match self.tallies.entry(collection) {
            std::collections::hash_map::Entry::Occupied(held) => held.into_mut(),
            std::collections::hash_map::Entry::Vacant(place) => place
                .insert(Held { tally: Tally::find(conn, collection)?.unwrap_or_default(), changed: false }),
        };
        held.changed = true;
        Ok(&mut held.tally)
    }
}
