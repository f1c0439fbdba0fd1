//! The signature of an exchange on a settlement, a dispute or an acceptance of terms.
//!
//! A record enters, with the keys that the exchange's document publishes and the fingerprint that its attestation names;
//! what became of the signature leaves. Deliberately absent: whose records they should be. An acceptance of terms is
//! signed by the exchange, lies in the user's repository and does not name the user.

use super::canonical::Canonical;
use super::document::DocumentKey;
use super::encoding::read_strict_base64url;
use super::p256::{Key, Signature};
use crate::block::{Map, Value};

/// Which members a signature leaves out: writers differ, and both forms are in use.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SignedForm {
    /// `sig` and `$type`.
    WithoutType,
    /// `sig`.
    WithType,
}

impl SignedForm {
    const fn unsigned(self) -> &'static [&'static str] {
        match self {
            Self::WithoutType => &["sig", "$type"],
            Self::WithType => &["sig"],
        }
    }
}

/// What became of an exchange's signature.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RecordSignature {
    /// A key of the exchange signed the record.
    Valid(SignedForm),
    /// There is none.
    Absent,
    /// The exchange publishes no key.
    KeyUnresolved,
    /// It publishes keys, none of which its attestation names.
    FingerprintMismatch,
    /// No signature, or one that does not verify.
    Invalid,
}

/// Checks a record's `sig` by one of `keys`; by one that is known by the fingerprint `named`, if there is one.
#[must_use]
pub fn verify_record_signature(
    record: &Map<'_>,
    keys: &[DocumentKey],
    named: Option<&str>,
    canonical: &mut Canonical,
) -> RecordSignature {
    let signature = match record.get("sig") {
        None | Some(Value::Null) => return RecordSignature::Absent,
        Some(Value::Text(text)) => read_strict_base64url(text).and_then(|raw| <[u8; 64]>::try_from(raw).ok()),
        Some(_) => None,
    };
    let Some(signature) = signature.map(Signature::from_raw) else {
        return RecordSignature::Invalid;
    };
    if keys.is_empty() {
        return RecordSignature::KeyUnresolved;
    }
    let is_named = |key: &&DocumentKey| {
        named.is_none_or(|named| key.fingerprints.iter().any(|fingerprint| fingerprint == named))
    };
    let mut keys = keys.iter().filter(is_named).peekable();
    if keys.peek().is_none() {
        return RecordSignature::FingerprintMismatch;
    }
    let keys: Vec<Key> = keys.filter_map(|key| Key::from_point(&key.point).ok()).collect();
    for form in [SignedForm::WithoutType, SignedForm::WithType] {
        let Ok(message) = canonical.record(record, form.unsigned()) else {
            return RecordSignature::Invalid;
        };
        if keys.iter().any(|key| key.verify(message, &signature).is_ok()) {
            return RecordSignature::Valid(form);
        }
    }
    RecordSignature::Invalid
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_is_absent_and_anything_that_is_no_signature_is_invalid() {
        let mut canonical = Canonical::new();
        let mut outcome = |sig: Option<Value<'static>>| {
            let record = Map::from_entries(sig.into_iter().map(|sig| ("sig", sig)).collect());
            verify_record_signature(&record, &[], None, &mut canonical)
        };
        assert_eq!(outcome(None), RecordSignature::Absent);
        assert_eq!(outcome(Some(Value::Null)), RecordSignature::Absent);
        for broken in [Value::Text(""), Value::Text("AAAA"), Value::Integer(1), Value::Bytes(&[0; 64])] {
            assert_eq!(outcome(Some(broken)), RecordSignature::Invalid);
        }
    }
}
