//! Bytes in records: base64 text, or byte strings as the lexicon has them.
//!
//! Text or a member enters; bytes leave, with how faithfully they were written. Today's producers all write base64 text,
//! which the lexicon does not allow, and the verifier of old reads more spellings than any of them writes. Both forms and
//! all spellings are read here, and a lenient reading is remembered.

use std::borrow::Cow;

use base64::Engine as _;
use base64::alphabet;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};

use crate::block::{Map, Value};

const TOLERANT: GeneralPurposeConfig = GeneralPurposeConfig::new()
    .with_decode_padding_mode(DecodePaddingMode::Indifferent)
    .with_decode_allow_trailing_bits(true);
const STANDARD_TOLERANT: GeneralPurpose = GeneralPurpose::new(&alphabet::STANDARD, TOLERANT);
const URL_TOLERANT: GeneralPurpose = GeneralPurpose::new(&alphabet::URL_SAFE, TOLERANT);

/// How faithfully bytes were written down. The worse of two is the greater.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Encoding {
    /// The one spelling that every reader accepts.
    Strict,
    /// Another spelling of the same bytes.
    Lenient,
}

/// Reads base64 as the compatible verifier does.
///
/// White space is passed over and trailing bits are ignored; padding may be left out, but not in part. The alphabet is the
/// standard one. Strict is what has full padding, no white space and no stray bits.
#[must_use]
pub fn read_base64(text: &str) -> Option<(Vec<u8>, Encoding)> {
    if let Ok(bytes) = STANDARD.decode(text) {
        return Some((bytes, Encoding::Strict));
    }
    let is_space = |char: char| matches!(char, ' ' | '\t' | '\n' | '\u{c}' | '\r');
    let text: String = text.chars().filter(|char| !is_space(*char)).collect();
    if text.contains('=') && !text.len().is_multiple_of(4) {
        return None;
    }
    STANDARD_TOLERANT.decode(text).ok().map(|bytes| (bytes, Encoding::Lenient))
}

/// Reads base64 of either alphabet, padded or not, as JSON Web Keys are met with.
#[must_use]
pub fn read_base64url(text: &str) -> Option<Vec<u8>> {
    URL_TOLERANT.decode(text).or_else(|_| STANDARD_TOLERANT.decode(text)).ok()
}

/// Reads base64 of the URL's alphabet without padding or stray bits, as the exchange writes its signatures.
#[must_use]
pub fn read_strict_base64url(text: &str) -> Option<Vec<u8>> {
    URL_SAFE_NO_PAD.decode(text).ok()
}

/// A member that should hold bytes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Octets<'a> {
    /// Not there, `null`, or empty.
    Absent,
    /// Bytes, at least one.
    Bytes(Cow<'a, [u8]>, Encoding),
    /// Text that is not base64.
    Undecodable,
    /// Neither bytes nor text.
    OfAnotherType,
}

impl<'a> Octets<'a> {
    /// Reads a value.
    #[must_use]
    pub fn of(value: Option<&Value<'a>>) -> Self {
        match value {
            None | Some(Value::Null | Value::Text("") | Value::Bytes([])) => Self::Absent,
            Some(Value::Bytes(bytes)) => Self::Bytes(Cow::Borrowed(bytes), Encoding::Strict),
            Some(Value::Text(text)) => match read_base64(text) {
                Some((bytes, encoding)) => Self::Bytes(Cow::Owned(bytes), encoding),
                None => Self::Undecodable,
            },
            Some(_) => Self::OfAnotherType,
        }
    }

    /// Reads a member of a record.
    #[must_use]
    pub fn at(body: &Map<'a>, member: &str) -> Self {
        Self::of(body.get(member))
    }

    /// The bytes, if they can be read.
    #[must_use]
    pub fn bytes(&self) -> Option<&[u8]> {
        match self {
            Self::Bytes(bytes, _) => Some(bytes),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spellings_are_read_and_told_apart() {
        for (text, expected) in [
            ("+/8AAQ==", Some(Encoding::Strict)),
            ("", Some(Encoding::Strict)),
            ("+/8AAQ", Some(Encoding::Lenient)),
            (" +/8A\n\tAQ==\u{c}\r", Some(Encoding::Lenient)),
            ("+/8AAR==", Some(Encoding::Lenient)),
            ("+/8AAQ=", None),
            ("-_8AAQ==", None),
            ("+/8A=AQ=", None),
            ("+/8AA", None),
            ("+/8AA===", None),
            ("+/8AAQ==\u{a0}", None),
        ] {
            assert_eq!(read_base64(text).map(|(_, encoding)| encoding), expected, "{text:?}");
        }
    }

    #[test]
    fn a_member_is_bytes_in_either_form() {
        let read = |value: Value<'static>| Octets::of(Some(&value));
        let bytes = |encoding| Octets::Bytes(Cow::Borrowed(&[1, 2, 3]), encoding);
        assert_eq!(read(Value::Bytes(&[1, 2, 3])), bytes(Encoding::Strict));
        assert_eq!(read(Value::Text("AQID")), bytes(Encoding::Strict));
        assert_eq!(read(Value::Text("AQ ID")), bytes(Encoding::Lenient));
        assert_eq!(read(Value::Text("****")), Octets::Undecodable);
        assert_eq!(read(Value::Integer(1)), Octets::OfAnotherType);
        assert_eq!(read(Value::Null), Octets::Absent);
        assert_eq!(Octets::of(None), Octets::Absent);
    }
}
