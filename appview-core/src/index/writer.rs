//! The one writer: changes in, one transaction out.
//!
//! Proven changes and cursors enter. Rows, heads, states, tallies and cursors leave in one transaction, so that each of
//! them is on disk exactly if all are. Deliberately absent: any check of a proof, which the types of
//! [`Change`] vouch for, and any sense of time: the moment of a transaction is handed in.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use rusqlite::{Connection, TransactionBehavior};

use super::batch::{Batch, Remembered};
use super::feed::{self, FEED_RETENTION, FeedSeq};
use super::lock::WriterLock;
use super::write_back::WriteBack;
use super::{Fault, IndexError, RepoStates, rebuild, schema, state};
use crate::record::Catalog;
use crate::sync::{Change, RepoHead, RepoState, StreamCursor};
use crate::syntax::Did;

/// What one call of [`IndexWriter::apply`] did.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Applied {
    /// Records that were not there before.
    pub created: u64,
    /// Records whose content changed.
    pub updated: u64,
    /// Records that went away, those of erased repositories included.
    pub deleted: u64,
    /// Records put that were there already, with the same content.
    pub unchanged: u64,
    /// Changes left aside because the index had them already, or has erased the account.
    pub skipped: u64,
    /// Changes that do not follow what is stored. Nothing of them was written but that the repository has to be proven
    /// anew.
    pub refused: Vec<Refused>,
    /// The place of the newest change that the feed tells, be it of this call or an earlier one: whoever has read that
    /// far has read everything.
    pub feed: FeedSeq,
}

/// A change that does not follow what is stored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refused {
    /// The repository.
    pub did: Did,
    /// The head that the change was proven to follow.
    pub expected: Option<RepoHead>,
    /// The head that is stored.
    pub found: Option<RepoHead>,
}

/// The only connection that writes an index.
///
/// After an error nothing of the batch is in the file, and the same batch may be given again.
#[derive(Debug)]
pub struct IndexWriter {
    path: PathBuf,
    /// Ends before the connection does, so that the last to close the file is the writer.
    write_back: WriteBack,
    conn: Connection,
    catalog: Arc<Catalog>,
    remembered: Remembered,
    /// Where the feed stands after the last transaction; none before the first.
    newest: Option<FeedSeq>,
    feed_retention: Duration,
    mode: Mode,
}

#[derive(Debug)]
enum Mode {
    /// Holds the lock for as long as the writer lives.
    Live { lock: WriterLock },
    /// No journal: a transaction that fails leaves the file in no defined state.
    Bulk { failed: bool },
}

impl IndexWriter {
    pub(super) fn open(path: &Path, catalog: Arc<Catalog>) -> Result<Self, IndexError> {
        Self::locked(path, catalog, WriterLock::acquire(path)?)
    }

    /// For who has the lock already.
    pub(super) fn locked(path: &Path, catalog: Arc<Catalog>, lock: WriterLock) -> Result<Self, IndexError> {
        let conn = schema::connect_writer(path)?;
        let mut writer = Self::new(path, conn, catalog, Mode::Live { lock }, Remembered::default());
        while writer.judge_again()? {}
        Ok(writer)
    }

    pub(super) fn bulk(path: &Path, conn: Connection, catalog: Arc<Catalog>) -> Result<Self, IndexError> {
        let mut writer = Self::new(path, conn, catalog, Mode::Bulk { failed: false }, Remembered::bulk());
        while writer.judge_again()? {}
        Ok(writer)
    }

    fn new(path: &Path, conn: Connection, catalog: Arc<Catalog>, mode: Mode, remembered: Remembered) -> Self {
        Self {
            path: path.into(),
            write_back: WriteBack::new(path),
            conn,
            catalog,
            remembered,
            newest: None,
            feed_retention: FEED_RETENTION,
            mode,
        }
    }

    /// Writes changes, in their order, and the cursors they lead to, at the moment `now` (microseconds since the Unix
    /// epoch): all of it or nothing.
    ///
    /// A few hundred changes at a time cost far less each than one alone. Deterministic: the same changes applied to
    /// the same index lead to the same answers, and changes of different repositories may come in any order.
    ///
    /// # Errors
    ///
    /// [`IndexError::Full`], [`IndexError::Io`] and [`IndexError::Busy`] from below; [`IndexError::Archive`] if the
    /// blocks of a repository can't be read again. A change that does not fit is no error: see [`Applied::refused`].
    pub fn apply(
        &mut self,
        changes: &[Change],
        cursors: &[StreamCursor],
        now: u64,
    ) -> Result<Applied, IndexError> {
        fail::fail_point!("index::before-begin");
        let retention = self.feed_retention;
        let applied = self.transaction(now, |batch| {
            for change in changes {
                batch.change(change)?;
            }
            fail::fail_point!("index::mid-transaction");
            for cursor in cursors {
                batch.set_cursor(cursor)?;
            }
            batch.prune_feed(retention)?;
            Ok(batch.take_applied())
        })?;
        fail::fail_point!("index::after-commit");
        if let Mode::Live { .. } = self.mode {
            self.write_back.look(&self.conn);
        }
        Ok(applied)
    }

    /// For how long the feed tells of deletions and of what became of accounts; [`FEED_RETENTION`] if this is never
    /// called. A consumer that stays away for longer is told that it has missed some. What is older is removed bit by
    /// bit, whenever something is written.
    pub const fn set_feed_retention(&mut self, retention: Duration) {
        self.feed_retention = retention;
    }

    /// What is remembered of one repository; nothing if it is not followed.
    ///
    /// # Errors
    ///
    /// Failing input or damage.
    pub fn repo_state(&self, did: &Did) -> Result<Option<RepoState>, IndexError> {
        state::find(&self.conn, did.as_str())
            .map(|found| found.map(|(_, state, _)| state))
            .map_err(Fault::at(&self.path))
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
        state::cursors(&self.conn).map_err(Fault::at(&self.path))
    }

    /// Writes the log back into the file and empties it, after which no byte of an erased record is left in either.
    ///
    /// # Errors
    ///
    /// [`IndexError::Busy`] as long as a reader is open that may need the log.
    pub fn write_back_log(&mut self) -> Result<(), IndexError> {
        self.write_back.end();
        rebuild::write_back_log(&self.path, &self.conn, rebuild::WRITE_BACK_AND_EMPTY)
    }

    /// What records are judged by.
    pub(super) fn catalog(&self) -> Arc<Catalog> {
        Arc::clone(&self.catalog)
    }

    /// Ends writing, and keeps the right to write.
    pub(super) fn into_lock(mut self) -> Result<WriterLock, IndexError> {
        self.write_back.end();
        self.conn.close().map_err(|(_, error)| Fault::at(&self.path)(error))?;
        match self.mode {
            Mode::Live { lock } => Ok(lock),
            // Whoever fills a file in bulk mode has no file of its own to be replaced.
            Mode::Bulk { .. } => WriterLock::acquire(&self.path),
        }
    }

    /// Ends bulk mode.
    pub(super) fn into_connection(self) -> Result<Connection, IndexError> {
        match self.mode {
            Mode::Bulk { failed: true } => Err(IndexError::Abandoned { path: self.path }),
            Mode::Bulk { failed: false } | Mode::Live { .. } => Ok(self.conn),
        }
    }

    /// Runs `work` in one transaction, which is rolled back if it fails, and everything remembered with it.
    fn transaction<T>(
        &mut self,
        now: u64,
        work: impl FnOnce(&mut Batch<'_>) -> Result<T, Fault>,
    ) -> Result<T, IndexError> {
        if let Mode::Bulk { failed: true } = self.mode {
            return Err(IndexError::Abandoned { path: self.path.clone() });
        }
        let done = self.try_transaction(now, work);
        if done.is_err() {
            self.remembered.forget();
            if let Mode::Bulk { failed } = &mut self.mode {
                *failed = true;
            }
        }
        done.map_err(Fault::at(&self.path))
    }

    fn try_transaction<T>(
        &mut self,
        now: u64,
        work: impl FnOnce(&mut Batch<'_>) -> Result<T, Fault>,
    ) -> Result<T, Fault> {
        let transaction = self.conn.transaction_with_behavior(TransactionBehavior::Immediate)?;
        let newest = match self.newest {
            Some(newest) => newest,
            None => feed::newest(&transaction)?,
        };
        let mut batch = Batch::new(&transaction, &self.catalog, &mut self.remembered, now, newest);
        let done = work(&mut batch)?;
        batch.settle()?;
        batch.tallies.flush(&transaction)?;
        let newest = batch.newest;
        fail::fail_point!("index::before-commit");
        transaction.commit()?;
        self.newest = Some(newest);
        Ok(done)
    }

    /// Judges the next thousand records whose verdicts are by another set of lexicons; returns whether more may follow.
    fn judge_again(&mut self) -> Result<bool, IndexError> {
        self.transaction(0, |batch| batch.judge_again())
    }
}
