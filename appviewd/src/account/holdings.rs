//! What is held of a person, as far as that person may be told: everything but what opens a door.
//!
//! A DID enters; rows leave, without hashes, seals and codes. Keys, the audit list and the wipe have rooms of their own.

use std::path::PathBuf;

use appview_core::syntax::Did;
use rusqlite::{Connection, Row, named_params};

use super::{AccountError, AccountStore, Browser, did, micros};

/// What is held of a person.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Holdings {
    /// Their session.
    pub session: Option<HeldSession>,
    /// Browsers that are signed in.
    pub browsers: Vec<Browser>,
    /// Devices that they paired, or turned down, a moment ago.
    pub pairings: Vec<HeldPairing>,
    /// Sessions that have ended, and whose servers are still to be told.
    pub revocations: u64,
    /// Bug reports of their machines.
    pub reports: Vec<HeldReport>,
}

/// A session, without its tokens.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HeldSession {
    /// When the person signed in, in microseconds since the Unix epoch.
    pub signed_in_at: u64,
    /// When it was last written.
    pub changed_at: u64,
    /// `ready`, `refreshing` or `needs-sign-in`.
    pub state: String,
}

/// A pairing, without its codes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HeldPairing {
    /// When it was begun, in microseconds since the Unix epoch.
    pub created_at: u64,
    /// `approved`, `denied` or `consumed`.
    pub state: String,
}

/// A bug report.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HeldReport {
    /// What it is called.
    pub ticket: String,
    /// When it was sent, in microseconds since the Unix epoch.
    pub created_at: u64,
    /// Where its bytes are.
    pub path: PathBuf,
}

const SESSION: &str = "select state, signed_in_at, changed_at from session where did = :did";

const BROWSERS: &str = "
    select did, created_at, expires_at from browser_session where did = :did order by created_at";

const PAIRINGS: &str = "select state, created_at from pairing where did = :did order by created_at";

const REVOCATIONS: &str = "select count(*) as revocations from revocation where did = :did";

const REPORTS: &str = "select ticket, file, created_at from bug_report where did = :did order by created_at";

impl AccountStore {
    /// What is held of a person.
    ///
    /// # Errors
    ///
    /// The store cannot be read.
    pub fn holdings(&self, whose: &Did) -> Result<Holdings, AccountError> {
        let folder = self.report_folder();
        self.read(|conn| {
            let session = rows(conn, SESSION, whose, |row| {
                Ok(HeldSession {
                    signed_in_at: micros(row, "signed_in_at")?,
                    changed_at: micros(row, "changed_at")?,
                    state: row.get("state")?,
                })
            })?;
            let browsers = rows(conn, BROWSERS, whose, |row| {
                let (since, until) = (micros(row, "created_at")?, micros(row, "expires_at")?);
                Ok(Browser { did: did(row, "did")?, since, until })
            })?;
            let pairings = rows(conn, PAIRINGS, whose, |row| {
                Ok(HeldPairing { created_at: micros(row, "created_at")?, state: row.get("state")? })
            })?;
            let revocations =
                rows(conn, REVOCATIONS, whose, |row| Ok(u64::try_from(row.get::<_, i64>("revocations")?)))?;
            let reports = rows(conn, REPORTS, whose, |row| {
                let path = folder.join(row.get::<_, String>("file")?);
                Ok(HeldReport { ticket: row.get("ticket")?, created_at: micros(row, "created_at")?, path })
            })?;
            Ok(Holdings {
                session: session.into_iter().next(),
                browsers,
                pairings,
                revocations: revocations.into_iter().flatten().sum(),
                reports,
            })
        })
    }
}

fn rows<T>(
    conn: &Connection,
    sql: &str,
    whose: &Did,
    read: impl Fn(&Row<'_>) -> Result<T, AccountError>,
) -> Result<Vec<T>, AccountError> {
    let mut statement = conn.prepare_cached(sql)?;
    let mut found = statement.query(named_params! {":did": whose.as_str()})?;
    let mut all = Vec::new();
    while let Some(row) = found.next()? {
        all.push(read(row)?);
    }
    Ok(all)
}
