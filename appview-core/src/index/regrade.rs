//! Judging again what was judged by another set of lexicons.

use rusqlite::{OptionalExtension as _, named_params};

use super::batch::Batch;
use super::project::Place;
use super::record::{InCollection, Stored};
use super::{Fault, state};
use crate::record::{self, Verdict};
use crate::sync::Hosting;

const FIND_JUDGED: &str = "select schema_set, through from judged";

const SET_JUDGED: &str = "
    insert into judged (only_row, schema_set, through) values (1, :schema_set, :through)
    on conflict do update set schema_set = :schema_set, through = :through";

const LIST_UNJUDGED: &str = "
    select record.id, repo, collection, did, nsid, rkey, record.rev, cid, verdict, time, hosting, body
      from record
      join did on did.id = repo
      join repo on repo.id = record.repo
      join collection on collection.id = record.collection
     where record.id > :through order by record.id limit 1000";

const GRADE_RECORD: &str = "update record set verdict = :verdict where id = :id";

impl Batch<'_> {
    /// Judges the next records again, or marks that all are judged; returns whether more may follow.
    pub(super) fn judge_again(&mut self) -> Result<bool, Fault> {
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
        let last = records.last().map(|record| record.stored.id);
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
                repo: row.get("repo")?,
                collection: row.get("collection")?,
                did: row.get("did")?,
                nsid: row.get("nsid")?,
                rkey: row.get("rkey")?,
                rev: row.get("rev")?,
                stored: Stored::read(row)?,
                hosting: state::hosting(row.get("hosting")?)?,
                block: row.get("body")?,
            });
        }
        Ok(records)
    }

    fn regrade(&mut self, record: &Judged) -> Result<(), Fault> {
        let (stored, block) = (record.stored, &record.block);
        let value = record::decode(block).ok();
        let judgement = self.judge(&record.nsid, &record.rkey, block, value.as_ref());
        let visible = record.hosting.is_visible();
        let served = visible && judgement.verdict != Verdict::Quarantined;
        let was_served = visible && stored.verdict != Verdict::Quarantined;
        self.remove_findings(stored.id, stored.verdict)?;
        self.add_findings(stored.id, &judgement.findings)?;
        if judgement.verdict == stored.verdict {
            return Ok(());
        }
        self.conn.prepare_cached(GRADE_RECORD)?.execute(named_params! {
            ":id": stored.id,
            ":verdict": judgement.verdict.code(),
        })?;
        if visible {
            self.tallies.regrade(self.conn, record.collection, stored.verdict, judgement.verdict)?;
        }
        let collection = InCollection { id: record.collection, nsid: &record.nsid };
        if served && !was_served {
            self.set_served(stored.id, true)?;
            let (did, rkey) = (record.did.as_str(), record.rkey.as_str());
            let place = Place { record: stored.id, repo: record.repo, did, rkey, time: stored.time };
            self.serve(place, collection, value.as_ref())?;
        } else if !served && was_served {
            self.set_served(stored.id, false)?;
            self.unserve(record.repo, collection, stored)?;
        }
        if judgement.verdict == Verdict::Quarantined {
            self.tell_deletion(record.repo, collection, &record.rkey, Some(record.rev))?;
        }
        Ok(())
    }
}

/// A record that is to be judged again.
struct Judged {
    stored: Stored,
    repo: i64,
    collection: i64,
    did: String,
    nsid: String,
    rkey: String,
    rev: i64,
    hosting: Hosting,
    block: Vec<u8>,
}
