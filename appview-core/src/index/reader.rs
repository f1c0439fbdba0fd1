//! A snapshot of the index that can be asked.

use std::path::{Path, PathBuf};

use rusqlite::{Connection, InterruptHandle};

use super::{Fault, IndexError, RepoStates, schema, state};
use crate::sync::{Followed, RepoState, StreamCursor};
use crate::syntax::Did;

/// One state of the index: whatever is written meanwhile, all questions to one reader are answered from the same.
///
/// Costs a file handle and up to 4 MB of cache. Short-lived by design: as long as it is open, the writer's log can't be
/// written back. [`IndexReader::refresh`] moves a reader that is kept to the newest state. After a rebuild, a reader that
/// was opened before goes on with the old file.
#[derive(Debug)]
pub struct IndexReader {
    path: PathBuf,
    conn: Connection,
}

impl IndexReader {
    pub(super) fn open(path: &Path) -> Result<Self, IndexError> {
        let reader = Self { path: path.into(), conn: schema::connect_reader(path)? };
        reader.begin()?;
        Ok(reader)
    }

    /// Moves to the newest state.
    ///
    /// # Errors
    ///
    /// Failing input.
    pub fn refresh(&mut self) -> Result<(), IndexError> {
        if !self.conn.is_autocommit() {
            self.end()?;
        }
        self.begin()
    }

    /// Gives up the snapshot; [`IndexReader::refresh`] takes another.
    pub(super) fn release(self) -> Result<Self, IndexError> {
        self.end()?;
        Ok(self)
    }

    /// Ends what the connection is asked, from elsewhere.
    pub(super) fn interrupt_handle(&self) -> InterruptHandle {
        self.conn.get_interrupt_handle()
    }

    /// What is remembered of one repository; nothing if it is not followed.
    ///
    /// # Errors
    ///
    /// Failing input or damage.
    pub fn repo_state(&self, did: &Did) -> Result<Option<RepoState>, IndexError> {
        self.query(|conn| Ok(state::find(conn, did.as_str())?.map(|(_, state, _)| state)))
    }

    /// The same, with what the index remembers for itself.
    ///
    /// # Errors
    ///
    /// Failing input or damage.
    pub fn followed(&self, did: &Did) -> Result<Option<Followed>, IndexError> {
        let found = self.query(|conn| state::find(conn, did.as_str()))?;
        Ok(found.map(|(_, state, watch)| Followed { did: did.clone(), state, watch }))
    }

    /// What is remembered of every followed repository.
    #[must_use]
    pub fn repo_states(&self) -> RepoStates<'_> {
        RepoStates::new(&self.conn, &self.path)
    }

    /// How far each stream has been followed.
    ///
    /// # Errors
    ///
    /// Failing input or damage.
    pub fn cursors(&self) -> Result<Vec<StreamCursor>, IndexError> {
        self.query(state::cursors)
    }

    /// Asks the snapshot something.
    pub(crate) fn query<T>(
        &self,
        ask: impl FnOnce(&Connection) -> Result<T, Fault>,
    ) -> Result<T, IndexError> {
        ask(&self.conn).map_err(Fault::at(&self.path))
    }

    /// A read transaction takes its snapshot at its first read.
    fn begin(&self) -> Result<(), IndexError> {
        self.query(|conn| {
            conn.prepare_cached("begin")?.execute([])?;
            conn.prepare_cached("select 1 from judged")?.exists([])?;
            Ok(())
        })
    }

    fn end(&self) -> Result<(), IndexError> {
        self.query(|conn| {
            conn.prepare_cached("commit")?.execute([])?;
            Ok(())
        })
    }
}
