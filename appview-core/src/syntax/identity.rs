//! Who: DIDs, handles, and the place where either may stand.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use super::{SyntaxError, SyntaxKind, TextVisitor};

/// Longest DID in bytes.
const MAX_DID: usize = 2048;
/// Longest handle in bytes, the limit of a DNS name.
const MAX_HANDLE: usize = 253;
/// Longest label between two dots of a handle, in bytes.
const MAX_LABEL: usize = 63;

text_type! {
    /// A decentralised identifier, e.g. `did:plc:…` or `did:web:example.com`: the lasting name of an account.
    ///
    /// Cheap to clone: clones share their text. At most 2048 bytes. <https://atproto.com/specs/did>
    Did(Arc<str>), check_did
}

text_type! {
    /// A handle: a DNS name an account goes by for now. At most 253 bytes, at least two labels.
    ///
    /// Upper case is kept as it came; handles that differ only in case are the same handle to the protocol and
    /// two values here. <https://atproto.com/specs/handle>
    Handle(Box<str>), check_handle
}

/// A DID or a handle, where the protocol allows either.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum AtIdentifier {
    /// The lasting name.
    Did(Did),
    /// The name of the moment.
    Handle(Handle),
}

impl AtIdentifier {
    /// The text, exactly as it was parsed.
    #[must_use]
    pub fn as_str(&self) -> &str {
        match self {
            Self::Did(did) => did.as_str(),
            Self::Handle(handle) => handle.as_str(),
        }
    }
}

impl FromStr for AtIdentifier {
    type Err = SyntaxError;

    fn from_str(text: &str) -> Result<Self, SyntaxError> {
        // A handle has no colon, so the prefix decides and the error is about the form that was meant.
        let parsed = if text.starts_with("did:") {
            text.parse().map(Self::Did)
        } else {
            text.parse().map(Self::Handle)
        };
        parsed.map_err(|error| SyntaxError { kind: SyntaxKind::AtIdentifier, ..error })
    }
}

impl TryFrom<String> for AtIdentifier {
    type Error = SyntaxError;

    fn try_from(text: String) -> Result<Self, SyntaxError> {
        text.parse()
    }
}

impl fmt::Display for AtIdentifier {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

impl AsRef<str> for AtIdentifier {
    fn as_ref(&self) -> &str {
        self.as_str()
    }
}

impl serde::Serialize for AtIdentifier {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.as_str())
    }
}

impl<'de> serde::Deserialize<'de> for AtIdentifier {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_str(TextVisitor::new())
    }
}

/// Whether `text` is a DID.
#[must_use]
pub fn is_did(text: &str) -> bool {
    check_did(text).is_ok()
}

/// Whether `text` is a handle.
#[must_use]
pub fn is_handle(text: &str) -> bool {
    check_handle(text).is_ok()
}

/// Whether `text` is a DID or a handle.
#[must_use]
pub fn is_at_identifier(text: &str) -> bool {
    check_at_identifier(text).is_ok()
}

pub(super) fn check_at_identifier(text: &str) -> Result<(), SyntaxError> {
    if text.starts_with("did:") { check_did(text) } else { check_handle(text) }
}

fn check_did(text: &str) -> Result<(), SyntaxError> {
    let kind = SyntaxKind::Did;
    if text.len() > MAX_DID {
        return Err(kind.expected("at most 2048 bytes"));
    }
    let rest = text.strip_prefix("did:").ok_or(kind.expected_at("'did:'", 0))?;
    let (method, id) =
        rest.split_once(':').ok_or(kind.expected("a method and an identifier, each after a colon"))?;
    if method.is_empty() {
        return Err(kind.expected_at("a method name", 4));
    }
    if let Some(at) = method.bytes().position(|byte| !byte.is_ascii_lowercase()) {
        return Err(kind.expected_at("a method name of lower-case letters", 4 + at));
    }
    let start = 4 + method.len() + 1;
    let allowed = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_' | b':' | b'%' | b'-');
    if let Some(at) = id.bytes().position(|byte| !allowed(byte)) {
        return Err(kind.expected_at("letters, digits, '.', '_', ':', '%' or '-'", start + at));
    }
    match id.as_bytes().last() {
        None => Err(kind.expected_at("an identifier after the method", start)),
        Some(b':' | b'%') => Err(kind.expected_at("an end other than ':' or '%'", text.len() - 1)),
        Some(_) => Ok(()),
    }
}

fn check_handle(text: &str) -> Result<(), SyntaxError> {
    let kind = SyntaxKind::Handle;
    if text.len() > MAX_HANDLE {
        return Err(kind.expected("at most 253 bytes"));
    }
    let Some((_, top_level)) = text.rsplit_once('.') else {
        return Err(kind.expected("two labels or more with a dot between"));
    };
    let mut start = 0;
    for label in text.split('.') {
        check_label(kind, label, start, MAX_LABEL)?;
        start += label.len() + 1;
    }
    if !top_level.starts_with(|first: char| first.is_ascii_alphabetic()) {
        return Err(kind.expected_at("a last label that starts with a letter", text.len() - top_level.len()));
    }
    Ok(())
}

/// One DNS label: letters, digits and inner hyphens.
pub(super) fn check_label(
    kind: SyntaxKind,
    label: &str,
    start: usize,
    longest: usize,
) -> Result<(), SyntaxError> {
    if label.is_empty() {
        return Err(kind.expected_at("a label between the dots", start));
    }
    if label.len() > longest {
        return Err(kind.expected_at("a label of at most 63 bytes", start));
    }
    if let Some(at) = label.bytes().position(|byte| !byte.is_ascii_alphanumeric() && byte != b'-') {
        return Err(kind.expected_at("letters, digits or '-'", start + at));
    }
    if label.starts_with('-') {
        return Err(kind.expected_at("a letter or digit at the start of a label", start));
    }
    if label.ends_with('-') {
        return Err(kind.expected_at("a letter or digit at the end of a label", start + label.len() - 1));
    }
    Ok(())
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "tests")]
mod tests {
    use std::collections::HashMap;

    use super::*;

    #[test]
    fn a_map_keyed_by_did_answers_to_borrowed_text() {
        let did: Did = "did:plc:7iza6de2dwap2sbkpav7c6c6".parse().unwrap();
        let map = HashMap::from([(did.clone(), 1)]);
        assert_eq!(map.get("did:plc:7iza6de2dwap2sbkpav7c6c6"), Some(&1));
        assert_eq!(map.get("did:plc:other"), None);
        assert_eq!(did.to_string(), did.as_str());
    }

    #[test]
    fn an_error_names_the_kind_the_expectation_and_the_byte() {
        let error = Did::try_from("did:PLC:x").unwrap_err();
        assert_eq!(
            error.to_string(),
            "not a valid did: expected a method name of lower-case letters at byte 4"
        );
        assert_eq!("blah".parse::<AtIdentifier>().unwrap_err().kind, SyntaxKind::AtIdentifier);
    }

    #[test]
    fn serde_refuses_what_parsing_refuses() {
        assert!(serde_json::from_str::<Did>("\"did:web:example.com\"").is_ok());
        assert!(serde_json::from_str::<Did>("\"did:web:\"").is_err());
        assert!(serde_json::from_str::<AtIdentifier>("\"john.test\"").is_ok());
        assert!(serde_json::from_str::<Handle>("7").is_err());
    }
}
