//! What a block holds, borrowed from its bytes: one item of the AT data model, and its maps in canonical order.
//!
//! Deliberately absent: how any of it is read or written.

use super::canonical_order;
use crate::block::Cid;

/// One item of the AT data model, borrowing its text and bytes from the block.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Value<'a> {
    /// `null`
    Null,
    /// `true` or `false`
    Bool(bool),
    /// A signed 64-bit integer.
    Integer(i64),
    /// UTF-8 text.
    Text(&'a str),
    /// A byte string.
    Bytes(&'a [u8]),
    /// A link to a block (tag 42).
    Link(Cid),
    /// A list.
    List(Vec<Value<'a>>),
    /// A map with text keys.
    Map(Map<'a>),
}

impl<'a> Value<'a> {
    /// The map inside, if it is one.
    #[must_use]
    pub const fn as_map(&self) -> Option<&Map<'a>> {
        match self {
            Self::Map(map) => Some(map),
            _ => None,
        }
    }

    /// The text inside, if it is text.
    #[must_use]
    pub const fn as_text(&self) -> Option<&'a str> {
        match self {
            Self::Text(text) => Some(text),
            _ => None,
        }
    }

    /// The integer inside, if it is one.
    #[must_use]
    pub const fn as_integer(&self) -> Option<i64> {
        match self {
            Self::Integer(integer) => Some(*integer),
            _ => None,
        }
    }

    /// The boolean inside, if it is one.
    #[must_use]
    pub const fn as_bool(&self) -> Option<bool> {
        match self {
            Self::Bool(bool) => Some(*bool),
            _ => None,
        }
    }
}

/// A map in canonical order: by key length, then by the key's bytes; no key twice.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Map<'a>(pub(super) Vec<(&'a str, Value<'a>)>);

impl<'a> Map<'a> {
    /// Sorts `entries` into canonical order; of a key given twice, the last one stays.
    #[must_use]
    pub fn from_entries(mut entries: Vec<(&'a str, Value<'a>)>) -> Self {
        entries.reverse();
        entries.sort_by(|a, b| canonical_order(a.0.as_bytes(), b.0.as_bytes()));
        entries.dedup_by(|later, kept| later.0 == kept.0);
        Self(entries)
    }

    /// The value of `key`.
    #[must_use]
    pub fn get(&self, key: &str) -> Option<&Value<'a>> {
        // Records have a dozen members: scanning beats bisecting, and length alone tells most keys apart.
        self.0.iter().find(|(name, _)| *name == key).map(|(_, value)| value)
    }

    /// The text at `key`, if it is text.
    #[must_use]
    pub fn text(&self, key: &str) -> Option<&'a str> {
        self.get(key)?.as_text()
    }

    /// The integer at `key`, if it is one.
    #[must_use]
    pub fn integer(&self, key: &str) -> Option<i64> {
        self.get(key)?.as_integer()
    }

    /// The map at `key`, if it is one.
    #[must_use]
    pub fn map(&self, key: &str) -> Option<&Map<'a>> {
        self.get(key)?.as_map()
    }

    /// Keys and values in canonical order.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = (&'a str, &Value<'a>)> {
        self.0.iter().map(|(key, value)| (*key, value))
    }

    /// How many keys it has.
    #[must_use]
    pub const fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether it has none.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}
