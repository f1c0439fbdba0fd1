//! Who may write, who may build anew, and when nobody may open.
//!
//! Three files beside the index carry advisory locks, which the operating system drops with the process. They are files
//! of their own because closing any handle on the database itself would drop the locks that SQLite has on it.

use std::fs::{File, OpenOptions, TryLockError};
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use super::IndexError;

/// `path` with `suffix` after its last character, as SQLite names its own companions.
pub(super) fn companion(path: &Path, suffix: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(suffix);
    name.into()
}

/// Opens for writing, creating a file that nobody else may read.
pub(super) fn open_private(path: &Path) -> Result<File, IndexError> {
    private().open(path).map_err(IndexError::io(path))
}

fn private() -> OpenOptions {
    let mut options = OpenOptions::new();
    options.create(true).truncate(false).write(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    options
}

/// The right to write an index: one at a time, over all processes.
#[derive(Debug)]
pub(super) struct WriterLock {
    _file: File,
}

impl WriterLock {
    pub(super) fn acquire(index: &Path) -> Result<Self, IndexError> {
        let path = companion(index, ".lock");
        match try_lock(&path)? {
            Some(file) => Ok(Self { _file: file }),
            None => Err(IndexError::Locked { path: index.into(), lock: path }),
        }
    }
}

/// The right to build an index anew beside the old one: one at a time, over all processes. The lock's file stays: whoever
/// removed it could take it from under one who is about to lock it.
#[derive(Debug)]
pub(super) struct RebuildLock {
    _file: File,
}

impl RebuildLock {
    pub(super) fn acquire(index: &Path) -> Result<Self, IndexError> {
        let path = companion(index, ".rebuild");
        match try_lock(&path)? {
            Some(file) => Ok(Self { _file: file }),
            None => Err(IndexError::Rebuilding { path: index.into(), lock: path }),
        }
    }
}

/// Nothing if another one has it.
fn try_lock(path: &Path) -> Result<Option<File>, IndexError> {
    let file = open_private(path)?;
    match file.try_lock() {
        Ok(()) => Ok(Some(file)),
        Err(TryLockError::WouldBlock) => Ok(None),
        Err(TryLockError::Error(source)) => Err(IndexError::Io { path: path.into(), source }),
    }
}

/// Held for the moment of opening a connection (shared) or of swapping the file under its name (exclusive), so that no
/// connection can get the old file with the new one's write-ahead log.
#[derive(Debug)]
pub(super) struct SwapLock {
    _file: File,
}

impl SwapLock {
    /// None for whoever may not even read the lock's file: a reader with so few rights does without.
    pub(super) fn for_opening(index: &Path) -> Result<Option<Self>, IndexError> {
        let path = companion(index, ".swap");
        let opened = match File::open(&path) {
            // Nobody has swapped or opened here yet.
            Err(error) if error.kind() == ErrorKind::NotFound => private().open(&path),
            opened => opened,
        };
        match opened {
            Ok(file) => {
                file.lock_shared().map_err(IndexError::io(&path))?;
                Ok(Some(Self { _file: file }))
            }
            Err(error)
                if matches!(error.kind(), ErrorKind::PermissionDenied | ErrorKind::ReadOnlyFilesystem) =>
            {
                Ok(None)
            }
            Err(error) => Err(IndexError::io(&path)(error)),
        }
    }

    pub(super) fn for_swapping(index: &Path) -> Result<Self, IndexError> {
        let path = companion(index, ".swap");
        let file = open_private(&path)?;
        file.lock().map_err(IndexError::io(&path))?;
        Ok(Self { _file: file })
    }
}
