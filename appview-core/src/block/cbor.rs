//! Strict DAG-CBOR: canonical or an error.
//!
//! The bytes of a block enter, a borrowed [`Value`] leaves, or an error that names the broken rule and its place.
//! [`Reader`] is the pull parser underneath; the frame, commit and tree rooms read their few fields with it directly.
//! In its lenient form (event envelopes only) it accepts long integer forms and any key order, and counts them.
//! Deliberately absent: floats, `undefined`, indefinite lengths and tags other than 42 have no representation, so no
//! later room can meet one. Rejected alternative: `serde_ipld_dagcbor` for the hot path (it skips unknown members
//! unchecked, admits floats, and costs four times as much); it decodes the typed views, where neither matters.
//!
//! Follows the [data model](https://atproto.com/specs/data-model) and
//! [DAG-CBOR](https://ipld.io/specs/codecs/dag-cbor/spec/).

use std::cmp::Ordering;

use super::{BlockError, Cid};
use crate::limits;

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
pub struct Map<'a>(Vec<(&'a str, Value<'a>)>);

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

/// Decodes one whole block.
///
/// # Errors
///
/// Anything that is not exactly one canonical item of the data model, nested at most
/// [`limits::CBOR_DEPTH`] deep.
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
    write_value(&mut out, value);
    out
}

/// How faithfully a sender must follow the canonical form.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Form {
    /// Blocks: canonical or refused, because their bytes are what a signature covers.
    Canonical,
    /// Event envelopes: long integers and any key order are read and counted.
    Lenient,
}

/// What a link starts with: tag 42, 37 bytes, and the zero that marks a binary CID.
const LINK_HEAD: [u8; 5] = [0xd8, 0x2a, 0x58, 0x25, 0x00];

/// Kinds of items, by CBOR's major type.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Major type 0.
    Unsigned,
    /// Major type 1.
    Negative,
    /// Major type 2.
    Bytes,
    /// Major type 3.
    Text,
    /// Major type 4.
    List,
    /// Major type 5.
    Map,
    /// Major type 6.
    Tag,
    /// Major type 7: booleans and null (and what the data model refuses).
    Simple,
}

impl Kind {
    const fn of(initial: u8) -> Self {
        match initial >> 5 {
            0 => Self::Unsigned,
            1 => Self::Negative,
            2 => Self::Bytes,
            3 => Self::Text,
            4 => Self::List,
            5 => Self::Map,
            6 => Self::Tag,
            _ => Self::Simple,
        }
    }

    const fn name(self) -> &'static str {
        match self {
            Self::Unsigned | Self::Negative => "an integer",
            Self::Bytes => "bytes",
            Self::Text => "text",
            Self::List => "a list",
            Self::Map => "a map",
            Self::Tag => "a link",
            Self::Simple => "a simple value",
        }
    }
}

/// A pull parser over one input; allocates nothing of its own.
#[derive(Debug, Clone)]
pub struct Reader<'a> {
    rest: &'a [u8],
    total: usize,
    form: Form,
    deviations: u32,
}

impl<'a> Reader<'a> {
    /// Reads a block.
    #[must_use]
    pub const fn canonical(bytes: &'a [u8]) -> Self {
        Self { rest: bytes, total: bytes.len(), form: Form::Canonical, deviations: 0 }
    }

    /// Reads an event envelope.
    #[must_use]
    pub const fn lenient(bytes: &'a [u8]) -> Self {
        Self { rest: bytes, total: bytes.len(), form: Form::Lenient, deviations: 0 }
    }

    /// How many times the input left the canonical form so far; always 0 for [`Form::Canonical`].
    #[must_use]
    pub const fn deviations(&self) -> u32 {
        self.deviations
    }

    /// What has not been read.
    #[must_use]
    pub const fn rest(&self) -> &'a [u8] {
        self.rest
    }

    /// Position in the input, in bytes.
    #[must_use]
    pub const fn offset(&self) -> usize {
        self.total.saturating_sub(self.rest.len())
    }

    /// Checks that nothing is left.
    ///
    /// # Errors
    ///
    /// [`BlockError::TrailingBytes`].
    pub const fn end(&self) -> Result<(), BlockError> {
        match self.rest.len() {
            0 => Ok(()),
            extra => Err(BlockError::TrailingBytes { extra }),
        }
    }

    /// The kind of the next item, without reading it.
    ///
    /// # Errors
    ///
    /// [`BlockError::Truncated`] at the end of the input.
    pub fn peek(&self) -> Result<Kind, BlockError> {
        self.rest.first().map(|initial| Kind::of(*initial)).ok_or_else(|| self.truncated())
    }

    /// Reads the head of an item: its kind and its argument.
    #[inline]
    fn head(&mut self) -> Result<(Kind, u64), BlockError> {
        let offset = self.offset();
        let (&initial, rest) = self.rest.split_first().ok_or_else(|| self.truncated())?;
        let kind = Kind::of(initial);
        let (argument, rest, shortest) = match initial & 0x1f {
            short @ 0..=23 => (u64::from(short), rest, true),
            24 => {
                let (&[byte], rest) = rest.split_first_chunk().ok_or_else(|| self.truncated())?;
                (u64::from(byte), rest, byte >= 24)
            }
            25 => {
                let (bytes, rest) = rest.split_first_chunk().ok_or_else(|| self.truncated())?;
                let value = u16::from_be_bytes(*bytes);
                (u64::from(value), rest, value > u16::from(u8::MAX))
            }
            26 => {
                let (bytes, rest) = rest.split_first_chunk().ok_or_else(|| self.truncated())?;
                let value = u32::from_be_bytes(*bytes);
                (u64::from(value), rest, value > u32::from(u16::MAX))
            }
            27 => {
                let (bytes, rest) = rest.split_first_chunk().ok_or_else(|| self.truncated())?;
                let value = u64::from_be_bytes(*bytes);
                (value, rest, value > u64::from(u32::MAX))
            }
            31 => {
                return Err(BlockError::NotCanonical { offset, rule: "lengths must be definite" });
            }
            _ => {
                return Err(BlockError::NotCanonical { offset, rule: "reserved additional information" });
            }
        };
        if kind == Kind::Simple {
            // Additional information of 24 to 27 is a one-byte simple value or a float, not a length.
            let rule = match initial & 0x1f {
                20..=22 => None,
                23 => Some("undefined has no place"),
                25..=27 => Some("floats have no place"),
                _ => Some("simple values other than true, false and null have no place"),
            };
            if let Some(rule) = rule {
                return Err(BlockError::DataModel { offset, rule });
            }
        } else if !shortest {
            self.deviate(offset, "integers and lengths must take their shortest form")?;
        }
        self.rest = rest;
        Ok((kind, argument))
    }

    /// Reads a map's head.
    ///
    /// # Errors
    ///
    /// Anything else there; a claim of more entries than there are bytes.
    pub fn map(&mut self) -> Result<usize, BlockError> {
        // Every entry takes two bytes at least, so a hostile count is refused before anyone reserves memory for it.
        self.container(Kind::Map, 2)
    }

    /// Reads a list's head.
    ///
    /// # Errors
    ///
    /// As [`Reader::map`].
    pub fn list(&mut self) -> Result<usize, BlockError> {
        self.container(Kind::List, 1)
    }

    fn container(&mut self, expected: Kind, bytes_per_item: usize) -> Result<usize, BlockError> {
        let claimed = self.expect(expected)?;
        match usize::try_from(claimed) {
            Ok(count) if count <= self.rest.len() / bytes_per_item => Ok(count),
            _ => Err(self.truncated()),
        }
    }

    /// Reads text.
    ///
    /// # Errors
    ///
    /// Anything else there, or text that is not UTF-8.
    #[inline]
    pub fn text(&mut self) -> Result<&'a str, BlockError> {
        let offset = self.offset();
        utf8(self.text_bytes()?, offset)
    }

    /// Reads text, and leaves open whether it is UTF-8: for what is only compared with text that is.
    ///
    /// # Errors
    ///
    /// Anything else there.
    #[inline]
    pub fn text_bytes(&mut self) -> Result<&'a [u8], BlockError> {
        let length = self.expect(Kind::Text)?;
        self.take(length)
    }

    /// Reads a byte string.
    ///
    /// # Errors
    ///
    /// Anything else there.
    #[inline]
    pub fn bytes(&mut self) -> Result<&'a [u8], BlockError> {
        let length = self.expect(Kind::Bytes)?;
        self.take(length)
    }

    /// Reads a link.
    ///
    /// # Errors
    ///
    /// Any other tag, or a CID of another shape than [`Cid`].
    pub fn link(&mut self) -> Result<Cid, BlockError> {
        if let Some(link) = self.rest.strip_prefix(&LINK_HEAD)
            && let Ok((cid, rest)) = Cid::decode_prefix(link)
        {
            self.rest = rest;
            return Ok(cid);
        }
        self.odd_link()
    }

    /// Reads a link that is not of the one usual form, most often to say why.
    #[cold]
    fn odd_link(&mut self) -> Result<Cid, BlockError> {
        let offset = self.offset();
        if self.expect(Kind::Tag)? != 42 {
            return Err(BlockError::DataModel { offset, rule: "tags other than 42 have no place" });
        }
        match self.bytes()?.split_first() {
            Some((0, cid)) => Cid::decode(cid),
            _ => Err(BlockError::UnsupportedCid { reason: "link does not start with a zero byte" }),
        }
    }

    /// Reads a link, or `null`.
    ///
    /// # Errors
    ///
    /// As [`Reader::link`].
    pub fn link_or_null(&mut self) -> Result<Option<Cid>, BlockError> {
        if self.null()? { Ok(None) } else { self.link().map(Some) }
    }

    /// Reads `null` if it stands there, and says whether it did.
    ///
    /// # Errors
    ///
    /// [`BlockError::Truncated`].
    pub fn null(&mut self) -> Result<bool, BlockError> {
        match self.rest.split_first() {
            Some((0xf6, rest)) => {
                self.rest = rest;
                Ok(true)
            }
            Some(_) => Ok(false),
            None => Err(self.truncated()),
        }
    }

    /// Reads `true` or `false`.
    ///
    /// # Errors
    ///
    /// Anything else there.
    pub fn bool(&mut self) -> Result<bool, BlockError> {
        let offset = self.offset();
        match self.head()? {
            (Kind::Simple, 20) => Ok(false),
            (Kind::Simple, 21) => Ok(true),
            (kind, _) => Err(BlockError::Unexpected { offset, expected: "a boolean", found: kind.name() }),
        }
    }

    /// Reads an integer of either sign.
    ///
    /// # Errors
    ///
    /// Anything else there, or an integer beyond 64 bits.
    #[inline]
    pub fn integer(&mut self) -> Result<i64, BlockError> {
        let offset = self.offset();
        let beyond = BlockError::DataModel { offset, rule: "integers must fit 64 bits with a sign" };
        match self.head()? {
            (Kind::Unsigned, argument) => i64::try_from(argument).map_err(|_| beyond),
            // The encoding of -1 is 0, of -2 is 1: the complement, never an overflow.
            (Kind::Negative, argument) => i64::try_from(argument).map(|n| !n).map_err(|_| beyond),
            (kind, _) => Err(BlockError::Unexpected { offset, expected: "an integer", found: kind.name() }),
        }
    }

    /// Reads a map key and checks its place after `previous`.
    ///
    /// # Errors
    ///
    /// Anything but text; a key twice; in the canonical form, a key out of order.
    #[inline]
    pub fn key(&mut self, previous: Option<&str>) -> Result<&'a str, BlockError> {
        let offset = self.offset();
        utf8(self.key_bytes(previous.map(str::as_bytes))?, offset)
    }

    /// As [`Reader::key`], but leaves open whether the key is UTF-8: one that equals a known key is, and
    /// [`Reader::skip_value`] looks at all others.
    ///
    /// # Errors
    ///
    /// As [`Reader::key`].
    #[inline(always)]
    pub fn key_bytes(&mut self, previous: Option<&[u8]>) -> Result<&'a [u8], BlockError> {
        let offset = self.offset();
        let key = self.text_bytes()?;
        if let Some(previous) = previous {
            match canonical_order(previous, key) {
                Ordering::Less => {}
                misplaced => self.misplaced_key(offset, misplaced)?,
            }
        }
        Ok(key)
    }

    #[cold]
    fn misplaced_key(&mut self, offset: usize, order: Ordering) -> Result<(), BlockError> {
        match order {
            Ordering::Equal => Err(BlockError::NotCanonical { offset, rule: "map keys must be unique" }),
            _ => self.deviate(offset, "map keys must be sorted by length, then bytes"),
        }
    }

    /// Passes over the next map key if it is this one, of at most 23 bytes, and says whether it was.
    #[inline]
    pub fn next_key_is(&mut self, key: &str) -> bool {
        let after = match self.rest.split_first() {
            Some((head, rest)) if usize::from(*head) == 0x60 + key.len() => rest.strip_prefix(key.as_bytes()),
            _ => None,
        };
        self.rest = after.unwrap_or(self.rest);
        after.is_some()
    }

    /// Passes over one item, checking it as [`decode`] would but keeping nothing.
    ///
    /// # Errors
    ///
    /// As [`decode`].
    pub fn skip(&mut self, depth: usize) -> Result<(), BlockError> {
        match self.peek()? {
            Kind::Unsigned | Kind::Negative => self.integer().map(drop),
            Kind::Bytes => self.bytes().map(drop),
            Kind::Text => self.text().map(drop),
            Kind::Tag => self.link().map(drop),
            Kind::Simple => self.head().map(drop),
            Kind::List => {
                let depth = deeper(depth)?;
                for _ in 0..self.list()? {
                    self.skip(depth)?;
                }
                Ok(())
            }
            Kind::Map => {
                let depth = deeper(depth)?;
                let mut previous = None;
                for _ in 0..self.map()? {
                    previous = Some(self.key(previous)?);
                    self.skip(depth)?;
                }
                Ok(())
            }
        }
    }

    /// Passes over the value of `key`, which [`Reader::key_bytes`] gave and nobody knew.
    ///
    /// # Errors
    ///
    /// As [`Reader::skip`]; a key that is not UTF-8.
    pub fn skip_value(&mut self, key: &[u8]) -> Result<(), BlockError> {
        utf8(key, self.offset().saturating_sub(key.len()))?;
        self.skip(0)
    }

    fn value(&mut self, depth: usize) -> Result<Value<'a>, BlockError> {
        Ok(match self.peek()? {
            Kind::Unsigned | Kind::Negative => Value::Integer(self.integer()?),
            Kind::Bytes => Value::Bytes(self.bytes()?),
            Kind::Text => Value::Text(self.text()?),
            Kind::Tag => Value::Link(self.link()?),
            Kind::Simple => match self.head()?.1 {
                20 => Value::Bool(false),
                21 => Value::Bool(true),
                _ => Value::Null,
            },
            Kind::List => {
                let depth = deeper(depth)?;
                let count = self.list()?;
                // Reserved in steps: a count that the bytes cannot hold is refused above, one that they can hold
                // still takes 32 bytes of memory for each byte of input.
                let mut items = Vec::with_capacity(count.min(64));
                for _ in 0..count {
                    items.push(self.value(depth)?);
                }
                Value::List(items)
            }
            Kind::Map => {
                let depth = deeper(depth)?;
                let count = self.map()?;
                let mut entries: Vec<(&str, Value<'_>)> = Vec::with_capacity(count.min(32));
                for _ in 0..count {
                    let key = self.key(entries.last().map(|(key, _)| *key))?;
                    entries.push((key, self.value(depth)?));
                }
                Value::Map(Map(entries))
            }
        })
    }

    #[inline]
    fn expect(&mut self, expected: Kind) -> Result<u64, BlockError> {
        // Nearly every head takes one byte or two; all others are read out of line.
        let major = (expected as u8) << 5;
        match *self.rest {
            [initial, ref rest @ ..] if initial & 0xe0 == major && initial & 0x1f < 24 => {
                self.rest = rest;
                Ok(u64::from(initial & 0x1f))
            }
            [initial, argument, ref rest @ ..] if initial == major | 24 && argument >= 24 => {
                self.rest = rest;
                Ok(u64::from(argument))
            }
            _ => self.expect_head(expected),
        }
    }

    #[inline(never)]
    fn expect_head(&mut self, expected: Kind) -> Result<u64, BlockError> {
        let offset = self.offset();
        match self.head()? {
            (kind, argument) if kind == expected => Ok(argument),
            (kind, _) => {
                Err(BlockError::Unexpected { offset, expected: expected.name(), found: kind.name() })
            }
        }
    }

    #[inline]
    fn take(&mut self, length: u64) -> Result<&'a [u8], BlockError> {
        let taken = usize::try_from(length).ok().and_then(|length| self.rest.split_at_checked(length));
        let (taken, rest) = taken.ok_or_else(|| self.truncated())?;
        self.rest = rest;
        Ok(taken)
    }

    fn deviate(&mut self, offset: usize, rule: &'static str) -> Result<(), BlockError> {
        match self.form {
            Form::Canonical => Err(BlockError::NotCanonical { offset, rule }),
            Form::Lenient => {
                self.deviations = self.deviations.saturating_add(1);
                Ok(())
            }
        }
    }

    const fn truncated(&self) -> BlockError {
        BlockError::Truncated { offset: self.offset() }
    }
}

fn utf8(bytes: &[u8], offset: usize) -> Result<&str, BlockError> {
    std::str::from_utf8(bytes).map_err(|_| BlockError::DataModel { offset, rule: "text must be utf-8" })
}

const fn deeper(depth: usize) -> Result<usize, BlockError> {
    if depth >= limits::CBOR_DEPTH { Err(BlockError::TooDeep) } else { Ok(depth + 1) }
}

/// DAG-CBOR's order of map keys: by length, then by bytes.
#[inline]
pub(crate) fn canonical_order(a: &[u8], b: &[u8]) -> Ordering {
    // The first bytes alone tell most keys of one length apart.
    a.len().cmp(&b.len()).then_with(|| a.first().cmp(&b.first())).then_with(|| a.cmp(b))
}

fn write_value(out: &mut Vec<u8>, value: &Value<'_>) {
    match value {
        Value::Null => out.push(0xf6),
        Value::Bool(false) => out.push(0xf4),
        Value::Bool(true) => out.push(0xf5),
        Value::Integer(integer) => write_integer(out, *integer),
        Value::Text(text) => write_text(out, text),
        Value::Bytes(bytes) => write_bytes(out, bytes),
        Value::Link(cid) => write_link(out, cid),
        Value::List(items) => {
            write_head(out, 4, items.len() as u64);
            for item in items {
                write_value(out, item);
            }
        }
        Value::Map(map) => {
            write_head(out, 5, map.len() as u64);
            for (key, value) in map.iter() {
                write_text(out, key);
                write_value(out, value);
            }
        }
    }
}

/// Writes the head of an item in its shortest form. `major` is CBOR's major type, 0 to 7.
pub(crate) fn write_head(out: &mut Vec<u8>, major: u8, argument: u64) {
    let major = major << 5;
    let bytes = argument.to_be_bytes();
    match argument {
        0..=23 => out.push(major | bytes[7]),
        24..=0xff => out.extend_from_slice(&[major | 24, bytes[7]]),
        0x100..=0xffff => out.extend_from_slice(&[major | 25, bytes[6], bytes[7]]),
        0x1_0000..=0xffff_ffff => {
            out.push(major | 26);
            out.extend_from_slice(&bytes[4..]);
        }
        _ => {
            out.push(major | 27);
            out.extend_from_slice(&bytes);
        }
    }
}

/// Writes an integer.
pub(crate) fn write_integer(out: &mut Vec<u8>, integer: i64) {
    match u64::try_from(integer) {
        Ok(unsigned) => write_head(out, 0, unsigned),
        // The encoding of -1 is 0, of -2 is 1: the complement, never an overflow.
        Err(_) => write_head(out, 1, (!integer).unsigned_abs()),
    }
}

/// Writes text.
pub(crate) fn write_text(out: &mut Vec<u8>, text: &str) {
    write_head(out, 3, text.len() as u64);
    out.extend_from_slice(text.as_bytes());
}

/// Writes a byte string.
pub(crate) fn write_bytes(out: &mut Vec<u8>, bytes: &[u8]) {
    write_head(out, 2, bytes.len() as u64);
    out.extend_from_slice(bytes);
}

/// Writes a link.
pub(crate) fn write_link(out: &mut Vec<u8>, cid: &Cid) {
    out.extend_from_slice(&LINK_HEAD);
    out.extend_from_slice(&cid.to_bytes());
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "tests")]
mod tests {
    use proptest::prelude::*;

    use super::*;

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
