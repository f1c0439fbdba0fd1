//! The log's way back into the file, beside the writer.
//!
//! SQLite has whoever commits beyond a limit copy the log back and wait for the disk. That is a tenth of a writer's work,
//! and a quarter of a second without a row each time. Here a thread with a connection of its own does it before that limit is
//! reached; it keeps nobody waiting, and what is written meanwhile waits for the next time. Deliberately absent: anything
//! that must happen. Where the thread fails or is too slow, the writer does it after all.

use std::path::{Path, PathBuf};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread::JoinHandle;

use rusqlite::Connection;

use super::{IndexError, schema};

/// How many pages of the log make it worth the disk's time: a third of what makes the writer do it.
const WORTHWHILE: i64 = 10_000;

/// Tells how long the log is, and how much of it is in the file.
const LOOK: &str = "pragma wal_checkpoint(noop)";

/// Waits for nobody, and leaves what somebody is reading.
const WRITE_BACK: &str = "pragma wal_checkpoint(passive)";

/// Writes the log of one file back. Ends when it is dropped.
#[derive(Debug)]
pub(super) struct WriteBack {
    path: PathBuf,
    worthwhile: i64,
    /// Started when it is first needed: most indexes are small.
    running: Option<Running>,
}

#[derive(Debug)]
struct Running {
    wake: SyncSender<()>,
    thread: JoinHandle<Result<(), IndexError>>,
}

impl WriteBack {
    pub(super) fn new(path: &Path) -> Self {
        Self { path: path.into(), worthwhile: WORTHWHILE, running: None }
    }

    /// Has the log written back if it is worthwhile. To be called after a transaction; `conn` is the writer's.
    pub(super) fn look(&mut self, conn: &Connection) {
        if waiting(conn).unwrap_or(0) < self.worthwhile {
            return;
        }
        let running = self.running.get_or_insert_with(|| {
            let (wake, orders) = sync_channel(1);
            let path = self.path.clone();
            Running { wake, thread: std::thread::spawn(move || work(&path, &orders)) }
        });
        // If one order waits already, there is no need for another.
        let _ = running.wake.try_send(());
    }

    /// Waits until nobody but the writer has the file open to write.
    pub(super) fn end(&mut self) {
        if let Some(Running { wake, thread }) = self.running.take() {
            drop(wake);
            if let Ok(Err(error)) = thread.join() {
                tracing::warn!(%error, "the log was left to the writer");
            }
        }
    }
}

impl Drop for WriteBack {
    fn drop(&mut self) {
        self.end();
    }
}

fn work(path: &Path, orders: &Receiver<()>) -> Result<(), IndexError> {
    let conn = schema::connect_writer(path)?;
    for () in orders {
        conn.query_row(WRITE_BACK, [], |_| Ok(())).map_err(super::Fault::at(path))?;
    }
    Ok(())
}

/// Pages of the log that are not in the file.
fn waiting(conn: &Connection) -> rusqlite::Result<i64> {
    let mut statement = conn.prepare_cached(LOOK)?;
    statement.query_row([], |row| Ok(row.get::<_, i64>("log")? - row.get::<_, i64>("checkpointed")?))
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;
    use crate::index::Index;

    #[test]
    fn a_long_log_is_written_back_and_a_short_one_is_left() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("index.db");
        Index::create(&path).unwrap();
        let conn = schema::connect_writer(&path).unwrap();
        let add = |range: std::ops::Range<u32>| {
            for number in range {
                conn.execute("insert into did (did) values (?)", [format!("did:web:{number}.example")])
                    .unwrap();
            }
        };
        let mut write_back = WriteBack::new(&path);
        write_back.worthwhile = 100;
        add(0..10);
        write_back.look(&conn);
        assert!(write_back.running.is_none());
        add(10..200);
        let before = waiting(&conn).unwrap();
        assert!(before >= 100, "{before} pages");
        write_back.look(&conn);
        write_back.end();
        assert_eq!(waiting(&conn).unwrap(), 0);
        // It can be needed again.
        add(200..400);
        write_back.look(&conn);
        drop(write_back);
        assert_eq!(waiting(&conn).unwrap(), 0);
    }
}
