//! The one writer: changes in, one transaction out.
//!
//! Proven changes and cursors enter. Rows, heads, states, tallies and cursors leave in one transaction, so that each of
//! them is on disk exactly if all are. Deliberately absent: any check of a proof, which the types of
//! [`Change`] vouch for, and any sense of time.

use std::collections::HashSet;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rusqlite::{Connection, OptionalExtension as _, TransactionBehavior, named_params};

use super::intern::Interned;
use super::lock::WriterLock;
use super::project::{self, Place};
use super::tally::Tallies;
use super::{Fault, Fingerprint, IndexError, RepoStates, rebuild, schema, state};
use crate::block::{BlockError, Cid, Value, cbor};
use crate::record::{Catalog, Collection, Finding, Judgement, Reading, Verdict};
use crate::sync::{
    Change, Hosting, Proof, RecordChange, RepoHead, RepoState, StreamCursor, VerifiedCommit, VerifiedHead,
    VerifiedRepo,
};
use crate::syntax::{Did, Nsid, RecordKey, RepoPath};

const ADD_REPO: &str = "
    insert into repo (id, rev, data, hosting, proof) values (:id, null, null, :hosting, :proof)";

const SET_REPO: &str = "
    update repo set rev = :rev, data = :data, hosting = :hosting, proof = :proof where id = :id";

const SET_CURSOR: &str = "
    insert into cursor (endpoint, seq) values (:endpoint, :seq)
    on conflict do update set seq = :seq";

const FIND_RECORD: &str = "
    select id, cid, verdict from record
     where repo = :repo and collection = :collection and rkey = :rkey";

const ADD_RECORD: &str = "
    insert into record (repo, collection, rkey, cid, verdict, served, body)
    values (:repo, :collection, :rkey, :cid, :verdict, :served, :body)";

const SET_RECORD: &str = "
    update record set cid = :cid, verdict = :verdict, served = :served, body = :body where id = :id";

const GRADE_RECORD: &str = "
    update record set verdict = :verdict, served = :served where id = :id";

const SERVE_RECORD: &str = "update record set served = :served where id = :id";

const REMOVE_RECORD: &str = "delete from record where id = :id";

const REMOVE_RECORDS: &str = "delete from record where repo = :repo";

const ADD_FINDING: &str = "
    insert into finding (record, ordinal, path, rule, message)
    values (:record, :ordinal, :path, :rule, :message)";

const REMOVE_FINDINGS: &str = "delete from finding where record = :record";

/// Steps from collection to collection in the index, whatever the number of records in each.
const LIST_COLLECTIONS: &str = "
    with recursive present (id) as (
        select min(collection) from record where repo = :repo
        union all
        select (select min(collection) from record where repo = :repo and collection > present.id)
          from present where present.id is not null
    )
    select id, nsid from present join collection using (id)";

const LIST_RECORDS: &str = "
    select id, rkey, cid, verdict from record
     where repo = :repo and collection = :collection order by rkey";

const LIST_BODIES: &str = "
    select id, rkey, cid, verdict, body from record
     where repo = :repo and collection = :collection and rkey > :after order by rkey limit 256";

const FIND_JUDGED: &str = "select schema_set, through from judged";

const SET_JUDGED: &str = "
    insert into judged (only_row, schema_set, through) values (1, :schema_set, :through)
    on conflict do update set schema_set = :schema_set, through = :through";

const LIST_UNJUDGED: &str = "
    select record.id, repo, collection, did, nsid, rkey, verdict, served, hosting, body
      from record
      join did on did.id = repo
      join repo on repo.id = record.repo
      join collection on collection.id = record.collection
     where record.id > :through order by record.id limit 1000";

/// What one call of [`IndexWriter::apply`] did.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Applied {
    /// Records that were not there before.
    pub created: u64,
    /// Records whose content changed.
    pub updated: u64,
    /// Records that went away, those of erased repositories included.
    pub deleted: u64,
    /// Records put that were there already, with the same content.
    pub unchanged: u64,
    /// Changes left aside because the index had them already, or has erased the account.
    pub skipped: u64,
    /// Changes that do not follow what is stored. Nothing of them was written but that the repository has to be proven
    /// anew.
    pub refused: Vec<Refused>,
}

/// A change that does not follow what is stored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refused {
    /// The repository.
    pub did: Did,
    /// The head that the change was proven to follow.
    pub expected: Option<RepoHead>,
    /// The head that is stored.
    pub found: Option<RepoHead>,
}

/// The only connection that writes an index.
///
/// After an error nothing of the batch is in the file, and the same batch may be given again.
#[derive(Debug)]
pub struct IndexWriter {
    path: PathBuf,
    conn: Connection,
    catalog: Arc<Catalog>,
    interned: Interned,
    tallies: Tallies,
    mode: Mode,
}

#[derive(Debug)]
enum Mode {
    /// Holds the lock for as long as the writer lives.
    Live { _lock: WriterLock },
    /// No journal: a transaction that fails leaves the file in no defined state.
    Bulk { failed: bool },
}

impl IndexWriter {
    pub(super) fn open(path: &Path, catalog: Arc<Catalog>) -> Result<Self, IndexError> {
        let lock = WriterLock::acquire(path)?;
        let conn = schema::connect_writer(path)?;
        let mut writer = Self::new(path, conn, catalog, Mode::Live { _lock: lock });
        while writer.judge_again()? {}
        Ok(writer)
    }

    pub(super) fn bulk(path: &Path, conn: Connection, catalog: Arc<Catalog>) -> Result<Self, IndexError> {
        let mut writer = Self::new(path, conn, catalog, Mode::Bulk { failed: false });
        while writer.judge_again()? {}
        Ok(writer)
    }

    fn new(path: &Path, conn: Connection, catalog: Arc<Catalog>, mode: Mode) -> Self {
        Self {
            path: path.into(),
            conn,
            catalog,
            interned: Interned::default(),
            tallies: Tallies::default(),
            mode,
        }
    }

    /// Writes changes, in their order, and the cursors they lead to: all of it or nothing.
    ///
    /// A few hundred changes at a time cost far less each than one alone. Deterministic: the same changes applied to
    /// the same index lead to the same answers, and changes of different repositories may come in any order.
    ///
    /// # Errors
    ///
    /// [`IndexError::Full`], [`IndexError::Io`] and [`IndexError::Busy`] from below; [`IndexError::Archive`] if the
    /// blocks of a repository can't be read again. A change that does not fit is no error: see [`Applied::refused`].
    pub fn apply(&mut self, changes: &[Change], cursors: &[StreamCursor]) -> Result<Applied, IndexError> {
        fail::fail_point!("index::before-begin");
        let applied = self.transaction(|batch| {
            for change in changes {
                batch.change(change)?;
            }
            fail::fail_point!("index::mid-transaction");
            for cursor in cursors {
                batch.set_cursor(cursor)?;
            }
            Ok(std::mem::take(&mut batch.applied))
        })?;
        fail::fail_point!("index::after-commit");
        Ok(applied)
    }

    /// What is remembered of one repository; nothing if it is not followed.
    ///
    /// # Errors
    ///
    /// Failing input or damage.
    pub fn repo_state(&self, did: &Did) -> Result<Option<RepoState>, IndexError> {
        state::find(&self.conn, did.as_str())
            .map(|found| found.map(|(_, state)| state))
            .map_err(Fault::at(&self.path))
    }

    /// What is remembered of every followed repository.
    #[must_use]
    pub fn repo_states(&self) -> RepoStates<'_> {
        RepoStates::new(&self.conn, &self.path)
    }

    /// How far each stream has been followed.
    ///
    /// # Errors
    ///
    /// Failing input or damage.
    pub fn cursors(&self) -> Result<Vec<StreamCursor>, IndexError> {
        state::cursors(&self.conn).map_err(Fault::at(&self.path))
    }

    /// Writes the log back into the file and empties it, after which no byte of an erased record is left in either.
    ///
    /// # Errors
    ///
    /// [`IndexError::Busy`] as long as a reader is open that may need the log.
    pub fn write_back_log(&mut self) -> Result<(), IndexError> {
        rebuild::write_back_log(&self.path, &self.conn)
    }

    /// Ends bulk mode.
    pub(super) fn into_connection(self) -> Result<Connection, IndexError> {
        match self.mode {
            Mode::Bulk { failed: true } => Err(IndexError::Abandoned { path: self.path }),
            Mode::Bulk { failed: false } | Mode::Live { .. } => Ok(self.conn),
        }
    }

    /// Runs `work` in one transaction, which is rolled back if it fails, and everything remembered with it.
    fn transaction<T>(
        &mut self,
        work: impl FnOnce(&mut Batch<'_>) -> Result<T, Fault>,
    ) -> Result<T, IndexError> {
        if let Mode::Bulk { failed: true } = self.mode {
            return Err(IndexError::Abandoned { path: self.path.clone() });
        }
        let done = self.try_transaction(work);
        if done.is_err() {
            self.interned.forget();
            self.tallies.forget();
            if let Mode::Bulk { failed } = &mut self.mode {
                *failed = true;
            }
        }
        done.map_err(Fault::at(&self.path))
    }

    fn try_transaction<T>(
        &mut self,
        work: impl FnOnce(&mut Batch<'_>) -> Result<T, Fault>,
    ) -> Result<T, Fault> {
        let transaction = self.conn.transaction_with_behavior(TransactionBehavior::Immediate)?;
        let mut batch = Batch {
            conn: &transaction,
            catalog: &self.catalog,
            interned: &mut self.interned,
            tallies: &mut self.tallies,
            applied: Applied::default(),
            sum: Fingerprint::default(),
            block: Vec::new(),
        };
        let done = work(&mut batch)?;
        self.tallies.flush(&transaction)?;
        fail::fail_point!("index::before-commit");
        transaction.commit()?;
        Ok(done)
    }

    /// Judges the next thousand records whose verdicts are by another set of lexicons; returns whether more may follow.
    fn judge_again(&mut self) -> Result<bool, IndexError> {
        self.transaction(|batch| batch.judge_again())
    }
}

/// One transaction at work.
struct Batch<'w> {
    conn: &'w Connection,
    catalog: &'w Catalog,
    interned: &'w mut Interned,
    tallies: &'w mut Tallies,
    applied: Applied,
    /// Scratch: the sum of one record.
    sum: Fingerprint,
    /// Scratch: the block of one record.
    block: Vec<u8>,
}

/// A followed repository, as it is at this point of the transaction.
struct Repo<'d> {
    id: i64,
    did: &'d Did,
    state: RepoState,
}

/// A collection and the integer that stands for it.
#[derive(Clone, Copy)]
struct InCollection<'n> {
    id: i64,
    nsid: &'n str,
}

/// What is stored of a record.
#[derive(Clone, Copy)]
struct Stored {
    id: i64,
    cid: Cid,
    verdict: Verdict,
}

impl Batch<'_> {
    fn change(&mut self, change: &Change) -> Result<(), Fault> {
        match change {
            Change::Commit(commit) => self.commit(commit),
            Change::Repo(repo) => self.repo(repo),
            Change::Head(head) => self.head(head),
            Change::Hosting { did, hosting } => self.hosting(did, *hosting),
            Change::Desynchronized { did } => self.desynchronized(did),
            Change::Erase { did } => self.erase(did),
        }
    }

    fn commit(&mut self, commit: &VerifiedCommit) -> Result<(), Fault> {
        self.put_changes(commit.did(), commit.after(), commit.head(), commit.changes())
    }

    fn put_changes(
        &mut self,
        did: &Did,
        after: Option<RepoHead>,
        head: RepoHead,
        changes: &[RecordChange],
    ) -> Result<(), Fault> {
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
        for change in changes {
            match change {
                RecordChange::Put { path, cid, block } => self.put_path(&repo, path, cid, block)?,
                RecordChange::Delete { path } => self.delete_path(&repo, path)?,
            }
        }
        repo.state.head = Some(head);
        repo.state.proof = Proof::Full;
        self.set_state(&repo)
    }

    fn repo(&mut self, verified: &VerifiedRepo) -> Result<(), Fault> {
        self.put_repo(verified.did(), verified.head(), verified.proof(), verified.records(), |cid, block| {
            verified.read(cid, block)
        })
    }

    /// Applies a whole repository as the difference to what is stored.
    fn put_repo(
        &mut self,
        did: &Did,
        head: RepoHead,
        proof: Proof,
        records: &[(RepoPath, Cid)],
        mut read: impl FnMut(&Cid, &mut Vec<u8>) -> Result<(), BlockError>,
    ) -> Result<(), Fault> {
        let known = self.find(did)?;
        // The same revision again is no replay: it is how a repository that was desynchronized is proven to be as it was.
        if known.as_ref().is_some_and(|repo| repo.is_past(head) && !repo.is_at(head)) {
            self.applied.skipped += 1;
            return Ok(());
        }
        let mut repo = self.found_or_followed(known, did)?;
        // In the order of `collection/rkey`, the keys of one collection stand together, and in their own order. Across
        // collections that order is not the order of pairs ("a.b-c/k" comes before "a.b/k"), so each is merged alone.
        let mut present = HashSet::new();
        for chunk in records.chunk_by(|(a, _), (b, _)| a.collection == b.collection) {
            let Some((first, _)) = chunk.first() else {
                continue;
            };
            let collection = self.collection(&first.collection)?;
            present.insert(collection.id);
            self.put_collection(&repo, collection, chunk, &mut read)?;
        }
        for (id, nsid) in self.collections_of(&repo)? {
            if !present.contains(&id) {
                let gone = InCollection { id, nsid: &nsid };
                self.put_collection(&repo, gone, &[], &mut read)?;
            }
        }
        repo.state.head = Some(head);
        repo.state.proof = proof;
        self.set_state(&repo)
    }

    /// Merges what a collection is to hold with what it holds. Both are sorted by key.
    fn put_collection(
        &mut self,
        repo: &Repo<'_>,
        collection: InCollection<'_>,
        records: &[(RepoPath, Cid)],
        read: &mut impl FnMut(&Cid, &mut Vec<u8>) -> Result<(), BlockError>,
    ) -> Result<(), Fault> {
        let difference = self.difference(repo, collection, records)?;
        for (rkey, stored) in &difference.gone {
            self.delete(repo, collection, rkey, *stored)?;
        }
        for (path, cid, stored) in &difference.put {
            let mut block = std::mem::take(&mut self.block);
            read(cid, &mut block).map_err(|error| Fault::Archive(repo.did.clone(), error))?;
            self.put(repo, collection, &path.rkey, cid, &block, *stored)?;
            self.block = block;
        }
        self.applied.unchanged += difference.unchanged;
        Ok(())
    }

    /// Collects before anything is written: SQLite leaves open what a cursor sees of a table that changes under it.
    fn difference<'r>(
        &self,
        repo: &Repo<'_>,
        collection: InCollection<'_>,
        records: &'r [(RepoPath, Cid)],
    ) -> Result<Difference<'r>, Fault> {
        let mut difference = Difference::default();
        let mut records = records.iter().peekable();
        let mut statement = self.conn.prepare_cached(LIST_RECORDS)?;
        let mut rows = statement.query(named_params! {":repo": repo.id, ":collection": collection.id})?;
        while let Some(row) = rows.next()? {
            let rkey = row.get_ref("rkey")?.as_str().map_err(rusqlite::Error::from)?;
            let stored = Stored::read(row)?;
            while let Some((path, cid)) = records.next_if(|(path, _)| path.rkey.as_str() < rkey) {
                difference.put.push((path, cid, None));
            }
            match records.next_if(|(path, _)| path.rkey.as_str() == rkey) {
                Some((_, cid)) if *cid == stored.cid => difference.unchanged += 1,
                Some((path, cid)) => difference.put.push((path, cid, Some(stored))),
                None => difference.gone.push((rkey.into(), stored)),
            }
        }
        difference.put.extend(records.map(|(path, cid)| (path, cid, None)));
        Ok(difference)
    }

    fn head(&mut self, verified: &VerifiedHead) -> Result<(), Fault> {
        self.put_head(verified.did(), verified.head())
    }

    fn put_head(&mut self, did: &Did, head: RepoHead) -> Result<(), Fault> {
        let known = self.find(did)?;
        // The same revision again is no replay, as in `put_repo`.
        if known.as_ref().is_some_and(|repo| repo.is_past(head) && !repo.is_at(head)) {
            self.applied.skipped += 1;
            return Ok(());
        }
        let found = known.as_ref().and_then(|repo| repo.state.head);
        match known {
            Some(mut repo) if found.is_some_and(|found| found.data == head.data) => {
                repo.state.head = Some(head);
                repo.state.proof = Proof::Full;
                self.set_state(&repo)
            }
            _ => {
                self.applied.refused.push(Refused { did: did.clone(), expected: Some(head), found });
                self.desynchronized(did)
            }
        }
    }

    fn hosting(&mut self, did: &Did, hosting: Hosting) -> Result<(), Fault> {
        let mut repo = self.follow(did)?;
        let was = repo.state.hosting;
        repo.state.hosting = hosting;
        if was.is_visible() && !hosting.is_visible() {
            self.hide(&repo)?;
        } else if !was.is_visible() && hosting.is_visible() {
            self.show(&repo)?;
        }
        self.set_state(&repo)
    }

    fn desynchronized(&mut self, did: &Did) -> Result<(), Fault> {
        let mut repo = self.follow(did)?;
        repo.state.proof = Proof::Desynchronized;
        self.set_state(&repo)
    }

    fn erase(&mut self, did: &Did) -> Result<(), Fault> {
        let mut repo = self.follow(did)?;
        if repo.state.hosting.is_visible() {
            self.each_record(&repo, |batch, repo, collection, record| {
                batch.count_out(repo, collection, &record.rkey, record.stored)
            })?;
        }
        let removed = self.conn.prepare_cached(REMOVE_RECORDS)?.execute(named_params! {":repo": repo.id})?;
        self.applied.deleted += removed as u64;
        repo.state = RepoState { head: None, hosting: Hosting::Deleted, proof: Proof::Desynchronized };
        self.set_state(&repo)
    }

    /// Takes a repository's records out of every list and sum; the rows stay.
    fn hide(&mut self, repo: &Repo<'_>) -> Result<(), Fault> {
        self.each_record(repo, |batch, repo, collection, record| {
            batch.count_out(repo, collection, &record.rkey, record.stored)?;
            batch.remove_typed(collection, record.stored.id)?;
            batch.set_served(record.stored.id, false)
        })
    }

    /// The inverse of [`Batch::hide`].
    fn show(&mut self, repo: &Repo<'_>) -> Result<(), Fault> {
        self.each_record(repo, |batch, repo, collection, record| {
            batch.count_in(repo, collection, &record.rkey, record.stored)?;
            if record.stored.verdict != Verdict::Quarantined {
                batch.set_served(record.stored.id, true)?;
                let value = cbor::decode(&record.block).ok();
                let place = repo.place(record.stored.id, &record.rkey);
                batch.add_typed(place, collection.nsid, value.as_ref())?;
            }
            Ok(())
        })
    }

    /// Visits every record of a repository; `visit` may change the row it is given.
    fn each_record(
        &mut self,
        repo: &Repo<'_>,
        mut visit: impl FnMut(&mut Self, &Repo<'_>, InCollection<'_>, &Full) -> Result<(), Fault>,
    ) -> Result<(), Fault> {
        for (id, nsid) in self.collections_of(repo)? {
            let collection = InCollection { id, nsid: &nsid };
            let mut after = String::new();
            loop {
                let records = self.bodies(repo, collection, &after)?;
                let Some(last) = records.last() else { break };
                after.clone_from(&last.rkey);
                for record in &records {
                    visit(self, repo, collection, record)?;
                }
            }
        }
        Ok(())
    }

    fn bodies(&self, repo: &Repo<'_>, collection: InCollection<'_>, after: &str) -> Result<Vec<Full>, Fault> {
        let mut statement = self.conn.prepare_cached(LIST_BODIES)?;
        let mut rows = statement.query(named_params! {
            ":repo": repo.id,
            ":collection": collection.id,
            ":after": after,
        })?;
        let mut records = Vec::new();
        while let Some(row) = rows.next()? {
            records.push(Full {
                rkey: row.get("rkey")?,
                stored: Stored::read(row)?,
                block: row.get("body")?,
            });
        }
        Ok(records)
    }

    fn put_path(&mut self, repo: &Repo<'_>, path: &RepoPath, cid: &Cid, block: &[u8]) -> Result<(), Fault> {
        let collection = self.collection(&path.collection)?;
        let stored = self.find_record(repo, collection, &path.rkey)?;
        if stored.is_some_and(|stored| stored.cid == *cid) {
            self.applied.unchanged += 1;
            return Ok(());
        }
        self.put(repo, collection, &path.rkey, cid, block, stored)
    }

    fn delete_path(&mut self, repo: &Repo<'_>, path: &RepoPath) -> Result<(), Fault> {
        let collection = self.collection(&path.collection)?;
        match self.find_record(repo, collection, &path.rkey)? {
            Some(stored) => self.delete(repo, collection, path.rkey.as_str(), stored),
            None => Ok(()),
        }
    }

    /// Creates or replaces a record, and all that follows from it.
    fn put(
        &mut self,
        repo: &Repo<'_>,
        collection: InCollection<'_>,
        rkey: &RecordKey,
        cid: &Cid,
        block: &[u8],
        stored: Option<Stored>,
    ) -> Result<(), Fault> {
        let value = cbor::decode(block).ok();
        let judgement = self.judge(collection.nsid, rkey.as_str(), block, value.as_ref());
        let verdict = judgement.verdict;
        let served = repo.is_visible() && verdict != Verdict::Quarantined;
        let id = match stored {
            None => {
                self.applied.created += 1;
                self.conn.prepare_cached(ADD_RECORD)?.insert(named_params! {
                    ":repo": repo.id,
                    ":collection": collection.id,
                    ":rkey": rkey.as_str(),
                    ":cid": cid.to_bytes(),
                    ":verdict": verdict.code(),
                    ":served": served,
                    ":body": block,
                })?
            }
            Some(stored) => {
                self.applied.updated += 1;
                if repo.is_visible() {
                    self.count_out(repo, collection, rkey.as_str(), stored)?;
                }
                self.remove_typed(collection, stored.id)?;
                self.remove_findings(stored.id, stored.verdict)?;
                self.conn.prepare_cached(SET_RECORD)?.execute(named_params! {
                    ":id": stored.id,
                    ":cid": cid.to_bytes(),
                    ":verdict": verdict.code(),
                    ":served": served,
                    ":body": block,
                })?;
                stored.id
            }
        };
        self.add_findings(id, &judgement.findings)?;
        if served {
            let place = repo.place(id, rkey.as_str());
            self.add_typed(place, collection.nsid, value.as_ref())?;
        }
        let stored = Stored { id, cid: *cid, verdict };
        if repo.is_visible() {
            self.count_in(repo, collection, rkey.as_str(), stored)?;
        }
        Ok(())
    }

    fn delete(
        &mut self,
        repo: &Repo<'_>,
        collection: InCollection<'_>,
        rkey: &str,
        stored: Stored,
    ) -> Result<(), Fault> {
        self.applied.deleted += 1;
        if repo.is_visible() {
            self.count_out(repo, collection, rkey, stored)?;
        }
        // Findings and typed rows go with it.
        self.conn.prepare_cached(REMOVE_RECORD)?.execute(named_params! {":id": stored.id})?;
        Ok(())
    }

    /// Counts a record of a visible repository in.
    fn count_in(
        &mut self,
        repo: &Repo<'_>,
        collection: InCollection<'_>,
        rkey: &str,
        stored: Stored,
    ) -> Result<(), Fault> {
        self.sum.set_record(repo.did.as_str(), collection.nsid, rkey, &stored.cid);
        self.tallies.add(self.conn, collection.id, &self.sum, stored.verdict)
    }

    /// Counts a record of a repository that was visible out.
    fn count_out(
        &mut self,
        repo: &Repo<'_>,
        collection: InCollection<'_>,
        rkey: &str,
        stored: Stored,
    ) -> Result<(), Fault> {
        self.sum.set_record(repo.did.as_str(), collection.nsid, rkey, &stored.cid);
        self.tallies.subtract(self.conn, collection.id, &self.sum, stored.verdict)
    }

    fn judge(&self, nsid: &str, rkey: &str, block: &[u8], value: Option<&Value<'_>>) -> Judgement {
        match value {
            Some(value) => self.catalog.judge(nsid, rkey, value, Reading::Network),
            None => self.catalog.judge_block(nsid, rkey, block, Reading::Network),
        }
    }

    fn add_typed(&mut self, place: Place<'_>, nsid: &str, value: Option<&Value<'_>>) -> Result<(), Fault> {
        match (Collection::from_nsid(nsid), value.and_then(Value::as_map)) {
            (Some(collection), Some(record)) => {
                project::add(self.conn, self.interned, collection, place, record)
            }
            _ => Ok(()),
        }
    }

    fn remove_typed(&self, collection: InCollection<'_>, record: i64) -> Result<(), Fault> {
        match Collection::from_nsid(collection.nsid) {
            Some(collection) => project::remove(self.conn, collection, record),
            None => Ok(()),
        }
    }

    fn add_findings(&self, record: i64, findings: &[Finding]) -> Result<(), Fault> {
        for (ordinal, finding) in findings.iter().enumerate() {
            self.conn.prepare_cached(ADD_FINDING)?.execute(named_params! {
                ":record": record,
                ":ordinal": ordinal as i64,
                ":path": finding.path,
                ":rule": finding.rule.name(),
                ":message": finding.message,
            })?;
        }
        Ok(())
    }

    fn remove_findings(&self, record: i64, verdict: Verdict) -> Result<(), Fault> {
        if verdict != Verdict::Valid {
            self.conn.prepare_cached(REMOVE_FINDINGS)?.execute(named_params! {":record": record})?;
        }
        Ok(())
    }

    fn set_served(&self, record: i64, served: bool) -> Result<(), Fault> {
        self.conn.prepare_cached(SERVE_RECORD)?.execute(named_params! {":id": record, ":served": served})?;
        Ok(())
    }

    fn set_cursor(&self, cursor: &StreamCursor) -> Result<(), Fault> {
        self.conn
            .prepare_cached(SET_CURSOR)?
            .execute(named_params! {":endpoint": cursor.endpoint, ":seq": cursor.seq})?;
        Ok(())
    }

    fn find<'d>(&self, did: &'d Did) -> Result<Option<Repo<'d>>, Fault> {
        Ok(state::find(self.conn, did.as_str())?.map(|(id, state)| Repo { id, did, state }))
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
        let state = RepoState { head: None, hosting: Hosting::Active, proof: Proof::Desynchronized };
        self.conn.prepare_cached(ADD_REPO)?.execute(named_params! {
            ":id": id,
            ":hosting": state.hosting.code(),
            ":proof": state.proof.code(),
        })?;
        Ok(Repo { id, did, state })
    }

    fn set_state(&self, repo: &Repo<'_>) -> Result<(), Fault> {
        let head = repo.state.head;
        self.conn.prepare_cached(SET_REPO)?.execute(named_params! {
            ":id": repo.id,
            // A TID has 63 bits.
            ":rev": head.map(|head| head.rev.bits().cast_signed()),
            ":data": head.map(|head| head.data.to_bytes()),
            ":hosting": repo.state.hosting.code(),
            ":proof": repo.state.proof.code(),
        })?;
        Ok(())
    }

    fn collection<'n>(&mut self, nsid: &'n Nsid) -> Result<InCollection<'n>, Fault> {
        Ok(InCollection { id: self.interned.collection(self.conn, nsid.as_str())?, nsid: nsid.as_str() })
    }

    fn collections_of(&self, repo: &Repo<'_>) -> Result<Vec<(i64, String)>, Fault> {
        let mut statement = self.conn.prepare_cached(LIST_COLLECTIONS)?;
        let rows = statement
            .query_map(named_params! {":repo": repo.id}, |row| Ok((row.get("id")?, row.get("nsid")?)))?;
        Ok(rows.collect::<Result<_, _>>()?)
    }

    fn find_record(
        &self,
        repo: &Repo<'_>,
        collection: InCollection<'_>,
        rkey: &RecordKey,
    ) -> Result<Option<Stored>, Fault> {
        let mut statement = self.conn.prepare_cached(FIND_RECORD)?;
        let mut rows = statement.query(named_params! {
            ":repo": repo.id,
            ":collection": collection.id,
            ":rkey": rkey.as_str(),
        })?;
        rows.next()?.map(Stored::read).transpose()
    }

    /// Judges the next records again, or marks that all are judged; returns whether more may follow.
    fn judge_again(&mut self) -> Result<bool, Fault> {
        let judged = self
            .conn
            .prepare_cached(FIND_JUDGED)?
            .query_row([], |row| Ok((row.get("schema_set")?, row.get("through")?)))
            .optional()?;
        let through: i64 = match judged {
            Some((schema_set, through)) if self.is_ours(&schema_set) => match through {
                None => return Ok(false),
                Some(through) => through,
            },
            // Judged by others, or half by others and half by yet others: from the start.
            Some(_) | None => 0,
        };
        let records = self.unjudged(through)?;
        let last = records.last().map(|record| record.id);
        for record in &records {
            self.regrade(record)?;
        }
        self.conn.prepare_cached(SET_JUDGED)?.execute(named_params! {
            ":schema_set": self.catalog.schema_set_id(),
            ":through": last,
        })?;
        Ok(last.is_some())
    }

    fn is_ours(&self, schema_set: &String) -> bool {
        schema_set == self.catalog.schema_set_id()
    }

    fn unjudged(&self, through: i64) -> Result<Vec<Judged>, Fault> {
        let mut statement = self.conn.prepare_cached(LIST_UNJUDGED)?;
        let mut rows = statement.query(named_params! {":through": through})?;
        let mut records = Vec::new();
        while let Some(row) = rows.next()? {
            records.push(Judged {
                id: row.get("id")?,
                repo: row.get("repo")?,
                collection: row.get("collection")?,
                did: row.get("did")?,
                nsid: row.get("nsid")?,
                rkey: row.get("rkey")?,
                verdict: verdict(row.get("verdict")?)?,
                hosting: state::hosting(row.get("hosting")?)?,
                block: row.get("body")?,
            });
        }
        Ok(records)
    }

    fn regrade(&mut self, record: &Judged) -> Result<(), Fault> {
        let value = cbor::decode(&record.block).ok();
        let judgement = self.judge(&record.nsid, &record.rkey, &record.block, value.as_ref());
        let visible = record.hosting.is_visible();
        let served = visible && judgement.verdict != Verdict::Quarantined;
        let was_served = visible && record.verdict != Verdict::Quarantined;
        self.remove_findings(record.id, record.verdict)?;
        self.add_findings(record.id, &judgement.findings)?;
        if judgement.verdict == record.verdict {
            return Ok(());
        }
        self.conn.prepare_cached(GRADE_RECORD)?.execute(named_params! {
            ":id": record.id,
            ":verdict": judgement.verdict.code(),
            ":served": served,
        })?;
        if visible {
            self.tallies.regrade(self.conn, record.collection, record.verdict, judgement.verdict)?;
        }
        if served && !was_served {
            let place = Place { record: record.id, repo: record.repo, did: &record.did, rkey: &record.rkey };
            self.add_typed(place, &record.nsid, value.as_ref())?;
        } else if !served && was_served {
            let collection = InCollection { id: record.collection, nsid: &record.nsid };
            self.remove_typed(collection, record.id)?;
        }
        Ok(())
    }
}

/// What is to be done for one collection of one repository.
#[derive(Default)]
struct Difference<'r> {
    gone: Vec<(Box<str>, Stored)>,
    put: Vec<(&'r RepoPath, &'r Cid, Option<Stored>)>,
    unchanged: u64,
}

/// A record with its block.
struct Full {
    rkey: String,
    stored: Stored,
    block: Vec<u8>,
}

/// A record that is to be judged again.
struct Judged {
    id: i64,
    repo: i64,
    collection: i64,
    did: String,
    nsid: String,
    rkey: String,
    verdict: Verdict,
    hosting: Hosting,
    block: Vec<u8>,
}

impl Repo<'_> {
    const fn is_visible(&self) -> bool {
        self.state.hosting.is_visible()
    }

    /// Whether the account is gone for good and nothing may come back before its hosting changes.
    const fn is_erased(&self) -> bool {
        matches!(self.state.hosting, Hosting::Deleted) && self.state.head.is_none()
    }

    fn is_at(&self, head: RepoHead) -> bool {
        self.state.head.is_some_and(|stored| head.rev == stored.rev)
    }

    /// Whether a change that leads to `head` has been overtaken.
    fn is_past(&self, head: RepoHead) -> bool {
        self.is_erased() || self.state.head.is_some_and(|stored| head.rev <= stored.rev)
    }

    fn place<'a>(&'a self, record: i64, rkey: &'a str) -> Place<'a> {
        Place { record, repo: self.id, did: self.did.as_str(), rkey }
    }
}

impl Stored {
    fn read(row: &rusqlite::Row<'_>) -> Result<Self, Fault> {
        Ok(Self { id: row.get("id")?, cid: state::cid(row, "cid")?, verdict: verdict(row.get("verdict")?)? })
    }
}

fn verdict(code: i64) -> Result<Verdict, Fault> {
    Verdict::from_code(code).ok_or(Fault::Row("a verdict that has no meaning"))
}
