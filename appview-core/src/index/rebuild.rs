//! A new file beside the old one: filled, checked, swapped in by one rename.
//!
//! Until then the old file is untouched and goes on serving readers; after it, readers that are open keep the old file
//! until they are dropped. The old file has no writer meanwhile, because the rebuild holds the writer's lock: what a
//! writer would add to the old file would be lost with it.

use std::fs::File;
use std::path::Path;
use std::sync::Arc;

use rusqlite::Connection;

use super::feed::FeedSeq;
use super::lock::{SwapLock, WriterLock, companion};
use super::{Fault, Index, IndexError, IndexReader, IndexWriter, feed, schema};
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

impl Index {
    /// Fills a new index and puts it in the place of the one at `path`, if there is one.
    ///
    /// `fill` gets a writer in bulk mode: no journal, no secondary indexes, no waiting for the disk, some four times
    /// faster than live. The new file stands beside the old one until all of it has been checked and is on disk.
    /// Whatever goes wrong, the old file stays as it was, and the new one is removed.
    ///
    /// # Errors
    ///
    /// Those of `fill`; [`IndexError::Foreign`] and [`IndexError::NotSqlite`] where `path` is not ours to replace;
    /// [`IndexError::Locked`] while the old file has a writer; [`IndexError::Corrupt`] if the new file fails its check;
    /// [`IndexError::Busy`] if a reader of an older snapshot keeps the old file's log from being written back for longer than
    /// five seconds.
    pub fn rebuild<E: From<IndexError>>(
        path: impl AsRef<Path>,
        catalog: impl Into<Arc<Catalog>>,
        fill: impl FnOnce(&mut IndexWriter) -> Result<(), E>,
    ) -> Result<Self, E> {
        let path = path.as_ref();
        let _lock = WriterLock::acquire(path)?;
        // A file without a feed that can be read has no consumers that could be told anything.
        let replaced = schema::connect_replaced(path)?.and_then(|old| feed::newest(&old).ok());
        let beside = companion(path, ".rebuilding");
        remove(&beside)?;
        let built = build(&beside, catalog.into(), replaced, fill)
            .and_then(|()| check(&beside).map_err(E::from))
            .and_then(|()| swap(&beside, path).map_err(E::from));
        if let Err(error) = built {
            // The first error is the one to tell; a leftover is removed by the next rebuild.
            let _ = remove(&beside);
            return Err(error);
        }
        Ok(Self { path: path.into() })
    }
}

/// Makes an empty index, at once or not at all. The caller has the writer's lock.
pub(super) fn create(path: &Path) -> Result<(), IndexError> {
    let beside = companion(path, ".rebuilding");
    remove(&beside)?;
    drop(schema::connect_bulk(&beside)?);
    seal(&beside)?;
    swap(&beside, path)
}

fn build<E: From<IndexError>>(
    beside: &Path,
    catalog: Arc<Catalog>,
    replaced: Option<FeedSeq>,
    fill: impl FnOnce(&mut IndexWriter) -> Result<(), E>,
) -> Result<(), E> {
    let conn = schema::connect_bulk(beside)?;
    if let Some(replaced) = replaced {
        feed::begin_after(&conn, replaced).map_err(Fault::at(beside))?;
    }
    let late = drop_late_indexes(&conn).map_err(Fault::at(beside))?;
    let mut writer = IndexWriter::bulk(beside, conn, catalog)?;
    fill(&mut writer)?;
    let conn = writer.into_connection()?;
    conn.execute_batch(&late).map_err(Fault::at(beside))?;
    drop(conn);
    seal(beside)?;
    Ok(())
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

/// Leaves bulk mode for good and waits until the file is on disk.
fn seal(beside: &Path) -> Result<(), IndexError> {
    let conn = schema::connect_writer(beside)?;
    conn.execute_batch("pragma journal_mode = wal").map_err(Fault::at(beside))?;
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
