//! How far each stream has been handled, and how far its cursor may be saved.
//!
//! Sequence numbers enter as frames are handled, held and released; the watermark leaves. Deliberately absent: what the
//! frames said.

use std::collections::BTreeSet;

use super::change::StreamCursor;
use super::verifier::StreamStanding;

/// One of the streams that a verifier listens to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct StreamId(pub(super) usize);

/// A frame's place: which stream, and where in it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Ticket {
    pub(super) stream: StreamId,
    pub(super) seq: i64,
    /// Which counting of its stream the number belongs to.
    pub(super) epoch: u32,
    /// How often its repository was fetched because of it.
    pub(super) fetches: u8,
}

/// How many numbers a stream may leave out on one connection before it is doubted that nothing was there. Hosts leave out what
/// is deleted; a service that moved has been seen to leap by billions.
const LEAP: i64 = 1_000_000;

/// How many frames in a row may come before the newest one on one connection. After so many it is the newest that was
/// wrong: one made-up number would otherwise keep all that follow from being heard.
const REPEATS: u32 = 100;

/// What a sequence number says about its frame.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Order {
    /// It comes after all before it.
    Next,
    /// It came before on this connection.
    Repeated,
    /// The first frame of a connection lies before the cursor we asked for: the service counts anew.
    Rewound,
    /// Numbers are left out after the cursor we asked for, or more than a stream leaves out by itself: there may have been
    /// frames in between.
    Skipped,
}

#[derive(Debug)]
pub(super) struct Stream {
    endpoint: String,
    is_connected: bool,
    /// Newest frame handled, on this connection or before it.
    newest: Option<i64>,
    /// Newest frame of this connection.
    connection: Option<i64>,
    /// When that frame's event happened, by the service's word, in microseconds since the Unix epoch.
    newest_at: Option<u64>,
    /// When that was last read.
    read_at: Option<u64>,
    /// Frames that wait for something, and are lost with the process.
    held: BTreeSet<i64>,
    /// How often its numbers have started over.
    epoch: u32,
    /// Frames in a row that came before the newest.
    repeats: u32,
    /// The service has said on this connection that it cannot begin where we asked it to.
    is_gap_told: bool,
    /// Something may have been missed that the index has not been told of: no cursor beyond it may be saved.
    is_doubted: bool,
}

impl Stream {
    pub(super) const fn new(endpoint: String, cursor: Option<i64>) -> Self {
        Self {
            endpoint,
            is_connected: false,
            newest: cursor,
            connection: None,
            newest_at: None,
            read_at: None,
            held: BTreeSet::new(),
            epoch: 0,
            repeats: 0,
            is_gap_told: false,
            is_doubted: false,
        }
    }

    pub(super) const fn newest(&self) -> Option<i64> {
        self.newest
    }

    pub(super) fn standing(&self) -> StreamStanding {
        StreamStanding {
            endpoint: self.endpoint.clone(),
            is_connected: self.is_connected,
            newest: self.newest,
            newest_at: self.newest_at,
            read_at: self.read_at,
        }
    }

    /// Whether it is time to read when an event happened: once a second is enough, and costs nothing.
    pub(super) fn is_due(&self, now: u64) -> bool {
        self.read_at.is_none_or(|at| now.saturating_sub(at) >= 1_000_000)
    }

    /// Notes when the newest event happened, and when that was read.
    pub(super) fn happened(&mut self, at: u64, now: u64) {
        // A moment that has not come yet would hide every lag from then on.
        self.newest_at = self.newest_at.max(Some(at.min(now)));
        self.read_at = Some(now);
    }

    /// Starts over at whatever comes next.
    pub(super) fn lose_cursor(&mut self) {
        (self.newest, self.connection) = (None, None);
        self.start_over();
    }

    fn start_over(&mut self) {
        self.held.clear();
        self.epoch = self.epoch.wrapping_add(1);
    }

    pub(super) const fn epoch(&self) -> u32 {
        self.epoch
    }

    /// Notes whether something may have been missed that the index does not know of yet.
    pub(super) const fn doubt(&mut self, is_doubted: bool) {
        self.is_doubted = is_doubted;
    }

    /// Notes a hint's place. Hints may repeat and go back a little: their numbers are times.
    pub(super) fn pass(&mut self, at: i64) {
        self.newest = self.newest.max(Some(at));
    }

    pub(super) fn connect(&mut self) {
        self.is_connected = true;
        self.connection = None;
        self.is_gap_told = false;
    }

    /// Notes that the service said so itself that it begins after the cursor: what it leaves out then is no news.
    pub(super) const fn expect_gap(&mut self) {
        self.is_gap_told = true;
    }

    pub(super) fn disconnect(&mut self) {
        self.is_connected = false;
    }

    /// Notes that a frame is about to be handled.
    pub(super) fn begin(&mut self, seq: i64) -> Order {
        let order = match (self.connection, self.newest) {
            (Some(last), _) if seq <= last && self.repeats < REPEATS => {
                self.repeats = self.repeats.saturating_add(1);
                return Order::Repeated;
            }
            (Some(last), _) if seq <= last => Order::Rewound,
            // Where the newest event was asked for once more, a service may begin with the one before it, as if the cursor were
            // to be answered too.
            (None, Some(newest)) if seq.saturating_add(1) == newest => return Order::Repeated,
            // A cursor inside the window may bring its own event once more, nothing older.
            (None, Some(newest)) if seq < newest => Order::Rewound,
            (None, Some(newest)) if seq > newest.saturating_add(1) && !self.is_gap_told => Order::Skipped,
            (Some(last), _) if seq > last.saturating_add(LEAP) => Order::Skipped,
            _ => Order::Next,
        };
        self.repeats = 0;
        if order == Order::Rewound {
            self.start_over();
        }
        self.connection = Some(seq);
        self.newest = Some(seq);
        order
    }

    pub(super) fn hold(&mut self, ticket: Ticket) {
        if ticket.epoch == self.epoch {
            self.held.insert(ticket.seq);
        }
    }

    pub(super) fn release(&mut self, ticket: Ticket) {
        if ticket.epoch == self.epoch {
            self.held.remove(&ticket.seq);
        }
    }

    /// The cursor that may be saved: it stops before the oldest frame still waiting. Saving the newest one instead would
    /// skip that frame after a crash, unseen until its repository commits again.
    pub(super) fn watermark(&self) -> Option<StreamCursor> {
        if self.is_doubted {
            return None;
        }
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
        let ticket = |seq| Ticket { stream: StreamId(0), seq, epoch: 0, fetches: 0 };
        stream.hold(ticket(6));
        stream.hold(ticket(9));
        assert_eq!(stream.watermark().unwrap().seq, 5);
        stream.release(ticket(6));
        assert_eq!(stream.watermark().unwrap().seq, 8);
        stream.release(ticket(9));
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

    #[test]
    fn a_service_that_is_asked_for_the_newest_event_again_may_begin_with_the_one_before_it() {
        let mut stream = Stream::new("wss://relay".to_owned(), Some(100));
        assert_eq!(stream.begin(99), Order::Repeated);
        assert_eq!(stream.begin(100), Order::Next);
        assert_eq!(stream.begin(101), Order::Next);
        stream.connect();
        assert_eq!(stream.begin(99), Order::Rewound, "what is older still shows that it counts anew");
    }

    #[test]
    fn one_made_up_number_does_not_keep_all_that_follow_from_being_heard() {
        let mut stream = Stream::new("wss://relay".to_owned(), Some(100));
        stream.begin(101);
        let early = Ticket { stream: StreamId(0), seq: 200, epoch: stream.epoch(), fetches: 0 };
        stream.hold(early);
        assert_eq!(stream.begin(9_000_000_000), Order::Skipped);
        for seq in 102..102 + i64::from(REPEATS) {
            assert_eq!(stream.begin(seq), Order::Repeated);
        }
        assert_eq!(stream.begin(300), Order::Rewound);
        assert_eq!(stream.begin(301), Order::Next);
        let late = Ticket { epoch: stream.epoch(), ..early };
        stream.hold(late);
        stream.release(early);
        assert_eq!(stream.watermark().unwrap().seq, 199, "a ticket of the former counting frees nothing");
        stream.release(late);
        assert_eq!(stream.watermark().unwrap().seq, 301);
        stream.doubt(true);
        assert_eq!(stream.watermark(), None);
    }

    #[test]
    fn what_is_left_out_after_a_cursor_is_doubted_and_so_is_a_leap() {
        let mut stream = Stream::new("wss://relay".to_owned(), Some(100));
        assert_eq!(stream.begin(102), Order::Skipped);
        assert_eq!(stream.begin(110), Order::Next, "a host leaves out what is deleted");
        assert_eq!(stream.begin(111 + LEAP), Order::Skipped);
        stream.connect();
        assert_eq!(stream.begin(112 + LEAP), Order::Next);
        stream.lose_cursor();
        assert_eq!(stream.begin(5), Order::Next);
    }
}
