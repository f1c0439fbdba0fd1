//! The part of CBOR that App Attest structures are made of.
//!
//! Bytes enter, an [`Item`] that borrows from them leaves, with the rules it breaks. Definite lengths of at most 32 bits,
//! integers, bytes, text, lists and maps with text keys: what two verifiers of this network read alike. It is not the
//! data model's CBOR: keys may be in any order and there twice, lengths need not be short, and something may follow.

use super::chain::Deviation;
use crate::limits;

/// One item.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Item<'a> {
    /// An integer; which one does not matter to anyone here.
    Integer,
    Bytes(&'a [u8]),
    Text(&'a str),
    List(Vec<Item<'a>>),
    Map(Vec<(&'a str, Item<'a>)>),
}

impl<'a> Item<'a> {
    /// The last value of a key.
    pub(super) fn get(&self, key: &str) -> Option<&Self> {
        match self {
            Self::Map(members) => members.iter().rev().find(|(name, _)| *name == key).map(|(_, item)| item),
            _ => None,
        }
    }

    pub(super) const fn as_bytes(&self) -> Option<&'a [u8]> {
        match self {
            Self::Bytes(bytes) => Some(bytes),
            _ => None,
        }
    }
}

/// Reads one item, and what about it a stricter reader would refuse.
pub(super) fn read(bytes: &[u8]) -> Option<(Item<'_>, Vec<Deviation>)> {
    let mut reader = Reader { rest: bytes, deviations: Vec::new() };
    let item = reader.item(0)?;
    if !reader.rest.is_empty() {
        reader.deviations.push(Deviation::CborTrailingBytes);
    }
    Some((item, reader.deviations))
}

struct Reader<'a> {
    rest: &'a [u8],
    deviations: Vec<Deviation>,
}

impl<'a> Reader<'a> {
    /// The major type of the next item and its argument.
    fn head(&mut self) -> Option<(u8, usize)> {
        let (initial, rest) = self.rest.split_first()?;
        let width = match initial & 0x1f {
            short @ 0..=23 => {
                self.rest = rest;
                return Some((initial >> 5, usize::from(short)));
            }
            24 => 1,
            25 => 2,
            26 => 4,
            _ => return None,
        };
        let (argument, rest) = rest.split_at_checked(width)?;
        self.rest = rest;
        let argument = argument.iter().fold(0_u32, |value, byte| (value << 8) | u32::from(*byte));
        Some((initial >> 5, usize::try_from(argument).ok()?))
    }

    fn take(&mut self, length: usize) -> Option<&'a [u8]> {
        let (taken, rest) = self.rest.split_at_checked(length)?;
        self.rest = rest;
        Some(taken)
    }

    fn item(&mut self, depth: usize) -> Option<Item<'a>> {
        if depth > limits::CBOR_DEPTH {
            return None;
        }
        Some(match self.head()? {
            (0 | 1, _) => Item::Integer,
            (2, length) => Item::Bytes(self.take(length)?),
            (3, length) => Item::Text(std::str::from_utf8(self.take(length)?).ok()?),
            (4, count) => {
                // A count that the bytes cannot hold ends the loop with them.
                let mut items = Vec::with_capacity(count.min(8));
                for _ in 0..count {
                    items.push(self.item(depth + 1)?);
                }
                Item::List(items)
            }
            (5, count) => {
                let mut members: Vec<(&str, Item<'_>)> = Vec::with_capacity(count.min(8));
                for _ in 0..count {
                    let Item::Text(key) = self.item(depth + 1)? else {
                        return None;
                    };
                    members.push((key, self.item(depth + 1)?));
                }
                let mut keys: Vec<&str> = members.iter().map(|(key, _)| *key).collect();
                keys.sort_unstable();
                keys.dedup();
                if keys.len() < members.len() {
                    self.deviations.push(Deviation::CborDuplicateKey);
                }
                Item::Map(members)
            }
            _ => return None,
        })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn what_two_verifiers_read_differently_is_not_read() {
        for refused in
            [&b"\xa1\x01\x02"[..], b"\xc0\x61a", b"\xf5", b"\xf6", b"\xbf\xff", b"\x9f\xff", b"", b"\x42a"]
        {
            assert_eq!(read(refused), None, "{refused:02x?}");
        }
        assert_eq!(read(b"\x5b\0\0\0\0\0\0\0\x01a"), None, "64-bit lengths");
        assert_eq!(read(b"\x9a\xff\xff\xff\xff"), None, "a count that lies");
        assert_eq!(read(&[0x81; 100_000]), None, "nested too deep");
    }

    #[test]
    fn of_a_key_twice_the_last_counts_and_it_is_told() {
        let (item, deviations) =
            read(b"\xa2\x61a\x41x\x61a\x59\0\x01y\0").unwrap_or((Item::Integer, Vec::new()));
        assert_eq!(item.get("a").and_then(Item::as_bytes), Some(&b"y"[..]));
        assert_eq!(deviations, [Deviation::CborDuplicateKey, Deviation::CborTrailingBytes]);
    }

    proptest! {
        #[test]
        fn no_bytes_make_the_reader_panic(bytes in proptest::collection::vec(any::<u8>(), 0..64)) {
            let _either_way_is_fine = read(&bytes);
        }
    }
}
