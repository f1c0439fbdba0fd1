//! What can go wrong with the account store.

use std::path::{Path, PathBuf};

use rusqlite::ErrorCode;

use super::seal::{KeyId, SealError};
use crate::secret::NoRandomness;

/// Why the store cannot be used, or does not do what was asked.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum AccountError {
    /// A database of another program, or none.
    #[error(
        "{}: expected an account store, found another kind of file; name another path with --account-db, or, if it was one, \
         put a backup in its place with `appviewd account restore FILE`",
        path.display()
    )]
    Foreign {
        /// The file.
        path: PathBuf,
    },
    /// The file is damaged. Nothing was changed in it.
    #[error(
        "{}: damaged: {detail}; nothing was changed. Keep a copy of it, then put a backup in its place with \
         `appviewd account restore FILE`",
        path.display()
    )]
    Damaged {
        /// The file.
        path: PathBuf,
        /// What was found.
        detail: String,
    },
    /// There is no file.
    #[error("{}: expected an account store, found no file; `appviewd serve` makes one", path.display())]
    Missing {
        /// Where it was looked for.
        path: PathBuf,
    },
    /// A file stands where one was to be made.
    #[error("{}: expected no file, found one; name another path", path.display())]
    Exists {
        /// The file.
        path: PathBuf,
    },
    /// The file is of an earlier version.
    #[error(
        "{}: expected version {expected}, found {found}; `appviewd account migrate` brings it there, and makes a backup first",
        path.display()
    )]
    Older {
        /// The file.
        path: PathBuf,
        /// Its version.
        found: i32,
        /// This program's.
        expected: i32,
    },
    /// The file is of a later version.
    #[error("{}: expected version {expected}, found {found}; a newer appviewd wrote it: use that one", path.display())]
    Newer {
        /// The file.
        path: PathBuf,
        /// Its version.
        found: i32,
        /// This program's.
        expected: i32,
    },
    /// Another process has the store.
    #[error("{}: in use by another appviewd (its lock is {}); stop that one first", path.display(), lock.display())]
    Owned {
        /// The store.
        path: PathBuf,
        /// The file that is locked.
        lock: PathBuf,
    },
    /// There is something sealed, and nothing to open it with.
    #[error(
        "{}: {rows} sealed sessions and revocations need {}; give it with --session-key-file. Nothing is lost",
        path.display(), needed(keys)
    )]
    KeyMissing {
        /// The store.
        path: PathBuf,
        /// How many rows.
        rows: i64,
        /// The keys that sealed them and are not given.
        keys: Vec<KeyId>,
    },
    /// No session key was given, so that nothing can be sealed.
    #[error("sessions are off: no session key is given")]
    SessionsOff,
    /// What is sealed does not open.
    #[error("the sealed {what} of {whose} cannot be opened: {error}")]
    Seal {
        /// What it is.
        what: &'static str,
        /// Whose.
        whose: String,
        /// Why.
        #[source]
        error: SealError,
    },
    /// Somebody else wrote the row since it was read, or deleted it.
    #[error("the session of {did} was written by another since it was read")]
    Overtaken {
        /// Whose session.
        did: String,
    },
    /// There are as many of something as one person, or all, may have.
    #[error("at most {limit} {what}")]
    TooMany {
        /// Of what.
        what: &'static str,
        /// How many there may be.
        limit: u32,
    },
    /// The store that is to be replaced cannot tell who was wiped since the backup.
    #[error(
        "{}: cannot tell whose data was wiped since the backup: {why}. Restoring it may bring back what they had erased; if that is          so be it, say --forget-later-wipes",
        path.display()
    )]
    WipesUnknown {
        /// The store.
        path: PathBuf,
        /// Why it cannot be read.
        why: String,
    },
    /// What was erased may still be in the log, because a reader elsewhere keeps it.
    #[error("{}: another process is reading, so that erased bytes are still in its log; they are overwritten as soon as it ends", path.display())]
    StillRead {
        /// The store.
        path: PathBuf,
    },
    /// The disk is full. Nothing of what was asked was written.
    #[error("{}: no space left; free some and try again", path.display())]
    Full {
        /// The store.
        path: PathBuf,
    },
    /// A row holds what this program never writes.
    #[error("the account store holds an unreadable {what}: {found:?}")]
    Unreadable {
        /// What it was to be.
        what: &'static str,
        /// What stands there.
        found: String,
    },
    /// Reading or writing a file failed.
    #[error("{}: {error}", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        error: std::io::Error,
    },
    /// SQLite failed in another way.
    #[error("sqlite failed: {0}")]
    Sqlite(#[from] rusqlite::Error),
    /// No secret could be made.
    #[error(transparent)]
    NoRandomness(#[from] NoRandomness),
    /// The work was ended before it was done, as when the daemon stops.
    #[error("the work was ended before it was done")]
    Ended,
}

impl AccountError {
    pub(super) fn io(path: &Path) -> impl FnOnce(std::io::Error) -> Self {
        move |error| Self::Io { path: path.into(), error }
    }

    /// Tells which file it is about, where SQLite told only what.
    pub(super) fn at(self, path: &Path) -> Self {
        let Self::Sqlite(error) = self else { return self };
        match error.sqlite_error_code() {
            Some(ErrorCode::NotADatabase) => Self::Foreign { path: path.into() },
            Some(ErrorCode::DatabaseCorrupt) => {
                Self::Damaged { path: path.into(), detail: error.to_string() }
            }
            Some(ErrorCode::DiskFull) => Self::Full { path: path.into() },
            _ => Self::Sqlite(error),
        }
    }
}

fn needed(keys: &[KeyId]) -> String {
    match keys {
        [key] => format!("session key {key}"),
        keys => {
            let keys: Vec<String> = keys.iter().map(ToString::to_string).collect();
            format!("the session keys {}", keys.join(", "))
        }
    }
}
