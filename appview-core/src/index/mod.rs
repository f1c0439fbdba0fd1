//! The index: one SQLite file that holds every record of the followed repositories.
//!
//! Proven [`Change`](crate::sync::Change)s enter through the one [`IndexWriter`]; rows leave through [`IndexReader`]s,
//! whose questions are the `query` room's. Rows, the heads of the repositories' chains, cursors and fingerprints of one
//! batch are written in one transaction. Deliberately absent: proofs (a change that reaches this room has been
//! verified), the network, and migrations (a file of another schema is rebuilt, since nothing in it is precious).

mod batch;
mod check;
mod error;
mod feed;
mod fingerprint;
mod intern;
mod lock;
mod merge;
mod project;
mod reader;
mod readers;
mod rebuild;
mod record;
mod recount;
mod regrade;
mod schema;
mod serve;
mod single_use;
mod standing;
mod state;
mod tally;
mod total;
mod write_back;
mod writer;

use std::path::{Path, PathBuf};
use std::sync::Arc;

pub use check::{Checked, Damage};
pub(crate) use error::Fault;
pub use error::IndexError;
pub use feed::{FEED_RETENTION, FeedSeq};
pub(crate) use feed::{floor as feed_floor, newest as feed_newest};
pub use fingerprint::Fingerprint;
pub(crate) use project::link_key;
pub use reader::IndexReader;
pub use readers::Readers;
pub use rebuild::{Building, Rebuilt};
pub use schema::{APPLICATION_ID, SCHEMA_VERSION};
pub(crate) use single_use::SingleUse;
pub(crate) use standing::{LatencyOf, found_in};
pub use state::RepoStates;
pub(crate) use state::{hosting, tid};
pub(crate) use total::{Group, HOUR, Hours, Sum, WEEK, start_of, week_of};
pub use writer::{Applied, IndexWriter, Refused};

use crate::record::{Catalog, Collection};

/// The integer that stands for a collection with a lexicon, the same in every index.
pub(crate) const fn number_of(collection: Collection) -> i64 {
    collection as i64 + 1
}

/// An index file that has been opened: ours, of this schema, and undamaged as far as SQLite can tell.
///
/// Holds no connection: [`Index::reader`] and [`Index::writer`] make them.
#[derive(Debug, Clone)]
pub struct Index {
    path: PathBuf,
}

impl Index {
    /// Opens the index at `path`, or creates it where there is no file.
    ///
    /// Reads the whole file to look for damage of its structure, about a second for each gigabyte.
    ///
    /// # Errors
    ///
    /// [`IndexError::NotSqlite`], [`IndexError::Foreign`], [`IndexError::SchemaMismatch`] and [`IndexError::Corrupt`]
    /// for a file that is not a sound index of this version; it is left as it is.
    pub fn open(path: impl AsRef<Path>) -> Result<Self, IndexError> {
        let path = path.as_ref();
        if !schema::exists(path)? {
            let _lock = lock::WriterLock::acquire(path)?;
            // Whoever held the lock a moment ago may have created it.
            if !schema::exists(path)? {
                rebuild::create(path)?;
            }
        }
        schema::verify(path)?;
        Ok(Self { path: path.into() })
    }

    /// Opens the index at `path` to read it, by its marks alone: at once, however large it is.
    ///
    /// Creates no index, and asks for no right to write where SQLite doesn't: its own companions of the file (`-wal`,
    /// `-shm`) must be there, as they are while a writer runs, or in a folder where they can be made.
    ///
    /// # Errors
    ///
    /// [`IndexError::Missing`] where there is no file; otherwise those of [`Index::open`] that concern the file's kind.
    pub fn open_existing(path: impl AsRef<Path>) -> Result<Self, IndexError> {
        let path = path.as_ref();
        if !schema::exists(path)? {
            return Err(IndexError::Missing { path: path.into() });
        }
        schema::connect_reader(path)?;
        Ok(Self { path: path.into() })
    }

    /// Creates an index where there is no file.
    ///
    /// # Errors
    ///
    /// [`IndexError::Exists`] if there is one.
    pub fn create(path: impl AsRef<Path>) -> Result<Self, IndexError> {
        let path = path.as_ref();
        let _lock = lock::WriterLock::acquire(path)?;
        if schema::exists(path)? {
            return Err(IndexError::Exists { path: path.into() });
        }
        rebuild::create(path)?;
        Ok(Self { path: path.into() })
    }

    /// Where the file is.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Opens a connection that reads: one snapshot of the index, the newest at this moment.
    ///
    /// # Errors
    ///
    /// Those of [`Index::open`] that concern the file's kind, and failing input.
    pub fn reader(&self) -> Result<IndexReader, IndexError> {
        IndexReader::open(&self.path)
    }

    /// Writes the log back into the file and empties it, beside whoever writes: no byte of what was erased before is left in either.
    ///
    /// # Errors
    ///
    /// [`IndexError::Busy`] as long as a reader is open that may need the log: try again.
    pub fn clear_log(&self) -> Result<(), IndexError> {
        let conn = schema::connect_writer(&self.path)?;
        rebuild::write_back_log(&self.path, &conn, rebuild::WRITE_BACK_AND_EMPTY)
    }

    /// Opens the one connection that writes.
    ///
    /// If the verdicts in the file are by another set of lexicons than `catalog`, every record is judged again first, at
    /// some 20 microseconds each. That goes on where it stopped if the process ends meanwhile.
    ///
    /// # Errors
    ///
    /// [`IndexError::Locked`] while there is another writer, in this process or elsewhere.
    pub fn writer(&self, catalog: impl Into<Arc<Catalog>>) -> Result<IndexWriter, IndexError> {
        IndexWriter::open(&self.path, catalog.into())
    }
}
