//! A new file beside the old one: filled, checked, swapped in by one rename.
//!
//! Until then the old file is untouched, goes on serving readers, and may have a writer; after it, readers that are open
//! keep the old file until they are dropped. The swap needs the right to write the old file: what a writer would add to it
//! from then on would be lost. One file at a time is built beside an index, over all processes.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rusqlite::Connection;

use super::lock::{RebuildLock, SwapLock, WriterLock, companion};
use super::{Fault, Index, IndexError, IndexReader, IndexWriter, feed, schema, standing};
use crate::record::Catalog;

/// What SQLite may leave beside a file.
const COMPANIONS: [&str; 3] = ["-journal", "-wal", "-shm"];

/// Waits for readers of older snapshots.
const WRITE_BACK: &str = "pragma wal_checkpoint(full)";

/// Waits for every reader, and empties the log.
pub(super) const WRITE_BACK_AND_EMPTY: &str = "pragma wal_checkpoint(truncate)";

/// The indexes that can wait until all rows are there. Those that are unique answer where a record stands.
const LATE_INDEXES: &str = "
    select name, sql from sqlite_schema
     where type = 'index' and sql is not null and sql not like 'create unique%'";

/// What stands beside an index while it is built anew. Removed when it is dropped.
#[derive(Debug)]
struct Beside {
    index: PathBuf,
    file: PathBuf,
    _lock: RebuildLock,
}

impl Beside {
    fn new(index: &Path) -> Result<Self, IndexError> {
        let lock = RebuildLock::acquire(index)?;
        let file = companion(index, ".rebuilding");
        remove(&file)?;
        Ok(Self { index: index.into(), file, _lock: lock })
    }
}

impl Drop for Beside {
    fn drop(&mut self) {
        // A leftover is removed by the next rebuild.
        let _ = remove(&self.file);
    }
}

/// A new index that is being filled beside the one at its path. Dropped, it is gone.
#[derive(Debug)]
pub struct Building {
    writer: IndexWriter,
    /// The statements that make the secondary indexes.
    late: String,
    beside: Beside,
}

/// A new index, whole and checked, beside the one at its path. Dropped, it is gone.
#[derive(Debug)]
pub struct Rebuilt {
    index: Index,
    catalog: Arc<Catalog>,
    beside: Beside,
}

impl Index {
    /// Begins a new index beside the one at `path`, if there is one, which goes on being read and written.
    ///
    /// # Errors
    ///
    /// [`IndexError::Rebuilding`] while another one is built there; [`IndexError::Foreign`] and [`IndexError::NotSqlite`]
    /// where `path` is not ours to replace.
    pub fn build(path: impl AsRef<Path>, catalog: impl Into<Arc<Catalog>>) -> Result<Building, IndexError> {
        let path = path.as_ref();
        let beside = Beside::new(path)?;
        schema::verify_replaceable(path)?;
        let conn = schema::connect_bulk(&beside.file)?;
        let late = drop_late_indexes(&conn).map_err(Fault::at(&beside.file))?;
        let writer = IndexWriter::bulk(&beside.file, conn, catalog.into())?;
        Ok(Building { writer, late, beside })
    }

    /// Fills a new index and puts it in the place of the one at `path`, if there is one, which has no writer meanwhile.
    ///
    /// Whatever goes wrong, the old file stays as it was, and the new one is removed.
    ///
    /// # Errors
    ///
    /// Those of `fill`, of [`Index::build`], of [`Building::finish`] and of [`Rebuilt::swap_in`].
    pub fn rebuild<E: From<IndexError>>(
        path: impl AsRef<Path>,
        catalog: impl Into<Arc<Catalog>>,
        fill: impl FnOnce(&mut IndexWriter) -> Result<(), E>,
    ) -> Result<Self, E> {
        let path = path.as_ref();
        let _lock = WriterLock::acquire(path)?;
        let mut building = Self::build(path, catalog)?;
        fill(building.writer())?;
        building.finish()?.put()?;
        Ok(Self { path: path.into() })
    }
}

impl Building {
    /// A writer in bulk mode: no journal, no secondary indexes, no waiting for the disk, some four times faster than
    /// live.
    pub const fn writer(&mut self) -> &mut IndexWriter {
        &mut self.writer
    }

    /// Makes an ordinary index of it, on disk and checked from end to end.
    ///
    /// # Errors
    ///
    /// [`IndexError::Abandoned`] if a batch failed; [`IndexError::Corrupt`] if it fails its check.
    pub fn finish(self) -> Result<Rebuilt, IndexError> {
        let Self { writer, late, beside } = self;
        let catalog = writer.catalog();
        let conn = writer.into_connection()?;
        finish(&conn, &late).map_err(Fault::at(&beside.file))?;
        drop(conn);
        seal(&beside.file)?;
        check(&beside.file)?;
        Ok(Rebuilt { index: Index { path: beside.file.clone() }, catalog, beside })
    }
}

impl Rebuilt {
    /// The new index, to be read, and written like any other, as long as it stands beside.
    #[must_use]
    pub const fn index(&self) -> &Index {
        &self.index
    }

    /// Puts it in the place of the index that `writer` writes, and gives back a writer of the new one. Nobody else can
    /// write in between, and no read fails.
    ///
    /// # Errors
    ///
    /// [`IndexError::Busy`] if a reader of an older snapshot keeps the old file's log from being written back for longer
    /// than five seconds, or the new file is being read or written. The old file is as it was then.
    pub fn swap(self, writer: IndexWriter) -> Result<IndexWriter, IndexError> {
        let lock = writer.into_lock()?;
        self.put()?;
        IndexWriter::locked(&self.beside.index, Arc::clone(&self.catalog), lock)
    }

    /// The same where the old index has no writer, or there is no old one.
    ///
    /// # Errors
    ///
    /// As [`Rebuilt::swap`], and [`IndexError::Locked`] if it has a writer.
    pub fn swap_in(self) -> Result<Index, IndexError> {
        let _lock = WriterLock::acquire(&self.beside.index)?;
        self.put()?;
        Ok(Index { path: self.beside.index.clone() })
    }

    fn put(&self) -> Result<(), IndexError> {
        go_on_after(&self.beside.index, &self.beside.file)?;
        // What was written since it was checked.
        seal(&self.beside.file)?;
        swap(&self.beside.file, &self.beside.index)
    }
}

/// Makes an empty index, at once or not at all. The caller has the writer's lock.
pub(super) fn create(path: &Path) -> Result<(), IndexError> {
    let beside = companion(path, ".creating");
    remove(&beside)?;
    drop(schema::connect_bulk(&beside)?);
    seal(&beside)?;
    swap(&beside, path)
}

/// Returns the statements that make the dropped indexes again.
fn drop_late_indexes(conn: &Connection) -> Result<String, Fault> {
    let mut statement = conn.prepare(LATE_INDEXES)?;
    let indexes = statement
        .query_map([], |row| Ok((row.get(0)?, row.get(1)?)))?
        .collect::<Result<Vec<(String, String)>, _>>()?;
    let mut late = String::new();
    for (name, sql) in indexes {
        conn.execute_batch(&format!("drop index {name}"))?;
        late.push_str(&sql);
        late.push(';');
    }
    Ok(late)
}

/// Makes the indexes, and what could not be derived without them.
fn finish(conn: &Connection, late: &str) -> Result<(), Fault> {
    conn.execute_batch(late)?;
    conn.execute_batch("begin")?;
    standing::settle_all(conn)?;
    Ok(conn.execute_batch("commit")?)
}

/// Moves the feed of the file beside behind that of the old one, which may have gone on meanwhile: a place in the one is
/// never taken for a place in the other, and whoever has one of the old is told everything again.
fn go_on_after(path: &Path, beside: &Path) -> Result<(), IndexError> {
    // A file without a feed that can be read has no consumers that could be told anything.
    let Some(newest) = schema::connect_replaced(path)?.and_then(|old| feed::newest(&old).ok()) else {
        return Ok(());
    };
    let mut conn = schema::connect_writer(beside)?;
    feed::move_after(&mut conn, newest).map_err(Fault::at(beside))?;
    close(beside, conn)
}

/// Leaves bulk mode for good and waits until the file is on disk.
fn seal(beside: &Path) -> Result<(), IndexError> {
    let conn = schema::connect_writer(beside)?;
    conn.execute_batch("pragma journal_mode = wal").map_err(Fault::at(beside))?;
    // It is renamed without its log.
    write_back_log(beside, &conn, WRITE_BACK_AND_EMPTY)?;
    close(beside, conn)?;
    File::open(beside).and_then(|file| file.sync_all()).map_err(IndexError::io(beside))
}

fn check(beside: &Path) -> Result<(), IndexError> {
    let checked = IndexReader::open(beside)?.check(|_| ())?;
    match checked.damage.first() {
        None => Ok(()),
        Some(first) => Err(IndexError::Corrupt { path: beside.into(), detail: first.to_string() }),
    }
}

fn swap(beside: &Path, path: &Path) -> Result<(), IndexError> {
    if let Some(old) = schema::connect_replaced(path)? {
        write_back_log(path, &old, WRITE_BACK)?;
        close(path, old)?;
    }
    fail::fail_point!("index::before-swap");
    let _swapping = SwapLock::for_swapping(path)?;
    // The old file is whole without its log from here on. The log must not outlive it under this name: SQLite would
    // replay it into the new file. Readers that have it open keep both.
    for suffix in COMPANIONS {
        remove_file(&companion(path, suffix))?;
    }
    std::fs::rename(beside, path).map_err(IndexError::io(path))?;
    sync_directory(path)?;
    // A reader of the new file while it was checked may have left an empty log.
    remove(beside)?;
    fail::fail_point!("index::after-swap");
    Ok(())
}

/// Brings every page of the log into the file itself, by one of the statements below.
pub(super) fn write_back_log(path: &Path, conn: &Connection, sql: &str) -> Result<(), IndexError> {
    let busy: bool = conn.query_row(sql, [], |row| row.get(0)).map_err(Fault::at(path))?;
    if busy {
        return Err(IndexError::Busy { path: path.into() });
    }
    Ok(())
}

fn close(path: &Path, conn: Connection) -> Result<(), IndexError> {
    conn.close().map_err(|(_, error)| Fault::at(path)(error))
}

fn sync_directory(path: &Path) -> Result<(), IndexError> {
    // A bare file name has an empty parent.
    let parent = path.parent().filter(|parent| !parent.as_os_str().is_empty());
    let directory = parent.unwrap_or(Path::new("."));
    File::open(directory).and_then(|directory| directory.sync_all()).map_err(IndexError::io(directory))
}

fn remove(beside: &Path) -> Result<(), IndexError> {
    remove_file(beside)?;
    for suffix in [".swap", ".lock"].into_iter().chain(COMPANIONS) {
        remove_file(&companion(beside, suffix))?;
    }
    Ok(())
}

fn remove_file(path: &Path) -> Result<(), IndexError> {
    match std::fs::remove_file(path) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(IndexError::io(path)(error)),
        _ => Ok(()),
    }
}
