//! Frames of one repository that wait, in order, until its key or its export arrives.
//!
//! Frames enter and leave whole, oldest first. A full park does not grow and does not lose in silence: it forgets its
//! frames and remembers up to which revision it did. Deliberately absent: what they wait for.

use std::collections::VecDeque;

use super::stream::Ticket;
use crate::syntax::Tid;

/// Most frames that one repository may have waiting.
const FRAMES: usize = 256;
/// Most bytes that one repository may have waiting.
const BYTES: usize = 4 << 20;

#[derive(Debug)]
pub(super) struct Parked {
    pub(super) ticket: Ticket,
    pub(super) frame: Box<[u8]>,
}

#[derive(Debug, Default)]
pub(super) struct Park {
    frames: VecDeque<Parked>,
    bytes: usize,
    /// Newest revision among frames that were forgotten.
    forgotten: Option<Tid>,
}

impl Park {
    /// Adds a frame, of a commit or sync of the given revision, if there is `room` over all parks and in this one; gives
    /// back the tickets that are forgotten because there is not.
    pub(super) fn push(&mut self, parked: Parked, rev: Option<Tid>, room: usize) -> Vec<Ticket> {
        let fits = self.bytes.saturating_add(parked.frame.len()) <= BYTES && parked.frame.len() <= room;
        if self.frames.len() < FRAMES && fits {
            self.bytes = self.bytes.saturating_add(parked.frame.len());
            self.frames.push_back(parked);
            return Vec::new();
        }
        // Its newest frame is this one: revisions rise within a repository, except where someone lies.
        self.forgotten = self.forgotten.max(rev);
        let mut tickets: Vec<Ticket> = self.drain().map(|parked| parked.ticket).collect();
        tickets.push(parked.ticket);
        tickets
    }

    pub(super) const fn bytes(&self) -> usize {
        self.bytes
    }

    pub(super) fn drain(&mut self) -> impl Iterator<Item = Parked> + use<> {
        self.bytes = 0;
        std::mem::take(&mut self.frames).into_iter()
    }

    pub(super) fn iter(&self) -> impl DoubleEndedIterator<Item = &Parked> {
        self.frames.iter()
    }

    /// The newest revision that was forgotten since the last call.
    pub(super) const fn take_forgotten(&mut self) -> Option<Tid> {
        self.forgotten.take()
    }
}
