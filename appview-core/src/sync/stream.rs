//! How far each stream has been handled, and how far its cursor may be saved.
//!
//! Sequence numbers enter as frames are handled, held and released; the watermark leaves. Deliberately absent: what the
//! frames said.

use std::collections::BTreeSet;

use super::change::StreamCursor;

/// One of the streams that a verifier listens to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct StreamId(pub(super) usize);

/// A frame's place: which stream, and where in it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Ticket {
    pub(super) stream: StreamId,
    pub(super) seq: i64,
    /// How often its repository was fetched because of it.
    pub(super) fetches: u8,
}

/// What a sequence number says about its frame.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Order {
    /// It comes after all before it.
    Next,
    /// It came before on this connection.
    Repeated,
    /// The first frame of a connection lies before the cursor we asked for: the service counts anew.
    Rewound,
}

#[derive(Debug)]
pub(super) struct Stream {
    endpoint: String,
    /// Newest frame handled, on this connection or before it.
    newest: Option<i64>,
    /// Newest frame of this connection.
    connection: Option<i64>,
    /// Frames that wait for something, and are lost with the process.
    held: BTreeSet<i64>,
}

impl Stream {
    pub(super) const fn new(endpoint: String, cursor: Option<i64>) -> Self {
        Self { endpoint, newest: cursor, connection: None, held: BTreeSet::new() }
    }

    pub(super) const fn newest(&self) -> Option<i64> {
        self.newest
    }

    pub(super) fn connect(&mut self) {
        self.connection = None;
    }

    /// Notes that a frame is about to be handled.
    pub(super) fn begin(&mut self, seq: i64) -> Order {
        let order = match (self.connection, self.newest) {
            (Some(last), _) if seq <= last => return Order::Repeated,
            // A cursor inside the window may bring its own event once more, nothing older.
            (None, Some(newest)) if seq < newest => Order::Rewound,
            _ => Order::Next,
        };
        if order == Order::Rewound {
            self.held.clear();
        }
        self.connection = Some(seq);
        self.newest = Some(seq);
        order
    }

    pub(super) fn hold(&mut self, seq: i64) {
        self.held.insert(seq);
    }

    pub(super) fn release(&mut self, seq: i64) {
        self.held.remove(&seq);
    }

    /// The cursor that may be saved: it stops before the oldest frame still waiting. Saving the newest one instead would
    /// skip that frame after a crash, unseen until its repository commits again.
    pub(super) fn watermark(&self) -> Option<StreamCursor> {
        let seq = match self.held.first() {
            Some(oldest) => oldest.saturating_sub(1),
            None => self.newest?,
        };
        // Zero would ask for the oldest event retained instead of for what comes next.
        (seq > 0).then(|| StreamCursor { endpoint: self.endpoint.clone(), seq })
    }
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;

    #[test]
    fn the_watermark_stops_before_the_oldest_frame_that_waits() {
        let mut stream = Stream::new("wss://relay".to_owned(), None);
        assert_eq!(stream.watermark(), None);
        for seq in [5, 6, 9] {
            assert_eq!(stream.begin(seq), Order::Next);
        }
        stream.hold(6);
        stream.hold(9);
        assert_eq!(stream.watermark().unwrap().seq, 5);
        stream.release(6);
        assert_eq!(stream.watermark().unwrap().seq, 8);
        stream.release(9);
        assert_eq!(stream.watermark().unwrap().seq, 9);
    }

    #[test]
    fn a_repeat_is_told_from_a_service_that_counts_anew() {
        let mut stream = Stream::new("wss://relay".to_owned(), Some(100));
        assert_eq!(stream.begin(100), Order::Next, "the event at the cursor may come again");
        assert_eq!(stream.begin(100), Order::Repeated);
        assert_eq!(stream.begin(99), Order::Repeated);
        stream.connect();
        assert_eq!(stream.begin(7), Order::Rewound);
        assert_eq!(stream.watermark().unwrap().seq, 7);
    }
}
