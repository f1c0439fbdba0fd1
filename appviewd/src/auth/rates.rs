//! How often something may be done for each of many.
//!
//! A name and a moment enter; yes leaves, or how long to wait. Turns come back one by one. Only who has used some is remembered, and of
//! those a bounded number: beyond it the answer is no.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};

/// Turns for each name.
#[derive(Debug)]
pub struct Rates<K> {
    /// Microseconds after which one turn is back.
    one: u64,
    /// Turns that can be used at once.
    most: u64,
    names: usize,
    /// When each name has all of its turns again.
    whole_at: Mutex<BTreeMap<K, u64>>,
}

impl<K: Ord> Rates<K> {
    /// So many turns in so many microseconds for each name, and so many names at a time.
    #[must_use]
    pub fn new(turns: u32, window: u64, names: usize) -> Self {
        let most = u64::from(turns).max(1);
        Self { one: window / most, most, names, whole_at: Mutex::default() }
    }

    /// Takes a turn at a moment, in microseconds.
    ///
    /// # Errors
    ///
    /// How many microseconds to wait.
    pub fn take(&self, name: K, now: u64) -> Result<(), u64> {
        let mut whole_at = self.whole_at.lock().unwrap_or_else(PoisonError::into_inner);
        if whole_at.len() >= self.names && !whole_at.contains_key(&name) {
            whole_at.retain(|_, whole_at| *whole_at > now);
            if whole_at.len() >= self.names {
                return Err(self.one);
            }
        }
        let before = whole_at.get(&name).copied().unwrap_or(0).max(now);
        let after = before.saturating_add(self.one);
        let latest = now.saturating_add(self.one.saturating_mul(self.most));
        if after > latest {
            return Err(after.saturating_sub(latest));
        }
        whole_at.insert(name, after);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn turns_are_used_up_and_come_back_one_by_one() {
        let rates = Rates::new(3, 300, 10);
        let now = 1_000;
        assert_eq!([(); 4].map(|()| rates.take("a", now)), [Ok(()), Ok(()), Ok(()), Err(100)]);
        assert_eq!(rates.take("b", now), Ok(()), "another's are its own");
        assert_eq!(rates.take("a", now + 99), Err(1));
        assert_eq!([(); 2].map(|()| rates.take("a", now + 100)), [Ok(()), Err(100)]);
        assert_eq!([(); 4].map(|()| rates.take("a", now + 10_000)), [Ok(()), Ok(()), Ok(()), Err(100)]);
    }

    #[test]
    fn a_flood_of_names_is_refused_and_not_remembered() {
        let rates = Rates::new(1, 100, 10);
        let taken = (0..1_000).filter(|name| rates.take(*name, 1_000).is_ok()).count();
        assert_eq!(taken, 10);
        assert_eq!(rates.take(5_000, 1_100), Ok(()), "whoever has all turns again is forgotten");
    }
}
