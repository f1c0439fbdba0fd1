//! What time it is, and how long to wait: by the system, or as a test has it.
//!
//! Nothing enters; moments and pauses leave. A test's clock goes with the runtime's, which may stand still or leap, and
//! draws its chances from a seed, so that one run is like the next. Deliberately absent: timers.

use std::fmt;
use std::hash::{BuildHasher as _, RandomState};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use tokio::time::Instant;

use super::now;

/// A clock with its dice; cheap to clone, one for all clones.
#[derive(Clone)]
pub struct Clock(Arc<Kind>);

enum Kind {
    System,
    /// The moment at which the runtime's clock showed an instant, and the state of the dice.
    Runtime {
        moment: u64,
        instant: Instant,
        dice: AtomicU64,
    },
}

impl Clock {
    /// The system's clock, and chance.
    #[must_use]
    pub fn system() -> Self {
        Self(Arc::new(Kind::System))
    }

    /// The clock of the runtime that this is called in, which shows `moment` (microseconds since the Unix epoch) now; chance
    /// is drawn from `seed`.
    #[must_use]
    pub fn of_runtime(moment: u64, seed: u64) -> Self {
        Self(Arc::new(Kind::Runtime { moment, instant: Instant::now(), dice: AtomicU64::new(seed) }))
    }

    /// Microseconds since the Unix epoch.
    #[must_use]
    pub fn now(&self) -> u64 {
        match &*self.0 {
            Kind::System => now(),
            Kind::Runtime { moment, instant, .. } => moment.saturating_add(micros(instant.elapsed())),
        }
    }

    /// Waits until a moment, in microseconds since the Unix epoch; not at all if it is over.
    pub async fn until(&self, moment: u64) {
        tokio::time::sleep(Duration::from_micros(moment.saturating_sub(self.now()))).await;
    }

    /// Between half of `pause` and all of it, by chance: so that those who were turned away together do not come back
    /// together.
    #[must_use]
    pub fn jitter(&self, pause: Duration) -> Duration {
        let random = match &*self.0 {
            Kind::System => RandomState::new().hash_one(()),
            // SplitMix64: every state leads to the next by one addition.
            Kind::Runtime { dice, .. } => mix(dice.fetch_add(0x9e37_79b9_7f4a_7c15, Ordering::Relaxed)),
        };
        let half = pause / 2;
        half + half.mul_f64(f64::from((random & 0xffff) as u16) / f64::from(u16::MAX))
    }
}

const fn mix(state: u64) -> u64 {
    let state = (state ^ (state >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let state = (state ^ (state >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    state ^ (state >> 31)
}

/// A duration in microseconds.
pub(super) fn micros(duration: Duration) -> u64 {
    u64::try_from(duration.as_micros()).unwrap_or(u64::MAX)
}

impl fmt::Debug for Clock {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match &*self.0 {
            Kind::System => "Clock::system",
            Kind::Runtime { .. } => "Clock::of_runtime",
        })
    }
}
