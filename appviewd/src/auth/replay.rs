//! Tokens that were used: each is good once.
//!
//! A token's issuer and its `jti` enter after its signature was verified; whether it is the first time leaves. They are remembered until
//! the token is over anyway, so that what is remembered is bounded by what may be signed in that time: 256 of one issuer, 100,000
//! of all. Beyond it nothing is taken.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Mutex, PoisonError};

use appview_core::syntax::Did;

/// Tokens of one issuer.
const OF_ONE: usize = 256;
/// Tokens of all.
const OF_ALL: usize = 100_000;

/// Why a token is not taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Used {
    /// It was used.
    Before,
    /// Its issuer has used as many as may be remembered, or all have.
    Full,
}

/// Tokens that were used.
#[derive(Debug, Default)]
pub(super) struct Replay(Mutex<Seen>);

#[derive(Debug, Default)]
struct Seen {
    /// Each token's end, in seconds since the Unix epoch.
    by_issuer: HashMap<Did, BTreeMap<Box<str>, i64>>,
    count: usize,
    /// When all were last looked through.
    swept_at: i64,
}

impl Replay {
    /// Uses a token that is good until `end`; both moments are in seconds since the Unix epoch.
    pub(super) fn once(&self, issuer: &Did, jti: &str, end: i64, now: i64) -> Result<(), Used> {
        let mut seen = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if seen.by_issuer.get(issuer).is_some_and(|tokens| tokens.contains_key(jti)) {
            return Err(Used::Before);
        }
        let of_one = seen.by_issuer.get(issuer).map_or(0, BTreeMap::len);
        if of_one >= OF_ONE {
            seen.forget(issuer, now);
        }
        if seen.count >= OF_ALL {
            seen.forget_all(now);
        }
        if seen.count >= OF_ALL || seen.by_issuer.get(issuer).is_some_and(|tokens| tokens.len() >= OF_ONE) {
            return Err(Used::Full);
        }
        seen.by_issuer.entry(issuer.clone()).or_default().insert(jti.into(), end);
        seen.count += 1;
        Ok(())
    }
}

impl Seen {
    fn forget(&mut self, issuer: &Did, now: i64) {
        if let Some(tokens) = self.by_issuer.get_mut(issuer) {
            let before = tokens.len();
            tokens.retain(|_, end| *end > now);
            self.count -= before - tokens.len();
        }
    }

    /// Once in a second: within it no token ends, and each that comes while there is no room would have all looked through.
    fn forget_all(&mut self, now: i64) {
        if self.swept_at == now {
            return;
        }
        self.swept_at = now;
        for tokens in self.by_issuer.values_mut() {
            tokens.retain(|_, end| *end > now);
        }
        self.by_issuer.retain(|_, tokens| !tokens.is_empty());
        self.count = self.by_issuer.values().map(BTreeMap::len).sum();
    }
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;

    fn did(number: usize) -> Did {
        format!("did:web:{number}.example").parse().unwrap()
    }

    #[test]
    fn a_token_is_good_once_and_another_issuers_is_another() {
        let replay = Replay::default();
        assert_eq!(replay.once(&did(1), "a", 100, 50), Ok(()));
        assert_eq!(replay.once(&did(1), "a", 100, 50), Err(Used::Before));
        assert_eq!(replay.once(&did(2), "a", 100, 50), Ok(()));
        assert_eq!(replay.once(&did(1), "b", 100, 50), Ok(()));
    }

    #[test]
    fn what_is_remembered_is_bounded_and_comes_free_when_tokens_are_over() {
        let replay = Replay::default();
        let used = |now: i64, of: usize, count: usize| {
            (0..count)
                .filter(|at| replay.once(&did(of), &format!("{now}-{at}"), now + 50, now).is_ok())
                .count()
        };
        assert_eq!(used(50, 1, 1_000), OF_ONE);
        assert_eq!(used(99, 1, 10), 0);
        assert_eq!(used(100, 1, 1_000), OF_ONE, "the first are over");
        let all: usize = (2..600).map(|of| used(100, of, OF_ONE)).sum();
        assert_eq!(all, OF_ALL - OF_ONE);
        assert_eq!(used(150, 1_000, 1), 1);
        assert_eq!(replay.0.lock().unwrap().count, 1);
    }
}
