//! Verdicts that are not reached twice.
//!
//! The same questions enter as to the functions beside, and the same answers leave. What is kept is found by content, never
//! by name: a verdict by everything that was in evidence, an attestation's signature and its manufacturer's evidence by its
//! bytes. So nothing has to be forgotten when a record changes. What is kept is bounded; what has not been asked for longest
//! goes. Deliberately absent: the time, which is handed in.

use std::collections::HashMap;
use std::hash::Hash;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::attested::Attested;
use super::check::{Profile, RULES_VERSION};
use super::evidence::Evidence;
use super::exhibit::Exhibit;
use super::receipt::{self, Setting};
use super::settlement;
use super::verdict::{Missing, ReceiptVerdict, SettlementVerdict};
use super::{Instant, Terms};

/// Verdicts that are kept, of either kind. One takes some two kilobytes.
const VERDICTS: usize = 2_048;
/// Attestations that are remembered. A machine makes one a day, and signs all of its receipts under it.
const ATTESTATIONS: usize = 4_096;

/// A verifier that remembers what it has found under one set of [`Terms`]. Shared by all who ask.
#[derive(Debug)]
pub struct Examiner {
    terms: Terms,
    memory: Memory,
    receipts: Mutex<Kept<[u8; 32], Dated<ReceiptVerdict>>>,
    settlements: Mutex<Kept<[u8; 32], Dated<SettlementVerdict>>>,
}

/// A verdict, and on which side of the expiry of its evidence it was reached.
#[derive(Debug)]
struct Dated<T> {
    verdict: Arc<T>,
    at: Instant,
    until: Option<Instant>,
}

impl<T> Dated<T> {
    /// Whether the same verdict would be reached at another instant: on the same side of the expiry.
    fn holds(&self, now: Instant) -> bool {
        self.until.is_none_or(|until| (now <= until) == (self.at <= until))
    }
}

impl Examiner {
    /// A verifier that has seen nothing yet.
    #[must_use]
    pub fn new(terms: Terms) -> Self {
        Self {
            terms,
            memory: Memory { attested: Mutex::new(Kept::new(ATTESTATIONS)) },
            receipts: Mutex::new(Kept::new(VERDICTS)),
            settlements: Mutex::new(Kept::new(VERDICTS)),
        }
    }

    /// By what it judges.
    #[must_use]
    pub const fn terms(&self) -> &Terms {
        &self.terms
    }

    /// As [`verify_receipt`](super::verify_receipt).
    ///
    /// # Errors
    ///
    /// [`Missing`].
    pub fn receipt(
        &self,
        evidence: &Evidence,
        uri: &str,
        profile: Profile,
        now: Instant,
    ) -> Result<Arc<ReceiptVerdict>, Missing> {
        let setting = self.setting(profile, now);
        recall(&self.receipts, evidence, uri, &setting, || receipt::judge(evidence, uri, &setting))
    }

    /// As [`verify_settlement`](super::verify_settlement).
    ///
    /// # Errors
    ///
    /// [`Missing`].
    pub fn settlement(
        &self,
        evidence: &Evidence,
        uri: &str,
        profile: Profile,
        now: Instant,
    ) -> Result<Arc<SettlementVerdict>, Missing> {
        let setting = self.setting(profile, now);
        recall(&self.settlements, evidence, uri, &setting, || settlement::judge(evidence, uri, &setting))
    }

    const fn setting(&self, profile: Profile, now: Instant) -> Setting<'_> {
        Setting { terms: &self.terms, profile, now, memory: Some(&self.memory) }
    }
}

fn recall<T>(
    kept: &Mutex<Kept<[u8; 32], Dated<T>>>,
    evidence: &Evidence,
    uri: &str,
    setting: &Setting<'_>,
    judge: impl FnOnce() -> Result<(T, Option<Instant>), Missing>,
) -> Result<Arc<T>, Missing> {
    let mut hasher = blake3::Hasher::new();
    hasher.update(&RULES_VERSION.to_le_bytes()).update(&[setting.profile as u8]);
    hasher.update(&(uri.len() as u64).to_le_bytes()).update(uri.as_bytes());
    evidence.hash_into(&mut hasher);
    let key = *hasher.finalize().as_bytes();
    if let Some(found) = lock(kept).get(&key).filter(|dated| dated.holds(setting.now)) {
        return Ok(Arc::clone(&found.verdict));
    }
    // Judged without the lock: two that ask at once may both judge, and agree.
    let (verdict, until) = judge()?;
    let verdict = Arc::new(verdict);
    let dated = Dated { verdict: Arc::clone(&verdict), at: setting.now, until };
    lock(kept).put(key, Arc::new(dated));
    Ok(verdict)
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// What attestations prove, by the digest of their bytes.
#[derive(Debug)]
pub(super) struct Memory {
    attested: Mutex<Kept<[u8; 32], Attested>>,
}

impl Memory {
    pub(super) fn attested(&self, exhibit: &Exhibit, examine: impl FnOnce() -> Attested) -> Arc<Attested> {
        // Where it stands decides nothing here. A CID that is not the block's own could be another's.
        let key = if exhibit.is_its_own() {
            *exhibit.cid().digest()
        } else {
            return Arc::new(examine());
        };
        if let Some(found) = lock(&self.attested).get(&key) {
            return found;
        }
        let found = Arc::new(examine());
        lock(&self.attested).put(key, Arc::clone(&found));
        found
    }
}

/// A bounded map: two halves, of which the older is dropped when the younger is full. What is asked for becomes young again.
#[derive(Debug)]
struct Kept<K, V> {
    half: usize,
    young: HashMap<K, Arc<V>>,
    old: HashMap<K, Arc<V>>,
}

impl<K: Eq + Hash + Copy, V> Kept<K, V> {
    fn new(most: usize) -> Self {
        Self { half: most / 2, young: HashMap::new(), old: HashMap::new() }
    }

    fn get(&mut self, key: &K) -> Option<Arc<V>> {
        if let Some(found) = self.young.get(key) {
            return Some(Arc::clone(found));
        }
        let found = self.old.remove(key)?;
        self.put(*key, Arc::clone(&found));
        Some(found)
    }

    fn put(&mut self, key: K, value: Arc<V>) {
        if self.young.len() >= self.half {
            self.old = std::mem::take(&mut self.young);
        }
        self.young.insert(key, value);
    }
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;

    #[test]
    fn what_is_kept_is_bounded_and_what_is_asked_for_stays() {
        let mut kept = Kept::new(10);
        for number in 0..1_000_u64 {
            kept.put(number, Arc::new(number));
            assert_eq!(*kept.get(&0).unwrap(), 0, "asked for each time");
            assert!(kept.young.len() + kept.old.len() <= 10, "{number}");
        }
        assert_eq!(kept.get(&998).as_deref(), Some(&998));
        assert_eq!(kept.get(&500), None);
    }

    #[test]
    fn a_verdict_holds_on_its_side_of_the_expiry() {
        let at = Instant::from_unix_millis;
        let dated = |reached: i64, until| Dated { verdict: Arc::new(()), at: at(reached), until };
        assert!(dated(5, None).holds(at(500)));
        assert!(dated(5, Some(at(7))).holds(at(7)) && !dated(5, Some(at(7))).holds(at(8)));
        assert!(dated(8, Some(at(7))).holds(at(9)) && !dated(8, Some(at(7))).holds(at(7)));
    }
}
