//! Erasing what is held of a person.
//!
//! A DID enters; how much there was leaves, when no byte of it is left in any file. Repeating it does no harm, so that whoever was
//! interrupted does it again. Deliberately absent: what is in the index, and at the person's PDS.

use appview_core::syntax::Did;
use rusqlite::named_params;

use super::wipe::SessionsAfter;
use super::{AccountError, AccountStore};

/// How much there was.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Erased {
    /// API keys, revoked ones as well.
    pub keys: usize,
    /// Devices that were being paired.
    pub pairings: usize,
    /// Entries of what was done in the person's name.
    pub audit: usize,
    /// Bug reports with their files.
    pub reports: usize,
    /// Browsers that were signed in.
    pub browsers: usize,
    /// Sessions: one or none.
    pub sessions: usize,
}

impl AccountStore {
    /// Erases everything that is held of a person but the wipe itself and what it excludes. Sessions are kept, or ended and their tokens
    /// queued to be revoked.
    ///
    /// # Errors
    ///
    /// A file or the store cannot be written; [`AccountError::StillRead`] if everything is deleted, and its bytes are still in the log.
    /// It is to be repeated then.
    pub fn erase(&self, did: &Did, sessions: SessionsAfter, now: u64) -> Result<Erased, AccountError> {
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
            Ok(Erased {
                keys: delete("api_key")?,
                pairings: delete("pairing")?,
                audit: delete("audit")?,
                reports: delete("bug_report")?,
                browsers,
                sessions,
            })
        })?;
        fail::fail_point!("account::erased");
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
        }
        Ok(())
    }
}
