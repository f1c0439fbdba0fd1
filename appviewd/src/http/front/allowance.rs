//! How much one address may ask: so many requests in five minutes, which come back one by one.
//!
//! A [`Caller`] and a moment enter; what is left of its allowance leaves, or how long it has to wait. Callers share a fixed
//! number of places by a hash that nobody outside can compute, so that memory does not depend on how many there are. Two
//! that meet in one place share its allowance, which neither notices as long as it asks less than half of it.

use std::hash::{BuildHasher as _, RandomState};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use super::caller::Caller;

/// The time for which an allowance is meant: that of a PDS's own limits.
pub(super) const WINDOW: Duration = Duration::from_secs(5 * 60);
/// Half a megabyte.
const PLACES: usize = 1 << 16;

/// What every caller may ask.
#[derive(Debug)]
pub(in crate::http) struct Allowance {
    in_a_window: u32,
    hasher: RandomState,
    /// The moment, in nanoseconds, at which each place has its whole allowance again.
    whole_at: Box<[AtomicU64]>,
}

/// What is left to a caller after a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::http) struct Left {
    /// Requests that may follow at once.
    pub(in crate::http) requests: u32,
    /// When the allowance is whole again.
    pub(in crate::http) whole_in: Duration,
}

impl Allowance {
    /// So many requests in five minutes; no limit for 0.
    pub(in crate::http) fn new(in_a_window: u32) -> Option<Self> {
        let whole_at = std::iter::repeat_with(AtomicU64::default).take(PLACES).collect();
        (in_a_window > 0).then(|| Self { in_a_window, hasher: RandomState::new(), whole_at })
    }

    /// Requests in five minutes.
    pub(super) const fn in_a_window(&self) -> u32 {
        self.in_a_window
    }

    /// Takes one request at a moment, counted from any beginning.
    ///
    /// # Errors
    ///
    /// How long to wait until there is one.
    pub(in crate::http) fn take(&self, caller: Caller, now: Duration) -> Result<Left, Duration> {
        let nanos = |duration: Duration| u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX);
        let (window, now) = (nanos(WINDOW), nanos(now));
        let one = window / u64::from(self.in_a_window);
        let Some(place) = self.place(caller) else {
            return Ok(Left { requests: 0, whole_in: Duration::ZERO });
        };
        let taken = |whole_at: u64| whole_at.max(now).saturating_add(one);
        let fits = |whole_at: u64| (taken(whole_at) <= now.saturating_add(window)).then(|| taken(whole_at));
        match place.fetch_update(Ordering::Relaxed, Ordering::Relaxed, fits) {
            Ok(before) => {
                let whole_in = taken(before).saturating_sub(now);
                let requests = window.saturating_sub(whole_in) / one;
                Ok(Left {
                    requests: u32::try_from(requests).unwrap_or(u32::MAX),
                    whole_in: Duration::from_nanos(whole_in),
                })
            }
            Err(whole_at) => {
                let late = taken(whole_at).saturating_sub(now.saturating_add(window));
                Err(Duration::from_nanos(late))
            }
        }
    }

    fn place(&self, caller: Caller) -> Option<&AtomicU64> {
        #[expect(clippy::cast_possible_truncation, reason = "any bits of a hash will do")]
        let hash = self.hasher.hash_one(caller) as usize;
        self.whole_at.get(hash % PLACES)
    }
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "tests")]
mod tests {
    use std::net::{Ipv4Addr, SocketAddr};

    use axum::http::HeaderMap;

    use super::super::caller::{Callers, Peer};
    use super::*;

    fn caller(number: u32) -> Caller {
        let peer = Peer::from(SocketAddr::new(Ipv4Addr::from_bits(number).into(), 1));
        Callers::default().asking(peer, &HeaderMap::new()).unwrap()
    }

    #[test]
    fn an_allowance_is_used_up_and_comes_back_one_by_one() {
        let allowance = Allowance::new(10).unwrap();
        let start = Duration::from_secs(1_000);
        for left in (0..10).rev() {
            assert_eq!(allowance.take(caller(1), start).unwrap().requests, left);
        }
        assert_eq!(allowance.take(caller(1), start), Err(WINDOW / 10));
        let later = start + WINDOW / 10;
        assert_eq!(allowance.take(caller(1), later), Ok(Left { requests: 0, whole_in: WINDOW }));
        assert!(allowance.take(caller(1), later).is_err());
        let much_later = later + 3 * WINDOW;
        assert_eq!(
            allowance.take(caller(1), much_later).unwrap().requests,
            9,
            "no more than the whole comes back"
        );
    }

    #[test]
    fn who_asks_too_much_takes_nothing_from_others() {
        let allowance = Allowance::new(10).unwrap();
        let start = Duration::from_secs(1_000);
        while allowance.take(caller(1), start).is_ok() {}
        let refused = (2..1_002).filter(|other| allowance.take(caller(*other), start).is_err()).count();
        // More than two of a thousand share its place by a chance of less than one in a million.
        assert!(refused <= 2, "{refused}");
    }

    #[test]
    fn no_limit_is_none() {
        assert!(Allowance::new(0).is_none());
    }
}
