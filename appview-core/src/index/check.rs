//! Does the file still hold what was written into it?

use std::fmt;

use rusqlite::{Connection, named_params};

use super::project::{self, Adds};
use super::recount::Recount;
use super::tally::{Tally, WHOLE};
use super::{Fault, Fingerprint, IndexError, IndexReader, state};
use crate::block::Cid;
use crate::record::{Collection, Verdict};

/// Most damages that one check lists; the count goes on.
const LISTED: usize = 1_000;

/// Records between two calls of the callback.
const STEP: u64 = 1_000;

/// In the order in which tallies can be added up one collection at a time.
const LIST_COLLECTIONS: &str = "select id, nsid from collection order by id";

const LIST_RECORDS: &str = "
    select record.id, record.repo, did, rkey, cid, verdict, served, seq, time, hosting, body
      from repo
      cross join did on did.id = repo.id
      cross join record on record.repo = repo.id and record.collection = :collection";

const LIST_STRAY: &str = "select id from record where repo not in (select id from repo)";

const COUNT_TALLIES: &str = "
    select count(*) from tally
     where collection <> 0 and collection not in (select id from collection)";

/// What a check found.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Checked {
    /// How many records were looked at.
    pub records: u64,
    /// How many damages were found.
    pub found: u64,
    /// The first thousand of them.
    pub damage: Vec<Damage>,
}

/// One thing in the file that the writer can't have left there.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Damage {
    /// SQLite found its own structure broken.
    Structure {
        /// In SQLite's words.
        detail: String,
    },
    /// A row names another that is not there.
    Reference {
        /// The row's table.
        table: String,
    },
    /// A record's block does not hash to its CID.
    Block {
        /// The record.
        uri: String,
        /// The CID it is stored under.
        expected: Cid,
        /// The CID of the bytes.
        found: Cid,
    },
    /// A record is marked as served when it is not to be, or not marked when it is, or the feed has it when it is not to.
    Served {
        /// The record.
        uri: String,
    },
    /// A record's typed row is missing, is another's, or is there though the record is not served.
    Typed {
        /// The record.
        uri: String,
    },
    /// A row of a derived table is not what follows from the rows that it is derived from. Looked for where those are sound.
    Derived {
        /// The table.
        table: String,
        /// What the row is about.
        of: String,
    },
    /// The records of a collection do not add up to what is noted of them: a record was lost, gained or changed.
    Sum {
        /// The collection; none for the whole index.
        collection: Option<String>,
        /// The fingerprint that is noted.
        expected: String,
        /// The fingerprint of the records that are there.
        found: String,
    },
    /// The records of a collection are not as many as is noted of them, or not of those verdicts.
    Count {
        /// The collection; none for the whole index.
        collection: Option<String>,
        /// The verdict.
        verdict: Verdict,
        /// How many records of that verdict are noted.
        expected: i64,
        /// How many are there.
        found: i64,
    },
}

/// What stands in a message for no collection.
const ALL: &str = "all collections";

impl fmt::Display for Damage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Structure { detail } => write!(f, "structure: {detail}"),
            Self::Reference { table } => write!(f, "a row of {table} names one that is not there"),
            Self::Block { uri, expected, found } => {
                write!(f, "{uri}: expected a block of {expected}, found one of {found}")
            }
            Self::Served { uri } => write!(f, "{uri}: wrongly served or wrongly kept back"),
            Self::Typed { uri } => write!(f, "{uri}: typed row missing, another's or left over"),
            Self::Derived { table, of } => write!(f, "{table}: {of} does not follow from the records"),
            Self::Sum { collection, expected, found } => {
                let collection = collection.as_deref().unwrap_or(ALL);
                write!(f, "{collection}: expected fingerprint {expected}, found {found}")
            }
            Self::Count { collection, verdict, expected, found } => {
                let (collection, verdict) = (collection.as_deref().unwrap_or(ALL), verdict.name());
                write!(f, "{collection}: expected {expected} {verdict} records, found {found}")
            }
        }
    }
}

impl Checked {
    fn add(&mut self, damage: Damage) {
        self.found += 1;
        if self.damage.len() < LISTED {
            self.damage.push(damage);
        }
    }
}

impl IndexReader {
    /// Reads everything and compares it with itself: SQLite's structure, each block with its CID, each record with its
    /// typed row, all records with the fingerprints and with what is derived from them.
    ///
    /// Takes some ten microseconds a record, and holds its snapshot meanwhile. `progress` is told now and then how many
    /// records have been looked at.
    ///
    /// # Errors
    ///
    /// Failing input, or damage so bad that reading could not go on.
    pub fn check(&self, progress: impl FnMut(u64)) -> Result<Checked, IndexError> {
        self.query(|conn| check(conn, progress))
    }
}

fn check(conn: &Connection, progress: impl FnMut(u64)) -> Result<Checked, Fault> {
    // The integrity check looks at every cell itself, and so much is read that hardly a page stays in the cache.
    conn.execute_batch("pragma cell_size_check = off")?;
    let checked = check_all(conn, progress);
    conn.execute_batch("pragma cell_size_check = on")?;
    checked
}

fn check_all(conn: &Connection, mut progress: impl FnMut(u64)) -> Result<Checked, Fault> {
    let mut checked = Checked::default();
    check_structure(conn, &mut checked)?;
    let mut whole = Tally::default();
    let mut recount = Recount::default();
    let mut collections = conn.prepare(LIST_COLLECTIONS)?;
    let mut rows = collections.query([])?;
    while let Some(row) = rows.next()? {
        let (id, nsid): (i64, String) = (row.get("id")?, row.get("nsid")?);
        let found = check_collection(conn, id, &nsid, &mut checked, &mut recount, &mut progress)?;
        whole.sum.add(&found.sum);
        whole.valid += found.valid;
        whole.marked += found.marked;
        whole.quarantined += found.quarantined;
        compare(conn, id, Some(nsid), &found, &mut checked)?;
    }
    compare(conn, WHOLE, None, &whole, &mut checked)?;
    // What is derived from damaged rows is not worth a word.
    if checked.found == 0 {
        recount.finish(conn, |damage| checked.add(damage))?;
    }
    progress(checked.records);
    Ok(checked)
}

fn check_structure(conn: &Connection, checked: &mut Checked) -> Result<(), Fault> {
    let mut integrity = conn.prepare("pragma integrity_check")?;
    let mut rows = integrity.query([])?;
    while let Some(row) = rows.next()? {
        let detail: String = row.get(0)?;
        if detail != "ok" {
            checked.add(Damage::Structure { detail });
        }
    }
    let mut references = conn.prepare("pragma foreign_key_check")?;
    let mut rows = references.query([])?;
    while let Some(row) = rows.next()? {
        let table = row.get("table")?;
        checked.add(Damage::Reference { table });
    }
    if conn.prepare(LIST_STRAY)?.exists([])? {
        let table = "record".into();
        checked.add(Damage::Reference { table });
    }
    let stray: i64 = conn.query_row(COUNT_TALLIES, [], |row| row.get(0))?;
    if stray > 0 {
        let table = "tally".into();
        checked.add(Damage::Reference { table });
    }
    Ok(())
}

/// Looks at each record of a collection; returns what the visible ones add up to.
fn check_collection(
    conn: &Connection,
    id: i64,
    nsid: &str,
    checked: &mut Checked,
    recount: &mut Recount,
    progress: &mut impl FnMut(u64),
) -> Result<Tally, Fault> {
    let collection = Collection::from_nsid(nsid);
    let mut tally = Tally::default();
    let mut sum = Fingerprint::default();
    let mut statement = conn.prepare_cached(LIST_RECORDS)?;
    let mut rows = statement.query(named_params! {":collection": id})?;
    while let Some(row) = rows.next()? {
        let (did, rkey): (String, String) = (row.get("did")?, row.get("rkey")?);
        let uri = || format!("at://{did}/{nsid}/{rkey}");
        let cid = state::cid(row, "cid")?;
        let verdict =
            Verdict::from_code(row.get("verdict")?).ok_or(Fault::Row("a verdict that has no meaning"))?;
        let visible = state::hosting(row.get("hosting")?)?.is_visible();
        let served: bool = row.get("served")?;
        // A connection that only reads does not know the constraints of its tables.
        let is_told = row.get::<_, Option<i64>>("seq")?.is_some();
        let body = row.get_ref("body")?;
        let body = body.as_blob().map_err(|_| Fault::Row("a body that is no blob"))?;

        if !cid.addresses(body) {
            checked.add(Damage::Block { uri: uri(), expected: cid, found: Cid::of(body) });
        }
        if served != (visible && verdict != Verdict::Quarantined) || served != is_told {
            checked.add(Damage::Served { uri: uri() });
        }
        let (repo, time): (i64, i64) = (row.get("repo")?, row.get("time")?);
        let mut adds = Adds::Nothing;
        if let Some(collection) = collection
            && let Some(sql) = project::find_sql(collection)
        {
            let found = project::find(conn, sql, collection, row.get("id")?)?;
            if found.is_some() != (served && project::has_row(collection, &rkey))
                || found.is_some_and(|adds| !adds.fits(repo, time))
            {
                checked.add(Damage::Typed { uri: uri() });
            }
            adds = found.unwrap_or(adds);
        }
        if served {
            recount.add(repo, id, time, &adds);
        }
        if visible {
            sum.set_record(&did, nsid, &rkey, &cid);
            tally.sum.add(&sum);
            tally.count(verdict, 1);
        }
        checked.records += 1;
        if checked.records.is_multiple_of(STEP) {
            progress(checked.records);
        }
    }
    Ok(tally)
}

fn compare(
    conn: &Connection,
    id: i64,
    collection: Option<String>,
    found: &Tally,
    checked: &mut Checked,
) -> Result<(), Fault> {
    let expected = Tally::find(conn, id)?.unwrap_or_default();
    if expected.sum != found.sum {
        checked.add(Damage::Sum {
            collection: collection.clone(),
            expected: expected.sum.to_string(),
            found: found.sum.to_string(),
        });
    }
    for (verdict, expected, found) in [
        (Verdict::Valid, expected.valid, found.valid),
        (Verdict::Marked, expected.marked, found.marked),
        (Verdict::Quarantined, expected.quarantined, found.quarantined),
    ] {
        if expected != found {
            checked.add(Damage::Count { collection: collection.clone(), verdict, expected, found });
        }
    }
    Ok(())
}
