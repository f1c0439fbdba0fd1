//! One transaction at work on whole repositories: what each kind of change does to them.
//!
//! Statements of this room that run for each row bind their parameters in the order in which the text names them. To have
//! SQLite look names up would be a tenth of the time that a row takes.

use rusqlite::{Connection, named_params, params};

use super::feed::FeedSeq;
use super::intern::Interned;
use super::project::Place;
use super::standing::Standing;
use super::tally::Tallies;
use super::total::{Group, Totals};
use super::writer::{Applied, Refused};
use super::{Fault, Fingerprint, state};
use crate::record::Catalog;
use crate::sync::{
    Change, Hosting, Postponed, Proof, RecordChange, RepoHead, RepoState, StreamCursor, VerifiedCommit,
    VerifiedHead, VerifiedRecord, VerifiedRepo, Watch,
};
use crate::syntax::Did;

const ADD_REPO: &str = "
    insert into repo (id, rev, data, hosting, proof, proven, proven_at, hidden_at, attempt, retry_at)
    values (:id, null, null, :hosting, :proof, null, null, null, null, null)";

const SET_REPO: &str = "
    update repo
       set rev = :rev, data = :data, hosting = :hosting, proof = :proof, proven = :proven,
           proven_at = :proven_at, hidden_at = :hidden_at, attempt = :attempt, retry_at = :retry_at,
           joined = min(first, coalesce(:rev, 0) >> 10), recent = min(latest, coalesce(:rev, 0) >> 10)
     where id = :id";

const REMOVE_REPO: &str = "delete from repo where id = :id";

const SET_CURSOR: &str = "
    insert into cursor (endpoint, seq) values (:endpoint, :seq)
    on conflict do update set seq = :seq";

const REMOVE_RECORDS: &str = "delete from record where repo = :repo";

/// One transaction at work.
pub(super) struct Batch<'w> {
    pub(super) conn: &'w Connection,
    pub(super) catalog: &'w Catalog,
    pub(super) interned: &'w mut Interned,
    pub(super) tallies: &'w mut Tallies,
    pub(super) totals: &'w mut Totals,
    pub(super) standing: &'w mut Standing,
    /// The moment of the transaction, in microseconds since the Unix epoch.
    pub(super) now: u64,
    /// The place of the newest change that the feed tells.
    pub(super) newest: FeedSeq,
    pub(super) applied: Applied,
    /// Scratch: the sum of one record.
    pub(super) sum: Fingerprint,
    /// Scratch: the block of one record.
    pub(super) block: Vec<u8>,
}

/// What a writer keeps in memory from one transaction to the next, and within one before it is written. Only good as long as
/// no transaction is rolled back.
#[derive(Debug, Default)]
pub(super) struct Remembered {
    interned: Interned,
    tallies: Tallies,
    totals: Totals,
    standing: Standing,
}

impl Remembered {
    /// For filling a file in bulk.
    pub(super) fn bulk() -> Self {
        Self { standing: Standing::bulk(), ..Self::default() }
    }

    pub(super) fn forget(&mut self) {
        self.interned.forget();
        self.tallies.forget();
        self.totals.forget();
        self.standing.forget();
    }
}

/// A followed repository, as it is at this point of the transaction.
pub(super) struct Repo<'d> {
    pub(super) id: i64,
    pub(super) did: &'d Did,
    pub(super) state: RepoState,
    watch: Watch,
    /// What is stored of its hosting and proof.
    counted: (Hosting, Proof),
}

impl<'w> Batch<'w> {
    pub(super) fn new(
        conn: &'w Connection,
        catalog: &'w Catalog,
        remembered: &'w mut Remembered,
        now: u64,
        newest: FeedSeq,
    ) -> Self {
        let Remembered { interned, tallies, totals, standing } = remembered;
        let applied = Applied::default();
        let (sum, block) = (Fingerprint::default(), Vec::new());
        Self { conn, catalog, interned, tallies, totals, standing, now, newest, applied, sum, block }
    }
}

impl Batch<'_> {
    pub(super) fn change(&mut self, change: &Change) -> Result<(), Fault> {
        match change {
            Change::Commit(commit) => self.commit(commit),
            Change::Repo(repo) => self.repo(repo),
            Change::Head(head) => self.head(head),
            Change::Record(record) => self.record(record),
            Change::Current { did, head } => self.current(did, *head),
            Change::Hosting { did, hosting } => self.hosting(did, *hosting),
            Change::Desynchronized { did } => self.desynchronized(did),
            Change::Erase { did, hosting } => self.erase(did, *hosting),
            Change::Forget { did } => self.forget(did),
            Change::Postponed { did, postponed } => self.postponed(did, *postponed),
        }
    }

    fn commit(&mut self, commit: &VerifiedCommit) -> Result<(), Fault> {
        let (did, after, head) = (commit.did(), commit.after(), commit.head());
        let known = self.find(did)?;
        if known.as_ref().is_some_and(|repo| repo.is_past(head)) {
            self.applied.skipped += 1;
            return Ok(());
        }
        let found = known.as_ref().and_then(|repo| repo.state.head);
        if after != found {
            self.applied.refused.push(Refused { did: did.clone(), expected: after, found });
            return self.desynchronized(did);
        }
        let mut repo = self.found_or_followed(known, did)?;
        self.prove(&mut repo, head, Proof::Full);
        for change in commit.changes() {
            self.record_change(&repo, change)?;
        }
        self.set_state(&repo)
    }

    /// Applies a whole repository as the difference to what is stored.
    fn repo(&mut self, verified: &VerifiedRepo) -> Result<(), Fault> {
        let (did, head) = (verified.did(), verified.head());
        let known = self.find(did)?;
        // The same revision again is no replay: it is how a repository that was desynchronized is proven to be as it was.
        if known.as_ref().is_some_and(|repo| repo.is_past(head) && !repo.is_at(head)) {
            self.applied.skipped += 1;
            return Ok(());
        }
        let mut repo = self.found_or_followed(known, did)?;
        self.prove(&mut repo, head, verified.proof());
        self.merge(&repo, verified)?;
        self.set_state(&repo)
    }

    fn head(&mut self, verified: &VerifiedHead) -> Result<(), Fault> {
        let (did, head) = (verified.did(), verified.head());
        let known = self.find(did)?;
        // The same revision again is no replay, as in `repo`.
        if known.as_ref().is_some_and(|repo| repo.is_past(head) && !repo.is_at(head)) {
            self.applied.skipped += 1;
            return Ok(());
        }
        let found = known.as_ref().and_then(|repo| repo.state.head);
        match known {
            Some(mut repo) if found.is_some_and(|found| found.data == head.data) => {
                self.prove(&mut repo, head, Proof::Full);
                self.set_state(&repo)
            }
            _ => {
                self.applied.refused.push(Refused { did: did.clone(), expected: Some(head), found });
                self.desynchronized(did)
            }
        }
    }

    /// Applies one record of a commit newer than the head. Which commits lie between them is not known, so the head, and
    /// with it what the next commit must follow, stays.
    fn record(&mut self, verified: &VerifiedRecord) -> Result<(), Fault> {
        match self.find(verified.did())? {
            Some(mut repo) if repo.state.head.is_some() && !repo.is_past(verified.head()) => {
                // The feed tells the revision at which the record is so.
                repo.state.head = Some(verified.head());
                self.record_change(&repo, verified.change())
            }
            _ => {
                self.applied.skipped += 1;
                Ok(())
            }
        }
    }

    fn record_change(&mut self, repo: &Repo<'_>, change: &RecordChange) -> Result<(), Fault> {
        match change {
            RecordChange::Put { path, cid, block } => self.put_path(repo, path, cid, block),
            RecordChange::Delete { path } => self.delete_path(repo, path),
        }
    }

    fn hosting(&mut self, did: &Did, hosting: Hosting) -> Result<(), Fault> {
        let mut repo = self.follow(did)?;
        let was = repo.state.hosting;
        repo.state.hosting = hosting;
        repo.watch.hidden_at =
            if hosting.is_hosted() { None } else { repo.watch.hidden_at.or(Some(self.now)) };
        if was != hosting {
            self.tell_account(&repo)?;
        }
        if was.is_visible() && !hosting.is_visible() {
            self.hide(&repo)?;
        } else if !was.is_visible() && hosting.is_visible() {
            self.show(&repo)?;
        }
        self.set_state(&repo)
    }

    fn current(&mut self, did: &Did, head: RepoHead) -> Result<(), Fault> {
        let mut repo = self.follow(did)?;
        if repo.is_erased() {
            self.applied.skipped += 1;
            return Ok(());
        }
        if repo.state.head != Some(head) {
            let (did, found) = (did.clone(), repo.state.head);
            self.applied.refused.push(Refused { did, expected: Some(head), found });
            repo.state.doubt();
        } else {
            repo.state.trust();
            repo.watch = Watch { proven_at: Some(self.now), postponed: None, ..repo.watch };
        }
        self.set_state(&repo)
    }

    fn desynchronized(&mut self, did: &Did) -> Result<(), Fault> {
        let mut repo = self.follow(did)?;
        repo.state.doubt();
        self.set_state(&repo)
    }

    fn erase(&mut self, did: &Did, hosting: Hosting) -> Result<(), Fault> {
        let mut repo = self.follow(did)?;
        self.remove_records(&repo)?;
        repo.state = RepoState::erased(hosting);
        let hidden_at = repo.watch.hidden_at.or(Some(self.now));
        repo.watch = Watch { hidden_at, ..Watch::default() };
        self.tell_erasure(&repo)?;
        self.set_state(&repo)
    }

    fn forget(&mut self, did: &Did) -> Result<(), Fault> {
        if let Some(mut repo) = self.find(did)? {
            self.remove_records(&repo)?;
            self.tell_erasure(&repo)?;
            // Whatever is still to be written of it has no place afterwards.
            self.settle()?;
            self.count_repo(&repo, None);
            // Nothing is known against it any more: if it is followed again, its records come without another word.
            repo.state = RepoState::UNPROVEN;
            self.tell_account(&repo)?;
            self.conn.prepare_cached(REMOVE_REPO)?.execute(named_params! {":id": repo.id})?;
        }
        Ok(())
    }

    fn postponed(&mut self, did: &Did, postponed: Postponed) -> Result<(), Fault> {
        let mut repo = self.follow(did)?;
        repo.watch.postponed = Some(postponed);
        self.set_state(&repo)
    }

    fn remove_records(&mut self, repo: &Repo<'_>) -> Result<(), Fault> {
        if repo.state.hosting.is_visible() {
            self.each_record(repo, |batch, repo, collection, record| {
                batch.count_out(repo, collection, &record.rkey, record.stored)?;
                batch.unserve(repo.id, collection, record.stored)
            })?;
        }
        let removed = self.conn.prepare_cached(REMOVE_RECORDS)?.execute(named_params! {":repo": repo.id})?;
        self.applied.deleted += removed as u64;
        Ok(())
    }

    fn prove(&self, repo: &mut Repo<'_>, head: RepoHead, proof: Proof) {
        repo.state.prove(head, proof);
        repo.watch = Watch { proven_at: Some(self.now), postponed: None, ..repo.watch };
    }

    pub(super) fn set_cursor(&self, cursor: &StreamCursor) -> Result<(), Fault> {
        self.conn
            .prepare_cached(SET_CURSOR)?
            .execute(named_params! {":endpoint": cursor.endpoint, ":seq": cursor.seq})?;
        Ok(())
    }

    pub(super) fn take_applied(&mut self) -> Applied {
        self.applied.feed = self.newest;
        std::mem::take(&mut self.applied)
    }

    fn find<'d>(&self, did: &'d Did) -> Result<Option<Repo<'d>>, Fault> {
        Ok(state::find(self.conn, did.as_str())?.map(|(id, state, watch)| Repo {
            id,
            did,
            state,
            watch,
            counted: (state.hosting, state.proof),
        }))
    }

    /// The repository, followed from here on if it was not.
    fn follow<'d>(&mut self, did: &'d Did) -> Result<Repo<'d>, Fault> {
        let known = self.find(did)?;
        self.found_or_followed(known, did)
    }

    fn found_or_followed<'d>(&mut self, known: Option<Repo<'d>>, did: &'d Did) -> Result<Repo<'d>, Fault> {
        if let Some(repo) = known {
            return Ok(repo);
        }
        let id = self.interned.did(self.conn, did.as_str())?;
        let state = RepoState::UNPROVEN;
        self.conn.prepare_cached(ADD_REPO)?.execute(named_params! {
            ":id": id,
            ":hosting": state.hosting.code(),
            ":proof": state.proof.code(),
        })?;
        let repo = Repo { id, did, state, watch: Watch::default(), counted: (state.hosting, state.proof) };
        self.totals.count(Group::repos(state.hosting.code(), state.proof.code()), 1);
        Ok(repo)
    }

    /// Moves a repository from among those of its stored state to those of another, or to none.
    fn count_repo(&mut self, repo: &Repo<'_>, state: Option<(Hosting, Proof)>) {
        if Some(repo.counted) != state {
            for (state, step) in [(Some(repo.counted), -1), (state, 1)] {
                if let Some((hosting, proof)) = state {
                    self.totals.count(Group::repos(hosting.code(), proof.code()), step);
                }
            }
        }
    }

    fn set_state(&mut self, repo: &Repo<'_>) -> Result<(), Fault> {
        self.count_repo(repo, Some((repo.state.hosting, repo.state.proof)));
        let Repo { state: RepoState { head, .. }, watch, .. } = repo;
        let moment = |micros: u64| micros.min(i64::MAX as u64).cast_signed();
        self.conn.prepare_cached(SET_REPO)?.execute(params![
            repo.rev(),
            head.map(|head| head.data.to_bytes()),
            repo.state.hosting.code(),
            repo.state.proof.code(),
            repo.state.proven.map(Proof::code),
            watch.proven_at.map(moment),
            watch.hidden_at.map(moment),
            watch.postponed.map(|postponed| postponed.attempt),
            watch.postponed.map(|postponed| moment(postponed.until)),
            repo.id,
        ])?;
        Ok(())
    }
}

impl Repo<'_> {
    pub(super) const fn is_visible(&self) -> bool {
        self.state.hosting.is_visible()
    }

    /// Whether nothing may come back before the account is hosted again.
    const fn is_erased(&self) -> bool {
        !self.state.hosting.is_hosted() && self.state.head.is_none()
    }

    fn is_at(&self, head: RepoHead) -> bool {
        self.state.head.is_some_and(|stored| head.rev == stored.rev)
    }

    /// Whether a change that leads to `head` has been overtaken.
    fn is_past(&self, head: RepoHead) -> bool {
        self.is_erased() || self.state.head.is_some_and(|stored| head.rev <= stored.rev)
    }

    /// The revision of the head, as a row has it: the one that proves what is being written. A TID has 63 bits.
    pub(super) fn rev(&self) -> Option<i64> {
        self.state.head.map(|head| head.rev.bits().cast_signed())
    }

    pub(super) fn place<'a>(&'a self, record: i64, rkey: &'a str, time: i64) -> Place<'a> {
        Place { record, repo: self.id, did: self.did.as_str(), rkey, time }
    }
}
