//! What the index remembers of repositories and streams: where the verifier starts from.

use rusqlite::{Connection, OptionalExtension as _, Row, RowIndex, named_params};

use super::{Fault, IndexError};
use crate::block::Cid;
use crate::sync::{Followed, Hosting, Postponed, Proof, RepoHead, RepoState, StreamCursor, Watch};
use crate::syntax::{Did, Tid};

const FIND_STATE: &str = "
    select repo.id, did, rev, data, hosting, proof, proven, proven_at, hidden_at, attempt, retry_at
      from did join repo using (id)
     where did = :did";

const LIST_STATES: &str = "
    select repo.id, did, rev, data, hosting, proof, proven, proven_at, hidden_at, attempt, retry_at
      from repo join did using (id)
     where repo.id > :after
     order by repo.id limit 1000";

const LIST_CURSORS: &str = "select endpoint, seq from cursor order by endpoint";

/// A followed repository and the integer that stands for it.
pub(super) fn find(conn: &Connection, did: &str) -> Result<Option<(i64, RepoState, Watch)>, Fault> {
    conn.prepare_cached(FIND_STATE)?
        .query_row(named_params! {":did": did}, |row| {
            Ok(state(row).and_then(|state| Ok((row.get(0)?, state, watch(row)?))))
        })
        .optional()?
        .transpose()
}

/// Every stream's cursor, by endpoint.
pub(super) fn cursors(conn: &Connection) -> Result<Vec<StreamCursor>, Fault> {
    let mut statement = conn.prepare_cached(LIST_CURSORS)?;
    let rows = statement
        .query_map([], |row| Ok(StreamCursor { endpoint: row.get("endpoint")?, seq: row.get("seq")? }))?;
    Ok(rows.collect::<Result<_, _>>()?)
}

/// Reads the state from a row, by the places that columns have in both statements.
fn state(row: &Row<'_>) -> Result<RepoState, Fault> {
    let rev: Option<i64> = row.get(2)?;
    let head = match rev {
        None => None,
        Some(rev) => Some(RepoHead { rev: tid(rev)?, data: cid(row, 3)? }),
    };
    Ok(RepoState {
        head,
        hosting: hosting(row.get(4)?)?,
        proof: proof(row.get(5)?)?,
        proven: row.get::<_, Option<i64>>(6)?.map(proof).transpose()?,
    })
}

/// Reads what the index remembers for itself.
fn watch(row: &Row<'_>) -> Result<Watch, Fault> {
    let moment = |column: usize| {
        let micros: Option<i64> = row.get(column)?;
        micros.map(|micros| u64::try_from(micros).map_err(|_| Fault::Row("a moment before 1970"))).transpose()
    };
    let attempt: Option<u32> = row.get(9)?;
    let postponed = attempt.zip(moment(10)?);
    Ok(Watch {
        proven_at: moment(7)?,
        hidden_at: moment(8)?,
        postponed: postponed.map(|(attempt, until)| Postponed { attempt, until }),
    })
}

fn proof(code: i64) -> Result<Proof, Fault> {
    Proof::ALL
        .into_iter()
        .find(|known| known.code() == code)
        .ok_or(Fault::Row("a state of proof that has no meaning"))
}

/// The revision that a number stands for.
pub(crate) fn tid(bits: i64) -> Result<Tid, Fault> {
    u64::try_from(bits).ok().and_then(Tid::from_bits).ok_or(Fault::Row("a revision that is no tid"))
}

/// The hosting that a number stands for.
pub(crate) fn hosting(code: i64) -> Result<Hosting, Fault> {
    Hosting::ALL
        .into_iter()
        .find(|known| known.code() == code)
        .ok_or(Fault::Row("a state of hosting that has no meaning"))
}

/// Reads a binary CID.
pub(super) fn cid(row: &Row<'_>, column: impl RowIndex) -> Result<Cid, Fault> {
    let bytes = row.get_ref(column)?;
    bytes.as_blob().ok().and_then(|bytes| Cid::decode(bytes).ok()).ok_or(Fault::Row("a cid that is none"))
}

/// Reads a DID.
fn did(row: &Row<'_>, column: &str) -> Result<Did, Fault> {
    let text = row.get_ref(column)?;
    text.as_str().ok().and_then(|text| text.parse().ok()).ok_or(Fault::Row("a did that is none"))
}

/// The states of all followed repositories, in no order that means anything; see
/// [`IndexReader::repo_states`](super::IndexReader::repo_states).
///
/// Reads a thousand at a time.
#[derive(Debug)]
pub struct RepoStates<'c> {
    conn: &'c Connection,
    path: &'c std::path::Path,
    after: Option<i64>,
    batch: std::vec::IntoIter<Followed>,
}

impl<'c> RepoStates<'c> {
    pub(super) fn new(conn: &'c Connection, path: &'c std::path::Path) -> Self {
        Self { conn, path, after: Some(0), batch: Vec::new().into_iter() }
    }

    fn read_batch(&mut self, after: i64) -> Result<Vec<Followed>, Fault> {
        let mut statement = self.conn.prepare_cached(LIST_STATES)?;
        let mut rows = statement.query(named_params! {":after": after})?;
        let mut batch = Vec::new();
        self.after = None;
        while let Some(row) = rows.next()? {
            self.after = Some(row.get("id")?);
            batch.push(Followed { did: did(row, "did")?, state: state(row)?, watch: watch(row)? });
        }
        Ok(batch)
    }
}

impl Iterator for RepoStates<'_> {
    type Item = Result<Followed, IndexError>;

    fn next(&mut self) -> Option<Self::Item> {
        if let Some(next) = self.batch.next() {
            return Some(Ok(next));
        }
        let after = self.after?;
        match self.read_batch(after) {
            Ok(batch) => {
                self.batch = batch.into_iter();
                self.batch.next().map(Ok)
            }
            Err(fault) => {
                self.after = None;
                Some(Err(Fault::at(self.path)(fault)))
            }
        }
    }
}
