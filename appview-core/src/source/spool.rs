//! Exports on disk while they arrive and are proven: files without a name in one folder, bounded in their sum (feature `net`).
//!
//! Bytes enter as they come; an [`Archive`] leaves, which gives its room back when it is gone, wherever that is.
//! Deliberately absent: who has room first. Whoever finds none is to come back later: each would wait for what the others
//! hold already.

use std::fs::File;
use std::io::{Seek as _, Write as _};
use std::path::PathBuf;
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
        let file = tempfile::tempfile_in(&self.folder).map_err(BlockError::from)?;
        Ok(Spooled { file, room: Arc::clone(&self.room), taken: None })
    }
}

/// One export, as far as it has arrived.
#[derive(Debug)]
pub(super) struct Spooled {
    file: File,
    room: Arc<Semaphore>,
    taken: Option<OwnedSemaphorePermit>,
}

impl Spooled {
    /// Adds what has arrived, if there is room for it. A local file: writing a chunk of the network's pace does not keep anyone
    /// waiting.
    pub(super) fn write(&mut self, bytes: &[u8]) -> Result<(), PdsError> {
        let room = Arc::clone(&self.room);
        let more = u32::try_from(bytes.len()).ok().and_then(|bytes| room.try_acquire_many_owned(bytes).ok());
        let more = more.ok_or(PdsError::NoRoom)?;
        match &mut self.taken {
            Some(taken) => taken.merge(more),
            taken @ None => *taken = Some(more),
        }
        Ok(self.file.write_all(bytes).map_err(BlockError::from)?)
    }

    /// Opens what has arrived.
    pub(super) fn open(mut self) -> Result<Archive, BlockError> {
        self.file.rewind()?;
        Archive::from_file_keeping(self.file, self.taken)
    }
}
