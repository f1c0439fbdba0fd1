//! One transaction at work on what follows from a record being served: its typed row, and its part in the sums of whoever it
//! names.
//!
//! A record that is served from here on enters, or one that is not any more; each undoes the other. Deliberately absent:
//! whether it is served, which `record` decides.

use super::batch::Batch;
use super::project::{self, Adds, Place};
use super::record::{InCollection, Stored};
use super::total::{Group, Sum};
use super::{Fault, number_of, single_use};
use crate::block::Value;
use crate::record::{Collection, Verdict};

impl Batch<'_> {
    /// Copies a record that is served from here on into its typed table, and adds it to the sums that it belongs to.
    pub(super) fn serve(
        &mut self,
        place: Place<'_>,
        collection: InCollection<'_>,
        value: Option<&Value<'_>>,
    ) -> Result<(), Fault> {
        let adds = match (Collection::from_nsid(collection.nsid), value.and_then(Value::as_map)) {
            (Some(known), Some(members)) => {
                single_use::add(self.conn, known, place, members)?;
                project::add(self.conn, self.interned, known, place, members)?
            }
            _ => Adds::Nothing,
        };
        self.note_profile(place.repo, collection);
        match &adds {
            Adds::Work(work) => self.standing.add_work(work, place.rkey),
            Adds::Trust(subject) => self.standing.trust(*subject, place.repo),
            Adds::Nothing => {}
        }
        self.add_up(place.repo, collection, place.time, &adds, 1)
    }

    /// The inverse of [`Batch::serve`]; nothing for a record that was not served though its repository is shown.
    pub(super) fn unserve(
        &mut self,
        repo: i64,
        collection: InCollection<'_>,
        stored: Stored,
    ) -> Result<(), Fault> {
        if stored.verdict == Verdict::Quarantined {
            return Ok(());
        }
        let adds = match Collection::from_nsid(collection.nsid) {
            Some(known) => {
                single_use::remove(self.conn, known, stored.id)?;
                project::remove(self.conn, known, stored.id)?
            }
            None => Adds::Nothing,
        };
        self.note_profile(repo, collection);
        match &adds {
            Adds::Work(work) => self.standing.remove_work(work),
            Adds::Trust(subject) => self.standing.trust(*subject, repo),
            Adds::Nothing => {}
        }
        self.add_up(repo, collection, stored.time, &adds, -1)
    }

    fn note_profile(&mut self, repo: i64, collection: InCollection<'_>) {
        if collection.id == number_of(Collection::Profile) {
            self.standing.profile(repo);
        }
    }

    /// Adds a record to whatever it belongs to (`step` is 1), or takes it away again (-1).
    fn add_up(
        &mut self,
        repo: i64,
        collection: InCollection<'_>,
        time: i64,
        adds: &Adds,
        step: i64,
    ) -> Result<(), Fault> {
        let is_offer = collection.id == number_of(Collection::Provider);
        self.standing.account(repo, time, is_offer, step);
        each_sum(repo, collection.id, adds, |group, sum, has_hours| {
            let sum = if step > 0 { sum } else { sum.negative() };
            match has_hours {
                true => self.totals.add_hour(group, time, sum),
                false => self.totals.add(group, time, sum),
            }
        });
        if self.totals.is_full() || self.standing.is_full() { self.settle() } else { Ok(()) }
    }

    /// Writes what was added up so far, and what follows from it.
    pub(super) fn settle(&mut self) -> Result<(), Fault> {
        self.totals.flush(self.conn)?;
        self.standing.settle(self.conn, self.totals)?;
        self.totals.flush(self.conn)
    }
}

/// Each group that a served record belongs to, what it adds there, and whether hours are told apart.
pub(super) fn each_sum(repo: i64, collection: i64, adds: &Adds, mut add: impl FnMut(Group, Sum, bool)) {
    let records = Group::records(repo, collection);
    match adds {
        Adds::Nothing => add(records, Sum::ONE, false),
        Adds::Trust(subject) => {
            add(records, Sum::ONE, false);
            add(Group::trust(*subject), Sum::ONE, false);
        }
        Adds::Work(work) => {
            let sum = Sum { records: 1, tokens_in: work.tokens_in, tokens_out: work.tokens_out };
            let mut add = |group| add(group, sum, true);
            add(records);
            add(Group::ALL);
            if let Some(requester) = work.requester {
                add(Group::requester(requester));
            }
            if let Some(model) = work.model {
                add(Group::model(model));
                add(Group::model_of(work.provider, model));
            }
        }
    }
}
