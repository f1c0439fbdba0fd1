//! Strict DAG-CBOR: canonical or an error.
//!
//! The bytes of a block enter, a borrowed [`Value`] leaves, or an error that names the broken rule and its place.
//! [`Reader`] (`reader`) is the pull parser underneath; the frame, commit and tree rooms read their few fields with it directly.
//! `value` is what a block holds, `write` the way back.
//! Deliberately absent: floats, `undefined`, indefinite lengths and tags other than 42 have no representation, so no
//! later room can meet one. Rejected alternative: `serde_ipld_dagcbor` for the hot path (it skips unknown members
//! unchecked, admits floats, and costs four times as much); it decodes the typed views, where neither matters.
//!
//! Follows the [data model](https://atproto.com/specs/data-model) and
//! [DAG-CBOR](https://ipld.io/specs/codecs/dag-cbor/spec/).

mod reader;
mod value;
mod write;

use std::cmp::Ordering;

use super::BlockError;

pub use reader::{Form, Kind, Reader};
pub use value::{Map, Value};
pub(crate) use write::{write_bytes, write_head, write_integer, write_link, write_text};

/// What a link starts with: tag 42, 37 bytes, and the zero that marks a binary CID.
const LINK_HEAD: [u8; 5] = [0xd8, 0x2a, 0x58, 0x25, 0x00];

/// Decodes one whole block.
///
/// # Errors
///
/// Anything that is not exactly one canonical item of the data model, nested at most
/// [`CBOR_DEPTH`](crate::limits::CBOR_DEPTH) deep.
pub fn decode(block: &[u8]) -> Result<Value<'_>, BlockError> {
    let mut reader = Reader::canonical(block);
    let value = reader.value(0)?;
    reader.end()?;
    Ok(value)
}

/// Encodes a value; the inverse of [`decode`] on what it accepts.
#[must_use]
pub fn encode(value: &Value<'_>) -> Vec<u8> {
    let mut out = Vec::with_capacity(256);
    write::write_value(&mut out, value);
    out
}

/// DAG-CBOR's order of map keys: by length, then by bytes.
#[inline]
pub(crate) fn canonical_order(a: &[u8], b: &[u8]) -> Ordering {
    // The first bytes alone tell most keys of one length apart.
    a.len().cmp(&b.len()).then_with(|| a.first().cmp(&b.first())).then_with(|| a.cmp(b))
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "tests")]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::block::Cid;
    use crate::limits;

    fn rule(block: &[u8]) -> &'static str {
        match decode(block).unwrap_err() {
            BlockError::NotCanonical { rule, .. } | BlockError::DataModel { rule, .. } => rule,
            BlockError::Truncated { .. } => "truncated",
            BlockError::TrailingBytes { .. } => "trailing",
            BlockError::TooDeep => "too deep",
            other => panic!("{other}"),
        }
    }

    #[test]
    fn every_departure_from_the_canonical_form_is_refused_by_its_rule() {
        for (block, expected) in [
            (&b"\x9f\xff"[..], "lengths must be definite"),
            (b"\xbf\xff", "lengths must be definite"),
            (b"\x7f\x61a\xff", "lengths must be definite"),
            (b"\x5f\x41a\xff", "lengths must be definite"),
            (b"\x18\x17", "integers and lengths must take their shortest form"),
            (b"\x19\x00\xff", "integers and lengths must take their shortest form"),
            (b"\x1a\x00\x00\xff\xff", "integers and lengths must take their shortest form"),
            (b"\x1b\x00\x00\x00\x00\xff\xff\xff\xff", "integers and lengths must take their shortest form"),
            (b"\x78\x01a", "integers and lengths must take their shortest form"),
            (b"\xa2\x62aa\x01\x61b\x02", "map keys must be sorted by length, then bytes"),
            (b"\xa2\x61b\x01\x61a\x02", "map keys must be sorted by length, then bytes"),
            (b"\xa2\x61a\x01\x61a\x02", "map keys must be unique"),
            (b"\xf9\x3c\x00", "floats have no place"),
            (b"\xfa\x3f\x80\x00\x00", "floats have no place"),
            (b"\xfb\x3f\xf0\x00\x00\x00\x00\x00\x00", "floats have no place"),
            (b"\xf7", "undefined has no place"),
            (b"\xf0", "simple values other than true, false and null have no place"),
            (b"\xf8\xff", "simple values other than true, false and null have no place"),
            (b"\xc0\x61a", "tags other than 42 have no place"),
            (b"\x61\xff", "text must be utf-8"),
            (b"\x63\xed\xa0\x80", "text must be utf-8"),
            (b"\x1b\x80\x00\x00\x00\x00\x00\x00\x00", "integers must fit 64 bits with a sign"),
            (b"\x3b\x80\x00\x00\x00\x00\x00\x00\x00", "integers must fit 64 bits with a sign"),
            (b"\x1c", "reserved additional information"),
            (b"\x01\x01", "trailing"),
            (b"", "truncated"),
            (b"\x62a", "truncated"),
            (b"\x9b\x00\x00\x01\x00\x00\x00\x00\x00", "truncated"),
            (b"\xbb\x7f\xff\xff\xff\xff\xff\xff\xff", "truncated"),
            (b"\x5b\x7f\xff\xff\xff\xff\xff\xff\xff", "truncated"),
        ] {
            assert_eq!(rule(block), expected, "{block:02x?}");
        }
        assert!(matches!(decode(b"\xa1\x01\x02"), Err(BlockError::Unexpected { .. })), "integer keys");
        assert!(matches!(decode(b"\xd8\x2a\x41\x00"), Err(BlockError::UnsupportedCid { .. })));
    }

    #[test]
    fn nesting_ends_at_the_limit_without_exhausting_a_small_stack() {
        let nested = |depth: usize| [vec![0x81; depth], vec![0x01]].concat();
        let small = std::thread::Builder::new().stack_size(256 * 1024);
        small
            .spawn(move || {
                assert!(decode(&nested(limits::CBOR_DEPTH)).is_ok());
                assert_eq!(decode(&nested(limits::CBOR_DEPTH + 1)), Err(BlockError::TooDeep));
                assert_eq!(decode(&nested(1_000_000)), Err(BlockError::TooDeep));
                assert_eq!(Reader::canonical(&nested(1_000_000)).skip(0), Err(BlockError::TooDeep));
            })
            .unwrap()
            .join()
            .unwrap();
    }

    #[test]
    fn an_envelope_may_be_out_of_order_and_is_counted() {
        let mut reader = Reader::lenient(b"\xa2\x62aa\x18\x01\x61b\x02");
        reader.skip(0).unwrap();
        assert_eq!((reader.deviations(), reader.end()), (2, Ok(())));
        assert!(Reader::lenient(b"\xa2\x61a\x01\x61a\x02").skip(0).is_err(), "a key twice is ambiguous");
    }

    fn canonical_bytes() -> impl Strategy<Value = Vec<u8>> {
        use ipld_core::ipld::Ipld;
        let leaf = prop_oneof![
            Just(Ipld::Null),
            any::<bool>().prop_map(Ipld::Bool),
            any::<i64>().prop_map(|n| Ipld::Integer(n.into())),
            ".{0,12}".prop_map(Ipld::String),
            proptest::collection::vec(any::<u8>(), 0..40).prop_map(Ipld::Bytes),
            any::<[u8; 4]>().prop_map(|seed| Ipld::Link(Cid::of(&seed).into())),
        ];
        leaf.prop_recursive(5, 64, 8, |inner| {
            prop_oneof![
                proptest::collection::vec(inner.clone(), 0..8).prop_map(Ipld::List),
                proptest::collection::btree_map(".{0,9}", inner, 0..8).prop_map(Ipld::Map),
            ]
        })
        .prop_map(|ipld| serde_ipld_dagcbor::to_vec(&ipld).unwrap())
    }

    proptest! {
        #[test]
        fn what_another_encoder_writes_comes_back_byte_for_byte(block in canonical_bytes()) {
            let value = decode(&block).unwrap();
            prop_assert_eq!(encode(&value), block.clone());
            let mut reader = Reader::canonical(&block);
            reader.skip(0).unwrap();
            prop_assert_eq!(reader.end(), Ok(()));
        }

        #[test]
        fn whatever_is_accepted_is_canonical(bytes in proptest::collection::vec(any::<u8>(), 0..64)) {
            if let Ok(value) = decode(&bytes) {
                prop_assert_eq!(encode(&value), bytes.clone());
                let theirs: ipld_core::ipld::Ipld = serde_ipld_dagcbor::from_slice(&bytes).unwrap();
                prop_assert_eq!(serde_ipld_dagcbor::to_vec(&theirs).unwrap(), bytes);
            }
        }
    }
}
