//! What is told of a wipe: what was done, what is left, what went wrong, and what was seen at the end.
//!
//! Counts only, and collections by name: a report outlives what it is about.

use std::collections::BTreeMap;

use appview_core::syntax::Tid;
use serde::{Deserialize, Serialize};

use crate::account::{Extent, Held, SessionsAfter, Wipe, WipeStep, datetime};

/// How many problems are kept.
const MOST_PROBLEMS: usize = 50;

/// What was done so far.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(super) struct Report {
    /// What was deleted at the PDS, by collection.
    pub(super) repo: BTreeMap<String, Emptied>,
    /// The revision at which the repository was seen, after that.
    pub(super) rev: Option<Tid>,
    /// Rows that were erased in the index.
    pub(super) index: u64,
    /// What was erased of all else.
    pub(super) account: Held,
    /// What went wrong, in the order in which it did.
    pub(super) problems: Vec<Problem>,
    /// Why nothing is done at this moment.
    pub(super) waits: Option<Wait>,
    /// How often in a row it could not be gone on with.
    pub(super) attempts: u32,
    /// What the last look at all three places found.
    pub(super) seen: Option<Seen>,
}

/// A collection that is emptied.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Emptied {
    /// Records that were deleted.
    pub(super) deleted: u64,
    /// Records that are there still, as far as is known.
    pub(super) left: u64,
}

/// Something that went wrong.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Problem {
    /// When it last did, in microseconds since the Unix epoch.
    pub(super) at: u64,
    /// In which step.
    pub(super) step: String,
    /// With which collection, if it was about one.
    pub(super) collection: Option<String>,
    /// What it was.
    pub(super) why: String,
    /// How often.
    pub(super) times: u32,
}

/// What is waited for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Wait {
    /// The person has to sign in: nobody else may delete their records.
    SignIn,
    /// The account is not active at its PDS, which takes no writes then.
    Account,
    /// The PDS does not let this service delete some of the records.
    Permission,
    /// The PDS, the directory or our own disk is not ready.
    Service,
}

/// What a look at all three places has found.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Seen {
    /// When, in microseconds since the Unix epoch.
    pub(super) at: u64,
    /// Records in the repository.
    pub(super) repo: u64,
    /// Rows of the index.
    pub(super) index: u64,
    /// All else, but for what keeps the person signed in.
    pub(super) account: u64,
}

impl Seen {
    /// Whether all three were empty.
    #[must_use]
    pub(super) const fn is_empty(&self) -> bool {
        self.repo == 0 && self.index == 0 && self.account == 0
    }
}

impl Report {
    /// Notes a problem; one that was met before is counted.
    pub(super) fn problem(&mut self, at: u64, step: WipeStep, collection: Option<&str>, why: String) {
        let is_same = |known: &&mut Problem| {
            known.step == step.word() && known.collection.as_deref() == collection && known.why == why
        };
        if let Some(known) = self.problems.iter_mut().find(is_same) {
            (known.at, known.times) = (at, known.times.saturating_add(1));
            return;
        }
        if self.problems.len() >= MOST_PROBLEMS {
            self.problems.remove(0);
        }
        let (step, collection) = (step.word().to_owned(), collection.map(str::to_owned));
        self.problems.push(Problem { at, step, collection, why, times: 1 });
    }
}

/// A wipe as it is told, in JSON.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct WipeView {
    /// Whether it is done: all three places were seen to be empty after it.
    pub complete: bool,
    /// `everything`, or `here`.
    pub extent: String,
    /// What is next: `repo`, `index`, `account`, `verify`, `sessions` or `done`.
    pub step: String,
    /// Whether sessions are ended as the last step.
    pub end_sessions: bool,
    /// When it was begun.
    pub started_at: String,
    /// When it was last gone on with.
    pub changed_at: String,
    /// What is waited for, if anything is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub waits_for: Option<Wait>,
    /// When it is tried again.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next_try_at: Option<String>,
    /// Records deleted at the PDS.
    pub deleted: u64,
    /// The same by collection, with what is left.
    pub collections: Vec<CollectionView>,
    /// Rows erased in the index.
    pub rows_erased: u64,
    /// What was erased of all else.
    pub erased: Held,
    /// What went wrong.
    pub problems: Vec<ProblemView>,
    /// What the last look found.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub seen: Option<SeenView>,
}

/// An emptied collection as it is told.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct CollectionView {
    /// Which.
    pub collection: String,
    /// Records that were deleted.
    pub deleted: u64,
    /// Records that are there still, as far as is known.
    pub left: u64,
}

/// A problem as it is told.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ProblemView {
    /// When it last happened.
    pub at: String,
    /// In which step.
    pub step: String,
    /// With which collection.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub collection: Option<String>,
    /// What it was.
    pub message: String,
    /// How often.
    pub times: u32,
}

/// What was seen at the end, as it is told.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct SeenView {
    /// When.
    pub at: String,
    /// Records in the repository.
    pub repo: u64,
    /// Rows of the index.
    pub index: u64,
    /// All else.
    pub account: u64,
}

impl WipeView {
    /// Of a wipe as it is stored.
    #[must_use]
    pub fn of(wipe: &Wipe) -> Self {
        // One that was only begun has none yet.
        let report: Report = serde_json::from_value(wipe.report.clone()).unwrap_or_default();
        let is_done = wipe.step == WipeStep::Done;
        let waits = report.waits.filter(|_| wipe.due_at > wipe.changed_at);
        let problem = |problem: Problem| ProblemView {
            at: datetime(problem.at),
            step: problem.step,
            collection: problem.collection,
            message: problem.why,
            times: problem.times,
        };
        let collection =
            |(collection, Emptied { deleted, left })| CollectionView { collection, deleted, left };
        let seen = |seen: Seen| SeenView {
            at: datetime(seen.at),
            repo: seen.repo,
            index: seen.index,
            account: seen.account,
        };
        Self {
            complete: is_done && report.seen.is_some_and(|seen| seen.is_empty()),
            extent: wipe.extent.word().to_owned(),
            step: wipe.step.word().to_owned(),
            end_sessions: wipe.sessions == SessionsAfter::End || wipe.extent == Extent::Here,
            started_at: datetime(wipe.started_at),
            changed_at: datetime(wipe.changed_at),
            waits_for: waits,
            next_try_at: waits.map(|_| datetime(wipe.due_at)),
            deleted: report.repo.values().map(|emptied| emptied.deleted).sum(),
            collections: report.repo.into_iter().map(collection).collect(),
            rows_erased: report.index,
            erased: report.account,
            problems: report.problems.into_iter().map(problem).collect(),
            seen: report.seen.map(seen),
        }
    }
}

#[cfg(test)]
#[expect(clippy::indexing_slicing, reason = "tests")]
mod tests {
    use super::*;

    #[test]
    fn the_same_problem_is_counted_and_not_told_twice() {
        let mut report = Report::default();
        for at in 0..3 {
            report.problem(at, WipeStep::Repo, Some("dev.cocore.compute.job"), "429".to_owned());
        }
        report.problem(9, WipeStep::Index, None, "429".to_owned());
        assert_eq!(report.problems.len(), 2);
        assert_eq!((report.problems[0].times, report.problems[0].at), (3, 2));
        for at in 0..200 {
            report.problem(at, WipeStep::Repo, None, format!("problem {at}"));
        }
        assert_eq!(report.problems.len(), MOST_PROBLEMS, "a report does not grow for ever");
    }
}
