//! Chains of certificates from a leaf to a root that is trusted.
//!
//! Certificates in DER enter, the leaf first, with a root and an instant; the leaf leaves, with how long all of it is valid
//! and which rules it breaks that the existing verifier does not know. Deliberately absent: revocation, key purposes, and
//! any algorithm but ECDSA on P-256 and P-384, which is all that Apple's two hierarchies use.
//!
//! Follows [RFC 5280](https://www.rfc-editor.org/rfc/rfc5280) where it says so.

use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_ASN1, ECDSA_P256_SHA384_ASN1, ECDSA_P384_SHA256_ASN1, ECDSA_P384_SHA384_ASN1,
    EcdsaVerificationAlgorithm, UnparsedPublicKey,
};
use x509_cert::TbsCertificate;
use x509_cert::der::asn1::{BitStringRef, ObjectIdentifier};
use x509_cert::der::{Decode as _, Reader as _, SliceReader};
use x509_cert::ext::Extension;
use x509_cert::ext::pkix::{BasicConstraints, KeyUsage};
use x509_cert::spki::AlgorithmIdentifierOwned;
use x509_cert::time::Time;

use super::instant::Instant;
use super::p256::{Key, KeyFault};

const EC_PUBLIC_KEY: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.10045.2.1");
const P256: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.10045.3.1.7");
const P384: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.3.132.0.34");
const ECDSA_SHA256: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.10045.4.3.2");
const ECDSA_SHA384: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.10045.4.3.3");
const BASIC_CONSTRAINTS: ObjectIdentifier = ObjectIdentifier::new_unwrap("2.5.29.19");
const KEY_USAGE: ObjectIdentifier = ObjectIdentifier::new_unwrap("2.5.29.15");

/// What Apple's own extensions begin with.
const APPLE_EXTENSIONS: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.113635.100.8");

/// Why a chain proves nothing. In the order in which it is examined.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ChainError {
    /// There is no certificate.
    #[error("the chain is empty")]
    Empty,
    /// Bytes that are no certificate.
    #[error("certificate {at} cannot be read")]
    Parse {
        /// Which one, the leaf being 0.
        at: usize,
    },
    /// The root that was handed in is no certificate.
    #[error("the root cannot be read")]
    BadTrustAnchor,
    /// A certificate, or the root, is not valid at the instant.
    #[error("certificate {at} is not valid at the time")]
    NotValid {
        /// Which one; the root comes after the last.
        at: usize,
    },
    /// A certificate is not signed by the next, or the last not by the root.
    #[error("certificate {at} is not signed by the next")]
    BadSignature {
        /// Which one.
        at: usize,
    },
    /// The constraints of a certificate cannot be read.
    #[error("the constraints of certificate {at} are malformed")]
    BadDer {
        /// Which one.
        at: usize,
    },
    /// The leaf is an authority's.
    #[error("the leaf is a certificate authority's")]
    LeafIsCa,
    /// A certificate issued another and may not.
    #[error("certificate {at} may not issue certificates")]
    NonCaIssuer {
        /// Which one.
        at: usize,
    },
}

impl ChainError {
    /// The word that other verifiers use for it.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Empty => "empty-chain",
            Self::Parse { .. } => "parse",
            Self::BadTrustAnchor => "bad-trust-anchor",
            Self::NotValid { .. } => "not-valid",
            Self::BadSignature { .. } => "bad-signature",
            Self::BadDer { .. } => "bad-der",
            Self::LeafIsCa => "leaf-is-ca",
            Self::NonCaIssuer { .. } => "non-ca-issuer",
        }
    }
}

/// A rule that evidence breaks although it verifies: a stricter verifier refuses it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, thiserror::Error)]
#[non_exhaustive]
pub enum Deviation {
    /// A certificate's issuer is not the subject of the certificate that signed it.
    #[error("an issuer's name is not its signer's")]
    NameChaining,
    /// More authorities below one than it allows.
    #[error("a path is longer than its authority allows")]
    PathLength,
    /// A critical extension that nothing here examines.
    #[error("a critical extension is unknown")]
    UnknownCriticalExtension,
    /// An extension twice.
    #[error("an extension is there twice")]
    DuplicateExtension,
    /// Something after a certificate.
    #[error("bytes follow a certificate")]
    TrailingBytes,
    /// Something after a CBOR item.
    #[error("bytes follow the CBOR item")]
    CborTrailingBytes,
    /// A key twice in a CBOR map.
    #[error("a key of a CBOR map is there twice")]
    CborDuplicateKey,
}

/// For how long certificates hold, bounds included.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Validity {
    /// The first instant.
    pub from: Instant,
    /// The last instant.
    pub until: Instant,
}

impl Validity {
    /// Whether they hold at an instant.
    #[must_use]
    pub fn contains(&self, at: Instant) -> bool {
        (self.from..=self.until).contains(&at)
    }
}

/// What a chain proves.
pub(super) struct Chain<'a> {
    pub(super) leaf: Certificate<'a>,
    /// When all of its certificates hold, the root included.
    pub(super) validity: Validity,
    pub(super) deviations: Vec<Deviation>,
}

/// Proves a chain.
pub(super) fn verify<'a>(chain: &[&'a [u8]], root: &'a [u8], at: Instant) -> Result<Chain<'a>, ChainError> {
    if chain.is_empty() {
        return Err(ChainError::Empty);
    }
    let parse = |(at, der): (usize, &&'a [u8])| Certificate::parse(der).ok_or(ChainError::Parse { at });
    let mut certificates = chain.iter().enumerate().map(parse).collect::<Result<Vec<_>, _>>()?;
    let root = Certificate::parse(root).ok_or(ChainError::BadTrustAnchor)?;
    let with_root = || certificates.iter().chain([&root]).enumerate();

    let mut validity = root.validity;
    for (number, certificate) in with_root() {
        if !certificate.validity.contains(at) {
            return Err(ChainError::NotValid { at: number });
        }
        validity.from = validity.from.max(certificate.validity.from);
        validity.until = validity.until.min(certificate.validity.until);
    }
    for ((number, certificate), (_, issuer)) in with_root().zip(with_root().skip(1)) {
        certificate.verify(issuer).ok_or(ChainError::BadSignature { at: number })?;
    }
    for (number, certificate) in certificates.iter().enumerate() {
        let is_ca = certificate.is_ca().ok_or(ChainError::BadDer { at: number })?;
        match (number, is_ca) {
            (0, true) => return Err(ChainError::LeafIsCa),
            (0, false) | (_, true) => {}
            (at, false) => return Err(ChainError::NonCaIssuer { at }),
        }
    }

    let mut deviations = Vec::new();
    let mut authorities = 0;
    for ((number, certificate), (_, issuer)) in with_root().zip(with_root().skip(1)) {
        certificate.deviations(&mut deviations);
        if certificate.tbs.issuer() != issuer.tbs.subject() {
            deviations.push(Deviation::NameChaining);
        }
        // An authority that issued itself takes no room on a path.
        authorities += usize::from(number > 0 && certificate.tbs.issuer() != certificate.tbs.subject());
        if issuer.path_length().is_some_and(|most| authorities > most) {
            deviations.push(Deviation::PathLength);
        }
    }
    deviations.sort_unstable();
    deviations.dedup();
    Ok(Chain { leaf: certificates.swap_remove(0), validity, deviations })
}

/// One certificate.
pub(super) struct Certificate<'a> {
    /// What is signed, as it was sent.
    signed: &'a [u8],
    tbs: TbsCertificate,
    algorithm: AlgorithmIdentifierOwned,
    signature: &'a [u8],
    validity: Validity,
    has_trailing_bytes: bool,
}

impl<'a> Certificate<'a> {
    pub(super) fn parse(der: &'a [u8]) -> Option<Self> {
        let mut reader = SliceReader::new(der).ok()?;
        let whole = reader.tlv_bytes().ok()?;
        let has_trailing_bytes = !reader.is_finished();
        let mut reader = SliceReader::new(whole).ok()?;
        let (signed, algorithm, signature) = reader
            .sequence(|fields| {
                let signed = fields.tlv_bytes()?;
                let algorithm = AlgorithmIdentifierOwned::decode(fields)?;
                Ok::<_, x509_cert::der::Error>((signed, algorithm, BitStringRef::decode(fields)?))
            })
            .ok()?;
        let tbs = TbsCertificate::from_der(signed).ok()?;
        let validity =
            Validity { from: instant(tbs.validity().not_before)?, until: instant(tbs.validity().not_after)? };
        let signature = signature.as_bytes()?;
        Some(Self { signed, tbs, algorithm, signature, validity, has_trailing_bytes })
    }

    fn verify(&self, issuer: &Self) -> Option<()> {
        if *self.tbs.signature() != self.algorithm {
            return None;
        }
        let (curve, point) = issuer.ec_point()?;
        let algorithm: &'static EcdsaVerificationAlgorithm = match (curve, self.algorithm.oid) {
            (P256, ECDSA_SHA256) => &ECDSA_P256_SHA256_ASN1,
            (P256, ECDSA_SHA384) => &ECDSA_P256_SHA384_ASN1,
            (P384, ECDSA_SHA256) => &ECDSA_P384_SHA256_ASN1,
            (P384, ECDSA_SHA384) => &ECDSA_P384_SHA384_ASN1,
            _ => return None,
        };
        UnparsedPublicKey::new(algorithm, point).verify(self.signed, self.signature).ok()
    }

    /// The curve and the point of its key, if it is one of a curve.
    fn ec_point(&self) -> Option<(ObjectIdentifier, &[u8])> {
        let info = self.tbs.subject_public_key_info();
        let curve = info.algorithm.parameters.as_ref()?.decode_as::<ObjectIdentifier>().ok()?;
        let point = info.subject_public_key.as_bytes()?;
        (info.algorithm.oid == EC_PUBLIC_KEY).then_some((curve, point))
    }

    /// Its key, if it is one of P-256.
    pub(super) fn key(&self) -> Result<Key, KeyFault> {
        match self.ec_point() {
            Some((P256, point)) => Key::from_sec1(point),
            _ => Err(KeyFault::NotAPoint),
        }
    }

    fn extensions(&self) -> &[Extension] {
        self.tbs.extensions().map(Vec::as_slice).unwrap_or_default()
    }

    /// The value of an extension; of one that is there twice, the last.
    pub(super) fn extension(&self, id: &ObjectIdentifier) -> Option<&[u8]> {
        let found = self.extensions().iter().rev().find(|extension| extension.extn_id == *id);
        found.map(|extension| extension.extn_value.as_bytes())
    }

    /// An attribute of its subject, as text.
    pub(super) fn subject(&self, id: &ObjectIdentifier) -> Option<&str> {
        let attribute = self.tbs.subject().iter().find(|attribute| attribute.oid == *id)?;
        std::str::from_utf8(attribute.value.value()).ok()
    }

    /// Whether it may issue others; nothing if that cannot be read.
    fn is_ca(&self) -> Option<bool> {
        let is_ca = match self.extension(&BASIC_CONSTRAINTS) {
            Some(value) => BasicConstraints::from_der(value).ok()?.ca,
            None => false,
        };
        let may_sign = match self.extension(&KEY_USAGE) {
            Some(value) => KeyUsage::from_der(value).ok()?.key_cert_sign(),
            None => true,
        };
        Some(is_ca && may_sign)
    }

    /// How many authorities may be below it.
    fn path_length(&self) -> Option<usize> {
        let constraints = BasicConstraints::from_der(self.extension(&BASIC_CONSTRAINTS)?).ok()?;
        constraints.path_len_constraint.map(usize::from)
    }

    fn deviations(&self, found: &mut Vec<Deviation>) {
        let mut ids: Vec<&ObjectIdentifier> = self.extensions().iter().map(|ext| &ext.extn_id).collect();
        ids.sort_unstable();
        ids.dedup();
        if ids.len() < self.extensions().len() {
            found.push(Deviation::DuplicateExtension);
        }
        let is_known = |id: &ObjectIdentifier| {
            [BASIC_CONSTRAINTS, KEY_USAGE].contains(id) || id.starts_with(APPLE_EXTENSIONS)
        };
        if self.extensions().iter().any(|extension| extension.critical && !is_known(&extension.extn_id)) {
            found.push(Deviation::UnknownCriticalExtension);
        }
        if self.has_trailing_bytes {
            found.push(Deviation::TrailingBytes);
        }
    }
}

fn instant(time: Time) -> Option<Instant> {
    i64::try_from(time.to_unix_duration().as_millis()).ok().map(Instant::from_unix_millis)
}

#[cfg(test)]
#[expect(clippy::indexing_slicing, reason = "tests")]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::trust::Apple;

    #[test]
    fn the_roots_sign_themselves_and_are_no_leaf() {
        let apple = Apple::production();
        for root in [&apple.app_attest_root, &apple.mda_root] {
            let now = Instant::from_unix_millis(1_780_000_000_000);
            assert_eq!(verify(&[root], root, now).err(), Some(ChainError::LeafIsCa));
        }
    }

    proptest! {
        #[test]
        fn a_changed_root_is_no_certificate_or_not_the_root(at in 0..600_usize, byte: u8, end in 0..600_usize) {
            let apple = Apple::production();
            let mut der = apple.mda_root.to_vec();
            let at = at % der.len();
            if der[at] == byte {
                return Ok(());
            }
            der[at] = byte;
            der.truncate(end.max(at + 1));
            let now = Instant::from_unix_millis(1_780_000_000_000);
            prop_assert_ne!(verify(&[&der], &apple.mda_root, now).err(), Some(ChainError::LeafIsCa));
        }

        #[test]
        fn no_bytes_make_the_reader_panic(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            let _either_way_is_fine = Certificate::parse(&bytes);
        }
    }
}
