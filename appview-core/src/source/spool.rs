//! Exports on disk while they arrive and are proven: files without a name in one folder, bounded in their sum, and so are the
//! tables of their blocks in memory (feature `net`).
//!
//! Bytes enter as they come; an [`Archive`] leaves, which gives its room back when it is gone, wherever that is: proven, on its
//! way to the pump, or written. Deliberately absent: who has room first. Whoever finds none on disk is to come back later: each
//! would wait for what the others hold already. For memory all wait in line: who has it needs no more.

use std::fs::File;
use std::io::{Seek as _, Write as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::pds::PdsError;
use crate::block::BlockError;
use crate::block::car::Archive;
use crate::limits;

/// Bytes of all files together: the four exports that may take long have a half of it if each is as large as it may be, and
/// the others have the rest.
const ROOM: u64 = 8 * limits::EXPORT_BYTES;

/// Bytes of memory that all tables of blocks take together: as many as the largest table that an export may have.
const TABLES: usize = limits::ARCHIVE_BLOCKS * Archive::BYTES_PER_BLOCK;

/// Where exports are spooled; cheap to clone, one room for all clones.
#[derive(Debug, Clone)]
pub struct Spool {
    folder: PathBuf,
    /// A permit for each byte on disk.
    room: Arc<Semaphore>,
    /// A permit for each byte of memory.
    tables: Arc<Semaphore>,
}

impl Spool {
    /// Takes 8 GiB of the folder's disk at most, and 80 MB of memory.
    #[must_use]
    pub fn new(folder: PathBuf) -> Self {
        Self::with_room(folder, ROOM)
    }

    /// Takes so many bytes of the folder's disk at most, and 80 MB of memory.
    #[must_use]
    pub fn with_room(folder: PathBuf, bytes: u64) -> Self {
        let bytes = usize::try_from(bytes).unwrap_or(usize::MAX).min(Semaphore::MAX_PERMITS);
        Self { folder, room: Arc::new(Semaphore::new(bytes)), tables: Arc::new(Semaphore::new(TABLES)) }
    }

    pub(super) fn file(&self) -> Result<Spooled, PdsError> {
        let file = tempfile::tempfile_in(&self.folder).map_err(|error| failed(&self.folder, &error))?;
        Ok(self.spooled(file))
    }

    fn spooled(&self, file: File) -> Spooled {
        Spooled { file, bytes: 0, spool: self.clone(), taken: None }
    }
}

/// One export, as far as it has arrived.
#[derive(Debug)]
pub(super) struct Spooled {
    file: File,
    bytes: u64,
    spool: Spool,
    taken: Option<OwnedSemaphorePermit>,
}

impl Spooled {
    /// Adds what has arrived, if there is room for it. A local file: writing a chunk of the network's pace does not keep anyone
    /// waiting.
    pub(super) fn write(&mut self, bytes: &[u8]) -> Result<(), PdsError> {
        let room = Arc::clone(&self.spool.room);
        let more = u32::try_from(bytes.len()).ok().and_then(|bytes| room.try_acquire_many_owned(bytes).ok());
        let more = more.ok_or(PdsError::NoRoom)?;
        match &mut self.taken {
            Some(taken) => taken.merge(more),
            taken @ None => *taken = Some(more),
        }
        self.file.write_all(bytes).map_err(|error| failed(&self.spool.folder, &error))?;
        self.bytes = self.bytes.saturating_add(bytes.len() as u64);
        Ok(())
    }

    /// Waits until there is memory for the largest table that so many bytes can have. How many blocks they are is known only
    /// when the table is there.
    pub(super) async fn whole(self) -> Whole {
        let most = (self.bytes / Archive::SMALLEST_BLOCK).min(limits::ARCHIVE_BLOCKS as u64);
        let most = u32::try_from(most).unwrap_or(u32::MAX).saturating_mul(Archive::BYTES_PER_BLOCK as u32);
        // Nobody closes the semaphore, so there is always a permit.
        let table = Arc::clone(&self.spool.tables).acquire_many_owned(most).await.ok();
        Whole { spooled: self, table }
    }
}

/// One export that has arrived, with memory for the table of its blocks.
#[derive(Debug)]
pub(super) struct Whole {
    spooled: Spooled,
    table: Option<OwnedSemaphorePermit>,
}

impl Whole {
    /// Opens it.
    pub(super) fn open(self) -> Result<Archive, PdsError> {
        let Self { spooled: Spooled { mut file, spool, taken, .. }, table } = self;
        file.rewind().map_err(|error| failed(&spool.folder, &error))?;
        Archive::from_file_keeping(file, (taken, table)).map_err(|error| match error {
            // What the host sent is in the file; whether that can be read is not up to the host.
            BlockError::Io { kind } => failed(&spool.folder, &kind.into()),
            error => error.into(),
        })
    }
}

fn failed(folder: &Path, error: &std::io::Error) -> PdsError {
    PdsError::Disk { folder: folder.to_owned(), said: error.to_string() }
}

#[cfg(all(test, target_os = "linux"))]
#[expect(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;

    #[test]
    fn a_full_disk_is_told_with_the_folder_and_is_no_fault_of_what_was_to_be_written() {
        let spool = Spool::new("/dev".into());
        let full = File::options().write(true).open("/dev/full").unwrap();
        let error = spool.spooled(full).write(b"an export").unwrap_err();
        assert_eq!(error.label(), "disk");
        assert_eq!(
            error.to_string(),
            "cannot spool an export in /dev: No space left on device (os error 28)"
        );
    }
}
