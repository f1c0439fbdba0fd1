//! Exports on disk while they arrive and are proven: files without a name in one folder, bounded in their sum (feature `net`).
//!
//! Bytes enter as they come; an [`Archive`] leaves, which gives its room back when it is gone, wherever that is.
//! Deliberately absent: who has room first. Whoever finds none is to come back later: each would wait for what the others
//! hold already.

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

/// Where exports are spooled; cheap to clone, one room for all clones.
#[derive(Debug, Clone)]
pub struct Spool {
    folder: PathBuf,
    /// A permit for each byte.
    room: Arc<Semaphore>,
}

impl Spool {
    /// Takes 8 GiB of the folder's disk at most.
    #[must_use]
    pub fn new(folder: PathBuf) -> Self {
        Self::with_room(folder, ROOM)
    }

    /// Takes so many bytes of the folder's disk at most.
    #[must_use]
    pub fn with_room(folder: PathBuf, bytes: u64) -> Self {
        let bytes = usize::try_from(bytes).unwrap_or(usize::MAX).min(Semaphore::MAX_PERMITS);
        Self { folder, room: Arc::new(Semaphore::new(bytes)) }
    }

    pub(super) fn file(&self) -> Result<Spooled, PdsError> {
        let file = tempfile::tempfile_in(&self.folder).map_err(|error| failed(&self.folder, &error))?;
        Ok(self.spooled(file))
    }

    fn spooled(&self, file: File) -> Spooled {
        Spooled { file, spool: self.clone(), taken: None }
    }
}

/// One export, as far as it has arrived.
#[derive(Debug)]
pub(super) struct Spooled {
    file: File,
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
        self.file.write_all(bytes).map_err(|error| failed(&self.spool.folder, &error))
    }

    /// Opens what has arrived.
    pub(super) fn open(mut self) -> Result<Archive, PdsError> {
        self.file.rewind().map_err(|error| failed(&self.spool.folder, &error))?;
        Archive::from_file_keeping(self.file, self.taken).map_err(|error| match error {
            // What the host sent is in the file; whether that can be read is not up to the host.
            BlockError::Io { kind } => failed(&self.spool.folder, &kind.into()),
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
