//! Instants: what two clocks are compared by.
//!
//! Text of a record enters, an [`Instant`] or nothing leaves. The grammar is that of
//! [`Datetime`](crate::syntax::Datetime). Text outside it gives nothing, and every check that needs it must then fail:
//! the existing verifier lets such a check pass, so that a leap second makes an expired receipt good.

use crate::block::Map;
use crate::syntax::datetime_unix_micros;

/// A point in time, in milliseconds since 1970.
///
/// Finer digits are cut off, so that half a millisecond after an expiry is still the expiry.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Instant(i64);

impl Instant {
    /// The instant this many milliseconds after 1970, or before if negative.
    #[must_use]
    pub const fn from_unix_millis(millis: i64) -> Self {
        Self(millis)
    }

    /// Milliseconds since 1970.
    #[must_use]
    pub const fn unix_millis(self) -> i64 {
        self.0
    }

    /// The instant that a datetime names.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        datetime_unix_micros(text).ok().map(|micros| Self(micros.div_euclid(1_000)))
    }

    /// The instant at a member of a record.
    #[must_use]
    pub fn at(body: &Map<'_>, member: &str) -> Option<Self> {
        Self::parse(body.text(member)?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn finer_digits_are_cut_off() {
        let expiry = Instant::parse("2026-08-20T12:00:00Z");
        assert_eq!(expiry, Instant::parse("2026-08-20T12:00:00.0009Z"));
        assert!(expiry < Instant::parse("2026-08-20T12:00:00.001Z"));
        assert_eq!(Instant::parse("1969-12-31T23:59:59.9999Z"), Some(Instant(-1)));
    }

    #[test]
    fn a_leap_second_is_no_instant() {
        assert_eq!(Instant::parse("2026-08-20T12:00:60Z"), None);
        assert_eq!(Instant::parse("2026-08-20T12:00:00"), None);
    }
}
