//! Readers that are kept from one question to the next.
//!
//! Whoever asks gets a snapshot of its own, taken at that moment from a connection that nobody uses, and gives the
//! connection back. A question can be called off from elsewhere ([`Recall`]). Deliberately absent: waiting. Where all
//! connections are in use, another is opened; whoever answers strangers bounds how many questions are answered at once.

use std::fmt;
use std::mem;
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use rusqlite::InterruptHandle;

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

/// By which a question is called off from elsewhere, because nobody waits for its answer any more; cheap to clone.
#[derive(Debug, Clone, Default)]
pub struct Recall(Arc<Mutex<Asking>>);

/// How far a question has come that may be called off.
#[derive(Default)]
enum Asking {
    #[default]
    NotYet,
    Of(InterruptHandle),
    CalledOff,
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
        self.read_until(&Recall::default(), ask)
    }

    /// The same, until it is called off.
    ///
    /// # Errors
    ///
    /// [`IndexError::CalledOff`], what `ask` returns, and those of [`Index::reader`].
    pub fn read_until<T, E: From<IndexError>>(
        &self,
        recall: &Recall,
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
        let answer = match recall.begin(reader.interrupt_handle()) {
            Ok(()) => ask(&reader),
            Err(()) => Err(IndexError::CalledOff { path: self.index.path().into() }.into()),
        };
        recall.end();
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

impl Recall {
    /// Has the question end with an error as soon as it reads on; if it has not begun, it won't. One that has ended is not
    /// touched, nor whatever its connection is asked next.
    pub fn call_off(&self) {
        if let Asking::Of(handle) = mem::replace(&mut *self.asking(), Asking::CalledOff) {
            handle.interrupt();
        }
    }

    fn begin(&self, handle: InterruptHandle) -> Result<(), ()> {
        let mut asking = self.asking();
        if matches!(*asking, Asking::CalledOff) {
            return Err(());
        }
        *asking = Asking::Of(handle);
        Ok(())
    }

    fn end(&self) {
        *self.asking() = Asking::CalledOff;
    }

    fn asking(&self) -> MutexGuard<'_, Asking> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for Asking {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::NotYet => "NotYet",
            Self::Of(_) => "Of(..)",
            Self::CalledOff => "CalledOff",
        })
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

#[cfg(test)]
#[expect(clippy::unwrap_used, clippy::panic, reason = "tests")]
mod tests {
    use std::sync::mpsc;
    use std::thread;

    use super::super::Fault;
    use super::*;

    /// Counts for as long as it is let, and tells when it has begun.
    fn endless(reader: &IndexReader, begun: &mpsc::Sender<()>) -> Result<u64, IndexError> {
        reader.query(|conn| {
            let sql = "with recursive n(x) as (select 1 union all select x + 1 from n) select x from n";
            let mut statement = conn.prepare_cached(sql)?;
            let mut rows = statement.query([])?;
            let mut count = 0;
            while rows.next()?.is_some() {
                if count == 0 {
                    begun.send(()).unwrap();
                }
                count += 1;
            }
            Ok::<_, Fault>(count)
        })
    }

    #[test]
    fn a_question_that_is_called_off_ends_and_the_next_is_answered() {
        let folder = tempfile::tempdir().unwrap();
        let readers = Readers::new(Index::open(folder.path().join("index.db")).unwrap(), 1);
        let recall = Recall::default();
        let (begun, beginning) = mpsc::channel();
        thread::scope(|scope| {
            let asked = scope.spawn(|| readers.read_until(&recall, |reader| endless(reader, &begun)));
            beginning.recv().unwrap();
            recall.call_off();
            let error = asked.join().unwrap().unwrap_err();
            assert!(matches!(error, IndexError::CalledOff { .. }), "{error}");
        });
        assert_eq!(readers.idle.lock().unwrap().len(), 1, "its connection is kept");
        // Once more, when the connection has another question.
        recall.call_off();
        readers.read(IndexReader::cursors).unwrap();
    }

    #[test]
    fn what_is_called_off_before_it_begins_is_not_asked() {
        let folder = tempfile::tempdir().unwrap();
        let readers = Readers::new(Index::open(folder.path().join("index.db")).unwrap(), 1);
        let recall = Recall::default();
        recall.call_off();
        let asked: Result<(), _> =
            readers.read_until(&recall, |_| -> Result<(), IndexError> { panic!("it is asked") });
        assert!(matches!(asked.unwrap_err(), IndexError::CalledOff { .. }));
    }
}
