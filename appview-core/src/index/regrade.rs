//! Judging again what was judged by another set of lexicons.

use rusqlite::{OptionalExtension as _, named_params};

use super::batch::Batch;
use super::project::Place;
use super::record::{InCollection, verdict};
use super::{Fault, state};
use crate::record::{self, Verdict};
use crate::sync::Hosting;

const FIND_JUDGED: &str = "select schema_set, through from judged";

const SET_JUDGED: &str = "
    insert into judged (only_row, schema_set, through) values (1, :schema_set, :through)
    on conflict do update set schema_set = :schema_set, through = :through";

const LIST_UNJUDGED: &str = "
    select record.id, repo, collection, did, nsid, rkey, record.rev, verdict, hosting, body
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
                rev: row.get("rev")?,
                verdict: verdict(row.get("verdict")?)?,
                hosting: state::hosting(row.get("hosting")?)?,
                block: row.get("body")?,
            });
        }
        Ok(records)
    }

    fn regrade(&mut self, record: &Judged) -> Result<(), Fault> {
        let value = record::decode(&record.block).ok();
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
        })?;
        if visible {
            self.tallies.regrade(self.conn, record.collection, record.verdict, judgement.verdict)?;
        }
        let collection = InCollection { id: record.collection, nsid: &record.nsid };
        if served && !was_served {
            self.set_served(record.id, true)?;
            let place = Place { record: record.id, repo: record.repo, did: &record.did, rkey: &record.rkey };
            self.add_typed(place, &record.nsid, value.as_ref())?;
        } else if !served && was_served {
            self.set_served(record.id, false)?;
            self.remove_typed(collection, record.id)?;
        }
        if judgement.verdict == Verdict::Quarantined {
            self.tell_deletion(record.repo, collection, &record.rkey, Some(record.rev))?;
        }
        Ok(())
    }
}

/// A record that is to be judged again.
struct Judged {
    id: i64,
    repo: i64,
    collection: i64,
    did: String,
    nsid: String,
    rkey: String,
    rev: i64,
    verdict: Verdict,
    hosting: Hosting,
    block: Vec<u8>,
}
