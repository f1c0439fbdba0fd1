//! How far fetching has come: what has been fetched since there is anything to fetch, what waits, and how long it may take.
//!
//! Numbers enter from whoever fetches; a [`Backlog`] leaves for whoever reports. Deliberately absent: which repositories.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

/// A reading of [`Progress`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Backlog {
    /// Repositories that are to be fetched, or asked about, until they are proven.
    pub waiting: u64,
    /// Those among them whose last try failed: they are tried again later.
    pub put_off: u64,
    /// Repositories that were settled since the backlog began: proven, or known to be hosted no more.
    pub settled: u64,
    /// When it began, in microseconds since the Unix epoch; 0 if there has been none.
    pub since: u64,
    /// How long it takes until all but those that were put off are settled, at the pace so far; none before there is
    /// one.
    pub left: Option<Duration>,
}

/// How far fetching has come; cheap to clone, one for all clones.
#[derive(Debug, Clone, Default)]
pub struct Progress(Arc<Mutex<Backlog>>);

impl Progress {
    /// Reads it, at a moment in microseconds since the Unix epoch.
    #[must_use]
    pub fn read(&self, now: u64) -> Backlog {
        let mut backlog = *self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let elapsed = Duration::from_micros(now.saturating_sub(backlog.since));
        let to_do = backlog.waiting.saturating_sub(backlog.put_off);
        let each = u32::try_from(backlog.settled).ok().and_then(|settled| elapsed.checked_div(settled));
        backlog.left = each.map(|each| each.saturating_mul(u32::try_from(to_do).unwrap_or(u32::MAX)));
        backlog
    }

    /// One more is to be fetched.
    pub(super) fn add(&self, now: u64) {
        self.change(|backlog| {
            backlog.begin(now);
            backlog.waiting = backlog.waiting.saturating_add(1);
        });
    }

    /// One is tried again later.
    pub(super) fn put_off(&self) {
        self.change(|backlog| backlog.put_off = backlog.put_off.saturating_add(1));
    }

    /// One that was put off is tried again.
    pub(super) fn retry(&self, now: u64) {
        self.change(|backlog| {
            backlog.begin(now);
            backlog.put_off = backlog.put_off.saturating_sub(1);
        });
    }

    /// One is settled.
    pub(super) fn settle(&self) {
        self.change(|backlog| {
            backlog.waiting = backlog.waiting.saturating_sub(1);
            backlog.settled = backlog.settled.saturating_add(1);
        });
    }

    fn change(&self, change: impl FnOnce(&mut Backlog)) {
        let mut backlog = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        change(&mut backlog);
        metrics::gauge!("appview_fetches_waiting").set(float(backlog.waiting));
        metrics::gauge!("appview_fetches_put_off").set(float(backlog.put_off));
    }
}

impl Backlog {
    /// Counts from here on if there was nothing to be done until now.
    const fn begin(&mut self, now: u64) {
        if self.waiting == self.put_off {
            (self.since, self.settled) = (now, 0);
        }
    }
}

#[expect(clippy::cast_precision_loss, reason = "a gauge needs no more than 52 bits")]
const fn float(count: u64) -> f64 {
    count as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: u64 = 1_000_000;

    #[test]
    fn what_is_left_is_estimated_by_the_pace_so_far() {
        let progress = Progress::default();
        for _ in 0..10 {
            progress.add(5 * SECOND);
        }
        assert_eq!(progress.read(5 * SECOND).left, None, "there is no pace yet");
        progress.put_off();
        for _ in 0..3 {
            progress.settle();
        }
        let backlog = progress.read(11 * SECOND);
        assert_eq!((backlog.waiting, backlog.put_off, backlog.settled), (7, 1, 3));
        assert_eq!(backlog.left, Some(Duration::from_secs(12)), "six are left, at two seconds each");
    }

    #[test]
    fn a_backlog_begins_when_there_was_none() {
        let progress = Progress::default();
        progress.add(1);
        progress.settle();
        progress.add(9 * SECOND);
        let backlog = progress.read(9 * SECOND);
        assert_eq!((backlog.waiting, backlog.settled, backlog.since), (1, 0, 9 * SECOND));
    }
}
