//! What directories said about DIDs: kept for a while, and no more of it than there is room for.
//!
//! What was found for a DID enters, and when it was asked for; it leaves for as long as it will do. The oldest goes first
//! when there is no more room. Deliberately absent: asking.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use super::directory::ResolveError;
use crate::repo::Identity;
use crate::syntax::Did;

/// How long a document will do without asking again, in microseconds.
const SOFT: u64 = 60 * 60 * 1_000_000;
/// How long a document will do where nobody can be asked.
const HARD: u64 = 24 * SOFT;
/// How long it will do that there was none.
const NOTHING: u64 = 2 * 60 * 1_000_000;
/// DIDs that are kept.
const CAPACITY: usize = 50_000;
/// How often one DID may be asked for anew, at an even pace.
const REFRESH: u64 = 20 * 1_000_000;
/// How far ahead of that pace it may be: an account that is made or moves says so several times within seconds.
const REFRESH_AHEAD: u64 = 5 * REFRESH;

/// A place in the order in which questions are asked. Not a time: two may be asked at the same.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub(super) struct Moment(pub(super) u64);

/// Which answers will do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Wanted {
    /// One that is not too old.
    Cached,
    /// One that was asked for after this moment.
    Since(Moment),
}

/// What was found for a DID: its identity, or that it has none.
pub(super) type Found = Result<Arc<Identity>, ResolveError>;

#[derive(Debug, Default)]
pub(super) struct Kept {
    by_did: HashMap<Did, Entry>,
    by_age: BTreeMap<Moment, Did>,
}

#[derive(Debug)]
struct Entry {
    found: Found,
    asked: Moment,
    at: u64,
    /// When refreshes at an even pace would have come as far.
    even_at: u64,
}

impl Kept {
    /// What is kept of a DID, if it will do.
    pub(super) fn get(&self, did: &Did, wanted: Wanted, now: u64) -> Option<Found> {
        let entry = self.by_did.get(did)?;
        let will_do = match wanted {
            Wanted::Since(moment) => entry.asked > moment,
            Wanted::Cached => entry.is_younger(if entry.found.is_ok() { SOFT } else { NOTHING }, now),
        };
        will_do.then(|| entry.found.clone())
    }

    /// An identity for want of a newer one.
    pub(super) fn stale(&self, did: &Did, now: u64) -> Option<Arc<Identity>> {
        let entry = self.by_did.get(did)?;
        if entry.is_younger(HARD, now) { entry.found.clone().ok() } else { None }
    }

    /// From when on a DID may be asked for anew; counts the question.
    pub(super) fn refresh_at(&mut self, did: &Did, now: u64) -> u64 {
        // Of whom nothing is kept, that will be so once.
        let Some(entry) = self.by_did.get_mut(did) else { return now };
        let at = entry.even_at.saturating_sub(REFRESH_AHEAD).max(now);
        entry.even_at = entry.even_at.max(now).saturating_add(REFRESH);
        at
    }

    /// Keeps what was found by a question asked at a moment, unless something newer is kept.
    pub(super) fn put(&mut self, did: &Did, found: Found, asked: Moment, now: u64) {
        let mut even_at = now;
        if let Some(before) = self.by_did.get(did) {
            if before.asked > asked {
                return;
            }
            even_at = before.even_at;
            self.by_age.remove(&before.asked);
        }
        self.by_did.insert(did.clone(), Entry { found, asked, at: now, even_at });
        self.by_age.insert(asked, did.clone());
        while self.by_did.len() > CAPACITY
            && let Some((_, oldest)) = self.by_age.pop_first()
        {
            self.by_did.remove(&oldest);
        }
    }
}

impl Entry {
    const fn is_younger(&self, age: u64, now: u64) -> bool {
        now.saturating_sub(self.at) < age
    }
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;

    fn did(number: u64) -> Did {
        format!("did:web:d{number}.example").parse().unwrap()
    }

    fn nothing(did: &Did) -> Found {
        Err(ResolveError::Method { did: did.clone() })
    }

    #[test]
    fn what_is_kept_is_bounded_and_the_oldest_goes_first() {
        let mut kept = Kept::default();
        for number in 0..CAPACITY as u64 {
            kept.put(&did(number), nothing(&did(number)), Moment(number), 0);
        }
        // Asked for again, the first is no longer the oldest.
        kept.put(&did(0), nothing(&did(0)), Moment(CAPACITY as u64), 0);
        kept.put(&did(CAPACITY as u64), nothing(&did(CAPACITY as u64)), Moment(CAPACITY as u64 + 1), 0);
        assert_eq!((kept.by_did.len(), kept.by_age.len()), (CAPACITY, CAPACITY));
        assert!(kept.get(&did(0), Wanted::Cached, 0).is_some());
        assert!(kept.get(&did(1), Wanted::Cached, 0).is_none());
        assert!(kept.get(&did(2), Wanted::Cached, 0).is_some());
    }

    #[test]
    fn an_answer_that_was_asked_for_earlier_does_not_replace_a_later_one() {
        let mut kept = Kept::default();
        kept.put(&did(0), nothing(&did(0)), Moment(2), 5);
        kept.put(&did(0), nothing(&did(0)), Moment(1), 9);
        assert!(kept.get(&did(0), Wanted::Since(Moment(1)), 9).is_some());
        assert!(kept.get(&did(0), Wanted::Since(Moment(2)), 9).is_none(), "it was not asked for after that");
    }

    #[test]
    fn one_did_is_asked_for_anew_a_few_times_and_then_at_a_pace() {
        let mut kept = Kept::default();
        kept.put(&did(0), nothing(&did(0)), Moment(0), 0);
        let at: Vec<u64> = (0..8).map(|_| kept.refresh_at(&did(0), 7)).collect();
        assert_eq!(at, [7, 7, 7, 7, 7, 7, 7 + REFRESH, 7 + 2 * REFRESH]);
    }
}
