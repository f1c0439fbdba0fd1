//! What is held of a person, and erasing it.
//!
//! A DID enters; how much there is leaves, or how much there was, when no byte of it is left in any file. Repeating an erasure does no
//! harm, so that whoever was interrupted does it again. Deliberately absent: what is in the index, and at the person's PDS.

use appview_core::syntax::Did;
use rusqlite::named_params;
use serde::{Deserialize, Serialize};

use super::wipe::SessionsAfter;
use super::{AccountError, AccountStore};

/// How much is held of a person, by kind.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Held {
    /// API keys, revoked ones as well.
    pub keys: usize,
    /// Devices that are being paired.
    pub pairings: usize,
    /// Entries of what was done in the person's name.
    pub audit: usize,
    /// Bug reports with their files.
    pub reports: usize,
    /// Browsers that are signed in.
    pub browsers: usize,
    /// Sessions: one or none.
    pub sessions: usize,
}

impl Held {
    /// Both together.
    #[must_use]
    pub const fn and(self, other: Self) -> Self {
        Self {
            keys: self.keys.saturating_add(other.keys),
            pairings: self.pairings.saturating_add(other.pairings),
            audit: self.audit.saturating_add(other.audit),
            reports: self.reports.saturating_add(other.reports),
            browsers: self.browsers.saturating_add(other.browsers),
            sessions: self.sessions.saturating_add(other.sessions),
        }
    }

    /// Whether there is nothing but what keeps somebody signed in.
    #[must_use]
    pub const fn is_erased(&self) -> bool {
        self.keys == 0 && self.pairings == 0 && self.audit == 0 && self.reports == 0
    }
}

impl AccountStore {
    /// How much is held of a person.
    ///
    /// # Errors
    ///
    /// The store cannot be read.
    pub fn held(&self, did: &Did) -> Result<Held, AccountError> {
        self.read(|conn| {
            let count = |table| -> Result<usize, AccountError> {
                let count = format!("select count(*) from {table} where did = :did");
                let count = conn.query_row(&count, named_params! {":did": did.as_str()}, |row| row.get(0));
                Ok(usize::try_from(count.map(|count: i64| count)?).unwrap_or(0))
            };
            Ok(Held {
                keys: count("api_key")?,
                pairings: count("pairing")?,
                audit: count("audit")?,
                reports: count("bug_report")?,
                browsers: count("browser_session")?,
                sessions: count("session")?,
            })
        })
    }

    /// Erases everything that is held of a person but the wipe itself and what it excludes; returns how much there was. Sessions are
    /// kept, or ended and their tokens queued to be revoked.
    ///
    /// # Errors
    ///
    /// A file or the store cannot be written; [`AccountError::StillRead`] if everything is deleted, and its bytes are still in the log.
    /// It is to be repeated then.
    pub fn erase(&self, did: &Did, sessions: SessionsAfter, now: u64) -> Result<Held, AccountError> {
        self.erase_report_files(did)?;
        let erased = self.write(|transaction| {
            let whose = named_params! {":did": did.as_str()};
            let delete = |table| transaction.execute(&format!("delete from {table} where did = :did"), whose);
            let (browsers, sessions) = match sessions {
                SessionsAfter::Keep => (0, 0),
                SessionsAfter::End => {
                    let ended = self.end_session_within(transaction, did, now)?;
                    (delete("browser_session")?, usize::from(ended))
                }
            };
            Ok(Held {
                keys: delete("api_key")?,
                pairings: delete("pairing")?,
                audit: delete("audit")?,
                reports: delete("bug_report")?,
                browsers,
                sessions,
            })
        })?;
        self.clear_log()?;
        Ok(erased)
    }

    /// The files first: their rows tell which they are, also after a crash in between.
    fn erase_report_files(&self, did: &Did) -> Result<(), AccountError> {
        let files = self.read(|conn| {
            let mut statement = conn.prepare_cached("select file from bug_report where did = :did")?;
            let files = statement.query_map(named_params! {":did": did.as_str()}, |row| row.get("file"))?;
            Ok(files.collect::<Result<Vec<String>, _>>()?)
        })?;
        for file in files {
            let path = self.report_folder().join(file);
            match std::fs::remove_file(&path) {
                Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                    return Err(AccountError::Io { path, error });
                }
                _ => {}
            }
            fail::fail_point!("account::report-erased");
        }
        Ok(())
    }
}
