//! How much there is.

use rusqlite::{Connection, named_params};

use crate::index::{Fault, IndexError, IndexReader};
use crate::syntax::{Did, Tid};

/// Hosting 0 is active; proof 1 is provisional and 2 desynchronized.
const COUNT_REPOS: &str = "
    select coalesce(sum(records), 0) as repos,
           coalesce(sum(records) filter (where a = 0), 0) as active,
           coalesce(sum(records) filter (where b = 1), 0) as provisional,
           coalesce(sum(records) filter (where b = 2), 0) as desynchronized
      from total where kind = 7";

const COUNT_ACCOUNTS: &str = "
    select coalesce(sum(records) filter (where a = 0), 0) as accounts,
           coalesce(sum(records) filter (where a = 1), 0) as providers
      from total where kind = 6";

const COUNT_RECORDS: &str = "select valid, marked, quarantined from tally where collection = 0";

const COUNT_HELD: &str = "
    select count(*) as records from did join record on record.repo = did.id where did = :did";

const COUNT_DELETIONS: &str = "
    select count(*) as deletions from did join feed on feed.repo = did.id
     where did = :did and rkey is not null and rev <= :until";

/// Followed repositories and their records.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Counts {
    /// The repositories.
    pub repos: RepoCounts,
    /// The accounts with a record that is shown.
    pub accounts: u64,
    /// Those among them with a machine on offer.
    pub providers: u64,
    /// The records of repositories that are active.
    pub records: VerdictCounts,
}

/// Followed repositories by their state.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct RepoCounts {
    /// All of them.
    pub followed: u64,
    /// Those whose records are shown.
    pub active: u64,
    /// Those proven by a former host's key, until their next commit.
    pub provisional: u64,
    /// Those that have to be proven from their PDS.
    pub desynchronized: u64,
}

/// Records of active repositories by verdict.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct VerdictCounts {
    /// Keep their lexicon.
    pub valid: u64,
    /// Break it in a small way; served and marked.
    pub marked: u64,
    /// Break it badly; kept, and not listed.
    pub quarantined: u64,
}

impl VerdictCounts {
    /// All of them.
    #[must_use]
    pub const fn total(&self) -> u64 {
        self.valid + self.marked + self.quarantined
    }

    pub(super) fn read(row: &rusqlite::Row<'_>) -> rusqlite::Result<Self> {
        Ok(Self {
            valid: number(row, "valid")?,
            marked: number(row, "marked")?,
            quarantined: number(row, "quarantined")?,
        })
    }
}

impl IndexReader {
    /// How much there is, as it is kept with every write.
    ///
    /// # Errors
    ///
    /// Failing input or damage.
    pub fn counts(&self) -> Result<Counts, IndexError> {
        self.query(count)
    }

    /// How many records are held of one repository, be they shown, quarantined or hidden.
    ///
    /// # Errors
    ///
    /// Failing input or damage.
    pub fn held(&self, did: &Did) -> Result<u64, IndexError> {
        self.query(|conn| {
            let mut statement = conn.prepare_cached(COUNT_HELD)?;
            Ok(statement.query_row(named_params! {":did": did.as_str()}, |row| number(row, "records"))?)
        })
    }

    /// How many deletions the feed tells of one repository, up to a revision: each has the key of a record that is gone.
    ///
    /// # Errors
    ///
    /// Failing input or damage.
    pub fn deletions_told(&self, did: &Did, until: Tid) -> Result<u64, IndexError> {
        let until = until.bits().cast_signed();
        self.query(|conn| {
            let mut statement = conn.prepare_cached(COUNT_DELETIONS)?;
            let asked = named_params! {":did": did.as_str(), ":until": until};
            Ok(statement.query_row(asked, |row| number(row, "deletions"))?)
        })
    }
}

fn count(conn: &Connection) -> Result<Counts, Fault> {
    let repos = conn.prepare_cached(COUNT_REPOS)?.query_row([], |row| {
        Ok(RepoCounts {
            followed: number(row, "repos")?,
            active: number(row, "active")?,
            provisional: number(row, "provisional")?,
            desynchronized: number(row, "desynchronized")?,
        })
    })?;
    let mut statement = conn.prepare_cached(COUNT_RECORDS)?;
    let mut rows = statement.query([])?;
    let records = match rows.next()? {
        Some(row) => VerdictCounts::read(row)?,
        None => VerdictCounts::default(),
    };
    let (accounts, providers) = conn
        .prepare_cached(COUNT_ACCOUNTS)?
        .query_row([], |row| Ok((number(row, "accounts")?, number(row, "providers")?)))?;
    Ok(Counts { repos, accounts, providers, records })
}

/// SQLite's integers are signed. A count below zero is damage, which a check reports and which has no place here.
fn number(row: &rusqlite::Row<'_>, column: &str) -> rusqlite::Result<u64> {
    let number: i64 = row.get(column)?;
    Ok(u64::try_from(number).unwrap_or(0))
}
