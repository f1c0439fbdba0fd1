//! One transaction at work on records: a row, and all that follows from it.
//!
//! A record is judged, stored, counted and, if it is served, copied into its typed table and added to the sums of whoever it
//! names; each of these can be undone from the rows alone.

use rusqlite::{named_params, params};

use super::batch::{Batch, Repo};
use super::{Fault, state};
use crate::block::{Cid, Value};
use crate::record::{self, Finding, Judgement, Reading, Verdict};
use crate::syntax::{Nsid, RecordKey, RepoPath};

const FIND_RECORD: &str = "
    select id, cid, verdict, time from record
     where repo = :repo and collection = :collection and rkey = :rkey";

const ADD_RECORD: &str = "
    insert into record (repo, collection, rkey, cid, verdict, served, seq, rev, updated, time, body)
    values (:repo, :collection, :rkey, :cid, :verdict, :served, :seq, :rev, 0, :time, :body)";

const SET_RECORD: &str = "
    update record
       set cid = :cid, verdict = :verdict, served = :served, seq = :seq, rev = :rev, updated = :updated,
           time = :time, body = :body
     where id = :id";

const SERVE_RECORD: &str = "update record set served = :served, seq = :seq, updated = 0 where id = :id";

const REMOVE_RECORD: &str = "delete from record where id = :id";

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

const LIST_BODIES: &str = "
    select id, rkey, cid, verdict, time, body from record
     where repo = :repo and collection = :collection and rkey > :after order by rkey limit 256";

/// A collection and the integer that stands for it.
#[derive(Clone, Copy)]
pub(super) struct InCollection<'n> {
    pub(super) id: i64,
    pub(super) nsid: &'n str,
}

/// What is stored of a record.
#[derive(Clone, Copy)]
pub(super) struct Stored {
    pub(super) id: i64,
    pub(super) cid: Cid,
    pub(super) verdict: Verdict,
    /// As its row has it.
    pub(super) time: i64,
}

impl Batch<'_> {
    pub(super) fn put_path(
        &mut self,
        repo: &Repo<'_>,
        path: &RepoPath,
        cid: &Cid,
        block: &[u8],
    ) -> Result<(), Fault> {
        let collection = self.collection(&path.collection)?;
        let stored = self.find_record(repo, collection, &path.rkey)?;
        if stored.is_some_and(|stored| stored.cid == *cid) {
            self.applied.unchanged += 1;
            return Ok(());
        }
        self.put(repo, collection, &path.rkey, cid, block, stored)
    }

    pub(super) fn delete_path(&mut self, repo: &Repo<'_>, path: &RepoPath) -> Result<(), Fault> {
        let collection = self.collection(&path.collection)?;
        match self.find_record(repo, collection, &path.rkey)? {
            Some(stored) => self.delete(repo, collection, path.rkey.as_str(), stored),
            None => Ok(()),
        }
    }

    /// Creates or replaces a record, and all that follows from it.
    pub(super) fn put(
        &mut self,
        repo: &Repo<'_>,
        collection: InCollection<'_>,
        rkey: &RecordKey,
        cid: &Cid,
        block: &[u8],
        stored: Option<Stored>,
    ) -> Result<(), Fault> {
        let value = record::decode(block).ok();
        let judgement = self.judge(collection.nsid, rkey.as_str(), block, value.as_ref());
        let verdict = judgement.verdict;
        let served = repo.is_visible() && verdict != Verdict::Quarantined;
        let seq = self.seq_if(served)?;
        let members = value.as_ref().and_then(Value::as_map);
        let time = record::moment(collection.nsid, rkey.as_str(), members);
        let id = match stored {
            None => {
                self.applied.created += 1;
                self.conn.prepare_cached(ADD_RECORD)?.insert(params![
                    repo.id,
                    collection.id,
                    rkey.as_str(),
                    cid.to_bytes(),
                    verdict.code(),
                    served,
                    seq,
                    repo.rev(),
                    time,
                    block,
                ])?
            }
            Some(stored) => {
                self.applied.updated += 1;
                if repo.is_visible() {
                    self.count_out(repo, collection, rkey.as_str(), stored)?;
                    self.unserve(repo.id, collection, stored)?;
                }
                self.remove_findings(stored.id, stored.verdict)?;
                self.conn.prepare_cached(SET_RECORD)?.execute(named_params! {
                    ":id": stored.id,
                    ":cid": cid.to_bytes(),
                    ":verdict": verdict.code(),
                    ":served": served,
                    ":seq": seq,
                    ":rev": repo.rev(),
                    ":updated": served && stored.verdict != Verdict::Quarantined,
                    ":time": time,
                    ":body": block,
                })?;
                if verdict == Verdict::Quarantined && stored.verdict != Verdict::Quarantined {
                    self.tell_deletion(repo.id, collection, rkey.as_str(), repo.rev())?;
                }
                stored.id
            }
        };
        self.add_findings(id, &judgement.findings)?;
        if served {
            self.serve(repo.place(id, rkey.as_str(), time), collection, value.as_ref())?;
        }
        let stored = Stored { id, cid: *cid, verdict, time };
        if repo.is_visible() {
            self.count_in(repo, collection, rkey.as_str(), stored)?;
        }
        Ok(())
    }

    pub(super) fn delete(
        &mut self,
        repo: &Repo<'_>,
        collection: InCollection<'_>,
        rkey: &str,
        stored: Stored,
    ) -> Result<(), Fault> {
        self.applied.deleted += 1;
        if repo.is_visible() {
            self.count_out(repo, collection, rkey, stored)?;
            self.unserve(repo.id, collection, stored)?;
        }
        // Findings go with it.
        self.conn.prepare_cached(REMOVE_RECORD)?.execute(named_params! {":id": stored.id})?;
        if stored.verdict != Verdict::Quarantined {
            self.tell_deletion(repo.id, collection, rkey, repo.rev())?;
        }
        Ok(())
    }

    /// Takes a repository's records out of every list and sum; the rows stay.
    pub(super) fn hide(&mut self, repo: &Repo<'_>) -> Result<(), Fault> {
        self.each_record(repo, |batch, repo, collection, record| {
            batch.count_out(repo, collection, &record.rkey, record.stored)?;
            batch.unserve(repo.id, collection, record.stored)?;
            batch.set_served(record.stored.id, false)
        })
    }

    /// The inverse of [`Batch::hide`].
    pub(super) fn show(&mut self, repo: &Repo<'_>) -> Result<(), Fault> {
        self.each_record(repo, |batch, repo, collection, record| {
            batch.count_in(repo, collection, &record.rkey, record.stored)?;
            if record.stored.verdict != Verdict::Quarantined {
                batch.set_served(record.stored.id, true)?;
                let value = record::decode(&record.block).ok();
                let place = repo.place(record.stored.id, &record.rkey, record.stored.time);
                batch.serve(place, collection, value.as_ref())?;
            }
            Ok(())
        })
    }

    /// Visits every record of a repository; `visit` may change the row it is given.
    pub(super) fn each_record(
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

    /// Counts a record of a visible repository in.
    pub(super) fn count_in(
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
    pub(super) fn count_out(
        &mut self,
        repo: &Repo<'_>,
        collection: InCollection<'_>,
        rkey: &str,
        stored: Stored,
    ) -> Result<(), Fault> {
        self.sum.set_record(repo.did.as_str(), collection.nsid, rkey, &stored.cid);
        self.tallies.subtract(self.conn, collection.id, &self.sum, stored.verdict)
    }

    pub(super) fn judge(&self, nsid: &str, rkey: &str, block: &[u8], value: Option<&Value<'_>>) -> Judgement {
        match value {
            Some(value) => self.catalog.judge(nsid, rkey, value, Reading::Network),
            None => self.catalog.judge_block(nsid, rkey, block, Reading::Network),
        }
    }

    pub(super) fn add_findings(&self, record: i64, findings: &[Finding]) -> Result<(), Fault> {
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

    pub(super) fn remove_findings(&self, record: i64, verdict: Verdict) -> Result<(), Fault> {
        if verdict != Verdict::Valid {
            self.conn.prepare_cached(REMOVE_FINDINGS)?.execute(named_params! {":record": record})?;
        }
        Ok(())
    }

    pub(super) fn set_served(&mut self, record: i64, served: bool) -> Result<(), Fault> {
        let seq = self.seq_if(served)?;
        self.conn
            .prepare_cached(SERVE_RECORD)?
            .execute(named_params! {":id": record, ":served": served, ":seq": seq})?;
        Ok(())
    }

    pub(super) fn collection<'n>(&mut self, nsid: &'n Nsid) -> Result<InCollection<'n>, Fault> {
        Ok(InCollection { id: self.interned.collection(self.conn, nsid.as_str())?, nsid: nsid.as_str() })
    }

    pub(super) fn collections_of(&self, repo: &Repo<'_>) -> Result<Vec<(i64, String)>, Fault> {
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
        let mut rows = statement.query(params![repo.id, collection.id, rkey.as_str()])?;
        rows.next()?.map(Stored::read).transpose()
    }
}

/// A record with its block.
pub(super) struct Full {
    pub(super) rkey: String,
    pub(super) stored: Stored,
    pub(super) block: Vec<u8>,
}

impl Stored {
    pub(super) fn read(row: &rusqlite::Row<'_>) -> Result<Self, Fault> {
        Ok(Self {
            id: row.get("id")?,
            cid: state::cid(row, "cid")?,
            verdict: verdict(row.get("verdict")?)?,
            time: row.get("time")?,
        })
    }
}

pub(super) fn verdict(code: i64) -> Result<Verdict, Fault> {
    Verdict::from_code(code).ok_or(Fault::Row("a verdict that has no meaning"))
}
