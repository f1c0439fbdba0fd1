//! Canonical JSON: the bytes that everything in the network is signed and hashed over.
//!
//! A decoded record or JSON text enters, and its one canonical text leaves, or the rule that it breaks. Only integers
//! exist, so that nothing is said about how to write other numbers; what two implementations would write differently has
//! no canonical form at all. Deliberately absent: which members a signature leaves out; its own room says so.
//!
//! Byte strings are written as base64 with its padding, links as `{"$link": …}`: so a record has one canonical form,
//! whether its author wrote bytes as such or as text.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use crate::block::json::write_text;
use crate::block::{Map, Value};

mod text;

/// Largest magnitude of an integer, 2^53 - 1: what every implementation holds exactly.
const SAFE_INTEGER: u64 = (1 << 53) - 1;

/// Why something has no canonical form.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum CanonicalError {
    /// A number with a fraction.
    #[error("{token} is not an integer")]
    Float {
        /// How it is written; long ones are cut.
        token: Box<str>,
    },
    /// A whole number that is written with a fraction, an exponent or a minus before zero.
    #[error("{token} is a whole number that is not written as one")]
    NonIntegerLiteral {
        /// How it is written; long ones are cut.
        token: Box<str>,
    },
    /// An integer beyond 2^53 - 1, to either side.
    #[error("{token} is beyond 2^53 - 1")]
    UnsafeInteger {
        /// The integer; long ones are cut.
        token: Box<str>,
    },
    /// A member whose name is not ASCII: in which order it comes is a matter of opinion.
    #[error("the member name {key:?} is not ascii")]
    NonAsciiKey {
        /// The name.
        key: Box<str>,
    },
    /// Half of a surrogate pair: JSON can write it, UTF-8 cannot.
    #[error("half of a surrogate pair at byte {at}")]
    LoneSurrogate {
        /// Where in the text.
        at: usize,
    },
    /// An object with a member twice: which one counts is a matter of opinion.
    #[error("the member {key:?} is there twice")]
    DuplicateKey {
        /// Its name.
        key: Box<str>,
    },
    /// Lists and objects nested deeper than [`limits::JSON_DEPTH`](crate::limits::JSON_DEPTH).
    #[error("nested deeper than {} levels", crate::limits::JSON_DEPTH)]
    TooDeep,
    /// Text that is not JSON.
    #[error("not json: expected {expected} at byte {at}")]
    Syntax {
        /// Where in the text.
        at: usize,
        /// What should stand there.
        expected: &'static str,
    },
}

/// A canonical text, in a buffer that is used again for the next.
#[derive(Debug, Clone, Default)]
pub struct Canonical {
    text: String,
}

impl Canonical {
    /// An empty buffer.
    #[must_use]
    pub const fn new() -> Self {
        Self { text: String::new() }
    }

    /// The canonical form of a record without some of its top-level members.
    ///
    /// # Errors
    ///
    /// [`CanonicalError`], also about a member whose place is inside one that stays.
    pub fn record(&mut self, body: &Map<'_>, without: &[&str]) -> Result<&[u8], CanonicalError> {
        let mut members = Vec::with_capacity(64);
        members.extend(body.iter().filter(|(key, _)| !without.contains(key)));
        self.text.clear();
        // Most records are shorter; growing to that by doubling would take eight steps.
        self.text.reserve(2_048);
        write_members(&mut self.text, 0, &mut members)?;
        Ok(self.text.as_bytes())
    }

    /// The canonical form of any value.
    ///
    /// # Errors
    ///
    /// [`CanonicalError`].
    pub fn value(&mut self, value: &Value<'_>) -> Result<&[u8], CanonicalError> {
        self.text.clear();
        write_value(&mut self.text, value, &mut Vec::new())?;
        Ok(self.text.as_bytes())
    }

    /// The canonical form of JSON text.
    ///
    /// The text is taken at its word: `1.0` and `-0` are refused although they are whole, as is a member that is there
    /// twice. An object with the one member `$bytes` is an object.
    ///
    /// # Errors
    ///
    /// [`CanonicalError`].
    pub fn json(&mut self, json: &str) -> Result<&[u8], CanonicalError> {
        self.text.clear();
        text::write_canonical(&mut self.text, json)?;
        Ok(self.text.as_bytes())
    }
}

/// Members of maps that are being written, those of the innermost last: one list for all levels.
type Members<'v> = Vec<(&'v str, &'v Value<'v>)>;

fn write_value<'v>(
    out: &mut String,
    value: &'v Value<'v>,
    members: &mut Members<'v>,
) -> Result<(), CanonicalError> {
    match value {
        Value::Null => out.push_str("null"),
        Value::Bool(true) => out.push_str("true"),
        Value::Bool(false) => out.push_str("false"),
        Value::Integer(integer) => write_integer(out, *integer)?,
        Value::Text(text) => write_text(out, text),
        Value::Bytes(bytes) => {
            out.push('"');
            STANDARD.encode_string(bytes, out);
            out.push('"');
        }
        Value::Link(cid) => {
            out.push_str("{\"$link\":\"");
            out.push_str(&cid.to_string());
            out.push_str("\"}");
        }
        Value::List(items) => {
            out.push('[');
            for (index, item) in items.iter().enumerate() {
                if index > 0 {
                    out.push(',');
                }
                write_value(out, item, members)?;
            }
            out.push(']');
        }
        Value::Map(map) => {
            let start = members.len();
            members.extend(map.iter());
            write_members(out, start, members)?;
        }
    }
    Ok(())
}

/// Writes the members from `start` on as an object, and takes them off the list.
fn write_members<'v>(
    out: &mut String,
    start: usize,
    members: &mut Members<'v>,
) -> Result<(), CanonicalError> {
    // A block sorts by length first, canonical JSON by the bytes alone.
    members.get_mut(start..).unwrap_or_default().sort_unstable_by_key(|(key, _)| *key);
    out.push('{');
    let mut at = start;
    let end = members.len();
    while let Some((key, value)) = members.get(at).copied().filter(|_| at < end) {
        if at > start {
            out.push(',');
        }
        write_key(out, key)?;
        write_value(out, value, members)?;
        at += 1;
    }
    members.truncate(start);
    out.push('}');
    Ok(())
}

fn write_key(out: &mut String, key: &str) -> Result<(), CanonicalError> {
    if !key.is_ascii() {
        return Err(CanonicalError::NonAsciiKey { key: key.into() });
    }
    write_text(out, key);
    out.push(':');
    Ok(())
}

fn write_integer(out: &mut String, integer: i64) -> Result<(), CanonicalError> {
    use std::fmt::Write as _;
    if integer.unsigned_abs() > SAFE_INTEGER {
        return Err(CanonicalError::UnsafeInteger { token: integer.to_string().into() });
    }
    // Writing to a `String` cannot fail.
    let _ = write!(out, "{integer}");
    Ok(())
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "tests")]
mod tests {
    use ipld_core::ipld::Ipld;
    use proptest::prelude::*;

    use super::*;
    use crate::block::{Cid, cbor, json};

    /// Blocks without bytes, which JSON has two forms for, and a few without a canonical form.
    fn block() -> impl Strategy<Value = Vec<u8>> {
        let leaf = prop_oneof![
            Just(Ipld::Null),
            any::<bool>().prop_map(Ipld::Bool),
            (-(1_i64 << 53)..1 << 53).prop_map(|n| Ipld::Integer(n.into())),
            ".{0,12}".prop_map(Ipld::String),
            any::<[u8; 4]>().prop_map(|seed| Ipld::Link(Cid::of(&seed).into())),
        ];
        leaf.prop_recursive(4, 48, 8, |inner| {
            prop_oneof![
                proptest::collection::vec(inner.clone(), 0..6).prop_map(Ipld::List),
                proptest::collection::btree_map("[ -~]{0,5}|é", inner, 0..8).prop_map(Ipld::Map),
            ]
        })
        .prop_map(|ipld| serde_ipld_dagcbor::to_vec(&ipld).unwrap())
    }

    proptest! {
        #[test]
        fn a_block_and_its_json_have_the_same_canonical_form(block in block()) {
            let (mut of_block, mut of_json) = (Canonical::new(), Canonical::new());
            let text = json::to_json(&block).unwrap();
            let value = cbor::decode(&block).unwrap();
            match (of_block.value(&value), of_json.json(&text)) {
                (Ok(block), Ok(json)) => prop_assert_eq!(block, json),
                (block, json) => prop_assert!(block.is_err() && json.is_err(), "{:?} {:?}", block, json),
            }
        }
    }

    #[test]
    fn members_go_away_at_the_top_only_and_order_is_by_bytes() {
        let inner = Map::from_entries(vec![("sig", Value::Integer(1)), ("b", Value::Null)]);
        let body = Map::from_entries(vec![
            ("sig", Value::Text("x")),
            ("bb", Value::Map(inner)),
            ("c", Value::Bytes(&[0xfb])),
        ]);
        let mut canonical = Canonical::new();
        assert_eq!(canonical.record(&body, &["sig"]).unwrap(), br#"{"bb":{"b":null,"sig":1},"c":"+w=="}"#);
        assert_eq!(canonical.value(&Value::Integer(-7)).unwrap(), b"-7", "the buffer starts anew");
    }

    #[test]
    fn what_breaks_a_rule_is_named() {
        let mut canonical = Canonical::new();
        let key = Value::Map(Map::from_entries(vec![("é", Value::Null)]));
        assert_eq!(canonical.value(&key), Err(CanonicalError::NonAsciiKey { key: "é".into() }));
        let beyond = Value::List(vec![Value::Integer(i64::MIN)]);
        assert_eq!(
            canonical.value(&beyond).unwrap_err().to_string(),
            "-9223372036854775808 is beyond 2^53 - 1"
        );
    }
}
