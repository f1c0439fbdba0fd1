//! How often keys may be asked for anew: once a minute for each DID, and not too often for all of them together.
//!
//! A DID and a moment enter; yes or no leaves. It remembers DIDs that the machine itself has forgotten, because junk in
//! the name of accounts that nobody follows is what it is there for. Deliberately absent: whom to believe.

use std::collections::HashMap;

use crate::syntax::Did;

use super::REFRESH_PAUSE;

/// Refreshes a minute, over all DIDs.
const REFRESHES: u32 = 600;
/// DIDs that are remembered. When there are more, those whose minute is over are let go, and as long as there are none
/// such, nobody new is asked about.
const REMEMBERED: usize = 10_000;

#[derive(Debug, Default)]
pub(super) struct Budget {
    asked: HashMap<Did, u64>,
    minute: u64,
    spent: u32,
}

impl Budget {
    /// Whether a DID may be asked for anew; counts it if so.
    pub(super) fn allows(&mut self, did: &Did, now: u64) -> bool {
        let is_over = |at: u64| now.saturating_sub(at) >= REFRESH_PAUSE;
        if is_over(self.minute) {
            (self.minute, self.spent) = (now, 0);
        }
        if self.spent >= REFRESHES || self.asked.get(did).is_some_and(|at| !is_over(*at)) {
            return false;
        }
        if self.asked.len() >= REMEMBERED {
            self.asked.retain(|_, at| !is_over(*at));
            if self.asked.len() >= REMEMBERED {
                return false;
            }
        }
        self.spent = self.spent.saturating_add(1);
        self.asked.insert(did.clone(), now);
        true
    }
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;

    #[test]
    fn one_did_is_asked_for_once_a_minute_and_all_together_within_bounds() {
        let did = |number: u32| format!("did:web:d{number}.example").parse::<Did>().unwrap();
        let mut budget = Budget::default();
        assert!(budget.allows(&did(0), 0));
        assert!(!budget.allows(&did(0), REFRESH_PAUSE - 1));
        assert_eq!(
            (1..10_000).filter(|number| budget.allows(&did(*number), 1)).count(),
            REFRESHES as usize - 1
        );
        assert!(budget.allows(&did(0), REFRESH_PAUSE));
    }
}
