//! What is heard without proof, of a stream that somebody filtered: which repositories to look at.
//!
//! Hints enter; questions to PDSes leave, a quick one for the record and a thorough one for the repository. A hint
//! proves nothing, so it changes nothing but that the repository is doubted; the index knows of the doubt in the same
//! transaction as the stream's cursor, so that nothing is lost if the process ends meanwhile. Exports are spread by their
//! size: a busy repository costs a bounded bandwidth. Deliberately absent: the words of the stream.

use std::sync::Arc;

use super::super::change::{Change, Hosting, RepoHead};
use super::super::stream::StreamId;
use super::super::verify::VerifiedRecord;
use super::output::{Handled, Output};
use super::tracked::{Phase, Tracked, Witness};
use super::{FETCHES_PER_FRAME, Verifier};
use crate::limits;
use crate::repo::Identity;
use crate::syntax::{Did, RepoPath, Tid};

/// How long a hint waits for others of its repository before the export is fetched, in microseconds.
const GATHER: u64 = 5_000_000;
/// Bytes of a repository's last export that put off its next one by a second.
const BYTES_PER_SECOND: u64 = 64 << 10;
/// The longest that an export is put off by its size, in microseconds.
const LONGEST: u64 = 15 * 60 * 1_000_000;

/// What a filtered stream says, proving nothing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Hint {
    /// A commit touched a record in scope.
    Record {
        /// Whose.
        did: Did,
        /// Which.
        path: RepoPath,
        /// The commit's revision.
        rev: Tid,
    },
    /// A DID document may have changed.
    Identity {
        /// Whose.
        did: Did,
    },
    /// An account's hosting changed.
    Account {
        /// Whose.
        did: Did,
        /// What it is said to be.
        hosting: Hosting,
    },
}

/// What is kept of the hints about one repository.
#[derive(Debug, Default)]
pub(super) struct Hinted {
    /// The newest revision heard of that nothing proven has reached.
    rev: Option<Tid>,
    /// How many exports have been fetched for it.
    fetches: u8,
    /// The newest revision at which a record was proven alone.
    pub(super) record: Option<Tid>,
    /// Bytes of the last export.
    pub(super) bytes: u64,
}

impl Verifier {
    /// Handles a hint of a stream. `at` is its place, which is the time of its event in microseconds since the Unix epoch.
    pub fn handle_hint(&mut self, stream: StreamId, at: i64, hint: Hint, now: u64) -> Handled {
        self.now = self.now.max(now);
        self.tally.hints = self.tally.hints.saturating_add(1);
        let tolerance = u64::try_from(limits::FUTURE_REV.as_micros()).unwrap_or(u64::MAX);
        if at.max(0).cast_unsigned() > now.saturating_add(tolerance) {
            // Its place would be saved, and everything until then passed over.
            return self.reject(None, Some(at), "future-event", format!("time_us {at} lies in the future"));
        }
        if let Some(stream) = self.streams.get_mut(stream.0) {
            stream.pass(at);
            stream.happened(at.max(0).cast_unsigned(), now);
        }
        match hint {
            Hint::Record { did, path, rev } => self.hear_of(did, path, rev, now),
            Hint::Identity { did } => {
                self.forget_identity(did.as_str());
                Handled::Done
            }
            Hint::Account { did, hosting } => {
                self.set_hosting(&did, hosting, Witness::Stream);
                Handled::Done
            }
        }
    }

    fn hear_of(&mut self, did: Did, path: RepoPath, rev: Tid, now: u64) -> Handled {
        let tolerance = u64::try_from(limits::FUTURE_REV.as_micros()).unwrap_or(u64::MAX);
        if rev.micros() > now.saturating_add(tolerance) {
            return self.reject(Some(did), None, "future-rev", format!("rev {rev} lies in the future"));
        }
        if self.scope.excludes(did.as_str()) || !path.collection.as_str().starts_with(self.scope.as_str()) {
            return Handled::Foreign;
        }
        if self.scope.is_wiped_commit(did.as_str(), rev) {
            return self.pass_over();
        }
        let Some(tracked) = self.repos.get_mut(&did) else {
            self.track(did);
            return Handled::Parked;
        };
        if !tracked.state.hosting.is_hosted() || tracked.state.head.is_some_and(|head| rev <= head.rev) {
            return self.pass_over();
        }
        if tracked.hinted.rev.is_none_or(|heard| rev > heard) {
            (tracked.hinted.rev, tracked.hinted.fetches) = (Some(rev), 0);
        }
        if tracked.state.head.is_some() {
            self.outputs.push_back(Output::FetchRecord { did: did.clone(), path });
        }
        self.fetch_for_hint(&did);
        Handled::Parked
    }

    /// Has the repository fetched until what is held is as new as what was heard of, within bounds: whoever only hints may
    /// have made it up.
    pub(super) fn fetch_for_hint(&mut self, did: &Did) {
        let Some(tracked) = self.repos.get_mut(did) else { return };
        if tracked.phase == Phase::Fetching {
            return;
        }
        if tracked.hinted.is_reached(tracked.state.head) || tracked.hinted.fetches >= FETCHES_PER_FRAME {
            tracked.hinted.rev = None;
            return;
        }
        tracked.hinted.fetches = tracked.hinted.fetches.saturating_add(1);
        let put_off = (tracked.hinted.bytes / BYTES_PER_SECOND).saturating_mul(1_000_000);
        let since = tracked.watch.proven_at.unwrap_or(0);
        let not_before = self.now.saturating_add(GATHER).max(since.saturating_add(put_off.min(LONGEST)));
        self.desynchronize_until(did, not_before);
    }

    /// Handles the answer to [`Output::FetchRecord`]: a proven record, and the identity that it was proven with.
    ///
    /// Holds only if it is newer than what is held, and no older than a record that came before.
    pub fn handle_record(&mut self, record: VerifiedRecord, identity: Arc<Identity>) {
        let rev = record.head().rev;
        let Some(tracked) = self.repos.get_mut(record.did()) else { return };
        let is_new = tracked.state.head.is_some_and(|head| rev > head.rev)
            && tracked.hinted.record.is_none_or(|newest| rev >= newest);
        if !is_new || !tracked.state.hosting.is_hosted() {
            return;
        }
        tracked.hinted.record = Some(rev);
        if tracked.identity.is_none() {
            tracked.identity = Some(self.keys.apply(Arc::unwrap_or_clone(identity)));
        }
        self.tally.records = self.tally.records.saturating_add(1);
        self.outputs.push_back(Output::Apply(Change::Record(record)));
    }
}

impl Hinted {
    /// Whether nothing newer than `head` was heard of.
    fn is_reached(&self, head: Option<RepoHead>) -> bool {
        self.rev.is_none_or(|rev| head.is_some_and(|head| rev <= head.rev))
    }
}

impl Tracked {
    /// Whether a record has been shown that is newer than `head`.
    pub(super) fn shows_newer_than(&self, head: RepoHead) -> bool {
        self.hinted.record.is_some_and(|rev| rev > head.rev)
    }
}
