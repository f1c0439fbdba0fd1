//! Who signs under an attestation, and whether it did: receipts, the attestation itself, session keys.
//!
//! Decoded records enter, one outcome for each signature leaves. An attestation's own signature says that its members are
//! statements of whoever holds its key; it does not make the holder trustworthy, since anyone can mint a key.

use std::borrow::Cow;

use super::apple::AppId;
use super::assertion::verify_assertion;
use super::canonical::Canonical;
use super::encoding::{Encoding, Octets};
use super::p256::{Key, KeyFault, Signature, SignatureFault};
use crate::block::{Map, Value};

/// What a receipt's signature leaves out.
pub const RECEIPT_UNSIGNED: [&str; 3] = ["enclaveSignature", "$type", "brokerageCountersignature"];

/// What an attestation's own signature leaves out.
pub const ATTESTATION_UNSIGNED: [&str; 2] = ["selfSignature", "$type"];

/// How an attested key signs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SigScheme {
    /// ECDSA over the message.
    P256,
    /// An App Attest assertion of the message.
    AppAttestAssertion,
    /// The attestation names another, which is read as [`SigScheme::P256`].
    Unknown,
}

impl SigScheme {
    /// The scheme that an attestation names.
    #[must_use]
    pub fn of(attestation: &Map<'_>) -> Self {
        match attestation.get("sigScheme") {
            None | Some(Value::Null | Value::Text("p256")) => Self::P256,
            Some(Value::Text("appattest-assertion")) => Self::AppAttestAssertion,
            Some(_) => Self::Unknown,
        }
    }
}

/// The holder of an attested key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Signer {
    key: Result<Key, KeyFault>,
    encoding: Encoding,
    scheme: SigScheme,
}

impl Signer {
    /// Whoever holds the key of an attestation.
    #[must_use]
    pub fn of(attestation: &Map<'_>) -> Self {
        let key = attestation.text("publicKey").ok_or(KeyFault::Missing).and_then(Key::from_base64);
        let encoding = key.as_ref().map_or(Encoding::Strict, |(_, encoding)| *encoding);
        Self { key: key.map(|(key, _)| key), encoding, scheme: SigScheme::of(attestation) }
    }

    /// The key.
    ///
    /// # Errors
    ///
    /// [`KeyFault`]: nothing can be signed with it.
    pub const fn key(&self) -> Result<&Key, KeyFault> {
        match &self.key {
            Ok(key) => Ok(key),
            Err(fault) => Err(*fault),
        }
    }

    /// How it signs.
    #[must_use]
    pub const fn scheme(&self) -> SigScheme {
        self.scheme
    }

    /// Checks a signature over `message`, and tells how faithfully key and signature are encoded.
    ///
    /// # Errors
    ///
    /// [`SignatureFault`].
    pub fn verify(
        &self,
        message: &[u8],
        signature: &Octets<'_>,
        app: &AppId,
    ) -> Result<Encoding, SignatureFault> {
        let key = self.key()?;
        let (bytes, outer) = match signature {
            Octets::Bytes(bytes, encoding) => (bytes, *encoding),
            Octets::Absent => return Err(SignatureFault::Absent),
            Octets::Undecodable => return Err(SignatureFault::Undecodable),
            Octets::OfAnotherType => return Err(SignatureFault::OfAnotherType),
        };
        let inner = match self.scheme {
            SigScheme::P256 | SigScheme::Unknown => {
                let (signature, encoding) = Signature::from_der(bytes)?;
                key.verify(message, &signature)?;
                encoding
            }
            SigScheme::AppAttestAssertion => verify_assertion(key, message, bytes, app)?,
        };
        Ok(self.encoding.max(outer).max(inner))
    }
}

/// What became of a receipt's signature.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ReceiptSignature {
    /// The attested key signed the receipt.
    Valid(Encoding),
    /// There is none.
    Absent,
    /// Text that is not base64, under a key that could have checked it.
    Undecodable,
    /// Anything else that does not verify.
    Invalid(SignatureFault),
}

/// Checks a receipt's signature by the holder of its attestation's key.
#[must_use]
pub fn verify_receipt_signature(
    receipt: &Map<'_>,
    signer: &Signer,
    app: &AppId,
    canonical: &mut Canonical,
) -> ReceiptSignature {
    let signature = Octets::at(receipt, "enclaveSignature");
    let message = match canonical.record(receipt, &RECEIPT_UNSIGNED) {
        Ok(message) => message,
        Err(_) if signature == Octets::Absent => return ReceiptSignature::Absent,
        Err(error) => return ReceiptSignature::Invalid(error.into()),
    };
    match signer.verify(message, &signature, app) {
        Ok(encoding) => ReceiptSignature::Valid(encoding),
        Err(_) if signature == Octets::Absent => ReceiptSignature::Absent,
        Err(SignatureFault::Undecodable) => ReceiptSignature::Undecodable,
        Err(fault) => ReceiptSignature::Invalid(fault),
    }
}

/// What an attestation's own signature is over.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AttestationForm {
    /// The attestation as it is.
    AsWritten,
    /// The attestation as agents wrote it until the middle of 2026: with an empty chain in the place of none, and without
    /// fractions of seconds.
    Legacy,
}

/// What became of an attestation's own signature.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SelfSignature {
    /// The attested key signed its attestation.
    Valid {
        /// In which form.
        form: AttestationForm,
        /// How faithfully key and signature are encoded.
        encoding: Encoding,
    },
    /// There is none.
    Absent,
    /// It does not verify, for whatever reason.
    Invalid(SignatureFault),
}

/// Checks an attestation's signature by its own key, whose `signer` is [`Signer::of`] the attestation.
#[must_use]
pub fn verify_self_signature(
    attestation: &Map<'_>,
    signer: &Signer,
    app: &AppId,
    canonical: &mut Canonical,
) -> SelfSignature {
    let signature = Octets::at(attestation, "selfSignature");
    if signature == Octets::Absent {
        return SelfSignature::Absent;
    }
    let mut check = |body: &Map<'_>| {
        let message = canonical.record(body, &ATTESTATION_UNSIGNED)?;
        signer.verify(message, &signature, app)
    };
    let valid = |form| move |encoding| SelfSignature::Valid { form, encoding };
    let fault = match check(attestation).map(valid(AttestationForm::AsWritten)) {
        Ok(valid) => return valid,
        Err(fault) => fault,
    };
    // Only a signature that was examined can be one over another form, and no agent ever asserted that form.
    if fault != SignatureFault::Mismatch || signer.scheme() == SigScheme::AppAttestAssertion {
        return SelfSignature::Invalid(fault);
    }
    let times = ["attestedAt", "expiresAt"]
        .map(|member| (member, attestation.text(member).map(without_fraction).unwrap_or_default()));
    legacy(attestation, &times)
        .map_or(Err(fault), |body| check(&body).map(valid(AttestationForm::Legacy)))
        .unwrap_or_else(SelfSignature::Invalid)
}

/// The legacy form of an attestation, if it is another than the one as written.
fn legacy<'a>(attestation: &Map<'a>, times: &'a [(&'a str, Cow<'a, str>); 2]) -> Option<Map<'a>> {
    let has_chain = attestation.get("mdaCertChain").is_some();
    let is_cut = |time: &(&str, Cow<'_, str>)| matches!(time.1, Cow::Owned(_));
    if has_chain && !times.iter().any(is_cut) {
        return None;
    }
    let mut members: Vec<(&'a str, Value<'a>)> = Vec::with_capacity(attestation.len() + 1);
    members.extend(attestation.iter().map(|(key, value)| (key, value.clone())));
    if !has_chain {
        members.push(("mdaCertChain", Value::List(Vec::new())));
    }
    // Of a member that is there twice, the last one stays.
    members.extend(times.iter().filter(|time| is_cut(time)).map(|(key, time)| (*key, Value::Text(time))));
    Some(Map::from_entries(members))
}

/// A datetime without the fraction of its second; owned if it has one.
fn without_fraction(text: &str) -> Cow<'_, str> {
    let Some((seconds, rest)) = text.rsplit_once('.') else {
        return Cow::Borrowed(text);
    };
    let zone = rest.trim_start_matches(|char: char| char.is_ascii_digit());
    let is_zone = matches!(zone.as_bytes(), [b'Z'] | [b'+' | b'-', _, _, b':', _, _]);
    if is_zone && zone.len() < rest.len() {
        Cow::Owned([seconds, zone].concat())
    } else {
        Cow::Borrowed(text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_fraction_before_a_zone_is_cut() {
        for (text, cut) in [
            ("2026-08-20T10:00:05.123Z", "2026-08-20T10:00:05Z"),
            ("2026-08-20T10:00:05.1+02:00", "2026-08-20T10:00:05+02:00"),
            ("2026-08-20T10:00:05Z", "2026-08-20T10:00:05Z"),
            ("2026-08-20T10:00:05.Z", "2026-08-20T10:00:05.Z"),
            ("2026-08-20T10:00:05.123", "2026-08-20T10:00:05.123"),
            ("é.5", "é.5"),
            ("", ""),
        ] {
            assert_eq!(without_fraction(text), cut);
        }
    }
}
