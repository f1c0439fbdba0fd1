//! Readers that are kept from one question to the next.
//!
//! Whoever asks gets a snapshot of its own, taken at that moment from a connection that nobody uses, and gives the
//! connection back. Deliberately absent: waiting. Where all connections are in use, another is opened; whoever answers
//! strangers bounds how many questions are answered at once.

use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};

use super::{Index, IndexError, IndexReader};

/// Connections to one index, cheap to clone.
///
/// Opening one costs about as much as twenty pages of a list, because SQLite reads the schema and each statement is prepared
/// anew; what is kept costs a snapshot.
#[derive(Debug, Clone)]
pub struct Readers {
    index: Index,
    idle: Arc<Mutex<Vec<Idle>>>,
    most: usize,
}

/// A connection without a snapshot.
#[derive(Debug)]
struct Idle {
    reader: IndexReader,
    file: FileId,
}

/// Which file a path leads to. A rebuild puts another one in its place.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct FileId(u64, u64);

impl Readers {
    /// Readers of `index`, of which at most `most` are kept while nobody uses them.
    #[must_use]
    pub fn new(index: Index, most: usize) -> Self {
        Self { index, idle: Arc::default(), most }
    }

    /// The index.
    #[must_use]
    pub const fn index(&self) -> &Index {
        &self.index
    }

    /// Asks the newest state of the index something. After a rebuild that is the new file's.
    ///
    /// # Errors
    ///
    /// What `ask` returns, and those of [`Index::reader`].
    pub fn read<T, E: From<IndexError>>(
        &self,
        ask: impl FnOnce(&IndexReader) -> Result<T, E>,
    ) -> Result<T, E> {
        let file = FileId::of(self.index.path())?;
        let kept = self.take(file);
        let reader = match kept {
            Some(mut reader) => {
                reader.refresh()?;
                reader
            }
            None => self.index.reader()?,
        };
        let answer = ask(&reader);
        self.give_back(reader, file);
        answer
    }

    /// A connection to the file that is in place; those to another one are closed.
    fn take(&self, file: FileId) -> Option<IndexReader> {
        let mut idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner);
        idle.retain(|kept| kept.file == file);
        idle.pop().map(|kept| kept.reader)
    }

    /// Keeps a connection without its snapshot, which would keep the writer's log from being written back.
    fn give_back(&self, reader: IndexReader, file: FileId) {
        if let Ok(reader) = reader.release() {
            let mut idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner);
            if idle.len() < self.most {
                idle.push(Idle { reader, file });
            }
        }
    }
}

impl FileId {
    #[cfg(unix)]
    fn of(path: &Path) -> Result<Self, IndexError> {
        use std::os::unix::fs::MetadataExt as _;
        let metadata = std::fs::metadata(path).map_err(IndexError::io(path))?;
        Ok(Self(metadata.dev(), metadata.ino()))
    }

    /// Where a file that is open cannot be replaced, there is only one.
    #[cfg(not(unix))]
    fn of(_: &Path) -> Result<Self, IndexError> {
        Ok(Self(0, 0))
    }
}
