//! What can go wrong with an index file.

use std::path::{Path, PathBuf};

use crate::block::BlockError;
use crate::syntax::Did;

/// Why the index can't be used or written. Our own fault or our machine's, never a sender's.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum IndexError {
    /// The file is no database at all.
    #[error("{}: expected an SQLite database, found another kind of file; move it away or name another path", path.display())]
    NotSqlite {
        /// The file.
        path: PathBuf,
    },
    /// A database of another program.
    #[error(
        "{}: expected application id {:#010x}, found {found:#010x}; the database belongs to another program: name another path",
        path.display(), super::APPLICATION_ID
    )]
    Foreign {
        /// The file.
        path: PathBuf,
        /// Its `application_id`; 0 where the other program gave none.
        found: i32,
    },
    /// An index by an older or newer version of this crate.
    #[error("{}: expected schema version {expected}, found {found}; rebuild the index", path.display())]
    SchemaMismatch {
        /// The file.
        path: PathBuf,
        /// The version in the file.
        found: i32,
        /// The version of this crate.
        expected: i32,
    },
    /// The file is damaged.
    #[error("{}: damaged: {detail}; rebuild the index", path.display())]
    Corrupt {
        /// The file.
        path: PathBuf,
        /// What was found.
        detail: String,
    },
    /// There is no file, or nothing in it.
    #[error("{}: expected an index, found no file", path.display())]
    Missing {
        /// Where it was looked for.
        path: PathBuf,
    },
    /// A file stands where a new one was to be created.
    #[error("{}: expected no file, found one", path.display())]
    Exists {
        /// The file.
        path: PathBuf,
    },
    /// Another writer has the index.
    #[error("{}: locked by another writer of {}; stop that one first", lock.display(), path.display())]
    Locked {
        /// The index.
        path: PathBuf,
        /// The file that is locked.
        lock: PathBuf,
    },
    /// Another rebuild of the index is under way.
    #[error("{}: locked by another rebuild of {}; wait for it, or stop it", lock.display(), path.display())]
    Rebuilding {
        /// The index.
        path: PathBuf,
        /// The file that is locked.
        lock: PathBuf,
    },
    /// Another connection was in the way for longer than the time-out. Trying again helps.
    #[error("{}: busy with another connection; try again", path.display())]
    Busy {
        /// The file.
        path: PathBuf,
    },
    /// The disk is full. Nothing of the batch was written, and trying again helps once there is room.
    #[error("{}: no space left; free some and try again", path.display())]
    Full {
        /// The file.
        path: PathBuf,
    },
    /// Reading or writing failed below SQLite. Nothing of the batch was written.
    #[error("{}: input or output failed", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// What the operating system said.
        source: std::io::Error,
    },
    /// SQLite failed in another way.
    #[error("{}: sqlite failed", path.display())]
    Sqlite {
        /// The file.
        path: PathBuf,
        /// What it said.
        source: rusqlite::Error,
    },
    /// The blocks of a proven repository could not be read again. Nothing of the batch was written.
    #[error("the blocks of {did} can't be read")]
    Archive {
        /// The repository.
        did: Did,
        /// What went wrong.
        source: BlockError,
    },
    /// Nobody waited for the answer any more ([`Recall::call_off`](super::Recall::call_off)).
    #[error("{}: the question was called off", path.display())]
    CalledOff {
        /// The file.
        path: PathBuf,
    },
    /// A rebuild went on after one of its batches had failed. In bulk mode a failed batch can't be taken back, so the
    /// new file is thrown away.
    #[error("{}: a batch failed before; the new file is of no use", path.display())]
    Abandoned {
        /// The new file.
        path: PathBuf,
    },
}

impl IndexError {
    /// A stable name, for metrics.
    #[must_use]
    pub const fn label(&self) -> &'static str {
        match self {
            Self::NotSqlite { .. } => "not-sqlite",
            Self::Foreign { .. } => "foreign",
            Self::SchemaMismatch { .. } => "schema-mismatch",
            Self::Corrupt { .. } => "corrupt",
            Self::Missing { .. } => "missing",
            Self::Exists { .. } => "exists",
            Self::Locked { .. } => "locked",
            Self::Rebuilding { .. } => "rebuilding",
            Self::Busy { .. } => "busy",
            Self::Full { .. } => "full",
            Self::Io { .. } => "io",
            Self::Sqlite { .. } => "sqlite",
            Self::Archive { .. } => "archive",
            Self::CalledOff { .. } => "called-off",
            Self::Abandoned { .. } => "abandoned",
        }
    }

    /// For `map_err` on file operations.
    pub(super) fn io(path: &Path) -> impl FnOnce(std::io::Error) -> Self {
        |source| Self::Io { path: path.into(), source }
    }
}

/// An error that does not yet know its file: what the inside of this room and of `query` return.
#[derive(Debug)]
pub(crate) enum Fault {
    /// SQLite's own.
    Sqlite(rusqlite::Error),
    /// A row that this version could not have written.
    Row(&'static str),
    /// See [`IndexError::Archive`].
    Archive(Did, BlockError),
}

impl From<rusqlite::Error> for Fault {
    fn from(error: rusqlite::Error) -> Self {
        Self::Sqlite(error)
    }
}

impl Fault {
    /// The error for the file at `path`; also for `map_err(Fault::at(path))`.
    pub(crate) fn at<F: Into<Self>>(path: &Path) -> impl FnOnce(F) -> IndexError {
        move |fault| {
            let path = path.to_path_buf();
            match fault.into() {
                Self::Row(detail) => IndexError::Corrupt { path, detail: detail.into() },
                Self::Archive(did, source) => IndexError::Archive { did, source },
                Self::Sqlite(source) => by_code(path, source),
            }
        }
    }
}

fn by_code(path: PathBuf, source: rusqlite::Error) -> IndexError {
    use rusqlite::ErrorCode;
    match source.sqlite_error_code() {
        Some(ErrorCode::NotADatabase) => IndexError::NotSqlite { path },
        Some(ErrorCode::DatabaseCorrupt) => IndexError::Corrupt { path, detail: source.to_string() },
        Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked) => IndexError::Busy { path },
        Some(ErrorCode::DiskFull) => IndexError::Full { path },
        Some(ErrorCode::OperationInterrupted) => IndexError::CalledOff { path },
        Some(
            ErrorCode::SystemIoFailure
            | ErrorCode::CannotOpen
            | ErrorCode::ReadOnly
            | ErrorCode::PermissionDenied,
        ) => IndexError::Io { path, source: std::io::Error::other(source) },
        _ => IndexError::Sqlite { path, source },
    }
}
