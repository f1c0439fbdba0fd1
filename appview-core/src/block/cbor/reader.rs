//! The pull parser: item by item, checked as it is read.
//!
//! Bytes enter; heads, keys and scalars leave, or an error that names the broken rule and its place. In its lenient form (event
//! envelopes only) it accepts long integer forms and any key order, and counts them. Deliberately absent: what items mean.

use std::cmp::Ordering;

use super::{LINK_HEAD, Map, Value, canonical_order};
use crate::block::{BlockError, Cid};
use crate::limits;

/// How faithfully a sender must follow the canonical form.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Form {
    /// Blocks: canonical or refused, because their bytes are what a signature covers.
    Canonical,
    /// Event envelopes: long integers and any key order are read and counted.
    Lenient,
}

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

    /// Passes over one item, checking it as [`decode`](super::decode) would but keeping nothing.
    ///
    /// # Errors
    ///
    /// As [`decode`](super::decode).
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

    pub(super) fn value(&mut self, depth: usize) -> Result<Value<'a>, BlockError> {
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
