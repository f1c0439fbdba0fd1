//! Timestamp identifiers: record keys and repository revisions.

use std::fmt;
use std::str::FromStr;

use super::{SyntaxError, SyntaxKind, TextVisitor};

/// The digits of base32-sortable, whose byte order is their numeric order.
const ALPHABET: &[u8; 32] = b"234567abcdefghijklmnopqrstuvwxyz";
/// Characters of a TID.
const LENGTH: usize = 13;
/// Low bits that hold the clock identifier.
const CLOCK_BITS: u32 = 10;

/// A timestamp identifier: 53 bits of microseconds since 1970, then 10 bits of clock identifier.
///
/// Eight bytes and `Copy`; numeric order is the order of the 13-character text. The time is what its maker claimed,
/// no proof of when anything happened. <https://atproto.com/specs/tid>
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Tid(u64);

impl Tid {
    /// The last moment that a TID can tell, in microseconds since 1970: 53 bits, some day in the year 2255.
    pub const LAST_MICROS: u64 = (1 << 53) - 1;

    /// The TID of a moment, in microseconds since 1970, on the clock `clock_id`.
    ///
    /// Of `clock_id` the low ten bits count. A moment beyond 53 bits (the year 2255) becomes the last one there is,
    /// so that order is kept.
    #[must_use]
    pub fn from_micros(micros: u64, clock_id: u16) -> Self {
        Self(micros.min(Self::LAST_MICROS) << CLOCK_BITS | u64::from(clock_id) & ((1 << CLOCK_BITS) - 1))
    }

    /// The claimed moment, in microseconds since 1970.
    #[must_use]
    pub fn micros(self) -> u64 {
        self.0 >> CLOCK_BITS
    }

    /// The 63 bits as a number that also fits an `i64`; equal order. [`Tid::from_bits`] is the way back.
    #[must_use]
    pub fn bits(self) -> u64 {
        self.0
    }

    /// The TID of these bits, unless the top bit is set, which no TID has.
    #[must_use]
    pub fn from_bits(bits: u64) -> Option<Self> {
        (bits >> 63 == 0).then_some(Self(bits))
    }
}

impl FromStr for Tid {
    type Err = SyntaxError;

    fn from_str(text: &str) -> Result<Self, SyntaxError> {
        let kind = SyntaxKind::Tid;
        if text.len() != LENGTH {
            return Err(kind.expected("13 characters"));
        }
        let mut bits: u64 = 0;
        for (at, byte) in text.bytes().enumerate() {
            let digit = match byte {
                b'2'..=b'7' => byte - b'2',
                b'a'..=b'z' => byte - b'a' + 6,
                _ => return Err(kind.expected_at("a digit of base32-sortable", at)),
            };
            // 13 digits are 65 bits: the first may use only four of its five.
            if at == 0 && digit > 15 {
                return Err(kind.expected_at("a first character of '2' to '7' or 'a' to 'j'", 0));
            }
            bits = bits << 5 | u64::from(digit);
        }
        Self::from_bits(bits).ok_or(kind.expected("a clear top bit"))
    }
}

impl TryFrom<&str> for Tid {
    type Error = SyntaxError;

    fn try_from(text: &str) -> Result<Self, SyntaxError> {
        text.parse()
    }
}

impl TryFrom<String> for Tid {
    type Error = SyntaxError;

    fn try_from(text: String) -> Result<Self, SyntaxError> {
        text.parse()
    }
}

impl fmt::Display for Tid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut text = [0; LENGTH];
        let mut rest = self.0;
        for place in text.iter_mut().rev() {
            // The mask keeps the index inside the 32 digits.
            *place = ALPHABET.get((rest & 31) as usize).copied().unwrap_or(b'2');
            rest >>= 5;
        }
        f.pad(std::str::from_utf8(&text).unwrap_or_default())
    }
}

impl fmt::Debug for Tid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Tid({self})")
    }
}

impl serde::Serialize for Tid {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> serde::Deserialize<'de> for Tid {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_str(TextVisitor::new())
    }
}

/// Whether `text` is a timestamp identifier.
#[must_use]
pub fn is_tid(text: &str) -> bool {
    text.parse::<Tid>().is_ok()
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "tests")]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn the_extremes_are_spelled_as_the_specification_spells_them() {
        assert_eq!(Tid::from_micros(0, 0).to_string(), "2222222222222");
        assert_eq!(Tid::from_micros(u64::MAX, u16::MAX).to_string(), "bzzzzzzzzzzzz");
        assert_eq!(Tid::from_bits(1 << 63), None);
        assert_eq!("3jzfcijpj2z2a".parse::<Tid>().unwrap().micros(), 1_688_137_381_887_007);
    }

    proptest! {
        #[test]
        fn text_round_trips_and_orders_as_numbers_do(a in 0..1_u64 << 63, b in 0..1_u64 << 63) {
            let (a, b) = (Tid::from_bits(a).unwrap(), Tid::from_bits(b).unwrap());
            prop_assert_eq!(a.to_string().parse::<Tid>().unwrap(), a);
            prop_assert_eq!(a.cmp(&b), a.to_string().cmp(&b.to_string()));
        }

        #[test]
        fn a_moment_survives(micros in 0..=Tid::LAST_MICROS, clock: u16) {
            prop_assert_eq!(Tid::from_micros(micros, clock).micros(), micros);
        }

        #[test]
        fn no_text_makes_the_parser_panic(text in "\\PC{0,16}") {
            let _either_way_is_fine = text.parse::<Tid>();
        }
    }
}
