//! The running engine as operators see it: its readings, and the orders that it takes.
//!
//! A [`Following`] that is about to begin enters; whoever reports, measures or orders holds what leaves. Deliberately absent:
//! how any of it is asked for.

use std::time::Duration;

use appview_core::index::Index;
use appview_core::source::backlog::Progress;
use appview_core::source::follow::{Answers, Beat, Following, Pulse};
use appview_core::source::orders::Orders;
use appview_core::sync::verifier::StreamStanding;

/// How long a stream must have brought nothing for that to mean that it has no more, in microseconds: a service sends what it
/// has at once.
const QUIET: u64 = 10_000_000;
/// How old the pump's newest reading may be while all is well, in microseconds: it makes one every second.
const BREATH: u64 = 5_000_000;

/// What runs; cheap to clone.
#[derive(Debug, Clone)]
pub struct Engine {
    /// What is written.
    pub index: Index,
    /// How following goes.
    pub pulse: Pulse,
    /// How far fetching has come.
    pub progress: Progress,
    /// Where orders go.
    pub orders: Orders,
}

impl Engine {
    /// What is going to run when `index` is filled by `following`.
    #[must_use]
    pub fn of(index: Index, following: &Following) -> Self {
        let progress = match &following.answers {
            Answers::Network { network, .. } => network.progress.clone(),
            Answers::Upstream(_) => Progress::default(),
        };
        Self { index, pulse: Pulse::default(), progress, orders: following.orders.clone() }
    }

    /// Size of the index on disk, with its log; 0 of what is not there.
    #[must_use]
    pub fn index_bytes(&self) -> u64 {
        bytes_on_disk(self.index.path())
    }
}

/// Size of an index on disk, with its log; 0 of what is not there.
#[must_use]
pub fn bytes_on_disk(index: &std::path::Path) -> u64 {
    let mut log = index.as_os_str().to_owned();
    log.push("-wal");
    let size = |path: &std::path::Path| std::fs::metadata(path).map_or(0, |file| file.len());
    size(index).saturating_add(size(log.as_ref()))
}

/// How far behind a stream we are: how old its newest event was when it was handled. A stream that has brought nothing for ten
/// seconds has no more, so that we are not behind it, however old its newest event is. Whatever time the pump has been
/// standing still is added.
#[must_use]
pub fn lag(beat: &Beat, stream: &StreamStanding, now: u64) -> Duration {
    let at = beat.at.unwrap_or(now);
    let behind = match (stream.newest_at, stream.read_at) {
        (Some(newest), Some(read)) if at.saturating_sub(read) < QUIET => read.saturating_sub(newest),
        _ => 0,
    };
    let still = Some(now.saturating_sub(at)).filter(|still| *still >= BREATH).unwrap_or(0);
    Duration::from_micros(behind.saturating_add(still))
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: u64 = 1_000_000;

    fn seconds_behind(newest_at: u64, read_at: u64, at: u64, now: u64) -> u64 {
        let stream = StreamStanding {
            endpoint: "wss://relay.example".to_owned(),
            is_connected: true,
            newest: Some(1),
            newest_at: Some(newest_at * SECOND),
            read_at: Some(read_at * SECOND),
        };
        let beat = Beat { at: Some(at * SECOND), ..Beat::default() };
        lag(&beat, &stream, now * SECOND).as_secs()
    }

    #[test]
    fn we_are_behind_while_old_events_come_and_not_when_none_do() {
        assert_eq!(seconds_behind(1_000, 1_001, 1_002, 1_002), 1);
        assert_eq!(seconds_behind(1_000, 4_600, 4_601, 4_601), 3_600, "an hour is being caught up");
        assert_eq!(seconds_behind(1_000, 4_600, 4_610, 4_610), 0, "that was the last of it");
        assert_eq!(seconds_behind(1_000, 1_001, 9_000, 9_000), 0, "a quiet stream");
    }

    #[test]
    fn we_are_behind_for_as_long_as_nothing_is_handled() {
        assert_eq!(seconds_behind(1_000, 1_001, 1_002, 1_006), 1);
        assert_eq!(seconds_behind(1_000, 1_001, 1_002, 1_102), 101);
    }
}
