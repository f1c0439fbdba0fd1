//! Members that plain serde types cannot hold: byte strings, blobs, and objects without a schema.

use std::fmt;
use std::ops::Deref;

use base64::Engine as _;
use base64::alphabet::{STANDARD, URL_SAFE};
use base64::engine::general_purpose::STANDARD_NO_PAD;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
use ipld_core::ipld::Ipld;
use serde::de;
use serde::ser::SerializeMap as _;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::block::Cid;

/// Padded or not, and with stray bits at the end cut off, as the decoders of the field's own producers do.
const TOLERANT: GeneralPurposeConfig = GeneralPurposeConfig::new()
    .with_decode_padding_mode(DecodePaddingMode::Indifferent)
    .with_decode_allow_trailing_bits(true);
const STANDARD_ALPHABET: GeneralPurpose = GeneralPurpose::new(&STANDARD, TOLERANT);
const URL_ALPHABET: GeneralPurpose = GeneralPurpose::new(&URL_SAFE, TOLERANT);

/// The bytes that base64 text stands for: either alphabet (not a mixture), padded or not.
pub(super) fn decode_base64(text: &str) -> Option<Vec<u8>> {
    STANDARD_ALPHABET.decode(text).or_else(|_| URL_ALPHABET.decode(text)).ok()
}

/// A byte member: a CBOR byte string, or the base64 text that today's producers write in its place.
///
/// Both forms of the same bytes are equal and read alike through `Deref`. Text that is no base64 is kept, so that a
/// record marked for it can still be shown; it derefs to no bytes at all, which no signature or hash matches.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Bytes {
    /// The bytes.
    Readable(Box<[u8]>),
    /// What stood there instead.
    Unreadable(Box<str>),
}

impl Deref for Bytes {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        match self {
            Self::Readable(bytes) => bytes,
            Self::Unreadable(_) => &[],
        }
    }
}

impl From<&[u8]> for Bytes {
    fn from(bytes: &[u8]) -> Self {
        Self::Readable(bytes.into())
    }
}

impl<'de> Deserialize<'de> for Bytes {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Either;

        impl de::Visitor<'_> for Either {
            type Value = Bytes;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("bytes or base64 text")
            }

            fn visit_bytes<E: de::Error>(self, bytes: &[u8]) -> Result<Bytes, E> {
                Ok(bytes.into())
            }

            fn visit_str<E: de::Error>(self, text: &str) -> Result<Bytes, E> {
                Ok(decode_base64(text)
                    .map_or_else(|| Bytes::Unreadable(text.into()), |bytes| Bytes::Readable(bytes.into())))
            }
        }

        deserializer.deserialize_any(Either)
    }
}

impl Serialize for Bytes {
    /// JSON gets `{"$bytes": …}` (unreadable text stays text), CBOR a byte string.
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Unreadable(text) => serializer.serialize_str(text),
            Self::Readable(bytes) => write_bytes(bytes, serializer),
        }
    }
}

/// A reference to a blob kept beside a repository.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", tag = "$type", rename = "blob")]
pub struct Blob {
    /// The blob's content address.
    #[serde(rename = "ref", serialize_with = "write_link", deserialize_with = "read_link")]
    pub reference: Cid,
    /// The media type its author claims.
    pub mime_type: String,
    /// The size its author claims, in bytes.
    pub size: i64,
}

/// An object whose members its lexicon leaves open, e.g. a JSON schema inside a job.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(transparent)]
pub struct FreeForm(pub Ipld);

impl Serialize for FreeForm {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        if serializer.is_human_readable() {
            AtJson(&self.0).serialize(serializer)
        } else {
            self.0.serialize(serializer)
        }
    }
}

/// Writes links and bytes as the AT data model's JSON does, all else as it is.
struct AtJson<'a>(&'a Ipld);

impl Serialize for AtJson<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self.0 {
            Ipld::Bytes(bytes) => write_bytes(bytes, serializer),
            Ipld::Link(cid) => write_member("$link", &cid.to_string(), serializer),
            Ipld::List(items) => serializer.collect_seq(items.iter().map(AtJson)),
            Ipld::Map(members) => {
                serializer.collect_map(members.iter().map(|(key, value)| (key, AtJson(value))))
            }
            Ipld::Null => serializer.serialize_unit(),
            Ipld::Bool(bool) => serializer.serialize_bool(*bool),
            Ipld::Integer(integer) => serializer.serialize_i128(*integer),
            Ipld::Float(float) => serializer.serialize_f64(*float),
            Ipld::String(text) => serializer.serialize_str(text),
        }
    }
}

fn write_bytes<S: Serializer>(bytes: &[u8], serializer: S) -> Result<S::Ok, S::Error> {
    if serializer.is_human_readable() {
        write_member("$bytes", &STANDARD_NO_PAD.encode(bytes), serializer)
    } else {
        serializer.serialize_bytes(bytes)
    }
}

fn write_member<S: Serializer>(key: &str, text: &str, serializer: S) -> Result<S::Ok, S::Error> {
    let mut map = serializer.serialize_map(Some(1))?;
    map.serialize_entry(key, text)?;
    map.end()
}

fn write_link<S: Serializer>(cid: &Cid, serializer: S) -> Result<S::Ok, S::Error> {
    if serializer.is_human_readable() {
        write_member("$link", &cid.to_string(), serializer)
    } else {
        cid::Cid::from(*cid).serialize(serializer)
    }
}

fn read_link<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Cid, D::Error> {
    Cid::try_from(&cid::Cid::deserialize(deserializer)?).map_err(de::Error::custom)
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;

    #[test]
    fn base64_reads_in_either_alphabet_with_or_without_padding() {
        for text in ["+/8AAQ==", "+/8AAQ", "-_8AAQ==", "-_8AAQ"] {
            assert_eq!(decode_base64(text).unwrap(), [0xfb, 0xff, 0, 1], "{text}");
        }
        assert!(decode_base64("").unwrap().is_empty());
        for text in ["green!", "+_8A", "A", "AAA A", "Zm9v="] {
            assert_eq!(decode_base64(text), None, "{text}");
        }
    }

    #[test]
    fn a_byte_string_and_its_base64_text_are_the_same_value() {
        let from_bytes: Bytes = serde_ipld_dagcbor::from_slice(&[0x43, 1, 2, 3]).unwrap();
        let from_text: Bytes = serde_ipld_dagcbor::from_slice(b"\x64AQID").unwrap();
        assert_eq!(from_bytes, from_text);
        assert_eq!(&*from_text, [1, 2, 3]);
        assert_eq!(serde_json::to_string(&from_text).unwrap(), r#"{"$bytes":"AQID"}"#);
        assert_eq!(serde_ipld_dagcbor::to_vec(&from_text).unwrap(), [0x43, 1, 2, 3]);
    }

    #[test]
    fn text_that_is_no_base64_is_kept_and_has_no_bytes() {
        let bytes: Bytes = serde_ipld_dagcbor::from_slice(b"\x62?!").unwrap();
        assert_eq!(bytes, Bytes::Unreadable("?!".into()));
        assert!(bytes.is_empty());
        assert_eq!(serde_json::to_string(&bytes).unwrap(), r#""?!""#);
    }
}
